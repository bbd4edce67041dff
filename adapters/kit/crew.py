"""An adapter's own tasks, its patience with the router, and whose effects it refuses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from router.channel import ChannelError, OutcomeUnknown, Overloaded, Refused, StoreFull

log = logging.getLogger(__name__)

T = TypeVar("T")

TRY_AGAIN = (Overloaded, OutcomeUnknown, StoreFull)
"""What a `Router` call raises when the same call may be made again."""


class Fence:
    """Refuses effects of an owner that was replaced: an epoch lower than one already seen."""

    __slots__ = ("epoch",)

    def __init__(self) -> None:
        self.epoch = 0

    def check(self, epoch: int) -> None:
        """Raises ChannelError for an epoch that is over."""
        if epoch < self.epoch:
            raise ChannelError(f"epoch {epoch} is over: the current one is {self.epoch}")
        self.epoch = epoch


class Crew:
    """An adapter's own tasks: a bounded number, none dies in silence, all end with `run`."""

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        """Let `work` go on beside; raises ChannelError when the crew is full."""
        if len(self._tasks) >= self.most:
            work.close()
            raise ChannelError(f"{self.name} has {self.most} tasks under way and takes no more")
        task = asyncio.get_running_loop().create_task(
            self._watch(work, what), name=f"{self.name}:{what}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # cancelled before it has begun
        return task

    async def stop(self, grace_s: float = 0.0) -> None:
        """Let the tasks end by themselves for so long, cancel the rest, wait until all are gone."""
        if self._tasks and grace_s > 0:
            await asyncio.wait(self._tasks, timeout=grace_s)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, work: Coroutine[Any, Any, None], what: str) -> None:
        try:
            await work
        except Refused as refused:
            log.debug("%s: %s: refused: %s", self.name, what, refused.code)
        except TRY_AGAIN as error:
            log.warning("%s: %s: given up: %s", self.name, what, type(error).__name__)
        except Exception:
            log.exception("%s: %s failed", self.name, what)


def is_cancelled() -> bool:
    """Whether this task itself is to end; a TaskGroup that has both tells of its tasks' errors
    instead, and what a task waits for may be cancelled below it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def insist(
    call: Callable[[], Awaitable[T]],
    *,
    on: tuple[type[Exception], ...] = TRY_AGAIN,
    for_s: float = 30.0,
    first_s: float = 0.2,
) -> T:
    """Make an idempotent `Router` call until it is taken, waiting longer each time.

    After `for_s` seconds the last of the `on` errors is raised; others at once.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + for_s
    pause = first_s
    while True:
        try:
            return await call()
        except on as error:
            pause = max(pause, getattr(error, "retry_after_s", 0.0))
            if loop.time() + pause > until:
                raise
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5.0)
