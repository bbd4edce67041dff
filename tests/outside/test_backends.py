"""Each backend killed and started again under traffic, and the router once: counted outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters.smsc_peer import needs_smsc
from tests.outside.backend_lab import examine
from tests.outside.backends import SmsCentre, TwilioLike

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


async def test_a_messaging_provider_that_dies_loses_and_doubles_nothing(tmp_path: Path) -> None:
    await examine(TwilioLike(tmp_path), tmp_path)


@pytest.mark.peer
@needs_smsc
async def test_an_sms_centre_that_dies_loses_and_doubles_nothing(tmp_path: Path) -> None:
    await examine(SmsCentre(tmp_path), tmp_path)
