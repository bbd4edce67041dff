"""Where the master of a workspace's keys is: one server, whom the Sentinels name, or a cluster.

Nothing is remembered beyond a doubt: after a lost connection, a time-out, a refusal or too few
replicas the Sentinels (or the cluster's nodes) are asked again, all of them. A master that was
deposed stays a writable master for seconds after it is back: it is never found by memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any

from router.errors import JournalFailed
from router.journal.redis_line import Access, Endpoint, RedisLine

SLOTS = 16384
_ASK_S = 1.0
"""A Sentinel or node that takes longer has no vote this time."""
_STRAGGLER_S = 0.1
"""So long the rest is waited for when most have answered: an answer that has waited for a machine
that is gone is a second old, and a failover takes no longer."""


class Masters(ABC):
    """Finds masters. Raises JournalFailed when nobody can say."""

    must_say_so = True
    """A server has to say that it is a master before it is used."""

    @abstractmethod
    async def find(self, slot: int) -> Endpoint:
        """The master of a slot."""

    @abstractmethod
    async def all(self) -> list[Endpoint]:
        """Every master there is."""

    @abstractmethod
    def doubt(self) -> None:
        """What was found may be wrong: ask again."""

    def moved(self, slot: int, to: Endpoint) -> None:
        """A server has said that this slot is elsewhere."""
        raise JournalFailed(f"Redis: slot {slot} is at {to}, but the settings name no cluster")


class OneServer(Masters):
    """The server that the settings name."""

    must_say_so = False

    def __init__(self, at: Endpoint) -> None:
        self._at = at

    async def find(self, slot: int) -> Endpoint:
        """See Masters."""
        return self._at

    async def all(self) -> list[Endpoint]:
        """See Masters."""
        return [self._at]

    def doubt(self) -> None:
        """See Masters. There is nobody to ask."""


class BySentinels(Masters):
    """The master that the Sentinels name: the latest configuration they know, then most votes."""

    def __init__(self, sentinels: Sequence[Endpoint], name: str, access: Access) -> None:
        self._sentinels = sentinels
        self._name = name
        self._access = access
        self._known: Endpoint | None = None
        self._one_at_a_time = asyncio.Lock()

    async def find(self, slot: int) -> Endpoint:
        """See Masters."""
        async with self._one_at_a_time:
            if self._known is None:
                self._known = await self._ask()
            return self._known

    async def all(self) -> list[Endpoint]:
        """See Masters."""
        return [await self.find(0)]

    def doubt(self) -> None:
        """See Masters."""
        self._known = None

    async def _ask(self) -> Endpoint:
        # Who conducts a failover shows its epoch in `MASTER` while the address there is still the
        # old one: the other command names the promoted replica from that moment on.
        commands = [
            ("SENTINEL", "MASTER", self._name),
            ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name),
        ]
        answers = await _poll(self._access, self._sentinels, commands)
        votes: Counter[tuple[int, Endpoint]] = Counter()
        for _, (flat, address) in answers:
            said = dict(zip(flat[::2], flat[1::2], strict=True))
            at = Endpoint(address[0].decode(), int(address[1]))
            votes[int(said[b"config-epoch"]), at] += 1
        if not votes:
            raise JournalFailed(f"no Sentinel of {len(self._sentinels)} knows {self._name!r}")
        # Each failover has a configuration epoch of its own, above those before it: a Sentinel
        # that names an earlier one has not heard yet, however many there are of its kind.
        return max(votes, key=lambda vote: (vote[0], votes[vote], vote[1]))[1]


class ByCluster(Masters):
    """The masters of a Redis Cluster."""

    def __init__(self, start_nodes: Sequence[Endpoint], access: Access) -> None:
        self._start_nodes = start_nodes
        self._access = access
        self._ranges: list[tuple[int, int, Endpoint]] = []
        """First and last slot, and whose they are."""
        self._moved: dict[int, Endpoint] = {}
        self._nodes: set[Endpoint] = set()
        """All that were there when last asked: start nodes may have gone for good."""
        self._one_at_a_time = asyncio.Lock()

    async def find(self, slot: int) -> Endpoint:
        """See Masters."""
        if slot in self._moved:
            return self._moved[slot]
        for first, last, master in await self._map():
            if first <= slot <= last:
                return master
        self.doubt()
        raise JournalFailed(f"Redis Cluster: no server has slot {slot}")

    async def all(self) -> list[Endpoint]:
        """See Masters."""
        return sorted({master for _, _, master in await self._map()})

    def doubt(self) -> None:
        """See Masters."""
        self._ranges = []
        self._moved.clear()

    def moved(self, slot: int, to: Endpoint) -> None:
        """See Masters."""
        self._moved[slot] = to

    async def _map(self) -> list[tuple[int, int, Endpoint]]:
        async with self._one_at_a_time:
            if not self._ranges:
                await self._ask()
            return self._ranges

    async def _ask(self) -> None:
        nodes = sorted({*self._start_nodes, *self._nodes})
        commands = [("CLUSTER", "INFO"), ("CLUSTER", "SLOTS")]
        latest = -1
        for at, (facts, slots) in await _poll(self._access, nodes, commands):
            said = dict(row.split(b":", 1) for row in facts.splitlines() if b":" in row)
            epoch = int(said.get(b"cluster_current_epoch", 0))
            # A node that is cut off from the others knows an older one, or says that all is down.
            if said.get(b"cluster_state") == b"ok" and slots and epoch > latest:
                latest = epoch
                self._ranges = [(first, last, _at(m, at)) for first, last, m, *_ in slots]
                self._nodes = {_at(node, at) for _, _, *group in slots for node in group}
        if latest < 0:
            raise JournalFailed(f"Redis Cluster: none of {len(nodes)} nodes says that it works")


def _at(node: Sequence[Any], asked: Endpoint) -> Endpoint:
    host = node[0].decode() if node[0] else ""
    return Endpoint(asked.host if host in ("", "?") else host, int(node[1]))


async def _poll(
    access: Access, nodes: Sequence[Endpoint], commands: Sequence[Sequence[str]]
) -> list[tuple[Endpoint, list[Any]]]:
    """Ask all at once; who does not answer all of it is not in the list."""
    answered: list[tuple[Endpoint, list[Any]]] = []
    now = asyncio.get_running_loop().time

    async def ask(at: Endpoint, patience: asyncio.Timeout) -> None:
        line = RedisLine(access, at)
        try:
            answers = await line.exchange(commands)
        except JournalFailed:
            return
        finally:
            await line.close()
        if not any(isinstance(answer, Exception) for answer in answers):
            answered.append((at, answers))
            if 2 * len(answered) > len(nodes):
                patience.reschedule(min(patience.when() or 0.0, now() + _STRAGGLER_S))

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ASK_S) as patience:
            await asyncio.gather(*(ask(at, patience) for at in nodes))
    return answered
