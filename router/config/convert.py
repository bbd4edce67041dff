"""From the YAML tree to settings records, by their types, with every error and not just the first.

What a type cannot say stands beside it: ``Annotated[int, Between(1, 10)]``, ``Annotated[str,
Ref("queues")]`` (the name of something defined elsewhere in the same workspace), ``Annotated[int,
Written(duration)]`` (a text with a form of its own). A record may have a short form: `SHORT` names
the field that a bare value means. `REST` names the field that takes the keys nobody here knows.
`FILLED` names fields that cannot be written, because something else fills them; `PATH` the one of
them that takes where the record stands. ``Annotated[Source, Own(expression)]`` reads its node by
itself.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from collections.abc import Mapping as Names
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from itertools import islice
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from router.config.reader import (
    Findings,
    Mapping,
    Mark,
    Node,
    Path,
    Scalar,
    Sequence,
    Unknown,
    is_nothing,
    shown,
    untyped,
)

T = TypeVar("T", bound=msgspec.Struct)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
TEXT_MAX = 4096


@dataclass(frozen=True)
class Between:
    """Bounds of a number (for texts: of their length), both included."""

    least: float
    most: float


@dataclass(frozen=True)
class Written:
    """A text with a form of its own; `read` raises ValueError with what it expected."""

    read: Callable[[str], Any]


@dataclass(frozen=True)
class Ref:
    """The name of something in another section of the same workspace."""

    section: str


@dataclass(frozen=True)
class Name:
    """An identifier: goes into URLs, file names and metrics' labels."""


@dataclass(frozen=True)
class ForAll:
    """A mapping that may be given as one value for all its keys; it then has the one key ``*``."""


@dataclass(frozen=True)
class Own:
    """A setting of several forms: reads its own node; INVALID, and the findings say why."""

    read: Callable[[Node, Path, Reading], Any]


class Invalid:
    """What comes back where nothing usable was given; the findings say why."""


INVALID = Invalid()


@dataclass(slots=True)
class Reading:
    """One conversion: where findings go, what names exist, and where every value stood."""

    findings: Findings
    names: Names[str, dict[str, None]]
    """Section -> the names defined there, valid or not: one error shall not make others."""
    places: dict[Path, Mark] = field(default_factory=dict)

    def at(self, path: Path) -> Mark:
        """Where this setting stands, or the nearest one around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Mark(1, 1))

    def add(self, path: Path, message: str) -> None:
        """A finding about a setting."""
        self.findings.add(self.at(path), path, message)


class Field(NamedTuple):
    """One setting of a record."""

    name: str
    type: Any
    default: Any
    """`msgspec.NODEFAULT`: it must be given."""
    attribute: str
    """Its name in Python, which has words of its own (`for`)."""


@cache
def fields(kind: type[msgspec.Struct]) -> dict[str, Field]:
    """The settings of a record, in its order."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        f.encode_name: Field(
            f.encode_name,
            hints[f.name],
            f.default if f.default_factory is msgspec.NODEFAULT else f.default_factory(),
            f.name,
        )
        for f in msgspec.structs.fields(kind)
        if f.name not in getattr(kind, "FILLED", ())
    }


def record(kind: type[T], node: Node, path: Path, reading: Reading) -> T | Invalid:
    """A settings record. Wrong settings keep their defaults, so that reading goes on."""
    reading.places.setdefault(path, node.mark)
    short = getattr(kind, "SHORT", "")
    if short and not isinstance(node, Mapping):
        value = convert(fields(kind)[short].type, node, path, reading)
        return INVALID if isinstance(value, Invalid) else kind(**{short: value})
    if not isinstance(node, Mapping):
        reading.findings.add(node.mark, path, f"expected settings, got {came(node)}")
        return INVALID
    known = fields(kind)
    rest = getattr(kind, "REST", "")
    values: dict[str, Any] = {}
    more: dict[str, Any] = {}
    complete = True
    for key, (mark, child) in node.entries.items():
        inner = (*path, key)
        reading.places[inner] = mark
        if key in known:
            value = convert(known[key].type, child, inner, reading)
            if not isinstance(value, Invalid):
                values[known[key].attribute] = value
            elif known[key].default is msgspec.NODEFAULT:
                complete = False
        elif rest:
            more[key] = untyped(child, inner, reading.findings)
        else:
            otherwise = f": known here are {', '.join(known)}"
            error = Unknown(f"unknown key {shown(key)}", key, known, otherwise)
            reading.findings.unknown(mark, path, error)
    for name, setting in known.items():
        if setting.default is msgspec.NODEFAULT and name not in node.entries:
            reading.add(path, f"{name!r} is missing")
            complete = False
    if rest:
        values[rest] = more
    where = getattr(kind, "PATH", "")
    if where:
        values[where] = path
    return kind(**values) if complete else INVALID


def convert(kind: Any, node: Node, path: Path, reading: Reading) -> Any:
    """One value of the given type, or INVALID."""
    extras: tuple[Any, ...] = ()
    if get_origin(kind) is Annotated:
        kind, *rest = get_args(kind)
        extras = tuple(rest)
    for extra in extras:
        if isinstance(extra, Own):
            return extra.read(node, path, reading)
    if get_origin(kind) in (Union, types.UnionType):
        # Only `X | None` is used: None is "not given" and cannot be written.
        inner = next(arm for arm in get_args(kind) if arm is not type(None))
        return convert(inner, node, path, reading)
    if is_nothing(node) and kind is not Any:
        reading.findings.add(
            node.mark, path, "expected a value, got nothing: give one or remove it"
        )
        return INVALID
    origin = None if any(isinstance(extra, Written) for extra in extras) else get_origin(kind)
    if origin is dict:
        return _dict(kind, extras, node, path, reading)
    if origin is tuple:
        return _tuple(get_args(kind)[0], extras, node, path, reading)
    if kind is Any:
        return untyped(node, path, reading.findings)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return record(kind, node, path, reading)
    if not isinstance(node, Scalar):
        reading.findings.add(node.mark, path, f"expected {_wanted(kind)}, got {came(node)}")
        return INVALID
    try:
        return _scalar(kind, extras, node, reading)
    except Unknown as error:
        reading.findings.unknown(node.mark, path, error)
        return INVALID
    except ValueError as error:
        reading.findings.add(node.mark, path, str(error))
        return INVALID


def _dict(kind: Any, extras: tuple[Any, ...], node: Node, path: Path, reading: Reading) -> Any:
    key_type, value_type = get_args(kind)
    if not isinstance(node, Mapping):
        if any(isinstance(extra, ForAll) for extra in extras):
            value = convert(value_type, node, path, reading)
            return value if isinstance(value, Invalid) else {"*": value}
        reading.findings.add(node.mark, path, f"expected a mapping, got {came(node)}")
        return INVALID
    _check_size(len(node.entries), extras, node.mark, path, reading)
    result: dict[Any, Any] = {}
    for text, (mark, child) in node.entries.items():
        inner = (*path, text)
        reading.places[inner] = mark
        key = convert(key_type, Scalar(mark, text, plain=False), path, reading)
        value = convert(value_type, child, inner, reading)
        if not isinstance(key, Invalid) and not isinstance(value, Invalid):
            if key in result:
                reading.findings.add(mark, path, f"{shown(text)} is given twice")
            result[key] = value
    return result


def _tuple(
    item_type: Any, extras: tuple[Any, ...], node: Node, path: Path, reading: Reading
) -> Any:
    if not isinstance(node, Sequence):
        reading.findings.add(node.mark, path, f"expected a list, got {came(node)}")
        return INVALID
    _check_size(len(node.items), extras, node.mark, path, reading)
    result = []
    for index, child in enumerate(node.items):
        inner = (*path, index)
        reading.places[inner] = child.mark
        value = convert(item_type, child, inner, reading)
        if not isinstance(value, Invalid):
            result.append(value)
    return tuple(result)


def _check_size(
    size: int, extras: tuple[Any, ...], mark: Mark, path: Path, reading: Reading
) -> None:
    for extra in extras:
        if isinstance(extra, Between) and not extra.least <= size <= extra.most:
            reading.findings.add(
                mark, path, f"expected {extra.least:g} to {extra.most:g} entries, got {size}"
            )


_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?")
_TRUTH = {"true": True, "false": False}


def _scalar(kind: Any, extras: tuple[Any, ...], node: Scalar, reading: Reading) -> Any:
    text = node.text
    value: Any = text
    if kind is bool:
        if not node.plain or text not in _TRUTH:
            raise ValueError(f"expected true or false, got {shown(text)}")
        return _TRUTH[text]
    is_written = any(isinstance(extra, Written) for extra in extras)
    if kind is int and not is_written:
        if not node.plain or not _WHOLE.fullmatch(text):
            raise ValueError(f"expected a whole number, got {shown(text)}")
        value = int(text)
    elif kind is float and not is_written:
        if not node.plain or not _DECIMAL.fullmatch(text):
            raise ValueError(f"expected a number, got {shown(text)}")
        value = float(text)
    elif isinstance(kind, type) and issubclass(kind, StrEnum):
        words = [str(member) for member in kind]
        if text not in words:
            expected = f"expected one of {', '.join(words)}, got {shown(text)}"
            raise Unknown(expected, text, words)
        return kind(text)
    elif len(text) > TEXT_MAX:
        raise ValueError(f"expected at most {TEXT_MAX} characters, got {len(text)}")
    for extra in extras:
        value = _checked(value, extra, reading)
    return value


def _checked(value: Any, extra: Any, reading: Reading) -> Any:
    match extra:
        case Between(least, most):
            size = len(value) if isinstance(value, str) else value
            if not least <= size <= most:
                what = " characters" if isinstance(value, str) else ""
                raise ValueError(f"expected {least:g} to {most:g}{what}, got {size:g}")
        case Written(read):
            return read(value)
        case Name():
            if not NAME.fullmatch(value):
                raise ValueError(
                    "expected a name of at most 64 letters, digits, '_', '.', '@' or '-', "
                    f"got {shown(value)}"
                )
        case Ref(section):
            known = reading.names.get(section, {})
            if value not in known:
                some = ", ".join(islice(known, 12))
                otherwise = f": there are {some}" if known else f": {section} is empty"
                message = f"unknown {singular(section)} {shown(value)}"
                raise Unknown(message, value, known, otherwise)
        case _:
            pass  # `ForAll` is for mappings, `Own` has read it already
    return value


def singular(section: str) -> str:
    """What one thing of a section is called in messages: ``entry point``."""
    return section if section == "hours" else section.replace("_", " ").removesuffix("s")


def _wanted(kind: Any) -> str:
    if kind is int:
        return "a whole number"
    if kind is float:
        return "a number"
    return "true or false" if kind is bool else "a text"


def came(node: Node) -> str:
    """What stands there instead, for messages."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    return "nothing" if is_nothing(node) else f"the value {shown(node.text)}"
