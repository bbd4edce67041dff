"""What a client process saw: lengths by leg and second, counts by second.

Every length runs from the INTENDED start: when the customer or agent meant to act, whether or not
the machine let them then. A server (or generator) that stalls therefore shows in every request that
was due meanwhile, and not in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import perf_counter, time  # noqa: TID251 - to compare with the server's clock
from typing import Any

from loadtest.runs.histogram import Histogram

LEGS = {
    "late": "generator: due to written",
    "durable": "submit: due to 201, durable",
    "refused": "submit: due to 503",
    "decided": "submit due to decision (agent was free)",
    "pushed": "decision to offer sent: the commit lies between",
    "seen": "offer sent to offer seen",
    "offer": "submit due to offer seen (agent was free)",
    "accept": "accept due to answer, durable",
    "connected": "accept due to contact connected at the desk",
    "put_through": "exchange puts a call through: due to answer, durable",
    "send": "agent's answer to who wrote, over a real protocol: due to answer, durable",
    "complete": "complete due to answer, durable",
    "freed": "agent freed to the next waiting contact's offer seen",
    "message": "customer's message due to seen at the desk",
    "abandon": "giving up due to answer, durable",
    "login": "login due to welcome",
    "resent": "command of a desk that lost its line before the answer: due to answer",
    "reconnect": "reconnect due to welcome",
}
"""The legs of a contact's way, in its order."""
REAL_LEGS = {
    "taken.sms": "text due to the centre's packet answered: durable",
    "offer.sms": "text due to offer seen at the desk (agent was free)",
    "message.sms": "customer's further text due to seen at the desk",
    "reply.sms": "agent's answer due to the SMS centre has it for the handset",
    "taken.email": "mail due to laid into our mailbox",
    "offer.email": "mail due to offer seen at the desk (agent was free)",
    "message.email": "customer's further mail due to seen at the desk",
    "reply.email": "agent's answer due to in the customer's mailbox",
    "taken.voice": "call due to answered by the PBX: durable",
    "offer.voice": "call due to offer seen at the desk (agent was free)",
    "rings.voice": "call due to the agent's phone rings (agent was free)",
    "hears.voice": "agent picks up, due to both hear each other",
    "ends.voice": "one hangs up, due to the other's phone is told",
}
"""Legs of customers who come over a real protocol, by channel, taken at their peers."""
AHEAD_S = time() - perf_counter()
"""The wall clock against the clock that is measured with, which all processes share (Linux)."""


class Measures:
    """All of one process, or of several together."""

    def __init__(self) -> None:
        self.start_s = 0.0
        self.legs: dict[str, dict[int, Histogram]] = {}
        self.counts: dict[str, dict[int, int]] = {}

    def record(self, leg: str, due_s: float, now_s: float) -> None:
        """A length, from when it was due."""
        second = int(due_s - self.start_s)
        by_second = self.legs.setdefault(leg, {})
        histogram = by_second.get(second)
        if histogram is None:
            histogram = by_second[second] = Histogram()
        histogram.record(now_s - due_s)

    def count(self, name: str, by: int = 1, at_s: float = 0.0) -> None:
        """It happened, now or at `at_s`."""
        second = int((at_s or perf_counter()) - self.start_s)
        by_second = self.counts.setdefault(name, {})
        by_second[second] = by_second.get(second, 0) + by

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "legs": {
                leg: {str(second): one.plain() for second, one in by_second.items()}
                for leg, by_second in self.legs.items()
            },
            "counts": {
                name: {str(second): count for second, count in by_second.items()}
                for name, by_second in self.counts.items()
            },
        }

    def add(self, plain: Mapping[str, Any]) -> None:
        """What another process saw."""
        for leg, by_second in plain["legs"].items():
            mine = self.legs.setdefault(leg, {})
            for second, one in by_second.items():
                mine.setdefault(int(second), Histogram()).merge(Histogram.of(one))
        for name, counts in plain["counts"].items():
            ours = self.counts.setdefault(name, {})
            for second, count in counts.items():
                ours[int(second)] = ours.get(int(second), 0) + count

    def leg(self, name: str, seconds: Iterable[int]) -> Histogram:
        """One leg over these seconds."""
        whole = Histogram()
        by_second = self.legs.get(name, {})
        for second in seconds:
            if second in by_second:
                whole.merge(by_second[second])
        return whole

    def total(self, name: str, seconds: Iterable[int] | None = None) -> int:
        """How often, over these seconds or in all."""
        by_second = self.counts.get(name, {})
        if seconds is None:
            return sum(by_second.values())
        return sum(by_second.get(second, 0) for second in seconds)


class Mark:
    """A contact's external id: which process brought it, and when it was due.

    So whoever sees the contact anywhere knows its intended start.
    """

    @staticmethod
    def make(index: int, number: int, due_s: float) -> str:
        """`due_s` by the shared clock."""
        return f"lt-{index}-{number}-{int(due_s * 1e6)}"

    @staticmethod
    def index(mark: str) -> int:
        """Which process."""
        return int(mark.split("-")[1])

    @staticmethod
    def due_s(mark: str) -> float:
        """When it was due."""
        return int(mark.rpartition("-")[2]) / 1e6


def shared_s(wall_us: int) -> float:
    """A moment of the server's wall clock on the shared clock."""
    return wall_us / 1e6 - AHEAD_S
