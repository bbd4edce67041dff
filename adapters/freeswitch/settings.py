"""Settings of a FreeSWITCH adapter, and the event socket's password."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Literal

from adapters.freeswitch.esl import Unsafe, word
from router.core.record import Value
from router.errors import ConfigError

DEFAULT_PASSWORD = "ClueCon"
"""What FreeSWITCH is shipped with: whoever reaches the socket owns the PBX."""
_PLACE = re.compile(r"[A-Za-z0-9_*#+.-]+@[A-Za-z0-9_.-]+")


class Settings(Value, kw_only=True):
    """Settings of a FreeSWITCH adapter: one PBX."""

    host: str = "127.0.0.1"
    """Where its event socket listens. There is no TLS: this machine, or a network of its own."""
    port: int = 8021
    password_file: str
    """The event socket's password is the first line of this file."""
    mark: str = "yes"
    """Calls are ours whose channel variable ``contact_router`` has this value when they are parked;
    empty: every inbound call that is parked."""
    entry_point: str = ""
    """Names the entry point of all calls; empty: the dialled number picks it."""
    attributes: dict[str, str] = {}
    """Attributes of a contact, each with the channel variable that it is read from."""
    dial: str = ""
    """How customers are dialled: ``sofia/gateway/carrier/{number}``. Empty: they cannot be."""
    caller_id: str = ""
    """The number that a dialled customer sees; empty: our address of the contact, if it has one."""
    dial_first: Literal["agent", "customer"] = "agent"
    """Who is dialled first in outbound contacts and callbacks."""
    ring_s: float = 60.0
    """Longest that an agent's phone rings; the router's offer ends earlier."""
    dial_s: float = 30.0
    """Longest that a customer's phone rings."""
    music: str = "moh"
    """Waiting and held customers hear ``local_stream://`` of this; a queue may name another."""
    sounds: dict[str, str] = {}
    """Files to play, by kind (``greeting``, ``position``, ``callback_offer``) or by text."""
    say: str = ""
    """Language of the ``say`` application (``en``): a position's number is said after its file."""
    speak: str = ""
    """``engine|voice`` of a speech module (``flite|kal``): speaks texts that have no file."""
    deflect_to: str = ""
    """``extension@context`` where deflected callers go on (voicemail); empty: they are hung up."""
    overflow_to: str = ""
    """``extension@context`` for callers that a full router cannot take; empty: `fallback_to`, or
    congestion."""
    fallback_to: str = ""
    """``extension@context`` for callers who wait while the router can save nothing; empty: they
    keep their music."""
    fallback_after_s: float = 20.0
    """So long must that have lasted."""
    conference: str = "default"
    """Profile of mod_conference for consults and conferences."""
    recordings: str = "/var/lib/freeswitch/recordings"
    """Folder on FreeSWITCH's machine for recordings."""
    listen: str = ""
    """``address:port`` for calls that FreeSWITCH brings by its ``socket`` application; empty: it
    does not."""
    listen_allow: tuple[str, ...] = ("127.0.0.1", "::1")
    """Who may connect there: addresses or networks."""
    calls: int = 5_000
    """Most calls at once; one more is refused as congestion."""
    reply_s: float = 5.0
    """A command that is not answered for so long: the connection is of no use any more."""
    ping_s: float = 10.0
    """So often the connection is tried, and other routers at the same PBX are looked for."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if min(self.ring_s, self.dial_s, self.reply_s, self.ping_s) <= 0 or self.calls < 1:
            raise ValueError("ring_s, dial_s, reply_s, ping_s and calls must be > 0")
        if self.dial and "{number}" not in self.dial:
            raise ValueError(f"dial: expected {{number}} in it, got {self.dial!r}")
        if self.fallback_after_s < 0:
            raise ValueError("fallback_after_s must be >= 0")
        for name in ("deflect_to", "overflow_to", "fallback_to"):
            place = getattr(self, name)
            if place and not _PLACE.fullmatch(place):
                raise ValueError(f"{name}: expected extension@context, got {place!r}")
        try:
            for each in (self.music, self.conference, self.recordings, *self.sounds.values()):
                word(each)
            for each in (self.mark, self.say, self.dial.replace("{number}", "0")):
                word(each or "-")
            word(self.speak.replace("|", "-") or "-")
        except Unsafe:
            raise ValueError(
                "mark, music, sounds, say, speak, dial, conference and recordings: no spaces,"
                " quotes or characters that FreeSWITCH reads as syntax"
            ) from None
        if self.listen:
            address_of(self.listen)
        for each in self.listen_allow:
            ipaddress.ip_network(each)

    @property
    def music_url(self) -> str:
        """What waiting customers hear."""
        return music_url(self.music)


def music_url(name: str) -> str:
    """``moh`` as something FreeSWITCH plays; an address or a file stays what it is."""
    return name if "/" in name else f"local_stream://{name}"


def address_of(listen: str) -> tuple[str, int]:
    """Host and port of ``address:port``. Raises ValueError."""
    host, _, port = listen.rpartition(":")
    ipaddress.ip_address(host.strip("[]"))
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"listen: expected address:port, got {listen!r}")
    return host.strip("[]"), int(port)


def read_password(path: str, where: str) -> str:
    """The password in the file. Raises ConfigError: unreadable, empty, or the one all know."""
    try:
        file = Path(path)
        if file.stat().st_mode & 0o077:
            raise ConfigError([f"{where}.password_file: {path} may be read by others: chmod 600"])
        lines = file.read_text("utf-8").splitlines()
    except OSError as error:
        raise ConfigError([f"{where}.password_file: {path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{where}.password_file: {path} is no text"]) from None
    password = lines[0].strip() if lines else ""
    if not password:
        raise ConfigError([f"{where}.password_file: {path} has no password in its first line"])
    if password == DEFAULT_PASSWORD:
        raise ConfigError(
            [
                f"{where}.password_file: {path} holds {DEFAULT_PASSWORD!r}, which FreeSWITCH is"
                " shipped with and everybody knows: set another in event_socket.conf.xml"
            ]
        )
    return password
