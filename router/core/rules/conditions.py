"""Named conditions: compiled in the order of their use, never in a circle.

They may use each other wherever they stand in the file. One that is wrong is reported once, and not
again by whoever uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from router.core.rules import language as l
from router.core.rules.checked import Constant, Named
from router.core.rules.compile import Expression, compile_expression
from router.core.rules.language import parse
from router.core.rules.lexer import SyntaxProblem
from router.core.rules.place import ExpressionError, Place, Problem, Span, problem
from router.core.rules.schema import Schema
from router.core.rules.types import WRONG


def compile_conditions(
    texts: Mapping[str, tuple[str, Place]], schema: Schema
) -> tuple[Schema, dict[str, Expression], list[Problem]]:
    """The schema with all conditions, each of them compiled, and everything that is wrong.

    `texts` has the text and place of each. A condition with a problem still has its name in the
    schema, so that expressions which use it can be checked for the rest; the book is not to be used
    then.
    """
    compiler = _Conditions(texts, schema)
    for name in texts:
        compiler.take(name)
    ordered = {name: compiler.made[name] for name in texts if name in compiler.made}
    return compiler.schema, ordered, compiler.problems


class _Conditions:
    """Goes from each condition to those it uses, deepest first."""

    def __init__(self, texts: Mapping[str, tuple[str, Place]], schema: Schema) -> None:
        self._texts = texts
        self._uses: dict[str, dict[str, Span]] = {}
        self.schema = schema
        self.made: dict[str, Expression] = {}
        self.problems: list[Problem] = []

    def take(self, name: str) -> None:
        """Compile it, after those it uses; a chain of uses may be as long as there are names."""
        waiting = [name]
        while waiting:
            current = waiting[-1]
            if current in self.schema.conditions:
                waiting.pop()
                continue
            following = self._next(current)
            if following is None:
                self._compile(current)
                waiting.pop()
            elif following in waiting:
                circle = [*waiting[waiting.index(following) :], following]
                self._report(current, following, f"goes round in a circle: {' -> '.join(circle)}")
                waiting.pop()
            else:
                waiting.append(following)

    def _next(self, name: str) -> str | None:
        """A condition it uses that has not been compiled yet."""
        if name not in self._uses:
            text, _ = self._texts[name]
            try:
                self._uses[name] = dict(_names(parse(text)))
            except SyntaxProblem:
                self._uses[name] = {}  # reported when it is compiled
        return next(
            (
                used
                for used in self._uses[name]
                if used in self._texts and used not in self.schema.conditions
            ),
            None,
        )

    def _compile(self, name: str) -> None:
        text, place = self._texts[name]
        try:
            made = compile_expression(text, self.schema, place)
            self.schema = self.schema.with_condition(name, made.named(name))
            self.made[name] = made
        except ExpressionError as error:
            self.problems += error.problems
            self._declare(name)
        except ValueError as error:  # the name is taken
            self.problems.append(problem(text, place, Span(0, 1), str(error)))

    def _report(self, name: str, used: str, message: str) -> None:
        text, place = self._texts[name]
        self.problems.append(problem(text, place, self._uses[name][used], message))
        self._declare(name)

    def _declare(self, name: str) -> None:
        """A condition that fits everywhere, in place of one that is wrong."""
        if name not in self.schema.root.fields:
            body = Constant(Span(0, 0), WRONG, None)
            stand_in = Named(Span(0, 0), name, body, "", nodes=1, depth=1)
            self.schema = self.schema.with_condition(name, stand_in)


def _names(node: l.Node) -> Iterator[tuple[str, Span]]:
    """Every name at the top of a path, where it stands first."""
    level = [node]
    found: dict[str, Span] = {}
    while level:
        for each in level:
            if isinstance(each, l.Name):
                found.setdefault(each.name, each.span)
        level = [child for each in level for child in l.children(each)]
    yield from found.items()
