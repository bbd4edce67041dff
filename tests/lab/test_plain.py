"""The lab itself: it finds what a plain Redis loses, and nothing where nothing is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.lab.network import why_no_namespaces
from tests.lab.plain import prove

pytestmark = [
    pytest.mark.slow,
    pytest.mark.peer,
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        shutil.which("redis-server") is None, reason="redis-server is not installed"
    ),
]


async def test_a_master_cut_off_loses_what_was_not_waited_for(tmp_path: Path) -> None:
    if reason := why_no_namespaces():
        pytest.skip(reason)
    found = await prove(tmp_path)
    plain, waited = found["plain"], found["waited"]
    assert plain.lost > 100, found
    assert plain.doubled > 100, found
    assert waited.acknowledged > 100, found
    assert (waited.lost, waited.doubled) == (0, 0), found
