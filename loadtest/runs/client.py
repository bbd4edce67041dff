"""One client process of a run: its part of the customers and of the agents.

`python -m loadtest.runs.client` reads a plan (one line of JSON) from its standard input, then
commands, and answers each with a line. What it saw goes to a file at the end.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import uvloop

from loadtest.runs import arrivals
from loadtest.runs.beside import Beside
from loadtest.runs.crowd import Crowd
from loadtest.runs.desks import Agent
from loadtest.runs.measures import Mark, Measures
from loadtest.runs.profile import Profile
from loadtest.runs.writing import Notes

SIGN_IN_AT_ONCE = 32


class Seat(msgspec.Struct):
    """An agent of this process."""

    name: str
    token: str
    kind: int
    """Which of the profile's `agents`."""
    login_at_s: float | None


class Plan(msgspec.Struct):
    """What a client process is told first."""

    profile: Profile
    folder: str
    """Of the profile, for a trace."""
    seen: str
    """The file for what was seen."""
    port: int
    index: int
    of: int
    tokens: dict[str, str]
    seats: list[Seat]
    real: list[str] = []
    """Channels whose customers come over their own protocol, by a line."""


class Wish(msgspec.Struct):
    """A command."""

    do: str
    """``connect`` (`ports`), ``calibrate``, ``start``, ``tell`` or ``end``."""
    at_s: float = 0.0
    """When to start, by the shared clock."""
    base: float = 1.0
    ports: list[int] = []


class Hall:
    """Passes on, between processes, what agents and customers of one contact hear of each other.

    By UDP on loopback; what is lost when a process is behind only makes a customer less informed.
    """

    def __init__(self, index: int, crowd: Crowd) -> None:
        self._index, self._crowd = index, crowd
        self._transport: asyncio.DatagramTransport | None = None
        self._ports: list[int] = []

    async def open(self) -> int:
        """Listen; on which port."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: Ear(self._crowd), local_addr=("127.0.0.1", 0)
        )
        return int(self._transport.get_extra_info("sockname")[1])

    def connect(self, ports: list[int]) -> None:
        """Where all processes listen, by their index."""
        self._ports = ports

    def tell(self, what: str, mark: str, reservation: str) -> None:
        """To whoever brought the contact of this mark."""
        if not mark.startswith("lt-"):
            return
        index = Mark.index(mark)
        if index == self._index:
            self._crowd.told(what, mark, reservation)
        elif index < len(self._ports) and self._transport is not None:
            sentence = f"{what} {mark} {reservation}".encode()
            self._transport.sendto(sentence, ("127.0.0.1", self._ports[index]))

    def close(self) -> None:
        """No more."""
        if self._transport is not None:
            self._transport.close()


class Ear(asyncio.DatagramProtocol):
    """Hears what agents of other processes say."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd

    def datagram_received(self, data: bytes, addr: object) -> None:
        """One sentence."""
        what, mark, reservation = data.decode().split(" ")
        self._crowd.told(what, mark, reservation)


class Client:
    """The process."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.measures = Measures()
        rng = random.Random(f"{plan.profile.seed}/{plan.index}")
        self.rng = rng
        self.notes = Notes()
        submitted = [kind for kind in plan.profile.customers if kind.over == "api"]
        self.crowd = Crowd(
            plan.index, submitted, plan.tokens,
            port=plan.port, measures=self.measures, rng=rng,
        )  # fmt: skip
        self.hall = Hall(plan.index, self.crowd)
        self.agents = [
            Agent(
                seat.name, seat.token, plan.profile.agents[seat.kind],
                port=plan.port, measures=self.measures, tell=self.hall.tell, rng=rng,
                notes=self.notes, real=frozenset(plan.real),
            )
            for seat in plan.seats
        ]  # fmt: skip
        self._beside = Beside(f"client {plan.index}", self.measures)

    async def open(self) -> int:
        """Connect; agents who are there from the beginning sit down. The port of the hall."""
        port = await self.hall.open()
        await self.crowd.open()
        gate = asyncio.Semaphore(SIGN_IN_AT_ONCE)

        async def sit(agent: Agent) -> None:
            async with gate:
                await agent.come(perf_counter(), "first_login")

        early = [
            agent
            for agent, seat in zip(self.agents, self.plan.seats, strict=True)
            if seat.login_at_s is None
        ]
        await asyncio.gather(*map(sit, early))
        return port

    def start(self, at_s: float, base: float) -> None:
        """The day begins at `at_s`."""
        profile, measures = self.plan.profile, self.measures
        measures.start_s = at_s
        measures.legs.clear()
        measures.counts.clear()
        share = arrivals.share_of(profile.customers, "api") / self.plan.of
        drawn = arrivals.moments(profile.phases, self.rng, share, base)
        moments = ((moment_s, "") for moment_s in drawn)
        if profile.trace:
            file, index, of = Path(self.plan.folder) / profile.trace, self.plan.index, self.plan.of
            moments = (each for each in arrivals.recorded(file, index, of, profile.trace_speed))
        self._beside.spawn(self.crowd.come(at_s, moments))
        self._beside.watch_loop()
        loop = asyncio.get_running_loop()
        for agent, seat in zip(self.agents, self.plan.seats, strict=True):
            if seat.login_at_s is not None:
                due_s = at_s + seat.login_at_s
                loop.call_later(due_s - perf_counter(), self._log_in, agent, due_s)
        for cut in profile.cuts:
            theirs = [a for a in self.agents if cut.agents in {"", a.kind.name}]
            for agent in theirs[: round(len(theirs) * cut.share)]:
                loop.call_later(at_s + cut.at_s - perf_counter(), agent.cut, cut.back_within_s)

    def _log_in(self, agent: Agent, due_s: float) -> None:
        self._beside.spawn(agent.come(due_s, "login"))

    def tally(self) -> dict[str, int]:
        """How it stands, for the line that shows progress."""
        totals = {name: self.measures.total(name) for name in ("due", "taken", "shed", "served")}
        open_ = self.crowd.unanswered + sum(agent.unanswered for agent in self.agents)
        return {**totals, "unanswered": open_}

    def end(self) -> None:
        """Leave everything; write down what was seen."""
        self._beside.rest()
        unanswered = self.crowd.unanswered
        for agent in self.agents:
            agent.leave()
        self.crowd.close()
        self.hall.close()
        seen = {
            **self.measures.plain(),
            "unanswered": unanswered,
            "acknowledged": self.crowd.acknowledged,
            "accepted": [[agent.kind.workspace, id_] for agent in self.agents
                         for id_ in agent.accepted],
            "notes": msgspec.to_builtins(self.notes),
        }  # fmt: skip
        Path(self.plan.seen).write_bytes(msgspec.json.encode(seen))


async def serve() -> None:
    """Until the command to end, or the end of the standard input."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    client = Client(msgspec.json.decode(await lines.readline(), type=Plan))
    _say({"port": await client.open()})
    async for line in lines:
        wish = msgspec.json.decode(line, type=Wish)
        match wish.do:
            case "connect":
                client.hall.connect(wish.ports)
                _say({"connected": True})
            case "calibrate":
                profile = client.plan.profile
                at_once = -(-profile.at_once // client.plan.of)
                served = await client.crowd.stay(profile.calibrate_s, at_once)
                _say({"served": served, "whole": client.crowd.over})
            case "start":
                client.start(wish.at_s, wish.base)
                _say({"started": True})
            case "tell":
                _say(client.tally())
            case _:  # "end"
                client.end()
                _say({"ended": True})
                return


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(serve())
