"""Compiled code holds nothing that the checker did not see."""

from __future__ import annotations

import dis
from types import FunctionType
from typing import Any

import pytest

from router.core.rules.compile import compile_expression
from router.core.rules.emit import NAMES
from router.core.rules.schema import Schema
from router.core.rules.types import JSON_OBJECT, STRING, TIMESTAMP
from tests.core.rules.world import SCHEMA, Contact, Context


def function(text: str, schema: Schema = SCHEMA) -> FunctionType:
    made = compile_expression(text, schema).evaluate
    assert isinstance(made, FunctionType)
    return made


def test_code_names_only_the_context_and_what_it_was_given() -> None:
    made = function('contact.attributes.n + 1 < 5 && zone.matches("x") && segment in ["loyal"]')
    assert set(made.__globals__) - set(NAMES) - {"FAULTS", "decide", "__builtins__"} == {
        f"k{n}" for n in range(3)
    }
    assert made.__globals__["__builtins__"] == {}


def test_texts_are_constants_whatever_they_say() -> None:
    evil = '__import__("os").system("x")'
    schema = Schema({"a": STRING, "m": JSON_OBJECT})

    class Given:
        a = evil
        m = {evil: 1}

    quoted = evil.replace('"', '\\"')
    made = function(f'a == "{quoted}" && m["{quoted}"] == 1', schema)
    assert made(Given()) is True
    assert "system" not in made.__code__.co_names


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('segment == "loyal" && contact.position + 1 < 5 && zone in ["a", "b"]', set()),
        ('contact.attributes.topic == "billing" && "en" in contact.skills', set()),
        ("has(contact.attributes.n) && !open", set()),
        ("contact.position / 2 == 1", {"divide"}),
        ("contact.attributes.n + 1 == 4", {"add"}),
    ],
)
def test_where_types_are_known_plain_python_is_called(text: str, calls: set[str]) -> None:
    made = function(text)
    bound = [value for name, value in made.__globals__.items() if name.startswith("k")]
    assert {value.__name__ for value in bound if isinstance(value, FunctionType)} == calls


def test_python_takes_true_for_one_and_the_code_does_not() -> None:
    def asked(text: str, value: Any) -> object:
        return function(text)(Context(contact=Contact(attributes={"v": value})))

    assert asked("contact.attributes.v == 1", True) is False
    assert asked("contact.attributes.v == 1", 1.0) is True
    assert asked("contact.attributes.v in [0, 1]", True) is False
    assert asked("contact.attributes.v == true", 1) is False
    assert asked("contact.attributes.v != 0", False) is True
    assert asked("contact.attributes.v == null", None) is True
    assert asked('contact.attributes.v in ["a"]', ["a"]) is False
    assert asked("1 < contact.attributes.v", 1.5) is True


def test_code_is_found_by_its_place_in_a_traceback() -> None:
    made = function("open")
    assert made.__code__.co_filename == "<expression:1>"
    assert [i.opname for i in dis.get_instructions(made)][:1] == ["RESUME"]


def test_a_moment_is_compared_as_a_number() -> None:
    schema = Schema({"a": TIMESTAMP})

    class Given:
        a = -500_000

    assert function('a == timestamp("1969-12-31T23:59:59.5Z")', schema)(Given()) is True
