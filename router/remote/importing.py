"""`contact-router import`: a CSV of past attempts, streamed to a server in batches.

Each row is answered by itself; a row that was taken before is known by its content, so an import
that broke off, or whose file was mended, is simply run again. Batches go one after the other: what
a row does not say (an address) may then come from a row before it.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, TextIO

from router.errors import RouterError
from router.remote.csv_rows import History, Row
from router.remote.server import RunningServer

BATCH, BATCH_CHARS = 500, 150_000
SHOWN = 10
"""Rejected rows that are told where no file takes them all."""
EVERY_S, EVERY_PLAIN_S = 0.2, 10.0
"""Between two reports of progress: on a terminal, and elsewhere."""


class Imported(NamedTuple):
    """What became of the rows."""

    rows: int = 0
    recorded: int = 0
    known: int = 0
    rejected: int = 0
    created: int = 0
    seconds: float = 0.0

    def words(self, *, is_dry: bool) -> str:
        """One sentence."""
        done = "would be recorded" if is_dry else "recorded"
        new = "" if is_dry else f"; new customers: {self.created:,}"
        return (
            f"{self.rows:,} rows in {self.seconds:.1f} s: {self.recorded:,} {done}, "
            f"{self.known:,} known already, {self.rejected:,} rejected{new}"
        )


async def run(
    server: RunningServer,
    path: Path,
    *,
    is_dry: bool,
    rejected: Path | None,
    say: Callable[[str], None],
) -> Imported:
    """Bring the file in. Raises RouterError where it, or the server, cannot be used."""
    with ExitStack() as stack:
        history = History(path)
        stack.callback(history.close)
        if history.ignored:
            say(f"{path}: not used: {', '.join(map(repr, history.ignored))}")
        report = _Report(history.header, rejected, say)
        stack.callback(report.close)
        progress = Progress(history)
        stack.callback(progress.end)
        counts = dict.fromkeys(("recorded", "known", "created"), 0)
        rows = 0
        last = 1
        for batch in _batches(history.rows()):
            try:
                for name, more in (await _send(server, batch, report, is_dry)).items():
                    counts[name] += more
            except RouterError as error:
                raise RouterError(
                    f"{error}\nStopped after line {last} of {path}. Run it again: rows that were "
                    "taken are known."
                ) from error
            rows += len(batch)
            last = batch[-1].line
            progress.show(rows, report.count)
        return Imported(rows=rows, rejected=report.count, seconds=progress.seconds(), **counts)


async def _send(
    server: RunningServer, batch: list[Row], report: _Report, is_dry: bool
) -> dict[str, int]:
    good = [row for row in batch if not row.problem]
    results = []
    answer = {}
    if good:
        body = {"rows": [row.fields for row in good], "dry_run": is_dry}
        answer = await server.post("/v1/outcomes:import", body)
        results = answer["results"]
    told = iter(results)
    for row in batch:
        problem = row.problem
        if not problem:
            result = next(told)
            problem = result.get("detail", "") if result["status"] == "rejected" else ""
        if problem:
            report.add(row, problem)
    return {name: answer.get(name, 0) for name in ("recorded", "known", "created")}


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    chars = 0
    for row in rows:
        batch.append(row)
        chars += sum(map(len, row.cells))
        if len(batch) == BATCH or chars > BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


class _Report:
    """Rejected rows: into a file, or the first few onto the terminal."""

    def __init__(self, header: list[str], path: Path | None, say: Callable[[str], None]) -> None:
        self.count = 0
        self._say = say
        self._file: TextIO | None = None
        if path is not None:
            self._file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
            self._writer = csv.writer(self._file)
            self._writer.writerow(["line", "reason", *header])

    def add(self, row: Row, reason: str) -> None:
        """A row that was not taken, and why."""
        self.count += 1
        if self._file is not None:
            self._writer.writerow([row.line, reason, *row.cells])
        elif self.count <= SHOWN:
            self._say(f"line {row.line}: {reason}")
        elif self.count == SHOWN + 1:
            self._say("… and more: --rejected FILE writes all of them")

    def close(self) -> None:
        """Nothing more is added."""
        if self._file is not None:
            self._file.close()


class Progress:
    """How far, how fast, how long still: on one line of a terminal, else now and then a line."""

    def __init__(self, history: History, out: TextIO | None = None) -> None:
        self._history = history
        self._out = sys.stderr if out is None else out
        self._is_terminal = self._out.isatty()
        self._began = self._told = time.monotonic()

    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def show(self, rows: int, rejected: int) -> None:
        """Tell, if it is time."""
        now = time.monotonic()
        if now - self._told < (EVERY_S if self._is_terminal else EVERY_PLAIN_S):
            return
        self._told = now
        text = progress_words(
            rows, rejected, self._history.read_bytes() / max(1, self._history.size), self.seconds()
        )
        self._out.write(f"\r\033[K{text}" if self._is_terminal else f"{text}\n")
        self._out.flush()

    def end(self) -> None:
        """Wipe the line."""
        if self._is_terminal:
            self._out.write("\r\033[K")
            self._out.flush()


def progress_words(rows: int, rejected: int, share: float, seconds: float) -> str:
    """ "43,500 rows, 52 %, 3,900 rows/s, 11 s left"."""
    left = seconds * (1 - share) / share if share else 0.0
    minutes, rest = divmod(round(left), 60)
    parts = [f"{rows:,} rows", f"{share:.0%}".replace("%", " %")]
    parts.append(f"{rows / max(seconds, 0.001):,.0f} rows/s")
    parts.append(f"{minutes} min {rest} s left" if minutes else f"{rest} s left")
    if rejected:
        parts.append(f"{rejected:,} rejected")
    return ", ".join(parts)
