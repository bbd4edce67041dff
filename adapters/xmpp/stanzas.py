"""Stanzas as text and as values (RFC 6120, RFC 6121, XEP-0085, -0184, -0359, -0066). No I/O."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

CHAT_STATES = "http://jabber.org/protocol/chatstates"
RECEIPTS = "urn:xmpp:receipts"
ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
DISCO = "http://jabber.org/protocol/disco#info"
PING = "urn:xmpp:ping"
ECHO = "urn:contact-router:echo"
STATES = frozenset(["active", "composing", "paused", "inactive", "gone"])
URLS = 10
"""Most files of one message."""

_IMPOSSIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What XML 1.0 cannot carry (section 2.2): the server would end the stream for everybody."""


class Said(NamedTuple):
    """A message stanza."""

    kind: str
    id: str
    sender: str
    """Full address (RFC 7622): the resource tells two clients of one person apart."""
    to: str
    body: str
    state: str
    """XEP-0085; empty: none."""
    asks_receipt: bool
    received: str
    """Id of ours that has arrived (XEP-0184)."""
    error: str
    """Condition (RFC 6120 8.3.3), of an error."""
    origin: str
    """XEP-0359."""
    urls: tuple[str, ...]
    """XEP-0066: files that were uploaded."""
    is_echo: bool


def read(xml: ET.Element) -> Said:
    """A message stanza as a value. Never raises: what is not there is empty."""
    body = state = received = error = origin = ""
    asks = echo = False
    urls: list[str] = []
    for child in xml:
        space, local = _name(child)
        if local == "body" and not body:
            body = child.text or ""
        elif space == CHAT_STATES and local in STATES:
            state = local
        elif space == RECEIPTS:
            asks = asks or local == "request"
            received = child.get("id", "") if local == "received" else received
        elif local == "error":
            error = next((name for ns, name in map(_name, child) if ns == ERRORS), "undefined")
        elif local == "origin-id":
            origin = child.get("id", "")
        elif space == "jabber:x:oob" and len(urls) < URLS:
            urls += [one.text or "" for one in child if _name(one)[1] == "url" and one.text]
        elif space == ECHO:
            echo = True
    return Said(
        xml.get("type", "normal"), xml.get("id", ""), xml.get("from", ""), xml.get("to", ""),
        body, state, asks, received, error, origin, tuple(urls[:URLS]), echo,
    )  # fmt: skip


def identity(said: Said) -> str:
    """What makes a message the same one again.

    A client that resumes its stream (XEP-0198) sends the same stanza with the same id from the same
    resource. Some clients count their ids from 1 in each session, so the text belongs to it, too.
    Empty: without an id it cannot be told.
    """
    id_ = said.origin or said.id
    if not id_:
        return ""
    parts = "\0".join((said.sender, said.to, id_, said.body))
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def message(to: str, sender: str, id_: str, text: str) -> str:
    """A message of ours that asks for a receipt."""
    return (
        f"{_open('message', to, sender, id_, 'chat')}<body>{clean(text)}</body>"
        f"<request xmlns='{RECEIPTS}'/><active xmlns='{CHAT_STATES}'/></message>"
    )


def state(to: str, sender: str, what: str) -> str:
    """A chat state alone."""
    return f"{_open('message', to, sender, '', 'chat')}<{what} xmlns='{CHAT_STATES}'/></message>"


def receipt(said: Said) -> str:
    """The customer's message is durable."""
    return (
        f"{_open('message', said.sender, said.to, '', said.kind)}"
        f"<received xmlns='{RECEIPTS}' id={_attribute(said.id)}/></message>"
    )


def refusal(said: Said, kind: str, condition: str) -> str:
    """The customer's message was not taken: ``wait`` (try again) or ``modify`` (never)."""
    return (
        f"{_open('message', said.sender, said.to, said.id, 'error')}"
        f"<error type='{kind}'><{condition} xmlns='{ERRORS}'/></error></message>"
    )


def echo(jid: str, id_: str) -> str:
    """A message to ourselves."""
    return f"{_open('message', jid, jid, id_, 'normal')}<echo xmlns='{ECHO}'/></message>"


def presence(to: str, sender: str, kind: str = "") -> str:
    """Presence, or the answer to a subscription."""
    return f"{_open('presence', to, sender, '', kind)}</presence>"


def answer(query: ET.Element) -> str:
    """The answer to a question about us: ping, features. Empty: another one."""
    names = [_name(child) for child in query]
    head = _open("iq", query.get("from", ""), query.get("to", ""), query.get("id", ""), "result")
    if (PING, "ping") in names:
        return f"{head}</iq>"
    if (DISCO, "query") in names:
        features = "".join(
            f"<feature var='{one}'/>" for one in (DISCO, CHAT_STATES, PING, RECEIPTS)
        )
        who = "<identity category='client' type='bot' name='contact-router'/>"
        return f"{head}<query xmlns='{DISCO}'>{who}{features}</query></iq>"
    return ""


def clean(text: str) -> str:
    """Text as it may stand in XML; what cannot becomes U+FFFD."""
    # Line ends as XML has them (section 2.11): servers write a bare CR as one, anyway.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return escape(_IMPOSSIBLE.sub("\ufffd", text))


def _open(tag: str, to: str, sender: str, id_: str, kind: str) -> str:
    attributes = {"to": to, "from": sender, "id": id_, "type": kind}
    given = "".join(f" {name}={_attribute(v)}" for name, v in attributes.items() if v)
    return f"<{tag}{given}>"


def _attribute(text: str) -> str:
    return quoteattr(_IMPOSSIBLE.sub("\ufffd", text))


def _name(element: ET.Element) -> tuple[str, str]:
    space, _, local = element.tag.rpartition("}")
    return space.removeprefix("{"), local
