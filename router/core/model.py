"""The nouns: contact, reservation, agent. What is stored of each, and nothing that can be derived.

All moments and lengths are integers in microseconds. Moments end in `_at_us`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal, NewType

from router.core.facts import NO_FACTS, Facts, Outbound
from router.core.record import Row, Value

WorkspaceId = NewType("WorkspaceId", str)
ContactId = NewType("ContactId", str)
AgentId = NewType("AgentId", str)
QueueId = NewType("QueueId", str)
ReservationId = NewType("ReservationId", str)
CustomerId = NewType("CustomerId", str)

Requirements = tuple[tuple[str, int], ...]
"""Skill and least level, sorted by skill, each skill once: a requirement signature."""

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
DAY_US = 24 * 60 * MINUTE_US
FOR_EVER_US = 1 << 62
"""Later than any moment: an exclusion that does not end."""


class Direction(StrEnum):
    """Who began the matter."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    CALLBACK = "callback"


class ContactState(StrEnum):
    """Where a contact stands. `received` is left again within the frame that enters it."""

    RECEIVED = "received"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    OFFERED = "offered"
    ACTIVE = "active"
    PARKED = "parked"
    CLOSED = "closed"


class ContactOutcome(StrEnum):
    """How a contact ended: exactly one of these."""

    COMPLETED = "completed"
    ABANDONED = "abandoned"
    DEFLECTED = "deflected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"


class ReservationState(StrEnum):
    """The life of an agent's capacity held for a contact."""

    OFFERED = "offered"
    ACCEPTED = "accepted"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    SUSPENDED = "suspended"
    WRAPPING = "wrapping"
    DONE = "done"
    REJECTED = "rejected"
    EXPIRED = "expired"
    RESCINDED = "rescinded"
    FAILED = "failed"


class Presence(StrEnum):
    """What an agent declares. Whether they are *available* is always computed."""

    OFFLINE = "offline"
    READY = "ready"
    NOT_READY = "not_ready"


ANSWER_GRACE_US = 10 * SECOND_US
"""So much longer than the customer's time the adapter has to tell the answer."""


class Question(Value, kw_only=True):
    """What the customer is being asked, whole: a restart asks it again."""

    ask: str
    """Its id, unique in the contact: one answer counts."""
    name: str
    prompt: str
    choices: dict[str, str] = {}
    """Value to label; empty = any answer."""
    digits: int = 1
    deadline_at_us: int = 0


class Contact(Row, kw_only=True):
    """One customer's matter, on one channel at a time, from arrival to the end of wrap-up."""

    id: ContactId
    channel: str
    direction: Direction = Direction.INBOUND
    state: ContactState = ContactState.RECEIVED
    outcome: ContactOutcome | None = None
    outcome_reason: str = ""
    entry_point: str = ""
    queue: QueueId = QueueId("")
    customer: str = ""
    segment: str = ""
    attributes: dict[str, Any] = {}
    requirements: Requirements = ()
    """What an agent must have now: the original requirements after the relaxation steps taken."""
    requirements_asked: Requirements = ()
    """As submitted (or set by the last transfer), before relaxation."""
    external_id: str = ""
    """The adapter's id, unique per channel: the same one twice is the same contact."""
    conversation: str = ""
    peer_key: str = ""
    """Keyed hash of (channel, customer's address, ours); joins messages to contacts."""
    sealed: bytes = b""
    """Addresses and names, encrypted with the customer's key; the engine never sees them."""
    seal_key: str = ""

    tier: int = 0
    tier_asked: int | None = None
    """As submitted, or set by a rule: holds whenever it comes off the shelf. None = the queue's."""
    head_start_us: int = 0
    due_at_us: int = 0
    """Start of this visit plus the service-level target, in open hours.

    The order of waiting contacts is (tier, due_at_us - head_start_us, arrival_no).
    """
    arrival_no: int = 0
    created_at_us: int = 0
    visit_at_us: int = 0
    """Start of this visit; a returned contact keeps it, a transfer begins a new one."""
    visit_no: int = 0
    visited: tuple[QueueId, ...] = ()
    """Queues overflowed from in this visit, so that overflow cannot go round in a circle."""
    not_before_us: int = 0
    not_after_us: int = 0

    step: int = 0
    """Relaxation steps of this queue already decided in this visit."""
    extra_queues: tuple[QueueId, ...] = ()
    """Queues whose agents a relaxation step has added."""
    hold_agent: AgentId = AgentId("")
    """Until `hold_until_us` only this agent (preferred agent)."""
    hold_until_us: int = 0
    target_agent: AgentId = AgentId("")
    """Only this agent, profile not asked (transfer to an agent, agent-owned callback)."""
    prefer_agent: AgentId = AgentId("")
    """As submitted, or set by a rule: held for this agent whenever it comes off the shelf, ..."""
    prefer_us: int = 0
    """... for so long."""
    excluded: dict[AgentId, int] = {}
    """Agents cooling down for this contact, until the moment given."""
    declines: dict[AgentId, int] = {}
    """Rejections and expired offers per agent in this visit, for the decline policy."""
    offers: int = 0
    hops: int = 0
    """Transfers, overflows, requeues and channel switches so far; bounded."""

    reservations: tuple[ReservationId, ...] = ()
    """Open reservations: offered ones, or the one being served."""
    last_agent: AgentId = AgentId("")
    answered_at_us: int = 0
    """When an agent first accepted; 0 = never."""
    last_message_at_us: int = 0
    silent_since_us: int = 0
    """We wrote last, at; 0 = the customer did."""
    parked_at_us: int = 0
    promised_wait_us: int = -1
    """The wait estimated when this visit began, to learn the estimate's own error; -1 = none."""
    consult_of: ContactId = ContactId("")
    """This contact is one agent asking another about the named contact."""
    consult: ContactId = ContactId("")
    """The open consult about this contact."""
    callback_of: ContactId = ContactId("")
    watched: bool = False
    watched_for: str = ""
    """``customer`` (all contacts of theirs are watched), ``segment loyal``, ``rule complaints``, or
    the name of whoever asked for it; empty = it is not watched, or nobody was named."""
    messages: int = 0
    attempts: int = 0
    """Outbound: how often the customer was tried."""
    asking: str = ""
    """Name of the input being collected."""
    question: Question | None = None
    """The same, whole."""
    asked: int = 0
    """Questions so far."""
    begins: bool = False
    """It went on by this channel without being there: who accepts reaches for the customer."""
    rule: str = ""
    """Names of the rules that decided where it goes, in their order, with a comma between."""
    segment_reason: str = ""
    facts: Facts = NO_FACTS
    """What rules could know of the customer when it arrived, or when its window opened."""
    outbound: Outbound | None = None
    closed_at_us: int = 0
    disposition: str = ""
    """How it ended, as the agent says."""
    version: int = 0

    @property
    def holds_no_line(self) -> bool:
        """Nobody hears us while it waits: an agent asks another, or a callback was promised."""
        return bool(self.consult_of) or self.direction is Direction.CALLBACK

    @property
    def address(self) -> str:
        """Keyed hash of the customer's address; empty = there is none."""
        return self.peer_key.partition("/")[0]


MonitorMode = Literal["listen", "whisper", "barge"]
"""Heard by nobody, by the agent alone, by both."""


class Monitor(Value, kw_only=True):
    """Somebody listens to what an agent serves."""

    id: str
    agent: AgentId
    """Who."""
    mode: MonitorMode
    at_us: int
    by: str = ""


class Reservation(Row, kw_only=True):
    """An agent's capacity held for a contact."""

    id: ReservationId
    contact: ContactId
    agent: AgentId
    queue: QueueId
    channel: str
    state: ReservationState = ReservationState.OFFERED
    units: int = 0
    """Held now; 0 while suspended."""
    cost: int = 0
    """What the channel costs; `units` comes back to it on resume."""
    visit_no: int = 0
    rank: int = 0
    offered_at_us: int = 0
    deadline_at_us: int = 0
    """When this state ends by itself: offer timeout, connect deadline, wrap-up; 0 = never."""
    accepted_at_us: int = 0
    begins: bool = False
    """It reached for the customer, too, and did not begin with one who was there."""
    connected_at_us: int = 0
    hold_at_us: int = 0
    """Customer on hold since; 0 = not."""
    hold_us: int = 0
    suspended_at_us: int = 0
    suspended_by: ReservationId = ReservationId("")
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
    recordings: int = 0
    """So far: one that failed is not gone on with."""
    monitors: tuple[Monitor, ...] = ()


class Skill(Value):
    """A skill and its level, 1-10."""

    name: str
    level: int


class Agent(Row, kw_only=True):
    """A human who serves."""

    id: AgentId
    order: int = 0
    """Creation order: who is longest idle at the start of the world."""
    name: str = ""
    skills: dict[str, int] = {}
    profile: str = ""
    capacity: int = 0
    """Total units; 0 = the workspace's default."""
    maximum: dict[str, int] = {}
    """Most contacts at once per channel, where it differs from the channel's own."""
    endpoints: dict[str, str] = {}
    """Where media reach the agent, per channel (``{"voice": "PJSIP/ana"}``)."""
    auto_accept: tuple[str, ...] = ()
    presence: Presence = Presence.OFFLINE
    reason: str = ""
    presence_at_us: int = 0
    idle_since_us: int = 0
    """When the last reservation ended, or the agent became ready if later; not on a RONA."""
    accepted_at_us: int = 0
    """The last accept: orders agents who are loaded."""
    offered_at_us: int = 0
    """The last offer: round robin."""
    lost_at_us: int = 0
    """The desk's connection broke at; 0 = connected or never was."""
    ready_at_us: int = 0
    """Start of the log-on ramp."""
    version: int = 0


class Totals(Row, kw_only=True):
    """Counters that must survive a restart."""

    arrival_no: int = 0
    reservation_no: int = 0
    effect_no: int = 0
    agent_no: int = 0
    clock_offset_us: int = 0
    """Calendar time minus engine time: the wall clock was set so much since the start."""


class Term(Value):
    """One term of a choice, in the order in which terms were compared."""

    name: str
    value: int | float | str


class Candidate(Value):
    """Somebody, or something, that could have been chosen."""

    id: str
    terms: tuple[Term, ...]


class Decision(Value, kw_only=True):
    """Why this agent got this contact."""

    edge: str
    """``contact`` (a contact looked for an agent), ``agent`` (the reverse) or ``pull``."""
    strategy: str
    step: int = 0
    """Relaxation steps that were in force."""
    requirements: Requirements = ()
    eligible: int = 1
    """How many could have been chosen, the winner included, as far as counted."""
    eligible_more: bool = False
    """Counting stopped at its bound: there may be more than `eligible`."""
    winner: Candidate
    runners_up: tuple[Candidate, ...] = ()
    rule: str = ""
    policy_version: str = ""
