"""THE ADAPTER CONTRACT. Everything an adapter's author needs to know is in this file.

An adapter joins one channel's backend (a PBX, an SMS centre, a mailbox, a chat server) to the
router. It tells the router what customers do, through `Router`, and carries out what the router
decides, through `Channel.perform`. `adapters/loopback` is the model to copy; an adapter in
another process, in any language, has the same contract over a WebSocket (`adapters/remote`).

The life of a contact, seen from here:

    you                                   the router
    submit(NewContact(...))        ->     durable when it returns; the same external_id twice is
                                          the same contact
                                   <-     TreatContact: greet, tell position and wait, play music
                                   <-     OfferContact(endpoint): ring the agent (media channels);
                                          without an endpoint the agent answers at the desk
                                   <-     ConnectAgent / StartContact: bring the media leg up
    connected(reservation)         ->     agent and customer are together
    failed(reservation, reason)    ->     the leg did not come up: the contact keeps its place
                                   <-     CollectFromContact: play and collect, quick replies
    collected(name, value, ask)    ->     what the customer answered, or that nobody did
    message(...)                   ->     the customer wrote
                                   <-     DeliverMessage: we write (never twice)
    typing(external_id)           <->     agent_typing(external_id): somebody types; never stored
    receipt(contact, message, ...) ->     what the network said later of one that we wrote
    left(external_id)              ->     the customer is gone
    ended(external_id)             ->     the customer hung up on the agent
    hung_up(reservation)           ->     the agent hung up
                                   <-     EndContact: hang up, close

Calls, besides (channels with media):

    HoldContact                           the customer hears music, or the agent again
    a consult                             a contact of its own without external id: OfferContact
                                          and ConnectAgent with `Task.consult_of`, the external id
                                          of the contact it is about. Its agent's leg is joined to
                                          the ASKING agent's; the customer is on hold by then.
    ConferenceContact                     customer and both agents together, or apart again
    MoveAgent                             handed over: the consulted agent's leg goes to the
                                          customer; the asking agent's was taken away just before,
                                          and no EndContact of the consult follows
    EndContact of a consult               it is over: its agent's leg goes, the asking one stays
    MonitorContact, StopMonitor           a supervisor listens, whispers, barges in
    monitor_ended(monitor)         ->     the supervisor hung up, or never answered
    RecordContact                         start, pause, go on
    recording_ended(recording)     ->     it failed, or the backend gave up: nobody may believe that
                                          it goes on
    EndContact, outcome ``deflected``     the PBX goes on alone (voicemail, an announcement): where
                                          the adapter's setting says (`deflect_to`)
    StartContact                          both sides are to be dialled; which one first is the
                                          adapter's setting (`dial_first`)

When the leg of an agent breaks while the customer is still there, say `failed`: the customer keeps
the place. `hung_up` is what an agent does on purpose: the contact is completed, and you are told to
end it; if a consulted agent is connected, that one has the customer then (`MoveAgent` follows).

After a restart `open` says which of your contacts the router still has, and `history` what was
said; `live` says the reverse, for backends that lose contacts with their connection.

Rules an adapter keeps:

1. Every effect has an id and an epoch. Refuse an epoch lower than one you have seen:
   `adapters.Fence` does it in one line; behind `adapters/remote` it is done before you hear of it.
2. `perform` returns normally when the effect was carried out, raises `ChannelError` when it
   failed, `ChannelLost` when your backend is gone. Raise `UnknownOutcome` when you cannot know:
   such an effect is never repeated blindly. Any other exception is a fault of yours: it is logged,
   and the effect has failed (``safe``) or nobody knows (``query``, ``never``).
3. An effect class says in `REPEAT` what may happen after a crash: ``safe`` again, ``query``
   first ask your backend (your `find` method), ``never``.
4. Your calls on `Router` return when the fact is durable. They raise `Overloaded` or `StoreFull`
   (nothing was done, try later: tell your backend so), `Refused` (it can never be),
   `OutcomeUnknown` (send it again: ids make it safe).
5. Personal data (addresses, names, texts) never stands in a log line above DEBUG.
6. All your buffers are bounded, and every wait on the outside has a deadline.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from router.core.effects import (
    CollectFromContact,
    ConferenceContact,
    ConnectAgent,
    DeliverMessage,
    DisconnectAgent,
    Effect,
    EndContact,
    HoldContact,
    MonitorContact,
    MoveAgent,
    OfferContact,
    RecordContact,
    RescindOffer,
    StartContact,
    StopMonitor,
    TreatContact,
)
from router.core.record import Value
from router.errors import (
    ChannelError,
    ChannelLost,
    OutcomeUnknown,
    Overloaded,
    Refused,
    StoreFull,
)

__all__ = [
    "Address",
    "Channel",
    "ChannelError",
    "ChannelLost",
    "CollectFromContact",
    "ConferenceContact",
    "ConnectAgent",
    "DeliverMessage",
    "Delivery",
    "DisconnectAgent",
    "Effect",
    "EndContact",
    "HoldContact",
    "Line",
    "MonitorContact",
    "MoveAgent",
    "NewContact",
    "NewMessage",
    "OfferContact",
    "OutcomeUnknown",
    "Overloaded",
    "Receipt",
    "RecordContact",
    "Refused",
    "RescindOffer",
    "RouteAnswer",
    "RouteRequest",
    "Router",
    "StartContact",
    "StopMonitor",
    "StoreFull",
    "Task",
    "TreatContact",
    "UnknownOutcome",
]


Delivery = Literal["delivered", "undelivered"]
"""What a receipt says: it reached the customer's device or mailbox, or it never will."""


class UnknownOutcome(ChannelError):
    """The backend did not say whether it happened; do not repeat."""


class Address(Value, kw_only=True):
    """Who is at the other end. All of it is personal data: sealed before it is stored."""

    address: str = ""
    """E.164 number, mailbox, handle or visitor id."""
    name: str = ""


class NewMessage(Value, kw_only=True):
    """A message from the customer."""

    id: str
    """The backend's id for it: the same one twice is the same message."""
    text: str
    """At most 64 KiB."""
    subject: str = ""
    attachments: tuple[dict[str, Any], ...] = ()
    """What `Router.attach` returned for each file."""


class NewContact(Value, kw_only=True):
    """A customer's matter, as the adapter saw it arrive."""

    external_id: str
    """Your id: unique on this channel; the same one twice is the same contact."""
    customer: Address
    to: str = ""
    """Our address that was reached (number, mailbox, site); picks the entry point."""
    entry_point: str = ""
    """Names the entry point instead of `to`."""
    attributes: dict[str, Any] = {}
    """Facts for rules. Only what your backend vouches for, never what the customer typed."""
    requirements: dict[str, int] = {}
    message: NewMessage | None = None
    conversation: str = ""
    trace: str = ""
    """The ``traceparent`` of the request that brought it (W3C Trace Context), if it had one."""


class Receipt(Value, kw_only=True):
    """A contact as the router knows it after your call."""

    contact: str
    state: str
    outcome: str = ""
    reason: str = ""
    created: bool = True
    """False: this external id was known already."""
    position: int = 0
    wait_us: int = -1
    """Estimated wait; -1 = unknown."""


class Line(Value, kw_only=True):
    """One message of a contact, as it was written down."""

    id: str
    """The router's id for it: what `DeliverMessage.message` was."""
    author: str
    """``customer``, ``agent`` or ``router``"""
    at_us: int
    text: str
    backend_id: str = ""
    """Your id for it, if you brought it."""
    subject: str = ""


class RouteRequest(Value, kw_only=True):
    """Where should this call go? Answered without queueing anything."""

    request: str
    to: str = ""
    entry_point: str = ""
    queue: str = ""
    customer: Address = Address()
    """Who calls: rules know then what is known of them. Not stored."""
    requirements: dict[str, int] = {}
    attributes: dict[str, Any] = {}


class RouteAnswer(Value, kw_only=True):
    """Where it would go now, and how long it would wait."""

    queue: str
    open: bool
    wait_us: int
    position: int
    eligible: int
    requirements: dict[str, int] = {}
    """What it would ask of its agent."""
    attributes: dict[str, Any] = {}
    """Yours, the entry point's, and what rules have set."""
    deflect: str = ""
    """Not empty: a rule would turn it away with these words."""


@dataclass(slots=True)
class Task:
    """An effect to carry out, with all that the adapter needs for it."""

    id: str
    epoch: int
    workspace: str
    effect: Effect
    external_id: str
    """Your id of the contact (empty for one that begins here: `StartContact`)."""
    customer: Address
    our_address: str
    text: str = ""
    """`DeliverMessage`: the body."""
    author: str = ""
    """`DeliverMessage`: ``agent`` or ``router``."""
    attributes: dict[str, Any] = field(default_factory=dict)
    consult_of: str = ""
    """Your id of the contact that this consult is about; empty for all that are not consults."""
    first_attempt: bool = True
    """False: its outcome is unknown from before a crash, and its class allows asking first."""


class Teller(Protocol):
    """Is told what came of a submission, once; must neither wait nor raise."""

    def submitted(self, receipt: Receipt) -> None:
        """The contact is durable."""

    def refused(self, error: Exception) -> None:
        """What `Router.submit` would have raised."""


class Router(Protocol):
    """What an adapter may say. Every call returns when the fact is durable."""

    async def submit(self, contact: NewContact) -> Receipt:
        """A contact arrives."""

    def begin(self, contact: NewContact, teller: Teller) -> bool:
        """As `submit`, without waiting or a task: for adapters that carry very many contacts.

        False: nothing was done, this one takes longer: use `submit`. Raises what `submit` raises.
        """

    async def message(self, contact: NewContact) -> Receipt:
        """A message arrives (`contact.message`): joins the open contact with this external id, or
        else the one between these addresses; or begins one."""

    async def left(self, external_id: str, reason: str = "") -> None:
        """The customer is gone (hung up, closed)."""

    async def connected(self, reservation: str) -> None:
        """The agent's leg is up."""

    async def failed(self, reservation: str, reason: str, *, busy: bool = False) -> None:
        """The agent's leg failed; `busy`: the agent's endpoint is at fault."""

    async def ended(self, external_id: str, reason: str = "") -> None:
        """Agent and customer are done (the customer hung up while connected)."""

    async def hung_up(self, reservation: str, reason: str = "") -> None:
        """The agent's leg was up, and the agent hung up.

        A contact is completed, or goes to the consulted agent if one is connected; a consult is
        over, and the asking agent has the customer again. Of a reservation that is over: nothing.
        """

    async def monitor_ended(self, monitor: str, reason: str = "") -> None:
        """A supervisor hung up or was not reached. Of one that is over: nothing."""

    async def recording_ended(self, recording: str, reason: str = "") -> None:
        """Recording could not begin, or broke off. Not for what `RecordContact` itself ends."""

    async def collected(
        self, external_id: str, name: str, value: str, *, ask: str = "", timed_out: bool = False
    ) -> None:
        """What `CollectFromContact` got, or that nobody answered in its time.

        `ask` is that effect's: of one question the first answer counts, the same again is nothing
        new. The value is an attribute of the contact then, ``input.<name>``, empty if `timed_out`.
        """

    async def attach(
        self, data: bytes, *, name: str, kind: str = "", role: str = "attachment"
    ) -> dict[str, Any]:
        """Keep a file of at most 25 MiB that came with a message; durable when it returns.

        Give what it returns along in `NewMessage.attachments`. `kind` is the type that the sender
        declared: the router looks into the bytes. `role`: ``attachment``; ``html``, the body as it
        may be shown (cleaned by you: no script, nothing from elsewhere); ``original``, all of the
        text. Raises `Refused` (too long, or this server keeps no files) and `StoreFull`.
        """

    async def discard(self, attachment: dict[str, Any]) -> None:
        """Remove a file that `attach` has kept and that no message has named, nor ever will."""

    async def receipt(self, contact: str, message: str, state: Delivery, detail: str = "") -> None:
        """What a delivery receipt or a bounce said of a message that we had handed over.

        `contact` and `message` are the router's ids, from `DeliverMessage`: send them along, or
        remember them beside your backend's id. To be told for closed contacts, too; the same twice
        is harmless. Raises `Refused` for a message that is not known any more, or not yours.
        """

    async def started(self, contact: str, external_id: str) -> None:
        """An outbound or switched contact now exists at the backend under this id.

        `Refused`: it is over for the router meanwhile, so end it at the backend, too.
        """

    async def route(self, request: RouteRequest) -> RouteAnswer:
        """Where should this go?"""

    async def live(self, external_ids: list[str]) -> None:
        """After a reconnect: these contacts exist at the backend, no others."""

    async def open(self) -> list[tuple[str, str]]:
        """Your open contacts as (external id, state): at start, to know who was there before."""

    async def history(self, external_id: str, limit: int = 50) -> list[Line]:
        """What was said in this contact, open or closed: the last `limit` messages, oldest first.

        Without those whose person was erased. Raises `Refused` for an id never heard of.
        """

    def typing(self, external_id: str) -> None:
        """The customer is typing: shown at the desk, never stored. At most every two seconds."""

    def state(self, state: str, detail: str = "") -> None:
        """``starting``, ``up``, ``degraded`` or ``down``, shown on the wallboard and in metrics."""


class Channel(ABC):
    """One configured adapter. Made with its name, its settings from the config, and the router."""

    def __init__(self, name: str, settings: dict[str, Any], router: Router) -> None:
        self.name = name
        self.settings = settings
        self.router = router

    @abstractmethod
    async def run(self) -> None:
        """Serve until cancelled. Raise `ChannelLost` to be restarted with back-off."""

    @abstractmethod
    async def perform(self, task: Task) -> None:
        """Carry out one effect; see rules 2 and 3. Called one at a time per contact, in order."""

    def agent_typing(self, external_id: str) -> None:
        """The agent is typing: show it for a few seconds, if your backend can.

        No effect: never stored, told at most every two seconds, and worth nothing later. Never
        waits; a contact that you do not know is passed over.
        """
        del external_id  # most backends have nothing to show it with

    async def find(self, task: Task) -> bool:
        """Was this effect carried out before the crash? Only asked of ``query`` effects."""
        raise UnknownOutcome(f"{self.name} cannot be asked")
