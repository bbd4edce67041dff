"""What is said about a customer, and what it does to their contacts under way."""

from __future__ import annotations

from typing import Any

import pytest

from router.core import commands as c
from router.core import customer_commands as cc
from router.core import events as e
from router.core.customer_care import HANDLERS
from router.core.effects import DeliverMessage, EndContact
from router.core.facts import Outbound
from router.core.model import ContactId, ContactState, Direction, QueueId
from router.core.permission_facts import ConsentState
from router.errors import Refused
from tests.core.centre import Centre, names, only

LATER_US = 3_600_000_000


def outbound(centre: Centre, id_: str, channel: str = "sms", **fields: Any) -> None:
    """A contact to go out in an hour."""
    given = {
        "direction": Direction.OUTBOUND,
        "customer": "kim",
        "peer_key": f"h1/{channel}/us",
        "not_before_us": centre.now_us + LATER_US,
        **fields,
    }
    centre.submit(id_, channel, **given)


def live(centre: Centre) -> list[str]:
    return list(centre.engine.state.contacts)


def test_a_profile_and_its_identities_are_told_as_they_were_completed() -> None:
    centre = Centre()
    command = cc.ChangeCustomer(
        customer="kim",
        fields=("name",),
        sealed=b"patch",
        seal_key="k1",
        sealed_identities=(cc.SealedIdentity(kind="phone", hash="h1", sealed=b"number"),),
        remove=("h0",),
        by="token:crm",
    )
    changed, added, removed = centre.say(command)
    assert isinstance(changed, e.CustomerChanged)
    assert (changed.fields, changed.sealed, changed.seal_key) == (("name",), b"patch", "k1")
    assert isinstance(added, e.IdentityAdded)
    assert (added.hash, added.sealed, added.by) == ("h1", b"number", "token:crm")
    assert isinstance(removed, e.IdentityRemoved)
    assert removed.hash == "h0"
    assert centre.say(cc.ChangeCustomer(customer="kim")) == []


def test_a_merge_takes_the_contacts_under_way_along() -> None:
    centre = Centre()
    centre.submit("c1", customer="p1")
    centre.submit("c2", customer="p1")
    centre.submit("c3", customer="other")
    events = centre.say(cc.MergeCustomers(customer="p1", into="kim"))
    assert names(events) == ["CustomersMerged", "ContactUpdated", "ContactUpdated"]
    assert [centre.of(id_).customer for id_ in ("c1", "c2", "c3")] == ["kim", "kim", "other"]
    assert centre.engine.state.contacts_of("kim") == ("c1", "c2")
    assert centre.engine.state.contacts_of("p1") == ()


def test_a_block_cancels_what_would_go_out_against_it_and_nothing_else() -> None:
    centre = Centre()
    outbound(centre, "text")
    outbound(centre, "call", "voice")
    outbound(centre, "elsewhere", peer_key="h2/sms/us")
    outbound(centre, "others", customer="lee")
    centre.submit("asks", "sms", customer="kim", peer_key="h1/sms/other")
    block = cc.ChangeDoNotContact(customer="kim", channel="sms", address="h1", asked_from="h1")
    events = centre.say(block)
    assert only(events, e.DoNotContactChanged).asked_from == "h1"
    closed = [event for event in events if isinstance(event, e.ContactClosed)]
    assert [(event.contact, event.reason) for event in closed] == [("text", "customer_objected")]
    assert live(centre) == ["call", "elsewhere", "others", "asks"]
    centre.say(cc.ChangeDoNotContact(customer="kim"))
    assert live(centre) == ["others", "asks"]


def test_lifting_a_block_cancels_nothing() -> None:
    centre = Centre()
    outbound(centre, "text")
    events = centre.say(cc.ChangeDoNotContact(customer="kim", lifted=True))
    assert names(events) == ["DoNotContactChanged"]


def test_consent_withdrawn_for_a_purpose_cancels_what_is_for_that_purpose() -> None:
    centre = Centre()
    outbound(centre, "offer", outbound=Outbound(purpose="marketing"))
    outbound(centre, "notice", outbound=Outbound(purpose="service"))
    given = cc.ChangeConsent(customer="kim", state=ConsentState.GIVEN, purpose="marketing")
    assert names(centre.say(given)) == ["ConsentChanged"]
    withdrawn = cc.ChangeConsent(customer="kim", state=ConsentState.WITHDRAWN, purpose="marketing")
    centre.say(withdrawn)
    assert live(centre) == ["notice"]


def test_an_outcome_is_told() -> None:
    centre = Centre()
    command = cc.RecordOutcome(
        customer="kim", channel="sms", address="h1", attempted_at_us=5, outcome="replied",
        attempt="a1", source="import",
    )  # fmt: skip
    told = only(centre.say(command), e.OutcomeRecorded)
    assert (told.attempt, told.outcome, told.source) == ("a1", "replied", "import")


def test_nobody_is_erased_while_somebody_speaks_with_them_or_they_wait() -> None:
    centre = Centre()
    centre.submit("c1", customer="kim")
    for _ in range(2):
        with pytest.raises(Refused, match="complete or cancel it first"):
            centre.say(cc.EraseCustomer(customer="kim"))
        if centre.of("c1").state is ContactState.QUEUED:
            centre.agent("ana")
            centre.talk("c1")
    centre.say(c.ParkContact(contact=ContactId("c1")))
    outbound(centre, "text")
    events = centre.say(cc.EraseCustomer(customer="kim", by="token:dpo"))
    assert live(centre) == []
    closed = [event for event in events if isinstance(event, e.ContactClosed)]
    assert {event.reason for event in closed} == {"customer_erased"}
    assert events[-1] == e.CustomerErased(at_us=centre.now_us, customer="kim", by="token:dpo")


def stop(contact: str = "c9", **fields: Any) -> c.HearKeyword:
    new = c.SubmitContact(
        contact=ContactId(contact), channel="sms", queue=QueueId("q"), customer="kim",
        peer_key="h1/sms/us",
    )  # fmt: skip
    asked = cc.ChangeDoNotContact(
        customer="kim", channel="sms", address="h1", asked_from="h1",
        lifted=fields.pop("lifted", False),
    )  # fmt: skip
    return c.HearKeyword(asked=asked, contact=new, message="m1", size=4, **fields)


def test_a_bare_stop_wakes_nobody_and_is_answered_once() -> None:
    centre = Centre()
    centre.agent("ana")
    outbound(centre, "text", peer_key="h1/sms/other")
    events = centre.say(stop(reply="m2", reply_size=20))
    assert names(events) == [
        "DoNotContactChanged", "OutboundReleased", "ContactClosed", "ContactReceived",
        "MessageReceived", "MessageSent", "ContactClosed",
    ]  # fmt: skip
    assert events[-1] == e.ContactClosed(
        at_us=centre.now_us,
        contact=ContactId("c9"),
        outcome="deflected",
        reason="keyword",  # type: ignore[arg-type]
    )
    sent = [effect for effect in centre.effects if isinstance(effect, DeliverMessage)]
    assert [(effect.contact, effect.message) for effect in sent] == [("c9", "m2")]
    assert live(centre) == []
    assert centre.held_by("ana") == {}


def test_stop_joins_the_open_contact_and_leaves_it_where_it_is() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1", "sms", customer="kim", peer_key="h1/sms/us")
    centre.talk("c1")
    centre.say(c.ParkContact(contact=ContactId("c1")))
    events = centre.say(stop())
    assert names(events) == ["DoNotContactChanged", "MessageReceived"]
    assert centre.contact == "c1"
    assert centre.of("c1").state is ContactState.PARKED


def test_start_after_stop_is_told_as_lifted() -> None:
    centre = Centre()
    events = centre.say(stop(lifted=True))
    assert only(events, e.DoNotContactChanged).lifted is True
    assert any(isinstance(effect, EndContact) for effect in centre.effects)


def test_every_customer_command_has_its_handler_here() -> None:
    assert {kind.__name__ for kind in HANDLERS} == {
        "ChangeCustomer", "MergeCustomers", "ChangeConsent", "ChangeDoNotContact",
        "RecordOutcome", "EraseCustomer", "HearKeyword",
    }  # fmt: skip


def test_who_answers_what_we_sent_and_waits_is_not_what_an_objection_cancels() -> None:
    centre = Centre()
    outbound(centre, "offer", not_before_us=0, outbound=Outbound(mode="message_first"))
    centre.wait(0)
    offer = ContactId("offer")
    centre.say(c.ProvideCustomer(contact=offer, customer="kim", message="m1", message_size=5))
    reply = c.SubmitContact(contact=ContactId("c9"), channel="sms", peer_key="h1/sms/us")
    centre.say(c.ReceiveMessage(message="m2", size=3, contact=reply))
    assert centre.of("offer").state is ContactState.QUEUED
    outbound(centre, "later")
    withdrawn = cc.ChangeConsent(
        customer="kim", state=ConsentState.WITHDRAWN, purpose="service", by="token:crm"
    )
    events = centre.say(withdrawn)
    assert names(events) == ["ConsentChanged", "OutboundReleased", "ContactClosed"]
    assert live(centre) == ["offer"]
    with pytest.raises(Refused, match="contact 'offer' of this customer is queued"):
        centre.say(cc.EraseCustomer(customer="kim"))
