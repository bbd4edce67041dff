"""Why a contact stands before the supervisor."""

from __future__ import annotations

from typing import Any

import pytest

from router.core import commands as c
from router.core import events as e
from router.core.facts import Facts
from router.core.model import ContactId
from router.core.rules.book import Moment
from router.core.rules.verbs import Then
from tests.core.centre import Centre, only
from tests.core.ruled import centre, known, rule, segment

C1 = ContactId("c1")
TOPIC = 'has(contact.attributes.topic) && contact.attributes.topic == "bill"'


def world() -> Centre:
    return centre(
        rule("complaints", TOPIC, watch=True),
        rule("calm", 'contact.channel == "email"', watch=False),
        rule("shout", 'contact.attributes["input.mood"] == "angry"', Moment.INPUT, watch=True),
        segments=(segment("angry", "customer.contacts > 5", then=Then(watch=True)),),
    )


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({}, ""),
        ({"attributes": {"topic": "bill"}}, "rule complaints"),
        ({"facts": known(contacts=9)}, "segment angry"),
        ({"attributes": {"topic": "bill"}, "facts": known(contacts=9)}, "rule complaints"),
        ({"facts": known(watched=True), "watched": True}, "customer"),
        ({"watched": True, "by": "ana"}, "ana"),
    ],
)
def test_the_cause_is_on_record(fields: dict[str, Any], cause: str) -> None:
    here = world()
    received = only(here.submit("c1", **fields), e.ContactReceived)
    assert (received.watched, received.watched_for) == (bool(cause), cause)
    assert here.of("c1").watched_for == cause


def test_a_rule_that_says_no_leaves_no_cause() -> None:
    here = world()
    here.submit("c1", "email", facts=known(contacts=9))
    assert (here.of("c1").watched, here.of("c1").watched_for) == (False, "")


def test_without_rules_the_customer_or_whoever_asked_is_the_cause() -> None:
    here = Centre()
    here.submit("c1", watched=True, facts=Facts(customer=known(watched=True).customer))
    here.submit("c2", watched=True, by="crm")
    assert [here.of(id_).watched_for for id_ in ("c1", "c2")] == ["customer", "crm"]


def test_a_person_or_a_rule_on_input_is_the_cause_later() -> None:
    here = world()
    here.submit("c1")
    here.say(c.WatchContact(contact=C1, watched=True, by="lea"))
    assert here.of("c1").watched_for == "lea"
    here.say(c.WatchContact(contact=C1, watched=False, by="lea"))
    assert (here.of("c1").watched, here.of("c1").watched_for) == (False, "")
    here.say(c.CollectInput(contact=C1, name="mood", prompt="?"))
    here.say(c.ReportInput(contact=C1, name="mood", value="angry"))
    assert (here.of("c1").watched, here.of("c1").watched_for) == (True, "rule shout")
