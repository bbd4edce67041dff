"""A channel of which nobody is offered anything, until somebody resumes it."""

from __future__ import annotations

from router.core.record import Row


class ChannelPause(Row, kw_only=True):
    """Kept while it lasts."""

    channel: str
    at_us: int
    """Since when."""
    by: str = ""
    reason: str = ""
