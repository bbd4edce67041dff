"""Settings of an Asterisk adapter."""

from __future__ import annotations

import ipaddress
import ssl
from typing import Literal
from urllib.parse import urlsplit

from adapters import read_secret
from adapters.asterisk.ari import PLAYABLE
from router.core.record import Value
from router.errors import ConfigError

FAMOUS = ("asterisk", "secret", "password", "admin", "changeme", "peekaboo")
"""Passwords of samples and guides: whoever can dial in can try them."""


class Settings(Value, kw_only=True):
    """Settings of one Asterisk, reached over ARI."""

    url: str
    """Where ARI is: ``http://127.0.0.1:8088/ari``, or https."""
    user: str
    """User of ``ari.conf``."""
    password_file: str
    """File with its password."""
    app: str = "contact-router"
    """Name of the Stasis application; two routers on one Asterisk need two."""
    trust_network: bool = False
    """Allow http to another machine: the password goes over the network as it is."""
    ca_file: str = ""
    """Certificates that sign the PBX's, if its own authority does."""
    trunk: str = ""
    """Endpoint for customers' numbers: ``PJSIP/{number}@carrier``. Empty: nobody is called."""
    dial_first: Literal["agent", "customer"] = "agent"
    """Who is rung first when we call: the agent waits for the customer, or the other way round."""
    ring_s: int = 18
    """How long a phone may ring where the router names no end; keep it below the channel's
    `connect_timeout`."""
    deflect_to: str = ""
    """``context/extension`` where callers go on who are turned away (voicemail). Empty: hung up."""
    overflow_to: str = ""
    """The same for callers whom the router cannot take now. Empty: `fallback_to`, or congestion."""
    fallback_to: str = ""
    """The same for callers who wait while the router can save nothing. Empty: they keep music."""
    fallback_after_s: float = 20.0
    """So long must that have lasted."""
    announcements: dict[str, str] = {}
    """Media for texts: ``{"Welcome.": "sound:custom/welcome"}``; several with commas. A text that
    begins with a kind of media is media itself."""
    say_position: str = "sound:queue-thereare,number:{position},sound:queue-callswaiting"
    """Media for a position in the queue; ``{position}`` is filled in. Empty: not said."""
    say_next: str = "sound:queue-youarenext"
    """Media for position 1."""
    say_wait: str = "sound:queue-holdtime,number:{wait_minutes},sound:queue-minutes"
    """Media for the estimated wait, from one minute on. Empty: not said."""
    recording_format: str = "wav"
    """File format of recordings."""
    calls: int = 2_000
    """Most customers at once; one more goes to `overflow_to`."""
    connections: int = 16
    """Most requests to the PBX at once."""
    timeout_s: float = 5.0
    """So long may it take to answer one."""
    ping_s: float = 10.0
    """The event socket is pinged so often; one that is silent half as long again is lost."""
    replaced_pause_s: float = 300.0
    """After another router has taken the application over: how long to keep out of its way."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        self._check_url()
        if not self.user or not self.app or "," in self.app:
            raise ValueError("user and app must not be empty, app has no comma")
        if self.trunk and "{number}" not in self.trunk:
            raise ValueError("trunk must hold {number}")
        for name in ("deflect_to", "overflow_to", "fallback_to"):
            context, _, extension = getattr(self, name).partition("/")
            if getattr(self, name) and not (context and extension):
                raise ValueError(f"{name}: expected context/extension")
        for name in ("ring_s", "calls", "connections"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be > 0")
        if (
            self.timeout_s <= 0
            or self.ping_s <= 0
            or min(self.replaced_pause_s, self.fallback_after_s) < 0
        ):
            raise ValueError(
                "timeout_s and ping_s must be > 0, replaced_pause_s and fallback_after_s >= 0"
            )
        for text, media in self.announcements.items():
            if not media.startswith(PLAYABLE):
                raise ValueError(f"announcements: {text!r}: media begins with {PLAYABLE}")

    def _check_url(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("url: expected http://host:8088/ari or https://host:8089/ari")
        if parts.username or parts.password:
            raise ValueError("url: user and password stand in `user` and `password_file`")
        if parts.scheme == "http" and not self.trust_network and not _is_loopback(parts.hostname):
            raise ValueError("url: use https to another machine (or trust_network: true)")


def read_password(settings: Settings, where: str) -> str:
    """The password. Raises ConfigError when others may read it, or everybody knows it."""
    key = f"{where}.password_file"
    password = read_secret(settings.password_file, key)
    if password.lower() in (*FAMOUS, settings.user.lower()):
        raise ConfigError([f"{key}: that password stands in every guide: choose another one"])
    return password


def tls_context(settings: Settings, where: str) -> ssl.SSLContext:
    """What the PBX's certificate is checked with. Raises ConfigError."""
    try:
        return ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "strerror", "") or "no certificates in it"
        raise ConfigError([f"{where}.ca_file: {settings.ca_file}: {why}"]) from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
