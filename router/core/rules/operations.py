"""What the operators and functions of the language do with values, and when they have no result.

Each works on any values and looks at their types itself: the compiler puts plain Python in its
place where the types are known (compile.py). "No result" is a `Fault`, whose reason names types
and names, never values.
"""

from __future__ import annotations

import re
from math import copysign, inf, isfinite, nan
from typing import Protocol, TypeGuard

from router.core.rules.lexer import INT_MAX, INT_MIN
from router.core.rules.place import Span

NESTING_MAX = 64
"""Levels of lists and maps within each other that are compared."""


class Fault(Exception):
    """This operation has no result; `span` is set by whoever knows where it stands."""

    def __init__(self, reason: str, span: Span | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.span = span


class Pattern(Protocol):
    """A compiled regular expression."""

    def search(self, text: str) -> object:
        """None where it does not match."""


def kind(value: object) -> str:
    """The name of the value's type in the language."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "double"
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return "list"
    if isinstance(value, dict):
        return "map"
    return "unknown"


def _no(sign: str, *values: object) -> Fault:
    """The operands do not fit."""
    return Fault(f"'{sign}' does not take {' and '.join(kind(value) for value in values)}")


def _is_int(a: object) -> TypeGuard[int]:
    return isinstance(a, int) and not isinstance(a, bool)


def _is_number(a: object) -> TypeGuard[float]:
    return isinstance(a, int | float) and not isinstance(a, bool)


# --- comparison -----------------------------------------------------------------------------------


def equal(a: object, b: object) -> bool:
    """``==``: numbers by value whatever their type, lists and maps by their parts."""
    return _equal(a, b, NESTING_MAX)


def _equal(a: object, b: object, levels: int) -> bool:
    if isinstance(a, str) or isinstance(b, str) or (_is_number(a) and _is_number(b)):
        return a == b
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b
    if levels == 0:
        raise Fault(f"values nested deeper than {NESTING_MAX} levels are not compared")
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_equal(x, y, levels - 1) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return len(a) == len(b) and all(
            key in b and _equal(value, b[key], levels - 1) for key, value in a.items()
        )
    return False


def unequal(a: object, b: object) -> bool:
    """``!=``."""
    return not _equal(a, b, NESTING_MAX)


def _order(sign: str, a: object, b: object) -> int:
    """-1, 0 or 1 where `a` is less, equal or greater; 2 where one of them is not a number (NaN)."""
    if _is_number(a) and _is_number(b):
        return -1 if a < b else 1 if a > b else 0 if a == b else 2
    if isinstance(a, str) and isinstance(b, str):
        return (a > b) - (a < b)
    if isinstance(a, bool) and isinstance(b, bool):
        return a - b
    raise _no(sign, a, b)


def less(a: object, b: object) -> bool:
    """``<``: numbers by value, texts by code points, false before true."""
    return _order("<", a, b) == -1


def less_or_equal(a: object, b: object) -> bool:
    """``<=``."""
    return _order("<=", a, b) in (-1, 0)


def greater(a: object, b: object) -> bool:
    """``>``."""
    return _order(">", a, b) == 1


def greater_or_equal(a: object, b: object) -> bool:
    """``>=``."""
    return _order(">=", a, b) in (0, 1)


def contained(item: object, group: object) -> bool:
    """``in``: an item of a list, a key of a map."""
    if isinstance(group, dict):
        return _key(item, group) is not None
    if isinstance(group, list | tuple):
        return any(_equal(item, other, NESTING_MAX) for other in group)
    raise _no("in", item, group)


# --- arithmetic -----------------------------------------------------------------------------------


def _whole(value: int) -> int:
    """The result, if 64 bits hold it."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise Fault("the result is larger than a 64-bit number")


def add(a: object, b: object) -> object:
    """``+`` of two numbers of one type, two texts, or two lists."""
    if _is_int(a) and _is_int(b):
        return _whole(a + b)
    if isinstance(a, float) and isinstance(b, float):
        return a + b
    if isinstance(a, str) and isinstance(b, str):
        return a + b
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return [*a, *b]
    raise _no("+", a, b)


def subtract(a: object, b: object) -> object:
    """``-`` of two numbers of one type."""
    if _is_int(a) and _is_int(b):
        return _whole(a - b)
    if isinstance(a, float) and isinstance(b, float):
        return a - b
    raise _no("-", a, b)


def multiply(a: object, b: object) -> object:
    """``*`` of two numbers of one type."""
    if _is_int(a) and _is_int(b):
        return _whole(a * b)
    if isinstance(a, float) and isinstance(b, float):
        return a * b
    raise _no("*", a, b)


def divide(a: object, b: object) -> object:
    """``/``: of whole numbers, towards zero; of floating-point ones, by IEEE 754."""
    if _is_int(a) and _is_int(b):
        if b == 0:
            raise Fault("division by zero")
        quotient = abs(a) // abs(b)
        return _whole(quotient if (a < 0) == (b < 0) else -quotient)
    if isinstance(a, float) and isinstance(b, float):
        if b != 0:
            return a / b
        if a == 0 or a != a:
            return nan
        return inf * copysign(1, a) * copysign(1, b)
    raise _no("/", a, b)


def remainder(a: object, b: object) -> object:
    """``%`` of whole numbers: has the sign of the first."""
    if not (_is_int(a) and _is_int(b)):
        raise _no("%", a, b)
    if b == 0:
        raise Fault("division by zero")
    if a == INT_MIN and b == -1:
        raise Fault("the result is larger than a 64-bit number")
    rest = abs(a) % abs(b)
    return -rest if a < 0 else rest


def negate(a: object) -> object:
    """``-`` of one number."""
    if isinstance(a, float):
        return -a
    if _is_int(a):
        return _whole(-a)
    raise _no("-", a)


# --- texts, lists, maps ---------------------------------------------------------------------------


def size(a: object) -> int:
    """How many characters, items or keys."""
    if isinstance(a, str | list | tuple | dict):
        return len(a)
    raise _no("size", a)


def _texts(name: str, *values: object) -> list[str]:
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) < len(values):
        raise _no(name, *values)
    return texts


def starts_with(text: object, part: object) -> bool:
    """``text.startsWith(part)``."""
    whole, start = _texts("startsWith", text, part)
    return whole.startswith(start)


def ends_with(text: object, part: object) -> bool:
    """``text.endsWith(part)``."""
    whole, end = _texts("endsWith", text, part)
    return whole.endswith(end)


def contains(text: object, part: object) -> bool:
    """``text.contains(part)``."""
    whole, inner = _texts("contains", text, part)
    return inner in whole


def matches(text: object, pattern: Pattern) -> bool:
    """Whether the pattern is found anywhere in the text."""
    (whole,) = _texts("matches", text)
    try:
        return pattern.search(whole) is not None
    except UnicodeEncodeError:
        raise Fault("the text is not valid Unicode") from None


def _key(key: object, group: dict[object, object]) -> object | None:
    """The map's own key that equals this one; keys are never null."""
    if isinstance(key, bool):
        # In Python True is also 1.
        return next((own for own in group if own is key), None)
    if isinstance(key, str):
        return key if key in group else None
    if isinstance(key, int | float):
        if isinstance(key, float) and not key.is_integer():
            return None
        return next((own for own in (int(key),) if own in group and _own_int(own, group)), None)
    raise Fault(f"{kind(key)} cannot be a key")


def _own_int(key: int, group: dict[object, object]) -> bool:
    return key not in (0, 1) or not any(isinstance(own, bool) for own in group)


def at(group: object, index: object) -> object:
    """``group[index]``: an item of a list, counted from 0, or a key's value in a map."""
    if isinstance(group, dict):
        own = _key(index, group)
        if own is None:
            raise Fault("no such key")
        return group[own]
    if isinstance(group, list | tuple):
        if not _is_int(index) and not (isinstance(index, float) and index.is_integer()):
            raise _no("[]", group, index)
        place = int(index)
        if not 0 <= place < len(group):
            raise Fault(f"no item {place}: the list has {len(group)}")
        return group[place]
    raise _no("[]", group, index)


def member(group: object, name: str) -> object:
    """``group.name`` of a map."""
    if not isinstance(group, dict):
        raise Fault(f"expected a map with the key {name!r}, got {kind(group)}")
    if name not in group:
        raise Fault(f"no such key: {name!r}")
    return group[name]


def has_member(group: object, name: str) -> bool:
    """``has(group.name)`` of a map."""
    if not isinstance(group, dict):
        raise Fault(f"expected a map, got {kind(group)}")
    return name in group


# --- conversions ----------------------------------------------------------------------------------

_INT = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)
_DOUBLE = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
NUMBER_MAX = 100
"""Characters of a text that is read as a number."""


def to_int(a: object) -> int:
    """``int(a)`` of a number (towards zero) or a text."""
    if isinstance(a, str):
        if _INT.fullmatch(a) is None:
            raise Fault("int() expected a whole number, got another text")
        return _whole(int(a))
    if isinstance(a, float):
        if not isfinite(a) or not INT_MIN < a < INT_MAX:
            raise Fault("int() expected a number that 64 bits hold, got a larger one")
        return int(a)
    if _is_int(a):
        return _whole(a)
    raise _no("int", a)


def to_double(a: object) -> float:
    """``double(a)`` of a number or a text."""
    if isinstance(a, str):
        if len(a) > NUMBER_MAX or _DOUBLE.fullmatch(a) is None or not isfinite(float(a)):
            raise Fault("double() expected a number, got another text")
        return float(a)
    if isinstance(a, float):
        return a
    if _is_int(a):
        return float(_whole(a))
    raise _no("double", a)


def truth(a: object) -> bool:
    """The operand of ``&&``, ``||``, ``!`` or ``?``, which must be a truth value."""
    if a is True or a is False:
        return a
    raise Fault(f"expected true or false, got {kind(a)}")


def inverted(a: object) -> bool:
    """``!a``."""
    return not truth(a)
