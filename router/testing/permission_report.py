"""What drawn decisions about contacting customers came to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class PermissionReport:
    """What a run came to."""

    decisions: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    needless: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether every decision was right, in both directions."""
        return not self.violations and not self.needless
