"""Supervised tasks: none dies in silence, and all of them end when their owner stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger("router.tasks")

_KEPT: dict[asyncio.Task[Any], None] = {}
"""The event loop keeps only weak references to tasks; these are the strong ones."""

FATAL: list[Callable[[str, BaseException], None]] = []
"""Told about every task that ended by an exception; metrics count them, tests look at them."""


def spawn(coro: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """Start a task that logs its traceback if it ends by an exception."""
    task = asyncio.get_running_loop().create_task(coro, name=name)
    _KEPT[task] = None
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _KEPT.pop(task, None)
    if task.cancelled():
        return
    error = task.exception()
    if error is not None:
        log.error("task ended by an exception", exc_info=error, extra={"task": task.get_name()})
        for tell in FATAL:
            tell(task.get_name(), error)


def is_cancelled() -> bool:
    """Whether this task itself is to end: a CancelledError may also come from what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class TaskSet:
    """The tasks of one owner, ended together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def spawn(self, coro: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task that belongs to this owner."""
        task = spawn(coro, f"{self.name}:{name}")
        self._tasks[task] = None
        task.add_done_callback(lambda ended: self._tasks.pop(ended, None))
        return task

    def __len__(self) -> int:
        return len(self._tasks)

    async def stop(self, timeout_s: float = 5.0) -> list[str]:
        """Cancel all and wait; returns the names of tasks that did not end in time."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if not tasks:
            return []
        _, pending = await asyncio.wait(tasks, timeout=timeout_s)
        names = [task.get_name() for task in pending]
        if names:
            log.error("tasks did not end", extra={"tasks": names})
        return names
