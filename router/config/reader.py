"""YAML as a tree that knows where everything stands, without YAML's surprises.

Why not `yaml.load`: it reads ``no`` as false, ``12:30`` as 750 and ``012`` as 10, keeps the last of
two equal keys in silence, and lets a kilobyte of aliases become gigabytes. Here texts stay texts
until a setting's type says what they are; where no type is known (attributes, adapters' own
settings) the core schema of YAML 1.2 holds (https://yaml.org/spec/1.2.2/#103-core-schema). Aliases,
anchors, tags, merge keys, doubled keys and more than `DEPTH_MAX` levels are errors. The tree is
built from the parser's events rather than by `yaml.compose`, which recurses before anybody can
count the depth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple

import yaml

SIZE_MAX = 1 << 20
"""Bytes in one file."""
DEPTH_MAX = 32
FINDINGS_MAX = 200
"""More than these are counted, not listed: nobody reads on, and one cause often makes many."""

HINTS_MAX = 50
COMPARED_MAX = 400
WORD_MAX = 64
"""Bounds of "did you mean": a wrong file must not hold up the loop that serves calls."""

Path = tuple[str | int, ...]


class Mark(NamedTuple):
    """A place in the file; lines and columns count from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Scalar:
    """A text as written; `plain` if it stood without quotes."""

    mark: Mark
    text: str
    plain: bool
    last: int = 0
    """The last line that may belong to it."""


@dataclass(slots=True)
class Sequence:
    """A list."""

    mark: Mark
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Mapping:
    """Keys, always texts, each with its own place."""

    mark: Mark
    entries: dict[str, tuple[Mark, Node]] = field(default_factory=dict)


Node = Scalar | Sequence | Mapping


class Findings:
    """Everything that is wrong with one file, in the order of the file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""
        """The file, once it is read."""
        self._found: dict[tuple[Mark, str], None] = {}
        self._hints = HINTS_MAX

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, mark: Mark, path: Path, message: str) -> None:
        """`message` says what was expected and what came."""
        where = f"{dotted(path)}: " if path else ""
        self._found[mark, f"{where}{message}"] = None

    def unknown(self, mark: Mark, path: Path, error: Unknown) -> None:
        """A finding about a word, with the closest known one."""
        self.add(mark, path, f"{error}{self.hint(error) or error.otherwise}")

    def hint(self, error: Unknown) -> str:
        """``, did you mean 'x'?``, or nothing."""
        return self._closest(error.word, error.known)

    def _closest(self, word: str, known: Iterable[str]) -> str:
        if self._hints <= 0 or len(word) > WORD_MAX:
            return ""
        self._hints -= 1
        # A good guess shares its beginning or its end; comparing with thousands takes too long.
        near = [k for k in known if len(k) <= WORD_MAX and abs(len(k) - len(word)) <= 4]
        if len(near) > COMPARED_MAX:
            near = [k for k in near if k[:3] == word[:3] or k[-3:] == word[-3:]][:COMPARED_MAX]
        close = get_close_matches(word, near, n=1, cutoff=0.6)
        return f", did you mean {close[0]!r}?" if close else ""

    def lines(self) -> list[str]:
        """``file:line:column: path: message``, one each."""
        found = sorted(self._found, key=lambda item: item[0])
        lines = [f"{self.name}:{mark.line}:{mark.column}: {text}" for mark, text in found]
        if len(lines) > FINDINGS_MAX:
            more = len(lines) - FINDINGS_MAX
            lines[FINDINGS_MAX:] = [f"{self.name}: ... and {more} more"]
        return lines


def dotted(path: Path) -> str:
    """``queues.billing.steps[0].after``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class Unknown(ValueError):
    """A word that is not one of those known; the finding will name the closest."""

    def __init__(self, message: str, word: str, known: Iterable[str], otherwise: str = "") -> None:
        super().__init__(message)
        self.word = word
        self.known = known
        self.otherwise = otherwise
        """Said where nothing is close."""


def shown(text: str) -> str:
    """What came, short enough for one line."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


_HINTS = {
    "\t": ": indent with spaces, not with tabs",
    "@": ": put it in quotes",
    "`": ": put it in quotes",
    "%": ": put it in quotes",
}


def read(source: str | bytes, findings: Findings) -> Node | None:
    """The tree of one document; None when there is none (the findings say why)."""
    text = _decoded(source, findings)
    if text is None:
        return None
    findings.text = text
    builder = _Builder(findings)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if not builder.take(event):
                return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
        lines = text.split("\n")
        at = lines[place.line - 1][place.column - 1 :] if place.line <= len(lines) else ""
        hint = _HINTS.get(at[:1], "") if "cannot start any token" in str(error.problem) else ""
        findings.add(place, (), f"not YAML: {error.problem or error.context}{hint}")
        return None
    if builder.root is None and not findings:
        findings.add(Mark(1, 1), (), "expected settings, got an empty file")
    return builder.root


# https://yaml.org/spec/1.2.2/#51-character-set, less the surrogates, which UTF-8 does not have.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _decoded(source: str | bytes, findings: Findings) -> str | None:
    size = len(source)
    if size > SIZE_MAX:
        findings.add(Mark(1, 1), (), f"expected at most {SIZE_MAX} bytes, got {size}")
        return None
    if isinstance(source, bytes):
        try:
            text = source.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = source[: error.start]
            column = error.start - (before.rfind(b"\n") + 1) + 1
            place = Mark(before.count(b"\n") + 1, column)
            findings.add(place, (), f"expected UTF-8, got byte 0x{source[error.start]:02x}")
            return None
    else:
        text = source.removeprefix("\ufeff")
    wrong = _FORBIDDEN.search(text)
    if wrong:
        start = wrong.start()
        place = Mark(text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start))
        findings.add(place, (), f"expected text, got the control character {wrong.group()!r}")
        return None
    return text


class _Builder:
    """Takes the parser's events one by one."""

    def __init__(self, findings: Findings) -> None:
        self.root: Node | None = None
        self._findings = findings
        self._documents = 0
        self._open: list[tuple[Sequence | Mapping, Scalar | None]] = []
        """Open collections; a mapping's with the key whose value comes next."""
        self._names: list[Path] = []
        """Where each of them stands in the one around it."""

    def take(self, event: yaml.Event) -> bool:
        """False = nothing after this can be read."""
        start = event.start_mark
        assert start is not None
        mark = Mark(start.line + 1, start.column + 1)
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._findings.add(mark, (), "expected one document, got a second one")
                    return False
            case yaml.AliasEvent():
                self._refuse(mark, f"aliases (*{event.anchor}) are not allowed: write it out")
                self._place(Scalar(mark, "", plain=False))
            case yaml.ScalarEvent():
                self._check_node(event, mark)
                wrong = _FORBIDDEN.search(event.value)
                if wrong:
                    got = repr(wrong.group())  # written as an escape
                    self._refuse(mark, f"expected text, got the control character {got}")
                # The C parser says plain by the first of the two flags; its `style` is unusable.
                plain = bool(event.implicit[0])
                end = event.end_mark
                assert end is not None
                self._place(Scalar(mark, event.value, plain, end.line + 1))
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._check_node(event, mark)
                if len(self._open) >= DEPTH_MAX:
                    self._refuse(mark, f"expected at most {DEPTH_MAX} levels, got more")
                    return False
                is_list = isinstance(event, yaml.SequenceStartEvent)
                node = Sequence(mark) if is_list else Mapping(mark)
                self._names.append(self._part())
                self._place(node)
                self._open.append((node, None))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._open.pop()
                self._names.pop()
            case _:
                pass  # start and end of stream and document
        return True

    def _check_node(self, event: yaml.NodeEvent, mark: Mark) -> None:
        if event.anchor is not None:
            self._refuse(mark, f"anchors (&{event.anchor}) are not allowed")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._refuse(mark, f"tags ({shown(tag)}) are not allowed")

    def _refuse(self, mark: Mark, message: str) -> None:
        self._findings.add(mark, self._path(), message)

    def _path(self) -> Path:
        return tuple(part for name in (*self._names, self._part()) for part in name)

    def _part(self) -> Path:
        """Where the next node stands in the innermost open collection."""
        if not self._open:
            return ()
        node, key = self._open[-1]
        if isinstance(node, Sequence):
            return (len(node.items),)
        return (key.text,) if key is not None else ()

    def _place(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        parent, key = self._open[-1]
        if isinstance(parent, Sequence):
            parent.items.append(node)
        elif key is None:
            self._open[-1] = (parent, self._key(node, parent))
        else:
            # A doubled key has been reported: the first one stays.
            parent.entries.setdefault(key.text, (key.mark, node))
            self._open[-1] = (parent, None)

    def _key(self, node: Node, parent: Mapping) -> Scalar:
        if not isinstance(node, Scalar):
            self._refuse(node.mark, "expected a text as key, got a collection")
            return Scalar(node.mark, "", plain=False)
        if node.text == "<<" and node.plain:
            self._refuse(node.mark, "merge keys (<<) are not allowed: write it out")
        elif node.text in parent.entries:
            first = parent.entries[node.text][0]
            self._refuse(
                node.mark, f"key {shown(node.text)} is given twice, first in line {first.line}"
            )
        return node


_INT = re.compile(r"-?(?:0|[1-9][0-9]*)")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NULL = ("", "~", "null", "Null", "NULL")
_TRUE = ("true", "True", "TRUE")
_FALSE = ("false", "False", "FALSE")
_DIGITS_MAX = 18


def is_nothing(node: Node) -> bool:
    """A key without a value."""
    return isinstance(node, Scalar) and node.plain and node.text in _NULL


def untyped(node: Node, path: Path, findings: Findings) -> Any:
    """The plain value where no setting's type says what it is; refuses what could be misread."""
    if isinstance(node, Mapping):
        return {
            key: untyped(value, (*path, key), findings) for key, (_, value) in node.entries.items()
        }
    if isinstance(node, Sequence):
        return [untyped(item, (*path, i), findings) for i, item in enumerate(node.items)]
    text = node.text
    if not node.plain:
        return text
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if len(text) <= _DIGITS_MAX:
        if _INT.fullmatch(text):
            return int(text)
        if _BASED.fullmatch(text):
            return int(text, 0)
    if _SPECIAL.fullmatch(text):
        findings.add(node.mark, path, f"expected a number, got {shown(text)}")
        return None
    if not _FLOAT.fullmatch(text):
        return text
    if "." not in text and "e" not in text.lower():
        # +4930…, 012, or more digits than a number holds: telephone numbers and codes.
        findings.add(node.mark, path, f"{shown(text)} may be a number or a text: put it in quotes")
        return text
    value = float(text)
    if value in (float("inf"), float("-inf")):
        findings.add(node.mark, path, f"expected a number, got {shown(text)}: too large")
        return None
    return value
