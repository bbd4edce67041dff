"""What a client or a line does beside its plan: an error there is counted and said, not lost."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from time import perf_counter
from typing import Any

from loadtest.runs.measures import Measures

LAG_EVERY_S = 0.05


class Beside:
    """Tasks of one process, held until they end."""

    def __init__(self, who: str, measures: Measures) -> None:
        self._who = who
        self._measures = measures
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, doing: Coroutine[Any, Any, None]) -> None:
        """Do it beside; an error is counted and said."""
        task = asyncio.get_running_loop().create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def watch_loop(self) -> None:
        """Measure how late this process's own loop is: what it measures cannot be truer."""
        self.spawn(self._watch_loop())

    async def _watch_loop(self) -> None:
        while True:
            due_s = perf_counter() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self._measures.record("client_lag", due_s, perf_counter())

    def rest(self) -> None:
        """Nothing is done any more."""
        for task in self._tasks:
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            print(f"{self._who}: {task.exception()!r}", file=sys.stderr, flush=True)
            self._measures.count("client_errors")
