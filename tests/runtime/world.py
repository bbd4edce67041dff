"""A small world for the runtime: one queue, one agent, a real journal, a clock moved by hand."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from router.core import commands as c
from router.core.effects import Effect
from router.core.engine import Engine
from router.core.model import AgentId, ContactId, Presence, QueueId
from router.core.policy import (
    EntryPoint,
    Policy,
    Profile,
    ProfileQueue,
    Queue,
    default_channels,
)
from router.journal import Journal, KeyStore
from router.runtime.clock import ManualClock
from router.runtime.host import Host
from router.runtime.loop import Workspace
from router.runtime.metrics import Metrics

CARE = QueueId("care")
ANA = AgentId("ana")
SECRET = b"secret of the tests, 32 bytes..."
SECOND = 1_000_000


def make_policy() -> Policy:
    return Policy(
        version="test",
        channels=default_channels(),
        queues={CARE: Queue(id=CARE)},
        profiles={"care": Profile(id="care", queues=(ProfileQueue(queue=CARE),))},
        entry_points={
            "shop": EntryPoint(id="shop", channel="chat", queue=CARE, address="shop"),
            "line": EntryPoint(id="line", channel="voice", queue=CARE, address="+49301"),
            "texts": EntryPoint(id="texts", channel="sms", queue=CARE, address="+49302"),
        },
    )


@dataclass
class World:
    """Makes workspaces over one journal, and ends them after the test."""

    clock: ManualClock
    journal: Journal
    keys: KeyStore
    metrics: Metrics = field(default_factory=Metrics)
    effects: list[tuple[str, Effect]] = field(default_factory=list)
    _ends: list[Any] = field(default_factory=list)

    async def workspace(
        self,
        name: str = "main",
        *,
        journal: Journal | None = None,
        engine: Callable[..., Engine] = Engine,
        inbox: int = 4096,
    ) -> Workspace:
        workspace = Workspace(
            name,
            make_policy(),
            journal=journal or self.journal,
            keys=self.keys,
            secret=SECRET,
            clock=self.clock,
            metrics=Metrics().workspace(name),
            make_engine=engine,
            inbox=inbox,
        )
        workspace.perform = lambda id_, effect: self.effects.append((id_, effect))
        self._ends.append(workspace)
        await workspace.start()
        return workspace

    async def host(
        self, name: str = "main", journal: Journal | None = None, policy: Policy | None = None
    ) -> Host:
        host = Host(
            name,
            policy or make_policy(),
            journal=journal or self.journal,
            keys=self.keys,
            secret=SECRET,
            clock=self.clock,
            metrics=Metrics().workspace(name),
            inbox=4096,
            rng=random.Random(1),
        )
        self._ends.append(host)
        return host

    async def end(self) -> None:
        for ended in self._ends:
            await ended.stop()


def submit(contact: str, **fields: Any) -> c.SubmitContact:
    return c.SubmitContact(
        contact=ContactId(contact), **{"channel": "chat", "entry_point": "shop", **fields}
    )


async def with_ana(workspace: Workspace, endpoints: dict[str, str] | None = None) -> None:
    """Ana is there and ready."""
    await workspace.ask(c.PutAgent(agent=ANA, profile="care", endpoints=endpoints or {}))
    await workspace.ask(c.SetPresence(agent=ANA, presence=Presence.READY))


async def until(holds: Callable[[], object], *, turns: int = 10_000) -> None:
    """Let the loop turn until something holds; what a thread does (keys, files) takes as long as
    the machine likes."""
    for _ in range(turns):
        if holds():
            return
        await asyncio.sleep(0)
    with suppress(TimeoutError):
        async with asyncio.timeout(30):
            while not holds():  # noqa: ASYNC110 - a thread gives no signal here
                await asyncio.sleep(0.001)
            return
    raise AssertionError("it never came to hold")
