"""How a workspace lies in Redis: names of its keys, forms of its values, and how to read them.

The only code that writes these keys is `functions.lua`, which says what each one holds.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from router.errors import JournalDamaged, JournalFailed
from router.journal import ArchiveWrite, Commit, StoredRow
from router.journal.frame import GENESIS, Frame, guard_row, open_row, open_rows, unpack_frame
from router.journal.shared import NodeEntry, Standing
from router.journal.workspace_file import Own, own_crc

CHUNK_ROWS = 2000
PEEK_ROWS = 500
"""Who reads for later serves others meanwhile: no long turns."""
_MOMENT = struct.Struct(">q")


class Line(Protocol):
    """A connection to Redis; `redis_store.RedisLine` is the real one."""

    async def ask(self, *words: str | bytes | int) -> Any:
        """A plain command. Raises JournalFailed, StoreFull."""

    async def function(self, name: str, keys: Sequence[str], *words: str | bytes | int) -> Any:
        """One of our functions. Raises JournalFailed, StoreFull."""


@dataclass(frozen=True, slots=True)
class Keyspace:
    """The keys of one workspace: one hash tag, hence one slot of a cluster."""

    name: str
    suffix: str = ""

    def key(self, part: str) -> str:
        """The key of this part."""
        return f"{{{self.name}}}:{part}{self.suffix}"

    @property
    def own(self) -> str:
        """Who may write, and where the log ends."""
        return self.key("own")

    @property
    def log(self) -> str:
        """The frames."""
        return self.key("log")

    @property
    def live(self) -> str:
        """The live rows."""
        return self.key("live")

    @property
    def kinds(self) -> str:
        """The archive kinds there are."""
        return self.key("kinds")

    def archive(self, kind: str) -> tuple[str, str, str]:
        """Rows, ids by name and ids by age of an archive kind."""
        return self.key(f"archive:{kind}"), self.key(f"ids:{kind}"), self.key(f"ages:{kind}")

    def everything(self, kinds: Sequence[str]) -> list[str]:
        """All keys there are."""
        archives = [key for kind in kinds for key in self.archive(kind)]
        return [self.own, self.log, self.live, self.kinds, *archives]


def commit_words(space: Keyspace, commit: Commit) -> tuple[list[str], list[str | bytes | int]]:
    """Keys and rows of a commit, in the order in which the function `append` reads them."""
    words: list[str | bytes | int] = [2 * len(commit.upserts), len(commit.deletes)]
    for kind, id_, data in commit.upserts:
        words += (live_field(kind, id_), guard_row(kind, id_, data))
    words += (live_field(kind, id_) for kind, id_ in commit.deletes)
    puts: dict[str, list[ArchiveWrite]] = {}
    deletes: dict[str, list[str]] = {}
    for row in commit.archive:
        puts.setdefault(row[0], []).append(row)
    for kind, id_ in commit.archive_deletes:
        deletes.setdefault(kind, []).append(id_)
    keys = [space.own, space.log, space.live, space.kinds]
    for kind in sorted({*puts, *deletes}):
        keys += space.archive(kind)
        rows, gone = puts.get(kind, ()), deletes.get(kind, ())
        words += (kind, len(rows), len(gone))
        for _, id_, at_us, data in rows:
            words += (id_, at_us, archive_value(kind, id_, at_us, data))
        words += gone
    return keys, words


def live_field(kind: str, id_: str) -> str:
    """A live row's field."""
    return f"{kind}\0{id_}"


def archive_value(kind: str, id_: str, at_us: int, data: bytes) -> bytes:
    """An archive row's value: its moment, its data, their checksum."""
    return _MOMENT.pack(at_us) + guard_row(kind, id_, data, at_us)


def open_archived(workspace: str, kind: str, id_: str, stored: bytes) -> tuple[int, bytes]:
    """Moment and data of an archive row. Raises JournalDamaged."""
    at_us = _MOMENT.unpack_from(stored)[0] if len(stored) >= _MOMENT.size else 0
    data = open_row(workspace, "archive", kind, id_, stored[_MOMENT.size :], at_us)
    return at_us, data


def seq_of(entry: Sequence[Any]) -> int:
    """The first sequence number of a log entry."""
    return int(entry[0].partition(b"-")[0])


def open_entry(workspace: str, entry: Sequence[Any]) -> Frame:
    """The frame of a log entry. Raises JournalDamaged."""
    return unpack_frame(workspace, seq_of(entry), entry[1][1])


async def read_own(line: Line, workspace: str, space: Keyspace) -> Own:
    """Who owns it; epoch 0 = nobody ever did. Raises JournalDamaged."""
    found = await line.ask("HMGET", space.own, "epoch", "nonce", "seq", "at", "head", "crc")
    return _own_of(workspace, space, found)


def _own_of(workspace: str, space: Keyspace, found: Sequence[Any]) -> Own:
    if all(value is None for value in found):
        new = (workspace, 0, "", 0, 0, GENESIS)
        return Own((*new, own_crc(*new)))
    try:
        epoch, nonce, seq, at_us, head, crc = found
        return Own((workspace, int(epoch), nonce.decode(), int(seq), int(at_us), head, int(crc)))
    except (TypeError, ValueError, AttributeError) as error:
        raise JournalDamaged(f"workspace {workspace!r}: {space.own}: {error}") from error


NODES_TAG = "router-nodes"
NODES = f"{{{NODES_TAG}}}:nodes"
"""Hash of the nodes that have announced themselves."""


async def read_standing(line: Line, workspace: str, space: Keyspace) -> tuple[Own, Standing]:
    """Who owns it, and what the store says of how that may change. Raises JournalDamaged."""
    found = await line.ask(
        "HMGET", space.own, "epoch", "nonce", "seq", "at", "head", "crc", "beat", "node", "heir"
    )
    own = _own_of(workspace, space, found[:6])
    beat, node, heir = found[6:]  # version 1 wrote none of these
    try:
        standing = Standing(
            own.epoch, own.nonce, int(beat or 0), (node or b"").decode(), (heir or b"").decode()
        )
    except ValueError as error:
        raise JournalDamaged(f"workspace {workspace!r}: {space.own}: {error}") from error
    return own, standing


def node_value(node: NodeEntry) -> str:
    """A node's entry as it is stored under its name; it begins with `node_mark`."""
    return f"{node_mark(node)}{node.beat}\0{node.address}"


def node_mark(node: NodeEntry) -> str:
    """How the entries of this process begin."""
    return f"{node.boot}\0"


def open_nodes(flat: Sequence[bytes]) -> list[NodeEntry]:
    """The nodes of an HGETALL, by name. Raises JournalDamaged."""
    nodes = []
    for name, value in zip(flat[::2], flat[1::2], strict=True):
        try:
            boot, beat, address = value.decode().split("\0", 2)
            nodes.append(NodeEntry(name.decode(), boot, address, int(beat)))
        except ValueError as error:
            raise JournalDamaged(f"{NODES}: entry {name!r}: {error}") from error
    return sorted(nodes)


async def scan(
    line: Line, key: str, at_once: int = CHUNK_ROWS
) -> AsyncIterator[list[tuple[bytes, bytes]]]:
    """All fields and values of a hash, in chunks, each field once."""
    seen: set[bytes] = set()  # HSCAN may name a field twice
    cursor: str | bytes = "0"
    while True:
        cursor, flat = await line.ask("HSCAN", key, cursor, "COUNT", at_once)
        found = dict(zip(flat[::2], flat[1::2], strict=True))
        if not seen.isdisjoint(found):
            found = {field: value for field, value in found.items() if field not in seen}
        seen.update(found)
        if found:
            yield list(found.items())
        if cursor == b"0":
            return


async def scan_still(line: Line, key: str) -> AsyncIterator[list[tuple[bytes, bytes]]]:
    """The same of a hash that nobody changes. Raises JournalFailed if something was left out.

    A cursor means nothing to another server: after a failover in between, fields may be missed.
    """
    count = 0
    async for pairs in scan(line, key):
        count += len(pairs)
        yield pairs
    there = await line.ask("HLEN", key)
    if count != there:
        raise JournalFailed(f"{key}: {count} of {there} fields were read: the server has changed")


async def scan_log(line: Line, key: str) -> AsyncIterator[list[Any]]:
    """All log entries, oldest first, in chunks."""
    start = "-"
    while True:
        entries = await line.ask("XRANGE", key, start, "+", "COUNT", 200)
        if not entries:
            return
        yield entries
        start = f"({entries[-1][0].decode()}"


def open_live(workspace: str, pairs: Iterable[tuple[bytes, bytes]]) -> list[StoredRow]:
    """Live rows from their fields and values. Raises JournalDamaged."""
    named = []
    for field, stored in pairs:
        kind, _, id_ = field.decode("utf-8", "replace").partition("\0")
        named.append((kind, id_, stored))
    return open_rows(workspace, named)


async def archive_kinds(line: Line, space: Keyspace) -> list[str]:
    """The archive kinds there are, ascending."""
    return sorted(kind.decode() for kind in await line.ask("SMEMBERS", space.kinds))
