"""What can be said of conditions without a context: always true, never true, one within another.

Everything said holds; not everything that holds is found. A condition's possible outcomes are
found from its parts, and a conjunction can be true only if the facts it asserts of one field leave
the field a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod

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
    children,
    path_of,
    without_places,
)
from router.core.rules.operations import equal
from router.core.rules.types import BOOL, DURATION, DYN, INT, STRING, TIMESTAMP

TRUE, FALSE, ERROR = 1, 2, 4
"""What a condition may come to, as bits."""

ALTERNATIVES_MOST = 64
"""More of them are not looked at one by one."""

_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "==", "in": "!in"}
_SAFE = ("==", "!=", "<", "<=", ">", ">=", "in", "size", "contains", "startsWith", "endsWith")
"""Operations that always have a result where the types of their operands are known."""


def outcomes(node: Node) -> int:
    """What a condition may come to: TRUE, FALSE and ERROR, added up."""
    match node:
        case Constant():
            return TRUE if node.value is True else FALSE
        case Named():
            return outcomes(node.body)
        case Not():
            return _turned(outcomes(node.operand))
        case Logic():
            return _joined(node)
        case Conditional():
            test = outcomes(node.test)
            found = test & ERROR
            found |= outcomes(node.then) if test & TRUE else 0
            return found | (outcomes(node.otherwise) if test & FALSE else 0)
        case Has() if node.field is not None and not node.field.optional:
            return TRUE | (ERROR if may_fail(node) else 0)
        case _:
            found = ERROR if may_fail(node) else 0
            for outcome, holds in ((TRUE, True), (FALSE, False)):
                found |= 0 if _contradictory(_facts(node, holds=holds)) else outcome
            return found


def _turned(found: int) -> int:
    return found & ERROR | (TRUE if found & FALSE else 0) | (FALSE if found & TRUE else 0)


def _joined(node: Logic) -> int:
    """By De Morgan, ``a || b`` is the negation of ``!a && !b``."""
    parts = [outcomes(operand) for operand in node.operands]
    if node.decides:
        parts = [_turned(part) for part in parts]
    found = FALSE if any(part & FALSE for part in parts) else 0
    if all(part & TRUE for part in parts):
        facts = [fact for o in node.operands for fact in _facts(o, holds=not node.decides)]
        found |= 0 if _contradictory(facts) else TRUE
    if any(part & ERROR for part in parts) and all(part & (TRUE | ERROR) for part in parts):
        found |= ERROR
    return _turned(found) if node.decides else found


def may_fail(node: Node) -> bool:
    """Whether it can be without a value."""
    match node:
        case Read() if node.field.optional:
            return True
        case Key():
            return True
        case Has() if node.field is None and node.base is not None and node.base.type == DYN:
            return True
        case Apply() if not node.is_static or node.sign not in _SAFE:
            return True
        case Logic() | Not() | Conditional() | Named():
            return node.type != BOOL or bool(outcomes(node) & ERROR)
        case _:
            return any(may_fail(child) for child in children(node))


# --- facts ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Fact:
    """That `subject` stands in this relation to the constant `value`."""

    subject: str
    sign: str
    value: object
    values: tuple[str, ...] = ()
    """All texts the subject can have, if they are known."""


def _facts(node: Node, *, holds: bool) -> list[_Fact]:
    """What is known if the condition is true, or false."""
    match node:
        case Named():
            return _facts(node.body, holds=holds)
        case Not():
            return _facts(node.operand, holds=not holds)
        case Logic() if node.decides is not holds:
            return [fact for o in node.operands for fact in _facts(o, holds=holds)]
        case Apply():
            fact = _fact(node, holds=holds)
            if fact is not None:
                return [fact]
        case _:
            pass
    return [_Fact(without_places(node), "==", holds)]


def _fact(node: Apply, *, holds: bool) -> _Fact | None:
    """What a comparison of a field with a constant says of the field."""
    if node.sign not in _NEGATED or len(node.arguments) != 2:
        return None
    left, right = node.arguments
    sign = node.sign
    if isinstance(left, Constant) and sign in _FLIPPED:
        left, right, sign = right, left, _FLIPPED[sign]
    path = path_of(left)
    if path is None or not isinstance(right, Constant) or isinstance(right.value, dict):
        return None
    ordered = left.type in (INT, STRING, TIMESTAMP, DURATION)
    if sign not in ("==", "!=", "in") and not ordered:
        return None  # NaN is neither less nor not less; a JSON value may be anything
    values = left.field.values if isinstance(left, Read) else ()
    return _Fact(path, sign if holds else _NEGATED[sign], right.value, values)


@dataclass(slots=True)
class _Room:
    """The values that the facts leave to one subject."""

    allowed: list[object] | None = None
    """None: any."""
    excluded: list[object] = field(default_factory=list)
    bounds: list[tuple[str, object]] = field(default_factory=list)

    def take(self, fact: _Fact) -> None:
        """One more fact."""
        if fact.values and self.allowed is None:
            self.allowed = list(fact.values)
        group = list(fact.value) if isinstance(fact.value, tuple) else [fact.value]
        match fact.sign:
            case "==" | "in":
                group = [fact.value] if fact.sign == "==" else group
                before = self.allowed
                self.allowed = [v for v in group if before is None or _among(v, before)]
            case "!=":
                self.excluded.append(fact.value)
            case "!in":
                self.excluded.extend(group)
            case _:
                self.bounds.append((fact.sign, fact.value))

    def is_empty(self) -> bool:
        """Nothing is left."""
        if self.allowed is not None:
            return not any(
                not _among(value, self.excluded)
                and all(_within(value, sign, bound) for sign, bound in self.bounds)
                for value in self.allowed
            )
        lows = [(bound, sign) for sign, bound in self.bounds if sign in (">", ">=")]
        highs = [(bound, sign) for sign, bound in self.bounds if sign in ("<", "<=")]
        return any(
            _apart(low, low_sign, high, high_sign)
            for low, low_sign in lows
            for high, high_sign in highs
        )


def _among(value: object, group: Sequence[object]) -> bool:
    if isinstance(value, str):
        return value in group
    return any(equal(value, other) for other in group)


def _within(value: object, sign: str, bound: object) -> bool:
    if isinstance(value, str) and isinstance(bound, str):
        order = (value > bound) - (value < bound)
    else:
        # A fact that is ordered is of texts, or of whole numbers.
        assert isinstance(value, int)
        assert isinstance(bound, int)
        order = (value > bound) - (value < bound)
    return {"<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0}[sign]


def _apart(low: object, low_sign: str, high: object, high_sign: str) -> bool:
    """Whether nothing lies between the two."""
    if isinstance(low, int) and isinstance(high, int):
        return low + (low_sign == ">") > high - (high_sign == "<")
    if isinstance(low, str) and isinstance(high, str):
        return low > high or (low == high and (low_sign == ">" or high_sign == "<"))
    return False


def _contradictory(facts: Sequence[_Fact]) -> bool:
    rooms: dict[str, _Room] = {}
    for fact in facts:
        rooms.setdefault(fact.subject, _Room()).take(fact)
    return any(room.is_empty() for room in rooms.values())


# --- implication ----------------------------------------------------------------------------------


def implies(condition: Node, other: Node) -> bool:
    """Whether `other` is true for every context for which `condition` is true."""
    return outcomes(other) == TRUE or Premise(condition).implies(other)


class Premise:
    """A condition taken for true, to be asked what follows from it."""

    def __init__(self, condition: Node) -> None:
        is_possible = bool(outcomes(condition) & TRUE)
        self._cases = [_Case(part) for part in _alternatives(condition)] if is_possible else []

    def implies(self, other: Node) -> bool:
        """Whether `other` is true then; one that always is true is for the caller to know."""
        return all(case.implies(other) for case in self._cases)


def _alternatives(node: Node) -> list[Node]:
    """Conditions of which one at least is true if the whole is: the operands of ``||``.

    ``(a || b) && c`` is ``a && c || b && c``; left alone where that makes too many.
    """
    if isinstance(node, Named):
        return _alternatives(node.body)
    if not isinstance(node, Logic):
        return [node]
    parts = [_alternatives(operand) for operand in node.operands]
    if node.decides:
        return [part for found in parts for part in found]
    if prod(len(found) for found in parts) > ALTERNATIVES_MOST:
        return [node]
    return [Logic(node.span, decides=False, operands=one) for one in product(*parts)]


class _Case:
    """One alternative, with what is known if it is true."""

    def __init__(self, condition: Node) -> None:
        self._text = without_places(condition)
        self._facts: dict[str, list[_Fact]] = {}
        for fact in _facts(condition, holds=True):
            self._facts.setdefault(fact.subject, []).append(fact)

    def implies(self, other: Node) -> bool:
        match other:
            case Named():
                return self.implies(other.body)
            case Logic() if not other.decides:
                return all(self.implies(part) for part in other.operands)
            case Logic() if any(self.implies(part) for part in other.operands):
                return True
            case _:
                return self._text == without_places(other) or self._excludes_negation(other)

    def _excludes_negation(self, other: Node) -> bool:
        """`other` cannot be false, nor fail: what it reads has been read."""
        facts = _facts(other, holds=False)
        return (
            any(fact.subject in self._facts for fact in facts)
            and self._has_value(other)
            and _contradictory(
                [*(known for f in facts for known in self._facts.get(f.subject, ())), *facts]
            )
        )

    def _has_value(self, other: Node) -> bool:
        fact = _fact(other, holds=True) if isinstance(other, Apply) else None
        subject = fact.subject if fact is not None else without_places(other)
        return subject in self._facts or not may_fail(other)
