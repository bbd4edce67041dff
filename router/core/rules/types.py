"""The types of the rule language.

Values at run time are plain: `int` (also timestamps, µs since 1970, and durations, µs), `float`,
`str`, `bool`, `None`, `list` or `tuple`, `dict`. Timestamps and durations are told from numbers by
their type when the file is loaded, so they never meet a value whose type is found out at run time
(`DYN`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Type:
    """What kind of value an expression has; `items` are a list's element, a map's key and value."""

    name: str
    items: tuple[Type, ...] = ()

    def __str__(self) -> str:
        if not self.items:
            return self.name
        return f"{self.name}({', '.join(str(item) for item in self.items)})"


@dataclass(frozen=True, slots=True)
class Field:
    """One name that an expression may read."""

    type: Type
    optional: bool = False
    """May be unknown (None in the context): then reading it is an error, and has() is false."""
    values: tuple[str, ...] = ()
    """All texts it can have, or keys if it is a map: any other constant is an error at load."""


@dataclass(frozen=True, slots=True, eq=False)
class Record(Type):
    """A group of named fields; in the context an object with these attributes."""

    fields: Mapping[str, Field] = field(default_factory=dict)


BOOL = Type("bool")
INT = Type("int")
"""64 bits, signed."""
DOUBLE = Type("double")
STRING = Type("string")
NULL = Type("null")
TIMESTAMP = Type("timestamp")
DURATION = Type("duration")
DYN = Type("dyn")
"""A JSON value: its type is found out at run time."""
WRONG = Type("wrong")
"""Of what has been reported already: it fits everywhere, so that one cause is told once."""
PATTERN = Type("pattern")
"""A compiled regular expression: no value of the language, only an operand of matches()."""

PLAIN = (BOOL, INT, DOUBLE, STRING, NULL)
KEYS = (BOOL, INT, STRING)
"""What a map's key may be."""


def list_of(item: Type) -> Type:
    """``list(item)``."""
    return Type("list", (item,))


def map_of(key: Type, value: Type) -> Type:
    """``map(key, value)``."""
    return Type("map", (key, value))


def record_of(name: str, fields: Mapping[str, Type | Field]) -> Record:
    """A record; a bare type is a field that is always known."""
    given = {key: f if isinstance(f, Field) else Field(f) for key, f in fields.items()}
    return Record(name, fields=given)


JSON_OBJECT = map_of(STRING, DYN)
"""Attributes: what a JSON object holds."""


def is_json(type_: Type) -> bool:
    """Whether a value of this type can be a JSON value: DYN may stand for it."""
    if type_.name in ("list", "map"):
        return all(is_json(item) for item in type_.items)
    return type_ in PLAIN or type_ in (DYN, WRONG)


def meet(a: Type, b: Type) -> Type | None:
    """The type of what may be either; None if they do not go together.

    Equal types do, DYN with all that JSON can hold, and lists and maps whose parts do.
    """
    if a == b or b == WRONG:
        return a
    if a == WRONG:
        return b
    if DYN in (a, b):
        return DYN if is_json(a) and is_json(b) else None
    if a.name == b.name and a.items and len(a.items) == len(b.items):
        items = [meet(x, y) for x, y in zip(a.items, b.items, strict=True)]
        met = tuple(item for item in items if item is not None)
        return Type(a.name, met) if len(met) == len(items) else None
    return None


def holds_dyn(type_: Type) -> bool:
    """Whether operations on it must look at the values' types at run time."""
    return type_ == DYN or any(holds_dyn(item) for item in type_.items)
