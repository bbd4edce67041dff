"""Backup out of Redis and restore into it. The copy is an SQLite journal: one format for all."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from router.errors import JournalBusy, JournalDamaged
from router.journal.directory import sync_directory
from router.journal.frame import file_name, guard_row, open_row
from router.journal.redis_keyspace import (
    CHUNK_ROWS,
    Keyspace,
    Line,
    archive_kinds,
    archive_value,
    live_field,
    open_archived,
    open_entry,
    open_live,
    read_own,
    scan_log,
    scan_still,
)
from router.journal.workspace_file import create_file, disown_copy, open_read_only, own_crc
from router.journal.workspace_file import read_own as read_own_of_file

_COPY_LASTS_S = 3600


async def copy_workspace(line: Line, workspace: str, space: Keyspace, directory: Path) -> Path:
    """Write one workspace, as of one moment, into an SQLite journal; returns its path."""
    kinds = await archive_kinds(line, space)
    frozen = Keyspace(space.name, ":copy")
    pairs = zip(space.everything(kinds), frozen.everything(kinds), strict=True)
    await line.function("copy", [key for pair in pairs for key in pair], _COPY_LASTS_S)
    target = directory / f"ws-{space.name}.db"
    partial = target.with_name(target.name + ".partial")
    try:
        db = await asyncio.to_thread(_begin, partial, workspace)
        try:
            await _fill(line, workspace, frozen, db)
        finally:
            await asyncio.to_thread(db.close)
    finally:
        await line.ask("UNLINK", *frozen.everything(kinds))
    return await asyncio.to_thread(_finish, partial, target)


def _begin(path: Path, workspace: str) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return create_file(path, workspace)


async def _fill(line: Line, workspace: str, frozen: Keyspace, db: sqlite3.Connection) -> None:
    own = await read_own(line, workspace, frozen)
    crc = own_crc(workspace, own.epoch, own.nonce, own.seq, own.at_us, own.head)
    values = (own.epoch, own.nonce, own.seq, own.at_us, own.head, crc)

    async def put(statement: str, rows: list[tuple[Any, ...]]) -> None:
        await asyncio.to_thread(_put, db, statement, rows)

    await put("UPDATE own SET epoch=?, nonce=?, seq=?, at_us=?, head=?, crc=?", [values])
    async for entries in scan_log(line, frozen.log):
        frames = [(open_entry(workspace, entry).first_seq, entry[1][1]) for entry in entries]
        await put("INSERT INTO log VALUES (?,?)", frames)
    async for pairs in scan_still(line, frozen.live):
        live = open_live(workspace, pairs)
        rows = [(row.kind, row.id, guard_row(*row)) for row in live]
        await put("INSERT INTO live (kind, id, data) VALUES (?,?,?)", rows)
    for kind in await archive_kinds(line, frozen):
        async for pairs in scan_still(line, frozen.archive(kind)[0]):
            archived = []
            for field, stored in pairs:
                id_ = field.decode()
                at_us, data = open_archived(workspace, kind, id_, stored)
                archived.append((kind, id_, at_us, guard_row(kind, id_, data, at_us)))
            await put("INSERT INTO archive (kind, id, at_us, data) VALUES (?,?,?,?)", archived)


def _put(db: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    db.execute("BEGIN")
    db.executemany(statement, rows)
    db.execute("COMMIT")


def _finish(partial: Path, target: Path) -> Path:
    disown_copy(partial)
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.replace(target)
    sync_directory(target.parent)
    return target


async def restore_workspace(line: Line, path: Path) -> str:
    """Bring a copied workspace into Redis; returns its name. Raises JournalBusy, JournalDamaged."""
    workspace = workspace_of(path)
    space = Keyspace(file_name(workspace))
    if await line.ask("EXISTS", space.own, space.log, space.live):
        raise JournalBusy(
            f"workspace {workspace!r} is in Redis already: a restore never overwrites one"
        )
    try:
        with closing(open_read_only(path)) as db:
            await _bring_log(line, workspace, space, db)
            await _bring_rows(line, workspace, space, db)
            own = read_own_of_file(db, workspace)
            crc = own_crc(workspace, own.epoch, own.nonce, own.seq, own.at_us, own.head)
            fields = {"epoch": own.epoch, "nonce": own.nonce, "seq": own.seq, "at": own.at_us}
            words = [word for pair in fields.items() for word in pair]
            # Last: a restore that was broken off leaves a workspace that nobody can acquire.
            await line.ask("HSET", space.own, *words, "head", own.head, "crc", crc)
    except sqlite3.Error as error:
        raise JournalDamaged(f"workspace {workspace!r}: {path}: {error}") from error
    return workspace


def workspace_of(path: Path) -> str:
    """The workspace of which this file is a copy."""
    return unquote(path.stem.removeprefix("ws-"))


async def _bring_log(line: Line, workspace: str, space: Keyspace, db: sqlite3.Connection) -> None:
    for seq, stored in db.execute("SELECT first_seq, frame FROM log ORDER BY first_seq"):
        open_entry(workspace, (b"%d-0" % seq, (b"f", stored)))
        await line.ask("XADD", space.log, f"{seq}-0", "f", stored)


async def _bring_rows(line: Line, workspace: str, space: Keyspace, db: sqlite3.Connection) -> None:
    rows = db.execute("SELECT kind, id, data FROM live")
    while chunk := rows.fetchmany(CHUNK_ROWS):
        words: list[str | bytes] = []
        for kind, id_, stored in chunk:
            data = open_row(workspace, "live", kind, id_, stored)
            words += (live_field(kind, id_), guard_row(kind, id_, data))
        await line.ask("HSET", space.live, *words)
    rows = db.execute("SELECT kind, id, at_us, data FROM archive ORDER BY kind")
    while chunk := rows.fetchmany(CHUNK_ROWS):
        for kind in sorted({row[0] for row in chunk}):
            values, ids, ages = space.archive(kind)
            of_kind = [row for row in chunk if row[0] == kind]
            put: list[str | bytes] = []
            for _, id_, at_us, stored in of_kind:
                data = open_row(workspace, "archive", kind, id_, stored, at_us)
                put += (id_, archive_value(kind, id_, at_us, data))
            await line.ask("SADD", space.kinds, kind)
            await line.ask("HSET", values, *put)
            await line.ask("ZADD", ids, *(word for row in of_kind for word in (0, row[1])))
            await line.ask("ZADD", ages, *(word for row in of_kind for word in (row[2], row[1])))
