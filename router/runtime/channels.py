"""Supervises the adapters of a workspace and takes every effect to whoever carries it out.

Adapters are loaded by type from the package `adapters`: ``adapters.<type>`` with the attribute
``CHANNEL`` (the class) and optionally ``routes(channel)``. One object per adapter lives as long as
the process; its `run` is started again, with back-off, whenever it ends.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol

from router.channel import Address, Channel, ChannelLost, Task
from router.core import commands as c
from router.core.effects import (
    AnswerRoute,
    ConnectAgent,
    DeliverMessage,
    Effect,
    EndContact,
    LoadCustomer,
    MonitorContact,
    OfferContact,
    RescindOffer,
    StartContact,
)
from router.core.events import ContactClosed
from router.core.model import AgentId, Contact, ContactId, ContactState
from router.errors import ConfigError, JournalError
from router.journal.codec import decode_row
from router.runtime.bridge import Bridge
from router.runtime.clock import Clock, sleep
from router.runtime.desks import DeskEffect, Desks, Typing
from router.runtime.envelope import NOBODY, Envelope, address_of, open_envelope
from router.runtime.frame import OutboxRow
from router.runtime.intake import Intake
from router.runtime.loop import Workspace
from router.runtime.messages import Messages
from router.runtime.outbox import Job, Outbox, after_crash, contact_of, deadline, tell
from router.runtime.profiles import Profiles
from router.runtime.restate import listening, log_end, said_again
from router.runtime.tasks import TaskSet, is_cancelled
from router.runtime.tracing import Trail

log = logging.getLogger("router.channels")

FIRST_PAUSE_US = 500_000
LONGEST_PAUSE_US = 60_000_000
CALM_US = 60_000_000
"""An adapter that has served so long begins again with the first pause."""


class AdapterSettings(Protocol):
    """What the configuration says about an adapter."""

    @property
    def type(self) -> str:
        """Module in the package `adapters`."""

    @property
    def channel(self) -> str:
        """The channel it serves."""

    @property
    def settings(self) -> dict[str, Any]:
        """Its own settings."""


@dataclass(slots=True)
class Adapter:
    """A configured adapter and how it is."""

    name: str
    type: str
    channel: str
    object: Channel
    module: ModuleType
    outbox: Outbox
    state: str = "starting"
    detail: str = ""
    restarts: int = 0
    live: dict[str, None] | None = field(default=None)
    """What it last said exists at its backend."""


class Channels:
    """The adapters of one workspace."""

    def __init__(
        self,
        workspace: Workspace,
        intake: Intake,
        messages: Messages,
        desks: Desks,
        profiles: Profiles,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._workspace = workspace
        self._intake = intake
        self._messages = messages
        self._desks = desks
        self._profiles = profiles
        self.may_go: Callable[[Contact, Effect], Awaitable[bool]] = _anything
        """Asked before an effect is handed to an adapter; set by the composition of the host."""
        self._clock = clock
        self._rng = rng
        self._adapters: dict[str, Adapter] = {}
        self._by_channel: dict[str, list[Adapter]] = {}
        self._tasks = TaskSet(f"channels:{workspace.name}")

    # --- adapters -----------------------------------------------------------------------------

    def load(self, settings: Mapping[str, AdapterSettings]) -> None:
        """Make the adapters. Raises ConfigError with all that is wrong with their settings."""
        findings: list[str] = []
        for name, wanted in settings.items():
            try:
                self._make(name, wanted)
            except ConfigError as error:
                findings += error.findings
        if findings:
            raise ConfigError(findings)

    def _make(self, name: str, wanted: AdapterSettings) -> None:
        module = adapter_module(name, wanted.type)
        channel = wanted.channel or wanted.type
        bridge = Bridge(
            name,
            channel,
            self._workspace,
            self._intake,
            messages=self._messages,
            is_mine=lambda contact: self._is_home(name, contact),
            on_state=lambda state, detail: self._set_state(name, state, detail),
            on_live=lambda ids: self._note_live(name, ids),
            on_typing=self._show_typing,
        )
        made: Channel = module.CHANNEL(name, dict(wanted.settings), bridge)
        outbox = Outbox(name, self._workspace, self._clock, made, self._task)
        adapter = Adapter(name, wanted.type, channel, made, module, outbox)
        self._adapters[name] = adapter
        self._by_channel.setdefault(channel, []).append(adapter)
        self._workspace.metrics.adapter(name, False)

    def start(self) -> None:
        """Run the adapters."""
        for adapter in self._adapters.values():
            self._tasks.spawn(self._keep_running(adapter), adapter.name)

    async def stop(self) -> None:
        """Stop them; effects that have not begun keep their rows."""
        await self._tasks.stop()
        for adapter in self._adapters.values():
            await adapter.outbox.stop()

    def follow(self, trail: Trail) -> None:
        """Tell traces what adapters are asked, and what comes of it."""
        for adapter in self._adapters.values():
            adapter.outbox.trail = trail

    def get(self, name: str) -> Channel | None:
        """The adapter object of this name."""
        adapter = self._adapters.get(name)
        return adapter.object if adapter else None

    def channel_of(self, name: str) -> str:
        """The channel that an adapter serves; empty: there is no such adapter."""
        adapter = self._adapters.get(name)
        return adapter.channel if adapter else ""

    def may_speak_for(self, name: str, contact: Contact) -> bool:
        """Is the contact on the adapter's channel, and no other adapter's there?"""
        if self.channel_of(name) != contact.channel:
            return False
        is_alone = len(self._by_channel[contact.channel]) == 1
        return is_alone or self._envelope(contact).adapter in ("", name)

    def routes(self) -> list[tuple[str, str, Any]]:
        """(adapter type, name, HTTP routes) of adapters that serve some of their own."""
        return [
            (a.type, a.name, a.module.routes(a.object))
            for a in self._adapters.values()
            if hasattr(a.module, "routes")
        ]

    def states(self) -> list[dict[str, Any]]:
        """How each adapter is, for the wallboard and health."""
        return [
            {
                "name": a.name,
                "type": a.type,
                "channel": a.channel,
                "state": a.state,
                "detail": a.detail,
                "restarts": a.restarts,
                "outbox": a.outbox.jobs,
            }
            for a in self._adapters.values()
        ]

    def due(self) -> dict[str, int]:
        """Effects under way, by channel."""
        counts: dict[str, int] = {}
        for adapter in self._adapters.values():
            counts[adapter.channel] = counts.get(adapter.channel, 0) + adapter.outbox.jobs
        return counts

    async def _keep_running(self, adapter: Adapter) -> None:
        pause_us = FIRST_PAUSE_US
        while True:
            began_us = self._clock.now_us()
            try:
                await adapter.object.run()
                why = "it ended by itself"
            except ChannelLost as error:
                why = str(error)
            except asyncio.CancelledError:
                if is_cancelled():
                    raise
                why = "cancelled by what it waited for"  # as in `outbox._in_time`
            except Exception as error:
                log.exception("adapter broke", extra={"adapter": adapter.name})
                why = f"internal error: {type(error).__name__}"
            finally:
                adapter.outbox.up.clear()
            self._set_state(adapter.name, "down", why)
            adapter.restarts += 1
            if self._clock.now_us() - began_us > CALM_US:
                pause_us = FIRST_PAUSE_US
            log.warning(
                "adapter is started again",
                extra={"adapter": adapter.name, "why": why, "in_s": pause_us / 1e6},
            )
            await sleep(self._clock, int(pause_us * (0.5 + self._rng.random())))
            pause_us = min(2 * pause_us, LONGEST_PAUSE_US)
            adapter.state, adapter.detail = "starting", ""

    def _set_state(self, name: str, state: str, detail: str) -> None:
        adapter = self._adapters.get(name)
        if adapter is None:  # it speaks while it is being made
            return
        adapter.state, adapter.detail = state, detail
        is_up = state in ("up", "degraded")
        if is_up:
            adapter.outbox.up.set()
        elif state == "down":
            adapter.outbox.up.clear()
        self._workspace.metrics.adapter(name, is_up)
        log.info("adapter", extra={"adapter": name, "state": state, "detail": detail})

    def _note_live(self, name: str, ids: list[str]) -> list[str] | None:
        """All that exists on the adapter's channel, once every adapter of it has spoken."""
        adapter = self._adapters[name]
        adapter.live = dict.fromkeys(ids)
        others = self._by_channel[adapter.channel]
        if any(other.live is None for other in others):
            return None
        return [id_ for other in others for id_ in other.live or ()]

    # --- effects ------------------------------------------------------------------------------

    def recover(self) -> None:
        """After a restart: effects whose outcome is not known, each by its rule."""
        self._tasks.spawn(self._say_again(self._workspace.seq), "again")
        rows = self._workspace.rows_of("effect")
        for id_ in sorted(rows, key=_in_order):
            row = decode_row(OutboxRow, rows[id_])
            what = after_crash(row)
            if what == "unknown":
                self._tasks.spawn(self._settle(id_, row.effect, "unknown", "crash"), id_)
            else:
                self._send(id_, row.effect, row.at_us, ask_first=what == "ask")
        self._ask_for_listeners(rows)

    def _ask_for_listeners(self, rows: Mapping[str, bytes]) -> None:
        """Whether who listened before the restart still does; nobody is rung anew for it."""
        asked = [decode_row(OutboxRow, data).effect for data in rows.values()]
        under_way = {effect.monitor for effect in asked if isinstance(effect, MonitorContact)}
        number = 0
        for effect in listening(self._workspace.engine.state):
            if effect.monitor not in under_way:
                number += 1
                id_ = f"{self._workspace.epoch}-listening-{number}"
                self._send(id_, effect, self._workspace.now_us(), ask_first=True, only_ask=True)

    async def _say_again(self, last_seq: int) -> None:
        """Repeatable effects of the last minutes before the stop; who heard them does nothing."""
        workspace = self._workspace
        try:
            events = await log_end(workspace.journal, workspace.own, last_seq, workspace.veil.event)
            ids = {event.contact: None for event in events if type(event) is ContactClosed}
            rows = await workspace.journal.fetch(workspace.own, "contact", list(ids))
        except JournalError as error:
            log.warning("not said again", extra={"error": str(error)})
            return
        closed = {id_: workspace.veil.contact(data) for id_, data in rows.items()}
        effects = said_again(events, workspace.engine.state, closed)
        for number, effect in enumerate(effects, 1):
            self._send(f"{workspace.epoch}-again-{number}", effect, workspace.now_us())

    def perform(self, effect_id: str, effect: Effect) -> None:
        """Take an effect whose facts are durable to whoever carries it out. Never waits."""
        if isinstance(effect, (OfferContact, RescindOffer)):
            self._desks.tell(effect.agent, DeskEffect(self._workspace.epoch, effect_id, effect))
            if isinstance(effect, OfferContact) and not effect.endpoint:
                return
            if isinstance(effect, RescindOffer) and not self._has_media(effect.channel):
                return
        elif isinstance(effect, LoadCustomer):
            self._tasks.spawn(self._profiles.load(effect), "customer")
            return
        elif isinstance(effect, AnswerRoute):
            return  # whoever asked has it in the answer to the command
        elif isinstance(effect, EndContact) and effect.external_id:
            self._intake.note_external(effect.channel, effect.external_id)
        self._send(effect_id, effect, self._workspace.now_us())

    def _send(
        self,
        id_: str,
        effect: Effect,
        at_us: int,
        *,
        ask_first: bool = False,
        only_ask: bool = False,
    ) -> None:
        of_channel = self._by_channel.get(getattr(effect, "channel", ""), [])
        job = Job(id_, effect, deadline(effect, at_us), ask_first, only_ask)
        if len(of_channel) == 1:
            of_channel[0].outbox.put(job)
        elif of_channel:
            self._choose(of_channel, job)
        elif only_ask:
            return
        elif isinstance(effect, (ConnectAgent, StartContact, MonitorContact)):
            # No adapter: whoever submitted the contact over the API sees the event and connects.
            self._tasks.spawn(self._settle(id_, effect, "done", "left_to_api"), id_)
        elif effect.REPEAT != "safe":
            self._tasks.spawn(self._settle(id_, effect, "failed", "no_adapter"), id_)

    def _choose(self, adapters: list[Adapter], job: Job) -> None:
        """Several adapters serve the channel: the one that brought the contact."""
        id_ = ContactId(contact_of(job.effect))
        contact = self._workspace.engine.state.contacts.get(id_)
        if contact is not None:
            self._home(adapters, contact).outbox.put(job)
        else:
            self._tasks.spawn(self._choose_closed(adapters, job), job.id)

    async def _choose_closed(self, adapters: list[Adapter], job: Job) -> None:
        contact = await self._intake.contact(contact_of(job.effect))
        home = adapters[0] if contact is None else self._home(adapters, contact)
        home.outbox.put(job)

    def _home(self, adapters: list[Adapter], contact: Contact) -> Adapter:
        """The adapter that brought the contact; the first one if none did."""
        name = open_envelope(self._workspace.sealer, contact).adapter
        return next((adapter for adapter in adapters if adapter.name == name), adapters[0])

    def _is_home(self, name: str, contact: Contact) -> bool:
        """Is the contact at this adapter?"""
        of_channel = self._by_channel.get(contact.channel, [])
        if len(of_channel) > 1:
            of_channel = [self._home(of_channel, contact)]
        return any(adapter.name == name for adapter in of_channel)

    def _show_typing(self, contact: Contact) -> None:
        """On the screens of the agent who serves it; nothing is kept."""
        for id_ in contact.reservations:
            reservation = self._workspace.engine.state.reservations.get(id_)
            if reservation is not None:
                self._desks.tell(reservation.agent, Typing(contact.id))

    def agent_typing(self, contact_id: ContactId, agent: AgentId) -> None:
        """The agent who serves it types: the customer sees it, if the adapter can show it."""
        state = self._workspace.engine.state
        contact = state.contacts.get(contact_id)
        of_channel = self._by_channel.get(contact.channel, []) if contact is not None else []
        if contact is None or not of_channel or not contact.external_id:
            return
        if any(state.reservations[id_].agent == agent for id_ in contact.reservations) and (
            contact.state is ContactState.ACTIVE
        ):
            home = of_channel[0] if len(of_channel) == 1 else self._home(of_channel, contact)
            try:
                home.object.agent_typing(contact.external_id)
            except Exception:  # an adapter's fault must not close the desk
                log.exception("adapter broke", extra={"adapter": home.name})

    def _has_media(self, channel: str) -> bool:
        settings = self._workspace.policy.channels.get(channel)
        return settings is not None and settings.media

    async def _task(self, job: Job) -> Task | None:
        """All that the adapter needs; None when the contact is not to be found any more."""
        contact = await self._intake.contact(contact_of(job.effect))
        if contact is None or not await self.may_go(contact, job.effect):
            return None
        text = author = ""
        if isinstance(job.effect, DeliverMessage):
            message = await self._messages.one(contact.id, job.effect.message)
            if message is None or message.erased:
                return None
            text, author = message.text, message.sender
        envelope = self._envelope(contact)
        external_id = contact.external_id
        if isinstance(job.effect, EndContact) and job.effect.external_id:
            external_id = job.effect.external_id  # it goes on elsewhere, or later
        return Task(
            id=job.id,
            epoch=self._workspace.epoch,
            workspace=self._workspace.name,
            effect=job.effect,
            external_id=external_id,
            customer=address_of(envelope) if envelope is not NOBODY else Address(),
            our_address=our_address(contact) or envelope.our_address,
            text=text,
            author=author,
            attributes=contact.attributes,
            consult_of=await self._asked_about(contact),
            first_attempt=not job.ask_first,
        )

    async def _asked_about(self, contact: Contact) -> str:
        """The external id of the contact that a consult is about."""
        asking = await self._intake.contact(contact.consult_of) if contact.consult_of else None
        return asking.external_id if asking is not None else ""

    def _envelope(self, contact: Contact) -> Envelope:
        return open_envelope(self._workspace.sealer, contact)

    async def _settle(self, id_: str, effect: Effect, result: str, reason: str) -> None:
        self._workspace.metrics.effect(getattr(effect, "channel", ""), result)
        await tell(
            self._workspace,
            self._clock,
            c.SettleEffect(
                effect=id_,
                result=result,
                contact=ContactId(contact_of(effect)),
                message=effect.message if isinstance(effect, DeliverMessage) else "",
                reason=reason,
            ),
            [],
        )


def our_address(contact: Contact) -> str:
    """Our address on the contact's channel: on another than it came by it is another one."""
    _, channel, ours = (*contact.peer_key.split("/", 2), "", "")[:3]
    return ours if channel == contact.channel else ""


async def _anything(contact: Contact, effect: Effect) -> bool:
    """Nobody asks for permission."""
    return True


def adapter_module(name: str, type_: str) -> ModuleType:
    """The module of an adapter type. Raises ConfigError: there is none, or a library is missing."""
    module = f"adapters.{type_}"
    if not type_.isidentifier() or importlib.util.find_spec(module) is None:
        raise ConfigError([f"adapters.{name}: there is no adapter type {type_!r}"])
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            [f"adapters.{name}: type {type_!r} needs a library that is not there: {error.name}"]
        ) from error
    if not hasattr(found, "CHANNEL"):
        raise ConfigError([f"adapters.{name}: {module} has no CHANNEL; it is no adapter"])
    return found


def _in_order(effect_id: str) -> tuple[int, int]:
    epoch, _, number = effect_id.partition("-")
    return int(epoch), int(number)
