"""Marks in the texts that customers and agents write: who wrote it, and when it was due.

A customer's text begins with a mark and ``k/n``: it is the k-th of n. An agent's answer begins with
one and ``re k/n``. So whoever receives a text knows its intended start and what it answers.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SAYS = re.compile(r"(lt-[\w.]+-\d+-\d+) (re )?(\d+)/(\d+)\b")


class Text(NamedTuple):
    """As much of a text as its mark says."""

    mark: str
    number: int
    of: int

    @property
    def due_s(self) -> float:
        """When it was meant to be sent, by the shared clock."""
        return int(self.mark.rpartition("-")[2]) / 1e6

    @property
    def is_last(self) -> bool:
        """The customer writes no more after it."""
        return self.number >= self.of


def make(who: str, number: int, due_s: float) -> str:
    """A mark. `who`: letters, digits, dots; `number` tells it from others of theirs."""
    return f"lt-{who}-{number}-{int(due_s * 1e6)}"


def read(text: str) -> Text | None:
    """What a text's mark says; None: it has none."""
    found = SAYS.search(text)
    return Text(found[1], int(found[3]), int(found[4])) if found else None
