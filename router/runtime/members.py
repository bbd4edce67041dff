"""Which nodes there are, which of them are alive, and which should have what.

A node is alive while the beat of its entry changes, by the watch of whoever looks: nobody compares
clocks. Rendezvous hashing gives each workspace an order of the nodes, the same for all who look, in
which little changes when a node comes or goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from router.journal.shared import NodeEntry


def preference(workspace: str, nodes: Iterable[str]) -> list[str]:
    """The nodes in the order in which they should have this workspace."""

    def weight(node: str) -> bytes:
        return blake2b(f"{workspace}\0{node}".encode(), digest_size=8).digest()

    return sorted(nodes, key=lambda node: (weight(node), node), reverse=True)


@dataclass(slots=True)
class _Seen:
    entry: NodeEntry
    first_us: int
    """Since when this process of that name is seen alive."""
    changed_us: int
    """When its beat was last seen to change."""


class Members:
    """What this node has seen of the others."""

    def __init__(self, alive_us: int) -> None:
        """A node whose beat has not changed for so long is taken for dead."""
        self._alive_us = alive_us
        self._seen: dict[str, _Seen] = {}

    def look(self, entries: Iterable[NodeEntry], now_us: int) -> None:
        """What the registry says now."""
        seen: dict[str, _Seen] = {}
        for entry in entries:
            known = self._seen.get(entry.name)
            if known is None or known.entry.boot != entry.boot:
                seen[entry.name] = _Seen(entry, now_us, now_us)
                continue
            if known.entry.beat != entry.beat:
                if now_us - known.changed_us > self._alive_us:
                    known.first_us = now_us  # silent for a while, and back
                known.changed_us = now_us
            known.entry = entry
            seen[entry.name] = known
        self._seen = seen

    def get(self, name: str) -> NodeEntry | None:
        """The entry of this name, dead or alive."""
        seen = self._seen.get(name)
        return seen.entry if seen is not None else None

    def all(self) -> list[NodeEntry]:
        """Every entry, by name."""
        return [seen.entry for _, seen in sorted(self._seen.items())]

    def alive(self, now_us: int, *, for_us: int = 0) -> list[str]:
        """Names of the nodes that live; `for_us`: that have been seen to live for so long."""
        return [
            name
            for name, seen in sorted(self._seen.items())
            if now_us - seen.changed_us <= self._alive_us and now_us - seen.first_us >= for_us
        ]

    def silent(self, now_us: int, for_us: int) -> list[NodeEntry]:
        """Entries that have not changed for so long."""
        return [s.entry for s in self._seen.values() if now_us - s.changed_us > for_us]
