"""What the check of a FreeSWITCH finds, each fault in plain words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.freeswitch import check
from router.errors import ConfigError
from router.testing.pbx_esl import EslPbx

WELL = {
    "show_local_stream": "moh,/usr/share/freeswitch/sounds/music/8000\n",
    "xml_locate configuration configuration name conference.conf": '<profile name="default">',
    "file_exists /var/lib/freeswitch/recordings": "true",
    "user_exists id ana example.org": "true",
    "sofia_contact ana@example.org": "sofia/internal/sip:ana@192.0.2.7:5060",
}


@pytest.fixture
async def pbx() -> AsyncIterator[EslPbx]:
    pbx = EslPbx(password="of the check")
    pbx.answers |= WELL
    await pbx.start()
    yield pbx
    await pbx.stop()


async def found(pbx: EslPbx, folder: Path, endpoint: str = "user/ana@example.org") -> list[str]:
    findings = await check("pbx", settings(pbx, folder), [endpoint])
    return [f"{finding.level}: {finding.text}" for finding in findings]


def settings(pbx: EslPbx, folder: Path, password: str = "of the check") -> dict[str, Any]:
    file = folder / "password"
    file.write_text(password)
    file.chmod(0o600)
    return {"port": pbx.port, "password_file": str(file), "reply_s": 0.5}


async def test_a_pbx_that_is_well_has_nothing_but_good_news(pbx: EslPbx, tmp_path: Path) -> None:
    assert await found(pbx, tmp_path) == [
        f"ok: pbx: 127.0.0.1:{pbx.port}: FreeSWITCH 1.11.1-release",
        "ok: pbx: all modules are loaded",
        "ok: pbx: a SIP profile is running",
    ]


def _old(pbx: EslPbx) -> None:
    pbx.version = "1.6.20"


def _without_conference(pbx: EslPbx) -> None:
    pbx.modules.remove("mod_conference")


def _without_dptools(pbx: EslPbx) -> None:
    pbx.modules.remove("mod_dptools")


def _set(line: str, output: str) -> Callable[[EslPbx], None]:
    def change(pbx: EslPbx) -> None:
        pbx.answers[line] = output

    return change


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        (_old, "error: pbx: 127.0.0.1:PORT: FreeSWITCH 1.6: at least 1.8 is needed"),
        (
            _without_conference,
            "warning: pbx: mod_conference is not loaded: no consults and no conferences",
        ),
        (
            _without_dptools,
            "error: pbx: mod_dptools is not loaded: calls cannot be parked, played to or bridged",
        ),
        (
            _set("sofia", "0 profiles 0 aliases"),
            "error: pbx: no SIP profile is running (sofia status): phones cannot be reached",
        ),
        (
            _set("show_local_stream", "jazz,/music"),
            "warning: pbx: no music local_stream://moh (local_stream.conf.xml)",
        ),
        (
            _set("file_exists /var/lib/freeswitch/recordings", "false"),
            "warning: pbx: no folder /var/lib/freeswitch/recordings: calls cannot be recorded",
        ),
        (
            _set("user_exists id ana example.org", "false"),
            "error: pbx: endpoint user/ana@example.org: there is no such user in the directory",
        ),
        (
            _set("sofia_contact ana@example.org", "error/user_not_registered"),
            "warning: pbx: endpoint user/ana@example.org: no phone is registered",
        ),
    ],
)
async def test_each_fault_is_found(
    fault: Callable[[EslPbx], None], finding: str, pbx: EslPbx, tmp_path: Path
) -> None:
    fault(pbx)
    assert finding.replace("PORT", str(pbx.port)) in await found(pbx, tmp_path)


async def test_an_endpoint_with_syntax_in_it_is_found(pbx: EslPbx, tmp_path: Path) -> None:
    lines = await found(pbx, tmp_path, "user/a,user/b")
    assert "error: pbx: endpoint 'user/a,user/b': not dialled, it has syntax in it" in lines


async def test_a_pbx_that_is_not_there_or_refuses_is_said(pbx: EslPbx, tmp_path: Path) -> None:
    wrong = settings(pbx, tmp_path, "another")
    [refused] = await check("pbx", wrong, [])
    assert "refuses the event socket's password" in refused.text
    await pbx.stop()
    [gone] = await check("pbx", wrong, [])
    assert gone.level == "error"
    assert "no event socket at 127.0.0.1" in gone.text


async def test_a_pbx_that_falls_silent_is_said(pbx: EslPbx, tmp_path: Path) -> None:
    pbx.api = lambda name, words: pbx.disconnect() or ""  # type: ignore[method-assign, func-returns-value]
    assert any("broke off" in line for line in await found(pbx, tmp_path))


async def test_the_password_that_everybody_knows_is_refused(pbx: EslPbx, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="everybody knows"):
        await check("pbx", settings(pbx, tmp_path, "ClueCon"), [])
