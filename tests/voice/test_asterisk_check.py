"""`contact-router doctor --adapters` says in plain words what is wrong with an Asterisk."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.asterisk import check
from router.testing.pbx_ari import AriPbx

CONFIG = """
queues: {care: {}}
profiles: {care: {care: 1}}
agents: {ana: {profile: care, endpoints: {voice: PJSIP/ana}}}
adapters: {voice: {type: asterisk, url: "URL", user: router, password_file: FILE}}
"""


@pytest.fixture
async def pbx() -> AsyncIterator[AriPbx]:
    pbx = AriPbx()
    await pbx.start()
    yield pbx
    await pbx.stop()


def settings(pbx: AriPbx, directory: Path) -> dict[str, Any]:
    file = directory / "secret"
    file.write_text(pbx.password)
    file.chmod(0o600)
    return {"url": pbx.url, "user": pbx.user, "password_file": str(file)}


async def said(pbx: AriPbx, directory: Path, *endpoints: str, **more: Any) -> list[str]:
    found = await check("voice", {**settings(pbx, directory), **more}, list(endpoints))
    return [f"{finding.level} {finding.text}" for finding in found]


async def test_a_good_pbx_is_good(pbx: AriPbx, tmp_path: Path) -> None:
    pbx.party("ana")
    pbx.switch.active["contact-router"] = True
    lines = await said(pbx, tmp_path, "PJSIP/ana")
    assert [line.split()[0] for line in lines] == ["ok", "ok", "ok"]
    assert "Asterisk 20.11.0" in lines[0]


async def test_everything_that_is_missing_is_named(pbx: AriPbx, tmp_path: Path) -> None:
    pbx.rest.modules = [
        m for m in pbx.rest.modules if m not in ("bridge_holding.so", "res_stasis_snoop.so")
    ]
    pbx.switch.sounds = {"queue-youarenext", "custom/hello"}
    lines = await said(
        pbx, tmp_path, "PJSIP/bo", "ana", announcements={"Hello.": "sound:custom/hello"}
    )
    assert lines[1:] == [
        "warning voice: application contact-router: no router has connected yet",
        "warning voice: res_stasis_snoop.so is not loaded: supervisors cannot listen in",
        "error voice: bridge_holding.so is not loaded: nobody can wait",
        "error voice: endpoint PJSIP/bo is not configured at the PBX",
        "error voice: endpoint ana: expected TECHNOLOGY/NAME",
        "warning voice: sound queue-youarenext does not exist: it will not be heard",
        "warning voice: sound custom/hello does not exist: it will not be heard",
    ]


async def test_a_wrong_password_is_named(pbx: AriPbx, tmp_path: Path) -> None:
    words = settings(pbx, tmp_path)
    pbx.password = "another"
    [finding] = await check("voice", words, [])
    assert finding.level == "error"
    assert "user or password is wrong (ari.conf)" in finding.text


async def test_nobody_there_is_named(pbx: AriPbx, tmp_path: Path) -> None:
    words = settings(pbx, tmp_path)
    await pbx.stop()
    [finding] = await check("voice", words, [])
    assert "cannot be reached; is Asterisk running" in finding.text


async def test_something_else_that_speaks_http_is_named(pbx: AriPbx, tmp_path: Path) -> None:
    [line] = await said(pbx, tmp_path, url=pbx.url.replace("/ari", "/other"))
    assert "no ARI" in line


async def test_an_asterisk_that_is_too_old_is_named(pbx: AriPbx, tmp_path: Path) -> None:
    pbx.rest.version = "13.38.3"
    assert "at least 16 is needed" in (await said(pbx, tmp_path))[0]


async def test_the_command_prints_it_and_fails(pbx: AriPbx, tmp_path: Path) -> None:
    words = settings(pbx, tmp_path)
    file = tmp_path / "router.yaml"
    file.write_text(CONFIG.replace("URL", pbx.url).replace("FILE", words["password_file"]))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "router", "doctor", "--adapters", "-c", str(file),
        "--data", str(tmp_path / "data"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 1, err.decode()
    assert "voice: endpoint PJSIP/ana is not configured at the PBX" in out.decode()
