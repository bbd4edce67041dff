"""Checked expressions to Python syntax trees.

Plain Python stands for an operation only where it gives the same result or raises: the rest are
calls of the operation itself. Nothing of an expression's text gets into the tree but constants and
names of the schema.
"""

from __future__ import annotations

import ast
from typing import NoReturn

from router.core.rules.checked import (
    Apply,
    Conditional,
    Constant,
    Has,
    Key,
    Logic,
    Named,
    Node,
    Not,
    Read,
)
from router.core.rules.lexer import INT_MAX, INT_MIN
from router.core.rules.operations import Fault, has_member
from router.core.rules.types import (
    BOOL,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    PATTERN,
    STRING,
    TIMESTAMP,
)


def absent() -> NoReturn:
    """No result here; walk.py finds out why."""
    raise Fault("no value")


SCALARS = (BOOL, INT, DOUBLE, STRING, TIMESTAMP, DURATION)
_COMPARED: dict[str, type[ast.cmpop]] = {
    "==": ast.Eq,
    "!=": ast.NotEq,
    "<": ast.Lt,
    "<=": ast.LtE,
    ">": ast.Gt,
    ">=": ast.GtE,
}
_CALCULATED: dict[str, type[ast.operator]] = {"+": ast.Add, "-": ast.Sub, "*": ast.Mult}
_SEARCHES = ("startsWith", "endsWith", "contains", "matches")


NAMES: dict[str, object] = {
    "absent": absent,
    "len": len,
    "int": int,
    "float": float,
    "str": str,
}
"""What the trees name besides constants and the context."""


class Emitter:
    """Makes one tree; `bound` are the objects that it names."""

    def __init__(self) -> None:
        self.bound: dict[str, object] = {}
        self._temporaries = 0

    def emit(self, node: Node) -> ast.expr:
        """The Python expression; the context is ``c``."""
        match node:
            case Constant():
                return self._constant(node.value)
            case Read():
                return self._read(node)
            case Key():
                return ast.Subscript(self.emit(node.base), ast.Constant(node.name), ast.Load())
            case Has():
                return self._has(node)
            case Apply():
                return self._apply(node)
            case Logic():
                sign = ast.Or() if node.decides else ast.And()
                return ast.BoolOp(sign, [self.emit(operand) for operand in node.operands])
            case Not():
                return ast.UnaryOp(ast.Not(), self.emit(node.operand))
            case Conditional():
                parts = (node.test, node.then, node.otherwise)
                return ast.IfExp(*(self.emit(part) for part in parts))
            case Named():
                return self.emit(node.body)

    def _bind(self, value: object) -> ast.expr:
        name = f"k{len(self.bound)}"
        self.bound[name] = value
        return ast.Name(name, ast.Load())

    def _constant(self, value: object) -> ast.expr:
        if value is None or isinstance(value, bool | int | float | str):
            return ast.Constant(value)
        return self._bind(value)

    def _temporary(self, value: ast.expr) -> tuple[ast.expr, ast.expr]:
        """The value, kept under a name, and the name."""
        name = f"t{self._temporaries}"
        self._temporaries += 1
        return ast.NamedExpr(ast.Name(name, ast.Store()), value), ast.Name(name, ast.Load())

    # --- reading --------------------------------------------------------------------------------

    def _base(self, base: Node | None) -> ast.expr:
        return ast.Name("c", ast.Load()) if base is None else self.emit(base)

    def _read(self, node: Read) -> ast.expr:
        value: ast.expr = ast.Attribute(self._base(node.base), node.name, ast.Load())
        if not node.field.optional:
            return value
        kept, name = self._temporary(value)
        return ast.IfExp(_compare(kept, ast.IsNot(), ast.Constant(None)), name, _absent())

    def _has(self, node: Has) -> ast.expr:
        if node.field is None:
            assert node.base is not None
            base = self.emit(node.base)
            if node.base.type == DYN:
                return ast.Call(self._bind(has_member), [base, ast.Constant(node.name)], [])
            return _compare(ast.Constant(node.name), ast.In(), base)
        value = self._base(node.base)
        if node.field.optional:
            value = ast.Attribute(value, node.name, ast.Load())
        return _compare(value, ast.IsNot(), ast.Constant(None))

    # --- operations -----------------------------------------------------------------------------

    def _apply(self, node: Apply) -> ast.expr:
        plain: ast.expr | None
        if node.sign in _COMPARED:
            plain = self._comparison(node)
        elif node.sign == "in":
            plain = self._membership(node)
        elif node.sign == "":
            kept, name = self._temporary(self.emit(node.arguments[0]))
            is_truth = ast.BoolOp(
                ast.Or(),
                [_compare(kept, ast.Is(), _TRUE), _compare(name, ast.Is(), ast.Constant(False))],
            )
            plain = ast.IfExp(is_truth, name, _absent())
        elif node.is_static:
            plain = self._static(node)
        elif node.sign in _SEARCHES and node.arguments[1].type in (STRING, PATTERN):
            # A JSON value that should be a text.
            kept, name = self._temporary(self.emit(node.arguments[0]))
            part = self.emit(node.arguments[1])
            is_text = _compare(ast.Attribute(kept, "__class__", ast.Load()), ast.Is(), _STR)
            plain = ast.IfExp(is_text, _searched(node.sign, name, part), _absent())
        else:
            plain = None
        if plain is not None:
            return plain
        arguments = [self.emit(argument) for argument in node.arguments]
        return ast.Call(self._bind(node.function), arguments, [])

    def _comparison(self, node: Apply) -> ast.expr | None:
        left, right = node.arguments
        sign = _COMPARED[node.sign]()
        if node.is_static:
            if left.type not in SCALARS:
                return None
            return _compare(self.emit(left), sign, self.emit(right))
        constant = next((a for a in node.arguments if isinstance(a, Constant)), None)
        if constant is None:
            return None
        equality = node.sign in ("==", "!=")
        if equality and constant.value is None:
            sign = ast.Is() if node.sign == "==" else ast.IsNot()
            return _compare(self.emit(left), sign, self.emit(right))
        if equality and constant.type == STRING:
            return _compare(self.emit(left), sign, self.emit(right))
        if constant.type in (INT, DOUBLE, STRING):
            return self._guarded(node, sign)
        return None

    def _guarded(self, node: Apply, sign: ast.cmpop) -> ast.expr:
        """A JSON value and a constant: plain Python if the value has the constant's type.

        The class is asked for: to Python, true is a number.
        """
        left, right = node.arguments
        flipped = isinstance(left, Constant)
        constant, other = (left, right) if flipped else (right, left)
        kept, name = self._temporary(self.emit(other))
        classes = ["str"] if constant.type == STRING else ["int", "float"]
        value: ast.expr = kept
        tests: list[ast.expr] = []
        for known in classes:
            of = ast.Attribute(value, "__class__", ast.Load())
            tests.append(_compare(of, ast.Is(), ast.Name(known, ast.Load())))
            value = name
        pair = [self.emit(constant), name] if flipped else [name, self.emit(constant)]
        return ast.IfExp(
            tests[0] if len(tests) == 1 else ast.BoolOp(ast.Or(), tests),
            _compare(pair[0], sign, pair[1]),
            ast.Call(self._bind(node.function), pair, []),
        )

    def _membership(self, node: Apply) -> ast.expr | None:
        item, group = node.arguments
        if group.type.name not in ("list", "map"):
            return None
        held = group.type.items[0]
        if isinstance(group, Constant) and group.type.name == "list":
            # A JSON value may be true where 1 is meant, or a list, which no set takes: TypeError.
            if held in SCALARS and (item.type == held or held == STRING):
                assert isinstance(group.value, tuple)
                return _compare(self.emit(item), ast.In(), self._bind(frozenset(group.value)))
            return None
        if item.type == held and held in (INT, STRING):
            return _compare(self.emit(item), ast.In(), self.emit(group))
        return None

    def _static(self, node: Apply) -> ast.expr | None:
        first = node.arguments[0]
        match node.sign:
            case "+" | "-" | "*" if len(node.arguments) == 2:
                return self._arithmetic(node)
            case "size":
                return ast.Call(ast.Name("len", ast.Load()), [self.emit(first)], [])
            case "startsWith" | "endsWith" | "contains" | "matches":
                return _searched(node.sign, self.emit(first), self.emit(node.arguments[1]))
            case "[]" if first.type.name == "map" and first.type.items[0] == STRING:
                return ast.Subscript(self.emit(first), self.emit(node.arguments[1]), ast.Load())
            case _:
                return None

    def _arithmetic(self, node: Apply) -> ast.expr | None:
        left, right = node.arguments
        if left.type != right.type or left.type not in (INT, DOUBLE, STRING):
            return None
        value = ast.BinOp(self.emit(left), _CALCULATED[node.sign](), self.emit(right))
        if left.type != INT:
            return value
        kept, name = self._temporary(value)
        fits = ast.Compare(
            ast.Constant(INT_MIN), [ast.LtE(), ast.LtE()], [kept, ast.Constant(INT_MAX)]
        )
        return ast.IfExp(fits, name, _absent())


_TRUE = ast.Constant(True)
_STR = ast.Name("str", ast.Load())


def _searched(sign: str, text: ast.expr, part: ast.expr) -> ast.expr:
    """Whether the text has the part, or matches the pattern."""
    if sign == "contains":
        return _compare(part, ast.In(), text)
    if sign == "matches":
        found = ast.Call(ast.Attribute(part, "search", ast.Load()), [text], [])
        return _compare(found, ast.IsNot(), ast.Constant(None))
    return ast.Call(ast.Attribute(text, sign.lower(), ast.Load()), [part], [])


def _compare(left: ast.expr, sign: ast.cmpop, right: ast.expr) -> ast.expr:
    return ast.Compare(left, [sign], [right])


def _absent() -> ast.expr:
    return ast.Call(ast.Name("absent", ast.Load()), [], [])
