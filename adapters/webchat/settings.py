"""Settings of a web chat, and the secrets that tokens and identities are signed with."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from adapters import read_secret
from adapters.webchat.files import SUFFIXES
from router.core.record import Value
from router.errors import ConfigError

FILE_BYTES = 25 * 1024 * 1024
"""Longest file that the router keeps."""


class Settings(Value, kw_only=True):
    """Settings of a web chat: one site."""

    key: str
    """Tells the site apart; public, it stands in the page's source."""
    origins: tuple[str, ...] = ("self",)
    """Origins whose pages may chat (``https://www.example.com``); ``self`` = the server's own."""
    to: str = ""
    """Our address that is reached: picks the entry point. Empty: the adapter's name."""
    entry_point: str = ""
    """Names the entry point instead of `to`."""
    secret_file: str = ""
    """Visitor tokens are signed with what is in it; made when it is missing. Empty: a new secret
    each start, so that visitors are strangers after a restart."""
    identity_secret_file: str = ""
    """Shared with the site's server, which signs who its visitors are; must exist. Empty: nobody is
    vouched for."""
    token_days: int = 30
    """How long a visitor is known again."""
    away_s: float = 120.0
    """A waiting visitor whose last page is gone this long has left."""
    messages_per_s: float = 1.0
    """Messages a second of one visitor, after a burst."""
    burst: int = 5
    """Messages that may come at once."""
    strangers_per_min: int = 60
    """New visitors a minute from one address, and as many at once; one more comes back later."""
    history: int = 100
    """Messages of a conversation that a reloaded page shows."""
    conversations: int = 10_000
    """Most visitors at once; one more is told to come back later."""
    files: bool = False
    """Whether visitors may send files."""
    file_bytes: int = 5 * 1024 * 1024
    """Longest file, in bytes; at most 25 MiB."""
    file_types: tuple[str, ...] = (
        "image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf",
    )  # fmt: skip
    """Media types that are taken, by what is in the file. ``application/zip`` (and with it office
    documents) and ``text/plain`` can be added."""
    files_per_hour: int = 20
    """Files an hour of one visitor, and as many at once; of one address ten times that."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.key:
            raise ValueError("key must not be empty")
        for name in ("token_days", "burst", "strangers_per_min", "history", "conversations",
                     "file_bytes", "files_per_hour"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be > 0")
        if self.away_s < 0 or self.messages_per_s <= 0:
            raise ValueError("away_s must be >= 0, messages_per_s > 0")
        if self.file_bytes > FILE_BYTES:
            raise ValueError(f"file_bytes must be <= {FILE_BYTES}")
        if not self.file_types or not set(self.file_types) <= set(SUFFIXES):
            raise ValueError(f"file_types: expected some of {', '.join(SUFFIXES)}")
        for origin in self.origins:
            if origin != "self" and not origin.startswith(("https://", "http://")):
                raise ValueError(f"origins: expected https://host or self, got {origin!r}")


def token_secret(path: str, where: str) -> bytes:
    """What tokens are signed with: from the file, made if it is missing; random without a file.

    Raises ConfigError when others may read it, or it is too short to be one.
    """
    if not path:
        return secrets.token_bytes(32)
    file = Path(path)
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as new:
                new.write(secrets.token_bytes(32))
        if file.stat().st_mode & 0o077:
            raise ConfigError([f"{where}.secret_file: {path} may be read by others: chmod 600"])
        secret = file.read_bytes()
    except OSError as error:
        raise ConfigError([f"{where}.secret_file: {path}: {error.strerror}"]) from None
    if len(secret) < 16:
        raise ConfigError([f"{where}.secret_file: {path} has {len(secret)} bytes, expected >= 16"])
    return secret


def identity_secret(path: str, where: str) -> bytes:
    """What the site signs identities with; empty without a file. Raises ConfigError."""
    if not path:
        return b""
    key = f"{where}.identity_secret_file"
    secret = read_secret(path, key).encode()
    if len(secret) < 32:
        raise ConfigError([f"{key}: {path} has {len(secret)} bytes, expected >= 32"])
    return secret
