"""What an attempt came to, and how much each outcome counts as evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Outcome(IntEnum):
    """How an attempt ended. Of two that are known for one attempt the greater one stays.

    That rule makes redials within an hour, late outcomes and repeated messages come to the same
    end in whatever order they arrive. The numbers are stored: never renumber them (0-15).
    """

    PENDING = 0
    """Sent or dialled; the time in which an answer counts is not over."""
    BOUNCED = 1
    """The address does not exist."""
    BUSY = 2
    """The line was busy: a person was there and could not be reached."""
    IGNORED = 3
    """No answer, or none in time."""
    MACHINE = 4
    """Voicemail, or an automatic reply."""
    WRONG_PARTY = 5
    """Somebody else answered."""
    REPLIED_LATE = 6
    """An answer after the time in which it counts."""
    REFUSED = 7
    """Reached, and did not want to talk now or here."""
    REPLIED = 8
    """Replied or clicked in time (messages)."""
    ANSWERED = 9
    """The customer was live on the line."""

    @property
    def success(self) -> bool:
        """Whether explanations count it as reached."""
        return self >= Outcome.REPLIED


@dataclass(frozen=True, slots=True)
class Weight:
    """What one outcome is worth to the estimator."""

    target: float
    """The share of a success it is taken for, 0 to 1."""
    weight: float
    """How many attempts it is worth, 0 to 4; 0 leaves it out."""


DEFAULT_WEIGHTS: Mapping[Outcome, Weight] = {
    Outcome.PENDING: Weight(0.0, 0.0),
    Outcome.BOUNCED: Weight(0.0, 2.0),
    Outcome.BUSY: Weight(0.3, 0.5),
    Outcome.IGNORED: Weight(0.0, 1.0),
    Outcome.MACHINE: Weight(0.0, 1.0),
    Outcome.WRONG_PARTY: Weight(0.0, 1.0),
    Outcome.REPLIED_LATE: Weight(0.5, 0.5),
    Outcome.REFUSED: Weight(0.0, 1.0),
    Outcome.REPLIED: Weight(1.0, 1.0),
    Outcome.ANSWERED: Weight(1.0, 1.0),
}


class OutcomeWeights:
    """The weights of all outcomes as tables that arrays of outcomes can index.

    Weights that are not given are `DEFAULT_WEIGHTS`. Raises ValueError for a target outside 0 to 1,
    a weight outside 0 to 4, or a pending attempt that counts.
    """

    __slots__ = ("table", "target", "weight")

    def __init__(self, given: Mapping[Outcome, Weight] | None = None) -> None:
        self.table: NDArray[np.float64] = np.zeros((2, 16))
        """Targets and weights."""
        self.target: NDArray[np.float64] = self.table[0]
        self.weight: NDArray[np.float64] = self.table[1]
        for outcome, default in DEFAULT_WEIGHTS.items():
            value = default if given is None else given.get(outcome, default)
            if not 0.0 <= value.target <= 1.0:
                raise ValueError(f"outcome {outcome.name}: target 0 to 1, got {value.target}")
            if not 0.0 <= value.weight <= 4.0:
                raise ValueError(f"outcome {outcome.name}: weight 0 to 4, got {value.weight}")
            self.target[outcome] = value.target
            self.weight[outcome] = value.weight
        if self.weight[Outcome.PENDING]:
            raise ValueError("outcome PENDING: weight 0, since nothing is known of it yet")
