"""An address's row of objections follows what is said of it, and of its customer when it leaves."""

from __future__ import annotations

from typing import Any

import pytest

from router.core import customers, objections
from router.core import events as e
from router.core.customer_model import Customer
from router.core.objections import Objections
from router.core.permission_facts import Consent, ConsentState, DoNotContact

KIM = "kim"
GIVEN, WITHDRAWN = ConsentState.GIVEN, ConsentState.WITHDRAWN


def block(said_at_us: int = 1, **fields: Any) -> e.DoNotContactChanged:
    return e.DoNotContactChanged(at_us=1, customer=KIM, said_at_us=said_at_us, **fields)


def consent(state: ConsentState, said_at_us: int = 1, **fields: Any) -> e.ConsentChanged:
    return e.ConsentChanged(at_us=1, customer=KIM, state=state, said_at_us=said_at_us, **fields)


def after(*said: e.DoNotContactChanged | e.ConsentChanged) -> Objections:
    row = Objections(address="a")
    for event in said:
        objections.follow(row, event)
    return row


STOP = block(channel="sms", address="a", asked_from="a", source="keyword STOP on sms")
STOP_ALL = block(asked_from="a", source="keyword STOPALL on sms")
PEOPLE = block(channel="sms", address="a", source="a letter of Kim's", by="agent:ana")


def test_only_what_is_said_of_the_address_or_from_it_is_put_down() -> None:
    assert after(block(channel="sms", address="b", asked_from="b")).is_empty
    assert after(block(channel="sms")).is_empty, "that is of the customer, for all addresses"
    assert [(b.channel, b.address) for b in after(STOP, STOP_ALL).do_not_contact] == [
        ("sms", "a"),
        ("", ""),
    ]


def test_words_that_people_wrote_stay_with_the_customer() -> None:
    assert [b.source for b in after(STOP).do_not_contact] == ["keyword STOP on sms"]
    assert [b.source for b in after(PEOPLE).do_not_contact] == ["agent"]
    withdrawn = after(consent(WITHDRAWN, address="a", source="a letter of Kim's", by="token:crm"))
    assert [said.source for said in withdrawn.withdrawn] == ["api"]
    customer = Customer(id=KIM, by_address=True)
    customers.apply(customer, PEOPLE)
    told = objections.told(customer, [after(PEOPLE)])
    assert [b.source for b in told.do_not_contact] == ["a letter of Kim's"]
    assert [
        b.source for b in objections.told(Customer(id="lee"), [after(PEOPLE)]).do_not_contact
    ] == ["agent"]


@pytest.mark.parametrize(
    ("lift", "left"),
    [
        (block(lifted=True, channel="sms", address="a", asked_from="a"), ["people"]),
        (block(lifted=True, channel="sms", address="a"), ["all"]),
        (block(lifted=True, channel="sms"), ["keyword", "people", "all"]),
        (block(lifted=True, address="a"), ["keyword", "people"]),
        (block(lifted=True, channel="voice", address="a", asked_from="a"), ["keyword", "people"]),
        (
            block(lifted=True, channel="sms", address="b", asked_from="b"),
            ["keyword", "people", "all"],
        ),
    ],
)
def test_start_ends_what_keywords_from_there_began_and_people_end_one_scope(
    lift: e.DoNotContactChanged, left: list[str]
) -> None:
    names = {("sms", "a"): "keyword", ("sms", ""): "people", ("", "a"): "all"}
    row = after(STOP, PEOPLE, STOP_ALL, lift)
    assert [names[b.channel, b.asked_from] for b in row.do_not_contact] == left


def test_an_address_that_leaves_takes_along_what_was_said_of_all() -> None:
    customer = Customer(id=KIM, by_address=True)
    for event in (
        block(5, source="a letter of Kim's"),
        block(6, channel="sms", asked_from="b", source="keyword STOPALL on sms"),
        block(7, channel="voice", address="b"),
        consent(WITHDRAWN, 8, purpose="survey", source="a letter of Kim's"),
        consent(GIVEN, 9, purpose="service"),
    ):
        customers.apply(customer, event)
    row = Objections(address="a")
    objections.leave(row, customer)
    assert row.do_not_contact == (
        DoNotContact(at_us=5),
        DoNotContact(at_us=6, channel="sms", source="keyword STOPALL on sms", asked_from="b"),
    )
    assert row.withdrawn == (Consent(state=WITHDRAWN, at_us=8, address="a", purpose="survey"),)
    objections.leave(row, customer, for_good=True)
    assert [b.asked_from for b in row.do_not_contact] == ["", "a"]


def test_what_comes_back_to_the_customer_who_said_it_stands_once_and_ends_with_them() -> None:
    customer = Customer(id=KIM, by_address=True)
    customers.apply(customer, block(5))
    row = Objections(address="a")
    objections.leave(row, customer)
    assert objections.told(customer, [row]).do_not_contact == (DoNotContact(at_us=5),)
    assert objections.told(Customer(id="lee"), [row]).do_not_contact == (
        DoNotContact(at_us=5, address="a"),
    )
    objections.follow(row, block(6, lifted=True))
    assert row.is_empty


def test_what_a_customers_row_says_of_an_address_counts_only_while_the_address_says_it() -> None:
    customer = Customer(id=KIM)
    customers.apply(customer, PEOPLE)
    row = Objections(address="a")
    assert objections.told(customer, [row]).do_not_contact, "a row of an earlier version"
    objections.split(row, customer)
    customer.by_address = True
    assert len(objections.told(customer, [row]).do_not_contact) == 1
    assert objections.told(customer, [Objections(address="a")]).do_not_contact == ()
    told = objections.told(customer, [row])
    assert objections.told(told, []) == told, "asked twice it says the same"


def test_later_consent_ends_what_it_covers() -> None:
    said = (STOP, consent(WITHDRAWN, 1, address="a", purpose="survey"))
    assert after(*said, consent(GIVEN, 2, address="a")).is_empty
    wide = after(*said, consent(GIVEN, 2))
    assert (len(wide.do_not_contact), wide.withdrawn) == (1, ())
    assert len(after(*said, consent(GIVEN, 2, address="b")).withdrawn) == 1
    assert len(after(*said, consent(GIVEN, 1, address="a")).do_not_contact) == 1
