"""Opening hours as the auditor reads them: minute by minute, slow and obvious on purpose."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from router.core.model import MINUTE_US
from router.core.policy import Hours

SEARCH_DAYS = 20
_EPOCH = datetime.fromtimestamp(0, ZoneInfo("UTC"))


class OpenMinutes:
    """Opening hours looked up minute by minute on a wall clock."""

    def __init__(self, hours: Hours) -> None:
        self._hours = hours
        self._zone = ZoneInfo(hours.zone)
        self._holidays = {holiday.date: holiday.spans for holiday in hours.holidays}
        self._known: dict[int, bool] = {}

    def is_open(self, at_us: int) -> bool:
        """Open in the minute that holds this moment."""
        minute = at_us // MINUTE_US
        known = self._known.get(minute)
        if known is None:
            known = self._known[minute] = self._look(minute)
        return known

    def add_open(self, at_us: int, length_us: int) -> int | None:
        """When so much open time has passed; None when it would take longer than is searched."""
        rest_us = length_us
        for minute in range(at_us // MINUTE_US, at_us // MINUTE_US + SEARCH_DAYS * 1440):
            start_us, end_us = max(at_us, minute * MINUTE_US), (minute + 1) * MINUTE_US
            if self.is_open(start_us):
                if end_us - start_us >= rest_us:
                    return start_us + rest_us
                rest_us -= end_us - start_us
        return None

    def _look(self, minute: int) -> bool:
        local = (_EPOCH + timedelta(minutes=minute)).astimezone(self._zone)
        of_day = local.hour * 60 + local.minute
        holiday = self._holidays.get(local.date().isoformat())
        if holiday is not None:
            return any(start <= of_day < end for start, end in holiday)
        return any(
            local.weekday() in span.days and span.start_minute <= of_day < span.end_minute
            for span in self._hours.spans
        )
