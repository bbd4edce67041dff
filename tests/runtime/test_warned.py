"""What can hardly be meant by a rule book stands in the log, once for as long as it is so."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from loadtest.server import free_port
from router import app

FILE = """
server: {}
queues: {care: {}, billing: {}}
rules:
  - {name: hour, then: {schedule: learned_window}}
"""
MORE = "  - {name: never, when: 1 > 2, then: {queue: billing}}\n"


async def test_start_and_reload_say_each_warning_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "shop.yaml"
    port = free_port()
    file = FILE.replace("{}", f"{{port: {port}}}", 1)
    path.write_text(file)
    server = app.Server(app.load_config(path), path, data=tmp_path / "data")
    with caplog.at_level(logging.WARNING, "router.app"):
        await server.start()
        try:
            first = said(caplog)
            await server.reload("test")
            assert said(caplog) == first
            path.write_text(file + MORE)
            await server.reload("test")
            both = said(caplog)
            path.write_text(file)
            await server.reload("test")
            assert said(caplog) == both
            path.write_text(file + MORE)
            await server.reload("test")
        finally:
            await server.stop()
    (hour,) = first
    assert hour[0] == "main"
    assert hour[1].startswith(f"{path}:5:5: rules[0]: 'hour' 'schedule' has no effect on inbound")
    never = f"{path}:6:5: rules[1]: 'never' never matches"
    assert [warning.startswith(never) for _, warning in said(caplog)[1:]] == [True, True]


async def test_a_reload_that_the_store_does_not_take_is_told_and_is_no_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "shop.yaml"
    port = free_port()
    path.write_text(FILE.replace("{}", f"{{port: {port}}}", 1))
    server = app.Server(app.load_config(path), path, data=tmp_path / "data")
    await server.start()
    try:
        server.hosts["main"].workspace.end("planted")
        path.write_text(path.read_text() + MORE)
        await app._reload(server)
    finally:
        await server.stop()
    (told,) = [r for r in caplog.records if r.getMessage() == "configuration not taken"]
    assert "planted" in vars(told)["why"]


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Workspace and warning of each line."""
    return [
        (vars(record)["workspace"], vars(record)["warning"])
        for record in caplog.records
        if record.getMessage() == "rule book"
    ]
