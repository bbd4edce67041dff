"""What is stored: frames chained by hash, rows guarded by a checksum.

A frame is ``msgpack [version, first_seq, at_us, previous digest, [event, ...]]`` followed by the
BLAKE2b-128 digest of those bytes. The digest is the frame's checksum and, as the next frame's
`previous`, the chain: a frame that is changed, missing, doubled or out of place is seen.

A row is its data followed by a CRC-32 over kind, id, moment and data, so a row that was moved under
another name is seen as well. Redis' append-only file has no checksum of its own, and SQLite's pages
have none either: these are the only ones there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import quote
from zlib import crc32

import msgspec

from router.errors import JournalDamaged
from router.journal import Commit, StoredRow

FRAME_VERSION = 1
DIGEST_BYTES = 16
GENESIS = bytes(DIGEST_BYTES)
"""`previous` of the first frame of a workspace."""

_CRC_BYTES = 4
_KIND = re.compile(r"[a-z][a-z0-9_]{0,31}")
_NAME_BYTES_MAX = 200

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, int, int, bytes, list[bytes]]).decode


class Frame(NamedTuple):
    """A frame as read back and verified."""

    first_seq: int
    at_us: int
    previous: bytes
    events: list[bytes]
    digest: bytes

    @property
    def last_seq(self) -> int:
        """Sequence number of its last event."""
        return self.first_seq + len(self.events) - 1


def pack_frame(commit: Commit, previous: bytes) -> bytes:
    """The stored form of a commit's events; its last `DIGEST_BYTES` are the new head."""
    body = _encode((FRAME_VERSION, commit.first_seq, commit.at_us, previous, commit.events))
    return body + blake2b(body, digest_size=DIGEST_BYTES).digest()


def unpack_frame(workspace: str, seq: int, data: bytes) -> Frame:
    """The frame stored under `seq`. Raises JournalDamaged, naming workspace and number."""
    place = f"workspace {workspace!r}: frame {seq} of the log"
    body, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    if blake2b(body, digest_size=DIGEST_BYTES).digest() != digest:
        raise JournalDamaged(f"{place}: its checksum does not match its {len(data)} bytes")
    try:
        version, first_seq, at_us, previous, events = _decode(body)
    except msgspec.MsgspecError as error:
        raise JournalDamaged(f"{place}: expected a frame, got something else: {error}") from error
    if version != FRAME_VERSION:
        raise JournalDamaged(f"{place}: expected version {FRAME_VERSION}, got {version}")
    if first_seq != seq or not events:
        raise JournalDamaged(f"{place}: it says that it is frame {first_seq}")
    return Frame(first_seq, at_us, previous, events, digest)


def link(workspace: str, before: Frame | None, frame: Frame) -> None:
    """Raise JournalDamaged unless `frame` follows `before` (None = the part before was trimmed)."""
    place = f"workspace {workspace!r}: frame {frame.first_seq} of the log"
    if before is None:
        if frame.first_seq == 1 and frame.previous != GENESIS:
            raise JournalDamaged(f"{place}: the first frame must not follow another one")
        return
    if frame.first_seq != before.last_seq + 1:
        raise JournalDamaged(
            f"{place}: expected frame {before.last_seq + 1} after frame {before.first_seq}"
        )
    if frame.previous != before.digest:
        raise JournalDamaged(f"{place}: it follows another frame than {before.first_seq}")


def holds(workspace: str, stored: bytes, commit: Commit) -> bool:
    """Whether this stored frame is this commit's: same moment, same events."""
    frame = unpack_frame(workspace, commit.first_seq, stored)
    return frame.at_us == commit.at_us and frame.events == list(commit.events)


def guard_row(kind: str, id_: str, data: bytes, at_us: int = 0) -> bytes:
    """A row's stored form: data and checksum."""
    return data + _row_crc(kind, id_, data, at_us)


def open_row(
    workspace: str, table: str, kind: str, id_: str, stored: bytes, at_us: int = 0
) -> bytes:
    """A row's data. Raises JournalDamaged, naming workspace, table and row."""
    data = stored[:-_CRC_BYTES]
    if _row_crc(kind, id_, data, at_us) != stored[-_CRC_BYTES:]:
        raise JournalDamaged(
            f"workspace {workspace!r}: {table} row {kind} {id_!r}: "
            f"its checksum does not match its {len(stored)} bytes"
        )
    return data


def open_rows(workspace: str, rows: Iterable[tuple[str, str, bytes]]) -> list[StoredRow]:
    """Live rows (kind, id, stored form) with their data, as `open_row` gives it for each.

    Raises JournalDamaged for the first one that is.
    """
    begun: dict[str, int] = {}
    make, opened = StoredRow._make, []
    for kind, id_, stored in rows:
        crc = begun.get(kind)
        if crc is None:
            crc = begun[kind] = crc32(f"{kind}\0{0}\0".encode())
        data = stored[:-_CRC_BYTES]
        crc = crc32(data, crc32(id_.encode(), crc))
        if crc.to_bytes(_CRC_BYTES, "big") != stored[-_CRC_BYTES:]:
            data = open_row(workspace, "live", kind, id_, stored)
        opened.append(make((kind, id_, data)))
    return opened


def _row_crc(kind: str, id_: str, data: bytes, at_us: int) -> bytes:
    return crc32(data, crc32(f"{kind}\0{at_us}\0{id_}".encode())).to_bytes(_CRC_BYTES, "big")


def check_commit(commit: Commit) -> None:
    """Raise ValueError for a commit that no store can take; before anything is written."""
    if not commit.events:
        raise ValueError("a commit needs at least one event: every write moves the sequence")
    if commit.first_seq < 1:
        raise ValueError(f"first_seq: expected >= 1, got {commit.first_seq}")
    kinds = {row[0] for row in commit.upserts} | {row[0] for row in commit.archive}
    kinds |= {row[0] for row in commit.deletes} | {row[0] for row in commit.archive_deletes}
    for kind in sorted(kinds):
        check_kind(kind)


def check_kind(kind: str) -> None:
    """Raise ValueError unless `kind` is a short lower-case word: it becomes part of key names."""
    if not _KIND.fullmatch(kind):
        raise ValueError(f"kind: expected a short lower-case word, got {kind!r}")


def file_name(workspace: str) -> str:
    """The workspace's name as it may stand in file and key names; different names stay different.

    Raises ValueError for one that is empty or too long.
    """
    name = quote(workspace, safe="")
    if not 0 < len(name) <= _NAME_BYTES_MAX:
        raise ValueError(
            f"workspace: expected a name of 1 to {_NAME_BYTES_MAX} bytes, got {workspace!r}"
        )
    return name


def prefix_end(prefix: str) -> str | None:
    """The least string above all strings that start with `prefix`; None = there is none.

    Code points and their UTF-8 bytes sort alike, so this holds in Python, SQLite and Redis.
    """
    points = list(prefix)
    while points:
        last = ord(points.pop())
        if last < 0x10FFFF:
            above = 0xE000 if last == 0xD7FF else last + 1  # no surrogates in UTF-8
            return "".join(points) + chr(above)
    return None


def split(rows: Sequence[object], sizes: Sequence[int]) -> list[int]:
    """How many rows to take at a time: the largest of the descending `sizes` that still fit."""
    left, taken = len(rows), []
    for size in sizes:
        taken += [size] * (left // size)
        left %= size
    return taken
