"""The settings that the core decides by: compiled from the configuration, replaced whole.

Lengths are microseconds. `router/config` builds these from YAML; tests build them directly.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from router.core.learning_policy import LearningPolicy
from router.core.model import DAY_US, MINUTE_US, SECOND_US, QueueId, Requirements
from router.core.permission_policy import ContactPolicy
from router.core.record import Record, Value
from router.core.rules.book import RuleBook
from router.core.rules.compile import Expression


class Strategy(StrEnum):
    """How one agent is chosen among the eligible ones; ties by longest idle, then id."""

    LONGEST_IDLE = "longest_idle"
    LEAST_LOADED = "least_loaded"
    BEST_FIT = "best_fit"
    KEEP_SPECIALISTS = "keep_specialists"
    ROUND_ROBIN = "round_robin"
    ORDERED = "ordered"


class IdentityKind(StrEnum):
    """What an address on a channel is, and so which customers it can tell."""

    PHONE = "phone"
    EMAIL = "email"
    HANDLE = "handle"
    """A name that means something on its own channel only."""


class Channel(Value, kw_only=True):
    """What a channel costs an agent, and how its contacts behave."""

    name: str
    cost: int
    """Units of the agent's capacity that one contact holds."""
    maximum: int
    """Most contacts of this channel at once."""
    tier: int = 0
    target_us: int = 20 * SECOND_US
    """Service-level target where the queue names none."""
    media: bool = False
    """Accepting starts a media leg that must come up (voice)."""
    connect_timeout_us: int = 20 * SECOND_US
    parks: bool = False
    """The agent may wait for the customer without holding capacity."""
    park_after_us: int = 0
    """Park by itself after this much silence; 0 = never."""
    close_after_us: int = 0
    """A parked contact is completed after this long; 0 = never."""
    prefer_last_us: int = 0
    """A customer who writes again is held this long for the last agent; 0 = not at all."""
    interrupts: tuple[str, ...] = ()
    """Channels whose contacts may be suspended to make room for this one."""
    ramp_us: int = 0
    """Log-on ramp: a newly ready agent gets one more each so many µs; 0 = at once."""
    short_abandon_us: int = 5 * SECOND_US
    auto_accept: bool = False
    identity: IdentityKind = IdentityKind.HANDLE
    """What an address on this channel is; the same phone number is the same customer on voice and
    SMS."""


class Full(StrEnum):
    """What happens to a contact that a queue cannot take or keep."""

    DEFLECT = "deflect"
    OVERFLOW = "overflow"
    CALLBACK = "callback"
    QUEUE = "queue"
    """Take it all the same (for hours: let it wait until the queue opens)."""


class Limit(Value, kw_only=True):
    """What to do when a queue is full, closed, or a wait is too long."""

    action: Full = Full.DEFLECT
    queue: QueueId = QueueId("")
    text: str = ""
    condition: Expression | None = None
    """Only if this holds; else `otherwise` is asked."""
    otherwise: Limit | None = None
    """None: what is not asked of a condition is always done."""


class MissAction(StrEnum):
    """RONA policy: what an unanswered offer does to the agent."""

    NOT_READY = "not_ready"
    COOL_DOWN = "cool_down"
    NOTHING = "nothing"


class Decline(Value, kw_only=True):
    """What a rejection or a missed offer does; nobody is rung for ever or never again."""

    on_miss: MissAction = MissAction.NOT_READY
    cool_down_us: int = 30 * SECOND_US
    """This agent is not offered this contact again before."""
    exclude_after: int = 0
    """After so many declines in one visit the agent is excluded for this visit; 0 = never."""
    bonus_us: int = 0
    """Head start added to a contact whose offer was missed."""
    offers: int = 50
    """Most offers for one contact in one visit; then `exhausted`."""
    exhausted: Limit = Limit(action=Full.DEFLECT)


class ActionKind(StrEnum):
    """What a relaxation step may do."""

    LOWER = "lower"
    DROP = "drop"
    ADD = "add"
    ADD_QUEUE = "add_queue"
    TIER = "tier"
    HEAD_START = "head_start"
    MESSAGE = "message"
    OFFER_CALLBACK = "offer_callback"
    ASK = "ask"
    SWITCH_CHANNEL = "switch_channel"
    OVERFLOW = "overflow"
    DEFLECT = "deflect"


class Asking(Value, kw_only=True):
    """A question that a step puts to the waiting customer."""

    name: str
    prompt: str
    choices: dict[str, str] = {}
    digits: int = 1
    timeout_us: int = 10 * SECOND_US


class Action(Value, kw_only=True):
    """One thing a relaxation step does."""

    kind: ActionKind
    skill: str = ""
    level: int = 0
    """`lower`: the new least level. `add`: the level required."""
    queue: QueueId = QueueId("")
    tier: int = 0
    head_start_us: int = 0
    text: str = ""
    channel: str = ""
    question: Asking | None = None


class Step(Value, kw_only=True):
    """A relaxation step: due `after_us` of waiting, done if its conditions hold, else rechecked."""

    name: str
    after_us: int
    actions: tuple[Action, ...]
    wait_over_us: int = -1
    """Only if the estimated wait is longer than this; -1 = not asked."""
    eligible_below: int = -1
    """Only if fewer agents than this could serve it as it stands; -1 = not asked."""
    position_over: int = -1
    """Only if it stands further back than this; -1 = not asked."""
    condition: Expression | None = None
    """Only if this holds as well."""
    otherwise_skip: bool = False
    """When due and the conditions do not hold: skip it for good instead of checking again."""


class Treatment(Value, kw_only=True):
    """What a waiting customer hears or reads."""

    greeting: str = ""
    every_us: int = 0
    """Tell position and estimated wait each so many µs; 0 = never."""
    text: str = ""
    """May hold ``{position}`` and ``{wait_minutes}``."""
    music: str = ""


class Queue(Value, kw_only=True):
    """A line of waiting contacts with its targets."""

    id: QueueId
    hours: str = ""
    """Name of the opening hours; empty = always open."""
    targets_us: dict[str, int] = {}
    goal: float = 0.8
    """Share to be answered within the target; reports are held against it."""
    tiers: dict[str, int] = {}
    strategy: Strategy = Strategy.LONGEST_IDLE
    fit_weights: dict[str, float] = {}
    """`best_fit`: weight per skill; 1 where none is given."""
    rank_first: bool = True
    requirements: Requirements = ()
    """Added to what each contact asks."""
    steps: tuple[Step, ...] = ()
    recheck_us: int = 10 * SECOND_US
    offer_timeout_us: int = 20 * SECOND_US
    parallel: int = 1
    decline: Decline = Decline()
    wrap_up_us: dict[str, int] = {}
    """Per channel; none = no wrap-up."""
    dispositions: tuple[str, ...] = ()
    """What agents choose from when a contact is done; none = any word is taken."""
    require_disposition: bool = False
    most_waiting: int | None = None
    """None = no limit; 0 = nobody waits: served at once or `on_full`."""
    on_full: Limit = Limit(action=Full.DEFLECT)
    longest_wait_us: int = 0
    on_late: Limit = Limit(action=Full.DEFLECT)
    on_closed: Limit = Limit(action=Full.QUEUE)
    transfer_head_start_us: int = 0
    prefer_last_us: int = 0
    """Hold a known customer's contact this long for the agent who last served them."""
    treatment: Treatment = Treatment()
    record: bool = False
    """Record calls from the moment in which agent and customer are together."""

    def leads_to(self) -> Iterator[QueueId]:
        """Queues into which its limits and steps move contacts."""
        for limit in (self.on_full, self.on_late, self.on_closed, self.decline.exhausted):
            asked: Limit | None = limit
            while asked is not None:
                if asked.queue:
                    yield asked.queue
                asked = asked.otherwise
        for step in self.steps:
            yield from (action.queue for action in step.actions if action.queue)

    def switches_to(self) -> Iterator[str]:
        """Channels on which its steps let contacts go on."""
        for step in self.steps:
            yield from (action.channel for action in step.actions if action.channel)


class ProfileQueue(Value, kw_only=True):
    """A queue in a routing profile."""

    queue: QueueId
    rank: int = 1
    delay_us: int = 0
    """Help out only with contacts that have waited this long."""


class Profile(Value, kw_only=True):
    """Which queues an agent serves, in which rank and with what delay."""

    id: str
    queues: tuple[ProfileQueue, ...]


class EntryPoint(Value, kw_only=True):
    """A number, mailbox, site or account on a channel."""

    id: str
    channel: str
    queue: QueueId
    address: str = ""
    attributes: dict[str, Any] = {}
    requirements: Requirements = ()
    brand: str = ""
    language: str = ""
    greeting: str = ""
    music: str = ""
    texts: dict[str, str] = {}


class HoursSpan(Value):
    """Open from minute `start` to minute `end` of the local day; `days` are 0 = Monday ... 6."""

    days: tuple[int, ...]
    start_minute: int
    end_minute: int


class Holiday(Value):
    """One local date (ISO) that differs: closed, or open in these spans of minutes."""

    date: str
    spans: tuple[tuple[int, int], ...] = ()
    name: str = ""


class Hours(Value, kw_only=True):
    """Opening hours in one time zone."""

    id: str
    zone: str = "UTC"
    spans: tuple[HoursSpan, ...] = ()
    holidays: tuple[Holiday, ...] = ()


def same_address(one: Channel, other: Channel) -> bool:
    """Does an address on the one channel mean the same customer on the other?"""
    return one.identity is other.identity and one.identity is not IdentityKind.HANDLE


class KeywordReplies(Value, kw_only=True):
    """What is answered to a keyword where the entry point has no such text; empty = nothing."""

    stop: str = "You will get no more messages from us here. Reply START to get them again."
    stop_all: str = "We will not contact you any more. Reply START to be contacted again."
    start: str = "You will get messages from us again. Reply STOP to end them."


class Policy(Record, kw_only=True):
    """Everything the engine decides by, for one workspace."""

    version: str
    """Digest of the configuration: stands in decision records."""
    channels: dict[str, Channel] = {}
    queues: dict[QueueId, Queue] = {}
    profiles: dict[str, Profile] = {}
    entry_points: dict[str, EntryPoint] = {}
    hours: dict[str, Hours] = {}
    capacity: int = 100
    waiting_places: int | None = None
    """Most waiting in all queues together; None = no limit. One more is deflected."""
    lost_after_us: int = 30 * SECOND_US
    """A desk gone this long makes its agent not_ready(lost)."""
    hops: int = 20
    """Most transfers, overflows, requeues and switches of one contact."""
    live_contacts: int = 500_000
    turn: int = 500
    """Most contacts one timer moves in one turn."""
    grace_us: int = 5 * SECOND_US
    """After a restart no deadline is earlier than this from now."""
    callback_attempts: int = 3
    callback_retry_us: int = 30 * MINUTE_US
    keep_closed_us: int = 30 * DAY_US
    country: str = ""
    """Where phone numbers without a country code are (ISO 3166, two letters); empty = nowhere."""
    contacting: ContactPolicy = ContactPolicy()
    """Whether and when customers may be contacted."""
    rules: RuleBook = RuleBook()
    """Segments and rules: what happens to a contact on arrival."""
    templates: dict[str, str] = {}
    """Texts that go out without an agent, by name; ``{name}`` and attributes are filled in."""
    learning: LearningPolicy = LearningPolicy()
    """What is learned of attempts to reach customers, and how windows are chosen."""
    keyword_replies: KeywordReplies = KeywordReplies()

    def our_address(self, channel: str, queue: QueueId) -> str:
        """Where customers of this queue reach us on a channel, by its entry points; empty = none.

        Of several the first one that leads to the queue, or else the first.
        """
        found = [p for p in self.entry_points.values() if p.channel == channel and p.address]
        mine = [point for point in found if point.queue == queue]
        return next((point.address for point in mine or found), "")


def default_channels() -> dict[str, Channel]:
    """The four channels as product and config describe them, before anybody changes anything."""
    return {
        "voice": Channel(
            name="voice",
            cost=100,
            maximum=1,
            tier=0,
            target_us=20 * SECOND_US,
            media=True,
            interrupts=("email",),
            identity=IdentityKind.PHONE,
        ),
        "chat": Channel(
            name="chat",
            cost=33,
            maximum=3,
            tier=0,
            target_us=60 * SECOND_US,
            parks=True,
            park_after_us=5 * MINUTE_US,
            close_after_us=DAY_US,
            prefer_last_us=120 * SECOND_US,
        ),
        "sms": Channel(
            name="sms",
            cost=20,
            maximum=5,
            tier=1,
            target_us=10 * MINUTE_US,
            parks=True,
            park_after_us=15 * MINUTE_US,
            close_after_us=3 * DAY_US,
            prefer_last_us=120 * SECOND_US,
            identity=IdentityKind.PHONE,
        ),
        "email": Channel(
            name="email",
            cost=10,
            maximum=10,
            tier=1,
            target_us=240 * MINUTE_US,
            parks=True,
            close_after_us=14 * DAY_US,
            prefer_last_us=120 * SECOND_US,
            identity=IdentityKind.EMAIL,
        ),
    }
