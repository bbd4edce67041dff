"""What conditions see: the contact, its customer, what was learned, queues, and the time.

`schema` gives the names and their types, `Context` the values. A context works out a value when a
condition reads it, so that conditions pay for what they ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from operator import attrgetter
from typing import Protocol

from router.core.facts import CustomerFacts, Facts, Permission, PreferenceFacts
from router.core.model import Contact, ContactId, Direction, Requirements
from router.core.record import Value
from router.core.rules.moments import local_time, zone_of
from router.core.rules.operations import Fault
from router.core.rules.schema import Schema
from router.core.rules.types import (
    BOOL,
    DOUBLE,
    DURATION,
    INT,
    JSON_OBJECT,
    STRING,
    TIMESTAMP,
    Field,
    Record,
    map_of,
    record_of,
)

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Known(Value, kw_only=True):
    """The names that conditions and verbs may use: what the configuration has defined."""

    queues: dict[str, str] = {}
    """Each with the time zone of its opening hours."""
    channels: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    entry_points: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()


class Look(Protocol):
    """Numbers of queues and agents as they are now; the engine answers."""

    def is_queue(self, queue: str) -> bool:
        """Whether there is such a queue; the other questions are only asked of those."""

    def waiting(self, queue: str) -> int:
        """Contacts that wait in it."""

    def position(self, contact: ContactId, queue: str) -> int:
        """Where the contact stands, or would stand, counted from 1."""

    def longest_wait_us(self, queue: str) -> int:
        """How long its first contact has waited; 0 = nobody waits."""

    def wait_us(self, queue: str, channel: str) -> int:
        """Estimated wait of one more contact."""

    def own_wait_us(self, contact: ContactId, queue: str, channel: str) -> int:
        """Estimated wait of the contact, from its place."""

    def ready(self, queue: str) -> int:
        """Agents who serve it and are ready."""

    def available(self, queue: str, channel: str) -> int:
        """Those of them with room for one more contact of this channel."""

    def eligible(self, queue: str, requirements: Requirements) -> int:
        """Those who are ready and meet the requirements."""

    def is_open(self, queue: str) -> bool:
        """Whether its hours say open."""

    def zone(self, queue: str) -> str:
        """Time zone of its hours."""


# --- the names ------------------------------------------------------------------------------------


def schema(known: Known | None = None) -> Schema:
    """All names, with the values they can have as far as `known` says; None: any value."""
    known = known or Known()
    queues = tuple(known.queues)
    channels = _or_empty(known.channels)
    return Schema(
        {
            "contact": _contact(known, queues),
            "customer": _customer(channels),
            "segment": Field(STRING, values=_or_empty(known.segments)),
            "preference": _preference(channels),
            "permission": record_of("permission", {"allowed": BOOL, "reason": STRING}),
            "queue": _QUEUE,
            "queues": Field(map_of(STRING, _QUEUE), values=queues),
            "now": TIMESTAMP,
            "local": _LOCAL,
            "queue_local": _LOCAL,
        }
    )


def _or_empty(values: tuple[str, ...]) -> tuple[str, ...]:
    """The texts, and the empty one for "none"; nothing if none is known."""
    return (*values, "") if values else ()


def _contact(known: Known, queues: tuple[str, ...]) -> Record:
    return record_of(
        "contact",
        {
            "id": STRING,
            "channel": Field(STRING, values=known.channels),
            "direction": Field(STRING, values=tuple(str(d) for d in Direction)),
            "entry_point": Field(STRING, values=_or_empty(known.entry_points)),
            "queue": Field(STRING, values=queues),
            "attributes": JSON_OBJECT,
            "requirements": map_of(STRING, INT),
            "conversation": STRING,
            "tier": INT,
            "head_start": DURATION,
            "created_at": TIMESTAMP,
            "waited": DURATION,
            "position": INT,
            "estimated_wait": DURATION,
            "hops": INT,
            "step": INT,
            "visit": INT,
        },
    )


def _customer(channels: tuple[str, ...]) -> Record:
    return record_of(
        "customer",
        {
            "known": BOOL,
            "id": STRING,
            "attributes": JSON_OBJECT,
            "language": STRING,
            "zone": STRING,
            "contacts": INT,
            "last_contact_at": Field(TIMESTAMP, optional=True),
            "last_channel": Field(STRING, values=channels),
            "last_agent": STRING,
            "do_not_contact": BOOL,
            "watched": BOOL,
        },
    )


def _preference(channels: tuple[str, ...]) -> Record:
    return record_of(
        "preference",
        {
            "channel": Field(STRING, values=channels),
            "address": STRING,
            "window": STRING,
            "weekday": INT,
            "hour": INT,
            "probability": DOUBLE,
            "low": DOUBLE,
            "high": DOUBLE,
            "confidence": DOUBLE,
            "attempts": INT,
            "successes": INT,
            "last_success_at": Field(TIMESTAMP, optional=True),
            "now": Field(map_of(STRING, DOUBLE), values=tuple(c for c in channels if c)),
        },
    )


_QUEUE = record_of(
    "queue",
    {
        "id": STRING,
        "open": BOOL,
        "waiting": INT,
        "estimated_wait": DURATION,
        "longest_wait": DURATION,
        "ready": INT,
        "available": INT,
        "eligible": INT,
    },
)
_LOCAL = record_of(
    "local",
    {
        "hour": INT,
        "minute": INT,
        "weekday": INT,
        "day": Field(STRING, values=DAYS),
        "date": STRING,
        "minutes": INT,
    },
)

SCHEMA = schema()
"""Every name, whatever the configuration defines."""

# --- the values -----------------------------------------------------------------------------------


class Context:
    """What is known of one contact at one moment; attributes are the schema's names.

    `contact` is the row as it is, or as it will be when it arrives; `now_us` is engine time, which
    lengths are counted in, and `calendar_us` the moment by the wall clock.
    """

    __slots__ = ("__dict__", "_contact", "_facts", "_look", "_now_us", "now", "segment")

    def __init__(
        self, contact: Contact, facts: Facts, look: Look, now_us: int, calendar_us: int
    ) -> None:
        self._contact = contact
        self._facts = facts
        self._look = look
        self._now_us = now_us
        self.now = calendar_us
        self.segment = contact.segment
        """Set by whoever has asked the rule book for it (`RuleBook.segment_of`)."""

    @property
    def given_segment(self) -> str:
        """What the customer's profile says by hand; conditions see `segment`."""
        return self._facts.customer.segment

    @cached_property
    def contact(self) -> ContactView:
        """The contact."""
        return ContactView(self._contact, self._look, self._now_us)

    @cached_property
    def customer(self) -> CustomerView:
        """Its customer."""
        return CustomerView(self._contact.customer, self._facts.customer)

    @cached_property
    def preference(self) -> PreferenceView:
        """What was learned of reaching them."""
        return PreferenceView(self._facts.preference)

    @property
    def permission(self) -> Permission:
        """Whether they may be contacted now."""
        return self._facts.permission

    @cached_property
    def queue(self) -> QueueView:
        """The contact's queue."""
        return QueueView(self._contact.queue, self._contact, self._look)

    @cached_property
    def queues(self) -> Queues:
        """Any queue, by its name."""
        return Queues(self._contact, self._look)

    @cached_property
    def local(self) -> LocalTime:
        """The customer's local time; the queue's, if their zone is not known."""
        zone = self._facts.customer.zone
        try:
            return LocalTime(self.now, zone) if zone else self.queue_local
        except Fault:
            return self.queue_local  # a profile with a zone that this machine does not know

    @cached_property
    def queue_local(self) -> LocalTime:
        """Local time at the contact's queue."""
        queue = self._contact.queue
        return LocalTime(self.now, self._look.zone(queue) if queue else "UTC")


class ContactView:
    """A contact as conditions see it."""

    __slots__ = ("_contact", "_look", "_now_us")

    def __init__(self, contact: Contact, look: Look, now_us: int) -> None:
        self._contact = contact
        self._look = look
        self._now_us = now_us

    # An attrgetter is a property that costs no Python call.
    id = property(attrgetter("_contact.id"))
    channel = property(attrgetter("_contact.channel"))
    direction = property(attrgetter("_contact.direction"))
    entry_point = property(attrgetter("_contact.entry_point"))
    queue = property(attrgetter("_contact.queue"))
    attributes = property(attrgetter("_contact.attributes"))
    conversation = property(attrgetter("_contact.conversation"))
    tier = property(attrgetter("_contact.tier"))
    head_start = property(attrgetter("_contact.head_start_us"))
    hops = property(attrgetter("_contact.hops"))
    step = property(attrgetter("_contact.step"))
    visit = property(attrgetter("_contact.visit_no"))

    @property
    def requirements(self) -> Mapping[str, int]:
        """Skill to least level."""
        return dict(self._contact.requirements)

    @property
    def created_at(self) -> int:
        """When it arrived."""
        return self._contact.created_at_us or self._now_us

    @property
    def waited(self) -> int:
        """In this visit, in µs."""
        return max(0, self._now_us - (self._contact.visit_at_us or self._now_us))

    @property
    def position(self) -> int:
        """In its line, from 1."""
        return self._look.position(self._contact.id, self._contact.queue)

    @property
    def estimated_wait(self) -> int:
        """From its place in line, in µs."""
        contact = self._contact
        return self._look.own_wait_us(contact.id, contact.queue, contact.channel)


class CustomerView:
    """A customer as conditions see it."""

    __slots__ = ("_facts", "id")

    def __init__(self, id_: str, facts: CustomerFacts) -> None:
        self.id = id_
        self._facts = facts

    known = property(attrgetter("_facts.known"))
    attributes = property(attrgetter("_facts.attributes"))
    language = property(attrgetter("_facts.language"))
    zone = property(attrgetter("_facts.zone"))
    contacts = property(attrgetter("_facts.contacts"))
    last_channel = property(attrgetter("_facts.last_channel"))
    last_agent = property(attrgetter("_facts.last_agent"))
    do_not_contact = property(attrgetter("_facts.do_not_contact"))
    watched = property(attrgetter("_facts.watched"))

    @property
    def last_contact_at(self) -> int | None:
        """None: never."""
        return self._facts.last_contact_at_us or None


class PreferenceView:
    """A learned preference as conditions see it."""

    __slots__ = ("_facts",)

    def __init__(self, facts: PreferenceFacts) -> None:
        self._facts = facts

    channel = property(attrgetter("_facts.channel"))
    address = property(attrgetter("_facts.address"))
    hour = property(attrgetter("_facts.hour"))
    probability = property(attrgetter("_facts.probability"))
    low = property(attrgetter("_facts.low"))
    high = property(attrgetter("_facts.high"))
    confidence = property(attrgetter("_facts.confidence"))
    attempts = property(attrgetter("_facts.attempts"))
    successes = property(attrgetter("_facts.successes"))
    now = property(attrgetter("_facts.by_channel"))  # probability of success, per channel

    @property
    def window(self) -> str:
        """The best hour of the week: ``tue 09-10``; empty = none is known."""
        weekday, hour = self._facts.weekday, self._facts.hour
        if weekday < 0 or hour < 0:
            return ""
        return f"{DAYS[weekday]} {hour:02}-{(hour + 1) % 24 or 24:02}"

    @property
    def weekday(self) -> int:
        """1 = Monday ... 7; 0 = none is known."""
        return self._facts.weekday + 1

    @property
    def last_success_at(self) -> int | None:
        """None: never."""
        return self._facts.last_success_at_us or None


class QueueView:
    """A queue's numbers, for one contact."""

    __slots__ = ("_contact", "_look", "id")

    def __init__(self, queue: str, contact: Contact, look: Look) -> None:
        self.id = queue
        self._contact = contact
        self._look = look

    @property
    def open(self) -> bool:
        """Whether its hours say open."""
        return self._look.is_open(self.id)

    @property
    def waiting(self) -> int:
        """Contacts in it."""
        return self._look.waiting(self.id)

    @property
    def estimated_wait(self) -> int:
        """Of one more contact of this channel, in µs."""
        return self._look.wait_us(self.id, self._contact.channel)

    @property
    def longest_wait(self) -> int:
        """Of its first contact, in µs."""
        return self._look.longest_wait_us(self.id)

    @property
    def ready(self) -> int:
        """Agents who serve it and are ready."""
        return self._look.ready(self.id)

    @property
    def available(self) -> int:
        """Those with room for this channel."""
        return self._look.available(self.id, self._contact.channel)

    @property
    def eligible(self) -> int:
        """Those who meet what this contact asks for."""
        return self._look.eligible(self.id, self._contact.requirements)


class Queues(dict[str, QueueView]):
    """Queues by name, each made when it is asked for."""

    __slots__ = ("_contact", "_look")

    def __init__(self, contact: Contact, look: Look) -> None:
        super().__init__()
        self._contact = contact
        self._look = look

    def __contains__(self, queue: object) -> bool:
        return isinstance(queue, str) and self._look.is_queue(queue)

    def __missing__(self, queue: str) -> QueueView:
        if queue not in self:
            raise KeyError(queue)
        view = self[queue] = QueueView(queue, self._contact, self._look)
        return view


class LocalTime:
    """A moment on the wall clock of a zone."""

    __slots__ = ("_local",)

    def __init__(self, moment_us: int, zone: str) -> None:
        self._local: datetime = local_time(moment_us, zone_of(zone))

    @property
    def hour(self) -> int:
        """0-23."""
        return self._local.hour

    @property
    def minute(self) -> int:
        """0-59."""
        return self._local.minute

    @property
    def weekday(self) -> int:
        """1 = Monday ... 7."""
        return self._local.isoweekday()

    @property
    def day(self) -> str:
        """``mon`` ... ``sun``."""
        return DAYS[self._local.weekday()]

    @property
    def date(self) -> str:
        """``2026-11-22``."""
        return self._local.date().isoformat()

    @property
    def minutes(self) -> int:
        """Since midnight, by the clock on the wall."""
        return self._local.hour * 60 + self._local.minute
