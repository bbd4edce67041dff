"""Rules tested where they are written: given this contact, expect that.

What is given is laid over a context in which nothing is known; what is expected is compared with
the plan, and only as far as it is named. Both are checked: a misspelled name is a failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from router.core.record import Value
from router.core.rules.book import Moment, Plan, RuleBook, SegmentVerdict, Verdict
from router.core.rules.context import Known, LocalTime, schema
from router.core.rules.moments import EPOCH, duration
from router.core.rules.operations import Fault, kind
from router.core.rules.place import closest
from router.core.rules.types import (
    BOOL,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Record,
    Type,
)
from router.core.rules.verbs import VERBS, settings_of

DEFAULT_AT = "2026-01-05T10:00:00+00:00"
"""A Monday: the moment of a test that names none."""
_DAYS = re.compile(r"([0-9]{1,6})d(.*)")


class RuleTest(Value, kw_only=True):
    """One test of the file, as written."""

    name: str
    given: dict[str, Any] = {}
    """``at``, ``on`` (received or input), and what the schema names: contact, customer ..."""
    expect: dict[str, Any] = {}
    """``segment``, ``rules``, and verbs."""
    place: str = ""


class Result(Value, kw_only=True):
    """What came of one test."""

    name: str
    place: str = ""
    failures: tuple[str, ...] = ()
    """Each thing that is not as expected; empty = passed."""
    verdicts: tuple[str, ...] = ()
    """What became of each condition, in lines; of a failed test only."""


def run_tests(book: RuleBook, known: Known, tests: tuple[RuleTest, ...]) -> list[Result]:
    """Every test; none changes anything."""
    return [_run(book, known, test) for test in tests]


def _run(book: RuleBook, known: Known, test: RuleTest) -> Result:
    try:
        context, moment = _context(test.given, known)
    except ValueError as error:
        return Result(name=test.name, place=test.place, failures=(f"given: {error}",))
    segment = book.segment_of(context)
    context.segment = segment.segment
    plan = book.decide(context, moment)
    failures = tuple(_compared(test.expect, segment, plan))
    if not failures:
        return Result(name=test.name, place=test.place)
    # Working out each part of each condition takes a hundred times as long.
    verdicts = (
        *book.segment_of(context, trace=True).verdicts,
        *book.decide(context, moment, trace=True).verdicts,
    )
    lines = [line for verdict in verdicts for line in lines_of(verdict)]
    return Result(name=test.name, place=test.place, failures=failures, verdicts=tuple(lines))


def lines_of(verdict: Verdict) -> Iterator[str]:
    """A verdict for people: the name, what it came to, and each part of its condition."""
    if not verdict.looked_at:
        came = "not looked at"
    elif verdict.error:
        came = f"no match, {verdict.error}"
    else:
        came = "match" if verdict.matched else "no match"
    yield f"{verdict.name}: {came}"
    if verdict.step is not None:
        yield from verdict.step.lines(1)


# --- given ----------------------------------------------------------------------------------------


class GivenRecord:
    """A record of the schema with the values of a test."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.id = ""
        self.__dict__.update(values)


class GivenContext:
    """A context of a test; further attributes are the schema's."""

    def __init__(self, values: Mapping[str, Any], contact: GivenRecord, given_segment: str) -> None:
        self.__dict__.update(values)
        self.segment = ""
        self.contact = contact
        self.customer: GivenRecord = values["customer"]
        self.given_segment = given_segment


def _context(given: Mapping[str, Any], known: Known) -> tuple[GivenContext, Moment]:
    """Raises ValueError with what cannot be given."""
    root = schema(known).root.fields
    names = [*root, "at", "on"]
    for name in given:
        if name not in names or name == "now":
            raise ValueError(f"unknown {name!r}{closest(name, names)}")
    now_us = _moment_us("at", given.get("at", DEFAULT_AT))
    customer = dict(_mapping("customer", given.get("customer", {})))
    given_segment = str(customer.pop("segment", given.get("segment", "")))
    if given_segment and known.segments and given_segment not in known.segments:
        raise ValueError(
            f"unknown segment {given_segment!r}{closest(given_segment, known.segments)}"
        )
    records: dict[str, Any] = {
        "contact": {"id": "test", "direction": "inbound", **_given(given, "contact")},
        "customer": {"known": bool(customer), **customer},
        "preference": {"hour": -1, **_given(given, "preference")},
        "permission": {"allowed": True, **_given(given, "permission")},
    }
    queues = _queues(given, known, root["queue"].type, now_us)
    values: dict[str, Any] = {
        name: _record(name, root[name].type, record, now_us) for name, record in records.items()
    }
    contact = values["contact"]
    queue = contact.queue
    values["queues"] = queues
    values["queue"] = queues.get(queue) or _queue(queue, root["queue"].type, {}, now_us)
    if "queue" in given:
        values["queue"] = _queue(queue, root["queue"].type, given["queue"], now_us)
    values["now"] = now_us
    zone = known.queues.get(queue, "UTC")
    for name, place in (("queue_local", zone), ("local", values["customer"].zone or zone)):
        try:
            values[name] = LocalTime(now_us, place)
        except Fault as fault:
            raise ValueError(f"{name}: {fault.reason}: {place!r}") from None
        if name in given:
            values[name] = _record(name, root[name].type, _given(given, name), now_us)
    moment = str(given.get("on", Moment.RECEIVED))
    if moment not in list(Moment):
        raise ValueError(f"on: expected received or input, got {moment!r}")
    return GivenContext(values, contact, given_segment), Moment(moment)


def _given(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return _mapping(name, given.get(name, {}))


def _mapping(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: expected its fields (name: value), got {kind(value)}")  # noqa: TRY004
    return value


def _queues(
    given: Mapping[str, Any], known: Known, type_: Type, now_us: int
) -> dict[str, GivenRecord]:
    told = _given(given, "queues")
    for name in told:
        if name not in known.queues:
            raise ValueError(f"queues: unknown queue {name!r}{closest(name, known.queues)}")
    return {name: _queue(name, type_, told.get(name, {}), now_us) for name in known.queues}


def _queue(name: str, type_: Type, told: object, now_us: int) -> GivenRecord:
    values = {"id": name, "open": True, **_mapping(f"queues.{name}", told)}
    return _record(f"queues.{name}", type_, values, now_us)


def _record(name: str, type_: Type, values: Mapping[str, Any], now_us: int) -> GivenRecord:
    assert isinstance(type_, Record)
    for key in values:
        if key not in type_.fields:
            raise ValueError(f"{name} has no field {key!r}{closest(key, type_.fields)}")
    found: dict[str, Any] = {}
    for key, field in type_.fields.items():
        if key not in values:
            found[key] = None if field.optional else _nothing(field.type, now_us)
            continue
        value = _value(f"{name}.{key}", field.type, values[key])
        if field.type == STRING and field.values and value not in field.values:
            raise ValueError(f"{name}.{key} is never {value!r}{closest(value, field.values)}")
        found[key] = value
    return GivenRecord(found)


def _nothing(type_: Type, now_us: int) -> object:
    """The value of a field that a test does not name."""
    plain: dict[Type, object] = {
        BOOL: False,
        INT: 0,
        DOUBLE: 0.0,
        STRING: "",
        DURATION: 0,
        TIMESTAMP: now_us,
    }
    return plain.get(type_, {})


def _value(name: str, type_: Type, value: object) -> Any:
    """The value as a context has it. Raises ValueError."""
    if type_ == TIMESTAMP:
        return _moment_us(name, value)
    if type_ == DURATION:
        return _length_us(name, value)
    if type_ == DOUBLE and kind(value) == "int":
        return float(str(value))
    if type_ == DYN or kind(value) == type_.name:
        if isinstance(value, Mapping) and type_.items:
            return {key: _value(f"{name}.{key}", type_.items[1], v) for key, v in value.items()}
        return value
    raise ValueError(f"{name}: expected {type_}, got {kind(value)}")


def _moment_us(name: str, value: object) -> int:
    try:
        moment = datetime.fromisoformat(str(value))
        return (moment - EPOCH) // timedelta(microseconds=1)
    except (ValueError, TypeError, OverflowError):  # no date, or one without a zone
        message = f"{name}: expected a moment like 2026-11-24T09:30+01:00, got {value!r}"
        raise ValueError(message) from None


def _length_us(name: str, value: object) -> int:
    """``90s``, ``1h30m``, ``2d``: as lengths are written in the file."""
    found = _DAYS.fullmatch(str(value))
    days, rest = (int(found[1]), found[2] or "0") if found else (0, str(value))
    try:
        return days * 86_400_000_000 + duration(rest)
    except Fault:
        raise ValueError(f"{name}: expected a length like 90s or 2d, got {value!r}") from None


# --- expected -------------------------------------------------------------------------------------


def _compared(expect: Mapping[str, Any], segment: SegmentVerdict, plan: Plan) -> Iterator[str]:
    verbs = settings_of(plan.then)
    came: dict[str, Any] = {
        "segment": segment.segment,
        "rules": list(plan.rules),
        **{verb: verbs.get(verb) for verb in VERBS.values()},
        "set": plan.attributes,
    }
    for name, expected in expect.items():
        if name not in came:
            yield f"expect: unknown {name!r}{closest(name, came)}"
        elif name == "schedule" and isinstance(expected, str):
            yield from _differences(name, {"at": expected}, came[name])
        else:
            yield from _differences(name, expected, came[name])


def _differences(name: str, expected: object, came: object) -> Iterator[str]:
    """Of mappings only what is expected is compared; lengths by what they mean."""
    if isinstance(expected, Mapping) and isinstance(came, Mapping):
        for key, inner in expected.items():
            yield from _differences(f"{name}.{key}", inner, came.get(key))
    elif not _same(expected, came):
        yield f"expected {name} {expected!r}, got {came!r}"


def _same(expected: object, came: object) -> bool:
    if expected == came:
        return kind(expected) == kind(came)
    if isinstance(expected, str) and isinstance(came, str):
        try:
            return _length_us("", expected) == _length_us("", came)
        except ValueError:
            return False
    return isinstance(expected, list | tuple) and isinstance(came, list) and list(expected) == came
