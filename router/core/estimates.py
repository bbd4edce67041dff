"""Estimated wait, learned per queue and channel, with its own error.

The model is the queue-length predictor with abandonment, QL_m: with k - 1 contacts ahead, the line
must move k times, and while i of those ahead are left it moves at the rate 1 / pace + i * theta:

    wait = sum over i = 0 .. k-1 of 1 / (1 / pace + i * theta)

(W. Whitt, "Improving service by informing customers about anticipated delays", Management Science
45(2), 1999; R. Ibrahim and W. Whitt, "Real-time delay estimation in overloaded multiserver queues
with abandonments", Management Science 55(10), 2009.)

`pace` is the time between two answers while somebody waits. It is *measured*, since agents are
shared between queues, wrap up, ring, and hold several chats at once, none of which AHT / agents
knows; that quotient (the "state" method) is used until the measurement differs from it by more
than chance explains.
`theta` is abandonments per time waited, the maximum-likelihood rate when patience is censored by
answers. Only + - * / and square roots, which IEEE 754 rounds in one way: the same history gives the
same numbers everywhere.
"""

from __future__ import annotations

from math import sqrt

from router.core.model import MINUTE_US
from router.core.record import Row

UNKNOWN = -1
"""No estimate: nobody is signed in, or nothing was ever answered."""
RECENT = 15
"""Waits kept for the median."""
KEEP_PACE = 0.97
"""Weight of the past at each addition: here about the last 33 count."""
KEEP_HANDLE = 0.97
KEEP_PATIENCE = 0.99
KEEP_ERROR = 0.98
FEWEST_GAPS = 3.0
"""Fewer measured gaps than this say nothing."""
PRIOR_PATIENCE_US = 30 * MINUTE_US
"""Waiting without an abandonment that is believed before anything is seen."""
LONGEST_GAP = 8.0
"""A gap counts at most as so many mean ones: a night or a break is not the pace of work."""
LONGEST_US = 30 * 24 * 60 * MINUTE_US


class QueueEstimate(Row, kw_only=True):
    """What one (queue, channel) has taught about its waits; sums are decayed at each addition."""

    id: str
    """``queue/channel``."""
    answered_at_us: int = 0
    """The last answer; 0 = none yet."""
    waits: list[int] = []
    """The last waits of answered contacts in µs, oldest first."""
    gaps: float = 0.0
    """Weight of the measured gaps between answers while somebody waited."""
    gap_us: float = 0.0
    handles: float = 0.0
    handle_us: float = 0.0
    abandons: float = 0.0
    exposure_us: float = 0.0
    """Time waited by those who were answered or left."""
    promises: float = 0.0
    error_us: float = 0.0
    """Real minus promised: positive = contacts wait longer than they were told."""
    error_abs_us: float = 0.0


def answered(row: QueueEstimate, wait_us: int, promised_us: int, at_us: int) -> None:
    """An agent took a contact at `at_us` that waited `wait_us`; `promised_us` < 0 = no promise."""
    gap_us = at_us - row.answered_at_us
    if row.answered_at_us and 0 <= gap_us <= wait_us:
        # It waited all through the gap, so agents, not arrivals, set its length.
        if row.gaps >= FEWEST_GAPS:
            gap_us = min(gap_us, int(LONGEST_GAP * row.gap_us / row.gaps) + 1)
        row.gaps = row.gaps * KEEP_PACE + 1.0
        row.gap_us = row.gap_us * KEEP_PACE + gap_us
    row.answered_at_us = at_us
    row.waits = [*row.waits[1 - RECENT :], wait_us]
    row.exposure_us = row.exposure_us * KEEP_PATIENCE + wait_us
    row.abandons *= KEEP_PATIENCE
    if promised_us >= 0:
        row.promises = row.promises * KEEP_ERROR + 1.0
        row.error_us = row.error_us * KEEP_ERROR + (wait_us - promised_us)
        row.error_abs_us = row.error_abs_us * KEEP_ERROR + abs(wait_us - promised_us)


def handled(row: QueueEstimate, handle_us: int) -> None:
    """A contact was finished: `handle_us` = talk + hold + wrap-up."""
    row.handles = row.handles * KEEP_HANDLE + 1.0
    row.handle_us = row.handle_us * KEEP_HANDLE + handle_us


def abandoned(row: QueueEstimate, wait_us: int) -> None:
    """A waiting contact left after `wait_us`."""
    row.abandons = row.abandons * KEEP_PATIENCE + 1.0
    row.exposure_us = row.exposure_us * KEEP_PATIENCE + wait_us


def estimate_wait(
    row: QueueEstimate, position: int, agents_serving: int, agents_free_room: int
) -> int:
    """Expected wait in µs of the contact at `position` (1 = next), from now; UNKNOWN = no idea.

    `agents_serving` are signed in and serve this queue and channel, `agents_free_room` of them
    have room for one more.
    """
    assert position >= 1, f"{row.id}: expected a position from 1 on, got {position}"
    if agents_serving <= 0:
        return UNKNOWN
    places = position - max(agents_free_room, 0)
    if places <= 0:
        return 0
    pace_us = _pace_us(row, agents_serving)
    if pace_us is None:
        return recent_wait_us(row)
    return min(int(_queue_length_wait_us(places, pace_us, _theta(row))), LONGEST_US)


def recent_wait_us(row: QueueEstimate) -> int:
    """Median of the last answered waits (the lower one of two), in µs; UNKNOWN = none yet."""
    return sorted(row.waits)[(len(row.waits) - 1) // 2] if row.waits else UNKNOWN


def mean_error_us(row: QueueEstimate) -> tuple[int, int] | None:
    """Bias (real - promised) and mean absolute error in µs; None = no promise was kept yet.

    Of answered contacts only: where many leave, those who are answered waited less than those who
    left would have, so an honest promise shows a negative bias.
    """
    if not row.promises:
        return None
    return int(row.error_us / row.promises), int(row.error_abs_us / row.promises)


def _pace_us(row: QueueEstimate, agents_serving: int) -> float | None:
    measured_us = row.gap_us / row.gaps if row.gaps >= FEWEST_GAPS else None
    if not row.handles:
        return measured_us
    prior_us = row.handle_us / row.handles / agents_serving
    if measured_us is None or prior_us <= 0:
        return prior_us
    # The prior, as far as it lies within a standard error of the measured mean of exponential gaps:
    # a limited translation estimator (B. Efron, C. Morris, JASA 66, 1971). Unlike plain shrinkage
    # it never promises less for fewer agents.
    gaps = row.gaps * (1 + KEEP_PACE) / (2 - row.gaps * (1 - KEEP_PACE))
    error_us = measured_us / sqrt(gaps)
    return min(max(prior_us, measured_us - error_us), measured_us + error_us)


def _theta(row: QueueEstimate) -> float:
    return row.abandons / (row.exposure_us + PRIOR_PATIENCE_US)


def _queue_length_wait_us(places: int, pace_us: float, theta: float) -> float:
    if theta * pace_us * places < 1e-9:
        return places * pace_us
    total_us, done = 0.0, 0
    while done < places:
        # Term by term at the front, then blocks of an eighth at their middle: log(k) steps.
        block = min(max(1, done // 8), places - done)
        middle = done + (block - 1) / 2
        total_us += block * pace_us / (1.0 + middle * theta * pace_us)
        done += block
    return total_us
