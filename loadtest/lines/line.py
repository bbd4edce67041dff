"""A line: customers who come over one protocol, and the peer between them and the server.

`python -m loadtest.lines.line` is one line in a process of its own. It reads a plan (one line of
JSON) from its standard input, starts its peer, says how the server finds it, then obeys commands.
When its standard input ends it ends its peer and itself.
"""

from __future__ import annotations

import asyncio
import random
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import uvloop

from loadtest.lines.book import Book
from loadtest.runs import arrivals
from loadtest.runs.beside import Beside
from loadtest.runs.measures import Measures
from loadtest.runs.profile import CHANNEL, Customers, Profile, Span
from loadtest.runs.spans import drawn

AHEAD_S = 0.002


class Plan(msgspec.Struct):
    """What a line is told first."""

    profile: Profile
    over: str
    seen: str
    """The file for what was seen."""
    place: str
    """A directory for what the server must read: passwords."""
    phones: dict[str, int] = {}
    """Agents who have one, and which of the profile's `agents` they are."""


class Wish(msgspec.Struct):
    """A command."""

    do: str
    """``start`` (`at_s`), ``tell`` or ``end``."""
    at_s: float = 0.0


class Line(ABC):
    """One peer with its customers; subclasses are the protocols."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.measures = Measures()
        self.rng = random.Random(f"{plan.profile.seed}/{plan.over}")
        self.book = Book(plan.over)
        self.channel = CHANNEL[plan.over]
        self.kinds = [kind for kind in plan.profile.customers if kind.over == plan.over]
        self.address = str(
            plan.profile.router["entry_points"][self.kinds[0].entry_point]["address"]
        )
        """Ours, to which they write or which they dial."""
        self.number = 0
        self.beside = Beside(f"line {plan.over}", self.measures)

    @abstractmethod
    async def open(self) -> dict[str, Any]:
        """Start the peer. Settings of the adapter that talks to it."""

    @abstractmethod
    def come(self, due_s: float, kind: Customers) -> None:
        """A customer comes."""

    @property
    @abstractmethod
    def got(self) -> int:
        """How many of the agents' answers have arrived so far."""

    @abstractmethod
    async def finish(self) -> None:
        """The day is over: what arrived is counted, at the peer itself."""

    @abstractmethod
    async def close(self) -> None:
        """No process is left; may be called at any time."""

    # --- the day ------------------------------------------------------------------------------

    def start(self, at_s: float) -> None:
        """The day begins at `at_s`."""
        profile = self.plan.profile
        self.measures.start_s = at_s
        share = arrivals.share_of(profile.customers, self.plan.over)
        self.beside.spawn(self._arrive(at_s, arrivals.moments(profile.phases, self.rng, share)))
        self.beside.watch_loop()

    async def _arrive(self, start_s: float, moments: Iterator[float]) -> None:
        """The open loop: each when they are due, whatever became of those before."""
        shares = [kind.share for kind in self.kinds]
        for at_s in moments:
            due_s = start_s + at_s
            wait_s = due_s - perf_counter()
            if wait_s > AHEAD_S:
                await asyncio.sleep(wait_s)
            self.number += 1
            self.count("due", due_s)
            self.come(due_s, self.rng.choices(self.kinds, shares)[0])
            self.measures.record("late", due_s, perf_counter())

    # --- for subclasses -----------------------------------------------------------------------

    def count(self, name: str, at_s: float = 0.0) -> None:
        """In all, and for the channel."""
        self.measures.count(name, at_s=at_s)
        self.measures.count(f"{name}.{self.channel}", at_s=at_s)

    def record(self, leg: str, due_s: float, now_s: float) -> None:
        """A length of this channel."""
        self.measures.record(f"{leg}.{self.channel}", due_s, now_s)

    def later(self, span: Span, do: Callable[..., None], *about: Any) -> asyncio.TimerHandle:
        """Act after a drawn time; the moment that was meant is handed on first."""
        wait_s = drawn(span, self.rng)
        due_s = perf_counter() + wait_s
        return asyncio.get_running_loop().call_later(wait_s, do, due_s, *about)

    def tally(self) -> dict[str, int]:
        """How it stands."""
        totals = {name: self.measures.total(name) for name in ("due", "taken")}
        return {**totals, "got": self.got}

    async def end(self) -> None:
        """Count, and write down what was seen."""
        await self.finish()
        self.beside.rest()
        seen = {**self.measures.plain(), "book": msgspec.to_builtins(self.book)}
        file = Path(self.plan.seen)
        await asyncio.to_thread(file.write_bytes, msgspec.json.encode(seen))


def of(plan: Plan) -> Line:
    """The line that a plan asks for."""
    if plan.over == "smpp":
        from loadtest.lines.texts import Texts

        return Texts(plan)
    if plan.over == "mail":
        from loadtest.lines.post import Post

        return Post(plan)
    from loadtest.lines.calls import Calls

    return Calls(plan)


async def serve() -> None:
    """Until the command to end, or the end of the standard input."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    line = of(msgspec.json.decode(await lines.readline(), type=Plan))
    try:
        _say({"adapter": await line.open()})
        async for text in lines:
            wish = msgspec.json.decode(text, type=Wish)
            match wish.do:
                case "start":
                    line.start(wish.at_s)
                    _say({"started": True})
                case "tell":
                    _say(line.tally())
                case _:  # "end"
                    await line.end()
                    _say({"ended": True})
                    return
    finally:
        line.beside.rest()
        await line.close()


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(serve())
