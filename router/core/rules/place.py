"""Where an expression stands in its file, and what is wrong with it there.

An expression sits in a YAML scalar, which may be quoted, folded or spread over lines; whoever reads
the file says where it begins, and `yaml_positions` where each of its characters stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

from router.errors import ConfigError, RouterError

EXCERPT_MAX = 100
"""Characters of the source that an error shows."""
WORD_MAX = 64


class Span(NamedTuple):
    """A part of an expression: offsets of its first character and of the one after its last."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where an expression begins; lines and columns count from 1."""

    file: str = "expression"
    line: int = 1
    column: int = 1
    positions: tuple[tuple[int, int], ...] = ()
    """Line and column of each character, and of the end, where that is not simply counted on."""

    def at(self, text: str, offset: int) -> tuple[int, int]:
        """Line and column of one character of the expression."""
        if offset < len(self.positions):
            return self.positions[offset]
        breaks = text.count("\n", 0, offset)
        if not breaks:
            return self.line, self.column + offset
        return self.line + breaks, offset - text.rfind("\n", 0, offset)

    def name(self, text: str, offset: int) -> str:
        """``file:line:column``."""
        line, column = self.at(text, offset)
        return f"{self.file}:{line}:{column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an expression."""

    span: Span
    message: str
    """What was expected and what came."""
    line: int
    column: int
    file: str
    excerpt: str
    """The line of the expression, and under it a caret."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}\n{self.excerpt}"


def problem(text: str, place: Place, span: Span, message: str) -> Problem:
    """The problem as it is shown."""
    line, column = place.at(text, span.start)
    return Problem(span, message, line, column, place.file, excerpt(text, span))


class ExpressionError(ConfigError):
    """An expression is wrong; `problems` has everything that was found."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__([str(found) for found in problems])
        self.problems = problems


class EvaluationError(RouterError):
    """An expression has no value for this context: a key is not there, a sum is too large.

    `reason` names no values, which may be personal; `place` is ``file:line:column``.
    """

    def __init__(self, reason: str, place: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.reason = reason
        self.place = place


def excerpt(text: str, span: Span) -> str:
    """The line around `span`, cut to a readable width, and carets under it."""
    begin = text.rfind("\n", 0, span.start) + 1
    end = text.find("\n", span.start)
    end = len(text) if end < 0 else end
    left = max(begin, min(span.start - EXCERPT_MAX // 2, end - EXCERPT_MAX))
    right = min(end, left + EXCERPT_MAX)
    head = "..." if left > begin else ""
    tail = "..." if right < end else ""
    line = text[left:right].replace("\t", " ")
    width = max(1, min(span.end, right) - span.start)
    return f"    {head}{line}{tail}\n    {' ' * (len(head) + span.start - left)}{'^' * width}"


def closest(word: str, known: Iterable[str]) -> str:
    """``, did you mean 'x'?``, or nothing."""
    if len(word) > WORD_MAX:
        return ""
    near = [k for k in known if len(k) <= WORD_MAX and abs(len(k) - len(word)) <= 4]
    close = get_close_matches(word, near[:400], n=1, cutoff=0.6)
    return f", did you mean {close[0]!r}?" if close else ""


# --- YAML ---------------------------------------------------------------------------------------


def yaml_positions(source: str, line: int, column: int, text: str) -> tuple[tuple[int, int], ...]:
    """Line and column of each character of the scalar that begins at this place, and of its end.

    `source` is the file, `text` the scalar's value as YAML gives it (https://yaml.org/spec/1.2.2/,
    7.3 and 8.1). Empty if the two do not go together.
    """
    starts = [0, *(found.end() for found in re.finditer(r"\r\n|\r|\n", source))]
    if not 1 <= line <= len(starts):
        return ()
    begin = starts[line - 1] + column - 1
    walk = {"'": _single, '"': _double, "|": _block, ">": _block}.get(source[begin : begin + 1])
    found = list((walk or _plain)(source, begin, text))
    if len(found) != len(text) + 1:
        return ()
    positions = []
    row = line - 1
    for index in found:
        while row + 1 < len(starts) and starts[row + 1] <= index:
            row += 1
        positions.append((row + 1, index - starts[row] + 1))
    return tuple(positions)


_FOLD = re.compile(r"[ \t]*((?:\r\n|\r|\n)[ \t]*)+")
_BREAK = re.compile(r"\r\n|\r|\n")
_ESCAPES = {"x": 4, "u": 6, "U": 10}

Escape = Callable[[str, int], int]


def _flow(source: str, at: int, text: str, escape: Escape) -> Iterator[int]:
    """Quoted and plain scalars: a run of line breaks is one space, or all but the first of them.

    `escape` says how many characters of the source stand for one of the text.
    """
    offset = 0
    while offset < len(text):
        fold = _FOLD.match(source, at)
        if fold is not None:
            breaks = len(_BREAK.findall(fold.group()))
            made = " " if breaks == 1 else "\n" * (breaks - 1)
            if not text.startswith(made, offset):
                return
            yield from [at] * len(made)
            offset += len(made)
            at = fold.end()
            continue
        width = escape(source, at)
        if width == 0:  # a break that leaves nothing
            skipped = re.compile(r"\\(?:\r\n|\r|\n)[ \t]*").match(source, at)
            if skipped is None:
                return
            at = skipped.end()
            continue
        if at >= len(source) or (width == 1 and source[at] != text[offset]):
            return
        yield at
        offset += 1
        at += width
    yield at


def _plain(source: str, begin: int, text: str) -> Iterator[int]:
    return _flow(source, begin, text, lambda _source, _at: 1)


def _single(source: str, begin: int, text: str) -> Iterator[int]:
    return _flow(source, begin + 1, text, lambda s, at: 2 if s.startswith("''", at) else 1)


def _double(source: str, begin: int, text: str) -> Iterator[int]:
    def escape(source: str, at: int) -> int:
        if not source.startswith("\\", at):
            return 1
        following = source[at + 1 : at + 2]
        return 0 if following in ("\r", "\n") else _ESCAPES.get(following, 2)

    return _flow(source, begin + 1, text, escape)


def _block(source: str, begin: int, text: str) -> Iterator[int]:
    """Literal and folded scalars: lines without their indentation."""
    lines: list[tuple[int, str]] = []
    header = _BREAK.search(source, begin)
    at = header.end() if header else len(source)
    while at < len(source):
        end = _BREAK.search(source, at)
        lines.append((at, source[at : end.start() if end else len(source)]))
        at = end.end() if end else len(source)
    first = next((line for _, line in lines if line.strip(" ")), "")
    own = next((line for line in text.split("\n") if line.strip(" ")), "")
    indent = (len(first) - len(first.lstrip(" "))) - (len(own) - len(own.lstrip(" ")))
    offset = 0
    last = begin
    for start, line in lines:
        content = line[indent:]
        while content and offset < len(text) and not text.startswith(content, offset):
            if text[offset] not in " \n":
                return
            yield last
            offset += 1
        if offset >= len(text):
            break
        yield from range(start + indent, start + indent + len(content))
        offset += len(content)
        last = start + len(line)
    yield from [last] * (len(text) - offset + 1)
