"""Named conditions of a file: in any order, never in a circle, each error once."""

from __future__ import annotations

import pytest

from router.core.rules.compile import compile_expression
from router.core.rules.conditions import compile_conditions
from router.core.rules.place import ExpressionError, Place, Problem
from router.core.rules.schema import Schema
from tests.core.rules.books import SCHEMA, context


def compiled(**texts: str) -> tuple[Schema, list[str], list[Problem]]:
    placed = {
        name: (text, Place("r.yaml", number, 5))
        for number, (name, text) in enumerate(texts.items(), 1)
    }
    schema, made, problems = compile_conditions(placed, SCHEMA)
    return schema, list(made), problems


def test_conditions_may_use_each_other_whatever_their_order() -> None:
    schema, made, problems = compiled(
        urgent="valued && waiting", waiting="contact.hops < 3", valued="!waiting || queue.open"
    )
    assert problems == []
    assert made == ["urgent", "waiting", "valued"]
    assert compile_expression("urgent", schema).evaluate(context()) is True


def test_a_circle_is_named_once_with_its_way() -> None:
    schema, made, problems = compiled(
        a="queue.open && b", b="c || queue.open", c="a", d="a && queue.open", e="e"
    )
    assert [(p.line, p.column, p.message) for p in problems] == [
        (3, 5, "goes round in a circle: a -> b -> c -> a"),
        (5, 5, "goes round in a circle: e -> e"),
    ]
    assert list(schema.conditions) == ["c", "b", "a", "d", "e"]
    assert "d" in made


def test_a_wrong_condition_is_reported_once_and_its_users_are_checked_for_the_rest() -> None:
    schema, made, problems = compiled(bad="segmnt == 1", worse="(", user="bad && contct.hops > 1")
    assert [(p.line, p.message.partition(",")[0]) for p in problems] == [
        (1, "unknown name 'segmnt'"),
        (2, "expected a value"),
        (3, "unknown name 'contct'"),
    ]
    assert made == []
    with pytest.raises(ExpressionError) as caught:
        compile_expression("bad || queue.opn", schema)
    (found,) = caught.value.problems
    assert found.message == "queue has no field 'opn', did you mean 'open'?"


def test_a_name_of_the_schema_is_taken() -> None:
    _, _, (found,) = compiled(queue="contact.hops > 1")
    assert found.message == "the name 'queue' is taken"


def test_a_long_chain_of_conditions_is_no_trouble_until_its_limit() -> None:
    chain = {f"c{n}": f"c{n + 1} && queue.open" for n in range(200)}
    _, made, problems = compiled(**chain, c200="queue.open")
    assert problems
    assert len(made) + len(problems) == 201
    assert problems[0].message.startswith("expected, with its named conditions, at most 1000")


def test_what_is_being_decided_cannot_be_read() -> None:
    schema, _, problems = compiled(loyal='segment == "loyal"', fine="queue.open")
    assert problems == []
    hidden = schema.hiding("segment", "it is what is decided here")
    found = []
    for text in ('segment == "x"', "loyal", "fine"):
        try:
            compile_expression(text, hidden)
        except ExpressionError as error:
            found += [p.message for p in error.problems]
    assert found == [
        "'segment' cannot be read here: it is what is decided here",
        "'loyal' reads 'segment', which cannot be read here: it is what is decided here",
    ]
