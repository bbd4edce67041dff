"""What may be asked of the engine: imperative, may be `Refused`, changes nothing then.

`by` is who asked (an agent, a token, an adapter), for the audit. Ids of contacts and messages are
given by the caller's side (the core draws no random values).
"""

from __future__ import annotations

from typing import Any

from router.core.call_commands import AgentHungUp as AgentHungUp
from router.core.call_commands import CallCommand
from router.core.call_commands import EndConsult as EndConsult
from router.core.call_commands import EndMonitor as EndMonitor
from router.core.call_commands import FailRecording as FailRecording
from router.core.call_commands import HoldCustomer as HoldCustomer
from router.core.call_commands import RecordCall as RecordCall
from router.core.call_commands import ResumeCustomer as ResumeCustomer
from router.core.call_commands import SetConference as SetConference
from router.core.call_commands import StartConsult as StartConsult
from router.core.call_commands import StartMonitor as StartMonitor
from router.core.customer_commands import ChangeDoNotContact, CustomerCommand
from router.core.facts import NO_FACTS, Facts, Outbound
from router.core.model import (
    AgentId,
    ContactId,
    Direction,
    Presence,
    QueueId,
    Requirements,
    ReservationId,
)
from router.core.record import Record
from router.core.workspace_commands import ApplyPolicy as ApplyPolicy
from router.core.workspace_commands import DeadLetter as DeadLetter
from router.core.workspace_commands import PauseChannel as PauseChannel
from router.core.workspace_commands import RecordAudit as RecordAudit
from router.core.workspace_commands import ResumeChannel as ResumeChannel
from router.core.workspace_commands import StepClock as StepClock


class SubmitContact(Record, kw_only=True):
    """A customer's matter arrives, or is to be begun (outbound, callback, `not_before_us`)."""

    contact: ContactId
    channel: str
    direction: Direction = Direction.INBOUND
    entry_point: str = ""
    queue: QueueId = QueueId("")
    """Empty: the entry point's queue."""
    customer: str = ""
    segment: str = ""
    attributes: dict[str, Any] = {}
    requirements: Requirements = ()
    tier: int | None = None
    """None: the queue's tier for this channel."""
    head_start_us: int = 0
    not_before_us: int = 0
    not_after_us: int = 0
    external_id: str = ""
    conversation: str = ""
    peer_key: str = ""
    sealed: bytes = b""
    seal_key: str = ""
    prefer_agent: AgentId = AgentId("")
    prefer_us: int = 0
    target_agent: AgentId = AgentId("")
    watched: bool = False
    message: str = ""
    """Id of the first message, when the contact begins with one; its body is the runtime's."""
    message_size: int = 0
    facts: Facts = NO_FACTS
    """What the runtime knows of the customer."""
    outbound: Outbound | None = None
    """Terms given by the caller; a rule may set others."""
    rule: str = ""
    by: str = ""


class ReceiveMessage(Record, kw_only=True):
    """A message between two addresses joins the contact open between them, or begins one."""

    message: str
    size: int
    contact: SubmitContact
    """Used when no contact is open between these addresses (its `peer_key` says which)."""
    to_contact: ContactId = ContactId("")
    """When the caller knows the contact, instead of `peer_key`."""


class HearKeyword(Record, kw_only=True):
    """A customer's whole message is a keyword, STOP or START: it takes effect, and wakes nobody."""

    asked: ChangeDoNotContact
    contact: SubmitContact
    """Begins and ends at once where no contact is open between these addresses."""
    message: str
    size: int
    reply: str = ""
    """Id of the one message that says what was understood; empty = nothing is said."""
    reply_size: int = 0


class SendMessage(Record, kw_only=True):
    """An agent (or a rule) writes to the customer."""

    contact: ContactId
    message: str
    size: int
    agent: AgentId = AgentId("")
    by: str = ""


class AbandonContact(Record, kw_only=True):
    """The customer left: hung up, closed the chat."""

    contact: ContactId
    reason: str = ""


class CancelContact(Record, kw_only=True):
    """Somebody withdraws a contact that nobody serves."""

    contact: ContactId
    reason: str = ""
    by: str = ""


class ReprioritizeContact(Record, kw_only=True):
    """Change tier or head start; takes effect at once."""

    contact: ContactId
    tier: int | None = None
    head_start_us: int | None = None
    by: str = ""


class MoveContact(Record, kw_only=True):
    """A supervisor moves a waiting contact to another queue, keeping its start."""

    contact: ContactId
    queue: QueueId
    by: str = ""


class RequireSkills(Record, kw_only=True):
    """Replace what a waiting contact asks of its agent."""

    contact: ContactId
    requirements: Requirements
    by: str = ""


class PullContact(Record, kw_only=True):
    """Give this waiting contact to this agent now: a supervisor's or the agent's own choice."""

    contact: ContactId
    agent: AgentId
    by: str = ""


class WatchContact(Record, kw_only=True):
    """Put a contact before the supervisor, or take it away again."""

    contact: ContactId
    watched: bool = True
    by: str = ""


class UpdateContact(Record, kw_only=True):
    """Set attributes (merged; a null removes), or name the customer."""

    contact: ContactId
    attributes: dict[str, Any] = {}
    customer: str = ""
    segment: str = ""
    version: int = -1
    """Refused unless the contact has this version; -1 = not asked."""
    by: str = ""


class RequestCallback(Record, kw_only=True):
    """The customer takes a callback: this contact is deflected, a new one calls back."""

    contact: ContactId
    callback: ContactId
    """Id of the new contact; it inherits age, queue, customer and requirements."""
    channel: str = "voice"
    not_before_us: int = 0
    not_after_us: int = 0
    sealed: bytes = b""
    seal_key: str = ""
    peer_key: str = ""
    keep_place: bool = True
    """Keep the place in the queue (age counts on); otherwise a new visit begins when activated."""
    by: str = ""


class RescheduleContact(Record, kw_only=True):
    """Move a scheduled contact's window, or put a waiting outbound one back on the shelf."""

    contact: ContactId
    not_before_us: int
    not_after_us: int = 0
    by: str = ""


class SwitchChannel(Record, kw_only=True):
    """Go on by another channel as the same contact, with its age and history."""

    contact: ContactId
    channel: str
    queue: QueueId = QueueId("")
    external_id: str = ""
    peer_key: str = ""
    sealed: bytes = b""
    seal_key: str = ""
    by: str = ""


class LinkContact(Record, kw_only=True):
    """An outbound or switched contact now exists at its channel's backend, under this id."""

    contact: ContactId
    external_id: str


class AcceptOffer(Record, kw_only=True):
    """The agent takes it. One wins; the rest are told `gone`."""

    reservation: ReservationId
    agent: AgentId = AgentId("")
    """When given, must be the reservation's agent."""


class RejectOffer(Record, kw_only=True):
    """The agent declines."""

    reservation: ReservationId
    agent: AgentId = AgentId("")
    reason: str = ""


class ConnectReservation(Record, kw_only=True):
    """The media leg is up (an adapter says so); accepts the offer too if that was still open."""

    reservation: ReservationId


class FailReservation(Record, kw_only=True):
    """The media leg did not come up or broke before talk: the contact returns to its place."""

    reservation: ReservationId
    reason: str
    busy: bool = False
    """The agent's endpoint is at fault (busy, unreachable): counts as a decline."""


class CompleteContact(Record, kw_only=True):
    """The matter is done (agent, or the customer ended it): contact closed, wrap-up begins."""

    contact: ContactId
    agent: AgentId = AgentId("")
    reason: str = ""
    disposition: str = ""


class FinishWrapUp(Record, kw_only=True):
    """The agent is done with after-contact work."""

    reservation: ReservationId
    agent: AgentId = AgentId("")
    disposition: str = ""


class ExtendWrapUp(Record, kw_only=True):
    """More time for after-contact work."""

    reservation: ReservationId
    agent: AgentId = AgentId("")
    by_us: int


class ParkContact(Record, kw_only=True):
    """The agent waits for the customer without holding capacity (SMS, email, chat)."""

    contact: ContactId
    agent: AgentId = AgentId("")
    reason: str = ""


class TransferContact(Record, kw_only=True):
    """Hand the contact on: to a queue, an agent, or new requirements. Begins a new visit."""

    contact: ContactId
    queue: QueueId = QueueId("")
    target_agent: AgentId = AgentId("")
    requirements: Requirements | None = None
    """None: as asked before, without relaxation."""
    agent: AgentId = AgentId("")
    """Who transfers; must be the one serving, when given."""
    reason: str = ""


class RequeueContact(Record, kw_only=True):
    """The serving agent gives the contact back to its place in the queue (cannot help now)."""

    contact: ContactId
    agent: AgentId = AgentId("")
    reason: str = ""


class PutAgent(Record, kw_only=True):
    """Create an agent, or change one; open reservations are not touched."""

    agent: AgentId
    name: str = ""
    skills: dict[str, int] = {}
    profile: str = ""
    capacity: int = 0
    maximum: dict[str, int] = {}
    endpoints: dict[str, str] = {}
    auto_accept: tuple[str, ...] = ()
    version: int = -1
    """Refused unless the agent has this version; 0 = must not exist yet; -1 = not asked."""
    by: str = ""


class RemoveAgent(Record, kw_only=True):
    """Delete an agent who holds nothing."""

    agent: AgentId
    version: int = -1
    """Refused unless the agent has this version; -1 = not asked."""
    by: str = ""


class SetPresence(Record, kw_only=True):
    """Ready, not ready (with a reason), offline. Does not end what the agent is serving."""

    agent: AgentId
    presence: Presence
    reason: str = ""
    by: str = ""


class DeskLost(Record, kw_only=True):
    """The agent's last connection broke: open offers go back at once, presence after a grace."""

    agent: AgentId


class DeskBack(Record, kw_only=True):
    """The agent is connected again."""

    agent: AgentId


class AskRoute(Record, kw_only=True):
    """A route request from an IVR: where should this go, what is the wait? Queues nothing."""

    request: str
    channel: str
    entry_point: str = ""
    queue: QueueId = QueueId("")
    requirements: Requirements = ()
    attributes: dict[str, Any] = {}
    customer: str = ""
    segment: str = ""
    facts: Facts = NO_FACTS
    """What the runtime knows of the customer."""


class ReportInput(Record, kw_only=True):
    """What play-and-collect got from the customer (digits, a menu choice, a quick reply)."""

    contact: ContactId
    name: str
    value: str
    ask: str = ""
    """Which question, by id; empty: the open one of this name."""
    timed_out: bool = False
    """The customer did not answer in time."""


class CollectInput(Record, kw_only=True):
    """Ask the waiting customer something: play a prompt, collect digits or a choice."""

    contact: ContactId
    name: str
    prompt: str
    choices: dict[str, str] = {}
    digits: int = 1
    timeout_us: int = 10_000_000
    by: str = ""


class SettleEffect(Record, kw_only=True):
    """What became of an effect: done, failed, or unknown (never repeated blindly then).

    Or what the network said of a message later: delivered or undelivered, without an effect.
    """

    effect: str
    result: str
    contact: ContactId = ContactId("")
    reservation: ReservationId = ReservationId("")
    message: str = ""
    reason: str = ""


class ProvideCustomer(Record, kw_only=True):
    """The customer that a `LoadCustomer` effect asked for."""

    contact: ContactId
    customer: str
    segment: str = ""
    found: bool = True
    facts: Facts = NO_FACTS
    channel: str = ""
    """Where the window is on another channel or address: that, with what is sealed for it."""
    sealed: bytes = b""
    seal_key: str = ""
    peer_key: str = ""
    message: str = ""
    """Id of the message that goes out first (`Outbound.template`); its body is the runtime's."""
    message_size: int = 0


class ReportLive(Record, kw_only=True):
    """An adapter says which of its contacts exist, after a reconnect: the rest are reconciled."""

    channel: str
    external_ids: tuple[str, ...]


Command = (
    SubmitContact
    | ReceiveMessage
    | HearKeyword
    | SendMessage
    | AbandonContact
    | CancelContact
    | ReprioritizeContact
    | MoveContact
    | RequireSkills
    | PullContact
    | WatchContact
    | UpdateContact
    | RequestCallback
    | RescheduleContact
    | SwitchChannel
    | LinkContact
    | AcceptOffer
    | RejectOffer
    | ConnectReservation
    | FailReservation
    | CompleteContact
    | FinishWrapUp
    | ExtendWrapUp
    | ParkContact
    | TransferContact
    | RequeueContact
    | PutAgent
    | RemoveAgent
    | SetPresence
    | DeskLost
    | DeskBack
    | AskRoute
    | ReportInput
    | CollectInput
    | SettleEffect
    | ProvideCustomer
    | CallCommand
    | CustomerCommand
    | ReportLive
    | ApplyPolicy
    | PauseChannel
    | ResumeChannel
    | StepClock
    | RecordAudit
    | DeadLetter
)
