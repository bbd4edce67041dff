"""A contact centre with rules, in a few words."""

from __future__ import annotations

from typing import Any

from router.core.facts import CustomerFacts, Facts
from router.core.model import QueueId
from router.core.policy import Queue
from router.core.rules.book import Match, Moment, Rule, RuleBook, Segment
from router.core.rules.compile import Expression, compile_expression
from router.core.rules.context import Known, schema
from router.core.rules.types import BOOL, Type
from router.core.rules.verbs import SegmentStrategy, Then
from tests.core.centre import Centre, policy

KNOWN = Known(
    queues={"q": "UTC", "billing": "UTC"},
    channels=("voice", "chat", "sms", "email"),
    segments=("loyal", "passive"),
    templates=("offer",),
)
SCHEMA = schema(KNOWN)


def when(text: str, expects: Type | None = BOOL) -> Expression:
    return compile_expression(text, SCHEMA, expects=expects)


def rule(name: str, text: str | None = None, on: Moment = Moment.RECEIVED, **then: Any) -> Rule:
    return Rule(name=name, on=on, when=when(text) if text else None, then=Then(**then), place="r:1")


def segment(name: str, text: str | None = None, **strategy: Any) -> Segment:
    return Segment(
        name=name, when=when(text) if text else None, strategy=SegmentStrategy(**strategy)
    )


def book(*rules: Rule, segments: tuple[Segment, ...] = (), match: Match = Match.FIRST) -> RuleBook:
    return RuleBook(match=match, rules=rules, segments=segments)


def centre(
    *rules: Rule,
    segments: tuple[Segment, ...] = (),
    match: Match = Match.FIRST,
    queues: tuple[Queue, ...] = (),
    **settings: Any,
) -> Centre:
    """Queues `q` and `billing`, with these rules."""
    named = {queue.id: queue for queue in queues}
    both = [named.pop(id_, Queue(id=id_)) for id_ in (QueueId("q"), QueueId("billing"))]
    rules_ = book(*rules, segments=segments, match=match)
    return Centre(policy(*both, *named.values(), rules=rules_, **settings))


def known(**fields: Any) -> Facts:
    """Facts of a customer."""
    return Facts(customer=CustomerFacts(known=True, **fields))
