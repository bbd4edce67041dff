"""Draws the state machines of `router/core/lifecycle.py` into ARCHITECTURE.md, as Mermaid.

``python -m tests.architecture.diagrams`` (`make lifecycle`) writes; a test fails when what is
written is not what the tables say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path

from router.core.lifecycle import CONTACT, PRESENCE, RESERVATION
from router.core.model import Presence, ReservationState

TARGET = Path(__file__).parent.parent.parent / "ARCHITECTURE.md"
BEGIN = "<!-- {name}: drawn by `make lifecycle` from router/core/lifecycle.py -->"
END = "<!-- {name} ends -->"
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def drawings() -> dict[str, str]:
    """Each machine by name, in Mermaid."""
    return {
        "contact": draw(CONTACT, start="received", ends=["closed"]),
        "reservation": draw(
            RESERVATION,
            start="offered",
            ends=[s.value for s in ReservationState if not any(s is a for a, _ in RESERVATION)],
        ),
        "presence": _draw_presence(),
    }


def draw(table: Mapping[tuple[StrEnum, type], StrEnum], start: str, ends: Iterable[str]) -> str:
    """A transition table; events that lead from one state to another share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (before, event), after in table.items():
        words = _WORDS.sub(" ", event.__name__).lower()
        arrows.setdefault((before.value, after.value), []).append(words)
    lines = ["stateDiagram-v2", f"    [*] --> {start}"]
    lines += [
        f"    {before} --> {after}: {', '.join(sorted(events))}"
        for (before, after), events in arrows.items()
        if before != after
    ]
    lines += [f"    {end} --> [*]" for end in ends]
    stays = [
        f"*{before}* stays so on {', '.join(sorted(events))}."
        for (before, after), events in arrows.items()
        if before == after
    ]
    return "\n".join([_fenced(lines), "", *stays])


def _draw_presence() -> str:
    lines = ["stateDiagram-v2", f"    [*] --> {Presence.OFFLINE.value}"]
    lines += [
        f"    {before.value} --> {after.value}"
        for (before, after), allowed in PRESENCE.items()
        if allowed and before is not after
    ]
    return _fenced(lines)


def _fenced(lines: Iterable[str]) -> str:
    return "\n".join(["```mermaid", *lines, "```"])


def current(text: str) -> str:
    """The document with every drawing as the tables say. Raises ValueError without its marks."""
    for name, drawing in drawings().items():
        begin, end = BEGIN.format(name=name), END.format(name=name)
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"expected one {begin!r} and one {end!r} in {TARGET.name}")
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}\n{drawing}\n{end}{after}"
    return text


if __name__ == "__main__":
    TARGET.write_text(current(TARGET.read_text("utf-8")), "utf-8")
