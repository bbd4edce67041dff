"""XMPP: a stranger cannot say of a message to somebody else that it did not arrive."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree as ET

import pytest

from adapters.xmpp import Xmpp, stanzas
from router.channel import Router

GONE = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"


@pytest.mark.parametrize(
    ("sender", "is_believed"),
    [
        ("kim@customer.example", True),
        ("Kim@customer.example/phone", True),
        ("customer.example", True),
        ("care.example", True),
        ("mallory@evil.example", False),
        ("mallory@customer.example", False),
        ("evil.example", False),
        ("", False),
    ],
)
def test_only_the_receiver_or_a_server_on_the_way_fails_a_message(
    tmp_path: Path, sender: str, is_believed: bool
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the component")
    secret.chmod(0o600)
    settings: dict[str, Any] = {"jid": "care.example", "secret_file": str(secret)}
    channel = Xmpp("chat", settings, cast("Router", None))  # nothing is to be said to it
    channel._under_way["e/e17"] = "kim@customer.example"
    xml = (
        f"<message type='error' id='e/e17' from='{sender}' to='desk@care.example'>{GONE}</message>"
    )
    channel._hear(stanzas.read(ET.fromstring(xml)))
    assert channel._failed == ({"e/e17": "gone"} if is_believed else {})
