"""What conditions see, and what it costs to see nothing."""

from __future__ import annotations

from typing import Any

import pytest

from router.core.facts import CustomerFacts, Facts, Permission, PreferenceFacts
from router.core.model import Direction
from router.core.rules.compile import compile_expression
from router.core.rules.context import SCHEMA, Context
from router.core.rules.place import EvaluationError, ExpressionError
from router.core.rules.types import Record
from tests.core.rules import books
from tests.core.rules.books import NOW_US, SECOND_US, Numbers, context

FACTS = Facts(
    customer=CustomerFacts(
        known=True,
        attributes={"vip": True},
        zone="America/New_York",
        contacts=7,
        last_contact_at_us=NOW_US - 3_600 * SECOND_US,
        last_channel="sms",
        watched=True,
    ),
    preference=PreferenceFacts(
        channel="sms",
        weekday=1,
        hour=9,
        confidence=0.85,
        attempts=10,
        successes=8,
        last_success_at_us=NOW_US - 86_400 * SECOND_US,
        by_channel={"sms": 0.8},
    ),
    permission=Permission(allowed=False, reason="quiet_hours"),
)


def value(text: str, seen: Context, expects: Any = None) -> object:
    return compile_expression(text, books.SCHEMA, expects=expects).evaluate(seen)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("contact.id", "c1"),
        ("contact.channel", "voice"),
        ('contact.direction == "inbound"', True),
        ("contact.queue", "care"),
        ("contact.attributes.topic", "billing"),
        ("contact.requirements.en", 3),
        ("contact.waited", 95 * SECOND_US),
        ('now - contact.created_at == duration("95s")', True),
        ("contact.position", 5),
        ("contact.estimated_wait", 80 * SECOND_US),
        ("contact.visit + contact.hops + contact.step + contact.tier", 0),
        ("customer.known && customer.attributes.vip && customer.watched", True),
        ("customer.contacts", 7),
        ('now - customer.last_contact_at == duration("1h")', True),
        ("preference.channel", "sms"),
        ("preference.window", "tue 09-10"),
        ("preference.weekday", 2),
        ("preference.now.sms > 0.5", True),
        ('has(preference.last_success_at) && !("voice" in preference.now)', True),
        ("permission.allowed", False),
        ("permission.reason", "quiet_hours"),
        ("queue.id", "care"),
        ("queue.open", True),
        ("queue.waiting + queue.ready + queue.available + queue.eligible", 10),
        ("queue.estimated_wait + queue.longest_wait", 150 * SECOND_US),
        ('queues["billing"].waiting == 4 && queues.care.open', True),
        ("local.hour * 100 + local.minute", 315),
        ("queue_local.hour * 100 + queue_local.minute", 915),
        ("local.day", "tue"),
        ("local.weekday", 2),
        ("local.date", "2026-11-24"),
        ("queue_local.minutes", 555),
    ],
)
def test_a_condition_sees(text: str, expected: object) -> None:
    assert value(text, context(FACTS)) == expected


def test_every_name_of_the_schema_can_be_read_of_a_context() -> None:
    seen = context(FACTS)
    read = []
    for name, field in SCHEMA.root.fields.items():
        held = getattr(seen, name)
        inner = field.type.fields if isinstance(field.type, Record) else {}
        read += [getattr(held, part) for part in inner]
    assert len(read) > 40


def test_of_somebody_unknown_nothing_is_known_and_asking_is_no_error() -> None:
    seen = context()
    assert value("customer.known || customer.do_not_contact", seen) is False
    assert value('preference.channel == "" && preference.window == ""', seen) is True
    assert value("preference.weekday == 0 && preference.hour == -1", seen) is True
    assert value("has(customer.last_contact_at) || has(preference.last_success_at)", seen) is False
    with pytest.raises(EvaluationError, match="last_contact_at is not known"):
        value("customer.last_contact_at < now", seen)


def test_without_a_zone_of_their_own_customers_live_where_the_queue_is() -> None:
    assert value("local.hour == queue_local.hour", context()) is True
    nowhere = Facts(customer=CustomerFacts(zone="Mars/Olympus"))
    assert value("local.hour == 9", context(nowhere)) is True


def test_a_context_works_out_only_what_is_read() -> None:
    look = Numbers()
    seen = context(FACTS, look)
    assert value('segment == "loyal" || contact.channel == "voice"', seen) is True
    assert look.asked == []
    assert value("queue.waiting > 0 && queue.waiting < 9", seen) is True
    assert look.asked == ["waiting", "waiting"]


def test_a_queue_that_is_not_there_has_no_numbers() -> None:
    wide = compile_expression("queues[contact.id].waiting > 0", books.SCHEMA)
    with pytest.raises(EvaluationError, match="no such key"):
        wide.evaluate(context())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('contact.channel == "phone"', "contact.channel is never 'phone'"),
        ('contact.direction == "out"', "is one of 'inbound', 'outbound', 'callback'"),
        ('queues["bill"].waiting > 1', "queues has no 'bill', did you mean 'billing'?"),
        ('segment == "loyl"', "segment is never 'loyl', did you mean 'loyal'?"),
        ('local.day == "tuesday"', "local.day is never 'tuesday'"),
        ("preference.now.smss > 0.5", "preference.now has no 'smss', did you mean 'sms'?"),
        ("customer.zonee == 1", "customer has no field 'zonee', did you mean 'zone'?"),
    ],
)
def test_names_of_the_configuration_are_checked(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        compile_expression(text, books.SCHEMA)


def test_without_a_configuration_any_name_is_taken() -> None:
    text = 'contact.channel == "fax" || segment == "any" || queues["x"].waiting > 1'
    assert compile_expression(text, SCHEMA).source == text


def test_a_contact_that_has_not_arrived_yet_has_not_waited() -> None:
    seen = context(created_at_us=0, visit_at_us=0, direction=Direction.OUTBOUND)
    assert value("contact.created_at == now && contact.waited == duration('0s')", seen) is True
