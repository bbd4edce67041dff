"""Traffic that is recorded into a real journal: drawn worlds, and the demo's people on a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import msgspec

from router import app
from router.config import AdapterSettings
from router.config.server import Durability
from router.core import commands as c
from router.core import events as e
from router.core.engine import Engine, Outcome
from router.core.policy import Policy
from router.demo_server import VISITORS
from router.journal import AppendResult, Commit
from router.journal.codec import encode_event
from router.journal.sqlite import SqliteJournal
from router.replay.driver import Driver
from router.replay.fates import OUTSIDE
from router.replay.people import People
from router.replay.reading import Reader
from router.replay.recording import Recording
from router.replay.stored import open_past
from router.runtime.clock import SystemClock, Timer
from router.runtime.demo import Demo
from router.testing.simulator import Simulation
from router.testing.workload import Workload

Frames = list[tuple[int, list[e.Event]]]
WORKSPACE = "main"
ROOT = Path(__file__).parents[2]
SETTINGS = (e.PolicyApplied, e.ChannelPaused, e.ChannelResumed)
NOT_ASKED = tuple(kind for kind in OUTSIDE if kind not in SETTINGS)
"""Events of inputs that a replay does not give again."""


class RecordedWorld(Simulation):
    """A simulated day with everything in it but restarts and new policies; keeps its frames."""

    def __init__(self, seed: int, steps: int = 200) -> None:
        super().__init__(seed, steps)
        self.crash_rate = 0.0
        kinds = dict(zip(self.workload._kinds, self.workload._weights, strict=True))
        del kinds[Workload._new_policy]
        self.workload._kinds, self.workload._weights = list(kinds), list(kinds.values())
        self.frames: Frames = []

    def _pass_time(self, until_us: int) -> None:
        while (due_us := self.engine.next_deadline()) is not None and due_us <= until_us:
            self.now_us = max(self.now_us, due_us)
            self._advance()
            self._commit()
        self.now_us = max(self.now_us, until_us)

    def _commit(self) -> None:
        if self._frame:
            self.frames.append((self.now_us, list(self._frame)))
        super()._commit()


class Day:
    """An engine driven by hand, each command at its moment."""

    def __init__(self, policy: Policy) -> None:
        self.engine = Engine(policy)
        self.frames: Frames = []

    def at(self, at_us: int, command: c.Command | None = None) -> list[e.Event]:
        """Let time pass, and give a command."""
        while (due_us := self.engine.next_deadline()) is not None and due_us <= at_us:
            self._keep(self.engine.advance(due_us), due_us)
        if command is None:
            return []
        return self._keep(self.engine.handle(command, at_us), at_us)

    def _keep(self, outcome: Outcome, at_us: int) -> list[e.Event]:
        self.engine.state.drain()
        if outcome.events:
            self.frames.append((at_us, outcome.events))
        return outcome.events


async def write(directory: Path, frames: Frames) -> None:
    """The frames as the journal of a stopped server."""
    journal = SqliteJournal(directory, durability="process")
    own = await journal.acquire(WORKSPACE)
    seq = own.seq
    for at_us, events in frames:
        commit = Commit(seq + 1, at_us, [encode_event(event) for event in events])
        assert await journal.append(own, commit) is AppendResult.OK
        seq = commit.last_seq
    await journal.release(own)
    await journal.close()


def read(directory: Path, policy: Policy) -> tuple[Recording, list[e.Event]]:
    """What a journal gives, and its events."""
    reader, events = Reader(policy), []
    with open_past(directory, WORKSPACE) as past:
        for seq, event in past.events():
            reader.take(seq, event)
            events.append(event)
    return reader.finish(), events


def again(recording: Recording, policy: Policy, *, seed: int = 1) -> tuple[list[e.Event], Driver]:
    """The events of a replay."""
    found: list[e.Event] = []
    driver = Driver(recording, policy, People(recording, seed), see=found.append)
    driver.run(recording.last_us)
    return found, driver


def decided(events: list[e.Event]) -> list[e.Event]:
    """Without what no replay repeats."""
    return [event for event in events if not isinstance(event, NOT_ASKED)]


class FastClock(SystemClock):
    """A day at many times its pace, from a Tuesday morning on. While the machine holds the process
    up it stands still: how late a server may be is no matter of the machine that tests it."""

    SPEED = 10
    FIRST_US = 1_773_133_200_000_000  # 2026-03-10 09:00 UTC
    LOOK_S, MOST_US = 0.005, 20_000
    """Looked at so often; of a longer time between two looks only so much has passed."""

    def __init__(self) -> None:
        super().__init__()
        self._looked_us = super().now_us()
        self._passed_us = 0

    def run(self) -> None:
        """Begin to look, until the loop ends."""
        self.now_us()
        asyncio.get_running_loop().call_later(self.LOOK_S, self.run)

    def now_us(self) -> int:
        now_us = super().now_us()
        self._passed_us += min(now_us - self._looked_us, self.MOST_US)
        self._looked_us = now_us
        return self.FIRST_US + self._passed_us * self.SPEED

    def call_at(self, at_us: int, callback: Callable[[], None]) -> Timer:
        return Alarm(self, at_us, callback)


class Alarm:
    """A call at a moment of a clock that may stand still in between."""

    def __init__(self, clock: FastClock, at_us: int, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._at_us = at_us
        self._callback = callback
        self._set()

    def _set(self) -> None:
        ahead_s = max(self._at_us - self._clock.now_us(), 0) / self._clock.SPEED / 1e6
        self._timer = asyncio.get_running_loop().call_later(ahead_s, self._ring)

    def _ring(self) -> None:
        if self._clock.now_us() < self._at_us:
            self._set()
        else:
            self._callback()

    def cancel(self) -> None:
        self._timer.cancel()


async def run_demo(config_path: Path, data: Path, *, contacts: int, seed: int) -> None:
    """The real server with the demo's simulated people, until so many contacts are closed."""
    config = app.load_config(config_path)
    # A disk that is slow to flush makes the server late in a day that runs ten times as fast.
    free = msgspec.structs.replace(config.server, port=0, durability=Durability.PROCESS)
    config = replace(config, server=free)
    settings = next(iter(config.workspaces.values()))
    settings.adapters[VISITORS] = AdapterSettings(type="loopback", channel="chat")
    clock = FastClock()
    clock.run()
    server = app.Server(config, config_path, data=data, clock=clock, rng=Random(seed))
    await server.start()
    closed, enough = 0, asyncio.Event()

    def count(found: list[object]) -> None:
        nonlocal closed
        closed += len(found)
        if closed >= contacts:
            enough.set()

    try:
        host = next(iter(server.hosts.values()))
        host.workspace.on_closed.append(count)  # type: ignore[arg-type]
        demo = Demo(host, server.clock, Random(seed))
        server.before_stop.append(demo.stop)
        demo.start()
        async with asyncio.timeout(200):  # it takes 30 s: its clock has a pace
            await enough.wait()
    finally:
        await server.stop()
