"""Requirements: skill and least level; a requirement signature is sorted, each skill once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from router.core.model import Requirements


def signature(required: Mapping[str, int] | Iterable[tuple[str, int]]) -> Requirements:
    """The canonical form; of a skill named twice the higher level counts."""
    if not required:
        return ()
    best: dict[str, int] = {}
    pairs = required.items() if isinstance(required, Mapping) else required
    for skill, level in pairs:
        if best.get(skill, 0) < level:
            best[skill] = level
    return tuple(sorted(best.items()))


def meets(levels: Mapping[str, int], requirements: Requirements) -> bool:
    """Whether somebody with these skill levels may serve this."""
    for skill, level in requirements:  # noqa: SIM110 - any() costs three times as much here
        if levels.get(skill, 0) < level:
            return False
    return True


def merged(first: Requirements, second: Requirements) -> Requirements:
    """Both sets of requirements together."""
    if not second:
        return first
    if not first:
        return second
    return signature((*first, *second))


def lowered(requirements: Requirements, skill: str, level: int) -> Requirements:
    """The skill asked at `level` at most; never raises a level, never adds a skill."""
    return tuple((s, min(at, level) if s == skill else at) for s, at in requirements)


def dropped(requirements: Requirements, skill: str) -> Requirements:
    """The skill not asked any more."""
    return tuple((s, at) for s, at in requirements if s != skill)


def surplus(levels: Mapping[str, int], requirements: Requirements) -> int:
    """How many skills somebody has beyond those asked (``keep_specialists``: fewest first)."""
    asked = {skill for skill, _ in requirements}
    return sum(1 for skill in levels if skill not in asked)


def fit(
    levels: Mapping[str, int], requirements: Requirements, weights: Mapping[str, float]
) -> float:
    """Weighted level over the skills asked (``best_fit``: highest first)."""
    return sum(weights.get(skill, 1.0) * levels.get(skill, 0) for skill, _ in requirements)
