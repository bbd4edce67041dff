"""How often each rule and segment has matched, and when last."""

from __future__ import annotations

from router.core.record import Row

RULE, SEGMENT = "rule", "segment"


class RuleCount(Row, kw_only=True):
    """Matches of one rule or segment, since its name is in use."""

    id: str
    """``rule/<name>`` or ``segment/<name>``."""
    name: str
    matched: int = 0
    last_at_us: int = 0
    """The last match; 0 = none yet."""


def count_id(kind: str, name: str) -> str:
    """The row of a rule (`RULE`) or a segment (`SEGMENT`)."""
    return f"{kind}/{name}"


def counted(row: RuleCount, at_us: int) -> None:
    """It has matched once more."""
    row.matched += 1
    row.last_at_us = at_us
