"""Who was erased since a backup was made, as newer copies of the same keys say.

A restored backup must not bring anybody back. The list of erased keys stands in every copy of the
keys, and a copy of the same installation's keys that is newer than a backup knows more of them:
they are looked for beside the backup and in the data directories, and taken over.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from router.errors import JournalDamaged
from router.journal.keys import ERASED, KEY_BYTES
from router.journal.keys_file import SqliteBlocks, read_keys_file, write_keys_file

Place = tuple[int, int]
"""Number of a block of keys, and the key's place in it."""


class Erasures(NamedTuple):
    """What other copies of a backup's keys know."""

    places: list[Place]
    """Keys of the backup that were erased since."""
    sources: list[Path]
    """The directories of the copies that were read: of the same installation, not older."""
    passed_over: list[str]
    """Copies that say nothing about this backup, each with the reason."""


def since(keys: Path, live: Iterable[Path], copies: Iterable[Path]) -> Erasures:
    """What other directories with `keys.db` and `secret` say of the keys in `keys`.

    One counts if it is of the same installation and has every key of the backup, erased or not:
    then it is not older. A copy must know more besides (one that is the same says nothing of what
    came after); `live` keys are of now. One that cannot be read is named, and passed over. Raises
    JournalDamaged if the backup's own keys cannot be read.
    """
    at_work = {place.resolve() for place in live}
    secret = (keys / "secret").read_bytes()
    places: dict[Place, None] = {}
    sources, passed_over = [], []
    with closing(_open(keys)) as ours:
        known = dict.fromkeys(_erased(ours, keys))
        last = _last(ours, keys)
        for other in _distinct(keys, [*at_work, *copies]):
            if (other / "secret").read_bytes() != secret:
                passed_over.append(f"{other}: keys of another installation")
                continue
            try:
                with closing(_open(other)) as theirs:
                    if not _continues(ours, theirs):
                        passed_over.append(f"{other}: keys that are older than the backup's")
                        continue
                    erased = _erased(theirs, other)
                    is_later = _last(theirs, other) > last or len(erased) > len(known)
                    found = [place for place in erased if place[0] <= last]
            except (sqlite3.Error, JournalDamaged) as error:
                passed_over.append(f"{other}: cannot be read: {error}")
                continue
            if is_later or other in at_work:
                sources.append(other)
            places |= dict.fromkeys(place for place in found if place not in known)
    return Erasures(sorted(places), sources, passed_over)


def without(keys: Path, places: list[Place], directory: Path) -> Path:
    """Write the keys of a backup into `directory`, with these overwritten and listed as erased."""
    blocks, erased = read_keys_file(keys)
    gone: dict[int, list[int]] = {}
    for number, place in places:
        gone.setdefault(number, []).append(place)
    left: list[tuple[int, bytes | None]] = []
    for number, block in blocks:
        changed = bytearray(block)
        for place in gone.get(number, ()):
            changed[place * KEY_BYTES : (place + 1) * KEY_BYTES] = ERASED
        left.append((number, bytes(changed)))
    listed = dict.fromkeys([*erased, *places])
    return write_keys_file(directory, left, sorted(listed))


def _distinct(keys: Path, others: Iterable[Path]) -> list[Path]:
    """Those that hold keys, each once, without the backup's own."""
    seen = {keys.resolve()}
    found = []
    for other in others:
        place = other.resolve()
        has_both = all((place / name).is_file() for name in (SqliteBlocks.FILE, "secret"))
        if place not in seen and has_both:
            seen.add(place)
            found.append(other)
    return found


def _open(directory: Path) -> sqlite3.Connection:
    path = directory / SqliteBlocks.FILE
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)


def _erased(db: sqlite3.Connection, directory: Path) -> list[Place]:
    try:
        return db.execute("SELECT number, place FROM erased").fetchall()
    except sqlite3.Error as error:
        raise JournalDamaged(f"{directory / SqliteBlocks.FILE}: {error}") from error


def _last(db: sqlite3.Connection, directory: Path) -> int:
    try:
        return int(db.execute("SELECT coalesce(max(number), 0) FROM blocks").fetchone()[0])
    except sqlite3.Error as error:
        raise JournalDamaged(f"{directory / SqliteBlocks.FILE}: {error}") from error


def _continues(ours: sqlite3.Connection, theirs: sqlite3.Connection) -> bool:
    """Whether each of our keys is theirs as well, or was erased there, and none came back."""
    for number, block in ours.execute("SELECT number, keys FROM blocks"):
        row = theirs.execute("SELECT keys FROM blocks WHERE number=?", (number,)).fetchone()
        if row is None or len(row[0]) != len(block):
            return False
        if row[0] == block:
            continue
        for start in range(0, len(block), KEY_BYTES):
            key = row[0][start : start + KEY_BYTES]
            if key not in (block[start : start + KEY_BYTES], ERASED):
                return False
    return True
