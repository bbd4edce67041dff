"""The rule book over HTTP: as the file has it, its counters, and what it says of a contact."""

from __future__ import annotations

from typing import Any

import msgspec

from router.api import bodies as b
from router.api.explaining import EvaluationView, evaluation_view
from router.api.problems import ApiError
from router.api.routes.contacts import parts
from router.api.routes.file_owned import file_owned
from router.api.table import Call, Reply, Route, roles
from router.api.views import View
from router.config.one_rule import written
from router.core import commands as c
from router.core.customer_model import Customer
from router.core.evaluation import Evaluation
from router.core.facts import Facts
from router.core.model import AgentId, ContactId, QueueId
from router.core.policy import EntryPoint
from router.core.rule_counts import RULE, SEGMENT, count_id
from router.core.rules.book import Match, Moment, Rule, RuleBook, Segment
from router.core.rules.verbs import settings_of
from router.errors import Invalid, NotFound
from router.runtime.intake import requirements_of

JUDGED = ContactId("evaluated")
"""The id that a contact has which does not arrive."""


class RuleView(View):
    """A rule as the file has it."""

    name: str
    on: Moment
    when: str = ""
    """Its condition; empty = always."""
    then: dict[str, Any] = {}
    """Its verbs, as they are written."""
    place: str = ""
    """file:line"""
    matched: int = 0
    """How often."""
    last_at_us: int = 0
    """0 = never."""
    written: str = ""
    """As YAML: what `rules:try` takes."""


class RuleBookView(View):
    """The rules, in the order in which they are asked."""

    match: Match
    """``first``: the first that matches decides. ``all``: all that match, a later one wins."""
    rules: list[RuleView]
    conditions: dict[str, str] = {}
    """Named ones, with what they stand for."""


class SegmentView(View):
    """A segment as the file has it."""

    name: str
    when: str = ""
    strategy: dict[str, Any] = {}
    place: str = ""
    matched: int = 0
    """How often its condition held for a contact that arrived."""
    last_at_us: int = 0


class SegmentList(View):
    """The segments, in the order in which they are asked: the first that matches counts."""

    segments: list[SegmentView]


def _rule(call: Call, rule: Rule) -> RuleView:
    count = call.tenant.state.rule_counts.get(count_id(RULE, rule.name))
    return RuleView(
        name=rule.name,
        on=rule.on,
        when=rule.when.source if rule.when is not None else "",
        then=settings_of(rule.then),
        place=rule.place,
        matched=count.matched if count is not None else 0,
        last_at_us=count.last_at_us if count is not None else 0,
        written=written(rule),
    )


def _segment(call: Call, segment: Segment) -> SegmentView:
    count = call.tenant.state.rule_counts.get(count_id(SEGMENT, segment.name))
    strategy = segment.strategy
    written = settings_of(strategy.then)
    if strategy.channels:
        written["channels"] = list(strategy.channels)
    if not strategy.explore:
        written["explore"] = False
    return SegmentView(
        name=segment.name,
        when=segment.when.source if segment.when is not None else "",
        strategy=written,
        place=segment.place,
        matched=count.matched if count is not None else 0,
        last_at_us=count.last_at_us if count is not None else 0,
    )


async def list_rules(call: Call) -> Reply:
    """The rule book with its counters."""
    await call.tenant.read()
    book = call.tenant.policy.rules
    return Reply(
        200,
        RuleBookView(
            match=book.match,
            rules=[_rule(call, rule) for rule in book.rules],
            conditions={name: found.source for name, found in book.conditions.items()},
        ),
    )


async def list_segments(call: Call) -> Reply:
    """The segments with their counters."""
    await call.tenant.read()
    book = call.tenant.policy.rules
    return Reply(200, SegmentList(segments=[_segment(call, one) for one in book.segments]))


async def put_rule(call: Call) -> Reply:
    """Rules belong to the file: says where."""
    raise _owned(
        "rule", call.id, {rule.name: rule.place for rule in call.tenant.policy.rules.rules}
    )


async def put_segment(call: Call) -> Reply:
    """Segments belong to the file: says where."""
    segments = call.tenant.policy.rules.segments
    raise _owned("segment", call.id, {segment.name: segment.place for segment in segments})


def _owned(kind: str, name: str, places: dict[str, str]) -> ApiError:
    if name not in places:
        raise NotFound(kind, name)
    return file_owned(kind, name, places[name])


async def evaluate(call: Call) -> Reply:
    """What would happen to this contact now; nothing does."""
    await call.tenant.read()
    body: b.EvaluateBody = call.body
    if body.contact:
        if body != b.EvaluateBody(contact=body.contact):
            raise Invalid("invalid", "expected `contact` alone, or a contact's fields, got both")
        id_ = ContactId(body.contact)
        found = call.tenant.workspace.engine.evaluate(id_, call.tenant.workspace.now_us())
    elif body.channel:
        found = await _evaluated(call, body)
    else:
        raise Invalid("invalid", "expected `channel`, or the id of a live `contact`, got neither")
    book = call.tenant.policy.rules
    return Reply(200, evaluation_view(found, book.match, places_of(book)))


def places_of(book: RuleBook) -> dict[str, str]:
    """Where rules and segments stand, by kind and name."""
    rules = {count_id(RULE, rule.name): rule.place for rule in book.rules}
    return rules | {count_id(SEGMENT, one.name): one.place for one in book.segments}


async def _evaluated(call: Call, body: b.EvaluateBody) -> Evaluation:
    """As a submission is completed and decided, but that nothing is sealed, kept or heard."""
    workspace = call.tenant.workspace
    book = workspace.customers
    channel, peer = body.channel, body.peer
    point = call.tenant.intake.entry_point(channel, body.entry_point, peer.to, "", body.queue)
    ours = peer.to or (point.address if point is not None else "")
    plain = submission(body, point, *book.identities.peer(channel, peer.address, ours))
    row = await book.get(plain.customer)
    command = book.judged(plain, row, body.peer.address)
    now_us = workspace.now_us()
    found = workspace.engine.evaluate(command, now_us)
    if found.going is None:
        return found
    leaving = _leaving(call, command, found, row, body.peer.address)
    return workspace.engine.evaluate(command, now_us, leaving)


def submission(
    body: b.EvaluateBody, point: EntryPoint | None, who: str = "", peer_key: str = ""
) -> c.SubmitContact:
    """The command for a contact that does not arrive; `who` its address tells. Raises Invalid."""
    new, routing = parts(body)
    return c.SubmitContact(
        contact=JUDGED,
        channel=body.channel,
        direction=routing.direction,
        entry_point=point.id if point is not None else "",
        queue=QueueId(routing.queue),
        customer=routing.customer or who,
        segment=routing.segment,
        attributes=new.attributes,
        requirements=requirements_of(new.requirements),
        tier=routing.tier,
        head_start_us=routing.head_start_us,
        not_before_us=routing.not_before_us,
        not_after_us=routing.not_after_us,
        conversation=new.conversation,
        peer_key=peer_key,
        prefer_agent=AgentId(routing.prefer_agent),
        prefer_us=routing.prefer_us,
        target_agent=AgentId(routing.target_agent),
        watched=routing.watched,
    )


def _leaving(
    call: Call, command: c.SubmitContact, found: Evaluation, row: Customer | None, number: str
) -> Facts:
    """What will be known when it goes out, on the terms that the rules have set."""
    book = call.tenant.workspace.customers
    assert found.going is not None, "asked only of contacts that go out"
    terms = found.going.terms
    on_terms = msgspec.structs.replace(command, outbound=terms)
    facts = book.judged(on_terms, row, number).facts
    if row is None or not terms.learned or book.preferences is None:
        return facts
    start_us = max(found.at_us, command.not_before_us)
    windows = book.preferences.windows(row, terms.purpose, start_us, channels=terms.channels)
    return msgspec.structs.replace(facts, windows=windows)


READERS = roles("admin supervisor")

ROUTES: tuple[Route, ...] = (
    Route("listRules", "GET", "/v1/rules", list_rules, READERS, {200: RuleBookView},
          "The rules as the file has them, in order, with how often each matched."),
    Route("putRule", "PUT", "/v1/rules/{id}", put_rule, roles("admin"), {},
          "Rules belong to the configuration file: answers 409 with file:line.",
          body=b.EmptyBody, errors=(404, 409)),
    Route("evaluateRules", "POST", "/v1/rules:evaluate", evaluate, READERS, {200: EvaluationView},
          "What would happen to this contact now, and why: segment, each rule's verdict, queue, "
          "place and agents, relaxation steps, permission and windows. Changes nothing. Give a "
          "contact as for `POST /v1/contacts`, or the id of a live one.",
          body=b.EvaluateBody, errors=(404, 409), loose=lambda body: (body.attributes,)),
    Route("listSegments", "GET", "/v1/segments", list_segments, READERS, {200: SegmentList},
          "The segments as the file has them, in order, with how often each matched."),
    Route("putSegment", "PUT", "/v1/segments/{id}", put_segment, roles("admin"), {},
          "Segments belong to the configuration file: answers 409 with file:line.",
          body=b.EmptyBody, errors=(404, 409)),
)  # fmt: skip
