"""Precedence, positions and limits of the syntax."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.rules.language import (
    DEPTH_MAX,
    ITEMS_MAX,
    NODES_MAX,
    Binary,
    Call,
    Chain,
    Choice,
    Index,
    ListLiteral,
    Literal,
    MapLiteral,
    Member,
    Name,
    Node,
    Unary,
    children,
    parse,
)
from router.core.rules.lexer import SyntaxProblem


def bracketed(node: Node) -> str:
    """The tree with all its brackets."""
    match node:
        case Literal():
            return repr(node.value)
        case Name():
            return node.name
        case Member():
            return f"{bracketed(node.operand)}.{node.name}"
        case Index():
            return f"{bracketed(node.operand)}[{bracketed(node.index)}]"
        case Call():
            target = f"{bracketed(node.target)}." if node.target is not None else ""
            return f"{target}{node.function}({', '.join(map(bracketed, node.arguments))})"
        case Unary():
            return f"({node.sign}{bracketed(node.operand)})"
        case Binary():
            return f"({bracketed(node.left)} {node.sign} {bracketed(node.right)})"
        case Chain():
            return f"({f' {node.sign} '.join(map(bracketed, node.operands))})"
        case Choice():
            parts = map(bracketed, (node.test, node.then, node.otherwise))
            return "({} ? {} : {})".format(*parts)
        case ListLiteral():
            return f"[{', '.join(map(bracketed, node.items))}]"
        case MapLiteral():
            pairs = zip(node.keys, node.values, strict=True)
            return f"{{{', '.join(f'{bracketed(k)}: {bracketed(v)}' for k, v in pairs)}}}"


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a || b && c || d", "(a || (b && c) || d)"),
        ("a && b && c", "(a && b && c)"),
        ("a && (b && c)", "(a && (b && c))"),
        ("!a == b", "((!a) == b)"),
        ("a + b * c - d", "((a + (b * c)) - d)"),
        ("a - b - c", "((a - b) - c)"),
        ("a < b == c in d", "(((a < b) == c) in d)"),
        ("-a.b[0].c(1, x)", "(-a.b[0].c(1, x))"),
        ("-1 - -2", "(-1 - -2)"),
        ("--1", "(-(-1))"),
        ("!!a", "(!(!a))"),
        ("a ? b : c ? d : e", "(a ? b : (c ? d : e))"),
        ("a || b ? c && d : e", "((a || b) ? (c && d) : e)"),
        ("[1, 2,]", "[1, 2]"),
        ('{"a": 1, true: [],}', "{'a': 1, True: []}"),
        ("size(a).b", "size(a).b"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("m.if", "m.if"),
    ],
)
def test_operators_bind_as_in_cel(text: str, tree: str) -> None:
    assert bracketed(parse(text)) == tree


def test_every_node_knows_its_part_of_the_text() -> None:
    text = 'a.b == "x" && (!c || d(1)[e] in [2])'
    found: list[str] = []
    level: list[Node] = [parse(text)]
    while level:
        found += [text[node.span.start : node.span.end] for node in level]
        level = [child for node in level for child in children(node)]
    assert found == [
        text,
        'a.b == "x"',
        "(!c || d(1)[e] in [2])",
        "a.b",
        '"x"',
        "!c",
        "d(1)[e] in [2]",
        "a",
        "c",
        "d(1)[e]",
        "[2]",
        "d(1)",
        "e",
        "2",
        "1",
    ]


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("", 0, "expected a value, got the end"),
        ("a &&", 4, "expected a value, got the end"),
        ("a b", 2, "expected an operator or the end, got 'b'"),
        ("(a", 2, "expected ')' to close '(', got the end"),
        ("f(a, )", 5, "expected a value, got ')'"),
        ("a[1", 3, "expected ']' to close '[', got the end"),
        ("a.", 2, "expected a name after '.', got the end"),
        ("a.in", 2, "expected a name after '.', got 'in'"),
        ("a ? b", 5, "expected ':', got the end"),
        ("a ? b ? c : d : e", 6, "expected ':', got '?'"),
        ("!-a", 1, "expected a value, got '-'"),
        ("while", 0, "'while' is reserved in CEL"),
        ("A{b: 1}", 1, "expected an operator or the end, got '{'"),
        (".a", 0, "expected a value, got '.'"),
        ("9223372036854775808", 0, "expected a number from -9223372036854775808 to"),
        ('{"a" 1}', 5, "expected ':', got '1'"),
    ],
)
def test_what_is_not_understood_is_named_with_its_place(text: str, at: int, message: str) -> None:
    with pytest.raises(SyntaxProblem) as caught:
        parse(text)
    assert message in caught.value.message
    assert caught.value.span.start == at


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(" * 4_000 + "a" + ")" * 4_000, f"at most {DEPTH_MAX} levels"),
        ("(" * 5_000, f"at most {DEPTH_MAX} levels"),
        ("[" * DEPTH_MAX + "1" + "]" * DEPTH_MAX, f"at most {DEPTH_MAX} levels"),
        ("!" * 5_000 + "a", f"at most {DEPTH_MAX} levels"),
        ("-" * 5_000 + "a", f"at most {DEPTH_MAX} levels"),
        ("a" + ".b" * 3_000, f"at most {DEPTH_MAX} levels"),
        ("1" + "+1" * 3_000, f"at most {DEPTH_MAX} levels"),
        ("a" + "?b:c" * 2_000, f"at most {DEPTH_MAX} levels"),
        ("a" + "&&a" * NODES_MAX, f"at most {NODES_MAX} operators and operands"),
        (f"[{'1,' * (ITEMS_MAX + 1)}]", f"at most {ITEMS_MAX} items, got {ITEMS_MAX + 1}"),
        (f"{{{'1:1,' * (ITEMS_MAX + 1)}}}", f"at most {ITEMS_MAX} items, got {ITEMS_MAX + 1}"),
    ],
)
def test_a_limit_is_named(text: str, message: str) -> None:
    with pytest.raises(SyntaxProblem, match=message):
        parse(text)


def test_what_is_just_within_the_limits_is_taken() -> None:
    assert parse("(" * (DEPTH_MAX - 1) + "a" + ")" * (DEPTH_MAX - 1)).span.start == 0
    assert len(children(parse(f"[{'1,' * ITEMS_MAX}]"))) == ITEMS_MAX


@given(st.text(alphabet="ab.()[]{}!-+=<>&|?:,'\"0 1in\\", max_size=40))
def test_any_text_is_understood_or_refused(text: str) -> None:
    at = 0
    try:
        parse(text)
    except SyntaxProblem as refused:
        at = refused.span.start
    assert 0 <= at <= len(text)
