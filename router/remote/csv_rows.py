"""A CSV file of past attempts, read row by row: header matched by name, each cell checked.

What only the server knows (channels, whose address it is) is left to it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from router.errors import RouterError

COLUMNS = ("customer", "identity", "channel", "address", "at", "outcome", "direction", "purpose")
WHO = ("customer", "identity", "address")
CELL_CHARS = 320
DELIMITERS = ",;\t"
MOST_MOMENT = 1 << 53
UNITS = ((11, 1_000_000), (14, 1_000), (17, 1))
"""Most digits of an epoch in this unit, and its length in µs: seconds, ms, µs."""


class Row(NamedTuple):
    """One line: what to send, or why not."""

    line: int
    """Where it begins in the file; the header is line 1."""
    cells: list[str]
    """As they stand."""
    fields: dict[str, str | int]
    problem: str = ""


class History:
    """The file. Raises RouterError for one that cannot be what is meant: no or a wrong header."""

    def __init__(self, path: Path) -> None:
        self.size = path.stat().st_size
        self._raw = path.open("rb")
        # What is not UTF-8 becomes a rejected row instead of the end of the import.
        text = io.TextIOWrapper(self._raw, "utf-8-sig", errors="surrogateescape", newline="")
        first = text.readline()
        self._reader = csv.reader(text, delimiter=_delimiter(first))
        try:
            header = next(csv.reader([first], delimiter=_delimiter(first)), [])
            self.header = [cell.strip() for cell in header]
            self._names, self.ignored = _columns(path, self.header)
        except BaseException:
            self._raw.close()
            raise

    def read_bytes(self) -> int:
        """How far the file has been read."""
        return self._raw.tell()

    def close(self) -> None:
        """The file is not read any more."""
        self._raw.close()

    def rows(self) -> Iterator[Row]:
        """Line by line; empty lines are left out."""
        line = 2
        while True:
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Row(line, [], {}, f"cannot be read: {error}")
            else:
                if any(cells):
                    yield self._row(line, cells)
            line = self._reader.line_num + 2

    def _row(self, line: int, cells: list[str]) -> Row:
        if len(cells) != len(self.header):
            problem = f"expected {len(self.header)} cells, got {len(cells)}"
            return Row(line, cells, {}, problem)
        fields: dict[str, str | int] = {}
        for name, cell in zip(self._names, cells, strict=True):
            value = cell.strip()
            if not name or not value:
                continue
            if len(value) > CELL_CHARS:
                problem = f"{name}: expected at most {CELL_CHARS} characters, got {len(value)}"
                return Row(line, cells, {}, problem)
            if not value.isprintable():
                return Row(line, cells, {}, f"{name}: expected text in UTF-8, got {value!a:.60}")
            fields[name] = value
        try:
            fields["at_us"] = moment_us(str(fields.pop("at", "")))
        except ValueError as error:
            return Row(line, cells, {}, f"at: {error}")
        return Row(line, cells, fields)


def _delimiter(line: str) -> str:
    """Comma, semicolon or tab: whichever stands most often in the header."""
    return max(DELIMITERS, key=line.count)


def _columns(path: Path, header: list[str]) -> tuple[list[str], list[str]]:
    """The name for each column ("" = not ours), and what is ignored. Raises RouterError."""
    lowered = [cell.lower() for cell in header]
    wrong: list[str] = []
    ignored: list[str] = []
    names: list[str] = []
    for given, name in zip(header, lowered, strict=True):
        names.append(name if name in COLUMNS else "")
        if name in COLUMNS:
            if lowered.count(name) > 1:
                wrong.append(f"column {given!r} stands twice")
            continue
        close = get_close_matches(
            name, [each for each in COLUMNS if each not in lowered], n=1, cutoff=0.7
        )
        if close:
            wrong.append(f"no column {given!r}: did you mean {close[0]!r}?")
        else:
            ignored.append(given)
    missing = [name for name in ("channel", "at") if name not in lowered]
    if not any(name in lowered for name in ("outcome", "direction")):
        missing.append("outcome")
    if not any(name in lowered for name in WHO):
        missing.append("customer (or identity, or address)")
    wrong += [f"column {name} is missing" for name in missing]
    if wrong:
        known = ", ".join(COLUMNS)
        raise RouterError(f"{path}:1: {'; '.join(dict.fromkeys(wrong))}. Columns are {known}")
    return names, ignored


def moment_us(text: str) -> int:
    """A moment in epoch µs, from ISO 8601 with a zone, or an epoch in s, ms or µs.

    Raises ValueError that says what was expected.
    """
    expected = "expected a moment such as 2026-11-03T09:15:00+01:00, or an epoch"
    digits, _, fraction = text.partition(".")
    if digits.isascii() and digits.isdigit() and (not fraction or fraction.isdigit()):
        unit_us = next((unit for most, unit in UNITS if len(digits) <= most), 0)
        at_us = int(digits) * unit_us + (int(float(f"0.{fraction}") * unit_us) if fraction else 0)
        if not 0 < at_us < MOST_MOMENT:
            raise ValueError(f"{expected}, got {text!r:.60}")
        return at_us
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{expected}, got {text!r:.60}") from None
    if at.tzinfo is None:
        raise ValueError(f"{expected}; {text!r:.60} has no zone")
    return round(at.timestamp() * 1e6)
