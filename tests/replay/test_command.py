"""`contact-router replay` as an operations manager meets it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner, Result

from router.__main__ import main
from router.config import load
from router.core import commands as c
from router.core import events as e
from router.core.model import AgentId, ContactId, Presence
from router.journal import AppendResult, Commit
from router.journal.codec import encode_event
from router.journal.sqlite import SqliteJournal
from tests.replay.records import WORKSPACE, Day, write
from tests.replay.test_changed import s

OLD = """
queues:
  care: {target: {voice: 20s}, require: {english: 5}, offer: {timeout: 15s}}
profiles:
  care: {care: 1}
entry_points:
  line: {channel: voice, address: "+49301", queue: care}
"""
NEW = OLD.replace("offer:", "steps: [{after: 10s, lower: {english: 1}}], offer:")


def traffic(config: Path) -> Day:
    """A hundred calls for three agents of whom one knows little English; some callers leave."""
    policy = load(config).workspaces[WORKSPACE].policy
    rng, day = Random(11), Day(policy)
    for name, level in (("ana", 8), ("bo", 7), ("cy", 2)):
        put = c.PutAgent(agent=AgentId(name), profile="care", skills={"english": level})
        day.at(s(0), put)
        day.at(s(0), c.SetPresence(agent=AgentId(name), presence=Presence.READY))
    due: list[tuple[float, int, str, str]] = []
    for number in range(100):
        at = number * 18.0 + rng.uniform(0, 10)
        due.append((at, number, "comes", f"c{number}"))
        due.append((at + rng.uniform(15, 90), number, "leaves", f"c{number}"))
    while due:
        due.sort()
        at, number, what, id_ = due.pop(0)
        contact = day.engine.state.contacts.get(ContactId(id_))
        first = len(day.frames)
        if what == "comes":
            day.at(
                s(at), c.SubmitContact(contact=ContactId(id_), channel="voice", entry_point="line")
            )
        elif what == "leaves" and contact and contact.state in ("queued", "offered"):
            day.at(s(at), c.AbandonContact(contact=contact.id, reason="hung up"))
        elif what == "accept" and id_ in day.engine.state.reservations:
            day.at(s(at), c.AcceptOffer(reservation=day.engine.state.reservations[id_].id))  # type: ignore[index]
        elif what == "connect" and id_ in day.engine.state.reservations:
            day.at(s(at), c.ConnectReservation(reservation=day.engine.state.reservations[id_].id))  # type: ignore[index]
        elif what == "done" and contact and contact.state == "active":
            day.at(s(at), c.CompleteContact(contact=contact.id))
        for _, events in day.frames[first:]:
            for event in events:
                if isinstance(event, e.ContactOffered):
                    due.append((at + rng.uniform(1, 6), number, "accept", event.reservation))
                elif isinstance(event, e.ReservationConnecting):
                    due.append((at + rng.uniform(0.5, 2), number, "connect", event.reservation))
                elif isinstance(event, e.ReservationConnected):
                    due.append((at + rng.uniform(20, 80), number, "done", event.contact))
    return day


class Office:
    """Two configurations and a data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.old, self.new = directory / "old.yaml", directory / "new.yaml"
        self.data = directory / "data"
        self.old.write_text(OLD)
        self.new.write_text(NEW)

    def replay(self, *words: str, data: Path | None = None) -> Result:
        arguments = ["replay", "--data", str(data or self.data), *words]
        return CliRunner().invoke(main, arguments)

    def compared(self, *words: str, data: Path | None = None) -> dict[str, Any]:
        file = self.directory / "out.json"
        result = self.replay("--config", str(self.new), "--json", str(file), *words, data=data)
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(file.read_bytes())
        return found


@pytest.fixture
async def office(tmp_path: Path) -> Office:
    office = Office(tmp_path)
    await write(office.data, traffic(office.old).frames)
    return office


async def test_the_report_shows_what_happened_the_control_and_the_new_policy(
    office: Office,
) -> None:
    result = office.replay(
        *("--config", str(office.new), "--against", str(office.old), "--moved", "3")
    )
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    head = next(line for line in lines if line.startswith("care / voice"))
    assert head.split() == [
        "care",
        "/",
        "voice,",
        "T",
        "=",
        "20",
        "s",
        "happened",
        "control",
        "new",
    ]
    assert "the unchanged policy repeats 100 of 100 contacts exactly" in result.output
    assert (
        "service_level: SL6: answered within T / (answered + abandoned - short abandons)" in lines
    )
    assert "step" in result.output
    assert sum(line.startswith("    after") for line in lines) == 3


async def test_the_numbers_are_those_of_the_journal_and_the_relaxed_policy_answers_sooner(
    office: Office,
) -> None:
    found = office.compared("--against", str(office.old))
    columns = found["columns"]
    assert columns["happened"] == columns["control"]
    before, after = columns["happened"]["all"], columns["new"]["all"]
    assert before["received"] == after["received"] == 100
    assert before["answered"] + before["abandoned"] == 100
    assert before["abandoned"] > 10
    assert after["wait_mean_s"] < before["wait_mean_s"]
    assert after["abandoned"] < before["abandoned"]
    waits = [before["wait_p50_s"], before["wait_p90_s"], before["wait_p99_s"]]
    assert waits == sorted(waits)
    by_cy = [move for move in found["moved"]["contacts"] if move["after"]["agent"] == "cy"]
    assert by_cy
    assert all("step" in move["after"]["why"] for move in by_cy)
    assert found["patience"]["care/voice"]["left"] == before["abandoned"]


async def test_the_unchanged_configuration_alone_is_the_control(office: Office) -> None:
    office.new.write_text(OLD + "\n# a remark changes nothing\n")
    found = office.compared()
    assert found["equality"] == {
        "contacts": 100,
        "equal": 100,
        "differing": [],
        "only_in_replay": [],
    }
    assert found["moved"]["contacts"] == []


async def test_nothing_is_written_and_a_backup_gives_the_same(office: Office) -> None:
    (file,) = office.data.glob("ws-*.db")
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    found = office.compared()
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
    journal = SqliteJournal(office.data)
    await journal.backup(office.directory / "copy")
    await journal.close()
    copies = {path: path.read_bytes() for path in (office.directory / "copy").iterdir()}
    assert office.compared(data=office.directory / "copy") == found
    assert {path: path.read_bytes() for path in (office.directory / "copy").iterdir()} == copies


async def test_beside_a_running_owner_it_reads_one_moment_and_disturbs_nobody(
    office: Office,
) -> None:
    journal = SqliteJournal(office.data)
    own = await journal.acquire(WORKSPACE)
    found = office.compared()
    assert found["columns"]["happened"]["contacts"] == 100
    event = encode_event(e.AuditRecorded(at_us=s(9000), action="still here"))
    commit = Commit(own.seq + 1, s(9000), [event])
    assert await journal.append(own, commit) is AppendResult.OK
    await journal.release(own)
    await journal.close()


async def test_a_trimmed_span_is_refused_with_the_oldest_moment_and_a_later_one_warms_up(
    office: Office,
) -> None:
    journal = SqliteJournal(office.data)
    own = await journal.acquire(WORKSPACE)
    await journal.trim(own, own.seq // 3)
    await journal.release(own)
    await journal.close()
    refused = office.replay("--config", str(office.new), "--from", "2026-03-10T09:00")
    assert refused.exit_code == 1
    assert "trimmed; the oldest moment kept is 2026-03-10T09:" in refused.output
    found = office.compared("--from", "2026-03-10T09:15")
    assert "warm-up" in found["start"]
    assert 40 < found["columns"]["new"]["contacts"] < 60
    assert found["columns"]["new"]["contacts"] == found["columns"]["happened"]["contacts"]


async def test_a_span_in_the_middle_counts_only_who_arrived_in_it(office: Office) -> None:
    words = ("--from", "2026-03-10T09:10", "--until", "2026-03-10T09:20+00:00")
    found = office.compared("--against", str(office.old), *words)
    assert found["columns"]["happened"] == found["columns"]["control"]
    assert 28 < found["columns"]["happened"]["contacts"] < 38
    assert found["equality"]["equal"] == found["equality"]["contacts"]


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("--from", "yesterday"), "--from: expected a moment such as", 1),
        (("--from", "2026-03-10T09:10", "--until", "2026-03-10T09:10"), "after", 1),
        (("--workspace", "nobody"), "no workspace 'nobody'; there are: main", 2),
        (("--data", "/nowhere"), "a data directory or a backup is expected", 1),
    ],
)
async def test_mistakes_are_told_in_words(
    office: Office, words: tuple[str, ...], said: str, code: int
) -> None:
    result = office.replay("--config", str(office.new), *words)
    assert (result.exit_code, said in result.output) == (code, True), result.output
