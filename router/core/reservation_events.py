"""What happened to reservations, agents and the workspace. All events together: `events.py`."""

from __future__ import annotations

from typing import Any

from router.core.model import (
    AgentId,
    ContactId,
    Decision,
    Presence,
    QueueId,
    Requirements,
    ReservationId,
)
from router.core.record import Personal, Record


class ContactOffered(Record, kw_only=True):
    """An agent's capacity is held and the agent is asked."""

    at_us: int
    reservation: ReservationId
    contact: ContactId
    agent: AgentId
    queue: QueueId
    channel: str
    units: int
    rank: int
    deadline_at_us: int
    decision: Decision
    auto_accept: bool = False


class OfferAccepted(Record, kw_only=True):
    """The agent took it: the contact is theirs alone."""

    at_us: int
    reservation: ReservationId
    contact: ContactId
    agent: AgentId


class OfferRejected(Personal, kw_only=True):
    """The agent declined; not offered to them again before `until_us`."""

    at_us: int
    reservation: ReservationId
    contact: ContactId
    agent: AgentId
    until_us: int = 0
    reason: str = ""


class OfferExpired(Record, kw_only=True):
    """Redirect on no answer (RONA)."""

    at_us: int
    reservation: ReservationId
    contact: ContactId
    agent: AgentId
    until_us: int = 0


class OfferRescinded(Personal, kw_only=True):
    """The router took the offer back: customer left, another agent was faster, desk lost."""

    at_us: int
    reservation: ReservationId
    contact: ContactId
    agent: AgentId
    reason: str = ""
    until_us: int = 0


class ReservationConnecting(Record, kw_only=True):
    """The media leg to the agent is being set up."""

    at_us: int
    reservation: ReservationId
    deadline_at_us: int
    contact: ContactId = ContactId("")
    agent: AgentId = AgentId("")
    begins: bool = False
    """The customer is being reached, too."""


class ReservationConnected(Record, kw_only=True):
    """Agent and customer are together."""

    at_us: int
    reservation: ReservationId
    contact: ContactId = ContactId("")
    agent: AgentId = AgentId("")


class ReservationFailed(Personal, kw_only=True):
    """The leg did not come up, broke, or the agent was lost."""

    at_us: int
    reservation: ReservationId
    contact: ContactId
    agent: AgentId
    reason: str
    until_us: int = 0


class ReservationSuspended(Record, kw_only=True):
    """Interrupted by `by`; costs nothing until it resumes."""

    at_us: int
    reservation: ReservationId
    by: ReservationId
    contact: ContactId = ContactId("")
    agent: AgentId = AgentId("")


class ReservationResumed(Record, kw_only=True):
    """Goes on after an interruption."""

    at_us: int
    reservation: ReservationId
    units: int
    contact: ContactId = ContactId("")
    agent: AgentId = AgentId("")


class CustomerHeld(Record, kw_only=True):
    """The customer is on hold."""

    at_us: int
    reservation: ReservationId
    contact: ContactId = ContactId("")
    agent: AgentId = AgentId("")


class CustomerResumed(Record, kw_only=True):
    """The customer is off hold."""

    at_us: int
    reservation: ReservationId
    contact: ContactId = ContactId("")
    agent: AgentId = AgentId("")


class WrapUpStarted(Record, kw_only=True):
    """After-contact work; holds this contact's units only."""

    at_us: int
    reservation: ReservationId
    deadline_at_us: int
    disposition: str = ""
    asks_disposition: bool = False
    """The agent cannot finish without one."""
    contact: ContactId = ContactId("")
    agent: AgentId = AgentId("")


class WrapUpExtended(Record, kw_only=True):
    """More time for it."""

    at_us: int
    reservation: ReservationId
    deadline_at_us: int
    contact: ContactId = ContactId("")
    agent: AgentId = AgentId("")


class ReservationEnded(Personal, kw_only=True):
    """Done: the capacity is free."""

    at_us: int
    reservation: ReservationId
    reason: str = ""
    disposition: str = ""
    contact: ContactId = ContactId("")
    agent: AgentId = AgentId("")


class ReservationMoved(Record, kw_only=True):
    """A consulted agent takes the contact over: the reservation now belongs to it."""

    at_us: int
    reservation: ReservationId
    from_contact: ContactId
    contact: ContactId
    agent: AgentId = AgentId("")


class AgentPut(Record, kw_only=True):
    """An agent was created or changed."""

    at_us: int
    agent: AgentId
    order: int
    name: str = ""
    skills: dict[str, int] = {}
    profile: str = ""
    capacity: int = 0
    maximum: dict[str, int] = {}
    endpoints: dict[str, str] = {}
    auto_accept: tuple[str, ...] = ()
    by: str = ""


class AgentRemoved(Record, kw_only=True):
    """An agent was deleted."""

    at_us: int
    agent: AgentId
    by: str = ""


class PresenceChanged(Record, kw_only=True):
    """As declared by the agent, a supervisor, or the RONA policy (`reason` rona, lost)."""

    at_us: int
    agent: AgentId
    presence: Presence
    reason: str = ""
    resets_idle: bool = True
    by: str = ""


class AgentLost(Record, kw_only=True):
    """The agent's last desk connection broke."""

    at_us: int
    agent: AgentId


class AgentBack(Record, kw_only=True):
    """A lost agent is connected again."""

    at_us: int
    agent: AgentId


class RouteAnswered(Personal, kw_only=True):
    """A route request was answered; nothing was queued."""

    at_us: int
    request: str
    queue: QueueId
    wait_us: int
    position: int
    eligible: int
    open: bool
    requirements: Requirements = ()
    attributes: dict[str, Any] = {}
    """Those asked with, the entry point's, and what rules have set."""
    segment: str = ""
    rule: str = ""
    """Names of the rules that decided, with a comma between."""
    deflect: str = ""
    """A rule would turn it away with these words."""


class EffectSettled(Personal, kw_only=True):
    """An effect was carried out, failed, or its outcome is unknown.

    `result` ``delivered`` and ``undelivered``: a receipt for a `message` that had gone out.
    """

    at_us: int
    effect: str
    result: str
    contact: ContactId = ContactId("")
    message: str = ""
    reason: str = ""


class PolicyApplied(Record, kw_only=True):
    """New settings are in force."""

    at_us: int
    version: str
    by: str = ""


class ChannelPaused(Record, kw_only=True):
    """Nobody is offered a contact of this channel until it is resumed; those that wait, wait."""

    at_us: int
    channel: str
    reason: str = ""
    by: str = ""


class ChannelResumed(Record, kw_only=True):
    """Contacts of this channel are offered again."""

    at_us: int
    channel: str
    reason: str = ""
    """``removed``: the settings have no such channel any more; empty = somebody resumed it."""
    by: str = ""


class ClockStepped(Record, kw_only=True):
    """The wall clock was set."""

    at_us: int
    by_us: int


class AuditRecorded(Record, kw_only=True):
    """Somebody did something that no other event tells."""

    at_us: int
    action: str
    """``token.create``, ``config.reload`` ..."""
    subject: str = ""
    by: str = ""


class CommandDeadLettered(Record, kw_only=True):
    """An input that broke the engine twice was put aside."""

    at_us: int
    command: str
    reason: str
