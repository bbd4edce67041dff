"""When customers come: moments drawn beforehand, whatever the server makes of them.

An open loop: nobody waits for the answer before theirs. Poisson arrivals by a rate that may change
within a phase (drawn at the highest rate, thinned to the wanted one), bursts on top, or the moments
of a recorded trace.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from loadtest.runs.profile import Customers, Phase


def moments(
    phases: Sequence[Phase], rng: random.Random, share: float = 1.0, base: float = 1.0
) -> Iterator[float]:
    """Intended starts in seconds from the beginning, growing.

    `share` is this process's part of the whole: Poisson streams add up to one. `base` is what a
    rate of 1 means, in contacts a second.
    """
    began_s = 0.0
    for phase in phases:
        made = [*_poisson(phase, rng, share * base), *_bursts(phase, rng, share * base)]
        for at_s in sorted(made):
            yield began_s + at_s
        began_s += phase.seconds


def share_of(customers: Sequence[Customers], *over: str) -> float:
    """The part of all contacts that comes over these."""
    theirs = sum(kind.share for kind in customers if kind.over in over)
    return theirs / sum(kind.share for kind in customers)


def _poisson(phase: Phase, rng: random.Random, factor: float) -> Iterator[float]:
    first = phase.rate * factor
    last = (phase.rate if phase.to is None else phase.to) * factor
    highest = max(first, last)
    at_s = 0.0
    while highest > 0:
        at_s += rng.expovariate(highest)
        if at_s >= phase.seconds:
            return
        if rng.random() * highest < first + (last - first) * at_s / phase.seconds:
            yield at_s


def _bursts(phase: Phase, rng: random.Random, factor: float) -> Iterator[float]:
    if phase.burst is None:
        return
    at_s = phase.burst.every_s
    while at_s <= phase.seconds:
        whole = phase.burst.size * factor
        count = int(whole) + (rng.random() < whole % 1)
        for _ in range(count):
            yield min(phase.seconds, at_s + rng.random() * phase.burst.within_s)
        at_s += phase.burst.every_s


def recorded(file: Path, index: int, of: int, speed: float = 1.0) -> list[tuple[float, str]]:
    """Every `of`-th moment of a trace with its channel, beginning with number `index`.

    A line is a number of seconds, growing, from any zero, and perhaps a comma and a channel; `#`
    begins a remark. Raises ValueError with the place.
    """
    found: list[tuple[float, str]] = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        text, _, channel = line.partition("#")[0].strip().partition(",")
        if not text:
            continue
        try:
            at_s = float(text)
        except ValueError:
            raise ValueError(f"{file}:{number}: expected seconds, got {text!r}") from None
        if found and at_s < found[-1][0]:
            raise ValueError(f"{file}:{number}: {at_s:g} comes before the line above")
        found.append((at_s, channel.strip()))
    return [((at_s - found[0][0]) / speed, channel) for at_s, channel in found[index::of]]
