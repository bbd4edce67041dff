"""Faults of the store in which an owner's memory does not help, or is not asked.

The rows of docs/redis.md that `tests/journal/test_redis_faults.py` does not have: replication that
stood still before master and owner were lost, disks that were full, and lines that were slow.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from router.errors import JournalFailed
from tests.cluster.nodes import NEEDS_REDIS, Node, Site, Store, contact, owner_among, until
from tests.cluster.test_restore import there
from tests.journal.redis_processes import Replicated
from tests.journal.test_redis_faults import SOON_S, Owner, events_at, has_all
from tests.journal.writer import content

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    NEEDS_REDIS,
    pytest.mark.timeout(400),
]


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[Replicated]:
    store = Replicated(tmp_path)
    yield store
    store.close()


async def test_replication_stands_still_then_master_and_owner_are_lost(
    replicated: Replicated,
) -> None:
    owner = Owner(replicated.settings(timeout_s=SOON_S))
    await owner.begin()
    await owner.write(200)
    old = replicated.master()
    replicas = [node for node in replicated.nodes if node is not old]
    for node in replicas:
        node.pause()
    with pytest.raises(JournalFailed):
        await owner.journal.append(owner.own, owner.next())
    assert len(events_at(old)) > owner.acknowledged, "the master has it, and nobody else"
    old.stop()
    await owner.close()  # with its memory: nobody can write anything again
    for node in replicas:
        node.resume()
    new = await asyncio.to_thread(replicated.failed_over, old)
    stored = events_at(new)  # perhaps with the one that nobody confirmed: it lay in their sockets
    assert stored[: owner.acknowledged] == [content(n) for n in range(1, owner.acknowledged + 1)]
    other = Owner(replicated.settings(timeout_s=SOON_S))
    await other.begin()
    assert other.own.seq == len(stored)
    await other.write(50)
    has_all(new, other)
    await other.close()


# --- a full disk ----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    command = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("fsync", ["everysec", "always"])
async def test_a_store_whose_disk_is_full_takes_nothing_and_has_all_that_it_took(
    site: Site, small_disk: Path, fsync: str
) -> None:
    site.store.close()
    site.store = Store(small_disk / "redis")
    site.store.client.config_set("appendfsync", fsync)
    [node] = await site.start("a")
    await owner_among([node])
    free = os.statvfs(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (free.f_bavail * free.f_frsize - 80_000))
    acknowledged: list[str] = []
    numbers = itertools.count(1)

    async def post() -> int:
        mark = f"c{next(numbers)}"
        body = contact(mark, "long " * 400)
        status, said = await node.ask("POST", "/v1/contacts", body, token=site.admin)
        assert status in (201, 503, 507), said
        if status == 201:
            acknowledged.append(mark)
        return status

    async def is_refused() -> bool:
        return await post() != 201

    async def is_taken() -> bool:
        return await post() == 201

    await until(is_refused, node.log_end)
    before = len(acknowledged)
    assert before > 5
    assert await post() in (503, 507)
    ballast.unlink()
    if fsync == "always":  # Redis ends then: it cannot take back what it has told
        await asyncio.to_thread(site.store.process.wait, 30)
        site.store.restart()
    await until(is_taken, node.log_end)
    assert len(acknowledged) == before + 1
    site.store.client.config_set("appendfsync", "always")
    await node.kill()
    site.store.kill()
    site.store.restart()
    await node.start()
    await owner_among([node])
    assert {*await there(site, node)} >= set(acknowledged)


# --- a slow line ----------------------------------------------------------------------------------


class SlowLine:
    """A TCP proxy before the store, which delays, cuts into pieces, drops and swallows."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.delay_s = 0.0
        self.piece = 65_536
        self.deaf = False
        """What the store answers does not come back."""
        self._to = port
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._open |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._one_way(reader, far_writer, is_answer=False))
                both.create_task(self._one_way(far_reader, writer, is_answer=True))
        finally:
            for end in (writer, far_writer):
                self._open.discard(end)
                end.close()

    async def _one_way(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(self.piece):
                await asyncio.sleep(self.delay_s)  # the fault itself: a long way
                if not (is_answer and self.deaf):
                    writer.write(data)
                    await writer.drain()
        writer.close()

    def reset(self) -> None:
        """Every connection breaks off, in the middle of whatever it carries."""
        for end in list(self._open):
            end.transport.abort()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        await self._server.wait_closed()


@pytest.fixture
async def patient(tmp_path: Path) -> AsyncIterator[Site]:
    """A lease that no machine of ours holds up for so long."""
    made = Site(tmp_path, lease_s=8.0)
    yield made
    await made.close()


async def test_a_slow_and_broken_line_to_the_store_is_no_reason_to_take_over(
    patient: Site,
) -> None:
    line = SlowLine(patient.store.port)
    await line.start()
    nodes = [patient.node("a"), patient.node("b")]
    patient.admin = (await nodes[0].command("token", "create", "admin")).strip()
    for node in nodes:
        text = node.config.read_text()
        node.config.write_text(text.replace(f":{patient.store.port}/", f":{line.port}/"))
        await node.start()
    owner = await owner_among(nodes)
    numbers = itertools.count(1)
    acknowledged: list[str] = []

    async def post(node: Node) -> None:
        mark = f"c{next(numbers)}"
        while True:
            with suppress(aiohttp.ClientError):
                body = contact(mark)
                status, said = await node.ask("POST", "/v1/contacts", body, token=patient.admin)
                assert status in (200, 201, 503, 507), said
                if status < 300:
                    acknowledged.append(mark)
                    return
            await asyncio.sleep(0.1)  # as a client that asks again

    async def many(count: int) -> None:
        await asyncio.gather(*(post(nodes[n % 2]) for n in range(count)))

    try:
        line.delay_s = 0.4
        await many(10)
        line.delay_s, line.piece = 0.0, 7
        await many(10)
        line.piece = 65_536
        for _ in range(4):
            posting = asyncio.gather(*(post(nodes[n % 2]) for n in range(10)))
            await asyncio.sleep(0)
            line.reset()
            await posting
        line.deaf = True
        posting = asyncio.gather(*(post(nodes[n % 2]) for n in range(10)))
        try:
            async with asyncio.timeout(2):  # how long the fault lasts
                await asyncio.shield(posting)
        except TimeoutError:
            pass
        assert not posting.done(), "nothing is acknowledged of which the store has not spoken"
        line.deaf = False
        line.reset()
        await posting
        assert await owner.owns() == ["main"], "a lease is longer than any of this"
        assert 'router_epoch{workspace="main"} 2.0' in await owner.metrics()
        found = await there(patient, nodes[1])
        assert sorted(found) == sorted(acknowledged), "each once"
        assert len(found) == 70
        for node in reversed(nodes):
            assert await node.stop() == 0
    finally:
        await line.close()
