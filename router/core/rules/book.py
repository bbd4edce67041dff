"""The rule book: segments, rules, and what they decide for one contact.

Rules are asked in the order of the file. With `match: first` the first that matches decides, with
`match: all` every rule that matches adds what it says: a later rule wins over an earlier one verb
by verb (attributes, required skills and experiments by their name), and the plan says which rule
each verb came from. A segment's strategy comes before all rules. A condition without a value does
not match; its verdict has the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any, Protocol

from msgspec.structs import replace

from router.core.record import Value
from router.core.rules.compile import Expression
from router.core.rules.place import EvaluationError
from router.core.rules.verbs import VERBS, Schedule, SegmentStrategy, Then
from router.core.rules.walk import Step


class Moment(StrEnum):
    """When a rule is asked."""

    RECEIVED = "received"
    """The contact has arrived, or is to be begun."""
    INPUT = "input"
    """The customer has answered a question."""


class Match(StrEnum):
    """How many rules decide."""

    FIRST = "first"
    ALL = "all"


class Rule(Value, kw_only=True):
    """If this, then that."""

    name: str
    on: Moment = Moment.RECEIVED
    when: Expression | None = None
    """None: always."""
    then: Then = Then()
    place: str = ""
    """``file:line``."""


class Segment(Value, kw_only=True):
    """A group of customers, and how they are served."""

    name: str
    when: Expression | None = None
    """None: everybody. Conditions of segments do not see `segment`."""
    strategy: SegmentStrategy = SegmentStrategy()
    place: str = ""


class Verdict(Value, kw_only=True):
    """What became of one rule's, or segment's, condition."""

    name: str
    matched: bool
    error: str = ""
    """Why it has no value, with its place."""
    looked_at: bool = True
    """False: an earlier one had decided."""
    step: Step | None = None
    """Each part of the condition; None where there is none, or it was not looked at."""


class SegmentVerdict(Value, kw_only=True):
    """A customer's segment, and why."""

    segment: str = ""
    """Empty: none matched."""
    reason: str = ""
    verdicts: tuple[Verdict, ...] = ()
    """Of every segment, if they were asked for."""


class Plan(Value, kw_only=True):
    """What the rules decided for a contact."""

    then: Then = Then()
    """Of all rules that matched, and of the segment's strategy."""
    attributes: dict[str, Any] = {}
    """What `set` and experiments come to."""
    moment_us: int | None = None
    """What `schedule: {at: ...}` comes to, if that is an expression."""
    channels: tuple[str, ...] = ()
    """Outbound only on these, the cheapest first; empty = on any."""
    explore: bool = True
    rules: tuple[str, ...] = ()
    """Those that matched, in their order."""
    sources: dict[str, str] = {}
    """Verb (``queue``, ``set.topic``, ``require.billing``) to the rule it came from, or to
    ``segment loyal``."""
    errors: tuple[str, ...] = ()
    """Conditions and values that could not be worked out, each with its rule."""
    verdicts: tuple[Verdict, ...] = ()
    """Of every rule asked at this moment, if they were asked for."""


class Identified(Protocol):
    """Something with an id."""

    @property
    def id(self) -> str:
        """Its id; empty = it has none."""


class Seen(Protocol):
    """What the book itself reads of a context; conditions read the rest by the schema."""

    segment: str

    @property
    def given_segment(self) -> str:
        """What the customer's profile says by hand."""

    @property
    def contact(self) -> Identified:
        """The contact."""

    @property
    def customer(self) -> Identified:
        """Its customer."""


def asks_preference(expression: Expression | None) -> bool:
    """Whether it reads what was learned of the customer; None reads nothing."""
    return expression is not None and any(
        path.split(".")[0] == "preference" for path in expression.reads
    )


class RuleBook(Value, kw_only=True):
    """Everything the file says about segments and rules."""

    match: Match = Match.FIRST
    segments: tuple[Segment, ...] = ()
    rules: tuple[Rule, ...] = ()
    conditions: dict[str, Expression] = {}
    """Named ones: compiled into the expressions that use them, kept to be shown."""

    @property
    def is_asked(self) -> bool:
        """Whether there is anything to ask."""
        return bool(self.rules or self.segments)

    @property
    def reads_preference(self) -> bool:
        """Whether any condition, or any value that a rule works out, asks what was learned of the
        customer."""
        return any(asks_preference(expression) for expression in self._expressions())

    def _expressions(self) -> Iterator[Expression | None]:
        asked: tuple[Rule | Segment, ...] = (*self.segments, *self.rules)
        for one in asked:
            yield one.when
        for then in (*(s.strategy.then for s in self.segments), *(r.then for r in self.rules)):
            yield from (value for value in then.set.values() if isinstance(value, Expression))
            if then.schedule is not None:
                yield then.schedule.moment

    def segment_of(self, context: Seen, *, trace: bool = False) -> SegmentVerdict:
        """The first segment that matches; one given to the customer by hand wins over all."""
        verdicts: list[Verdict] = []
        name, reason = context.given_segment, "given by hand"
        for segment in self.segments:
            if name:
                if not trace:
                    break
                verdicts += _not_looked_at([segment])
                continue
            verdict = _asked(segment, context, trace=trace)
            verdicts.append(verdict)
            if verdict.matched:
                name = segment.name
                reason = segment.when.source if segment.when is not None else "everybody"
        shown = tuple(verdicts) if trace else ()
        return SegmentVerdict(
            segment=name, reason=reason if name else "no segment matched", verdicts=shown
        )

    def strategy_of(self, segment: str) -> SegmentStrategy:
        """How the segment is served; the plain one if the file does not name it."""
        for known in self.segments:
            if known.name == segment:
                return known.strategy
        return SegmentStrategy()

    def decide(self, context: Seen, moment: Moment, *, trace: bool = False) -> Plan:
        """What the rules of this moment say of the contact; `context.segment` is set already."""
        strategy = self.strategy_of(context.segment)
        gathered = _Gathered()
        if moment is Moment.RECEIVED:
            gathered.take(strategy.then, f"segment {context.segment}")
        verdicts: list[Verdict] = []
        matched: list[str] = []
        is_first = self.match is Match.FIRST
        for rule in self.rules:
            if rule.on is not moment:
                continue
            if trace:
                if matched and is_first:
                    verdicts += _not_looked_at([rule])
                    continue
                verdicts.append(_asked(rule, context, trace=True))
            try:
                if rule.when is not None and rule.when.evaluate(context) is not True:
                    continue
            except EvaluationError as error:
                gathered.errors.append(f"{rule.name}: {error}")
                continue
            matched.append(rule.name)
            gathered.take(rule.then, rule.name)
            if is_first and not trace:
                break
        moment_us = gathered.moment_us(context)  # may take the schedule away
        return Plan(
            then=gathered.then,
            attributes=gathered.attributes(context),
            moment_us=moment_us,
            channels=strategy.channels,
            explore=strategy.explore and (gathered.then.schedule or Schedule()).explore,
            rules=tuple(matched),
            sources=gathered.sources,
            errors=tuple(gathered.errors),
            verdicts=tuple(verdicts) if trace else (),
        )


def _asked(asked: Rule | Segment, context: Seen, *, trace: bool) -> Verdict:
    """Whether the condition matches."""
    if asked.when is None:
        return Verdict(name=asked.name, matched=True)
    step = asked.when.explain(context) if trace else None
    try:
        matched = asked.when.evaluate(context) is True
    except EvaluationError as error:
        return Verdict(name=asked.name, matched=False, error=str(error), step=step)
    return Verdict(name=asked.name, matched=matched, step=step)


def _not_looked_at(asked: Iterable[Rule | Segment]) -> tuple[Verdict, ...]:
    return tuple(Verdict(name=one.name, matched=False, looked_at=False) for one in asked)


class _Gathered:
    """Verbs of several rules, each with its rule."""

    def __init__(self) -> None:
        self.then = Then()
        self.sources: dict[str, str] = {}
        self.errors: list[str] = []

    def take(self, then: Then, source: str) -> None:
        """What one more rule says: it wins over what was said before."""
        changes: dict[str, Any] = {}
        for field, verb in VERBS.items():
            value = getattr(then, field)
            if value == getattr(_NOTHING, field):
                continue
            match field:
                case "set":
                    changes[field] = {**self.then.set, **value}
                    self.sources.update({f"{verb}.{name}": source for name in value})
                case "require":
                    names = dict(value)
                    kept = tuple(pair for pair in self.then.require if pair[0] not in names)
                    changes[field] = tuple(sorted((*kept, *value)))
                    self.sources.update({f"{verb}.{name}": source for name in names})
                case "experiment":
                    names = {one.name: one for one in (*self.then.experiment, *value)}
                    changes[field] = tuple(names.values())
                    self.sources.update({f"{verb}.{one.name}": source for one in value})
                case _:
                    changes[field] = value
                    self.sources[verb] = source
        if changes:
            self.then = replace(self.then, **changes)

    def attributes(self, context: Seen) -> dict[str, Any]:
        """Constants as they are, expressions by their value for this contact."""
        found: dict[str, Any] = {}
        for name, value in self.then.set.items():
            if not isinstance(value, Expression):
                found[name] = value
                continue
            try:
                found[name] = value.evaluate(context)
            except EvaluationError as error:
                self.errors.append(f"{self.sources[f'set.{name}']}: {error}")
        for one in self.then.experiment:
            subject = context.customer.id or context.contact.id
            found[f"experiment.{one.name}"] = one.arm(subject)
        return found

    def moment_us(self, context: Seen) -> int | None:
        """The moment that `schedule` names by an expression."""
        schedule = self.then.schedule
        if schedule is None or schedule.moment is None:
            return None
        try:
            value = schedule.moment.evaluate(context)
        except EvaluationError as error:
            self.errors.append(f"{self.sources['schedule']}: {error}")
            self.then = replace(self.then, schedule=None)
            return None
        assert isinstance(value, int)
        return value


_NOTHING = Then()
EMPTY = RuleBook()
