"""What happened to contacts. All events together: `events.py`."""

from __future__ import annotations

from typing import Any

from router.core.facts import NO_FACTS, Facts, Outbound
from router.core.model import (
    AgentId,
    ContactId,
    ContactOutcome,
    Direction,
    QueueId,
    Requirements,
)
from router.core.record import Personal, Record, Value


class Asked(Value, kw_only=True):
    """What a contact asked for before rules changed it, so that other rules can be tried."""

    queue: QueueId = QueueId("")
    requirements: Requirements = ()
    tier: int | None = None
    head_start_us: int = 0
    not_before_us: int = 0
    segment: str = ""
    watched: bool = False
    prefer_agent: AgentId = AgentId("")
    prefer_us: int = 0
    outbound: Outbound | None = None
    set: tuple[str, ...] = ()
    """Names of the attributes that rules have set; what stood under them before is not kept."""


class ContactReceived(Personal, kw_only=True):
    """A contact was accepted. In the same frame it is queued, scheduled or closed."""

    at_us: int
    contact: ContactId
    channel: str
    direction: Direction = Direction.INBOUND
    entry_point: str = ""
    queue: QueueId = QueueId("")
    customer: str = ""
    segment: str = ""
    attributes: dict[str, Any] = {}
    requirements: Requirements = ()
    external_id: str = ""
    conversation: str = ""
    peer_key: str = ""
    sealed: bytes = b""
    seal_key: str = ""
    tier: int | None = None
    head_start_us: int = 0
    not_before_us: int = 0
    not_after_us: int = 0
    target_agent: AgentId = AgentId("")
    prefer_agent: AgentId = AgentId("")
    prefer_us: int = 0
    callback_of: ContactId = ContactId("")
    consult_of: ContactId = ContactId("")
    visit_at_us: int = 0
    """Age inherited from the contact it continues (callback); 0 = none."""
    watched: bool = False
    watched_for: str = ""
    """What made it so; see `Contact.watched_for`."""
    rule: str = ""
    """Names of the rules that decided where it goes, with a comma between."""
    segment_reason: str = ""
    segment_matched: bool = False
    """Its condition was asked and held: it was not given."""
    facts: Facts = NO_FACTS
    """What rules could know, so that past traffic can be tried against others."""
    outbound: Outbound | None = None
    asked: Asked | None = None
    """None: there were no rules to ask."""
    by: str = ""


class ContactScheduled(Personal, kw_only=True):
    """It waits for its window, in no queue."""

    at_us: int
    contact: ContactId
    not_before_us: int
    not_after_us: int = 0
    direction: Direction = Direction.INBOUND
    reason: str = ""
    outbound: Outbound | None = None
    """The terms from now on; None = as they were."""


CUSTOMER_WROTE = "customer_wrote"
"""Why a contact is queued: the customer is there now, and no window of ours holds them."""


class ContactQueued(Personal, kw_only=True):
    """A visit to a queue begins. Its key is (tier, due_at_us - head_start_us, arrival_no)."""

    at_us: int
    contact: ContactId
    queue: QueueId
    tier: int
    head_start_us: int
    due_at_us: int
    arrival_no: int
    visit_no: int
    visit_at_us: int
    requirements: Requirements = ()
    hold_agent: AgentId = AgentId("")
    hold_until_us: int = 0
    target_agent: AgentId = AgentId("")
    not_agent: AgentId = AgentId("")
    """Never offered to this agent in this visit (who asks in a consult)."""
    promised_wait_us: int = -1
    reason: str = ""


class ContactReturned(Personal, kw_only=True):
    """Offered no more: back to its place, with the key it had (and a bonus, if any)."""

    at_us: int
    contact: ContactId
    reason: str
    head_start_us: int


class ContactOverflowed(Personal, kw_only=True):
    """To another queue: keeps its start, takes the new target."""

    at_us: int
    contact: ContactId
    from_queue: QueueId
    queue: QueueId
    tier: int
    head_start_us: int
    due_at_us: int
    requirements: Requirements = ()
    reason: str = ""
    by: str = ""


class ContactRelaxed(Record, kw_only=True):
    """A relaxation step was decided; requirements, queues and key as they stand after it."""

    at_us: int
    contact: ContactId
    step: int
    """Steps decided after this one."""
    name: str
    requirements: Requirements
    extra_queues: tuple[QueueId, ...]
    tier: int
    head_start_us: int
    taken: bool = True
    """False: its conditions did not hold and it was skipped."""


class ContactReprioritized(Record, kw_only=True):
    """Somebody changed tier or head start."""

    at_us: int
    contact: ContactId
    tier: int
    head_start_us: int
    by: str = ""


class RequirementsChanged(Record, kw_only=True):
    """Somebody replaced what it asks of its agent."""

    at_us: int
    contact: ContactId
    requirements: Requirements
    by: str = ""


class HoldEnded(Record, kw_only=True):
    """The wait for the preferred agent is over: everybody eligible may take it."""

    at_us: int
    contact: ContactId


class CoolDownEnded(Record, kw_only=True):
    """This agent may be offered this contact again."""

    at_us: int
    contact: ContactId
    agent: AgentId


class ContactParked(Personal, kw_only=True):
    """The agent waits for the customer; capacity is free."""

    at_us: int
    contact: ContactId
    reason: str = ""


class ContactSwitched(Personal, kw_only=True):
    """Goes on by another channel: same contact, same age. In another queue, it begins that one's
    steps, and is nobody's."""

    at_us: int
    contact: ContactId
    from_channel: str
    channel: str
    queue: QueueId
    tier: int
    due_at_us: int
    head_start_us: int
    from_external_id: str = ""
    """Its id at the backend it leaves; that one is told that it is over there."""
    external_id: str = ""
    peer_key: str = ""
    sealed: bytes = b""
    seal_key: str = ""
    requirements: Requirements | None = None
    """In another queue: what is asked of its agent there. None: it stays where it was."""
    by: str = ""


class ContactLinked(Personal, kw_only=True):
    """It exists at its channel's backend under this id; empty: not there any more."""

    at_us: int
    contact: ContactId
    external_id: str


class ContactUpdated(Personal, kw_only=True):
    """Attributes, customer or watch changed."""

    at_us: int
    contact: ContactId
    attributes: dict[str, Any] | None = None
    """All attributes after the change; None = unchanged."""
    customer: str | None = None
    segment: str | None = None
    watched: bool | None = None
    watched_for: str = ""
    """What made it so, where no person did (`by`)."""
    rule: str = ""
    """Names of the rules that said so, with a comma between."""
    by: str = ""


class ContactClosed(Personal, kw_only=True):
    """The end of the matter. Wrap-up may go on."""

    at_us: int
    contact: ContactId
    outcome: ContactOutcome
    reason: str = ""
    disposition: str = ""
    """As the agent says; one given in wrap-up stands in `ReservationEnded`."""
    by: str = ""


class CallbackOffered(Record, kw_only=True):
    """The waiting customer was offered a callback."""

    at_us: int
    contact: ContactId


class InputAsked(Personal, kw_only=True):
    """The customer is asked something: play-and-collect, a menu, quick replies."""

    at_us: int
    contact: ContactId
    name: str
    ask: str
    prompt: str
    choices: dict[str, str] = {}
    digits: int = 1
    deadline_at_us: int
    by: str = ""


class InputCollected(Personal, kw_only=True):
    """The customer answered, or did not: the attribute ``input.<name>`` has the value."""

    at_us: int
    contact: ContactId
    name: str
    value: str
    ask: str = ""
    timed_out: bool = False


class MessageReceived(Record, kw_only=True):
    """The customer wrote; the body is a row of its own."""

    at_us: int
    contact: ContactId
    message: str
    size: int


class MessageSent(Record, kw_only=True):
    """We wrote (agent empty: the router itself); the body is a row of its own."""

    at_us: int
    contact: ContactId
    message: str
    size: int
    agent: AgentId = AgentId("")


class ConsultStarted(Record, kw_only=True):
    """The serving agent asks another one; `consult` is the contact that carries it."""

    at_us: int
    contact: ContactId
    consult: ContactId


class ConsultEnded(Record, kw_only=True):
    """The consult is over."""

    at_us: int
    contact: ContactId
    consult: ContactId
    handed_over: bool = False
