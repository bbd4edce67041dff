"""Lengths of time as people have them: drawn anew each time."""

from __future__ import annotations

import math
import random

from loadtest.runs.profile import Span


def drawn(span: Span, rng: random.Random) -> float:
    """A length of this span, in seconds: log-normal, whose mean is the given one."""
    if not span.spread or not span.mean_s:
        return span.mean_s
    return rng.lognormvariate(math.log(span.mean_s) - span.spread**2 / 2, span.spread)
