"""A full disk: new contacts get 507, nothing acknowledged is lost, with room it goes on."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.server import Served

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root"),
]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "small"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(directory)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


async def test_a_full_disk_refuses_new_contacts_and_recovers_without_a_restart(
    served: Served, small_disk: Path
) -> None:
    served.data = small_disk / "data"
    served.token = await served.command("token", "create", "admin")
    await served.start()
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_000_000)
    acknowledged: list[str] = []
    statuses: set[int] = set()

    async def post(number: int) -> int:
        body: dict[str, Any] = served.text(f"e{number}", words="long " * 400)
        status, answer = await served.call("POST", "/v1/contacts", body)
        statuses.add(status)
        if status in (200, 201):
            acknowledged.append(answer["contact"])
        return status

    for first in range(0, 4000, 20):
        await asyncio.gather(*(post(n) for n in range(first, first + 20)))
        # A small commit may still have found room, after the one that did not.
        if 507 in statuses and (await served.call("GET", "/readyz"))[0] == 503:
            break
    else:
        pytest.fail(f"the disk was not full: {statuses}")
    assert statuses <= {201, 503, 507}
    ballast.unlink()
    async with asyncio.timeout(30):
        while await post(5000) not in (200, 201):  # noqa: ASYNC110
            await asyncio.sleep(0.1)  # the server tries again by itself
    for contact in set(acknowledged):
        await served.good("GET", f"/v1/contacts/{contact}")
    await served.kill()
    await served.start()
    for contact in set(acknowledged):
        await served.good("GET", f"/v1/contacts/{contact}")
    assert await served.stop() == 0
