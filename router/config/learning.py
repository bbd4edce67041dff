"""Settings of what is learned from attempts to reach customers. Compiled here, too.

What they mean: `core/learning_policy.py`.
"""

from __future__ import annotations

from typing import Annotated

from router.config.convert import Between, ForAll, Name, Reading, Ref, Written
from router.config.forms import length_over_zero, share, zone
from router.config.reader import Path, Unknown, shown
from router.core.learning_policy import OUTCOMES, LearningPolicy, OutcomeWeight
from router.core.policy import Channel
from router.core.record import Value

ChannelName = Annotated[str, Ref("channels")]
DEFAULT = LearningPolicy()


def outcome(text: str) -> str:
    """A word for what an attempt came to."""
    if text not in OUTCOMES:
        known = f": there are {', '.join(OUTCOMES)}"
        raise Unknown(f"unknown outcome {shown(text)}", text, OUTCOMES, known)
    return text


class OutcomeSettings(Value, kw_only=True):
    """What an outcome is worth as evidence."""

    target: Annotated[float, Written(share)]
    """The share of a success it is taken for: 0% (not reached) to 100% (reached)."""
    weight: Annotated[float, Between(0, 4)] = 1.0
    """How many attempts it counts for; 0 = it is not counted."""


class LearningSettings(Value, kw_only=True):
    """What is learned of reaching customers, and how windows are chosen."""

    explore: Annotated[float, Written(share)] = DEFAULT.explore
    """Share of choices that are made to learn something, among permitted hours; 0% = never."""
    reply_within: Annotated[
        dict[ChannelName, Annotated[int, Written(length_over_zero)]], ForAll()
    ] = {}
    """A reply later than this counts as late, none by then as ignored; one for all channels or per
    channel. Default: 4h, email 24h."""
    within: Annotated[int, Written(length_over_zero)] = DEFAULT.within_us
    """How far ahead windows are looked for, where no rule says so."""
    outcomes: dict[Annotated[str, Written(outcome)], OutcomeSettings] = {}
    """Outcomes that count differently here: answered, replied, refused, ignored (also no_answer and
    short), busy, machine, wrong_party, replied_late, bounced."""
    dispositions: dict[Annotated[str, Name()], Annotated[str, Written(outcome)]] = {}
    """What an agent's disposition says of the attempt: disposition and outcome."""
    costs: dict[ChannelName, Annotated[float, Written(share)]] = {}
    """What an attempt costs per channel, as a share of what it is worth to reach the customer."""
    zone: Annotated[str, Written(zone)] = DEFAULT.zone
    """IANA time zone of customers whose own is not known."""


def learning_policy(settings: LearningSettings, channels: dict[str, Channel]) -> LearningPolicy:
    """The policy by which attempts are counted."""
    within = settings.reply_within
    return LearningPolicy(
        explore=settings.explore,
        reply_within_us=dict.fromkeys(channels, within["*"]) if "*" in within else within,
        within_us=settings.within,
        weights={
            name: OutcomeWeight(target=each.target, weight=each.weight)
            for name, each in settings.outcomes.items()
        },
        dispositions=settings.dispositions,
        costs=settings.costs,
        zone=settings.zone,
    )


def check_learning(
    settings: LearningSettings, dispositions: dict[str, None] | None, at: Path, reading: Reading
) -> None:
    """Add a finding for each thing that is wrong; `dispositions`: all there are, None: any word."""
    first: dict[str, str] = {}
    for name in settings.outcomes:
        kind = OUTCOMES[name]
        if kind in first:
            reading.add((*at, "outcomes", name), f"counts as {first[kind]!r}, which is given too")
        first.setdefault(kind, name)
    for name in settings.dispositions:
        if dispositions is not None and name not in dispositions:
            path = (*at, "dispositions", name)
            known = f": there are {', '.join(list(dispositions)[:12])}"
            error = Unknown(f"no queue has the disposition {name!r}", name, dispositions, known)
            reading.findings.unknown(reading.at(path), path, error)
