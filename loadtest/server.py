"""A real server in a process of its own: made, started, killed, watched, from outside.

Knows the command line and the sockets of contact-router and nothing of its code.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[1]
READY_S = 120.0
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
WITH_ME = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
"""Ends with whoever started it, also if that is killed."""


class Server:
    """One installation: its directory, its process, its tokens."""

    def __init__(self, directory: Path, config: str, *, port: int = 0) -> None:
        """`config` is YAML in which PORT stands for the port."""
        self.directory = directory
        self.port = port or free_port()
        self.config = directory / "router.yaml"
        self.data = directory / "data"
        self.log = directory / "log"
        self.configure(config)
        self.process: asyncio.subprocess.Process | None = None
        self.admin = ""
        self.root = ROOT
        """The source tree that is served: another one to compare two builds."""
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment: dict[str, str] = {}
        """Variables for the process besides those that there are."""
        self._session: aiohttp.ClientSession | None = None

    def configure(self, config: str) -> None:
        """Write the configuration, in which PORT stands for the port; before the start."""
        self.config.write_text(config.replace("PORT", str(self.port)))

    # --- the process --------------------------------------------------------------------------

    async def make_admin(self) -> str:
        """A token of role admin; the server must be stopped."""
        self.admin = (await self.command("token", "create", "admin")).strip()
        return self.admin

    async def command(self, *words: str) -> str:
        """What `contact-router …` prints."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "router", *words, "-c", str(self.config),
            "--data", str(self.data), cwd=self.root,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"contact-router {' '.join(words)}: {(out + err).decode()}")
        return out.decode()

    async def start(self, crash_at: str = "") -> float:
        """Start, wait until it is ready; seconds from the start of the process."""
        began = perf_counter()
        await self.spawn(crash_at)
        await self.until_ready()
        return perf_counter() - began

    async def spawn(self, crash_at: str = "") -> None:
        """Start the process; `crash_at` names a place at which it kills itself."""
        environment = {**os.environ, "CONTACT_ROUTER_CRASH_AT": crash_at}
        # Said by env: they are for the server, not for what starts it.
        more = [f"{name}={value}" for name, value in self.environment.items()]
        words = [*WITH_ME, *(["env", *more] if more else []), sys.executable, "-m", "router"]
        # An installed server has its bytecode; without, each start would compile all of it again.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *words, "serve", "-c", str(self.config), "--data", str(self.data),
                cwd=self.root, env=environment, stderr=log,
            )  # fmt: skip

    async def until_ready(self) -> None:
        """Raises RuntimeError with the log's end if the process ends instead."""
        until = monotonic() + READY_S
        while monotonic() < until:
            if self.process is None or self.process.returncode is not None:
                raise RuntimeError(f"the server ended: {self.log_end()}")
            if await is_ready(self.port):
                return
            await asyncio.sleep(0.01)  # another process: only asking tells
        raise RuntimeError(f"the server was not ready in {READY_S:.0f} s: {self.log_end()}")

    def log_end(self) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text().splitlines()[-15:])

    async def kill(self) -> int:
        """Kill -9. Its exit code (137 when it had killed itself at a crash point)."""
        assert self.process is not None, "not started"
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
        return await self.process.wait()

    async def stop(self) -> int:
        """A clean stop (SIGTERM), killed after 60 s. Its exit code."""
        assert self.process is not None, "not started"
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.process.wait(), 60)
        except TimeoutError:
            return await self.kill()

    async def close(self) -> None:
        """No process and no connection is left."""
        if self._session is not None:
            await self._session.close()
        if self.process is not None and self.process.returncode is None:
            await self.kill()

    def cpu_s(self) -> float:
        """Processor seconds that the process has used, all threads."""
        assert self.process is not None, "not started"
        return cpu_s(self.process.pid)

    # --- talking to it ------------------------------------------------------------------------

    @property
    def session(self) -> aiohttp.ClientSession:
        """For requests that are not measured."""
        if self._session is None:
            self._session = aiohttp.ClientSession(self.url)
        return self._session

    async def ask(
        self, method: str, path: str, body: Any = None, token: str = ""
    ) -> tuple[int, Any]:
        """Status and JSON of one request."""
        headers = {"Authorization": f"Bearer {token or self.admin}"}
        async with self.session.request(method, path, json=body, headers=headers) as answer:
            return answer.status, await answer.json() if answer.status != 204 else None

    async def good(self, method: str, path: str, body: Any = None) -> Any:
        """As `ask`; anything but 200 and 201 is an error."""
        status, answer = await self.ask(method, path, body)
        if status not in (200, 201):
            raise RuntimeError(f"{method} {path}: expected 200 or 201, got {status}: {answer}")
        return answer

    async def token(self, role: str, **bound: str) -> str:
        """A new token of the running server."""
        made = await self.good("POST", "/v1/tokens", {"role": role, **bound})
        return str(made["token"])

    async def metrics(self) -> dict[str, float]:
        """All samples of /metrics, by name with labels as printed."""
        headers = {"Authorization": f"Bearer {self.admin}"}
        async with self.session.get("/metrics", headers=headers) as answer:
            text = await answer.text()
        return {
            found[1]: float(found[2])
            for found in re.finditer(r"^([a-z]\S*) (\S+)$", text, re.MULTILINE)
        }


@asynccontextmanager
async def installation(config: str, *, keep: Path | None = None) -> AsyncIterator[Server]:
    """A server in a new directory, not started, with an admin token; removed at the end."""
    directory = keep or Path(tempfile.mkdtemp(prefix="contact-router-"))
    directory.mkdir(parents=True, exist_ok=True)
    server = Server(directory, config)
    try:
        await server.make_admin()
        yield server
    finally:
        await server.close()
        if keep is None:
            shutil.rmtree(directory, ignore_errors=True)


class Commits:
    """Commit times between two looks at /metrics."""

    def __init__(self, before: Mapping[str, float], after: Mapping[str, float]) -> None:
        def grown(name: str) -> float:
            return sum(
                value - before.get(key, 0) for key, value in after.items() if key.startswith(name)
            )

        self.count = int(grown("router_commit_duration_seconds_count"))
        total_s = grown("router_commit_duration_seconds_sum")
        self.mean_s = total_s / self.count if self.count else 0.0
        self.events = grown("router_commit_records_sum")


def cpu_s(pid: int, *, children: bool = False) -> float:
    """Processor seconds of a process, and of its `children` that have ended.

    From /proc (proc(5): fields 14 to 17 of stat).
    """
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in stat[11 : 15 if children else 13]) * TICK_S


async def is_ready(port: int) -> bool:
    """Does /readyz answer 200?"""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(5):
            return (await reader.readline()).split(b" ")[1:2] == [b"200"]
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()


def free_port() -> int:
    """A port of this machine that nobody uses now, and that nobody else is given before it is used
    or while its server is away: whoever connects anywhere gets one of the kernel's own range, and
    other processes that ask here have blocks of their own. The one 10,000 above it is free, too: a
    Redis takes it for its cluster."""
    for _ in range(2 * BLOCK):
        port = next(_ports)
        with socket.socket() as one, socket.socket() as other, suppress(OSError):
            one.bind(("", port))
            other.bind(("", port + 10_000))
            return port
    raise RuntimeError("no free port")


BLOCK = 100


def _block() -> Iterator[int]:
    """Ports that are this process's as long as it lives, round and round."""
    folder = Path(tempfile.gettempdir()) / f"contact-router-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for first in range(10_000, 20_000, BLOCK):
        lock = os.open(folder / str(first), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another process has it
            os.close(lock)
        else:
            yield from itertools.cycle(range(first, first + BLOCK))


_ports = _block()
