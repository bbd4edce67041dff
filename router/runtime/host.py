"""One workspace and all that serves it: made together, started and stopped in the right order."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from router.core import commands as c
from router.core.events import ContactClosed, PolicyApplied
from router.core.model import AgentId
from router.core.policy import Policy
from router.core.statistics import Measures
from router.errors import Refused, RouterError
from router.journal import ArchiveWrite, Journal, KeyStore, Ownership
from router.runtime.channels import AdapterSettings, Channels
from router.runtime.clock import Clock
from router.runtime.desks import Desks
from router.runtime.erasure import finish as finish_erasures
from router.runtime.feed import Subscription
from router.runtime.intake import Intake
from router.runtime.learning import Learner
from router.runtime.lease import Lease
from router.runtime.logs import log_event
from router.runtime.loop import Workspace
from router.runtime.messages import Messages
from router.runtime.metrics import WorkspaceMetrics
from router.runtime.preferences import Preferences
from router.runtime.profiles import Profiles
from router.runtime.sending import Sending
from router.runtime.tasks import TaskSet
from router.runtime.tracing import Tracing
from router.runtime.warm import Warm
from router.runtime.webhooks import Webhook, Webhooks

log = logging.getLogger("router.host")

FOLD_EVENTS = 200_000
"""A log that is whole and not longer than this is folded into the measures at start."""


class AgentSeed(Protocol):
    """An agent that the configuration makes at the first start."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def skills(self) -> dict[str, int]: ...  # noqa: D102
    @property
    def profile(self) -> str: ...  # noqa: D102
    @property
    def capacity(self) -> int | None: ...  # noqa: D102
    @property
    def maximum(self) -> dict[str, int]: ...  # noqa: D102
    @property
    def endpoints(self) -> dict[str, str]: ...  # noqa: D102
    @property
    def auto_accept(self) -> tuple[str, ...]: ...  # noqa: D102


class Host:
    """A workspace, served."""

    def __init__(
        self,
        name: str,
        policy: Policy,
        *,
        journal: Journal,
        keys: KeyStore,
        secret: bytes,
        clock: Clock,
        metrics: WorkspaceMetrics,
        inbox: int,
        rng: random.Random,
    ) -> None:
        self.name = name
        self.metrics = metrics
        self.workspace = Workspace(
            name,
            policy,
            journal=journal,
            keys=keys,
            secret=secret,
            clock=clock,
            metrics=metrics,
            inbox=inbox,
        )
        self.messages = Messages(self.workspace)
        self.intake = Intake(self.workspace, self.messages)
        self.desks = Desks(self.workspace, clock)
        self.profiles = Profiles(self.workspace, clock)
        self.channels = Channels(
            self.workspace, self.intake, self.messages, self.desks, self.profiles, clock, rng
        )
        book = self.workspace.customers
        self.learner = Learner(self.workspace, book)
        self.preferences = Preferences(self.learner, book, rng)
        self.sending = Sending(self.workspace, book, self.messages, self.preferences)
        self.channels.may_go = self.sending.may_go
        self.webhooks = Webhooks(self.workspace, clock, rng)
        self.measures = Measures(policy)
        self._tasks = TaskSet(f"host:{name}")
        self._stream: Subscription | None = None
        self._fold_from = 1
        self.workspace.perform = self.channels.perform
        self.workspace.on_loaded.append(self._loaded)
        self.workspace.on_stopped.append(self._lost)
        self.on_lost: Callable[[str], None] | None = None
        """Told why, when the workspace has ended by itself; set where there are several nodes."""

    def load(self, adapters: Mapping[str, AdapterSettings]) -> None:
        """Make the adapters. Raises ConfigError."""
        self.channels.load(adapters)

    async def start(
        self,
        agents: Sequence[AgentSeed],
        own: Ownership | None = None,
        lease: Lease | None = None,
        warm: Warm | None = None,
    ) -> None:
        """Own the workspace, restate what is open, make the agents that the file seeds.

        With several nodes it is `own` already, as long as the `lease` holds; `warm`: rows of it
        that were read before. Raises JournalBusy and
        JournalDamaged, and Fenced or Stopped if it is lost at once.
        """
        await self.workspace.start(own, lease, warm)
        self._tasks.spawn(self._record(), "record")
        self._tasks.spawn(self.intake.load(), "seen")
        self._tasks.spawn(self._fetch_keys(), "keys")
        self._tasks.spawn(self.workspace.customers.known.load(self.workspace), "customers")
        await finish_erasures(self.workspace)
        await self._seed(agents)

    def serve(self, webhooks: Sequence[Webhook]) -> None:
        """Begin with adapters, desks and webhooks: everything else is there."""
        self.channels.start()
        self.desks.start()
        self.webhooks.start(webhooks)

    def trace(self, tracing: Tracing) -> None:
        """Tell traces of every contact, from now on."""
        state = self.workspace.engine.state
        trail = tracing.trail(self.name, state.contacts.values(), state.reservations.values())
        self.workspace.feed.tap(trail.tap)
        self.intake.trail = trail
        self.channels.follow(trail)

    def left_out(self) -> list[str]:
        """In words: profiles that the settings have no more, and who has them still."""
        found: dict[str, list[str]] = {}
        for agent in self.workspace.engine.state.agents.values():
            if agent.profile and agent.profile not in self.workspace.policy.profiles:
                found.setdefault(agent.profile, []).append(agent.id)
        return [
            f"{self.name}: there is no profile {profile!r} any more: {len(agents)} agents who have"
            f" it are offered nothing ({', '.join(sorted(agents)[:5])})"
            for profile, agents in sorted(found.items())
        ]

    async def apply(self, policy: Policy, by: str) -> None:
        """New settings. Raises what `Workspace.ask` raises."""
        await self.workspace.apply(policy, by)

    async def say_goodbye(self, reason: str = "stopping") -> None:
        """Desks and adapters end; nothing new comes in by them. Safe to repeat."""
        await self.desks.stop(reason)
        await self.channels.stop()

    async def stop(self, reason: str = "stopping") -> None:
        """Adapters first, so that nothing new comes in; then what is under way is finished."""
        await self.say_goodbye(reason)
        await self.webhooks.stop()
        await self.workspace.stop()
        await self._tasks.stop()

    def refresh_gauges(self) -> None:
        """Before metrics are rendered."""
        self.metrics.gauges(
            self.workspace.engine.state,
            self.workspace.waiting_inputs(),
            self.desks.connected(),
            self.channels.due(),
        )

    async def _fetch_keys(self) -> None:
        contacts = self.workspace.engine.state.contacts.values()
        try:
            await self.workspace.keys.fetch({row.seal_key for row in contacts if row.seal_key})
        except RouterError as error:
            log.warning("keys not read ahead", extra={"error": str(error)})

    # --- following the events -----------------------------------------------------------------

    def _loaded(self) -> None:
        """The rows are in memory as committed: begin to count from here."""
        state = self.workspace.engine.state
        self.metrics.seed(state)
        if self.workspace.seq > FOLD_EVENTS or self.workspace.oldest_seq > 1:
            self._fold_from = self.workspace.seq + 1
            self.measures.adopt(
                state.contacts.values(),
                state.reservations.values(),
                state.agents.values(),
                self.workspace.now_us(),
            )
        self.channels.recover()

    async def _record(self) -> None:
        """Fold every event into measures and metrics, and write its log line."""
        fresh_from = self.workspace.own.seq + 1
        self._stream = stream = self.workspace.feed.subscribe(self._fold_from)
        count, measure = self.metrics.apply, self.measures.apply
        is_verbose = logging.getLogger("router.contact").isEnabledFor(logging.DEBUG)
        while items := await stream.insist():
            for seq, event in items:
                measure(event)
                if seq >= fresh_from:
                    count(event)
                    if is_verbose or type(event) is ContactClosed:
                        log_event(self.name, seq, event)
                if type(event) is PolicyApplied:
                    self.measures.use(self.workspace.policy)

    def _lost(self, why: str) -> None:
        """The loop has ended by itself: close what hangs on it."""
        self._tasks.spawn(self.desks.stop("moved"), "desks")
        self._tasks.spawn(self.channels.stop(), "channels")
        if self.on_lost is not None:
            self.on_lost(why)

    # --- seeding ------------------------------------------------------------------------------

    async def _seed(self, agents: Sequence[AgentSeed]) -> None:
        """Make each agent of the file once; a deleted or changed one stays as it is."""
        workspace = self.workspace
        ids = [agent.id for agent in agents]
        done = await workspace.journal.fetch(workspace.own, "seed", ids)
        for agent in agents:
            if agent.id in done or AgentId(agent.id) in workspace.engine.state.agents:
                continue
            command = c.PutAgent(
                agent=AgentId(agent.id),
                name=agent.name,
                skills=agent.skills,
                profile=agent.profile,
                capacity=agent.capacity or 0,
                maximum=agent.maximum,
                endpoints=agent.endpoints,
                auto_accept=agent.auto_accept,
                version=0,
                by="config",
            )
            seed = ArchiveWrite("seed", agent.id, workspace.now_us(), b"1")
            try:
                await workspace.ask(command, [seed])
            except Refused as error:
                log.warning("agent not made", extra={"agent": agent.id, "why": str(error)})
