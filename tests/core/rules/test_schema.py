"""Named conditions: used by name, compiled in place."""

from __future__ import annotations

import pytest

from router.core.rules.compile import compile_expression
from router.core.rules.place import EvaluationError, ExpressionError
from router.core.rules.schema import Schema
from tests.core.rules.world import SCHEMA, Contact, Context


def with_conditions(**conditions: str) -> Schema:
    schema = SCHEMA
    for name, text in conditions.items():
        schema = schema.with_condition(name, compile_expression(text, schema).named(name))
    return schema


def test_a_named_condition_is_used_by_its_name() -> None:
    schema = with_conditions(valued='segment in ["loyal"]', urgent="valued && contact.position > 2")
    expression = compile_expression("urgent || !open", schema)
    assert expression.evaluate(Context()) is True
    assert expression.evaluate(Context(segment="passive")) is False
    assert expression.reads == ("segment", "contact.position", "open")


def test_a_condition_without_a_value_names_itself_where_it_is_used() -> None:
    schema = with_conditions(paid="contact.attributes.paid == true", fine="paid && open")
    expression = compile_expression("  fine", schema)
    with pytest.raises(EvaluationError) as caught:
        expression.evaluate(Context())
    assert str(caught.value) == "expression:1:3: in fine: in paid: no such key: 'paid'"
    assert expression.evaluate(Context(open=False)) is False


def test_an_explanation_shows_a_named_condition_as_its_own_step() -> None:
    schema = with_conditions(waiting_long="contact.position > 2")
    context = Context(contact=Contact(position=9))
    assert list(compile_expression("open && waiting_long", schema).explain(context).lines()) == [
        "open && waiting_long -> true",
        "  open -> true",
        "  waiting_long -> true",
        "    contact.position > 2 -> true (contact.position = 9)",
    ]


def test_a_misspelled_condition_is_suggested() -> None:
    with pytest.raises(ExpressionError, match="unknown name 'urgnt', did you mean 'urgent'"):
        compile_expression("urgnt", with_conditions(urgent="open"))


def test_a_name_is_given_once() -> None:
    schema = with_conditions(urgent="open")
    condition = compile_expression("open", SCHEMA).named("segment")
    for name in ("urgent", "segment"):
        with pytest.raises(ValueError, match=f"the name '{name}' is taken"):
            schema.with_condition(name, condition)


def test_a_wider_schema_leaves_the_first_as_it_was() -> None:
    wider = with_conditions(urgent="open")
    assert "urgent" in wider.names()
    assert "urgent" not in SCHEMA.names()
