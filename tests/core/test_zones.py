from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from router.core.zones import zone_named


def test_a_zone_has_its_clock() -> None:
    zone = zone_named("Europe/Berlin")
    assert zone is not None
    assert datetime(2026, 7, 1, tzinfo=UTC).astimezone(zone).utcoffset() == timedelta(hours=2)


@pytest.mark.parametrize("name", ["", "Mars/Base", "Europe", "../etc/passwd", "x" * 5000, "a\0b"])
def test_a_name_that_means_nothing_is_no_zone(name: str) -> None:
    assert zone_named(name) is None
