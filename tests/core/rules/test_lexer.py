"""Numbers, texts and escapes by CEL's lexis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.rules.lexer import SOURCE_MAX, STRING_MAX, SyntaxProblem, tokens


def values(text: str) -> list[object]:
    return [token.value for token in tokens(text)[:-1]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("007", 7),
        ("0xFF", 255),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("2.50E-1", 0.25),
        ('"a"', "a"),
        ("'a\"b'", 'a"b'),
        (r'"\a\b\f\n\r\t\v\\\?\"\'\`"', "\a\b\f\n\r\t\v\\?\"'`"),
        (r'"\x41\X42\u00e9\U0001F600\101"', "ABé😀A"),
        (r"r'\d\'", "\\d\\"),
        ('"""a\n"b" c"""', 'a\n"b" c'),
        (r"R'''\n'''", "\\n"),
    ],
)
def test_a_constant_is_read(text: str, value: object) -> None:
    assert values(text) == [value]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_any_text_can_be_written_with_escapes(text: str) -> None:
    written = "".join(f"\\U{ord(character):08x}" for character in text)
    assert values(f'"{written}"') == [text]


def test_every_token_knows_where_it_stands() -> None:
    text = 'a.b >= "x"&&!c'
    spans = [text[token.span.start : token.span.end] for token in tokens(text)]
    assert spans == ["a", ".", "b", ">=", '"x"', "&&", "!", "c", ""]


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("a = b", 2, "expected an operator, got '=': to compare, write '=='"),
        ("a & b", 2, "expected an operator, got '&': write '&&'"),
        ("a and b", 2, "expected an operator, got 'and': write '&&'"),
        ("not a", 0, "expected an operator, got 'not': write '!'"),
        ("a // b", 2, "comments cannot stand in an expression (YAML may fold its lines into one)"),
        ("5u", 0, "unsigned numbers are not known: write it without u"),
        ("90s", 0, "expected a number, got '90s', a duration is written duration(\"90s\")"),
        ("1abc", 0, "expected a number, got '1abc'"),
        ("1e999", 0, "expected a 64-bit floating-point number, got a larger one"),
        ("9" * 50, 0, "expected a 64-bit number, got more digits"),
        ('b"x"', 0, "bytes are not known here"),
        ('"abc', 0, 'expected a closing ", got the end'),
        ('"a\nb"', 0, 'expected a closing " in the same line'),
        (r'"\q"', 1, r"unknown escape '\\q'"),
        (r'"\ud800"', 1, "expected a character's code"),
        (r'"\400"', 1, "unknown escape"),
        ("a § b", 2, "unexpected character '§'"),
        ("“a”", 0, "expected a straight quote"),
        ("a.`b`", 2, "names in backticks are not known"),
        ('"' + "x" * (STRING_MAX + 1) + '"', 0, f"at most {STRING_MAX} characters"),
        ("a" * (SOURCE_MAX + 1), 0, f"expected at most {SOURCE_MAX} characters, got 10001"),
    ],
)
def test_what_is_no_token_is_named_with_its_place(text: str, at: int, message: str) -> None:
    with pytest.raises(SyntaxProblem) as caught:
        tokens(text)
    assert message in caught.value.message
    assert caught.value.span.start == at


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        at = tokens(text)[-1].span.end
    except SyntaxProblem as refused:
        at = refused.span.start
    assert 0 <= at <= len(text)
