"""What a workspace learns from, and how much: the settings of the learned channel and hour."""

from __future__ import annotations

from router.core.model import DAY_US, SECOND_US
from router.core.record import Value

HOUR_US = 3600 * SECOND_US


class OutcomeWeight(Value, kw_only=True):
    """What an outcome is worth as evidence."""

    target: float
    """0 (not reached) to 1 (reached)."""
    weight: float = 1.0
    """How many attempts it counts for, 0 to 4; 0 = it is not counted."""


class LearningPolicy(Value, kw_only=True):
    """Everything by which attempts are counted and windows chosen, for one workspace."""

    explore: float = 0.04
    """Share of choices made to learn something, of the hours that are permitted; 0 = never."""
    reply_within_us: dict[str, int] = {}
    """A reply later than this counts as late, none by then as ignored; per channel."""
    within_us: int = 7 * DAY_US
    """How far ahead windows are looked for."""
    weights: dict[str, OutcomeWeight] = {}
    """Where outcomes count differently from the built-in weights; by the outcome's name."""
    dispositions: dict[str, str] = {}
    """What an agent's disposition says of the attempt: disposition -> outcome."""
    costs: dict[str, float] = {}
    """What an attempt costs per channel, as a share of what reaching the customer is worth."""
    zone: str = "UTC"
    """The local time of customers whose zone is not known."""

    def within(self, channel: str) -> int:
        """How long after an attempt on this channel an answer counts, in microseconds."""
        return self.reply_within_us.get(channel) or BUILT_IN.get(channel, 4 * HOUR_US)


OUTCOMES = {
    "answered": "answered",
    "replied": "replied",
    "refused": "refused",
    "ignored": "ignored",
    "no_answer": "ignored",
    "short": "ignored",
    "busy": "busy",
    "machine": "machine",
    "wrong_party": "wrong_party",
    "replied_late": "replied_late",
    "bounced": "bounced",
}
"""The words for what an attempt came to, each with the outcome it counts as."""

BUILT_IN = {"email": 24 * HOUR_US}
"""Where it is not the usual four hours."""
