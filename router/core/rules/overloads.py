"""Which operands each operator and function takes, and what it gives.

As the "List of Standard Definitions" of CEL's language definition
(https://github.com/google/cel-spec), less the types that are not here. A JSON value (DYN) fits
every parameter that a JSON value can fill; where that leaves several overloads, the operation
decides at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from router.core.rules import moments as m
from router.core.rules import operations as o
from router.core.rules.types import (
    BOOL,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    WRONG,
    Record,
    Type,
    holds_dyn,
    list_of,
    map_of,
    meet,
)

A = Type("A")
B = Type("B")
"""Any type, the same wherever it stands in one overload."""

Function = Callable[..., object]


@dataclass(frozen=True, slots=True)
class Overload:
    """One meaning of an operator or function."""

    parameters: tuple[Type, ...]
    result: Type
    function: Function


@dataclass(frozen=True, slots=True)
class Resolved:
    """What is called, with which result; `is_static` if no argument's type is open."""

    result: Type
    function: Function
    is_static: bool


def _all(function: Function, result: Type | None, *types: Type) -> tuple[Overload, ...]:
    """Two operands of the same type; None as the result is that type too."""
    return tuple(Overload((t, t), result or t, function) for t in types)


_ORDERED = (BOOL, INT, DOUBLE, STRING, TIMESTAMP, DURATION)
_NUMBERS = (INT, DOUBLE)

OPERATORS: dict[str, tuple[Overload, ...]] = {
    "==": _all(o.equal, BOOL, A),
    "!=": _all(o.unequal, BOOL, A),
    "<": _all(o.less, BOOL, *_ORDERED),
    "<=": _all(o.less_or_equal, BOOL, *_ORDERED),
    ">": _all(o.greater, BOOL, *_ORDERED),
    ">=": _all(o.greater_or_equal, BOOL, *_ORDERED),
    "in": (
        Overload((A, list_of(A)), BOOL, o.contained),
        Overload((A, map_of(A, B)), BOOL, o.contained),
    ),
    "+": (
        *_all(o.add, None, INT, DOUBLE, STRING, list_of(A)),
        Overload((TIMESTAMP, DURATION), TIMESTAMP, m.add_duration),
        Overload((DURATION, TIMESTAMP), TIMESTAMP, m.add_duration),
        Overload((DURATION, DURATION), DURATION, m.add_durations),
    ),
    "-": (
        *_all(o.subtract, None, *_NUMBERS),
        Overload((TIMESTAMP, TIMESTAMP), DURATION, m.between),
        Overload((TIMESTAMP, DURATION), TIMESTAMP, m.subtract_duration),
        Overload((DURATION, DURATION), DURATION, m.subtract_durations),
    ),
    "*": _all(o.multiply, None, *_NUMBERS),
    "/": _all(o.divide, None, *_NUMBERS),
    "%": _all(o.remainder, None, INT),
    "[]": (
        Overload((list_of(A), INT), A, o.at),
        Overload((map_of(A, B), A), B, o.at),
    ),
}
NEGATION = (Overload((INT,), INT, o.negate), Overload((DOUBLE,), DOUBLE, o.negate))

_SIZED = (STRING, list_of(A), map_of(A, B))
FUNCTIONS: dict[str, tuple[Overload, ...]] = {
    "size": tuple(Overload((t,), INT, o.size) for t in _SIZED),
    "int": (
        *(Overload((t,), INT, o.to_int) for t in (INT, DOUBLE, STRING)),
        Overload((TIMESTAMP,), INT, m.seconds_since_1970),
    ),
    "double": tuple(Overload((t,), DOUBLE, o.to_double) for t in (INT, DOUBLE, STRING)),
    "timestamp": tuple(Overload((t,), TIMESTAMP, m.timestamp) for t in (STRING, INT)),
    "duration": (Overload((STRING,), DURATION, m.duration),),
    "matches": (Overload((STRING, STRING), BOOL, o.matches),),
}
"""Called as ``name(a)``."""

METHODS: dict[str, tuple[Overload, ...]] = {
    "size": FUNCTIONS["size"],
    "startsWith": (Overload((STRING, STRING), BOOL, o.starts_with),),
    "endsWith": (Overload((STRING, STRING), BOOL, o.ends_with),),
    "contains": (Overload((STRING, STRING), BOOL, o.contains),),
    "matches": FUNCTIONS["matches"],
}
"""Called as ``a.name(b)``."""

for _name, _part in m.MOMENT_PARTS.items():
    METHODS[_name] = (
        Overload((TIMESTAMP,), INT, _part),
        Overload((TIMESTAMP, STRING), INT, _part),
    )
for _name, _part in m.DURATION_PARTS.items():
    METHODS[_name] = (*METHODS[_name], Overload((DURATION,), INT, _part))

MACROS = ("all", "exists", "exists_one", "existsOne", "map", "filter")
"""CEL's loops: refused, so that the cost has a bound."""
UNKNOWN_HERE = {
    "bool": "compare instead",
    "string": "compare without it",
    "dyn": "leave it out",
    "type": "types are no values here",
    "bytes": "texts are enough here",
    "uint": "write int(...)",
}


def resolve(overloads: Sequence[Overload], arguments: Sequence[Type]) -> Resolved | None:
    """The meaning for arguments of these types; None if there is none."""
    if any(argument == WRONG for argument in arguments):
        results = {o.result: None for o in overloads}
        result = next(iter(results)) if len(results) == 1 else WRONG
        return Resolved(WRONG if result in (A, B) else result, overloads[0].function, False)
    found: list[tuple[Type, Function]] = []
    for overload in overloads:
        bound: dict[Type, Type] = {}
        if len(overload.parameters) == len(arguments) and all(
            _fits(parameter, argument, bound)
            for parameter, argument in zip(overload.parameters, arguments, strict=True)
        ):
            found.append((_filled(overload.result, bound), overload.function))
    if not found:
        return None
    result, function = found[0]
    if any(other != result for other, _ in found):
        result = DYN
    return Resolved(result, function, not any(holds_dyn(argument) for argument in arguments))


def _fits(parameter: Type, argument: Type, bound: dict[Type, Type]) -> bool:
    if parameter in (A, B):
        if parameter == A and isinstance(argument, Record):
            return False  # records are no values: their fields are
        met = meet(bound.get(parameter, argument), argument)
        if met is None:
            return False
        bound[parameter] = met
        return True
    if argument == DYN:
        # A JSON value is never a moment; of what is in a list or a map nothing is known.
        for item in parameter.items:
            if not _fits(item, DYN, bound):
                return False
        return parameter not in (TIMESTAMP, DURATION)
    if parameter.items:
        return (
            parameter.name == argument.name
            and len(parameter.items) == len(argument.items)
            and all(
                _fits(p, a, bound) for p, a in zip(parameter.items, argument.items, strict=True)
            )
        )
    return parameter == argument


def _filled(result: Type, bound: dict[Type, Type]) -> Type:
    if result.items:
        return Type(result.name, tuple(_filled(item, bound) for item in result.items))
    return bound.get(result, result)
