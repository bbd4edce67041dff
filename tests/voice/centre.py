"""A contact centre for call stories: the real engine and runtime here, one PBX beside them.

Agents are driven by commands, as their desks do it; what comes of it is asked of the PBX. Waiting
is by signal: each event of the workspace and each change at the PBX wakes whoever waits.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from router import config
from router.channel import Address, NewContact
from router.core import commands as c
from router.core.commands import Command
from router.core.events import Event
from router.core.model import (
    AgentId,
    Contact,
    ContactId,
    ContactState,
    Direction,
    MonitorMode,
    Presence,
    QueueId,
    Reservation,
    ReservationState,
)
from router.errors import JournalFailed, NotFound
from router.journal.keys import BlockKeys, MemoryBlocks
from router.journal.memory import MemoryJournal
from router.runtime.clock import SystemClock
from router.runtime.envelope import address_of, open_envelope
from router.runtime.host import Host
from router.runtime.intake import Routing
from router.runtime.loop import Answer
from router.runtime.metrics import Metrics
from tests.voice.pbx import Pbx

WITHIN_S = 30.0
"""So long may anything take that a story waits for."""
LOOK_AGAIN_S = 0.05
SECRET = b"secret of the stories, 32 bytes."
LINE = "+4930555100"
"""The number that customers dial."""
CONFIG = """
queues:
  care:
    offer: {timeout: OFFER, parallel: PARALLEL}
    decline: {on_miss: cool_down, cool_down: 30s}
    wrap_up: {voice: WRAP_UP}
    TREATMENT
    QUEUE
  second: {wrap_up: {voice: WRAP_UP}}
entry_points:
  line: {channel: voice, address: "+4930555100", queue: care}
profiles:
  care: {care: 1}
  second: {second: 1}
agents:
AGENTS
adapters:
  pbx: {type: KIND, channel: voice, SETTINGS}
contacting: {windows: {}, limits: {}, consent_otherwise: opt_out}
"""
PROFILES = {"ana": "care", "bo": "care", "cem": "second", "sue": "second"}


class Centre:
    """The centre, its agents (ana and bo for queue care, cem and sue for queue second)."""

    def __init__(
        self,
        pbx: Pbx,
        directory: Path,
        *,
        offer: str = "60s",
        parallel: int = 1,
        wrap_up: str = "0",
        treatment: dict[str, object] | None = None,
        queue: str = "",
        settings: dict[str, object] | None = None,
    ) -> None:
        self.pbx = pbx
        self.events: list[Event] = []
        """All that the workspace decided, from the first start on."""
        self._file = directory / "centre.yaml"
        self._words = {
            "OFFER": offer, "PARALLEL": str(parallel), "WRAP_UP": wrap_up,
            "TREATMENT": f"treatment: {json.dumps(treatment)}" if treatment else "",
            "QUEUE": queue,
        }  # fmt: skip
        self._settings = settings or {}
        self._changed = asyncio.Event()
        self._journal = MemoryJournal()
        self._keys: BlockKeys | None = None
        self._host: Host | None = None
        self._follower: asyncio.Task[None] | None = None
        self._seen = 0
        pbx.on_change = self._changed.set

    # -- its life ------------------------------------------------------------------------------

    async def __aenter__(self) -> Centre:
        await self.pbx.start()
        self._keys = await BlockKeys.open(MemoryBlocks())
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
        if self._keys is not None:
            await self._keys.close()
        await self.pbx.stop()

    async def open(self) -> None:
        """Start the router; after `close` it is the next one, over the same journal."""
        assert self._keys is not None
        [settings] = config.load(self._write_config()).workspaces.values()
        self._host = host = Host(
            "main",
            settings.policy,
            journal=self._journal,
            keys=self._keys,
            secret=SECRET,
            clock=SystemClock(),
            metrics=Metrics().workspace("main"),
            inbox=4096,
            rng=random.Random(1),
        )
        host.load(settings.adapters)
        await host.start(settings.agents)
        self._follower = asyncio.get_running_loop().create_task(self._follow(host))
        host.serve([])
        await self.until(self.adapter_is, "up")

    async def close(self) -> None:
        """Stop the router; calls stay as they are at the PBX."""
        if self._host is not None:
            await self._host.stop()
            self._host = None
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)

    async def restart(self) -> None:
        """The router ends in the middle of what it does, and another one begins."""
        await self.close()
        await self.open()

    def _write_config(self) -> Path:
        text = CONFIG
        settings = {**self.pbx.settings(), **self._settings}
        agents = "".join(
            f"  {name}: {{profile: {profile},"
            f" endpoints: {{voice: {json.dumps(self.pbx.endpoint(name))}}}}}\n"
            for name, profile in PROFILES.items()
        )
        pairs = ", ".join(f"{key}: {json.dumps(value)}" for key, value in settings.items())
        words = {"KIND": self.pbx.kind, "SETTINGS": pairs, "AGENTS": agents, **self._words}
        for word, value in words.items():
            text = text.replace(word, value)
        self._file.write_text(text)
        return self._file

    async def _follow(self, host: Host) -> None:
        stream = host.workspace.feed.subscribe(self._seen + 1)
        while items := await stream.batch():
            for seq, event in items:
                self._seen = seq
                self.events.append(event)
            self._changed.set()

    # -- its store -----------------------------------------------------------------------------

    async def lose_store(self) -> None:
        """Nothing can be saved from now on, and the router has noticed."""
        self._journal.cut_off = JournalFailed("no store")
        assert self._host is not None
        trial = c.SetPresence(agent=AgentId("sue"), presence=Presence.READY)
        answer = self._host.workspace.put(trial)  # nobody waits: it may take until the story's end
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())

        await self.until(self.can_save, is_=False)

    async def can_save(self) -> bool:
        """Whether the router can save."""
        assert self._host is not None
        return not self._host.workspace.suspended

    def find_store(self) -> None:
        """It is back."""
        self._journal.cut_off = None

    # -- agents and supervisors at their desks ---------------------------------------------------

    async def ask(self, command: Command) -> Answer:
        """A command as a desk gives it."""
        assert self._host is not None
        return await self._host.workspace.ask(command)

    async def ready(self, *agents: str) -> None:
        """They want contacts, in this order."""
        for agent in agents:
            await self.ask(c.SetPresence(agent=AgentId(agent), presence=Presence.READY))

    async def accept(self, agent: str) -> None:
        """At the desk, before the phone is picked up."""
        held = await self.reservation(agent, ReservationState.OFFERED)
        await self.ask(c.AcceptOffer(reservation=held.id, agent=AgentId(agent)))

    async def complete(self, agent: str) -> None:
        """The agent ends the contact at the desk."""
        held = await self.reservation(agent)
        await self.ask(c.CompleteContact(contact=held.contact, agent=AgentId(agent)))

    async def hold(self, agent: str, on: bool = True) -> None:
        """The customer on hold, or back."""
        held = await self.reservation(agent)
        kind = c.HoldCustomer if on else c.ResumeCustomer
        await self.ask(kind(contact=held.contact, agent=AgentId(agent)))

    async def transfer(self, agent: str, *, queue: str = "", to: str = "") -> None:
        """Blind: to a queue, or to an agent."""
        held = await self.reservation(agent)
        await self.ask(
            c.TransferContact(
                contact=held.contact, agent=AgentId(agent), queue=QueueId(queue),
                target_agent=AgentId(to),
            )
        )  # fmt: skip

    async def consult(self, agent: str, *, queue: str = "", to: str = "") -> None:
        """Ask a colleague; the customer is on hold meanwhile."""
        held = await self.reservation(agent)
        await self.ask(
            c.StartConsult(
                contact=held.contact, consult=ContactId(f"{held.contact}-consult"),
                agent=AgentId(agent), queue=QueueId(queue), target_agent=AgentId(to),
            )
        )  # fmt: skip

    async def end_consult(self, agent: str, *, hand_over: bool) -> None:
        """Hand over to the colleague, or go on alone."""
        held = await self.reservation(agent)
        await self.ask(
            c.EndConsult(contact=held.contact, agent=AgentId(agent), hand_over=hand_over)
        )

    async def conference(self, agent: str, *, together: bool) -> None:
        """Customer, agent and colleague together, or apart."""
        held = await self.reservation(agent)
        await self.ask(
            c.SetConference(contact=held.contact, agent=AgentId(agent), together=together)
        )

    async def monitor(self, supervisor: str, agent: str, mode: MonitorMode) -> None:
        """The supervisor listens to the agent, whispers, or barges in."""
        held = await self.reservation(agent)
        await self.ask(
            c.StartMonitor(
                contact=held.contact, monitor=f"m-{supervisor}", agent=AgentId(supervisor),
                mode=mode, by=supervisor,
            )
        )  # fmt: skip

    async def stop_monitor(self, supervisor: str) -> None:
        """The supervisor has heard enough."""
        await self.ask(c.EndMonitor(monitor=f"m-{supervisor}", by=supervisor))

    async def record(self, agent: str, *, on: bool) -> None:
        """Record the call, or pause."""
        held = await self.reservation(agent)
        await self.ask(c.RecordCall(contact=held.contact, on=on, agent=AgentId(agent)))

    async def put_question(
        self, customer: str, prompt: str, *, choices: dict[str, str] | None = None,
        digits: int = 1, within_s: float = 10.0,
    ) -> None:  # fmt: skip
        """A rule, or a supervisor, asks the caller something."""
        contact = self.find(customer)
        assert contact is not None
        await self.ask(
            c.CollectInput(
                contact=contact.id, name="choice", prompt=prompt, choices=choices or {},
                digits=digits, timeout_us=int(within_s * 1e6),
            )
        )  # fmt: skip

    async def call_back(self, customer: str) -> None:
        """Somebody asks that this customer be called."""
        assert self._host is not None
        await self._host.intake.submit(
            NewContact(external_id="", customer=Address(address=customer)),
            "voice",
            by="desk",
            routing=Routing(direction=Direction.CALLBACK, queue="care"),
        )

    def answer_of(self, customer: str) -> object:
        """What the caller answered to the question; None: nothing yet."""
        contact = self.find(customer)
        return contact.attributes.get("input.choice") if contact is not None else None

    async def counted(self, kind: str) -> int:
        """How many events of this kind there were, by all that was decided until now."""
        await self.until(self.all_is_told)
        return self.said(kind)

    def said(self, kind: str) -> int:
        """How many events of this kind have come until now."""
        return sum(type(event).__name__ == kind for event in self.events)

    # -- what can be asked of the router -----------------------------------------------------------

    def contacts(self) -> list[Contact]:
        """Live contacts, oldest first, consults too."""
        assert self._host is not None
        return list(self._host.workspace.engine.state.contacts.values())

    def find(self, customer: str) -> Contact | None:
        """This customer's live contact."""
        assert self._host is not None
        sealer = self._host.workspace.sealer
        for contact in self.contacts():
            address = address_of(open_envelope(sealer, contact)).address
            if address == customer and not contact.consult_of:
                return contact
        return None

    async def is_in(self, customer: str, state: str) -> bool:
        """Whether the customer's contact is in this state; ``closed`` when there is none."""
        contact = self.find(customer)
        return (contact.state.value if contact is not None else "closed") == state

    async def reservation(self, agent: str, state: ReservationState | None = None) -> Reservation:
        """What the agent has, waited for. Raises TimeoutError."""
        found: list[Reservation] = []

        async def has_it() -> bool:
            assert self._host is not None
            over = (ReservationState.WRAPPING, ReservationState.DONE)
            found[:] = [
                r
                for r in self._host.workspace.engine.state.reservations.values()
                if r.agent == agent and (r.state is state if state else r.state not in over)
            ]
            return bool(found)

        await self.until(has_it)
        return found[-1]

    async def has(self, agent: str, state: str) -> bool:
        """Whether the agent has a reservation in this state; ``nothing``: none at all."""
        assert self._host is not None
        states = [
            r.state.value
            for r in self._host.workspace.engine.state.reservations.values()
            if r.agent == agent
        ]
        return state in states if state != "nothing" else not states

    async def adapter_is(self, state: str) -> bool:
        """How the adapter says it is."""
        assert self._host is not None
        return self._host.channels.states()[0]["state"] == state

    async def all_is_told(self) -> bool:
        """Whether all that was decided is saved, and has come over the stream into `events`."""
        assert self._host is not None
        workspace = self._host.workspace
        if workspace.suspended:
            return False
        await workspace.settled()
        return self._seen == workspace.seq

    async def outcome(self, number: int = -1) -> str:
        """How a contact was closed, by default the last one."""
        await self.until(self.all_is_told)  # the engine knows of an end before it is saved
        closed = [e for e in self.events if type(e).__name__ == "ContactClosed"]
        return str(closed[number].outcome.value)  # type: ignore[attr-defined]

    # -- waiting -----------------------------------------------------------------------------------

    async def until(
        self, question: Callable[..., Awaitable[bool]], *args: object, is_: bool = True
    ) -> None:
        """Until the question is answered so. Raises AssertionError with all that is known."""
        try:
            async with asyncio.timeout(WITHIN_S):
                while True:
                    self._changed.clear()
                    if await question(*args) is is_:
                        return
                    await self._woken()
        except TimeoutError:
            name = getattr(question, "__name__", str(question))
            raise AssertionError(
                f"{name}{args} did not become {is_}: {await self.situation()}"
            ) from None

    async def _woken(self) -> None:
        """By an event or the PBX; looked again all the same: an adapter's state gives no signal."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN_S):
                await self._changed.wait()

    async def are_together(self, *parties: str) -> bool:
        """Whether each of them hears all the others and nobody else, without music."""
        for party in parties:
            if await self.pbx.hears(party) != {*parties} - {party}:
                return False
            if await self.pbx.plays(party):
                return False
        return True

    async def together(self, *parties: str) -> None:
        """Wait until they are together."""
        await self.until(self.are_together, *parties)

    async def rings(self, phone: str) -> None:
        """Wait until it rings."""
        await self.until(self.pbx.is_ringing, phone)

    async def hears_music(self, party: str) -> None:
        """Wait until they hear music and nobody."""

        async def music() -> bool:
            return await self.pbx.plays(party) == "music" and not await self.pbx.hears(party)

        await self.until(music)

    async def all_is_over(self) -> None:
        """Wait until no contact lives and the PBX has nothing left of any call."""

        async def over() -> bool:
            assert self._host is not None
            is_told = self._seen >= self._host.workspace.seq
            return is_told and not self.contacts() and not await self.pbx.left_over()

        await self.until(over)

    async def situation(self) -> str:
        """For a failed story: contacts, reservations, what exists at the PBX."""
        if self._host is None:
            return "the router does not run"
        state = self._host.workspace.engine.state
        contacts = [f"{k.id} {k.state.value}" for k in state.contacts.values()]
        held = [f"{r.id} of {r.agent} {r.state.value}" for r in state.reservations.values()]
        return (
            f"contacts {contacts}, reservations {held}, adapter {self._host.channels.states()},"
            f" at the PBX {await self.pbx.left_over()}, last events"
            f" {[type(event).__name__ for event in self.events[-8:]]} {self.pbx.log_end()}"
        )


__all__ = ["LINE", "Centre", "ContactState", "NotFound"]
