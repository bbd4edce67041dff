"""An identity provider of its own process: npm `oidc-provider`, as tests/peers/oidc runs it."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "oidc"
SECRET = "a secret of thirty-two letters, more"
PEOPLE = {
    "ana-7": {"preferred_username": "ana", "name": "Ana", "groups": ["care", "staff"]},
    "sue-9": {"preferred_username": "sue", "name": "Sue", "groups": ["leads"]},
    "rob-3": {"preferred_username": "rob", "name": "Rob", "groups": ["care"]},
    "tim-5": {"preferred_username": "tim", "name": "Tim", "groups": ["kitchen"]},
    "max-1": {"name": "Max", "groups": ["care", "leads"]},
}
"""`sub` -> claims: ana works here, sue leads, rob is no agent, tim has no access, max no name."""
GRANTS = """
    grants:
      - {claim: groups, value: leads, role: supervisor}
      - {claim: groups, value: care, role: agent}
"""


class Identity:
    """A running provider."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port
        self.issuer = f"http://127.0.0.1:{port}"
        self.seen: list[dict[str, Any]] = []

    def settings(self, secret_file: str = "oidc.secret") -> str:
        """The section `oidc` of a server that signs in here."""
        secret = f"    client_secret_file: {secret_file}\n" if secret_file else ""
        return (
            f"  oidc:\n    issuer: {self.issuer}\n    client_id: contact-router\n"
            f"    label: Oak ID\n{secret}{GRANTS.strip(chr(10))}\n"
        )

    async def wait(self, event: str) -> dict[str, Any]:
        """The next event of this name."""
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            while line := await self._process.stdout.readline():
                if not line.startswith(b"{"):
                    continue  # the library's own notices
                told: dict[str, Any] = json.loads(line)
                self.seen.append(told)
                if told["event"] == event:
                    return told
        raise AssertionError(f"the provider ended before {event}: {self.seen}")

    async def do(self, what: str, **more: Any) -> None:
        """A command; done when it returns."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **more}).encode() + b"\n")
        await self.wait("done")


@asynccontextmanager
async def provider(base: str, port: int, **how: Any) -> AsyncIterator[Identity]:
    """A provider that sends people back to `base`; ended with the block."""
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules" / "oidc-provider").exists():
        pytest.skip("needs node and tests/peers/oidc/node_modules: .ci/servers installs them")
    settings = {"port": port, "base": base, "secret": SECRET, "accounts": PEOPLE, **how}
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *(node, "provider.js", json.dumps(settings)),
            cwd=FOLDER,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
        try:
            identity = Identity(process, port)
            await identity.wait("ready")
            yield identity
        finally:
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(20):
                await process.wait()
