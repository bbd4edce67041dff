"""Which overload an operator or function has for its operands' types."""

from __future__ import annotations

import pytest

from router.core.rules.overloads import FUNCTIONS, METHODS, NEGATION, OPERATORS, resolve
from router.core.rules.types import (
    BOOL,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    JSON_OBJECT,
    STRING,
    TIMESTAMP,
    WRONG,
    Type,
    list_of,
    map_of,
    record_of,
)

LIST = list_of(INT)
RECORD = record_of("queue", {"waiting": INT})


@pytest.mark.parametrize(
    ("sign", "left", "right", "result"),
    [
        ("==", INT, INT, BOOL),
        ("==", INT, DOUBLE, None),
        ("==", INT, DYN, BOOL),
        ("==", TIMESTAMP, DYN, None),
        ("==", RECORD, RECORD, None),
        ("==", LIST, list_of(DYN), BOOL),
        ("==", LIST, list_of(STRING), None),
        ("<", BOOL, BOOL, BOOL),
        ("<", LIST, LIST, None),
        ("<", DYN, DYN, BOOL),
        ("in", INT, LIST, BOOL),
        ("in", STRING, LIST, None),
        ("in", STRING, JSON_OBJECT, BOOL),
        ("in", INT, JSON_OBJECT, None),
        ("in", DYN, DYN, BOOL),
        ("in", TIMESTAMP, DYN, None),
        ("+", DYN, INT, INT),
        ("+", DYN, DYN, DYN),
        ("+", DYN, STRING, STRING),
        ("+", LIST, LIST, LIST),
        ("+", TIMESTAMP, DURATION, TIMESTAMP),
        ("+", DURATION, TIMESTAMP, TIMESTAMP),
        ("+", TIMESTAMP, TIMESTAMP, None),
        ("+", DYN, DURATION, None),
        ("-", TIMESTAMP, TIMESTAMP, DURATION),
        ("-", DURATION, TIMESTAMP, None),
        ("%", DOUBLE, DOUBLE, None),
        ("[]", LIST, INT, INT),
        ("[]", LIST, DYN, INT),
        ("[]", map_of(STRING, RECORD), STRING, RECORD),
        ("[]", DYN, STRING, DYN),
        ("[]", DYN, DYN, DYN),
        ("+", WRONG, INT, WRONG),
        ("==", WRONG, RECORD, BOOL),
    ],
)
def test_an_operator_takes_some_types_and_gives_one(
    sign: str, left: Type, right: Type, result: Type | None
) -> None:
    found = resolve(OPERATORS[sign], (left, right))
    assert (found.result if found else None) == result


def test_only_operations_on_known_types_are_static() -> None:
    def is_static(sign: str, *types: Type) -> bool:
        found = resolve(OPERATORS[sign], types)
        assert found is not None
        return found.is_static

    assert is_static("==", INT, INT)
    assert not is_static("==", INT, DYN)
    assert not is_static("==", list_of(DYN), list_of(DYN))
    assert not is_static("in", STRING, JSON_OBJECT)
    assert not is_static("==", INT, WRONG)


@pytest.mark.parametrize("table", [OPERATORS, FUNCTIONS, METHODS, {"-": NEGATION}])
def test_what_json_values_share_is_one_function(table: dict[str, tuple[object, ...]]) -> None:
    """Where a JSON value leaves several overloads open, the first one's function is called: it must
    do for all of them."""
    for name, overloads in table.items():
        for count in (1, 2):
            fitting = [
                overload
                for overload in overloads
                if resolve([overload], [DYN] * count) is not None  # type: ignore[list-item]
            ]
            functions = {overload.function for overload in fitting}  # type: ignore[attr-defined]
            assert len(functions) <= 1, name


def test_moments_are_never_json_values() -> None:
    assert resolve(METHODS["getHours"], (DYN,)) is None
    assert resolve(METHODS["getHours"], (TIMESTAMP, DYN)) is not None
    assert resolve(METHODS["getHours"], (DURATION, STRING)) is None
