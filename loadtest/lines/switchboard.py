"""Starts the lines of a run, each in a process of its own, and ends whatever they have started."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from loadtest.lines import kinds
from loadtest.lines.book import Book
from loadtest.lines.line import Plan
from loadtest.runs.measures import Measures
from loadtest.runs.profile import CHANNEL, Profile
from loadtest.server import ROOT, Server

READY_S = 90.0
UP_S = 60.0
ANSWER_S = 60.0
CLOSE_S = 30.0
ARRIVE_S = 20.0
"""So long answers that the server took may still be on their way to customers."""


class NoLine(Exception):
    """A line's peer did not start; the text says why."""


class Switchboard:
    """All lines of one run."""

    def __init__(self, profile: Profile, place: Path) -> None:
        """`place`: a directory for what they write."""
        self.adapters: dict[str, dict[str, Any]] = {}
        """Settings for the server's configuration, by name."""
        self.left_out: dict[str, str] = {}
        """Why nobody comes over this, by protocol."""
        self.books: list[Book] = []
        self._profile = profile
        self._place = place
        self._lines: dict[str, asyncio.subprocess.Process] = {}
        for over in profile.lines:
            if reason := kinds.missing(over):
                self.left_out[over] = reason

    @property
    def channels(self) -> list[str]:
        """Which channels come over a line of their own."""
        return [CHANNEL[over] for over in self._lines]

    @property
    def phones(self) -> dict[str, int]:
        """Agents whose phones are at the PBX, and their group."""
        groups = enumerate(self._profile.agents)
        return {
            f"{agents.name}{number:04}": kind
            for kind, agents in groups
            if agents.phone
            for number in range(agents.count)
        }

    async def open(self) -> None:
        """Start them, side by side. Raises NoLine."""
        there = [over for over in self._profile.lines if over not in self.left_out]
        await asyncio.gather(*map(self._start, there))

    async def _start(self, over: str) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "loadtest.lines.line", cwd=ROOT, limit=1 << 24,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._lines[over] = process
        phones = self.phones if over == "sip" else {}
        seen, place = str(self._seen(over)), str(self._place)
        plan = Plan(self._profile, over, seen, place, phones)
        await _write(process, msgspec.json.encode(plan))
        self.adapters[over] = (await _hear(over, process, READY_S))["adapter"]

    def _seen(self, over: str) -> Path:
        return self._place / f"line-{over}.json"

    async def until_up(self, server: Server) -> None:
        """Until the server has each of them. Raises NoLine."""
        until = perf_counter() + UP_S
        while True:
            health = await server.good("GET", "/v1/health")
            adapters = [one for found in health["adapters"].values() for one in found]
            states = {one["name"]: one for one in adapters}
            waits = [over for over in self._lines if states.get(over, {}).get("state") != "up"]
            if not waits:
                return
            if perf_counter() > until:
                found = {over: states.get(over) for over in waits}
                raise NoLine(f"not up after {UP_S:.0f} s: {found}; {server.log_end()}")
            await asyncio.sleep(0.05)  # another process: only asking tells

    # --- the day ------------------------------------------------------------------------------

    async def start(self, at_s: float) -> None:
        """The day begins at `at_s`."""
        await self._ask_all({"do": "start", "at_s": at_s})

    async def tally(self) -> dict[str, int]:
        """How it stands, all together; answers that arrived by channel."""
        told = await self._ask_all({"do": "tell"})
        total = {name: sum(one[name] for one in told.values()) for name in ("due", "taken")}
        return {**total, **{f"got.{CHANNEL[over]}": one["got"] for over, one in told.items()}}

    async def settle(self, answers: dict[str, int]) -> None:
        """Until as many answers have arrived as the server took, by channel, or ARRIVE_S."""
        until = perf_counter() + ARRIVE_S
        while perf_counter() < until:
            told = await self.tally()
            if all(told.get(f"got.{c}", 0) >= count for c, count in answers.items()):
                return
            await asyncio.sleep(0.1)  # another process: only asking tells

    async def end(self, measures: Measures) -> None:
        """The day is over: what they saw."""
        await self._ask_all({"do": "end"})
        for over in self._lines:
            seen = json.loads(self._seen(over).read_bytes())
            measures.add(seen)
            self.books.append(msgspec.convert(seen["book"], Book))

    async def close(self) -> None:
        """Every one has ended with its peer; one that does not is killed."""
        for process in self._lines.values():
            assert process.stdin is not None, "a pipe was asked for"
            process.stdin.close()
        for process in self._lines.values():
            try:
                await asyncio.wait_for(process.wait(), CLOSE_S)
            except TimeoutError:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def _ask_all(self, wish: dict[str, Any]) -> dict[str, dict[str, Any]]:
        line = msgspec.json.encode(wish)
        await asyncio.gather(*(_write(process, line) for process in self._lines.values()))
        told = await asyncio.gather(
            *(_hear(over, process, ANSWER_S) for over, process in self._lines.items())
        )
        return dict(zip(self._lines, told, strict=True))


async def _write(process: asyncio.subprocess.Process, line: bytes) -> None:
    assert process.stdin is not None, "a pipe was asked for"
    process.stdin.write(line + b"\n")
    await process.stdin.drain()


async def _hear(over: str, process: asyncio.subprocess.Process, within_s: float) -> dict[str, Any]:
    assert process.stdout is not None, "a pipe was asked for"
    async with asyncio.timeout(within_s):
        line = await process.stdout.readline()
    if not line:
        raise NoLine(f"the line over {over} ended; its error stands above")
    found: dict[str, Any] = json.loads(line)
    return found
