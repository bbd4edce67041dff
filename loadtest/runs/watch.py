"""Watches the server's process during a run: processor, memory, lines, and how late its loop is.

Its loop may be late because it has too much to do, or because the machine let it wait. Linux counts
for each thread how long it was ready to run and did not (schedstat, field 2): what is left of a
delay without that is the server's own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from loadtest.drivers import answers
from loadtest.runs.allocations import Counter
from loadtest.runs.measures import Measures
from loadtest.server import Server

PROBE_S = 0.05
SAMPLE_S = 1.0
PAGE = os.sysconf("SC_PAGE_SIZE")
PROBE = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass
class Sample:
    """How the server's process was at one moment."""

    at_s: float
    cpu_s: float
    rss: int
    """Bytes."""
    live: float
    waiting: float
    loop_lag_s: float
    commits: float
    commit_s: float
    """Both grown since the start."""
    starved_s: float = 0.0
    """How long the machine has let its main thread wait, ready to run; since the start."""
    files: int = 0
    """Open descriptors."""
    threads: int = 0
    tasks: float = 0.0
    timers: float = 0.0
    """Of the event loop, and of the engine: deadlines that are set."""
    allocations: int = 0
    allocated: int = 0
    """Calls and bytes since the start; 0: not counted."""


class Watch:
    """Of one server."""

    def __init__(
        self, server: Server, admins: Mapping[str, str], measures: Measures,
        counter: Counter | None = None,
    ) -> None:  # fmt: skip
        """`admins`: an admin token by workspace; `counter`: of the process's allocations."""
        self._counter = counter
        self.samples: list[Sample] = []
        self._server = server
        self._admins = admins
        self._measures = measures
        self._start_s = 0.0

    async def look(self, start_s: float) -> None:
        """Until it is cancelled; moments count from `start_s`."""
        self._start_s = start_s
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sample())
            group.create_task(self._probe())

    async def _sample(self) -> None:
        """Once a second."""
        while True:
            self.samples.append(await self.now())
            await asyncio.sleep(SAMPLE_S)

    async def now(self) -> Sample:
        """How it is."""
        assert self._server.process is not None, "not started"
        pid = self._server.process.pid
        seen: dict[str, float] = {}
        for token in self._admins.values():
            self._server.admin = token
            seen |= await self._server.metrics()
        calls, asked = self._counter.read() if self._counter is not None else (0, 0)
        return Sample(
            at_s=perf_counter() - self._start_s,
            cpu_s=self._server.cpu_s(),
            rss=resident(pid),
            live=_sum(seen, "router_contacts_live"),
            waiting=_sum(seen, "router_queue_depth"),
            loop_lag_s=_sum(seen, "router_loop_lag_seconds"),
            commits=_sum(seen, "router_commit_duration_seconds_count"),
            commit_s=_sum(seen, "router_commit_duration_seconds_sum"),
            starved_s=starved_s(pid),
            files=len(os.listdir(f"/proc/{pid}/fd")),
            threads=len(os.listdir(f"/proc/{pid}/task")),
            tasks=_sum(seen, "router_tasks"),
            timers=_sum(seen, "router_timers"),
            allocations=calls,
            allocated=asked,
        )

    async def _probe(self) -> None:
        """Asks 20 times a second whether the server is ready: as late as its loop is."""
        assert self._server.process is not None, "not started"
        pid, mine = self._server.process.pid, os.getpid()
        client = answers.Client(self._server.port, 4)
        await client.open()
        due_s = perf_counter()
        try:
            while True:
                due_s += PROBE_S
                await asyncio.sleep(max(0.0, due_s - perf_counter()))
                waited = all_starved_s(pid) | {mine: starved_s(mine)}
                client.send(PROBE, self._probed(pid, mine, due_s, waited))
        finally:
            client.close()

    def _probed(
        self, pid: int, mine: int, due_s: float, before: dict[int, float]
    ) -> answers.Answered:
        measures, sent_s = self._measures, perf_counter()

        def answered(status: int, _: bytes) -> None:
            now_s = perf_counter()
            measures.record("probe", due_s, now_s)
            grown = {t: s - before.get(t, s) for t, s in all_starved_s(pid).items()}
            waiting_s = max(grown.values()) + starved_s(mine) - before[mine]
            measures.record("lag", due_s, due_s + max(0.0, now_s - sent_s - waiting_s))
            if status != 200:
                measures.count("not_ready", at_s=due_s)

        return answered


def starved_s(pid: int, thread: int = 0) -> float:
    """How long a thread (0: the main one) has been ready and not running; 0 where nobody counts."""
    with suppress(OSError, IndexError):
        text = Path(f"/proc/{pid}/task/{thread or pid}/schedstat").read_text()
        return int(text.split()[1]) / 1e9
    return 0.0


def all_starved_s(pid: int) -> dict[int, float]:
    """The same of each of its threads: one that holds the interpreter's lock holds up all."""
    return {int(thread): starved_s(pid, int(thread)) for thread in os.listdir(f"/proc/{pid}/task")}


def resident(pid: int) -> int:
    """Bytes of memory (proc(5): field 2 of statm)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def _sum(samples: dict[str, float], name: str) -> float:
    return sum(value for key, value in samples.items() if key.partition("{")[0] == name)
