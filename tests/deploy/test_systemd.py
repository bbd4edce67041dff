"""The systemd units: how closed the service is, and that a Redis never comes back too early."""

from __future__ import annotations

import asyncio
import configparser
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from loadtest.server import ROOT, Server
from router import __main__ as command
from router.app import SHUTDOWN_S
from tests.deploy.running import SMALL, output

UNITS = ROOT / "config/systemd"
ANALYZE = shutil.which("systemd-analyze")
with_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
EXPOSURE = 20
"""Tenths; `systemd-analyze security` says 0 to 100."""


def unit(name: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(UNITS / name)
    return parsed


@with_systemd
async def test_the_service_is_closed_as_far_as_systemd_can_judge() -> None:
    code, text = await output(
        str(ANALYZE), "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager",
        str(UNITS / "contact-router.service"),
    )  # fmt: skip
    assert code == 0, text
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", text)
    assert found
    assert float(found[1]) <= EXPOSURE / 10


@with_systemd
@pytest.mark.parametrize("name", ["contact-router.service", "redis-server.conf"])
async def test_systemd_knows_every_setting(tmp_path: Path, name: str) -> None:
    text = (UNITS / name).read_text()
    text = text.replace("/opt/contact-router/bin/contact-router", sys.executable)
    if name.endswith(".conf"):  # a drop-in, shown as the unit that it makes
        text = text.replace("[Service]\n", f"[Service]\nExecStart={sys.executable}\n")
    place = tmp_path / f"{Path(name).stem}-here.service"
    place.write_text(text)
    code, said = await output(str(ANALYZE), "verify", "--man=no", str(place))
    mine = [line for line in said.splitlines() if place.name in line or str(place) in line]
    assert (code, mine) == (0, []), said


def test_a_dead_redis_stays_away_until_a_replica_is_master() -> None:
    sentinel = (ROOT / "config/redis/sentinel.conf").read_text()
    found = re.search(r"^sentinel down-after-milliseconds \S+ (\d+)$", sentinel, re.MULTILINE)
    assert found
    for name in ("redis-server.conf", "redis-sentinel.conf"):
        service = unit(name)["Service"]
        assert service["Restart"] == "always"
        assert float(service["RestartSec"]) > 2 * int(found[1]) / 1000


def test_a_stop_has_time_for_handing_over_and_a_wrong_configuration_is_not_tried_again() -> None:
    service = unit("contact-router.service")["Service"]
    assert service["Type"] == "notify"
    assert float(service["TimeoutStopSec"]) >= 10 * SHUTDOWN_S
    codes = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert codes == {command.EXIT_CONFIG, command.EXIT_BUSY}


CLOSED = """
import ctypes, errno, os, sys
# prctl(2): no memory that is written and run (as MemoryDenyWriteExecute), no new privileges, and no
# capability that a child could get back.
libc = ctypes.CDLL(None, use_errno=True)
for words in ((65, 1), (38, 1), *((24, n) for n in range(41))):
    # EINVAL: an older kernel does not know it; the test looks at what came of it.
    failed = libc.prctl(*words, *[0] * (5 - len(words))) != 0
    if failed and ctypes.get_errno() != errno.EINVAL:
        sys.exit(f"prctl {words}: {os.strerror(ctypes.get_errno())}")
os.umask(0o077)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def status_of(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="giving up capabilities needs root")
async def test_a_server_runs_without_writable_code_and_without_capabilities(tmp_path: Path) -> None:
    server = Server(tmp_path, SMALL)
    try:
        await server.make_admin()
        (tmp_path / "closed.py").write_text(CLOSED)
        log = (tmp_path / "closed.log").open("ab")
        server.log = tmp_path / "closed.log"
        server.process = await asyncio.create_subprocess_exec(
            sys.executable, str(tmp_path / "closed.py"), "-m", "router", "serve",
            "-c", str(server.config), "--data", str(server.data), cwd=ROOT,
            stderr=log,
        )  # fmt: skip
        log.close()
        await server.until_ready()
        status = status_of(server.process.pid)
        assert re.search(r"^CapBnd:\s+0+$", status, re.MULTILINE)
        assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
        peer = {"address": "+4930123", "to": "+49302"}
        text = {"channel": "sms", "peer": peer, "message": {"text": "hi"}}
        assert (await server.good("POST", "/v1/contacts", text))["created"] is True
        assert await server.stop() == 0
    finally:
        await server.close()
