"""Finds code that iterates over a set: string sets change their order with every process.

Works on names and annotations, file by file: a name is a set when it is annotated or assigned as
one; an attribute is, when every annotation or assignment of an attribute of that name is.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

SET_TYPES = {"set", "frozenset", "Set", "AbstractSet", "MutableSet"}
SET_METHODS = {"union", "intersection", "difference", "symmetric_difference"}
ITERATING = {
    "list",
    "tuple",
    "iter",
    "next",
    "enumerate",
    "zip",
    "map",
    "filter",
    "min",
    "max",
    "dict",
}
_Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.Module | ast.Lambda


def iterated_sets(trees: Mapping[str, ast.Module]) -> list[str]:
    """Places (file:line) at which a set is iterated."""
    attributes = _set_attributes(trees.values())
    return [
        f"{name}:{node.lineno}: {ast.unparse(node)}"
        for name, tree in trees.items()
        for node in _Finder(attributes).find(tree)
    ]


class _Finder:
    def __init__(self, attributes: frozenset[str]) -> None:
        self._attributes = attributes

    def find(self, tree: ast.Module) -> Iterator[ast.expr]:
        module = self._names(tree, frozenset())
        for scope in ast.walk(tree):
            if isinstance(scope, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef):
                names = self._names(scope, module)
                for node in _own_nodes(scope):
                    yield from (found for found in _iterated(node) if self._is_set(found, names))

    def _names(self, scope: _Scope, outer: frozenset[str]) -> frozenset[str]:
        names = set(outer)
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = scope.args
            for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                names.discard(arg.arg)
                if arg.annotation is not None and _is_set_type(arg.annotation):
                    names.add(arg.arg)
        for node in _own_nodes(scope):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                if _is_set_type(node.annotation):
                    names.add(node.target.id)
            elif isinstance(node, ast.Assign) and self._is_set(node.value, frozenset(names)):
                names.update(t.id for t in node.targets if isinstance(t, ast.Name))
        return frozenset(names)

    def _is_set(self, node: ast.expr, names: frozenset[str]) -> bool:
        if isinstance(node, ast.Set | ast.SetComp):
            return True
        if isinstance(node, ast.Name):
            return node.id in names
        if isinstance(node, ast.Attribute):
            return node.attr in self._attributes
        if isinstance(node, ast.BinOp) and isinstance(
            node.op, ast.BitAnd | ast.BitOr | ast.BitXor | ast.Sub
        ):
            return any(
                self._is_set(side, names) or _is_keys(side) for side in (node.left, node.right)
            )
        if isinstance(node, ast.IfExp):
            return self._is_set(node.body, names) or self._is_set(node.orelse, names)
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                return node.func.id in ("set", "frozenset")
            return isinstance(node.func, ast.Attribute) and (
                node.func.attr in SET_METHODS and self._is_set(node.func.value, names)
            )
        return False


def _iterated(node: ast.AST) -> Iterator[ast.expr]:
    """Expressions whose order matters here."""
    if isinstance(node, ast.For | ast.comprehension):
        yield node.iter
    elif isinstance(node, ast.Starred):
        yield node.value
    elif isinstance(node, ast.Call) and node.args:
        if isinstance(node.func, ast.Name) and node.func.id in ITERATING:
            yield from node.args
        elif isinstance(node.func, ast.Attribute) and node.func.attr in ("join", "extend"):
            yield node.args[0]
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "pop"
    ):
        yield node.func.value


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Nodes of this scope, without those of functions inside it."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _own_nodes(child)


def _set_attributes(trees: Iterable[ast.Module]) -> frozenset[str]:
    kinds: dict[str, list[bool]] = {}
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                        kinds.setdefault(item.target.id, []).append(_is_set_type(item.annotation))
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute):
                kinds.setdefault(node.target.attr, []).append(_is_set_type(node.annotation))
    return frozenset(name for name, found in kinds.items() if all(found))


def _is_set_type(annotation: ast.expr) -> bool:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value.partition("[")[0] in SET_TYPES
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    if isinstance(annotation, ast.Attribute):
        return annotation.attr in SET_TYPES
    return isinstance(annotation, ast.Name) and annotation.id in SET_TYPES


def _is_keys(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("keys", "items")
    )
