"""What the runtime must do once the frame is durable, addressed to a channel's adapter or a desk.

`REPEAT` says what may happen after a crash, when nobody knows whether it was done:
``safe`` do it again; ``query`` ask the backend first; ``never`` do not repeat, report `unknown`.
Effects that are not `safe` are kept as outbox rows in the same commit; `safe` ones are derived anew
from the state (`Engine.resume`).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from router.core.model import AgentId, ContactId, MonitorMode, Requirements, ReservationId
from router.core.record import Record

Repeat = Literal["safe", "query", "never"]


class OfferContact(Record, kw_only=True):
    """Ask the agent: at the desk, and by ringing `endpoint` where the channel has media."""

    REPEAT: ClassVar[Repeat] = "safe"
    channel: str
    contact: ContactId
    reservation: ReservationId
    agent: AgentId
    endpoint: str = ""
    deadline_at_us: int
    auto_accept: bool = False


class RescindOffer(Record, kw_only=True):
    """Stop asking."""

    REPEAT: ClassVar[Repeat] = "safe"
    channel: str
    contact: ContactId
    reservation: ReservationId
    agent: AgentId
    reason: str = ""


class ConnectAgent(Record, kw_only=True):
    """Bring the agent's leg up and join it to the customer's; answer with ConnectReservation."""

    REPEAT: ClassVar[Repeat] = "query"
    channel: str
    contact: ContactId
    reservation: ReservationId
    agent: AgentId
    endpoint: str = ""
    deadline_at_us: int


class DisconnectAgent(Record, kw_only=True):
    """Take the agent's leg away; the customer stays."""

    REPEAT: ClassVar[Repeat] = "safe"
    channel: str
    contact: ContactId
    reservation: ReservationId
    agent: AgentId


class HoldContact(Record, kw_only=True):
    """Hold music for the customer, or back to the agent."""

    REPEAT: ClassVar[Repeat] = "safe"
    channel: str
    contact: ContactId
    reservation: ReservationId
    held: bool


class TreatContact(Record, kw_only=True):
    """Tell or play the waiting customer something."""

    REPEAT: ClassVar[Repeat] = "never"
    channel: str
    contact: ContactId
    kind: str
    """``greeting``, ``position``, ``text``, ``callback_offer``"""
    text: str = ""
    """``{position}`` and ``{wait_minutes}`` are filled in by the adapter."""
    music: str = ""
    position: int = 0
    wait_us: int = -1


class CollectFromContact(Record, kw_only=True):
    """Play a prompt and collect an answer; answer with ReportInput.

    After a restart it comes again for a question that is still open: the same `ask` is the same
    question, and is not put twice.
    """

    REPEAT: ClassVar[Repeat] = "safe"
    channel: str
    contact: ContactId
    name: str
    prompt: str
    choices: dict[str, str] = {}
    digits: int = 1
    timeout_us: int = 10_000_000
    ask: str = ""
    """The question's id, unique in the contact; comes back with the answer."""


class DeliverMessage(Record, kw_only=True):
    """Send the customer a message; the runtime adds its body."""

    REPEAT: ClassVar[Repeat] = "never"
    channel: str
    contact: ContactId
    message: str
    not_after_us: int = 0
    """Calendar moment after which it must not go out any more; 0 = none."""
    attempt: str = ""
    """It begins an outbound contact: permission is asked once more when it is handed over."""


class StartContact(Record, kw_only=True):
    """Begin an outbound contact on its channel (dial, open a thread)."""

    REPEAT: ClassVar[Repeat] = "query"
    channel: str
    contact: ContactId
    reservation: ReservationId = ReservationId("")
    agent: AgentId = AgentId("")
    endpoint: str = ""
    not_after_us: int = 0
    """Calendar moment after which the customer must not be reached any more; 0 = none."""
    attempt: str = ""
    """As for `DeliverMessage`; empty where nothing is known of the customer."""


class EndContact(Record, kw_only=True):
    """The contact is over for this channel: hang up, close the chat."""

    REPEAT: ClassVar[Repeat] = "safe"
    channel: str
    contact: ContactId
    outcome: str
    """Empty: it goes on elsewhere, or later."""
    reason: str = ""
    text: str = ""
    external_id: str = ""
    """Its id at the backend, where that is not the contact's own any more."""


class MoveAgent(Record, kw_only=True):
    """A consult is handed over: this reservation's leg leaves the asking agent for the customer.

    The asking agent's leg was taken away before, in order, or has hung up; a customer who is still
    on hold then is taken back by this.
    """

    REPEAT: ClassVar[Repeat] = "safe"
    channel: str
    contact: ContactId
    from_contact: ContactId
    """The consult that the leg was brought up for; it is over."""
    reservation: ReservationId
    agent: AgentId


class ConferenceContact(Record, kw_only=True):
    """Customer, serving agent and consulted agent in one bridge, or apart again.

    Apart, the customer is on hold and the two agents go on talking.
    """

    REPEAT: ClassVar[Repeat] = "safe"
    channel: str
    contact: ContactId
    consult: ContactId
    together: bool
    reservation: ReservationId
    """The serving agent's."""
    consult_reservation: ReservationId
    """The consulted agent's."""


class MonitorContact(Record, kw_only=True):
    """Ring `endpoint` and let whoever answers hear the contact.

    The same `monitor` with another mode changes what is heard of them, and rings nobody again.
    """

    REPEAT: ClassVar[Repeat] = "query"
    channel: str
    contact: ContactId
    reservation: ReservationId
    """Whose conversation: the serving agent's."""
    monitor: str
    agent: AgentId
    """Who listens; never offered anything by this."""
    endpoint: str
    mode: MonitorMode


class StopMonitor(Record, kw_only=True):
    """Take the listener's leg away; the others notice nothing."""

    REPEAT: ClassVar[Repeat] = "safe"
    channel: str
    contact: ContactId
    monitor: str


class RecordContact(Record, kw_only=True):
    """Record customer and agent, or pause. Off and on again goes on in the same recording."""

    REPEAT: ClassVar[Repeat] = "safe"
    channel: str
    contact: ContactId
    reservation: ReservationId
    recording: str
    """Names the file at the backend: letters, digits, ``-`` and ``.``"""
    on: bool


class LoadCustomer(Record, kw_only=True):
    """A scheduled contact is activated: bring its customer (answer with ProvideCustomer)."""

    REPEAT: ClassVar[Repeat] = "safe"
    contact: ContactId
    customer: str


class AnswerRoute(Record, kw_only=True):
    """The answer to a route request."""

    REPEAT: ClassVar[Repeat] = "safe"
    request: str
    channel: str
    queue: str
    open: bool
    wait_us: int
    position: int
    eligible: int
    requirements: Requirements = ()
    attributes: dict[str, Any] = {}
    deflect: str = ""
    """A rule would turn it away with these words."""


Effect = (
    OfferContact
    | RescindOffer
    | ConnectAgent
    | DisconnectAgent
    | HoldContact
    | TreatContact
    | CollectFromContact
    | DeliverMessage
    | StartContact
    | EndContact
    | MoveAgent
    | ConferenceContact
    | MonitorContact
    | StopMonitor
    | RecordContact
    | LoadCustomer
    | AnswerRoute
)
