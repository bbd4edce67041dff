"""Compiled expressions: values, errors, what they read, what is known of them at load."""

from __future__ import annotations

import pytest

from router.core.rules.compile import compile_expression
from router.core.rules.place import EvaluationError, ExpressionError, Place
from router.core.rules.types import BOOL, DOUBLE, DURATION, INT, STRING, Type
from router.errors import ConfigError, RouterError
from tests.core.rules.world import SCHEMA, Contact, Context, Preference


def value(text: str, context: Context | None = None, expects: Type | None = BOOL) -> object:
    return compile_expression(text, SCHEMA, expects=expects).evaluate(context or Context())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('segment == "loyal" && contact.attributes.topic == "billing"', True),
        ('preference.channel == "sms" && preference.confidence >= 0.8', True),
        ('contact.waited > duration("90s")', True),
        ('contact.waited > duration("1m") + duration("36s")', False),
        ('now.getHours("Europe/Berlin") == 3 && now.getHours() == 1', True),
        ("now.getHours(zone) in [2, 3]", True),
        ('now - contact.received < duration("2m")', True),
        ('"billing" in contact.skills || contact.skills.en >= 3', True),
        ('contact.attributes.topic.matches("^bil+ing$")', True),
        ('size(contact.tags) == 2 && contact.tags[1] == "new"', True),
        ('{"loyal": 1, "passive": 2}[segment] == 1', True),
        ('has(contact.attributes.topic) ? contact.attributes.topic != "" : false', True),
        ("has(contact.attributes.nowhere) || has(preference.attempts)", True),
        ("contact.attributes.n * 2 + 1 == 7", True),
        ("double(contact.attributes.n) / 2.0 == 1.5", True),
        ('timestamp("2026-03-29T01:30:05.123456Z") == now', True),
        ("contact.position > 1 ? open : !open", True),
        ("contact.attributes == {}", False),
    ],
)
def test_an_expression_has_its_value(text: str, expected: bool) -> None:
    assert value(text) is expected


@pytest.mark.parametrize(
    ("text", "type_", "expected"),
    [
        ("contact.position + 1", INT, 4),
        ("preference.share * 2.0", DOUBLE, 0.5),
        ('contact.waited - duration("5s")', DURATION, 90_000_000),
        ('open ? "a" : zone', STRING, "a"),
        ("[1, 2] + contact.levels", None, [1, 2, 1, 5]),
    ],
)
def test_other_types_than_truth_can_be_expected(
    text: str, type_: Type | None, expected: object
) -> None:
    assert value(text, expects=type_) == expected


FAILING = "contact.attributes.nowhere == 1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{FAILING} || open", True),
        (f"open || {FAILING}", True),
        (f"{FAILING} && !open", False),
        (f"!open && {FAILING}", False),
        (f"{FAILING} && {FAILING} && !open", False),
        (f"!({FAILING} && !open)", True),
        (f"({FAILING} || open) && open", True),
        (f"open ? true : {FAILING}", True),
        ("contact.attributes.n && !open", False),
    ],
)
def test_an_operand_without_a_value_does_not_matter_where_the_others_decide(
    text: str, expected: bool
) -> None:
    assert value(text) is expected


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        (f"{FAILING} || !open", "r.yaml:7:20", "no such key: 'nowhere'"),
        (f"open && {FAILING}", "r.yaml:7:28", "no such key: 'nowhere'"),
        (f"{FAILING} ? open : open", "r.yaml:7:20", "no such key: 'nowhere'"),
        ("!contact.attributes.n", "r.yaml:7:21", "expected true or false, got int"),
        ("contact.attributes.topic", "r.yaml:7:20", "expected true or false, got string"),
        ("open && contact.attributes.n", "r.yaml:7:28", "expected true or false, got int"),
        ("contact.attributes.n + 0.5 > 1.0", "r.yaml:7:20", "'+' does not take int and double"),
        ("contact.attributes.topic < 3", "r.yaml:7:20", "'<' does not take string and int"),
        ("contact.attributes.n.x == 1", "r.yaml:7:20", "a map with the key 'x', got int"),
        ("open && contact.levels[7] == 1", "r.yaml:7:28", "no item 7: the list has 2"),
        ('open && contact.skills[zone] == 1', "r.yaml:7:28", "no such key"),
        ("100 / (contact.position - 3) > 1", "r.yaml:7:20", "division by zero"),
        ("contact.position * 9223372036854775807 > 1", "r.yaml:7:20", "larger than a 64-bit"),
        ("now.getHours(contact.direction) == 1", "r.yaml:7:20", "expected a time zone like"),
        ('timestamp(contact.attributes.topic) < now', "r.yaml:7:20", 'a text like "2026-03-29T01'),
        ('now + duration("87600000h") > now', "r.yaml:7:20", "is no moment of the years 1 to 9999"),
    ],
)  # fmt: skip
def test_without_a_value_the_reason_and_the_place_are_said(
    text: str, place: str, reason: str
) -> None:
    expression = compile_expression(text, SCHEMA, Place("r.yaml", 7, 20))
    with pytest.raises(EvaluationError) as caught:
        expression.evaluate(Context())
    assert reason in caught.value.reason
    assert caught.value.place == place
    assert isinstance(caught.value, RouterError)


def test_an_unknown_optional_field_is_asked_for_first() -> None:
    unknown = Context(preference=Preference(channel=None, attempts=None))
    assert value('has(preference.channel) && preference.channel == "sms"', unknown) is False
    with pytest.raises(EvaluationError, match=r"preference\.channel is not known"):
        value('preference.channel == "sms"', unknown)
    with pytest.raises(EvaluationError, match=r"preference\.attempts is not known"):
        value("preference.attempts < 3 || !open", unknown)


def test_a_context_that_does_not_fit_the_schema_is_a_defect_and_no_evaluation_error() -> None:
    with pytest.raises(AttributeError):
        compile_expression("open", SCHEMA).evaluate(Contact())


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("true", ()),
        ("segment == zone && segment == zone", ("segment", "zone")),
        (
            'contact.attributes.topic == "x" && contact.attributes["a b"] == 1',
            ("contact.attributes.topic", "contact.attributes.a b"),
        ),
        ("contact.attributes[zone] == 1", ("contact.attributes", "zone")),
        ("has(preference.channel)", ("preference.channel",)),
        ("has(contact.attributes.deep.x)", ("contact.attributes.deep.x",)),
        ("now.getHours(zone) == size(contact.tags)", ("now", "zone", "contact.tags")),
    ],
)
def test_an_expression_knows_what_it_reads(text: str, reads: tuple[str, ...]) -> None:
    assert compile_expression(text, SCHEMA).reads == reads


def test_a_wrong_expression_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError):
        compile_expression("", SCHEMA)
    with pytest.raises(ExpressionError) as caught:
        compile_expression("open &&\n  clossed", SCHEMA, Place("r.yaml", 3, 9))
    assert caught.value.findings[0].startswith("r.yaml:4:3: unknown name 'clossed'")


def test_the_source_is_kept_as_written() -> None:
    text = "open  &&\n !open"
    assert compile_expression(text, SCHEMA).source == text
