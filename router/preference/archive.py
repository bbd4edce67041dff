"""What is kept of attempts that a profile has no more room for: counts by endpoint and hour.

A cell counts the attempts and successes of one endpoint in one hour of the week. When there are too
many cells, the one that was added to longest ago is put with others of its endpoint: first with
those in the same two hours of working days or of the weekend, in the end with those at any hour. So
nothing is lost but the hour. A cell is a 32-bit number:

    bits 31-28  endpoint, as in the profile's events
    bits 27-20  hours: 0-167 an hour of the week; 168-179 two hours of working days,
                180-191 of the weekend; 192 any hour
    bits 19-10  mean age: wall hour over 1024, rounded up
    bits  9-5   attempts     bits 4-0  successes (above 31 attempts both are halved)

Attempts that were neither a success nor a failure (open, busy, replied late) leave no trace.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from router.preference.kernel import HOURS, Floats
from router.preference.outcomes import Outcome

CELLS = 18
"""Most that are kept: with the greatest number of everything else they fill 510 bytes."""
BLOCKS = 25
SPARE = 2
"""Cells that are free again when there were too many."""
ANY_HOUR = HOURS + BLOCKS - 1
AGE_HOURS = 1024
_MOST = 31
_IN_BETWEEN = (Outcome.PENDING, Outcome.BUSY, Outcome.REPLIED_LATE)
_COUNT = [
    0 if outcome in _IN_BETWEEN else 1 << 5 | (outcome >= Outcome.REPLIED) for outcome in Outcome
]
"""What is added to a cell: an attempt, and a success if it was one."""
_BLOCK = [HOURS + slot % 24 // 2 + (12 if slot >= 120 else 0) for slot in range(HOURS)]
_WIDER = _BLOCK + [ANY_HOUR] * BLOCKS


class Cell(NamedTuple):
    """Counts, taken apart."""

    place: int
    """Index into the profile's endpoints."""
    hours: int
    """Which hours: 0 to 192."""
    hour: int
    """Wall hour that stands for all its attempts: their mean, up to 43 days late."""
    attempts: int
    successes: int


def cell(number: int) -> Cell:
    """The cell of a stored number."""
    return Cell(
        number >> 28,
        (number >> 20) & 255,
        ((number >> 10) & 1023) * AGE_HOURS,
        (number >> 5) & 31,
        number & 31,
    )


def add(cells: list[int], event: int) -> None:
    """Count an event (`profile.py`) that is about to be forgotten; `cells` stay in order."""
    count = _COUNT[event >> 4 & 15]
    if count:
        join(
            cells,
            (event & 0xF00 | (event >> 12) % HOURS) << 20 | event >> 22 << 10 | count,
        )
        if len(cells) > CELLS:
            widen(cells)


def join(cells: list[int], new: int) -> None:
    """Put counts with those of the same endpoint and hours, if there are any."""
    at = bisect_left(cells, new >> 20 << 20)
    if at == len(cells) or cells[at] >> 20 != new >> 20:
        cells.insert(at, new)
        return
    old = cells[at]
    n, more = (old >> 5) & 31, (new >> 5) & 31
    # Rounded up, or single attempts would never move the mean of many.
    age = (n * ((old >> 10) & 1023) + more * ((new >> 10) & 1023) + n + more - 1) // (n + more)
    n, s = n + more, (old & 31) + (new & 31)
    if n > _MOST:
        n, s = (n + 1) // 2, (s + 1) // 2
    cells[at] = new >> 20 << 20 | age << 10 | n << 5 | s


def widen(cells: list[int]) -> None:
    """Put the hours that were tried longest ago with wider ones, until there is room for some more:
    the next attempts are counted without this."""
    for limit in (HOURS, ANY_HOUR):
        # By age, then by attempts: the lower bits.
        narrow = [(n & 0xFFFFF) << 32 | n for n in cells if (n >> 20) & 255 < limit]
        for aged in sorted(narrow):
            if len(cells) <= CELLS - SPARE:
                return
            oldest = aged & 0xFFFFFFFF
            cells.remove(oldest)
            join(cells, oldest & ~(255 << 20) | _WIDER[(oldest >> 20) & 255] << 20)


def shifted(cells: list[int], hours: int) -> list[int]:
    """The cells after all wall hours moved; two hours go where their middle comes to lie."""
    out: list[int] = []
    for number in cells:
        which = (number >> 20) & 255
        if which < HOURS:
            which = (which + hours) % HOURS
        elif which < ANY_HOUR:
            block = which - HOURS
            which = HOURS + block // 12 * 12 + (2 * (block % 12) + 1 + hours) % 24 // 2
        join(out, number & ~(255 << 20) | which << 20)
    return out


def averages() -> Floats:
    """Each block as an average of hours of the week, shape (BLOCKS, 168): rows sum to 1. Any hour
    is from 8 to 20."""
    table = np.zeros((BLOCKS, HOURS))
    hour = np.arange(HOURS)
    table[np.array(_BLOCK) - HOURS, hour] = 1.0
    table[-1] = (hour % 24 >= 8) & (hour % 24 < 20)
    return np.asarray(table / table.sum(axis=1, keepdims=True))
