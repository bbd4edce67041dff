"""How alike two hours of the week are, and what a logistic curve needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

HOURS = 168
_SLOTS = np.arange(HOURS)


def hour_kernel(scale_h: float, same_type: float, same_day: float) -> Floats:
    """Likeness of each two hours of the week, shape (168, 168), 1 on the diagonal.

    A Gaussian of the chord between two hours on the day's circle (a Gaussian of the wrapped
    difference is not positive definite), times a share for days of one type (Monday to Friday,
    weekend) and one for the same weekday; the rest is for all days.
    """
    hour, day = _SLOTS % 24, _SLOTS // 24
    chord = 24 / np.pi * np.abs(np.sin(np.pi * (hour[:, None] - hour[None, :]) / 24))
    weekend = day >= 5
    alike_type = weekend[:, None] == weekend[None, :]
    alike_day = day[:, None] == day[None, :]
    days = (1 - same_type - same_day) + same_type * alike_type + same_day * alike_day
    return np.asarray(np.exp(-(chord**2) / (2 * scale_h**2)) * days)


def blend(parts: Sequence[tuple[float, Floats]]) -> Floats:
    """A weighted sum of kernels, which is a kernel again."""
    return np.asarray(sum(share * kernel for share, kernel in parts))


def week_kernel(
    scales_h: Sequence[tuple[float, float]], same_type: float, same_day: float
) -> Floats:
    """Hour kernels of several (share, scale) blended: what settings ask for."""
    return blend([(share, hour_kernel(scale, same_type, same_day)) for share, scale in scales_h])


def sigmoid(logit: Floats) -> Floats:
    """The probability of a logit; safe for any size."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * logit))


def logit(probability: Floats) -> Floats:
    """The logit of a probability, which is first kept inside 1e-6 to 1 - 1e-6."""
    inside = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(inside / (1 - inside)))
