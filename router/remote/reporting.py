"""What `contact-router report` asks the server for."""

from __future__ import annotations

from datetime import UTC, datetime

from router.errors import RouterError

INTERVALS_S = {"15m": 900, "30m": 1800, "1h": 3600, "1d": 86_400}


def query(begin: str, end: str, by: str, interval: str) -> dict[str, str]:
    """The parameters of ``GET /v1/reports``. Raises RouterError for what is no moment."""
    found = {"by": by, "interval_s": str(INTERVALS_S[interval])}
    if begin:
        found["from_us"] = str(moment_us("--from", begin))
    if end:
        found["to_us"] = str(moment_us("--to", end))
    return found


def moment_us(option: str, text: str) -> int:
    """µs since 1970; UTC where no zone is given. Raises RouterError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RouterError(
            f"{option}: expected 2026-11-24, or 2026-11-24T09:30+01:00, got {text!r}"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000_000)
