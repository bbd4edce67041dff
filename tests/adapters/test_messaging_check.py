"""What the doctor says of messaging accounts, described backends and XMPP servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters import twilio, webhook, xmpp
from loadtest.server import free_port
from router.errors import ConfigError
from router.testing.adapter_harness import Signal
from tests.adapters.prosody import DOMAIN, PROSODY, SECRET, Prosody
from tests.adapters.telegram_server import Telegram
from tests.adapters.twilio_provider import ACCOUNT, TOKEN, Provider
from tests.adapters.webhook_harness import described


def secret(folder: Path, text: str) -> str:
    file = folder / "a.secret"
    file.write_text(text)
    file.chmod(0o600)
    return str(file)


async def test_a_messaging_account_is_well_unknown_or_away(tmp_path: Path) -> None:
    provider = Provider(Signal())
    await provider.start()
    settings = {
        "account": ACCOUNT, "token_file": secret(tmp_path, TOKEN), "api_url": provider.url,
        "public_url": "https://router.example.com/v1/twilio/texts", "sender": "+4930555300",
    }  # fmt: skip
    try:
        [good] = await twilio.check("texts", settings, [])
        assert (good.level, "texts/incoming" in good.text) == ("ok", True)
        assert provider.messages == []
        wrong = {**settings, "token_file": secret(tmp_path, "another"), "sender": "",
                 "public_url": "http://router.example.com/texts"}  # fmt: skip
        levels = [found.level for found in await twilio.check("texts", wrong, [])]
        assert levels == ["warning", "warning", "error"]
    finally:
        await provider.stop()
    [away] = await twilio.check("texts", settings, [])
    assert (away.level, "cannot be reached" in away.text) == ("error", True)


async def test_a_described_backend_is_there_or_not(tmp_path: Path) -> None:
    telegram = Telegram(Signal())
    await telegram.start()
    settings = described("telegram", telegram.url, tmp_path)
    try:
        [good] = await webhook.check("telegram", settings, [])
        assert (good.level, "/v1/webhook/telegram/in" in good.text) == ("ok", True)
    finally:
        await telegram.stop()
    assert [f.level for f in await webhook.check("telegram", settings, [])] == ["error"]
    with pytest.raises(ConfigError):
        await webhook.check("telegram", {**settings, "messages": []}, [])


@pytest.mark.peer
@pytest.mark.skipif(PROSODY is None, reason="prosody is not installed")
async def test_an_xmpp_server_takes_us_knows_us_not_or_is_away(tmp_path: Path) -> None:
    prosody = Prosody(tmp_path)
    await prosody.start()
    settings: dict[str, Any] = {
        "jid": DOMAIN, "port": prosody.component, "secret_file": secret(tmp_path, SECRET),
        "connect_s": 2.0,
    }  # fmt: skip
    try:
        [good] = await xmpp.check("jabber", settings, [])
        assert good.level == "ok"
        wrong = {**settings, "secret_file": secret(tmp_path, "wrong")}
        [unknown] = await xmpp.check("jabber", wrong, [])
        assert (unknown.level, "secret" in unknown.text) == ("error", True)
    finally:
        prosody.kill()
    [away] = await xmpp.check("jabber", {**settings, "port": free_port(), "connect_s": 0.3}, [])
    assert (away.level, "cannot be reached" in away.text) == ("error", True)
