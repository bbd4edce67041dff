"""From the settings of a workspace to the policy its engine decides by.

No policy comes out that the engine cannot run: what the types could not say is checked in
`checks.py`, and a workspace with findings gives no policy at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from router.config.book import Compiled, anywhere
from router.config.contacting import contact_policy, keyword_replies
from router.config.expressions import Expressions, Source
from router.config.forms import written_length
from router.config.learning import learning_policy
from router.config.schema import (
    ChannelSettings,
    DeclineSettings,
    EntryPointSettings,
    HoursSettings,
    Instead,
    Otherwise,
    QueueSettings,
    StepSettings,
    WhenSettings,
    WorkspaceSection,
)
from router.core.model import QueueId
from router.core.policy import (
    Action,
    ActionKind,
    Asking,
    Channel,
    Decline,
    EntryPoint,
    Full,
    Holiday,
    Hours,
    HoursSpan,
    Limit,
    Policy,
    Profile,
    ProfileQueue,
    Queue,
    Step,
    Treatment,
    default_channels,
)
from router.core.rules.checked import without_places
from router.core.rules.compile import Expression
from router.core.skills import signature

V = TypeVar("V")

DAY_MINUTES = 1440


def policy(section: WorkspaceSection, compiled: Compiled) -> Policy:
    """The policy of a workspace whose settings have passed every check."""
    expressions = compiled.expressions
    channels = {**default_channels()}
    for name, settings in section.channels.items():
        channels[name] = channel(name, settings)
    bare = Policy(
        version="",
        channels=channels,
        queues={
            QueueId(name): _queue(name, queue, channels, expressions)
            for name, queue in section.queues.items()
        },
        profiles={
            name: Profile(
                id=name,
                queues=tuple(
                    ProfileQueue(queue=QueueId(queue), rank=serve.rank, delay_us=serve.delay)
                    for queue, serve in queues.items()
                ),
            )
            for name, queues in section.profiles.items()
        },
        entry_points={name: _entry_point(name, e) for name, e in section.entry_points.items()},
        hours={name: _hours(name, h) for name, h in section.hours.items()},
        capacity=section.capacity,
        waiting_places=section.limits.waiting_places,
        live_contacts=section.limits.live_contacts,
        hops=section.limits.hops,
        turn=section.limits.turn,
        lost_after_us=section.lost_after,
        grace_us=section.grace,
        callback_attempts=section.callbacks.attempts,
        callback_retry_us=section.callbacks.retry,
        keep_closed_us=section.keep_closed,
        country=section.country,
        contacting=contact_policy(section.contacting),
        keyword_replies=keyword_replies(section.contacting),
        rules=compiled.book,
        templates=section.templates,
        learning=learning_policy(section.learning, channels),
    )
    # Comments, lines, order of keys and ways of writing a length do not make a new version.
    nowhere = msgspec.structs.replace(bare, rules=anywhere(compiled.book))
    content = msgspec.json.encode(nowhere, enc_hook=_meaning, order="deterministic")
    return msgspec.structs.replace(bare, version=hashlib.sha256(content).hexdigest()[:12])


def _meaning(value: object) -> str:
    """What an expression says, however it is spaced and folded."""
    assert isinstance(value, Expression), type(value).__name__
    return without_places(value.root)


def channel(name: str, settings: ChannelSettings) -> Channel:
    """A channel: what the file gives over what is built in."""
    given: dict[str, Any] = {
        CHANNEL_FIELDS[key]: value
        for key, value in msgspec.structs.asdict(settings).items()
        if value is not None
    }
    built_in = default_channels().get(name)
    if built_in is None:
        return Channel(name=name, **given)
    if given.get("parks") is False:
        given = {"park_after_us": 0, "close_after_us": 0, **given}
    return msgspec.structs.replace(built_in, **given)


CHANNEL_FIELDS = {
    "cost": "cost",
    "maximum": "maximum",
    "tier": "tier",
    "target": "target_us",
    "media": "media",
    "connect_timeout": "connect_timeout_us",
    "parks": "parks",
    "park_after": "park_after_us",
    "close_after": "close_after_us",
    "prefer_last": "prefer_last_us",
    "interrupts": "interrupts",
    "ramp": "ramp_us",
    "short_abandon": "short_abandon_us",
    "auto_accept": "auto_accept",
    "identity": "identity",
}
"""Setting -> field of the core's channel."""


def _queue(
    name: str,
    settings: QueueSettings,
    channels: Mapping[str, Channel],
    expressions: Expressions,
) -> Queue:
    return Queue(
        id=QueueId(name),
        hours=settings.hours,
        targets_us=_for_all(settings.target, channels),
        goal=settings.goal,
        tiers=_for_all(settings.tier, channels),
        strategy=settings.strategy,
        fit_weights=settings.fit_weights,
        rank_first=settings.rank_first,
        requirements=signature(settings.require),
        steps=tuple(
            _step(number, step, expressions) for number, step in enumerate(settings.steps, 1)
        ),
        recheck_us=settings.recheck,
        offer_timeout_us=settings.offer.timeout,
        parallel=settings.offer.parallel,
        decline=_decline(settings.decline, expressions),
        wrap_up_us=_for_all(settings.wrap_up, channels),
        dispositions=settings.dispositions,
        require_disposition=settings.require_disposition,
        most_waiting=settings.most_waiting,
        on_full=_limit(settings.on_full, Full.DEFLECT, expressions),
        longest_wait_us=settings.longest_wait,
        on_late=_limit(settings.on_late, Full.DEFLECT, expressions),
        on_closed=_limit(settings.on_closed, Full.QUEUE, expressions),
        transfer_head_start_us=settings.transfer_head_start,
        prefer_last_us=settings.prefer_last,
        record=settings.record,
        treatment=Treatment(
            greeting=settings.treatment.greeting,
            every_us=settings.treatment.every,
            text=settings.treatment.text,
            music=settings.treatment.music,
        ),
    )


def _for_all(values: Mapping[str, V], channels: Mapping[str, Channel]) -> dict[str, V]:
    """One value given for all channels (``*``) becomes one for each."""
    if "*" in values:
        return dict.fromkeys(channels, values["*"])
    return dict(values)


def _limit(settings: Sequence[Instead], default: Full, expressions: Expressions) -> Limit:
    limit: Limit | None = None
    for each in reversed(settings):
        limit = Limit(
            action=each.action,
            queue=QueueId(each.queue),
            text=each.text,
            condition=expressions.get(each.when),
            otherwise=limit,
        )
    return limit or Limit(action=default)


def _decline(settings: DeclineSettings, expressions: Expressions) -> Decline:
    return Decline(
        on_miss=settings.on_miss,
        cool_down_us=settings.cool_down,
        exclude_after=settings.exclude_after,
        bonus_us=settings.bonus,
        offers=settings.offers,
        exhausted=_limit(settings.exhausted, Full.DEFLECT, expressions),
    )


def step_name(number: int, settings: StepSettings) -> str:
    """What a step is called in decision records."""
    return settings.name or f"{number}-after-{written_length(settings.after)}"


def _step(number: int, settings: StepSettings, expressions: Expressions) -> Step:
    source = settings.when if isinstance(settings.when, Source) else None
    when = settings.when if isinstance(settings.when, WhenSettings) else WhenSettings()
    return Step(
        name=step_name(number, settings),
        after_us=settings.after,
        actions=tuple(_actions(settings)),
        wait_over_us=-1 if when.wait_over is None else when.wait_over,
        eligible_below=-1 if when.eligible_below is None else when.eligible_below,
        position_over=-1 if when.position_over is None else when.position_over,
        condition=expressions.get(source),
        otherwise_skip=settings.otherwise is Otherwise.SKIP,
    )


def _actions(step: StepSettings) -> list[Action]:
    kind = ActionKind
    actions = [Action(kind=kind.LOWER, skill=s, level=level) for s, level in step.lower.items()]
    actions += [Action(kind=kind.DROP, skill=skill) for skill in step.drop]
    actions += [Action(kind=kind.ADD, skill=s, level=level) for s, level in step.add.items()]
    actions += [Action(kind=kind.ADD_QUEUE, queue=QueueId(name)) for name in step.add_queues]
    if step.tier is not None:
        actions.append(Action(kind=kind.TIER, tier=step.tier))
    if step.head_start is not None:
        actions.append(Action(kind=kind.HEAD_START, head_start_us=step.head_start))
    if step.message:
        actions.append(Action(kind=kind.MESSAGE, text=step.message))
    if step.offer_callback:
        actions.append(Action(kind=kind.OFFER_CALLBACK, text=step.offer_callback))
    if step.ask is not None:
        question = Asking(
            name=step.ask.name,
            prompt=step.ask.prompt,
            choices=step.ask.choices,
            digits=step.ask.digits,
            timeout_us=step.ask.timeout,
        )
        actions.append(Action(kind=kind.ASK, question=question))
    if step.switch_channel:
        actions.append(Action(kind=kind.SWITCH_CHANNEL, channel=step.switch_channel))
    if step.overflow:
        actions.append(Action(kind=kind.OVERFLOW, queue=QueueId(step.overflow)))
    if step.deflect:
        actions.append(Action(kind=kind.DEFLECT, text=step.deflect))
    return actions


def _entry_point(name: str, settings: EntryPointSettings) -> EntryPoint:
    return EntryPoint(
        id=name,
        channel=settings.channel,
        queue=QueueId(settings.queue),
        address=settings.address,
        attributes=settings.attributes,
        requirements=signature(settings.require),
        brand=settings.brand,
        language=settings.language,
        greeting=settings.greeting,
        music=settings.music,
        texts=settings.texts,
    )


def _hours(name: str, settings: HoursSettings) -> Hours:
    spans: list[HoursSpan] = []
    for days, times in settings.open.items():
        for start, end in times:
            spans += overnight(days, start, end)
    holidays = tuple(
        Holiday(date=date, spans=holiday.open, name=holiday.name)
        for date, holiday in sorted(settings.holidays.items())
    )
    return Hours(id=name, zone=settings.zone, spans=tuple(spans), holidays=holidays)


def overnight(days: tuple[int, ...], start: int, end: int) -> list[HoursSpan]:
    """One span; two where it ends on the next day."""
    if end > start:
        return [HoursSpan(days, start, end)]
    spans = [HoursSpan(days, start, DAY_MINUTES)]
    if end:
        spans.append(HoursSpan(tuple((day + 1) % 7 for day in days), 0, end))
    return spans
