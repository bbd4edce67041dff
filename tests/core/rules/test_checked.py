"""Checked expressions: what they read, how large they are, when two say the same."""

from __future__ import annotations

import pytest

from router.core.rules.checked import depth_of, nodes_in, path_of, reads_of, without_places
from router.core.rules.compile import compile_expression
from tests.core.rules.world import SCHEMA


def root(text: str):  # type: ignore[no-untyped-def]
    return compile_expression(text, SCHEMA, expects=None).root


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("segment", "segment"),
        ("contact.attributes.a.b", "contact.attributes.a.b"),
        ('contact.attributes["a"].b', "contact.attributes.a.b"),
        ("contact.levels[0]", None),
        ("segment == zone", None),
        ('{"a": {"b": 1}}[zone].b', None),
    ],
)
def test_a_path_is_a_chain_of_names(text: str, path: str | None) -> None:
    assert path_of(root(text)) == path


def test_reads_are_in_the_order_of_the_text_each_once() -> None:
    text = "open && (zone == segment || !open) ? contact.position : size(contact.tags)"
    assert reads_of(root(text)) == ("open", "zone", "segment", "contact.position", "contact.tags")


def test_a_named_condition_counts_with_what_it_holds() -> None:
    inner = compile_expression("open && segment == zone", SCHEMA)
    schema = SCHEMA.with_condition("fine", inner.named("fine"))
    used = compile_expression("fine || open", schema).root
    assert nodes_in(inner.root) == 5
    assert nodes_in(used) == 1 + (1 + 5) + 1
    assert depth_of(used) == 1 + 1 + depth_of(inner.root)
    assert without_places(used) == without_places(root("(open && segment == zone) || open"))


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("open  &&\n !open", "open && !(open)", True),
        ("contact.attributes.a == 1", 'contact.attributes["a"] == 1', True),
        ("contact.attributes.a == 1", "contact.attributes.a == 1.0", False),
        ("contact.attributes.a == 1", "contact.attributes.a == true", False),
        ("contact.position - 1", "1 - contact.position", False),
        ("has(preference.channel)", 'preference.channel == ""', False),
        ("open ? 1 : 2", "open ? 2 : 1", False),
        ("open && open", "open || open", False),
    ],
)
def test_two_expressions_say_the_same_or_not(one: str, other: str, is_same: bool) -> None:
    assert (without_places(root(one)) == without_places(root(other))) == is_same
