"""Expressions after the check: every node has a type, every name is resolved.

The compiler (compile.py), the explaining walk (walk.py) and the reasoning about conditions
(reasoning.py) read these; nothing else is ever turned into code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from router.core.rules.place import Span
from router.core.rules.types import BOOL, Field, Type


@dataclass(frozen=True, slots=True)
class Constant:
    """A value known at load; lists are tuples."""

    span: Span
    type: Type
    value: object


@dataclass(frozen=True, slots=True)
class Read:
    """A field of the schema: an attribute of the context, or of the record `base`."""

    span: Span
    base: Node | None
    name: str
    field: Field

    @property
    def type(self) -> Type:
        """The field's."""
        return self.field.type


@dataclass(frozen=True, slots=True)
class Key:
    """``base.name`` or ``base["name"]``, where `base` is a map or a JSON value."""

    span: Span
    type: Type
    base: Node
    name: str


@dataclass(frozen=True, slots=True)
class Has:
    """``has(base.name)``: `base` is a record that may not know it, or a map."""

    span: Span
    base: Node | None
    name: str
    field: Field | None
    """The record's field; None for a map."""

    type: Type = BOOL


@dataclass(frozen=True, slots=True)
class Apply:
    """An operator or function; `sign` is its name in the language."""

    span: Span
    type: Type
    sign: str
    function: Callable[..., object]
    arguments: tuple[Node, ...]
    is_static: bool
    """The types of all arguments are known: plain Python may stand in for `function`."""


@dataclass(frozen=True, slots=True)
class Logic:
    """``a && b``, ``a || b``, with as many operands as there are."""

    span: Span
    decides: bool
    """The operand that decides alone: false for ``&&``, true for ``||``."""
    operands: tuple[Node, ...]
    type: Type = BOOL


@dataclass(frozen=True, slots=True)
class Not:
    """``!operand``."""

    span: Span
    operand: Node
    type: Type = BOOL


@dataclass(frozen=True, slots=True)
class Conditional:
    """``test ? then : otherwise``."""

    span: Span
    type: Type
    test: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Named:
    """A named condition where it is used; `body` stands in its own `text`."""

    span: Span
    name: str
    body: Node
    text: str
    nodes: int
    depth: int
    """Of the body."""

    @property
    def type(self) -> Type:
        """The body's."""
        return self.body.type


Node = Constant | Read | Key | Has | Apply | Logic | Not | Conditional | Named


def children(node: Node) -> Sequence[Node]:
    """The nodes right under this one."""
    match node:
        case Constant():
            return ()
        case Read() | Has():
            return () if node.base is None else (node.base,)
        case Key():
            return (node.base,)
        case Apply():
            return node.arguments
        case Logic():
            return node.operands
        case Not():
            return (node.operand,)
        case Conditional():
            return (node.test, node.then, node.otherwise)
        case Named():
            return (node.body,)


def path_of(node: Node) -> str | None:
    """``contact.attributes.topic``, if the node reads just that."""
    match node:
        case Read() | Key():
            base = path_of(node.base) if node.base is not None else ""
            return None if base is None else f"{base}.{node.name}" if base else node.name
        case _:
            return None


def reads_of(node: Node) -> tuple[str, ...]:
    """Every field the node may read or ask for, each once, in the order of the text."""
    found: dict[str, None] = {}
    _collect(node, found)
    return tuple(found)


def _collect(node: Node, found: dict[str, None]) -> None:
    path = path_of(node)
    if path is not None:
        found[path] = None
        return
    if isinstance(node, Has):
        base = path_of(node.base) if node.base is not None else ""
        if base is not None:
            found[f"{base}.{node.name}" if base else node.name] = None
            return
    for child in children(node):
        _collect(child, found)


def nodes_in(node: Node) -> int:
    """How many nodes there are, those of named conditions counted where they are used."""
    if isinstance(node, Named):
        return 1 + node.nodes
    return 1 + sum(nodes_in(child) for child in children(node))


def depth_of(node: Node) -> int:
    """Levels of nodes."""
    if isinstance(node, Named):
        return 1 + node.depth
    return 1 + max((depth_of(child) for child in children(node)), default=0)


def without_places(node: Node) -> str:
    """The same text for the same condition, wherever it stands and however it is spaced."""
    match node:
        case Constant():
            return f"{node.type}:{node.value!r}"
        case Read() | Key():
            base = without_places(node.base) + "." if node.base is not None else ""
            return f"{base}{node.name}"
        case Has():
            base = without_places(node.base) + "." if node.base is not None else ""
            return f"has({base}{node.name})"
        case Apply():
            return f"{node.sign}({', '.join(without_places(a) for a in node.arguments)})"
        case Logic():
            sign = " || " if node.decides else " && "
            return f"({sign.join(without_places(operand) for operand in node.operands)})"
        case Not():
            return f"!{without_places(node.operand)}"
        case Conditional():
            parts = (node.test, node.then, node.otherwise)
            return f"?({', '.join(without_places(part) for part in parts)})"
        case Named():
            return without_places(node.body)
