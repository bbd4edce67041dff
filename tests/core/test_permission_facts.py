"""What is known of a customer travels and is stored whole, and takes little room."""

from __future__ import annotations

import msgspec
import pytest

from router.core.permission_facts import (
    Consent,
    ConsentState,
    DoNotContact,
    LedgerEntry,
    PermissionFacts,
    QuietSpan,
)

AT_US = 1_806_213_600_000_000
FULL = PermissionFacts(
    zones=("Europe/Berlin",),
    consents=(Consent(state=ConsentState.GIVEN, at_us=AT_US, channel="sms", source="web form"),),
    do_not_contact=(DoNotContact(at_us=AT_US, address="4f1d", asked_from="4f1d"),),
    quiet=(QuietSpan(days=(6,), start_minute=0, end_minute=720, channels=("voice",)),),
    ledger=(LedgerEntry(AT_US, "sms", "4f1d", "marketing", "c1/1", sent=True),),
)


@pytest.mark.parametrize("facts", [PermissionFacts(), FULL])
def test_facts_are_the_same_after_being_stored_and_sent(facts: PermissionFacts) -> None:
    for codec in (msgspec.msgpack, msgspec.json):
        assert codec.decode(codec.encode(facts), type=PermissionFacts) == facts


def test_a_customer_of_whom_nothing_is_known_takes_one_byte() -> None:
    assert len(msgspec.msgpack.encode(PermissionFacts())) == 1


def test_a_contact_in_the_ledger_takes_less_than_80_bytes() -> None:
    entry = LedgerEntry(AT_US, "voice", "k" * 22, "marketing", "c" + "0" * 20 + "/1", sent=True)
    assert len(msgspec.msgpack.encode(entry)) == 74
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(entry))[0] == AT_US


def test_facts_cannot_be_changed_in_place() -> None:
    with pytest.raises(AttributeError):
        FULL.zones = ()
