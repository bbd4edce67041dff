"""Files that came with messages: beside the journal, each sealed with a key of its own.

The key stands in the message's sealed body, so that whoever erases the customer's key makes the
file unreadable, in every copy there is; the file itself is removed, too. A file is written before
its message is, and never changed: a crash in between leaves one that nobody can open, until it is
as old as messages may become. Names and declared types are a stranger's: the name is cleaned, the
type is what the first bytes say.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import shutil
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from router.core.record import Value
from router.errors import Invalid, StoreFull
from router.media_types import by_first_bytes

FILE_BYTES = 25 * 1024 * 1024
NAME_CHARS = 120
FREE_BYTES = 256 * 1024 * 1024
"""So much of the disk stays free for the journal: nothing is taken below."""
ROLES = ("attachment", "html", "original")
_NONCE_BYTES = 12
_HIDDEN = {"\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
"""Marks of direction: they make ``exe.txt`` of ``txt.exe``."""


class Entry(Value, kw_only=True):
    """What a message knows of its file; sealed with the message."""

    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    name: str
    type: Annotated[str, msgspec.Meta(pattern="^[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}$")]
    size: int
    """Bytes."""
    role: str = "attachment"
    """``attachment``; ``html``: the body as it may be shown; ``original``: the whole text."""
    key: str
    """32 bytes, base64."""


class Opened(NamedTuple):
    """A file, readable."""

    entry: Entry
    data: bytes


class Attachments:
    """The files of one workspace, in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def keep(
        self, data: bytes, *, name: str, kind: str = "", role: str = "attachment"
    ) -> dict[str, Any]:
        """Store a file, durably; what is returned belongs into `NewMessage.attachments`.

        Raises Invalid (more than `FILE_BYTES`, no such role) and StoreFull.
        """
        if len(data) > FILE_BYTES:
            raise Invalid("too_long", f"a file has at most {FILE_BYTES} bytes, got {len(data)}")
        if role not in ROLES:
            raise Invalid("invalid", f"expected a role of {', '.join(ROLES)}, got {role!r:.40}")
        key = AESGCM.generate_key(256)
        entry = Entry(
            id=secrets.token_hex(16),
            name=clean_name(name),
            type=sniffed(data, kind) if role == "attachment" else _OWN_TYPE[role],
            size=len(data),
            role=role,
            key=base64.b64encode(key).decode(),
        )
        try:
            await asyncio.to_thread(self._write, entry.id, key, data)
        except OSError as error:
            raise StoreFull(f"a file cannot be stored: {error.strerror}") from error
        found: dict[str, Any] = msgspec.to_builtins(entry)
        return found

    async def read(self, entry: Entry) -> Opened | None:
        """A file's content; None if it is gone, or is not what was stored."""
        data = await asyncio.to_thread(self._read, entry)
        return None if data is None else Opened(entry, data)

    async def erase(self, ids: list[str]) -> None:
        """Remove files; those that are gone are no error."""
        await asyncio.to_thread(self._erase, ids)

    async def expire(self, before_us: int, limit: int = 1_000) -> int:
        """Remove files older than this; returns how many, `limit` at most."""
        return await asyncio.to_thread(self._expire, before_us / 1e6, limit)

    def _path(self, id_: str) -> Path:
        if len(id_) != 32 or not id_.isalnum() or not id_.isascii():
            raise ValueError("not the id of a file")
        return self._directory / id_[:2] / id_

    def _write(self, id_: str, key: bytes, data: bytes) -> None:
        path = self._path(id_)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if shutil.disk_usage(path.parent).free < FREE_BYTES + len(data):
            raise OSError(28, "the disk is nearly full")
        nonce = secrets.token_bytes(_NONCE_BYTES)
        partial = path.with_suffix(".new")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(nonce + AESGCM(key).encrypt(nonce, data, id_.encode()))
            out.flush()
            os.fsync(out.fileno())
        partial.rename(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _read(self, entry: Entry) -> bytes | None:
        try:
            stored = self._path(entry.id).read_bytes()
            key = base64.b64decode(entry.key, validate=True)
            nonce = stored[:_NONCE_BYTES]
            return AESGCM(key).decrypt(nonce, stored[_NONCE_BYTES:], entry.id.encode())
        except (OSError, ValueError, InvalidTag):
            return None

    def _erase(self, ids: list[str]) -> None:
        for id_ in ids:
            self._path(id_).unlink(missing_ok=True)

    def _expire(self, before_s: float, limit: int) -> int:
        dropped = 0
        for path in self._directory.glob("??/*"):
            try:
                if path.stat().st_mtime < before_s:
                    path.unlink()
                    dropped += 1
            except FileNotFoundError:
                continue
            if dropped >= limit:
                break
        return dropped


_OWN_TYPE = {"html": "text/html", "original": "text/plain"}


def entries(attachments: tuple[dict[str, Any], ...]) -> list[Entry]:
    """The files of a message; what is none of ours is passed over.

    Adapters elsewhere may name any files: what could not have come from `Attachments.keep` counts
    as none, so that it stands in nobody's way when it is read, shown or erased.
    """
    found = []
    for each in attachments:
        try:
            found.append(msgspec.convert(each, Entry))
        except msgspec.ValidationError:
            continue
    return found


def clean_name(name: str) -> str:
    """A file name without directories, controls and marks of direction; never empty."""
    bare = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(mark for mark in bare if mark.isprintable() and mark not in _HIDDEN)
    kept = kept.replace('"', "'").strip(" .")
    if len(kept) > NAME_CHARS:
        stem, dot, suffix = kept.rpartition(".")
        kept = f"{stem[: NAME_CHARS - 12]}{dot}{suffix[:11]}" if dot else kept[:NAME_CHARS]
    return kept or "file"


def sniffed(data: bytes, declared: str) -> str:
    """The type by the first bytes. Never one that a browser would run or render as a page."""
    if found := by_first_bytes(data):
        return found
    is_text = declared.startswith("text/") or declared in ("", "message/rfc822", "application/json")
    if is_text and data and b"\0" not in data[:4096]:
        try:
            data[:4096].decode("utf-8")
        except UnicodeDecodeError as error:
            if error.start < min(len(data), 4096) - 4:  # not just cut within a letter
                return "application/octet-stream"
        return "text/plain"
    return "application/octet-stream"
