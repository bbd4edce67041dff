"""Asterisk killed and started again under traffic, and the router too: counted at the phones."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest import pbx_server
from tests.voice.real.kill_lab import KillLab

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(pbx_server.missing()), reason=pbx_server.missing() or "there"),
]


@pytest.fixture
def short() -> Iterator[Path]:
    """A short path: Asterisk's control socket allows 107 bytes."""
    directory = Path(tempfile.mkdtemp(prefix="pbx-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize("seed", [1])
async def test_when_asterisk_or_the_router_dies_nobody_is_lost_or_rung_for_twice(
    tmp_path: Path, short: Path, seed: int
) -> None:
    lab = KillLab(tmp_path, short, seed)
    line = await lab.run(["asterisk", "router", "asterisk", "router"], each_s=3.0)
    print(line)
    assert not lab.wrong, "\n".join([line, *lab.wrong[:20], lab.server.log_end()])
