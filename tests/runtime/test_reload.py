"""A configuration is read again where several workspaces are served, and one cannot take it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from loadtest.server import free_port
from router import app
from router.core.commands import Command, RequestCallback, SubmitContact, SwitchChannel
from router.core.model import ContactId, QueueId
from router.core.policy import Policy
from router.errors import OutcomeUnknown, Refused, StoreFull
from router.journal import RowWrite
from router.runtime.loop import Workspace

FILE = """
server: {port: PORT}
workspaces:
  east: {queues: {care: {wrap_up: 10s}}}
  west: {queues: {care: {wrap_up: 10s}}}
"""


class Served:
    """A server of two workspaces and its file."""

    def __init__(self, path: Path, text: str = FILE) -> None:
        self.text = text.replace("PORT", str(free_port()))
        self.path = path
        self.write(10)
        self.server = app.Server(app.load_config(path), path, data=path.parent / "data")

    def write(self, seconds: int) -> None:
        self.path.write_text(self.text.replace("10s", f"{seconds}s"))

    def workspace(self, name: str) -> Workspace:
        return self.server.hosts[name].workspace

    def wrap_ups(self) -> dict[str, int]:
        """In force, by workspace."""
        return {name: wrap_up(self.workspace(name).policy) for name in ("east", "west")}

    def shown(self) -> dict[str, int]:
        """What the API shows as the configuration in force."""
        assert self.server.context is not None
        found = self.server.context.config.workspaces
        return {name: wrap_up(settings.policy) for name, settings in found.items()}


def wrap_up(policy: Policy) -> int:
    (length_us,) = {*policy.queues["care"].wrap_up_us.values()}
    return length_us // 1_000_000


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    made = Served(tmp_path / "two.yaml")
    await made.server.start()
    yield made
    await made.server.stop()


async def test_one_that_takes_nothing_now_is_found_before_anybody_has_changed(
    served: Served,
) -> None:
    west = served.workspace("west")
    west.writer._stuck = "the disk is full"
    served.write(20)
    with pytest.raises(StoreFull, match="west: the disk is full"):
        await served.server.reload("test")
    assert served.wrap_ups() == served.shown() == {"east": 10, "west": 10}
    west.writer._stuck = ""
    await served.server.reload("test")
    assert served.wrap_ups() == served.shown() == {"east": 20, "west": 20}


@pytest.mark.parametrize("error", [StoreFull, OutcomeUnknown])
async def test_where_one_fails_half_way_it_is_said_who_has_what_and_the_next_reload_brings_the_rest(
    served: Served, monkeypatch: pytest.MonkeyPatch, error: type[StoreFull | OutcomeUnknown]
) -> None:
    async def full(command: Command, rows: list[RowWrite]) -> None:
        raise error("workspace west: the disk is full")

    with monkeypatch.context() as planted:
        planted.setattr(served.workspace("west"), "ask", full)
        served.write(20)
        with pytest.raises(error) as told:
            await served.server.reload("test")
    assert "east: in force; west: as before" in str(told.value)
    assert "the disk is full" in str(told.value)
    assert served.wrap_ups() == served.shown() == {"east": 20, "west": 10}
    changes = await served.server.reload("test")
    assert changes == ["west: queue 'care' changed"]
    assert served.wrap_ups() == served.shown() == {"east": 20, "west": 20}


async def test_settings_that_came_into_force_after_all_are_taken_back_when_the_file_is(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    west = served.workspace("west")
    ask = west.ask

    async def late(command: Command, rows: list[RowWrite]) -> None:
        await ask(command, rows=rows)
        raise OutcomeUnknown("workspace west: the store does not answer")

    with monkeypatch.context() as planted:
        planted.setattr(west, "ask", late)
        served.write(20)
        with pytest.raises(OutcomeUnknown):
            await served.server.reload("test")
    assert served.wrap_ups() == {"east": 20, "west": 20}
    served.write(10)
    await served.server.reload("test")
    assert served.wrap_ups() == served.shown() == {"east": 10, "west": 10}


FAX = "channels: {fax: {cost: 20, maximum: 2}}"
LEAVES = f"""
server: {{port: PORT}}
queues: {{care: {{wrap_up: 10s}}, night: {{}}}}
{FAX}
"""


async def test_what_a_removed_queue_and_channel_still_hold_is_served_and_shown(
    tmp_path: Path,
) -> None:
    made = Served(tmp_path / "one.yaml", LEAVES)
    await made.server.start()
    try:
        workspace = made.workspace("main")
        contact = ContactId("c1")
        await workspace.ask(SubmitContact(contact=contact, channel="fax", queue=QueueId("night")))
        made.text = made.text.replace(", night: {}", "").replace(FAX, "")
        made.write(10)
        await made.server.reload("test")
        assert {*workspace.policy.queues} == {"care", "night"}
        with pytest.raises(Refused, match="no phone address"):
            await workspace.ask(
                RequestCallback(contact=contact, callback=ContactId("c2"), channel="voice")
            )
        await workspace.ask(SwitchChannel(contact=contact, channel="chat", queue=QueueId("care")))
        made.write(20)
        await made.server.reload("test")
        assert {*workspace.policy.queues} == {"care"}
        assert "fax" not in workspace.policy.channels
    finally:
        await made.server.stop()
