"""What goes out: the objects of docs/desk-protocol.md, made from the engine's rows.

Whole objects, the same over HTTP and sockets. Empty fields are left out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from router.core.facts import LearnedWindow, Outbound
from router.core.model import (
    Agent,
    Contact,
    ContactOutcome,
    ContactState,
    Direction,
    Monitor,
    MonitorMode,
    Presence,
    Reservation,
    ReservationState,
)


class View(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """Something the API shows."""


class PeerView(View):
    """Who is at the other end, in clear; only for whoever may see it."""

    address: str = ""
    name: str = ""
    to: str = ""
    erased: bool = False


class AttachmentView(View):
    """A file that came with a message: `:link-attachment` leads to it."""

    id: str
    name: str
    type: str
    """By its bytes, not by what the sender says."""
    size: int
    """Bytes."""
    role: str = "attachment"
    """``attachment``; ``html``: the body of an e-mail, to be shown in a sandboxed frame;
    ``original``: the whole text, with the history that was split off."""


class MessageView(View):
    """A message of a contact. Plain text: never to be treated as HTML."""

    id: str
    contact: str
    from_: str = msgspec.field(name="from")
    """``customer``, ``agent`` or ``router``"""
    agent: str = ""
    at_us: int = 0
    text: str = ""
    subject: str = ""
    size: int = 0
    ref: str = ""
    """The sender's own id for it."""
    erased: bool = False
    attachments: list[AttachmentView] = []


class OutboundWindowView(View):
    """The learned window in which a contact goes out."""

    channel: str
    start_us: int
    end_us: int
    probability: float
    low: float = 0.0
    high: float = 0.0
    """The interval in which the true one lies with 80 %."""
    explore: bool = False
    """Chosen to learn, not because it is best."""
    text: str = ""
    """The evidence."""


class OutboundView(View):
    """How a contact goes out to the customer; see `Outbound` in router/core/facts.py."""

    mode: str
    template: str = ""
    purpose: str = ""
    learned: bool = False
    explore: bool = False
    channels: tuple[str, ...] = ()
    latest_at_us: int = 0
    give_up: str = ""
    window: OutboundWindowView | None = None
    tries: int = 0
    sent_at_us: int = 0


class MonitorView(View):
    """Somebody listens; shown to supervisors alone."""

    id: str
    agent: str
    mode: MonitorMode
    at_us: int
    by: str = ""


class ContactView(View):
    """A contact as it stands."""

    id: str
    channel: str
    state: ContactState
    direction: Direction = Direction.INBOUND
    outcome: ContactOutcome | None = None
    outcome_reason: str = ""
    entry_point: str = ""
    queue: str = ""
    peer: PeerView | None = None
    customer: str = ""
    segment: str = ""
    segment_reason: str = ""
    """Why this segment: the condition that held, or who gave it."""
    rules: list[str] = []
    """Those that decided about it, in their order."""
    attributes: dict[str, Any] = {}
    requirements: dict[str, int] = {}
    requirements_asked: dict[str, int] = {}
    external_id: str = ""
    conversation: str = ""
    tier: int = 0
    head_start_us: int = 0
    due_at_us: int = 0
    created_at_us: int = 0
    visit_at_us: int = 0
    not_before_us: int = 0
    not_after_us: int = 0
    step: int = 0
    answered_at_us: int = 0
    last_message_at_us: int = 0
    parked_at_us: int = 0
    closed_at_us: int = 0
    disposition: str = ""
    last_agent: str = ""
    target_agent: str = ""
    reservations: tuple[str, ...] = ()
    consult: str = ""
    consult_of: str = ""
    callback_of: str = ""
    asking: str = ""
    """What the customer is being asked; the answer becomes the attribute ``input.<name>``."""
    watched: bool = False
    watched_for: str = ""
    """Why: ``customer``, ``segment loyal``, ``rule complaints``, or who asked for it."""
    monitors: list[MonitorView] = []
    """Who listens; for supervisors."""
    outbound: OutboundView | None = None
    """How it goes out, where it does by rules or on terms."""
    version: int = 0
    messages: list[MessageView] = []
    mine: bool = True
    """At a desk: false when it is this agent's no more."""


class ReservationView(View):
    """An agent's capacity held for a contact."""

    id: str
    contact: str
    agent: str
    queue: str
    channel: str
    state: ReservationState
    units: int = 0
    rank: int = 0
    offered_at_us: int = 0
    deadline_at_us: int = 0
    accepted_at_us: int = 0
    connected_at_us: int = 0
    hold_at_us: int = 0
    hold_us: int = 0
    suspended_at_us: int = 0
    suspended_by: str = ""
    wrap_at_us: int = 0
    disposition: str = ""
    asks_disposition: bool = False
    """Wrap-up cannot be finished without one."""
    conference: bool = False
    """The consulted agent hears the customer, too."""
    recording: str = ""
    """Names it at the backend; empty = none."""
    is_recording: bool = False
    """False: paused, if there is a recording."""


class AgentView(View):
    """An agent: presence as declared, load as it is."""

    id: str
    presence: Presence
    name: str = ""
    reason: str = ""
    presence_at_us: int = 0
    profile: str = ""
    skills: dict[str, int] = {}
    capacity: int = 0
    load: int = 0
    maximum: dict[str, int] = {}
    endpoints: dict[str, str] = {}
    auto_accept: tuple[str, ...] = ()
    lost_at_us: int = 0
    ready_at_us: int = 0
    version: int = 0


def reservation_view(row: Reservation) -> ReservationView:
    """A reservation, whole."""
    return ReservationView(
        id=row.id,
        contact=row.contact,
        agent=row.agent,
        queue=row.queue,
        channel=row.channel,
        state=row.state,
        units=row.units,
        rank=row.rank,
        offered_at_us=row.offered_at_us,
        deadline_at_us=row.deadline_at_us,
        accepted_at_us=row.accepted_at_us,
        connected_at_us=row.connected_at_us,
        hold_at_us=row.hold_at_us,
        hold_us=row.hold_us,
        suspended_at_us=row.suspended_at_us,
        suspended_by=row.suspended_by,
        wrap_at_us=row.wrap_at_us,
        disposition=row.disposition,
        asks_disposition=row.asks_disposition,
        conference=row.conference,
        recording=row.recording,
        is_recording=row.is_recording,
    )


def monitor_view(row: Monitor) -> MonitorView:
    """Somebody who listens."""
    return MonitorView(id=row.id, agent=row.agent, mode=row.mode, at_us=row.at_us, by=row.by)


def agent_view(row: Agent, load: int, capacity: int) -> AgentView:
    """An agent with the load that reservations make, and the workspace's default capacity."""
    return AgentView(
        id=row.id,
        presence=row.presence,
        name=row.name,
        reason=row.reason,
        presence_at_us=row.presence_at_us,
        profile=row.profile,
        skills=row.skills,
        capacity=row.capacity or capacity,
        load=load,
        maximum=row.maximum,
        endpoints=row.endpoints,
        auto_accept=row.auto_accept,
        lost_at_us=row.lost_at_us,
        ready_at_us=row.ready_at_us,
        version=row.version,
    )


def window_view(window: LearnedWindow) -> OutboundWindowView:
    """A window without the customer's address."""
    return OutboundWindowView(
        channel=window.channel,
        start_us=window.start_us,
        end_us=window.end_us,
        probability=round(window.probability, 4),
        low=round(window.low, 4),
        high=round(window.high, 4),
        explore=window.explore,
        text=window.text,
    )


def outbound_view(terms: Outbound) -> OutboundView:
    """The terms on which a contact goes out, and how far it has come."""
    return OutboundView(
        mode=terms.mode,
        template=terms.template,
        purpose=terms.purpose,
        learned=terms.learned,
        explore=terms.explore,
        channels=terms.channels,
        latest_at_us=terms.latest_at_us,
        give_up=terms.give_up,
        window=window_view(terms.window) if terms.window is not None else None,
        tries=terms.tries,
        sent_at_us=terms.sent_at_us,
    )


def contact_view(
    row: Contact, peer: PeerView | None = None, messages: list[MessageView] | None = None
) -> ContactView:
    """A contact, whole; `peer` only for whoever may see it."""
    return ContactView(
        id=row.id,
        channel=row.channel,
        state=row.state,
        direction=row.direction,
        outcome=row.outcome,
        outcome_reason=row.outcome_reason,
        entry_point=row.entry_point,
        queue=row.queue,
        peer=peer,
        customer=row.customer,
        segment=row.segment,
        segment_reason=row.segment_reason,
        rules=row.rule.split(",") if row.rule else [],
        attributes=row.attributes,
        requirements=dict(row.requirements),
        requirements_asked=dict(row.requirements_asked),
        external_id=row.external_id,
        conversation=row.conversation,
        tier=row.tier,
        head_start_us=row.head_start_us,
        due_at_us=row.due_at_us,
        created_at_us=row.created_at_us,
        visit_at_us=row.visit_at_us,
        not_before_us=row.not_before_us,
        not_after_us=row.not_after_us,
        step=row.step,
        answered_at_us=row.answered_at_us,
        last_message_at_us=row.last_message_at_us,
        parked_at_us=row.parked_at_us,
        closed_at_us=row.closed_at_us,
        disposition=row.disposition,
        last_agent=row.last_agent,
        target_agent=row.target_agent,
        reservations=row.reservations,
        consult=row.consult,
        consult_of=row.consult_of,
        callback_of=row.callback_of,
        asking=row.asking,
        watched=row.watched,
        watched_for=row.watched_for,
        outbound=outbound_view(row.outbound) if row.outbound is not None else None,
        version=row.version,
        messages=messages or [],
    )
