"""From the text of a condition to a Python function: the way in for whoever reads rules.

The checked expression becomes a Python syntax tree, node by node, and that a code object: an
evaluation costs about what a hand-written lambda costs (`python -m loadtest rules`). Where types
are known the tree holds plain Python operators, elsewhere calls of operations.py. The code stops at
the first operation that has no result; walk.py then decides what the whole is worth.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from types import CodeType, FunctionType

from router.core.rules.checked import (
    Named,
    Node,
    depth_of,
    nodes_in,
    reads_of,
    without_places,
)
from router.core.rules.checker import check
from router.core.rules.emit import NAMES, Emitter
from router.core.rules.language import DEPTH_MAX, NODES_MAX, parse
from router.core.rules.lexer import SyntaxProblem
from router.core.rules.operations import Fault
from router.core.rules.place import (
    EvaluationError,
    ExpressionError,
    Place,
    Span,
    problem,
)
from router.core.rules.reasoning import FALSE, TRUE, outcomes
from router.core.rules.schema import Schema
from router.core.rules.types import BOOL, Type
from router.core.rules.walk import Step, steps_of, value_of

Evaluate = Callable[[object], object]

FAULTS = (Fault, LookupError, TypeError, ValueError, ArithmeticError)
"""What the compiled code may raise where an operation has no result."""


class Expression:
    """A compiled expression; two are equal if they say the same, wherever they stand."""

    __slots__ = ("constant", "evaluate", "place", "reads", "root", "source")

    def __init__(self, source: str, place: Place, root: Node, evaluate: Evaluate) -> None:
        self.source = source
        self.place = place
        self.root = root
        self.reads = reads_of(root)
        """The fields it may read or ask for: ``contact.attributes.topic``."""
        possible = outcomes(root) if root.type == BOOL else TRUE | FALSE
        self.constant = True if possible == TRUE else None if possible & TRUE else False
        """True: true for every context. False: true for none. None: it depends, or no condition."""
        self.evaluate = evaluate
        """The value for a context: an object with the schema's fields as attributes.

        Raises EvaluationError if there is none (see language.py, errors).
        """

    @property
    def type(self) -> Type:
        """Of its value."""
        return self.root.type

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Expression):
            return NotImplemented
        return without_places(self.root) == without_places(other.root)

    def __hash__(self) -> int:
        raise TypeError("an expression is no key: its source may be")

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    def explain(self, context: object) -> Step:
        """What each condition in it comes to for this context; raises nothing."""
        return steps_of(self.root, self.source, context)

    def named(self, name: str) -> Named:
        """This condition under a name, for Schema.with_condition."""
        nodes, depth = nodes_in(self.root), depth_of(self.root)
        return Named(Span(0, 0), name, self.root, self.source, nodes, depth)


def compile_expression(
    text: str, schema: Schema, place: Place | None = None, expects: Type | None = BOOL
) -> Expression:
    """The expression, checked against the schema; `expects` is its type, None takes any.

    `place` says where the text begins. Raises ExpressionError with everything that is wrong.
    """
    place = place or Place()
    try:
        tree = parse(text)
    except SyntaxProblem as found:
        raise ExpressionError([problem(text, place, found.span, found.message)]) from None
    root, wrong = check(tree, schema, expects)
    if not wrong and (nodes_in(root) > NODES_MAX + DEPTH_MAX or depth_of(root) > 2 * DEPTH_MAX):
        limit = f"{NODES_MAX} operators and operands, {DEPTH_MAX} levels"
        wrong.append((root.span, f"expected, with its named conditions, at most {limit}, got more"))
    if wrong:
        raise ExpressionError([problem(text, place, span, message) for span, message in wrong])
    return Expression(text, place, root, _function(root, text, place))


def _function(root: Node, text: str, place: Place) -> Evaluate:
    def decide(context: object) -> object:
        try:
            return value_of(root, context)
        except Fault as fault:
            where = place.name(text, fault.span.start if fault.span is not None else 0)
            raise EvaluationError(fault.reason, where) from None

    emitter = Emitter()
    body = ast.Try(
        body=[ast.Return(emitter.emit(root))],
        handlers=[ast.ExceptHandler(_name("FAULTS"), None, [ast.Return(_call("decide"))])],
        orelse=[],
        finalbody=[],
    )
    parameters = ast.arguments(
        posonlyargs=[], args=[ast.arg("c")], kwonlyargs=[], kw_defaults=[], defaults=[]
    )
    function = ast.FunctionDef("evaluate", parameters, [body], [])
    module = ast.fix_missing_locations(ast.Module([function], []))
    line, _ = place.at(text, 0)
    code = compile(module, f"<{place.file}:{line}>", "exec")
    (inner,) = (part for part in code.co_consts if isinstance(part, CodeType))
    known = {"FAULTS": FAULTS, "decide": decide, **NAMES, **emitter.bound}
    made: Evaluate = FunctionType(inner, {"__builtins__": {}, **known}, "evaluate")
    return made


def _name(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _call(name: str) -> ast.expr:
    return ast.Call(_name(name), [_name("c")], [])
