"""Deadlines in a heap, one per key. What is set here is derived from state and never stored."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

TimerKey = tuple[str, ...]


class Timers:
    """The next moment at which something happens by itself."""

    __slots__ = ("_at", "_heap", "_no")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, TimerKey]] = []
        self._at: dict[TimerKey, tuple[int, int]] = {}
        self._no = 0

    def __len__(self) -> int:
        return len(self._at)

    def set(self, key: TimerKey, at_us: int) -> None:
        """The key's one deadline, replacing an earlier one."""
        current = self._at.get(key)
        if current is not None and current[0] == at_us:
            return
        self._no += 1
        self._at[key] = (at_us, self._no)
        heappush(self._heap, (at_us, self._no, key))
        if len(self._heap) > 64 and len(self._heap) > 4 * len(self._at):
            self._heap = [(at, no, key) for key, (at, no) in self._at.items()]
            heapify(self._heap)

    def cancel(self, key: TimerKey) -> None:
        """Forget the key's deadline; none set is fine."""
        self._at.pop(key, None)

    def at(self, key: TimerKey) -> int | None:
        """When this key is due."""
        found = self._at.get(key)
        return found[0] if found else None

    def next(self) -> int | None:
        """The earliest deadline."""
        heap, at = self._heap, self._at
        while heap:
            due, no, key = heap[0]
            if at.get(key) == (due, no):
                return due
            heappop(heap)
        return None

    def pop(self, now_us: int) -> tuple[int, TimerKey] | None:
        """Take the earliest key that is due at `now_us`, with its deadline."""
        due = self.next()
        if due is None or due > now_us:
            return None
        _, _, key = heappop(self._heap)
        del self._at[key]
        return due, key

    def keys(self) -> list[TimerKey]:
        """All keys set, for audits."""
        return list(self._at)
