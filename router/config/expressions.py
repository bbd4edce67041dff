"""Expressions as settings: where they stand in the file, and what is wrong with them there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from router.config.convert import INVALID, Invalid, Reading, came
from router.config.reader import FINDINGS_MAX, Mark, Node, Path, Scalar, is_nothing
from router.core.rules.compile import Expression, compile_expression
from router.core.rules.conditions import compile_conditions
from router.core.rules.place import ExpressionError, Place, Problem, yaml_positions
from router.core.rules.schema import Schema
from router.core.rules.types import BOOL, Type


class Source(NamedTuple):
    """An expression as written."""

    node: Scalar
    path: Path

    @property
    def text(self) -> str:
        """As YAML gives it."""
        return self.node.text


def expression(node: Node, path: Path, reading: Reading) -> Source | Invalid:
    """A setting that is an expression; it is compiled when everything it may name is known."""
    if isinstance(node, Scalar) and not is_nothing(node):
        return Source(node, path)
    reading.findings.add(node.mark, path, f"expected an expression, got {came(node)}")
    return INVALID


class Expressions:
    """Every expression of a workspace, compiled once."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", reading.findings.text)
        self._compiled: dict[Path, Expression] = {}
        self._problems = 0

    def __getitem__(self, source: Source) -> Expression:
        """The compiled expression; KeyError where it was wrong."""
        return self._compiled[source.path]

    def get(self, source: Source | None) -> Expression | None:
        """The same; None where there is none, or it was wrong."""
        return self._compiled.get(source.path) if source is not None else None

    def add(self, source: Source, schema: Schema, expects: Type | None = BOOL) -> Expression | None:
        """Compile it. None: the findings say what is wrong."""
        # A problem may cost a search for the nearest of many names; nobody reads on after so many.
        if self._problems > FINDINGS_MAX:
            return None
        try:
            made = compile_expression(source.text, schema, self.place(source), expects)
        except ExpressionError as error:
            self._report(source.path, error.problems)
            return None
        self._compiled[source.path] = made
        return made

    def add_conditions(
        self, path: Path, conditions: Mapping[str, Source], schema: Schema
    ) -> tuple[Schema, dict[str, Expression]]:
        """Compile named conditions: the schema that has them, and each of them."""
        texts = {name: (source.text, self.place(source)) for name, source in conditions.items()}
        schema, compiled, problems = compile_conditions(texts, schema)
        self._report(path, problems)
        return schema, compiled

    def place(self, source: Source) -> Place:
        """Where each character of the expression stands."""
        node = source.node
        line, column = node.mark
        name = self._reading.findings.name
        first = self._lines[line - 1] if line <= len(self._lines) else ""
        if first.startswith(node.text, column - 1):
            return Place(name, line, column)
        part = "".join(self._lines[line - 1 : node.last])
        found = yaml_positions(part, 1, column, node.text)
        positions = tuple((row + line - 1, col) for row, col in found)
        return Place(name, line, column, positions)

    def _report(self, path: Path, problems: list[Problem]) -> None:
        self._problems += len(problems)
        for found in problems:
            message = f"{found.message}\n{found.excerpt}"
            self._reading.findings.add(Mark(found.line, found.column), path, message)
