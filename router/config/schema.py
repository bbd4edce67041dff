"""What a workspace's part of the configuration file holds; the manual is made from this.

All of it reloads while running, but for what `diff.py` names; the process's own settings are in
`server.py`. Lengths of time are written with their unit (`20s`, `5m`, `4h`, `2d`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from router.config.contacting import ContactingSettings, country
from router.config.convert import (
    INVALID,
    Between,
    ForAll,
    Invalid,
    Name,
    Own,
    Reading,
    Ref,
    Written,
    record,
)
from router.config.expressions import Source, expression
from router.config.forms import day, days, percent, spans, web_url, zone
from router.config.kinds import (
    Attributes,
    ChannelName,
    Length,
    Level,
    Levels,
    QueueName,
    Skill,
    Some,
    Text,
    Tier,
)
from router.config.learning import LearningSettings
from router.config.reader import Mapping, Node, Path, Sequence
from router.config.rules import RuleSettings, RuleTestSettings, SegmentSettings, condition_name
from router.core.policy import Full, IdentityKind, MissAction, Strategy
from router.core.record import Value
from router.core.rules.book import Match


class ChannelSettings(Value, kw_only=True):
    """A channel: what it costs an agent, and how its contacts behave.

    voice, chat, sms and email are there without being named; a new channel must give cost and
    maximum.
    """

    cost: Annotated[int, Between(1, 10_000)] | None = None
    """Units of the agent's capacity that one contact holds."""
    maximum: Annotated[int, Between(1, 1_000)] | None = None
    """Most contacts of this channel at once for one agent."""
    tier: Tier | None = None
    """Smaller tiers are served first, whatever the waiting time. Queues may differ."""
    target: Some | None = None
    """Service-level target, in open hours, where the queue names none."""
    media: bool | None = None
    """Accepting starts a media leg that must come up before agent and customer are together."""
    connect_timeout: Some | None = None
    """A media leg that is not up by then has failed; the contact returns to its place."""
    parks: bool | None = None
    """The agent may wait for the customer's answer without holding capacity."""
    park_after: Length | None = None
    """Park by itself after this much silence; 0 = never."""
    close_after: Length | None = None
    """A parked contact is completed after this long; 0 = never."""
    prefer_last: Length | None = None
    """A customer who writes again is held this long for the last agent; 0 = not at all."""
    interrupts: tuple[ChannelName, ...] | None = None
    """Channels whose contacts may be suspended to make room for this one."""
    ramp: Length | None = None
    """Log-on ramp: a newly ready agent gets one more contact each so long; 0 = all at once."""
    short_abandon: Length | None = None
    """Who leaves sooner than this does not count as abandoned in the service level."""
    auto_accept: bool | None = None
    """Offers of this channel are accepted without the agent's doing."""
    identity: IdentityKind | None = None
    """What an address here is: phone and email tell the same customer on every channel, handle
    on this one alone."""


class HolidaySettings(Value, kw_only=True):
    """A date that differs from its weekday. Short form: just the times, or `closed`."""

    SHORT: ClassVar[str] = "open"
    open: Annotated[tuple[tuple[int, int], ...], Written(spans)] = ()
    """Times such as `09:00-12:00, 13:00-15:00`, or `closed`."""
    name: Text = ""
    """What the day is called."""


class HoursSettings(Value, kw_only=True):
    """Opening hours, on the wall clock of one time zone."""

    zone: Annotated[str, Written(zone)] = "UTC"
    """IANA time zone."""
    open: dict[
        Annotated[tuple[int, ...], Written(days)],
        Annotated[tuple[tuple[int, int], ...], Written(spans)],
    ]
    """Times for each group of days; a span that ends before it starts ends the next day."""
    holidays: dict[Annotated[str, Written(day)], HolidaySettings] = {}
    """Dates that differ."""


class Instead(Value, kw_only=True):
    """What happens to a contact that a queue cannot take or keep. Short form: the action alone."""

    SHORT: ClassVar[str] = "action"
    action: Full = Full.DEFLECT
    """deflect (out of the system), overflow (to another queue), callback, queue (let it wait)."""
    queue: QueueName = ""
    """overflow: to this queue."""
    text: Text = ""
    """What the customer is told."""
    when: Annotated[Source | None, Own(expression)] = None
    """Only if this expression holds; of a list the first that holds is done, and if none does the
    contact waits on."""


def insteads(node: Node, path: Path, reading: Reading) -> tuple[Instead, ...] | Invalid:
    """One, or a list that is asked in its order."""
    if not isinstance(node, Sequence):
        one = record(Instead, node, path, reading)
        return INVALID if isinstance(one, Invalid) else (one,)
    if not 1 <= len(node.items) <= 20:
        reading.findings.add(node.mark, path, f"expected 1 to 20 entries, got {len(node.items)}")
    found = []
    for index, inner in enumerate(node.items):
        one = record(Instead, inner, (*path, index), reading)
        if not isinstance(one, Invalid):
            found.append(one)
    return tuple(found) if len(found) == len(node.items) else INVALID


Insteads = Annotated[tuple[Instead, ...], Own(insteads)]


class WhenSettings(Value, kw_only=True):
    """Conditions of a relaxation step; all that are given must hold."""

    wait_over: Length | None = None
    """The estimated wait is longer than this."""
    eligible_below: Annotated[int, Between(1, 100_000)] | None = None
    """Fewer agents than this could serve the contact as it stands."""
    position_over: Annotated[int, Between(0, 1_000_000)] | None = None
    """It stands further back than this."""


def step_condition(node: Node, path: Path, reading: Reading) -> WhenSettings | Source | Invalid:
    """An expression, or the mapping."""
    if isinstance(node, Mapping):
        return record(WhenSettings, node, path, reading)
    return expression(node, path, reading)


class Otherwise(StrEnum):
    """What happens to a step that is due while its conditions do not hold."""

    RECHECK = "recheck"
    SKIP = "skip"


class AskSettings(Value, kw_only=True):
    """A question to the waiting customer. The answer is the attribute `input.<name>`."""

    name: Annotated[str, Between(1, 64), Name()]
    """Letters, digits and _."""
    prompt: Text
    """What is played or shown."""
    choices: Annotated[dict[Annotated[str, Between(1, 40)], Text], Between(0, 20)] = {}
    """What can be pressed or picked, and what it means; default: any answer."""
    digits: Annotated[int, Between(1, 40)] = 1
    """How many digits are collected on a phone."""
    timeout: Some = 10_000_000
    """Time to answer."""


class StepSettings(Value, kw_only=True):
    """A relaxation step: what changes after so much waiting. Its actions are done in this order."""

    after: Length
    """Waiting time at which the step is due; steps stand in this order."""
    name: Annotated[str, Name()] = ""
    """Stands in decision records; default: the step's number and time."""
    when: Annotated[WhenSettings | Source, Own(step_condition)] = WhenSettings()
    """Conditions: an expression as in rules, or a mapping."""
    otherwise: Otherwise = Otherwise.RECHECK
    """If they do not hold: look again every `recheck`, or skip the step for good."""
    lower: Levels = {}
    """Skills with their new least level; a skill that is not asked for is left alone."""
    drop: tuple[Skill, ...] = ()
    """Skills that are not asked for any more."""
    add: Levels = {}
    """Skills that are asked for from now on."""
    add_queues: tuple[QueueName, ...] = ()
    """The agents of these queues may serve it as well."""
    tier: Tier | None = None
    """New tier."""
    head_start: Some | None = None
    """Counts as having waited this much longer."""
    message: Text = ""
    """Tell the customer."""
    offer_callback: Text = ""
    """Offer a callback, in these words."""
    ask: AskSettings | None = None
    """Ask the customer; rules on input say what the answer does."""
    switch_channel: Annotated[str, Ref("channels")] = ""
    """Go on waiting on this channel."""
    overflow: QueueName = ""
    """Move to this queue; the waiting time is kept."""
    deflect: Text = ""
    """Out of the system, with these words."""


class OfferSettings(Value, kw_only=True):
    """How contacts are offered to agents."""

    timeout: Some = 20_000_000
    """An offer not accepted by then is missed (RONA)."""
    parallel: Annotated[int, Between(1, 20)] = 1
    """To how many agents at once; the first who accepts gets it."""


class DeclineSettings(Value, kw_only=True):
    """What a rejected or missed offer does."""

    on_miss: MissAction = MissAction.NOT_READY
    """To the agent: not_ready (until they say ready again), cool_down (as a rejection), nothing."""
    cool_down: Length = 30_000_000
    """This agent is not offered this contact again before."""
    exclude_after: Annotated[int, Between(0, 100)] = 0
    """After so many declines by one agent the contact is not offered to them again; 0 = never."""
    bonus: Length = 0
    """Head start for a contact whose offer was missed."""
    offers: Annotated[int, Between(1, 1_000)] = 50
    """Most offers for one contact in one visit."""
    exhausted: Insteads = ()
    """What happens after that; default: deflect."""


class TreatmentSettings(Value, kw_only=True):
    """What a waiting customer hears or reads."""

    greeting: Text = ""
    """Once, on arrival."""
    every: Length = 0
    """Tell `text` each so long; 0 = never."""
    text: Text = ""
    """May hold {position} and {wait_minutes}."""
    music: Text = ""
    """Name of the music class at the adapter's backend."""


class QueueSettings(Value, kw_only=True):
    """A line of waiting contacts with its targets."""

    hours: Annotated[str, Ref("hours")] = ""
    """Opening hours; without them always open."""
    on_closed: Insteads = ()
    """Contacts that arrive when it is closed; default: queue (they wait until it opens)."""
    target: Annotated[dict[ChannelName, Some], ForAll()] = {}
    """Service-level target, one for all channels or per channel; default: the channel's."""
    goal: Annotated[float, Written(percent)] = 0.8
    """Service-level goal: the share of contacts to be answered within the target."""
    tier: Annotated[dict[ChannelName, Tier], ForAll()] = {}
    """Tier, one for all channels or per channel; default: the channel's."""
    require: Levels = {}
    """Skills with their least level (1-10), besides what the contact itself asks for."""
    strategy: Strategy = Strategy.LONGEST_IDLE
    """Who gets the contact: longest_idle, least_loaded, best_fit (highest weighted level),
    keep_specialists (fewest skills to spare), round_robin, ordered (by rank alone)."""
    fit_weights: dict[Skill, Annotated[float, Between(0, 1000)]] = {}
    """best_fit: weight of a skill; 1 where none is given."""
    rank_first: bool = True
    """Agents whose profile ranks this queue lower (1 before 2) are chosen first."""
    steps: Annotated[tuple[StepSettings, ...], Between(0, 20)] = ()
    """Relaxation: what changes as the waiting time grows."""
    recheck: Some = 10_000_000
    """How often a step whose conditions did not hold is looked at again."""
    offer: OfferSettings = OfferSettings()
    """Offers to agents."""
    decline: DeclineSettings = DeclineSettings()
    """Rejected and missed offers."""
    wrap_up: Annotated[dict[ChannelName, Length], ForAll()] = {}
    """Time for after-contact work, one for all channels or per channel; default: none."""
    dispositions: Annotated[tuple[Annotated[str, Name()], ...], Between(0, 50)] = ()
    """How a contact can have ended: what the agent chooses from. Without them any word is taken."""
    require_disposition: bool = False
    """An agent cannot complete a contact, or finish its wrap-up, without one."""
    most_waiting: Annotated[int, Between(0, 1_000_000)] | None = None
    """Most contacts waiting; 0 = nobody waits: served at once, or `on_full`. Default: no limit."""
    on_full: Insteads = ()
    """The contact that would be one more; default: deflect."""
    longest_wait: Length = 0
    """Longest wait; 0 = no limit. Callbacks and consults wait on."""
    on_late: Insteads = ()
    """A contact that has waited that long; default: deflect. Where no condition holds, they are
    asked again every `recheck`."""
    transfer_head_start: Length = 0
    """Contacts transferred into this queue count as having waited this long."""
    prefer_last: Length = 0
    """Hold a known customer's contact this long for the agent who last served them; 0 = not."""
    record: bool = False
    """Record calls from the moment in which agent and customer are together."""
    treatment: TreatmentSettings = TreatmentSettings()
    """What a waiting customer hears or reads."""


class ServeSettings(Value, kw_only=True):
    """How an agent with this profile serves one queue. Short form: the rank alone."""

    SHORT: ClassVar[str] = "rank"
    rank: Annotated[int, Between(1, 99)] = 1
    """Queues of rank 1 are looked at before those of rank 2."""
    delay: Length = 0
    """Help out only with contacts that have waited this long."""


class EntryPointSettings(Value, kw_only=True):
    """A number, mailbox, site or account on a channel, and the queue its contacts go to."""

    channel: ChannelName
    """The channel it is on."""
    queue: QueueName
    """Where its contacts wait."""
    address: Annotated[str, Between(1, 320)] = ""
    """Our own address there, as the adapter reports it."""
    require: Levels = {}
    """Skills with their least level, besides those of the queue."""
    attributes: Attributes = {}
    """Set on each contact that arrives here."""
    brand: Text = ""
    """Whose name the customer sees."""
    language: Annotated[str, Between(2, 35)] = ""
    """BCP 47 language tag of its texts."""
    greeting: Text = ""
    """Said on arrival instead of the queue's greeting."""
    music: Text = ""
    """Played instead of the queue's music."""
    texts: dict[Annotated[str, Name()], Text] = {}
    """Texts by name, for whoever shows them (the widget, an adapter)."""


class AgentSeed(Value, kw_only=True):
    """An agent to create at the first start; from then on agents belong to the API."""

    FILLED: ClassVar[tuple[str, ...]] = ("id",)
    id: str = ""
    name: Annotated[str, Between(1, 200)] = ""
    """As customers and colleagues see it."""
    skills: Annotated[dict[Skill, Level], Between(0, 200)] = {}
    """Skills with their level, 1-10."""
    profile: Annotated[str, Ref("profiles")]
    """Routing profile: which queues they serve."""
    capacity: Annotated[int, Between(1, 10_000)] = 0
    """Total units; default: the workspace's."""
    maximum: dict[ChannelName, Annotated[int, Between(0, 1_000)]] = {}
    """Most contacts at once per channel, where it differs from the channel's."""
    endpoints: dict[ChannelName, Text] = {}
    """Where media reach the agent, such as `voice: PJSIP/ana`."""
    auto_accept: tuple[ChannelName, ...] = ()
    """Channels whose offers are accepted without the agent's doing."""


class AdapterSettings(Value, kw_only=True):
    """A joined backend. All other keys are the adapter's own: it documents and checks them."""

    REST: ClassVar[str] = "settings"
    FILLED: ClassVar[tuple[str, ...]] = ("settings",)
    type: Annotated[str, Name()]
    """The module in `adapters/`: loopback, webchat, remote."""
    channel: ChannelName = ""
    """The channel it implements; default: the one that has the adapter's name."""
    settings: dict[str, Any] = {}


class WebhookSettings(Value, kw_only=True):
    """A URL that gets events by POST, signed and retried."""

    url: Annotated[str, Written(web_url)]
    """Where to."""
    secret_file: Text
    """File with the secret that signs, beside this file or absolute; not readable for everybody."""
    events: tuple[Annotated[str, Ref("events")], ...] = ()
    """Only these, such as ContactClosed; default: all."""


class BoundSettings(Value, kw_only=True):
    """Limits that keep one workspace from taking the machine."""

    waiting_places: Annotated[int, Between(0, 10_000_000)] | None = None
    """Most contacts waiting in all queues together; one more is deflected. Default: no limit."""
    live_contacts: Annotated[int, Between(1, 5_000_000)] = 500_000
    """Most contacts that are not closed."""
    hops: Annotated[int, Between(1, 1_000)] = 20
    """Most transfers, overflows, requeues and channel switches of one contact."""
    turn: Annotated[int, Between(1, 100_000)] = 500
    """Most contacts one timer moves before others get their turn."""


class CallbackSettings(Value, kw_only=True):
    """Callbacks."""

    attempts: Annotated[int, Between(1, 100)] = 3
    """How often a customer who does not answer is called."""
    retry: Some = 1_800_000_000
    """How long between two attempts."""


class WorkspaceSection(Value, kw_only=True):
    """A workspace: its queues and all that belongs to them. Nothing crosses to another."""

    channels: dict[Annotated[str, Name()], ChannelSettings] = {}
    """Where channels differ from their defaults, and new ones."""
    hours: dict[Annotated[str, Name()], HoursSettings] = {}
    """Opening hours by name."""
    queues: dict[Annotated[str, Name()], QueueSettings] = {}
    """Queues by name."""
    entry_points: dict[Annotated[str, Name()], EntryPointSettings] = {}
    """Entry points by name: numbers, mailboxes, sites, and the queue each leads to."""
    profiles: dict[
        Annotated[str, Name()], Annotated[dict[QueueName, ServeSettings], Between(1, 1_000)]
    ] = {}
    """Routing profiles by name: the queues an agent serves, each with its rank."""
    conditions: Annotated[
        dict[Annotated[str, Written(condition_name)], Annotated[Source, Own(expression)]],
        Between(0, 500),
    ] = {}
    """Named conditions, which every expression can use, these too."""
    segments: Annotated[dict[Annotated[str, Name()], SegmentSettings], Between(0, 100)] = {}
    """Segments by name: groups of customers. The first whose condition holds is the customer's, if
    none was given to them by hand."""
    rule_match: Match = Match.FIRST
    """first: the first rule that matches decides. all: every rule that matches adds what it says;
    of one verb said twice the later rule's is done."""
    rules: Annotated[tuple[RuleSettings, ...], Between(0, 500)] = ()
    """What happens to a contact when it arrives, or is to go out, before it waits; asked in this
    order."""
    tests: Annotated[tuple[RuleTestSettings, ...], Between(0, 500)] = ()
    """Tests of segments and rules. A file that fails its own tests is refused, by `check`, `serve`
    and reload alike."""
    templates: Annotated[dict[Annotated[str, Name()], Text], Between(0, 500)] = {}
    """Texts that go out without an agent, by name. May hold {name} and the contact's attributes."""
    learning: LearningSettings = LearningSettings()
    """What is learned of reaching customers."""
    agents: dict[Annotated[str, Name()], AgentSeed] = {}
    """Agents to create at the first start; a reload never touches agents."""
    adapters: dict[Annotated[str, Name()], AdapterSettings] = {}
    """Adapters by name. Needs a restart."""
    webhooks: dict[Annotated[str, Name()], WebhookSettings] = {}
    """Webhooks by name. Needs a restart."""
    capacity: Annotated[int, Between(1, 10_000)] = 100
    """Units of an agent who has no capacity of their own."""
    limits: BoundSettings = BoundSettings()
    """Limits."""
    callbacks: CallbackSettings = CallbackSettings()
    """Callbacks."""
    country: Annotated[str, Written(country)] = ""
    """Where phone numbers are that come without a country code."""
    contacting: ContactingSettings = ContactingSettings()
    """Contacting customers."""
    lost_after: Some = 30_000_000
    """An agent whose desk has been gone this long becomes not ready."""
    grace: Length = 5_000_000
    """After a restart nothing is due earlier than this, so that desks can come back."""
    keep_closed: Some = 30 * 86_400_000_000
    """How long closed contacts and their decisions are kept."""
