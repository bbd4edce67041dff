"""ARI over https and wss, through a real TLS end: the certificate and its name are checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.asterisk import Asterisk, check
from adapters.asterisk.rest import UNTRUSTED
from router.channel import ChannelLost
from router.errors import ConfigError
from router.testing.adapter_harness import RouterDouble, Signal
from router.testing.conformance import CUSTOMER, connect, offer
from tests.peers.tls import certificate, tls_before
from tests.voice.test_asterisk_suites import AsteriskHarness


async def test_a_call_goes_through_a_pbx_behind_tls(tmp_path: Path) -> None:
    """Requests and events; the password and the callers' numbers are seen by nobody on the way."""
    pem = certificate(tmp_path, "127.0.0.1")
    harness = AsteriskHarness(tmp_path, ca_file=str(pem))
    await harness.pbx.start()
    async with tls_before(harness.pbx.port, pem) as port:
        harness.more["url"] = harness.pbx.url.replace("http:", "https:").replace(
            str(harness.pbx.port), str(port)
        )
        async with harness:
            await harness.arrive(CUSTOMER)
            await harness.channel.perform(harness.task(CUSTOMER, offer("phone/ana"), id_="e1"))
            await harness.channel.perform(harness.task(CUSTOMER, connect("phone/ana"), id_="e2"))
            await harness.signal.until(lambda: bool(harness.router.said("connected")))
            findings = await check("pbx", dict(harness.channel.settings), [])
            assert findings[0].level == "ok", findings


@pytest.mark.parametrize(("host", "trusts"), [("127.0.0.1", False), ("127.0.0.2", True)])
async def test_a_pbx_that_cannot_prove_its_name_gets_no_password(
    tmp_path: Path, host: str, trusts: bool
) -> None:
    pem = certificate(tmp_path, host)
    harness = AsteriskHarness(tmp_path)
    await harness.pbx.start()
    secret = tmp_path / "secret"
    secret.write_text(harness.pbx.password)
    secret.chmod(0o600)
    async with tls_before(harness.pbx.port, pem) as port:
        settings = {
            "url": f"https://127.0.0.1:{port}/ari", "user": harness.pbx.user,
            "password_file": str(secret), "ca_file": str(pem) if trusts else "",
        }  # fmt: skip
        adapter = Asterisk("pbx", settings, RouterDouble(Signal()))
        with pytest.raises(ChannelLost, match="certificate is not trusted"):
            await adapter.run()
        findings = await check("pbx", settings, [])
        assert [finding.level for finding in findings] == ["error"]
        assert UNTRUSTED in findings[0].text
    assert harness.pbx.requests == []
    await harness.pbx.stop()


@pytest.mark.parametrize("what", ["missing", "empty"])
def test_a_file_without_certificates_is_told_at_the_start(tmp_path: Path, what: str) -> None:
    secret, file = tmp_path / "secret", tmp_path / "ca.pem"
    secret.write_text("a-long-password")
    secret.chmod(0o600)
    if what == "empty":
        file.write_text("nothing\n")
    settings = {"url": "https://pbx.example:8089/ari", "user": "router",
                "password_file": str(secret), "ca_file": str(file)}  # fmt: skip
    with pytest.raises(ConfigError, match=r"adapters\.pbx\.ca_file: .*ca\.pem"):
        Asterisk("pbx", settings, RouterDouble(Signal()))
