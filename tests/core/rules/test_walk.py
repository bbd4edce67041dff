"""Explanations: what became of each condition."""

from __future__ import annotations

from router.core.rules.compile import compile_expression
from router.core.rules.types import DOUBLE, DURATION, DYN, STRING, TIMESTAMP
from router.core.rules.walk import shown
from tests.core.rules.world import SCHEMA, SUNDAY_US, Contact, Context, Preference


def lines(text: str, context: Context | None = None) -> list[str]:
    return list(compile_expression(text, SCHEMA).explain(context or Context()).lines())


def test_each_condition_is_shown_with_its_value_and_what_it_read() -> None:
    text = 'segment == "passive" || contact.position >= 3 && contact.attributes.topic != "x"'
    assert lines(text) == [
        f"{text} -> true",
        '  segment == "passive" -> false (segment = "loyal")',
        '  contact.position >= 3 && contact.attributes.topic != "x" -> true',
        "    contact.position >= 3 -> true (contact.position = 3)",
        '    contact.attributes.topic != "x" -> true (contact.attributes.topic = "billing")',
    ]


def test_what_was_not_looked_at_says_so() -> None:
    assert lines("open || contact.position > 1 || now == now") == [
        "open || contact.position > 1 || now == now -> true",
        "  open -> true",
        "  contact.position > 1 -> not looked at",
        "  now == now -> not looked at",
    ]
    assert lines("!open ? zone == zone : open") == [
        "!open ? zone == zone : open -> true",
        "  !open -> false",
        "    open -> true",
        "  zone == zone -> not looked at",
        "  open -> true",
    ]


def test_what_has_no_value_says_why_and_the_next_is_looked_at() -> None:
    context = Context(preference=Preference(channel=None))
    text = 'preference.channel == "sms" && contact.attributes.x > 1 && contact.position > 5'
    assert lines(text, context) == [
        f"{text} -> false",
        '  preference.channel == "sms" -> error: preference.channel is not known '
        "(ask has(preference.channel) first)",
        "  contact.attributes.x > 1 -> error: no such key: 'x' "
        '(contact.attributes = {"topic":"billing","n":3})',
        "  contact.position > 5 -> false (contact.position = 3)",
    ]


def test_the_first_failure_is_the_reason_of_the_whole() -> None:
    step = compile_expression(
        "contact.attributes.a && contact.attributes.b", SCHEMA
    ).explain(Context())  # fmt: skip
    assert (step.outcome, step.came) == ("error", "no such key: 'a'")
    assert [part.outcome for part in step.parts] == ["error", "error"]


def test_moments_are_shown_as_the_language_writes_them() -> None:
    (line,) = lines('contact.waited > duration("1m") == (now > contact.received)')
    assert line.endswith(
        '-> true (contact.waited = duration("95s"), now = timestamp("2026-03-29T01:30:05.123456Z"),'
        ' contact.received = timestamp("2026-03-29T01:28:30.123456Z"))'
    )


def test_a_text_that_is_too_long_is_cut() -> None:
    context = Context(contact=Contact(direction="x" * 5_000))
    (line,) = lines('contact.direction == "a"', context)
    assert len(line) < 200


def test_values_are_shown_as_the_language_writes_them() -> None:
    assert shown(True, DYN) == "true"
    assert shown(None, DYN) == "null"
    assert shown('a"\n', STRING) == r'"a\"\n"'
    assert shown(1.0, DOUBLE) == "1.0"
    assert shown(float("inf"), DOUBLE) == "inf"
    assert shown([1, {"a": None}], DYN) == '[1,{"a":null}]'
    assert shown(-1_500_000, DURATION) == 'duration("-1.5s")'
    assert shown(SUNDAY_US, TIMESTAMP) == 'timestamp("2026-03-29T01:30:05.123456Z")'
