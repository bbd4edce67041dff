"""What `doctor` finds in a workspace's SQLite file: version, settings, structure, checksums."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from router.errors import RouterError
from router.journal import Finding
from router.journal.frame import Frame, link, open_row, unpack_frame
from router.journal.workspace_file import (
    DATABASE_ERRORS,
    FORMAT,
    Own,
    is_full,
    open_read_only,
    read_own,
    translate,
)

_FINDINGS_MAX = 20
"""Damaged rows that are named; the rest is counted."""


def audit_file(path: Path, workspace: str) -> list[Finding]:
    """All findings about one workspace's file, read-only. Never raises for what it finds."""
    findings = [_sqlite_version(sqlite3.sqlite_version_info)]
    if not path.exists():
        return [*findings, Finding("error", f"workspace {workspace!r}: there is no {path}")]
    if is_full(path.parent):
        findings.append(Finding("warning", f"{path.parent}: the disk is nearly full"))
    try:
        with closing(open_read_only(path)) as db:
            db.execute("BEGIN")  # one moment for all of it, while the owner goes on writing
            findings += _structure(db, workspace)
            findings += _contents(db, workspace)
    except DATABASE_ERRORS as error:
        findings.append(Finding("error", str(translate(workspace, path, error))))
    except RouterError as error:
        findings.append(Finding("error", str(error)))
    return findings


def _sqlite_version(version: tuple[int, int, int]) -> Finding:
    text = ".".join(map(str, version))
    is_fixed = version >= (3, 51, 3) or version in ((3, 44, 6), (3, 50, 7))
    if is_fixed:
        return Finding("ok", f"SQLite {text}")
    return Finding(
        "warning",
        f"SQLite {text} has the WAL-reset bug (3.7.0 to 3.51.2): never write to a journal with "
        "another program while the server runs; the server itself uses one writing connection",
    )


def _structure(db: sqlite3.Connection, workspace: str) -> Iterator[Finding]:
    place = f"workspace {workspace!r}"
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version != FORMAT:
        yield Finding("error", f"{place}: expected format {FORMAT}, got {version}")
    mode = db.execute("PRAGMA journal_mode").fetchone()[0]
    level = "ok" if mode in ("wal", "delete") else "warning"
    yield Finding(level, f"{place}: journal mode {mode}")
    broken = [row[0] for row in db.execute(f"PRAGMA integrity_check({_FINDINGS_MAX})")]
    if broken != ["ok"]:
        yield from (Finding("error", f"{place}: {text}") for text in broken)
    else:
        yield Finding("ok", f"{place}: the file's structure is whole")


def _contents(db: sqlite3.Connection, workspace: str) -> Iterator[Finding]:
    own = read_own(db, workspace)
    yield Finding("ok", f"workspace {workspace!r}: epoch {own.epoch}, sequence {own.seq}")
    yield from _log(db, workspace, own)
    live = (
        (lambda row=row: open_row(workspace, "live", *row))
        for row in db.execute("SELECT kind, id, data FROM live")
    )
    yield from _tally(workspace, "live rows", live)
    archive = (
        (lambda row=row: open_row(workspace, "archive", row[0], row[1], row[3], row[2]))
        for row in db.execute("SELECT kind, id, at_us, data FROM archive")
    )
    yield from _tally(workspace, "archive rows", archive)


def _log(db: sqlite3.Connection, workspace: str, own: Own) -> Iterator[Finding]:
    before: Frame | None = None

    def verify(seq: int, stored: bytes) -> None:
        nonlocal before
        earlier, before = before, None
        frame = unpack_frame(workspace, seq, stored)
        link(workspace, earlier, frame)
        before = frame

    checks = (
        (lambda row=row: verify(*row))
        for row in db.execute("SELECT first_seq, frame FROM log ORDER BY first_seq")
    )
    yield from _tally(workspace, "frames", checks)
    if before is not None and (before.last_seq, before.digest) != (own.seq, own.head):
        yield Finding(
            "error",
            f"workspace {workspace!r}: the log ends at {before.last_seq}, table own says {own.seq}",
        )


def _tally(workspace: str, what: str, checks: Iterator[Callable[[], object]]) -> Iterator[Finding]:
    count = damaged = 0
    for check in checks:
        count += 1
        try:
            check()
        except RouterError as error:
            damaged += 1
            if damaged <= _FINDINGS_MAX:
                yield Finding("error", str(error))
    if damaged:
        yield Finding("error", f"workspace {workspace!r}: {damaged} of {count} {what} are damaged")
    else:
        yield Finding("ok", f"workspace {workspace!r}: {count} {what} are whole")
