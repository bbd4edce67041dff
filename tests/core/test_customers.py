"""A customer's row follows events, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core import customers
from router.core import events as e
from router.core.customer_model import MOST_IDENTITIES, Customer, CustomerPatch, Identity
from router.core.model import DAY_US, AgentId, Contact, ContactId
from router.core.permission_facts import ConsentState, LedgerEntry
from router.errors import Refused

KIM = "kim"
NOW_US = 1_800_000_000_000_000


def blank() -> Customer:
    return Customer(id=KIM, created_at_us=NOW_US)


def identity(name: str, **fields: Any) -> Identity:
    return Identity(kind="phone", hash=f"h-{name}", address=f"+4930{name}", **fields)


def added(name: str) -> e.IdentityAdded:
    return e.IdentityAdded(
        at_us=NOW_US, customer=KIM, kind="phone", hash=f"h-{name}", sealed=b"", seal_key="k"
    )


def block(**fields: Any) -> e.DoNotContactChanged:
    return e.DoNotContactChanged(at_us=NOW_US, customer=KIM, said_at_us=NOW_US, **fields)


def outbound(kind: type[Any], attempt: str, at_us: int = NOW_US) -> Any:
    moment = {
        e.OutboundReserved: {"for_at_us": at_us},
        e.OutboundSent: {"sent_at_us": at_us},
    }.get(kind, {})
    where = {} if kind is e.OutboundReleased else {
        "channel": "sms", "address": "h-1", "purpose": "service",
    }  # fmt: skip
    return kind(
        at_us=NOW_US, contact=ContactId("c1"), customer=KIM, attempt=attempt, **where, **moment
    )


def test_a_change_sets_only_what_it_names_and_counts_as_a_version() -> None:
    row = blank()
    row.name, row.segment = "Kim", "loyal"
    event = e.CustomerChanged(at_us=NOW_US, customer=KIM, fields=("segment", "watched"))
    customers.apply(row, event, CustomerPatch(segment="", watched=True))
    assert (row.name, row.segment, row.watched, row.version) == ("Kim", "", True, 1)


def test_what_a_change_comes_to_is_what_differs() -> None:
    row = blank()
    row.name, row.attributes, row.zone = "Kim", {"a": 1, "b": 2}, "Europe/Berlin"
    merged = customers.patched(row, CustomerPatch(name="Kim", attributes={"b": None}), whole=False)
    assert merged == CustomerPatch(attributes={"a": 1})
    whole = customers.patched(row, CustomerPatch(name="Kim"), whole=True)
    assert whole == CustomerPatch(attributes={}, zone="")
    assert customers.fields_of(whole) == ("attributes", "zone")
    assert customers.fields_of(customers.patched(row, CustomerPatch(), whole=False)) == ()


def test_identities_come_change_their_label_and_go() -> None:
    row = blank()
    customers.apply(row, added("1"), identity("1"))
    customers.apply(row, added("2"), identity("2"))
    customers.apply(row, added("1"), identity("1", label="mobile"))
    # The first stays the first: it is called where no number is named.
    assert [(i.hash, i.label) for i in row.identities] == [("h-1", "mobile"), ("h-2", "")]
    customers.apply(row, e.IdentityRemoved(at_us=NOW_US, customer=KIM, hash="h-2"))
    assert [i.hash for i in row.identities] == ["h-1"]
    assert row.version == 4


def test_consent_is_kept_with_its_source_and_the_latest_counts() -> None:
    row = blank()
    for number, state in enumerate((ConsentState.GIVEN, ConsentState.WITHDRAWN)):
        event = e.ConsentChanged(
            at_us=1, customer=KIM, state=state, said_at_us=NOW_US + number, purpose="marketing",
            source="web form",
        )  # fmt: skip
        customers.apply(row, event)
    assert [(said.state, said.source) for said in row.consents] == [("withdrawn", "web form")]


def test_start_lifts_what_stop_from_the_same_address_set_and_no_more() -> None:
    row = blank()
    customers.apply(row, block(channel="sms", address="h-1", asked_from="h-1"))
    customers.apply(row, block(channel="sms", address="h-2", asked_from="h-2"))
    customers.apply(row, block(channel="voice", source="agent ana"))
    customers.apply(row, block(lifted=True, channel="sms", address="h-1", asked_from="h-1"))
    assert [(b.channel, b.address) for b in row.do_not_contact] == [("sms", "h-2"), ("voice", "")]
    customers.apply(row, block(lifted=True, channel="voice"))
    assert [b.channel for b in row.do_not_contact] == ["sms"]


def test_an_attempt_holds_its_place_until_it_is_sent_or_released() -> None:
    row = blank()
    customers.apply(row, outbound(e.OutboundReserved, "c1/1", NOW_US + DAY_US))
    customers.apply(row, outbound(e.OutboundReserved, "c1/1", NOW_US + 2 * DAY_US))
    assert [(entry.at_us, entry.sent) for entry in row.ledger] == [(NOW_US + 2 * DAY_US, False)]
    customers.apply(row, outbound(e.OutboundSent, "c1/1", NOW_US))
    customers.apply(row, outbound(e.OutboundReleased, "c1/1"))
    assert row.ledger == (LedgerEntry(NOW_US, "sms", "h-1", "service", "c1/1", sent=True),)
    customers.apply(row, outbound(e.OutboundReserved, "c2/1", NOW_US + DAY_US))
    customers.apply(row, outbound(e.OutboundReleased, "c2/1"))
    assert [entry.id for entry in row.ledger] == ["c1/1"]
    assert row.version == 0


def test_a_full_ledger_gives_up_its_oldest_entry() -> None:
    row = blank()
    for number in range(600):
        customers.apply(row, outbound(e.OutboundReserved, f"c{number}/1", NOW_US + number))
    assert len(row.ledger) == 512
    assert row.ledger[-1].id == "c599/1"


def test_closed_contacts_are_counted_and_consults_are_not() -> None:
    row = blank()
    first = Contact(id=ContactId("c1"), channel="sms", last_agent=AgentId("ana"))
    customers.close(row, first, NOW_US)
    customers.close(row, Contact(id=ContactId("c2"), channel="voice"), NOW_US - DAY_US)
    customers.close(row, Contact(id=ContactId("c3"), channel="chat", consult_of="c1"), NOW_US)  # type: ignore[arg-type]
    assert (row.contacts, row.last_contact_at_us) == (2, NOW_US)
    assert (row.last_channel, row.last_agent, row.version) == ("sms", "ana", 0)


def test_of_two_who_are_one_nothing_that_was_said_is_lost() -> None:
    into, other = blank(), Customer(id="other", created_at_us=NOW_US - DAY_US)
    into.name, into.attributes, into.contacts = "Kim", {"a": 1}, 2
    other.name, other.attributes, other.contacts = "K.", {"a": 2, "b": 3}, 3
    other.last_contact_at_us, other.last_channel, other.last_segment = NOW_US, "chat", "loyal"
    into.last_segment = "passive"
    into.identities, other.identities = (identity("1"),), (identity("1"), identity("2"))
    customers.apply(other, block(channel="sms"))
    customers.apply(other, outbound(e.OutboundSent, "c1/1"))
    customers.merge(into, other)
    assert (into.name, into.attributes, into.contacts) == ("Kim", {"a": 1, "b": 3}, 5)
    assert [i.hash for i in into.identities] == ["h-1", "h-2"]
    assert (into.merged_from, into.last_channel) == (("other",), "chat")
    assert into.last_segment == "loyal"
    assert (len(into.do_not_contact), len(into.ledger)) == (1, 1)
    assert into.created_at_us == NOW_US - DAY_US
    left = customers.tombstone(other, into.id)
    assert (left.merged_into, left.identities, left.name) == (KIM, (), "")


def test_an_attempt_that_was_none_gives_its_place_in_the_ledger_back() -> None:
    row = blank()
    for attempt in ("c1/1", "c2/1"):
        customers.apply(row, outbound(e.OutboundSent, attempt))
    told: dict[str, Any] = {
        "customer": KIM, "channel": "sms", "address": "h-1", "attempted_at_us": NOW_US,
    }  # fmt: skip
    for attempt, outcome in (("c1/1", "no_answer"), ("c2/1", "not_sent")):
        event = e.OutcomeRecorded(at_us=NOW_US, attempt=attempt, outcome=outcome, **told)
        customers.apply(row, event)
    assert [entry.id for entry in row.ledger] == ["c1/1"]


def test_a_merge_that_would_be_too_large_changes_nothing() -> None:
    into, other = blank(), Customer(id="other")
    into.identities = tuple(identity(str(n)) for n in range(MOST_IDENTITIES))
    other.identities = (identity("more"),)
    with pytest.raises(Refused, match="at most 32 identities"):
        customers.merge(into, other)
    assert len(into.identities) == MOST_IDENTITIES
    assert into.merged_from == ()


def test_rules_see_the_profile_and_whether_all_contact_is_blocked() -> None:
    row = blank()
    row.attributes, row.segment, row.watched = {"tier": "gold"}, "loyal", True
    customers.apply(row, block(channel="sms"))
    facts = customers.facts_of(row)
    assert (facts.known, facts.segment, facts.watched) == (True, "loyal", True)
    assert (facts.attributes, facts.do_not_contact) == ({"tier": "gold"}, False)
    customers.apply(row, block())
    assert customers.facts_of(row).do_not_contact is True


def test_a_version_that_is_not_there_is_refused() -> None:
    row = blank()
    row.version = 3
    customers.check_version(row, 3)
    customers.check_version(row, -1)
    customers.check_version(None, 0)
    for known, asked in ((row, 2), (None, 3), (row, 0)):
        with pytest.raises(Refused) as error:
            customers.check_version(known, asked)
        assert error.value.code == "version"


NAMES = st.sampled_from(["1", "2", "3"])
EVENTS = st.lists(
    st.one_of(
        st.builds(lambda n: (added(n), identity(n)), NAMES),
        st.builds(lambda n: (e.IdentityRemoved(at_us=1, customer=KIM, hash=f"h-{n}"), None), NAMES),
        st.builds(lambda n: (block(address=f"h-{n}", asked_from=f"h-{n}"), None), NAMES),
        st.builds(
            lambda n: (block(lifted=True, address=f"h-{n}", asked_from=f"h-{n}"), None), NAMES
        ),
        st.builds(lambda n: (outbound(e.OutboundReserved, n), None), NAMES),
        st.builds(lambda n: (outbound(e.OutboundSent, n), None), NAMES),
        st.builds(lambda n: (outbound(e.OutboundReleased, n), None), NAMES),
    ),
    max_size=30,
)


@given(events=EVENTS)
def test_each_identity_block_and_attempt_stands_once_whatever_happens(events: list[Any]) -> None:
    row, again = blank(), blank()
    for event, part in events:
        customers.apply(row, event, part)
        customers.apply(again, event, part)
    assert row == again
    for found in (
        [i.hash for i in row.identities],
        [(b.channel, b.address) for b in row.do_not_contact],
        [entry.id for entry in row.ledger],
    ):
        assert len(found) == len(set(found))
    sent = {event.attempt for event, _ in events if isinstance(event, e.OutboundSent)}
    assert {entry.id for entry in row.ledger if entry.sent} == sent
