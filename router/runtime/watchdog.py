"""Says where the event loop stands when it does not turn: the stacks of all threads, to the log.

An ordinary thread looks. `faulthandler.dump_traceback_later` reads the stacks of threads that run:
a process that goes on just then, as one that was frozen does, crashes of it or hangs for good. The
price: of C code that keeps the interpreter's lock it is told when that gives the lock back.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback

log = logging.getLogger("router.watchdog")

LOOK_S = 1.0


class Watchdog:
    """Looks once a second whether the loop has turned since."""

    def __init__(self, blocked_s: float) -> None:
        """It is told when the loop has not turned for so long."""
        self._blocked_s = blocked_s
        self._turns = self._seen = 0
        self._stood_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def turned(self) -> None:
        """The loop turns: to be called by it more often than each `blocked_s`."""
        self._turns += 1

    def stop(self) -> None:
        """No more. Safe to repeat."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(LOOK_S)

    def is_due(self, passed_s: float, busy_s: float) -> bool:
        """Is it to be told now, once for each time that it stands? So long after the last look,
        of which the process has worked for `busy_s`."""
        # All of us were asleep: the process was stopped, its machine was, or others had the CPU.
        was_asleep = passed_s > 2 * LOOK_S and busy_s < passed_s / 2
        if self._turns != self._seen or was_asleep:
            self._seen, self._stood_s = self._turns, 0.0
            return False
        before_s = self._stood_s
        self._stood_s += passed_s
        return before_s < self._blocked_s <= self._stood_s

    def _watch(self) -> None:
        looked_s, worked_s = time.monotonic(), time.process_time()
        while not self._over.wait(LOOK_S):
            now_s, now_worked_s = time.monotonic(), time.process_time()
            if self.is_due(now_s - looked_s, now_worked_s - worked_s):
                log.error("the event loop does not turn", extra={"stacks": _stacks()})
            looked_s, worked_s = now_s, now_worked_s


def _stacks() -> str:
    """Where every thread but this one is."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"{names.get(ident, 'thread')}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
        if ident != threading.get_ident()
    )
