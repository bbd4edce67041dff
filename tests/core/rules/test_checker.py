"""What is wrong with an expression is said at load: all of it, where it is, and what would do."""

from __future__ import annotations

import pytest

from router.core.rules.compile import compile_expression
from router.core.rules.place import ExpressionError, Place
from router.core.rules.schema import Schema
from router.core.rules.types import (
    BOOL,
    DOUBLE,
    DURATION,
    INT,
    STRING,
    TIMESTAMP,
    Field,
    Type,
    list_of,
    map_of,
    record_of,
)
from tests.core.rules.world import SCHEMA


def problems(
    text: str, expects: Type | None = BOOL, schema: Schema = SCHEMA
) -> list[tuple[str, str]]:
    """The part of the text that each message is about, and the message."""
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, schema, expects=expects)
    found = caught.value.problems
    return [(text[p.span.start : p.span.end], p.message) for p in found]


def test_an_error_shows_file_line_column_and_caret() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression('open && segmnt == "loyal"', SCHEMA, Place("rules.yaml", 12, 11))
    assert caught.value.findings == [
        "rules.yaml:12:19: unknown name 'segmnt', did you mean 'segment'?\n"
        '    open && segmnt == "loyal"\n'
        "            ^^^^^^"
    ]


def test_all_errors_are_told_at_once_and_each_cause_once() -> None:
    text = 'segmnt == 3 && contact.direcion == "x" && (contact.position < 1.5 || nope(1) + 2 > 1)'
    assert problems(text) == [
        ("segmnt", "unknown name 'segmnt', did you mean 'segment'?"),
        ("direcion", "contact has no field 'direcion', did you mean 'direction'?"),
        (
            "contact.position < 1.5",
            "'<' expected two numbers of one type, got int and double: write double(...)",
        ),
        ("nope", "unknown function 'nope': known are size, int, double, timestamp, duration, "
         "matches, has"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "part", "message"),
    [
        ("contact", "contact", "expected bool, got contact: name one of its fields"),
        ("segment", "segment", "expected bool, got string: compare it with something"),
        ("contact.position", "contact.position", "expected bool, got int: compare it"),
        ("!segment", "segment", "expected bool, got string"),
        ("open && 1", "1", "expected bool, got int"),
        ("open ? 1 : 2", "open ? 1 : 2", "expected bool, got int"),
        ("1 ? open : open", "1", "expected bool, got int"),
        ('(open ? 1 : "a") == 1', '(open ? 1 : "a")', "both values of one type, got int and str"),
        ("preference.share >= 1", "preference.share >= 1", "double and int: write 1.0 for 1"),
        ("contact.waited > 90", "contact.waited > 90", 'duration and int: write duration("90s")'),
        ('contact.waited > "90s"', 'contact.waited > "90s"', 'write duration("90s")'),
        ("now > contact.waited", "now > contact.waited", "got timestamp and duration"),
        ("now > contact.attributes.due", "now > contact.attributes.due", "write timestamp(...)"),
        ("segment == null", "segment == null", "string is never null: to ask whether it is known"),
        ("segment in zone", "segment in zone", "on its right, got string: write text.contains"),
        ("1 in contact.tags", "1 in contact.tags", "'in' expected string on its left, got int"),
        ("now in contact.attributes.n", "now in contact.attributes.n", "write timestamp(...)"),
        ("contact in contact.tags", "contact in contact.tags", "expected string on its left"),
        ("contact in contact.attributes.n", "contact in contact.attributes.n", "name one of its"),
        ("contact == contact", "contact == contact", "expected values, got contact: name one"),
        ("-segment == 1", "segment", "'-' expected int or double, got string"),
        ('segment - "a" == ""', 'segment - "a"', "'-' expected int - int, double - double, tim"),
        ("open.x", "x", "expected a map or a record, got bool, which has no fields"),
        ("contact.tags.size", "size", "which has no fields, size() is a function"),
        ("contact.levels[open] == 1", "open", "expected an item's number (int), got bool"),
        ("contact.skills[1] == 1", "1", "expected a key of type string, got int"),
        ("zone[0] == 1", "zone", "expected a list or a map before '[', got string"),
        ('contact["id"] == 1', 'contact["id"]', "got contact: its fields are read with a dot"),
        ("{1: 2}.a == 2", "a", "got map(int, int), which is no map with texts as keys"),
        ("size == 1", "size", "unknown name 'size', a function: write size(...)"),
        ("sizee(zone) == 1", "sizee", "unknown function 'sizee', did you mean 'size'?"),
        ("zone.startWith(zone)", "startWith", "did you mean 'startsWith'?"),
        ("startsWith(zone, zone)", "startsWith", "is called on a value: write x.startsWith(...)"),
        ("zone.int() == 1", "int", "int() is no method: write int(x)"),
        ("contact.tags.exists(t, t == zone)", "exists", "exists() is a loop, and conditions have"),
        ("string(1) == zone", "string", "string() is not known: compare without it"),
        ("size(1) == 1", "size(1)", "expected size(string) or size(list) or size(map), got si"),
        ("zone.startsWith(1)", "zone.startsWith(1)", "string.startsWith(string), got string.st"),
        ("zone.matches(zone)", "zone", "expected a pattern written out as a text"),
        ('zone.matches("(")', '"("', "expected a pattern by RE2's syntax, got an error: missing )"),
        ('now.getHours("Berlin") == 1', '"Berlin"', 'a time zone like "Europe/Berlin" or'),
        (
            "contact.attributes.due.getHours() == 1",
            "contact.attributes.due.getHours()",
            "got dyn.getHours(): write timestamp(...)",
        ),
        ('duration("1d") < contact.waited', 'duration("1d")', "this never has a value: duration()"),
        ("contact.position / 0 == 1 / 0", "1 / 0", "this never has a value: division by zero"),
        ("has(segment)", "segment", "has() expected a field like customer.name"),
        ('has(contact["id"])', 'contact["id"]', 'got something else: write "key" in map'),
        ("has(contact.idd)", "idd", "contact has no field 'idd'"),
        ("has(zone.x)", "x", "expected a map or a record, got string"),
        ("has()", "has()", "has() is written has(record.field)"),
        ("contact.position in [1, open]", "open", "expected a constant as an item of a list"),
        ('contact.position in [1, "a"]', '"a"', "expected items of one type, int, got string"),
        ('{"a": 1, "a": 2}.a == 1', '"a"', "the key 'a' is given twice"),
        ('{"a": 1, "b": "c"}.a == 1', '"c"', "expected values of one type, int, got string"),
        ("{1.5: 1}[1.5] == 1", "1.5", "a text, a whole number or a truth value as key, got double"),
        ('segment == "loyl"', '"loyl"', "segment is never 'loyl', did you mean 'loyal'?"),
        ('"x" != segment', '"x"', "segment is never 'x': it is one of 'loyal', 'floating', "),
        ('segment in ["loyal", "pasive"]', '["loyal", "pasive"]', "did you mean 'passive'?"),
    ],
)  # fmt: skip
def test_a_wrong_part_is_named_with_what_was_expected(text: str, part: str, message: str) -> None:
    ((found, said),) = problems(text)
    assert found == part
    assert message in said


@pytest.mark.parametrize(
    ("text", "expects", "message"),
    [
        ("contact.attributes.n", INT, "expected int, got dyn: write int(...)"),
        ("contact.attributes.n", DURATION, "expected duration, got dyn: write duration(...)"),
        ("contact.attributes.n", STRING, "expected string, got dyn"),
        ("now", DURATION, "expected duration, got timestamp"),
        ("contact", None, "expected a value, got contact: name one of its fields"),
    ],
)
def test_the_whole_has_the_type_that_is_expected(
    text: str, expects: Type | None, message: str
) -> None:
    assert problems(text, expects) == [(text, message)]


@pytest.mark.parametrize("type_", [BOOL, INT, DOUBLE, STRING, TIMESTAMP, DURATION, list_of(INT)])
def test_a_name_of_the_schema_has_its_type(type_: Type) -> None:
    assert compile_expression("x", Schema({"x": type_}), expects=type_).type == type_


def test_the_keys_of_a_map_can_be_known_at_load() -> None:
    queue = record_of("queue", {"waiting": INT})
    schema = Schema({"queues": Field(map_of(STRING, queue), values=("care", "billing"))})
    for text in ('queues["car"].waiting > 1', "queues.car.waiting > 1"):
        ((_, message),) = problems(text, schema=schema)
        assert message == "queues has no 'car', did you mean 'care'?"
    ((_, message),) = problems('"sales" in queues', schema=schema)
    assert message == "queues has no 'sales': it is one of 'care', 'billing'"
    ((_, message),) = problems("queues.care.wating > 1", schema=schema)
    assert message == "queue has no field 'wating', did you mean 'waiting'?"
    assert compile_expression("queues.care.waiting > 1", schema).reads == ("queues.care.waiting",)


def test_named_conditions_count_towards_the_limits() -> None:
    schema = SCHEMA
    text = " && ".join(["open"] * 400)
    for name in ("a", "b", "c"):
        schema = schema.with_condition(name, compile_expression(text, SCHEMA).named(name))
    assert compile_expression("a && b", schema).evaluate is not None
    ((_, message),) = problems("a && b && c", schema=schema)
    assert message.startswith("expected, with its named conditions, at most 1000 operators and")


OPERANDS = [
    *("1", "1.5", '"a"', "true", "null", "now", "contact.waited", "contact", "contact.tags"),
    *("contact.skills", "contact.attributes", "contact.attributes.n", "[]", "{}", "nobody"),
    *("preference.channel", "segment", '["a"]', "{1: 2}", '{"a": true}', "zone.matches(zone)"),
]
SIGNS = ["==", "!=", "<", ">=", "in", "+", "-", "*", "/", "%", "&&", "||", "?:", "[]", "."]


@pytest.mark.parametrize("sign", SIGNS)
def test_any_two_operands_are_taken_or_refused_with_a_message(sign: str) -> None:
    forms = {"?:": "open ? {} : {}", "[]": "{}[{}]", ".": "{}.startsWith({})"}
    form = forms.get(sign, f"({{}}) {sign} ({{}})")
    messages: list[str] = []
    for left in OPERANDS:
        for right in OPERANDS:
            try:
                compile_expression(form.format(left, right), SCHEMA, expects=None)
            except ExpressionError as error:
                messages += [found.message for found in error.problems]
    assert messages
    assert all(messages)
