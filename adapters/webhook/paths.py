"""Where something is in a JSON document: a small language, bounded, that no body can make slow.

    message.chat.id           names, one inside the other
    entry[0]                  the first of a list; [-1] the last
    entry[*].changes[*]       each of a list
    ^metadata.phone           from the object around: each ^ goes one further out

A path that leads nowhere finds nothing. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

FOUND = 500
"""Most things that one path finds."""
STEPS = 12
EACH = 4
"""Most ``[*]`` in one path."""

_STEP = re.compile(r"([A-Za-z0-9_$-]+)((?:\[(?:\*|-?\d{1,4})\])*)")
_PLACE = re.compile(r"\[(\*|-?\d{1,4})\]")


class TooMany(ValueError):
    """A path finds more than `FOUND` things."""


class Path(NamedTuple):
    """A path that was understood."""

    up: int
    steps: tuple[str | int | None, ...]
    """A name, a place in a list, or None: each of it."""


class Node(NamedTuple):
    """A value and the objects around it, the nearest first."""

    value: Any
    around: tuple[Any, ...] = ()


def path_of(text: str) -> Path:
    """Raises ValueError, which says what was expected."""
    rest = text.lstrip("^")
    up = len(text) - len(rest)
    steps: list[str | int | None] = []
    for part in rest.split(".") if rest else []:
        match = _STEP.fullmatch(part)
        if match is None:
            raise ValueError(f"expected a path such as message.chat.id, got {text!r:.80}")
        steps.append(match[1])
        steps += [None if one == "*" else int(one) for one in _PLACE.findall(match[2])]
    if len(steps) > STEPS or steps.count(None) > EACH or up > STEPS:
        raise ValueError(f"a path has at most {STEPS} steps and {EACH} [*]: {text!r:.80}")
    return Path(up, tuple(steps))


def walk(path: Path, start: Node) -> list[Node]:
    """All that is there, in order. Raises TooMany."""
    if path.up:
        if path.up > len(start.around):
            return []
        start = Node(start.around[path.up - 1], start.around[path.up :])
    nodes = [start]
    for step in path.steps:
        nodes = [found for node in nodes for found in _step(node, step)]
        if len(nodes) > FOUND:
            raise TooMany(f"more than {FOUND} things at one place")
    return nodes


def _step(node: Node, step: str | int | None) -> Iterator[Node]:
    value = node.value
    if isinstance(step, str):
        if isinstance(value, dict) and step in value:
            yield Node(value[step], (value, *node.around))
    elif isinstance(value, list):
        if step is None:
            for one in value[: FOUND + 1]:
                yield Node(one, node.around)
        elif -len(value) <= step < len(value):
            yield Node(value[step], node.around)


def scalar(value: Any) -> str:
    """A text or a whole number as text; empty for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if -(2**63) <= value < 2**64 else ""
    return value if isinstance(value, str) else ""


def first(paths: tuple[Path, ...], start: Node) -> str:
    """The first text or number that is there and not empty."""
    for path in paths:
        for node in walk(path, start):
            text = scalar(node.value)
            if text:
                return text
    return ""


def holds(where: tuple[tuple[Path, str], ...], start: Node) -> bool:
    """Whether these values stand there; ``*`` is any."""
    return all(
        any(wanted in ("*", scalar(node.value)) for node in walk(path, start))
        for path, wanted in where
    )
