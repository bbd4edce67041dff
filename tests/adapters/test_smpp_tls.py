"""SMPP over TLS: the centre's certificate is checked, against the machine's or a file's."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.smpp import Smpp
from router.channel import ChannelLost
from router.testing.adapter_harness import RouterDouble, Signal
from tests.adapters.smsc_peer import SmppHarness, Smsc, needs_smsc, settings_for
from tests.peers.tls import certificate, tls_before

pytestmark = [pytest.mark.peer, needs_smsc]


async def test_a_centre_with_a_known_certificate_is_bound(tmp_path: Path) -> None:
    signal = Signal()
    smsc = await Smsc(tmp_path / "smsc", signal).start()
    pem = certificate(tmp_path, "127.0.0.1")
    async with tls_before(smsc.port, pem) as port:
        settings = settings_for(tmp_path, port, smsc={"tls": True, "ca_file": str(pem)})
        harness = SmppHarness(tmp_path)
        harness.smpp = Smpp("texts", settings, harness.router)
        await harness.start()
        assert await harness.send(1, "hello") == "sent"
        assert smsc.got() == ["hello"]
        await harness.stop()
        await smsc.kill()


@pytest.mark.parametrize(("host", "ca"), [("127.0.0.1", False), ("10.0.0.1", True)])
async def test_a_strange_certificate_is_refused_before_the_password_is_said(
    host: str, ca: bool, tmp_path: Path
) -> None:
    smsc = await Smsc(tmp_path / "smsc").start()
    pem = certificate(tmp_path, host)
    async with tls_before(smsc.port, pem) as port:
        more = {"tls": True, "ca_file": str(pem) if ca else ""}
        smpp = Smpp("texts", settings_for(tmp_path, port, smsc=more), RouterDouble(Signal()))
        with pytest.raises(ChannelLost, match="SSLCertVerificationError"):
            await smpp.run()
        assert smsc.seen("bound") == []
        await smsc.kill()


async def test_a_certificate_file_that_is_none_is_said(tmp_path: Path) -> None:
    more = {"tls": True, "ca_file": str(tmp_path / "nowhere")}
    smpp = Smpp("texts", settings_for(tmp_path, 1, smsc=more), RouterDouble(Signal()))
    with pytest.raises(ChannelLost, match="ca_file: No such file"):
        await smpp.run()
