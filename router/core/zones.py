"""Time zones by their IANA names."""

from __future__ import annotations

from datetime import tzinfo
from zoneinfo import ZoneInfo


def zone_named(name: str) -> tzinfo | None:
    """The zone of a name such as "Europe/Berlin"; None for a name that means nothing."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # unknown; no name; a folder, or a name too long
        return None
