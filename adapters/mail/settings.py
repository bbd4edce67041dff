"""Settings of the e-mail adapter, and the secrets and certificates that they name."""

from __future__ import annotations

import os
import secrets
import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from adapters import read_secret
from adapters.mail.headers import is_address
from router.core.record import Value
from router.errors import ConfigError

Tls = Literal["tls", "starttls", "none"]


class Mailbox(Value, kw_only=True):
    """One mailbox that is read, and from which answers go."""

    address: str
    """Our address: picks the entry point, and stands in From."""
    name: str = ""
    """Stands before the address in From."""
    aliases: tuple[str, ...] = ()
    """Other addresses of ours whose mail ends here; a mail to one of them reaches that one."""
    host: str
    """The IMAP server."""
    port: int = 993
    tls: Tls = "tls"
    """``tls`` from the first byte, ``starttls``, or ``none`` (only on this machine)."""
    user: str = ""
    """Empty: the address."""
    password_file: str = ""
    """Its first line is the password."""
    token_file: str = ""
    """Instead: its first line is an OAuth 2.0 access token, for XOAUTH2. It is read for each login;
    whoever renews the token writes another file and renames it."""
    folder: str = "INBOX"
    done_folder: str = ""
    """Mails that the router has are moved there. Empty: they stay, as read, with the keyword
    ``$ContactRouter``."""
    first: Literal["unseen", "all", "new"] = "unseen"
    """At the very first start: take what is unread, everything, or only what comes from now on."""
    first_days: int = 30
    """At the very first start: nothing older than this."""


class Smtp(Value, kw_only=True):
    """The server that sends for us: it keeps mails whose receiver is not there, we do not."""

    host: str
    port: int = 587
    tls: Tls = "starttls"
    user: str = ""
    """Empty: no login."""
    password_file: str = ""
    token_file: str = ""
    """As a mailbox's."""
    connections: int = 4
    """Mails sent at the same time."""


class Settings(Value, kw_only=True):
    """Settings of an e-mail adapter."""

    mailboxes: tuple[Mailbox, ...]
    smtp: Smtp
    secret_file: str
    """Our Message-IDs are signed with what is in it; made when it is missing. Whoever loses it
    loses the threads of mails that were sent before."""
    ca_file: str = ""
    """Certificates that are trusted instead of the system's, as PEM."""
    subject: str = "Your message"
    """Where there is none to answer to. A contact's attribute ``subject`` comes first."""
    subject_mark: bool = False
    """Put a mark into subjects, for customers whose programs send no References."""
    automatic_per_day: int = 2
    """Automatic answers (greeting, farewell, rules) to one address in 24 hours."""
    quarantine_folder: str = "Contact-Router Quarantine"
    """Mails that cannot be read or taken: somebody must look."""
    automatic_folder: str = "Contact-Router Automatic"
    """Mails that no person has written: bounces, automatic answers, lists."""
    idle_s: int = 540
    """IDLE is begun anew after so long: many firewalls forget quiet connections after ten minutes,
    servers may after 30 (RFC 2177)."""
    poll_s: int = 30
    """How often to look where the server has no IDLE."""
    outbox: int = 500
    """Most mails on their way out; one more fails at once."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.mailboxes:
            raise ValueError("mailboxes must not be empty")
        if not 10 <= self.idle_s <= 1_740:
            raise ValueError("idle_s must be 10 to 1740 (29 minutes, RFC 2177)")
        if self.poll_s < 1 or self.outbox < 1 or self.automatic_per_day < 0:
            raise ValueError("poll_s and outbox must be > 0, automatic_per_day >= 0")
        if self.smtp.connections < 1:
            raise ValueError("smtp: connections must be > 0")
        if self.smtp.user or self.smtp.token_file:
            _check_login(self.smtp, "smtp")
            if not self.smtp.user:
                raise ValueError("smtp: a token_file needs a user")
        for box in self.mailboxes:
            _check_login(box, box.address)
        if self.quarantine_folder == self.automatic_folder:
            raise ValueError("quarantine_folder and automatic_folder must not be the same")
        for box in self.mailboxes:
            _check_tls(box.tls, box.host)
        _check_tls(self.smtp.tls, self.smtp.host)
        for box in self.mailboxes:
            for address in (box.address, *box.aliases):
                if not is_address(address):
                    raise ValueError(f"expected an address such as help@example.com: {address!r}")
        addresses = self.addresses()
        if len(set(addresses)) != len(addresses):
            raise ValueError("an address stands in two mailboxes")

    def addresses(self) -> list[str]:
        """All that are ours, in lower case."""
        return [a.lower() for box in self.mailboxes for a in (box.address, *box.aliases)]


def _check_login(server: Mailbox | Smtp, name: str) -> None:
    if bool(server.password_file) == bool(server.token_file):
        raise ValueError(f"{name}: expected a password_file or a token_file, and one of them")


def _check_tls(tls: Tls, host: str) -> None:
    try:
        is_here = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_here = False
    if tls == "none" and not is_here:
        raise ValueError(f"{host}: tls: none is for this machine only")


def tls_context(ca_file: str, where: str) -> ssl.SSLContext:
    """What both servers' certificates are checked with. Raises ConfigError."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"{where}.ca_file: {ca_file}: {error}"]) from None


def signing_secret(path: str, where: str) -> bytes:
    """What our Message-IDs are signed with: made if it is missing. Raises ConfigError."""
    key = f"{where}.secret_file"
    try:
        file = Path(path)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as new:
                new.write(secrets.token_urlsafe(32))
    except OSError as error:
        raise ConfigError([f"{key}: {path}: {error.strerror}"]) from None
    secret = read_secret(path, key).encode()
    if len(secret) < 32:
        raise ConfigError([f"{key}: {path} has {len(secret)} characters, expected >= 32"])
    return secret
