"""Which types go together, and what they are called."""

from __future__ import annotations

import pytest

from router.core.rules.types import (
    BOOL,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    JSON_OBJECT,
    NULL,
    STRING,
    TIMESTAMP,
    WRONG,
    Field,
    Type,
    holds_dyn,
    is_json,
    list_of,
    map_of,
    meet,
    record_of,
)

RECORD = record_of("queue", {"waiting": INT, "note": Field(STRING, optional=True)})


@pytest.mark.parametrize(
    ("a", "b", "both"),
    [
        (INT, INT, INT),
        (INT, DOUBLE, None),
        (INT, DYN, DYN),
        (NULL, DYN, DYN),
        (NULL, STRING, None),
        (TIMESTAMP, DYN, None),
        (DURATION, INT, None),
        (list_of(INT), list_of(DYN), list_of(DYN)),
        (list_of(INT), DYN, DYN),
        (list_of(TIMESTAMP), DYN, None),
        (list_of(INT), list_of(STRING), None),
        (map_of(STRING, INT), JSON_OBJECT, JSON_OBJECT),
        (map_of(STRING, INT), map_of(INT, INT), None),
        (list_of(INT), map_of(INT, INT), None),
        (RECORD, RECORD, RECORD),
        (RECORD, DYN, None),
        (WRONG, INT, INT),
    ],
)
def test_two_types_go_together_or_not_whichever_comes_first(
    a: Type, b: Type, both: Type | None
) -> None:
    assert meet(a, b) == both
    assert meet(b, a) == both


def test_types_are_called_as_in_cel() -> None:
    assert str(map_of(STRING, list_of(DYN))) == "map(string, list(dyn))"
    assert str(RECORD) == "queue"
    assert str(BOOL) == "bool"


def test_a_bare_type_is_a_field_that_is_always_known() -> None:
    assert RECORD.fields["waiting"] == Field(INT)
    assert RECORD.fields["note"].optional


def test_what_json_can_hold() -> None:
    assert is_json(JSON_OBJECT)
    assert not is_json(list_of(TIMESTAMP))
    assert not is_json(RECORD)
    assert holds_dyn(list_of(JSON_OBJECT))
    assert not holds_dyn(map_of(STRING, INT))
