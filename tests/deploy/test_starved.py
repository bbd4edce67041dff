"""What a machine runs out of, or takes away: a real server says so and goes on when it is over."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from loadtest.server import ROOT, Server
from router.runtime.watchdog import Watchdog
from tests.deploy.running import SMALL, output

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def contact(mark: str) -> dict[str, Any]:
    return {
        "channel": "sms", "external_id": mark, "peer": {"address": "+4930123", "to": "+49302"},
        "message": {"text": mark},
    }  # fmt: skip


async def until_taken(server: Server, mark: str) -> None:
    """As a client that asks again."""
    async with asyncio.timeout(60):
        while True:
            status, said = await server.ask("POST", "/v1/contacts", contact(mark))
            if status in (200, 201):
                return
            assert status in (503, 507), (status, said)
            await asyncio.sleep(0.1)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which a test may make read-only."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_directory_that_cannot_be_written_is_named_and_nothing_is_served(
    tmp_path: Path, disk: Path
) -> None:
    server = Server(tmp_path, SMALL)
    server.data = disk / "data"
    try:
        await server.make_admin()
        await server.start()
        await until_taken(server, "before")
        assert await server.stop() == 0
        assert (await output("mount", "-o", "remount,ro", str(disk)))[0] == 0
        await server.spawn()
        assert server.process is not None
        async with asyncio.timeout(60):
            assert await server.process.wait() != 0
        assert "Read-only file system: " in server.log_end()
        assert str(server.data) in server.log_end()
        assert "Traceback" not in server.log_end()
        assert (await output("mount", "-o", "remount,rw", str(disk)))[0] == 0
        await server.start()
        status, _ = await server.ask("POST", "/v1/contacts", contact("before"))
        assert status == 200, "it is the one that there was"
    finally:
        await server.close()


async def test_who_holds_every_connection_keeps_nobody_out_for_longer_than_that(
    tmp_path: Path,
) -> None:
    server = Server(tmp_path, SMALL)
    held: list[socket.socket] = []
    try:
        await server.make_admin()
        await server.start()
        await until_taken(server, "before")
        assert server.process is not None
        files = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        most = files + 20
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (most, most))
        held += [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
        # A connection that there is goes on, and what it brings is stored.
        await until_taken(server, "meanwhile")
        for one in held:
            one.close()
        async with aiohttp.ClientSession(server.url) as anew, asyncio.timeout(60):
            assert await first_answer(anew, server.admin, contact("after")) == 201
        assert len(server.log.read_text().splitlines()) < 50, "it does not fill its log with it"
        assert await server.stop() == 0
    finally:
        for one in held:
            one.close()
        await server.close()


async def first_answer(session: aiohttp.ClientSession, token: str, body: object) -> int:
    """The status of the first answer: who has no descriptor left resets a connection, once."""
    headers = {"Authorization": f"Bearer {token}"}
    while True:
        try:
            async with session.post("/v1/contacts", json=body, headers=headers) as answer:
                return answer.status
        except aiohttp.ClientConnectionError:
            continue


BLOCKS = """
import asyncio, sys
from router.runtime.clock import SystemClock
from router.runtime.health import Health
from router.runtime.logs import set_up
from router.runtime.metrics import Metrics
from router.runtime.upkeep import Upkeep

def a_rule_that_never_ends():
    sys.stdin.read()

async def main():
    set_up("warning")
    upkeep = Upkeep([], SystemClock(), Metrics(), health := Health(), dump_stacks=True)
    upkeep.start()
    await asyncio.sleep(0.1)
    a_rule_that_never_ends()
    while not health.lag_s > 5:
        await asyncio.sleep(0.01)
    await upkeep.stop()
    print("late", file=sys.stderr)

asyncio.run(main())
"""


async def test_a_loop_that_does_not_turn_says_where_it_stands() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BLOCKS, cwd=ROOT, stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stderr is not None
    async with asyncio.timeout(60):
        told = await process.stderr.readline()
        assert b"the event loop does not turn" in told
        assert b"in a_rule_that_never_ends" in told
        process.stdin.close()
        assert await process.stderr.read() == b"late\n", "and how late it was is a metric"
        assert await process.wait() == 0


def test_it_is_told_once_each_time_and_not_of_a_process_that_was_asleep() -> None:
    def told(*looks: tuple[float, float]) -> list[bool]:
        return [watchdog.is_due(passed_s, busy_s) for passed_s, busy_s in looks]

    second, watchdog = (1.0, 0.0), Watchdog(3.0)
    assert told(*[second] * 8) == [False, False, True, False, False, False, False, False]
    watchdog.turned()
    assert told(*[second] * 5) == [False, False, False, True, False]
    watchdog.turned()
    assert told(second, second, (600.0, 0.1), second, second, second) == [False] * 5 + [True]
    watchdog.turned()
    assert told(second, (9.0, 8.9)) == [False, True], "C code kept everybody else out"
