"""Random small worlds for the simulator: settings and agents for every corner of the rules."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from router.core.commands import PutAgent
from router.core.model import SECOND_US, AgentId, QueueId, Requirements
from router.core.policy import (
    Action,
    ActionKind,
    Channel,
    Decline,
    Full,
    Holiday,
    Hours,
    HoursSpan,
    Limit,
    MissAction,
    Policy,
    Profile,
    ProfileQueue,
    Queue,
    Step,
    Strategy,
)

SKILLS = ("en", "de", "fr", "billing", "tech", "sales")
START_US = int(datetime(2026, 3, 27, 14, 0, tzinfo=UTC).timestamp()) * SECOND_US
"""A Friday afternoon; the clocks in Berlin change on the Sunday."""
ZONES = ("Europe/Berlin", "UTC", "America/New_York", "Asia/Kolkata")


def random_policy(
    rng: Random, *, version: str, now_us: int, queues: list[QueueId] | None = None
) -> Policy:
    """One to five queues (or those named), four channels, and whatever the rules allow."""
    if queues is None:
        queues = [QueueId(f"q{number}") for number in range(1, rng.randint(1, 5) + 1)]
    hours = {"office": _hours(rng, now_us)} if rng.random() < 0.3 else {}
    profiles = {f"p{n}": _profile(rng, f"p{n}", queues) for n in range(1, rng.randint(1, 3) + 1)}
    return Policy(
        version=version,
        channels=_channels(rng),
        queues={queue: _queue(rng, queue, queues, hours) for queue in queues},
        profiles=profiles,
        hours=hours,
        capacity=rng.choice((100, 100, 100, 120, 200)),
        waiting_places=rng.choice((None, None, None, None, 3)),
        lost_after_us=_length(rng, 10, 60),
        callback_retry_us=_length(rng, 60, 300),
    )


def random_agent(rng: Random, policy: Policy, agent: AgentId) -> PutAgent:
    """An agent of any of the profiles, with a few skills."""
    chosen = rng.sample(SKILLS, rng.randint(1, 4))
    has_chat = "chat" in policy.channels
    return PutAgent(
        agent=agent,
        name=agent,
        skills={skill: rng.randint(1, 10) for skill in chosen},
        profile=rng.choice(list(policy.profiles)),
        capacity=rng.choice((0, 0, 0, 100, 150)),
        maximum={"chat": rng.randint(1, 2)} if has_chat and rng.random() < 0.3 else {},
        auto_accept=("chat",) if has_chat and rng.random() < 0.2 else (),
    )


def _length(rng: Random, least_s: int, most_s: int) -> int:
    return rng.randrange(least_s * SECOND_US, most_s * SECOND_US)


def _channels(rng: Random) -> dict[str, Channel]:
    ramp_us = _length(rng, 5, 30) if rng.random() < 0.2 else 0
    park_after_us, close_after_us = _length(rng, 30, 120), _length(rng, 60, 600)
    prefer_last_us = rng.choice((0, _length(rng, 10, 60)))
    voice = Channel(
        name="voice",
        cost=100,
        maximum=1,
        target_us=_length(rng, 5, 40),
        media=rng.random() < 0.7,
        connect_timeout_us=_length(rng, 5, 20),
        interrupts=rng.choice(((), ("email",), ("email", "sms"))),
    )
    most_email, ramps_email, takes_email = rng.choice((2, 10)), rng.random() < 0.5, rng.random()
    messaging = {
        name: Channel(
            name=name,
            cost=cost,
            maximum=most,
            tier=tier,
            target_us=target_us,
            ramp_us=ramp_us if name == "chat" or (name == "email" and ramps_email) else 0,
            auto_accept=name == "email" and takes_email < 0.2,
            parks=True,
            park_after_us=park_after_us,
            close_after_us=close_after_us,
            prefer_last_us=prefer_last_us,
        )
        for name, cost, most, tier, target_us in (
            ("chat", 33, 3, 0, _length(rng, 20, 90)),
            ("sms", 20, 5, 1, _length(rng, 60, 400)),
            ("email", 10, most_email, 1, _length(rng, 300, 9000)),
        )
    }
    all_channels = {"voice": voice, **messaging}
    chosen = rng.sample(list(all_channels), rng.randint(1, 4))
    return {name: channel for name, channel in all_channels.items() if name in chosen}


def _hours(rng: Random, now_us: int) -> Hours:
    """Hours with an edge or two soon after `now_us`."""
    zone = rng.choice(ZONES)
    local = datetime.fromtimestamp(now_us // SECOND_US, ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    edge = max(1, min(1435, minute + rng.randint(-30, 30)))
    spans: tuple[HoursSpan, ...]
    if rng.random() < 0.5:
        spans = (HoursSpan(days=tuple(range(7)), start_minute=0, end_minute=edge),)
    else:
        spans = (HoursSpan(days=tuple(range(7)), start_minute=edge, end_minute=1440),)
    day = local.date().isoformat()
    holidays = (Holiday(date=day, spans=((0, edge),)),) if rng.random() < 0.2 else ()
    return Hours(id="office", zone=zone, spans=spans, holidays=holidays)


def _profile(rng: Random, name: str, queues: list[QueueId]) -> Profile:
    served = rng.sample(queues, rng.randint(1, len(queues)))
    return Profile(
        id=name,
        queues=tuple(
            ProfileQueue(
                queue=queue,
                rank=rng.randint(1, 3),
                delay_us=_length(rng, 5, 40) if rng.random() < 0.25 else 0,
            )
            for queue in served
        ),
    )


def _queue(rng: Random, id_: QueueId, queues: list[QueueId], hours: dict[str, Hours]) -> Queue:
    own = [queue for queue in queues if queue != id_]
    other = rng.choice(own) if own else QueueId("")
    wrap = {name: _length(rng, 5, 40) for name in ("voice", "chat", "email") if rng.random() < 0.4}
    return Queue(
        id=id_,
        hours="office" if hours and rng.random() < 0.6 else "",
        targets_us={"voice": _length(rng, 5, 60)} if rng.random() < 0.3 else {},
        tiers={"email": 0} if rng.random() < 0.2 else {},
        strategy=rng.choice(list(Strategy)),
        fit_weights={"en": 2.0} if rng.random() < 0.5 else {},
        rank_first=rng.random() < 0.7,
        requirements=_some_requirement(rng) if rng.random() < 0.15 else (),
        steps=tuple(_steps(rng, own)) if rng.random() < 0.5 else (),
        recheck_us=_length(rng, 5, 15),
        offer_timeout_us=_length(rng, 8, 30),
        parallel=rng.choice((1, 1, 1, 2, 3)),
        decline=Decline(
            on_miss=rng.choice(list(MissAction)),
            cool_down_us=_length(rng, 5, 40),
            exclude_after=rng.choice((0, 1, 3)),
            bonus_us=rng.choice((0, 0, _length(rng, 5, 30))),
            offers=rng.choice((50, 6)),
            exhausted=_limit(rng, other),
        ),
        wrap_up_us=wrap,
        most_waiting=rng.choice((None, None, None, 4, 0)),
        on_full=_limit(rng, other),
        longest_wait_us=_length(rng, 60, 400) if rng.random() < 0.3 else 0,
        on_late=_limit(rng, other),
        on_closed=rng.choice((Limit(action=Full.QUEUE), _limit(rng, other))),
        transfer_head_start_us=rng.choice((0, _length(rng, 10, 60))),
        prefer_last_us=_length(rng, 5, 30) if rng.random() < 0.3 else 0,
    )


def _limit(rng: Random, other: QueueId) -> Limit:
    actions = [Full.DEFLECT, Full.DEFLECT]
    if other:
        actions.append(Full.OVERFLOW)
    action = rng.choice(actions)
    return Limit(action=action, queue=other if action is Full.OVERFLOW else QueueId(""))


def _some_requirement(rng: Random) -> Requirements:
    return ((rng.choice(SKILLS), rng.randint(1, 3)),)


def _steps(rng: Random, others: list[QueueId]) -> list[Step]:
    steps = []
    after_us = 0
    for number in range(rng.randint(1, 3)):
        after_us += _length(rng, 5, 40)
        conditions: dict[str, Any] = {}
        if rng.random() < 0.25:
            conditions = rng.choice(
                ({"wait_over_us": _length(rng, 1, 60)}, {"eligible_below": 2}, {"position_over": 1})
            )
        steps.append(
            Step(
                name=f"s{number}",
                after_us=after_us,
                actions=tuple(_action(rng, others) for _ in range(rng.randint(1, 2))),
                otherwise_skip=rng.random() < 0.3,
                **conditions,
            )
        )
    return steps


def _action(rng: Random, others: list[QueueId]) -> Action:
    skill = rng.choice(SKILLS)
    choices = [
        Action(kind=ActionKind.LOWER, skill=skill, level=rng.randint(1, 4)),
        Action(kind=ActionKind.LOWER, skill=skill, level=1),
        Action(kind=ActionKind.DROP, skill=skill),
        Action(kind=ActionKind.ADD, skill=skill, level=1),
        Action(kind=ActionKind.TIER, tier=rng.randint(0, 2)),
        Action(kind=ActionKind.HEAD_START, head_start_us=_length(rng, 10, 90)),
        Action(kind=ActionKind.MESSAGE, text="please hold"),
        Action(kind=ActionKind.OFFER_CALLBACK),
        Action(kind=ActionKind.DEFLECT, text="come back tomorrow"),
    ]
    if others:
        choices.append(Action(kind=ActionKind.ADD_QUEUE, queue=rng.choice(others)))
        choices.append(Action(kind=ActionKind.ADD_QUEUE, queue=rng.choice(others)))
        choices.append(Action(kind=ActionKind.OVERFLOW, queue=rng.choice(others)))
    return rng.choice(choices)
