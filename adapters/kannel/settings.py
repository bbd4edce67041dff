"""Settings of a Kannel adapter: where its smsbox is, and who may bring messages."""

from __future__ import annotations

import ipaddress
from typing import Literal
from urllib.parse import urlsplit

from router.core.record import Value


class Settings(Value, kw_only=True):
    """Settings of one Kannel, or of an account at a provider with its interface."""

    send_url: str
    """The smsbox's sendsms: ``http://127.0.0.1:13013/cgi-bin/sendsms``."""
    username: str
    """Of a sendsms-user there."""
    password_file: str
    """That user's password stands in its first line."""
    method: Literal["get", "post"] = "get"
    """``post`` puts user, password and text into headers and body (Kannel's own), and not into the
    address, which proxies write down."""
    public_url: str = ""
    """Where Kannel reaches this adapter: ``http://127.0.0.1:8080/v1/kannel/texts``. Empty: no
    receipts are asked for."""
    key_file: str = ""
    """What stands in it must come as parameter ``key``: for peers behind a proxy. Empty: none."""
    peers: tuple[str, ...] = ("127.0.0.1", "::1")
    """Addresses and networks that may bring messages and receipts."""
    sender: str = ""
    """Our address where a contact has none."""
    smsc: str = ""
    """The id of the SMSC connection that is to send; empty: Kannel picks one."""
    entry_point: str = ""
    """Names the entry point; empty: the address that was written to picks it."""
    state_file: str = ""
    """Which farewells and questions were sent, so that a restart does not send them twice. Empty:
    in memory."""
    parts: int = 10
    """`max-messages` of the sendsms-user: Kannel cuts off what is longer, we refuse it."""
    timeout_s: float = 8.0
    """How long an answer may take; then nobody knows whether it was taken."""
    patience_s: float = 8.0
    """How long a message that was not taken (nobody there, 503) is tried again."""
    probe_s: float = 10.0
    """How often it is asked whether it is there."""
    at_once: int = 10
    """Most requests at once."""
    waiting: int = 1_000
    """Most messages on their way; one more fails at once."""
    per_s: float = 100.0
    """Requests of Kannel a second, after a burst."""
    burst: int = 500
    """Requests of Kannel that may come at once."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in ("send_url", "public_url"):
            value = getattr(self, name)
            if (value or name == "send_url") and (
                urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).netloc
            ):
                raise ValueError(f"{name}: expected http://host/path, got {value!r}")
        if not self.username:
            raise ValueError("username must not be empty")
        for peer in self.peers:
            ipaddress.ip_network(peer)  # says itself what is wrong
        if min(self.timeout_s, self.patience_s, self.probe_s, self.per_s) <= 0:
            raise ValueError("timeout_s, patience_s, probe_s and per_s must be > 0")
        if self.timeout_s + self.patience_s > 18:
            raise ValueError("timeout_s + patience_s must be <= 18: the router waits 20 seconds")
        if min(self.parts, self.at_once, self.waiting, self.burst) < 1:
            raise ValueError("parts, at_once, waiting and burst must be > 0")
