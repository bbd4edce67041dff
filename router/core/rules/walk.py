"""Evaluates a checked expression step by step: says why, and decides where something failed.

Compiled code (compile.py) is quick and stops at the first operation without a result. This walk
then finds what CEL says of such an expression: `false && error` is false in either order. The same
walk explains: each condition with its value, its error, or that it was not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite

import msgspec

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
    path_of,
)
from router.core.rules.moments import rfc3339, seconds
from router.core.rules.operations import Fault, has_member, member, truth
from router.core.rules.types import DURATION, TIMESTAMP, Record, Type

SHOWN_MAX = 80
"""Characters of a value that a step shows."""


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one condition within an expression."""

    text: str
    """As written."""
    outcome: str
    """``value``, ``error`` or ``skipped`` (nothing depended on it any more)."""
    value: object = None
    came: str = ""
    """The value as the language writes it, or why there is none."""
    reads: tuple[tuple[str, str], ...] = ()
    """The fields that were read, and what they held; only of a condition without parts."""
    parts: tuple[Step, ...] = ()
    """The conditions it is made of."""

    def lines(self, indent: int = 0) -> Iterator[str]:
        """One line for each condition, its parts under it."""
        came = {"error": f"error: {self.came}", "skipped": "not looked at"}
        seen = ", ".join(f"{path} = {value}" for path, value in self.reads if path != self.text)
        told = came.get(self.outcome, self.came)
        yield f"{'  ' * indent}{self.text} -> {told}{f' ({seen})' if seen else ''}"
        for part in self.parts:
            yield from part.lines(indent + 1)


def shown(value: object, type_: Type) -> str:
    """A value as the language writes it, cut to a readable length."""
    if type_ == TIMESTAMP and isinstance(value, int):
        text = f'timestamp("{rfc3339(value)}")'
    elif type_ == DURATION and isinstance(value, int):
        text = f'duration("{seconds(value)}")'
    else:
        text = json_text(value)
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 3] + "..."


def json_text(value: object) -> str:
    """JSON, whose scalars are those of the language."""
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, msgspec.EncodeError):
        return str(value)  # an object that the context put where a value belongs


def value_of(node: Node, context: object) -> object:
    """The value. Raises Fault, with its place, if there is none."""
    return _Walk(context).value(node)


def steps_of(node: Node, text: str, context: object) -> Step:
    """What became of the expression and of each condition in it; never raises Fault."""
    walk = _Walk(context, text)
    with suppress(Fault):  # it is the step's outcome
        walk.visit(node)
    return walk.taken[0]


class _Walk:
    """One evaluation; `text` is given if the steps are to be noted."""

    def __init__(self, context: object, text: str | None = None) -> None:
        self._context = context
        self._text = text
        self._fields: dict[str, str] = {}
        self.taken: list[Step] = []

    # --- steps ----------------------------------------------------------------------------------

    def visit(self, node: Node) -> object:
        """The value of a condition, which is noted as a step of its own."""
        if self._text is None:
            return self.value(node)
        text = self._text[node.span.start : node.span.end]
        around, outer = self.taken, self._fields
        self.taken, self._fields = [], {}
        value, failed = None, None
        try:
            value = self.value(node)
        except Fault as fault:
            failed = fault
        reads = tuple(self._fields.items()) if not self.taken else ()
        if failed is not None:
            step = Step(text, "error", None, failed.reason, reads, tuple(self.taken))
        else:
            came = shown(value, node.type)
            step = Step(text, "value", value, came, reads, tuple(self.taken))
        self.taken, self._fields = around, outer
        self.taken.append(step)
        if failed is not None:
            raise failed
        return value

    def _skip(self, *nodes: Node) -> None:
        if self._text is not None:
            for node in nodes:
                self.taken.append(Step(self._text[node.span.start : node.span.end], "skipped"))

    # --- values ---------------------------------------------------------------------------------

    def value(self, node: Node) -> object:
        """The value. Raises Fault, with its place."""
        try:
            match node:
                case Constant():
                    return node.value
                case Read():
                    return self._read(node)
                case Key():
                    return self._noted(node, member(self.value(node.base), node.name))
                case Has():
                    return self._has(node)
                case Apply():
                    return node.function(*[self.value(a) for a in node.arguments])
                case Logic():
                    return self._logic(node)
                case Not():
                    return not truth(self.visit(node.operand))
                case Conditional():
                    return self._conditional(node)
                case Named():
                    return self._named(node)
        except Fault as fault:
            if fault.span is None:
                fault.span = node.span
            raise

    def _noted(self, node: Node, value: object) -> object:
        path = path_of(node)
        if self._text is not None and path is not None:
            if isinstance(node, Key):
                self._fields.pop(path_of(node.base) or "", None)  # only this of it counts
            self._fields[path] = shown(value, node.type)
        return value

    def _read(self, node: Read) -> object:
        base = self._context if node.base is None else self.value(node.base)
        value: object = getattr(base, node.name)
        if value is None and node.field.optional:
            path = path_of(node) or node.name
            raise Fault(f"{path} is not known (ask has({path}) first)")
        return value if isinstance(node.type, Record) else self._noted(node, value)

    def _has(self, node: Has) -> bool:
        if node.field is None:
            assert node.base is not None
            return has_member(self.value(node.base), node.name)
        base = self._context if node.base is None else self.value(node.base)
        return not node.field.optional or getattr(base, node.name) is not None

    def _logic(self, node: Logic) -> bool:
        failed: Fault | None = None
        for place, operand in enumerate(node.operands):
            try:
                if truth(self.visit(operand)) is node.decides:
                    self._skip(*node.operands[place + 1 :])
                    return node.decides
            except Fault as fault:
                failed = failed or fault
        if failed is not None:
            raise failed
        return not node.decides

    def _conditional(self, node: Conditional) -> object:
        if truth(self.visit(node.test)):
            value = self.visit(node.then)
            self._skip(node.otherwise)
        else:
            self._skip(node.then)
            value = self.visit(node.otherwise)
        return value

    def _named(self, node: Named) -> object:
        outer, self._text = self._text, node.text if self._text is not None else None
        try:
            return self.visit(node.body)
        except Fault as fault:
            # The place is that of the use: the condition's text stands elsewhere.
            raise Fault(f"in {node.name}: {fault.reason}", node.span) from None
        finally:
            self._text = outer
