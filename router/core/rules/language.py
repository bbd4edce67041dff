"""The language of rules: text to a syntax tree with positions.

A typed subset of CEL (https://github.com/google/cel-spec, language definition) with CEL's
meaning: literals (64-bit int, double, string, bool, null), `duration("90s")`,
`timestamp("2026-03-29T01:00:00Z")`, fields, `==` `!=` `<` `<=` `>` `>=`, `&&` `||` `!`, `in`, `?:`,
`+ - * / %`, `has()`, `size()`, `startsWith` `endsWith` `contains` `matches`, `int()` `double()`,
`getFullYear` to `getMilliseconds` with an optional zone, `[..]`, lists and maps of constants.

**Errors** follow CEL: a key that is not there, an overflow, a division by zero, an operand of the
wrong type have no value, and neither has what is made of them; but `false && error`, `error &&
false`, `true || error` and `error || true` have one, in either order. A rule whose condition has no
value does not match, and its verdict carries the reason.

**Cost** is bounded by construction: there are no loops, each node is evaluated at most once, and a
node's cost is linear in its operands. The limits: SOURCE_MAX characters, DEPTH_MAX levels,
NODES_MAX nodes (named conditions counted where they are used), ITEMS_MAX items in a list or map,
STRING_MAX characters in a constant text, PATTERN_MAX in a pattern. Patterns run on RE2: linear in
the text, whatever the pattern, where Python's `re` may take exponential time.

**Deviations from CEL**, stricter at load:

- no uint, bytes, messages, types as values, comprehensions (`all`, `exists`, `map`, ...), comments
  (YAML may fold the lines behind them into them), names in backticks, `.name`, bool(), string();
- the items of a list have one type, keys and values of a map too, and all are constants;
- a pattern is a constant; a part that can have no value (`1 / 0`, `duration("x")`, an unknown zone)
  is an error at load, and so is a floating-point literal too large for 64 bits;
- a moment or a length meets a JSON value only through timestamp() or duration(), and never null;
- a text that a field is known never to have (a misspelled segment) cannot be compared with it.

Different in value or type:

- timestamps and durations have microseconds, where CEL has nanoseconds;
- a record's field that may be unknown is read, and asked for with has(), like a key of a map;
- int() and double() read no blanks, infinities or NaN;
- whole numbers in JSON may be larger than 64 bits, results of arithmetic may not;
- values nested deeper than 64 levels are not compared: that is an error;
- an item of a JSON value is a JSON value (CEL's checker may infer more from what is done with it);
- `!!x` and `--x` are two operations (CEL's parser drops both, whatever `x` is).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from router.core.rules.lexer import INT_MAX, INT_MIN, RESERVED, SyntaxProblem, Token, tokens
from router.core.rules.place import Span
from router.core.rules.types import BOOL, DOUBLE, INT, NULL, STRING, Type

DEPTH_MAX = 32
NODES_MAX = 1_000
ITEMS_MAX = 500

Value = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Literal:
    """``5``, ``"x"``, ``true``, ``null``."""

    span: Span
    type: Type
    value: Value


@dataclass(frozen=True, slots=True)
class Name:
    """``segment``."""

    span: Span
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """``operand.name``."""

    span: Span
    operand: Node
    name: str
    name_span: Span


@dataclass(frozen=True, slots=True)
class Index:
    """``operand[index]``."""

    span: Span
    operand: Node
    index: Node


@dataclass(frozen=True, slots=True)
class Call:
    """``function(arguments)`` or ``target.function(arguments)``."""

    span: Span
    function: str
    name_span: Span
    target: Node | None
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """``!operand`` or ``-operand``."""

    span: Span
    sign: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic, comparison, ``in``."""

    span: Span
    sign: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Chain:
    """``a && b && c``, or with ``||``."""

    span: Span
    sign: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """``test ? then : otherwise``."""

    span: Span
    test: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class ListLiteral:
    """``[a, b]``."""

    span: Span
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapLiteral:
    """``{"a": 1}``."""

    span: Span
    keys: tuple[Node, ...]
    values: tuple[Node, ...]


Node = (
    Literal
    | Name
    | Member
    | Index
    | Call
    | Unary
    | Binary
    | Chain
    | Choice
    | ListLiteral
    | MapLiteral
)


def parse(text: str) -> Node:
    """The syntax tree of one expression. Raises SyntaxProblem at the first thing not understood."""
    parser = _Parser(tokens(text))
    node = parser.expression()
    token = parser.next
    if token.kind != "end":
        raise SyntaxProblem(token.span, f"expected an operator or the end, got {shown(token)}")
    _measure(node)
    return node


def shown(token: Token) -> str:
    """A token as messages quote it."""
    if token.kind == "end":
        return "the end"
    return repr(token.value)[:60] if token.kind == "string" else repr(str(token.value)[:60])


def children(node: Node) -> Sequence[Node]:
    """The nodes right under this one."""
    match node:
        case Member(operand=operand) | Unary(operand=operand):
            return (operand,)
        case Index():
            return (node.operand, node.index)
        case Call():
            return node.arguments if node.target is None else (node.target, *node.arguments)
        case Binary():
            return (node.left, node.right)
        case Chain():
            return node.operands
        case Choice():
            return (node.test, node.then, node.otherwise)
        case ListLiteral():
            return node.items
        case MapLiteral():
            return (*node.keys, *node.values)
        case Literal() | Name():
            return ()


def _measure(root: Node) -> None:
    """Holds the limits that recursion over the tree relies on."""
    level: list[Node] = [root]
    nodes = depth = 0
    while level:
        nodes += len(level)
        depth += 1
        if depth > DEPTH_MAX:
            raise SyntaxProblem(level[0].span, _TOO_DEEP)
        if nodes > NODES_MAX:
            raise SyntaxProblem(
                root.span, f"expected at most {NODES_MAX} operators and operands, got more"
            )
        level = [child for node in level for child in children(node)]


_TOO_DEEP = f"expected at most {DEPTH_MAX} levels, got more"
_POWERS = {"||": 1, "&&": 2, "+": 4, "-": 4, "*": 5, "/": 5, "%": 5} | dict.fromkeys(
    ("==", "!=", "<", "<=", ">", ">=", "in"), 3
)
"""How strongly an operator binds; all are left-associative."""


class _Parser:
    """A Pratt parser: an operand, then operators as long as they bind strongly enough."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0

    @property
    def next(self) -> Token:
        """The token that has not been taken yet."""
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _took(self, kind: str) -> bool:
        if self.next.kind == kind:
            self._at += 1
            return True
        return False

    def _expect(self, kind: str, opening: Token | None = None) -> Token:
        token = self.next
        if token.kind != kind:
            closes = f" to close {opening.kind!r}" if opening is not None else ""
            message = f"expected {kind!r}{closes}, got {shown(token)}"
            raise SyntaxProblem(token.span, message)
        return self._take()

    def expression(self) -> Node:
        """A choice, or anything that binds more strongly."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise SyntaxProblem(self.next.span, _TOO_DEEP)
        node = self._binary(1)
        if self._took("?"):
            then = self._binary(1)
            self._expect(":")
            otherwise = self.expression()
            node = Choice(_over(node, otherwise), node, then, otherwise)
        self._depth -= 1
        return node

    def _binary(self, least: int) -> Node:
        left = self._unary()
        chain = ""
        while (power := _POWERS.get(self.next.kind, 0)) >= least:
            sign = self._take().kind
            right = self._binary(power + 1)
            span = _over(left, right)
            if sign not in ("&&", "||"):
                left = Binary(span, sign, left, right)
            elif chain == sign and isinstance(left, Chain):
                left = Chain(span, sign, (*left.operands, right))
            else:
                left = Chain(span, sign, (left, right))
            chain = sign
        return left

    def _unary(self) -> Node:
        signs: list[Token] = []
        first = self.next
        while first.kind in ("!", "-") and self.next.kind == first.kind:
            signs.append(self._take())
        if len(signs) == 1 and first.kind == "-" and self.next.kind in ("int", "double"):
            number = self._take()
            node = self._members(_number(number, Span(first.span.start, number.span.end), -1))
        else:
            node = self._members(self._primary())
            for sign in reversed(signs):
                node = Unary(Span(sign.span.start, node.span.end), sign.kind, node)
        return node

    def _members(self, node: Node) -> Node:
        while True:
            opening = self.next
            if self._took("."):
                name = self.next
                if name.kind != "name":
                    message = f"expected a name after '.', got {shown(name)}"
                    raise SyntaxProblem(name.span, message)
                self._at += 1
                word = str(name.value)
                if self.next.kind == "(":
                    arguments, end = self._arguments()
                    span = Span(node.span.start, end)
                    node = Call(span, word, name.span, node, arguments)
                else:
                    span = Span(node.span.start, name.span.end)
                    node = Member(span, node, word, name.span)
            elif self._took("["):
                index = self.expression()
                end = self._expect("]", opening).span.end
                node = Index(Span(node.span.start, end), node, index)
            else:
                return node

    def _arguments(self) -> tuple[tuple[Node, ...], int]:
        """From "(" to ")"; and where that ends."""
        opening = self._take()
        found: list[Node] = []
        if self.next.kind != ")":
            found.append(self.expression())
            while self._took(","):
                found.append(self.expression())
        return tuple(found), self._expect(")", opening).span.end

    def _primary(self) -> Node:
        token = self._take()
        match token.kind:
            case "int" | "double":
                return _number(token, token.span, 1)
            case "string":
                return Literal(token.span, STRING, token.value)
            case "true" | "false":
                return Literal(token.span, BOOL, token.kind == "true")
            case "null":
                return Literal(token.span, NULL, None)
            case "name":
                return self._name(token)
            case "(":
                inner = self.expression()
                end = self._expect(")", token).span.end
                return replace(inner, span=Span(token.span.start, end))
            case "[":
                return self._list(token)
            case "{":
                return self._map(token)
            case _:
                raise SyntaxProblem(token.span, f"expected a value, got {shown(token)}")

    def _name(self, token: Token) -> Node:
        word = str(token.value)
        if word in RESERVED:
            raise SyntaxProblem(token.span, f"{word!r} is reserved in CEL and cannot be a name")
        if self.next.kind != "(":
            return Name(token.span, word)
        arguments, end = self._arguments()
        return Call(Span(token.span.start, end), word, token.span, None, arguments)

    def _list(self, opening: Token) -> Node:
        items: list[Node] = []
        while self.next.kind != "]":
            items.append(self.expression())
            if not self._took(","):
                break
        span = Span(opening.span.start, self._expect("]", opening).span.end)
        _count(items, span)
        return ListLiteral(span, tuple(items))

    def _map(self, opening: Token) -> Node:
        keys: list[Node] = []
        values: list[Node] = []
        while self.next.kind != "}":
            keys.append(self.expression())
            self._expect(":")
            values.append(self.expression())
            if not self._took(","):
                break
        span = Span(opening.span.start, self._expect("}", opening).span.end)
        _count(keys, span)
        return MapLiteral(span, tuple(keys), tuple(values))


def _over(first: Node, last: Node) -> Span:
    return Span(first.span.start, last.span.end)


def _count(items: Sequence[Node], span: Span) -> None:
    if len(items) > ITEMS_MAX:
        raise SyntaxProblem(span, f"expected at most {ITEMS_MAX} items, got {len(items)}")


def _number(token: Token, span: Span, sign: int) -> Literal:
    assert isinstance(token.value, int | float)
    value = sign * token.value
    if isinstance(value, float):
        return Literal(span, DOUBLE, value)
    if not INT_MIN <= value <= INT_MAX:
        raise SyntaxProblem(span, f"expected a number from {INT_MIN} to {INT_MAX}, got {value}")
    return Literal(span, INT, value)
