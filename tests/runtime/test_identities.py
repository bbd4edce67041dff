"""One address, one written form, one hash: however it was given, on whichever channel."""

from __future__ import annotations

from unicodedata import normalize

import pytest

from router.core.policy import Channel, IdentityKind, default_channels
from router.journal.keys import BlockKeys, MemoryBlocks
from router.journal.seal import Sealer
from router.runtime.identities import Identities, countries, derived_id, hash_in, zones_in, zones_of
from tests.runtime.world import SECRET, make_policy


@pytest.fixture
async def german() -> Identities:
    known = Identities(Sealer(await BlockKeys.open(MemoryBlocks()), SECRET))
    policy = make_policy()
    channels = {
        **default_channels(),
        "kiosk": Channel(name="kiosk", cost=1, maximum=1),
        "fax": Channel(name="fax", cost=1, maximum=1, identity=IdentityKind.PHONE),
    }
    known.use(type(policy)(version="t", channels=channels, country="DE"))
    return known


@pytest.mark.parametrize(
    "written",
    ["+49 30 123456", "030 123456", "0049 30 / 12 34 56", "tel:+49-30-123456", " +4930123456 "],
)
def test_a_phone_number_has_one_form_however_it_is_written(
    german: Identities, written: str
) -> None:
    assert german.written("phone", written) == "+4930123456"
    assert german.hash("phone", written) == german.hash("phone", "+4930123456")


@pytest.mark.parametrize(
    ("written", "one"),
    [
        ("kim@bücher.example", "kim@xn--bcher-kva.example"),
        ("Kim@BÜCHER.example", "kim@xn--bcher-kva.example"),
        ("kim@bücher.example", "kim@xn--bcher-kva.example"),
        ("kim@XN--BCHER-KVA.example", "kim@xn--bcher-kva.example"),
        ("kim@straße.example", "kim@xn--strae-oqa.example"),  # not strasse: somebody else's
        ("kim@☃.example", "kim@xn--n3h.example"),
        ("josé@bücher.example", "josé@xn--bcher-kva.example"),
        ("kim@ü..example", "kim@ü..example"),  # no domain
        ("kim@" + "ü" * 80, "kim@" + "ü" * 80),
        ("ü", "ü"),
    ],
)
def test_a_mailbox_has_one_form_however_its_domain_is_written(
    german: Identities, written: str, one: str
) -> None:
    assert german.written("email", written) == one
    assert german.hash("email", written) == german.hash("email", one)
    assert german.written("email", one) == one


@pytest.mark.parametrize(
    "former", ["kim@bücher.example", "josé@xn--bcher-kva.example", "josé@example.org"]
)
async def test_who_is_known_by_a_form_of_an_earlier_version_is_found_by_every_form(
    former: str,
) -> None:
    sealer = Sealer(await BlockKeys.open(MemoryBlocks()), SECRET)
    rows = {sealer.peer_key("email", former, "")}
    known = Identities(sealer, rows.__contains__)
    known.use(make_policy())
    one = known.written("email", former)
    for form in {former, one, normalize("NFC", former), normalize("NFD", former)}:
        assert known.hash("email", form) in rows
        assert known.peer("email", form, "us")[0] == derived_id(next(iter(rows)))
    # Who is there by the form of now, or by none, has the hash of now.
    newest = sealer.peer_key("email", one, "")
    if newest not in rows:
        rows.add(newest)
        assert known.hash("email", former) == newest
    rows.clear()
    assert known.hash("email", former) == newest


def test_what_no_number_can_be_stays_a_text(german: Identities) -> None:
    for text in ("22000", "DHL", "sip:kim@example.org", "anonymous", "+0123456789"):
        assert german.written("phone", text) == text.lower().strip()


def test_the_same_number_is_the_same_customer_on_every_phone_channel(german: Identities) -> None:
    told = {german.peer(channel, "+4930123456", "us")[0] for channel in ("voice", "sms", "fax")}
    assert len(told) == 1
    keys = {german.peer(channel, "+4930123456", "us")[1] for channel in ("voice", "sms", "fax")}
    assert len(keys) == 3, "a text must not join a call"
    assert german.peer("chat", "+4930123456", "us")[0] not in told
    assert german.peer("chat", "kim", "us")[0] != german.peer("kiosk", "kim", "us")[0]


def test_mailboxes_are_compared_in_lower_case_and_handles_as_they_are(german: Identities) -> None:
    assert german.written("email", " Kim@Example.ORG ") == "kim@example.org"
    assert german.written("email", "Jose\u0301@example.org") == "jos\u00e9@example.org"
    assert german.written("handle:chat", " Kim ") == "Kim"
    assert german.kind("email") == "email"
    assert german.kind("chat") == "handle:chat"
    assert german.kind_of("kim@example.org") == "email"
    assert german.kind_of("030 123456") == "phone"


def test_who_hides_the_number_is_nobody_in_particular(german: Identities) -> None:
    told, key = german.peer("voice", "anonymous", "us")
    assert told == ""
    assert key.endswith("/voice/us")
    assert german.peer("voice", "", "us") == ("", "")


def test_a_derived_id_gives_its_hash_back_and_others_give_none(german: Identities) -> None:
    hash_ = german.hash("email", "kim@example.org")
    assert hash_in(derived_id(hash_)) == hash_
    for given in ("kim", "p", "p" + "x" * 32, "q" + hash_, hash_):
        assert hash_in(given) == ""


def test_a_number_tells_where_the_customer_may_be() -> None:
    assert zones_of("+4930123456") == ("Europe/Berlin",)
    assert "America/New_York" in zones_of("+18005551234")
    assert len(zones_of("+18005551234")) > 10
    assert zones_of("+88212345678") == ()
    assert zones_of("22000") == ()
    assert zones_of("+4915550001") == ("Europe/Berlin",), "a range that is not in use"
    assert (zones_in("DE"), zones_in(""), zones_in("XX")) == (("Europe/Berlin",), (), ())
    assert len(zones_in("US")) > 10
    assert {"DE", "US", "CH"} <= countries()
