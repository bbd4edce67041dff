"""Stanzas by themselves: any XML parser reads what we write, and nothing that is read breaks us."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.xmpp import stanzas

anything = st.text(max_size=60)
NS = "xmlns='jabber:component:accept'"


def parsed(stanza: str) -> ET.Element:
    return ET.fromstring(stanza)


@given(anything, anything, anything, anything)
def test_whatever_is_written_is_one_well_formed_stanza(
    to: str, sender: str, id_: str, text: str
) -> None:
    said = stanzas.read(parsed(stanzas.message(to, sender, id_, text)))
    plain = stanzas._IMPOSSIBLE.sub("\ufffd", text)
    assert said.body == plain.replace("\r\n", "\n").replace("\r", "\n")
    assert said.asks_receipt
    assert said.state == "active"
    assert said.kind == "chat"


@given(anything, anything, anything)
def test_what_a_customer_calls_themselves_adds_no_stanza(sender: str, to: str, id_: str) -> None:
    said = stanzas.Said("chat", id_, sender, to, "", "", True, "", "", "", (), False)
    for stanza in (
        stanzas.receipt(said),
        stanzas.refusal(said, "wait", "resource-constraint"),
        stanzas.presence(to, sender, "subscribed"),
        stanzas.state(to, sender, "composing"),
        stanzas.echo(to, id_),
    ):
        parsed(stanza)


def test_all_parts_of_a_message_are_read_whatever_their_namespace() -> None:
    for namespace in ("jabber:client", "jabber:component:accept"):
        said = stanzas.read(
            parsed(
                f"<message xmlns='{namespace}' type='chat' id='i1' from='a@b/c' to='s@care'>"
                "<body>one</body><body>two</body><composing xmlns='http://jabber.org/protocol/chatstates'/>"
                "<request xmlns='urn:xmpp:receipts'/><origin-id xmlns='urn:xmpp:sid:0' id='o1'/>"
                "<x xmlns='jabber:x:oob'><url>https://x.example/1</url></x><thread>t</thread></message>"
            )
        )
        assert said == stanzas.Said(
            "chat", "i1", "a@b/c", "s@care", "one", "composing", True, "", "", "o1",
            ("https://x.example/1",), False,
        )  # fmt: skip


def test_errors_and_receipts_are_read() -> None:
    error = (
        f"<message {NS} type='error' id='c1/m1'><body>mine</body><error type='cancel'>"
        "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>Ada is away</text></error></message>"
    )
    assert stanzas.read(parsed(error)).error == "service-unavailable"
    assert stanzas.read(parsed(f"<message {NS} type='error'><error/></message>")).error
    received = f"<message {NS}><received xmlns='urn:xmpp:receipts' id='c1/m1'/></message>"
    assert stanzas.read(parsed(received)).received == "c1/m1"


def test_files_are_bounded() -> None:
    urls = "<url>https://x.example</url>" * 50
    xml = f"<message {NS}>" + f"<x xmlns='jabber:x:oob'>{urls}</x>" * 3 + "</message>"
    assert len(stanzas.read(parsed(xml)).urls) == stanzas.URLS


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ({}, {}, True),
        ({"body": "b"}, {}, False),
        ({"sender": "a@b/desk"}, {}, False),
        ({"id": "i2"}, {}, False),
        ({"origin": "o"}, {"origin": "o", "id": "i2"}, True),
        ({"to": "sales@care"}, {}, False),
    ],
)
def test_what_makes_a_message_the_same_again(
    one: dict[str, str], other: dict[str, str], is_same: bool
) -> None:
    first = stanzas.Said(
        "chat", "i1", "a@b/c", "s@care", "a", "", True, "", "", "", (), False
    )._replace  # fmt: skip
    assert (stanzas.identity(first(**one)) == stanzas.identity(first(**other))) == is_same
    assert stanzas.identity(first(id="")) == ""


def test_ping_and_features_are_answered_and_nothing_else() -> None:
    ping = parsed(
        f"<iq {NS} type='get' id='p' from='a@b/c' to='care'><ping xmlns='urn:xmpp:ping'/></iq>"
    )
    assert parsed(stanzas.answer(ping)).attrib == {
        "to": "a@b/c", "from": "care", "id": "p", "type": "result",
    }  # fmt: skip
    other = parsed(f"<iq {NS} type='get' id='p'><query xmlns='jabber:iq:version'/></iq>")
    assert stanzas.answer(other) == ""
