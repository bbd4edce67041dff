"""The lab's auditor: a true run is believed, and each broken promise is found in its raw logs."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.auditor import Auditor, Verdict, audit
from tests.lab.raw import Raw, read

Logs = dict[str, list[dict[str, Any]]]

EVENTS = [
    {"type": "ContactReceived", "contact": "c1", "channel": "sms", "external_id": "e1",
     "attributes": {"mark": "m1"}},
    {"type": "MessageReceived", "contact": "c1", "message": "t1", "size": 4},
    {"type": "ContactOffered", "reservation": "r1", "contact": "c1", "agent": "ana",
     "channel": "sms", "units": 20},
    {"type": "OfferAccepted", "reservation": "r1", "contact": "c1", "agent": "ana"},
    {"type": "ReservationConnected", "reservation": "r1", "contact": "c1", "agent": "ana"},
    {"type": "MessageSent", "contact": "c1", "message": "t2", "size": 4},
    {"type": "ContactClosed", "contact": "c1", "outcome": "completed"},
    {"type": "ReservationEnded", "reservation": "r1", "contact": "c1", "agent": "ana"},
]  # fmt: skip


def story() -> Logs:
    """A run in which one contact came, was served and ended, while the owner was killed once."""
    seen = [{"k": "event", "seq": n, "event": e} for n, e in enumerate(EVENTS, 1)]
    accept = {"type": "accept", "reservation": "r1"}
    complete = {"type": "complete", "contact": "c1"}
    send = {"type": "send", "contact": "c1", "text": "bye"}
    return {
        "customers": [
            {"t": 1.0, "k": "ask", "mark": "m1"},
            {"t": 1.1, "k": "ack", "mark": "m1", "contact": "c1", "text": "hi", "s": 0.1},
        ],
        "desks": [
            {"t": 1.2, "k": "push", "agent": "ana", "epoch": 1, "seq": 3, "event": EVENTS[2]},
            {"t": 1.4, "k": "ok", "agent": "ana", "command": accept, "seq": 5},
            {"t": 4.9, "k": "welcome", "agent": "ana", "epoch": 2, "seq": 5, "resumed": True,
             "held": [["r1", "c1", "connected"]]},
            {"t": 5.0, "k": "ok", "agent": "ana", "command": send, "seq": 6},
            {"t": 5.2, "k": "ok", "agent": "ana", "command": complete, "seq": 8},
        ],
        "backend": [
            {"t": 5.1, "k": "effect", "id": "x1", "epoch": 2, "type": "DeliverMessage",
             "message": "t2", "done": True, "late": False, "again": False},
        ],
        "streams": [
            {"t": 1.0, "k": "open", "reader": 0, "after": 0},
            *({"t": 1.5, "reader": 0, **line} for line in seen),
        ],
        "lab": [
            {"t": 2.0, "k": "fault", "number": 1, "name": "killed", "where": [], "phase": "begin"},
            {"t": 4.0, "k": "owner", "node": "router2", "epoch": 2},
            {"t": 4.5, "k": "fault", "number": 1, "name": "killed", "where": ["router1"],
             "phase": "over"},
            {"t": 6.0, "k": "fault", "number": 1, "name": "killed", "where": ["router1"],
             "phase": "settled"},
        ],
        "final": [
            *({"t": 9.0, **line} for line in seen),
            {"t": 9.0, "k": "contact",
             "contact": {"id": "c1", "state": "closed", "outcome": "completed"}},
            {"t": 9.0, "k": "messages", "contact": "c1", "texts": ["hi", "bye"]},
        ],
    }  # fmt: skip


def judged(directory: Path, logs: Logs) -> Verdict:
    directory.mkdir(exist_ok=True)
    for name, lines in logs.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (directory / f"{name}.jsonl").write_text(text)
    return Auditor(directory).judge()


def test_a_true_run_is_believed(tmp_path: Path) -> None:
    verdict = judged(tmp_path, story())
    assert verdict.findings == {}
    assert verdict.counts["contacts acknowledged"] == 1
    assert verdict.counts["events"] == len(EVENTS)


def test_the_silence_of_a_fault_and_its_takeover_are_told(tmp_path: Path) -> None:
    (fault,) = judged(tmp_path, story()).faults
    assert (fault.silence_s, fault.takeover_s, fault.where) == (3.6, 2.0, ["router1"])


def final(logs: Logs, kind: str) -> list[dict[str, Any]]:
    return [line for line in logs["final"] if line["k"] == kind]


def contact_lost(logs: Logs) -> None:
    other = {"t": 1.3, "k": "ack", "mark": "m2", "contact": "c2", "text": "", "s": 0.1}
    logs["customers"] += [{"t": 1.2, "k": "ask", "mark": "m2"}, other]


def accept_lost(logs: Logs) -> None:
    command = {"type": "accept", "reservation": "r9"}
    logs["desks"].append({"t": 3.0, "k": "ok", "agent": "ben", "command": command, "seq": 5})


def message_lost(logs: Logs) -> None:
    final(logs, "messages")[0]["texts"] = ["hi"]


def message_doubled(logs: Logs) -> None:
    final(logs, "messages")[0]["texts"] = ["hi", "bye", "bye"]


def completion_lost(logs: Logs) -> None:
    command = {"type": "complete", "contact": "c2"}
    logs["desks"].append({"t": 3.0, "k": "ok", "agent": "ben", "command": command, "seq": 5})


def a_reader_saw_another_event(logs: Logs) -> None:
    logs["streams"][4]["event"] = {**EVENTS[3], "agent": "ben"}


def a_reader_saw_what_is_gone(logs: Logs) -> None:
    event = {"type": "PresenceChanged", "agent": "ana"}
    logs["streams"].append({"t": 2.0, "k": "event", "reader": 0, "seq": 9, "event": event})


def a_reader_missed_one(logs: Logs) -> None:
    del logs["streams"][3]


def a_desk_saw_another_event(logs: Logs) -> None:
    logs["desks"][0]["event"] = {**EVENTS[2], "contact": "c7"}


def accepted_by_two(logs: Logs) -> None:
    more = [
        {"type": "ContactOffered", "reservation": "r2", "contact": "c1", "agent": "ben",
         "channel": "sms", "units": 20},
        {"type": "OfferAccepted", "reservation": "r2", "contact": "c1", "agent": "ben"},
        {"type": "OfferRescinded", "reservation": "r2", "contact": "c1", "agent": "ben"},
    ]  # fmt: skip
    events = [*EVENTS[:5], *more, *EVENTS[5:]]
    logs["streams"] = []
    logs["desks"][2]["seq"] = 8
    rest = [line for line in logs["final"] if line["k"] != "event"]
    logs["final"] = [
        *({"t": 9.0, "k": "event", "seq": n, "event": e} for n, e in enumerate(events, 1)),
        *rest,
    ]


def too_much_for_one(logs: Logs) -> None:
    for log in ("final", "streams"):
        line = next(line for line in logs[log] if line["k"] == "event" and line["seq"] == 3)
        line["event"] = {**line["event"], "units": 101}


def a_deposed_owner_acts(logs: Logs) -> None:
    late = {**logs["backend"][0], "id": "x2", "t": 5.3, "epoch": 1, "message": "", "type": "Say"}
    logs["backend"].append(late)


def an_effect_twice(logs: Logs) -> None:
    logs["backend"].append({**logs["backend"][0], "t": 5.3, "message": ""})


def a_message_delivered_twice(logs: Logs) -> None:
    logs["backend"].append({**logs["backend"][0], "t": 5.3, "id": "x2"})


def an_effect_of_nothing(logs: Logs) -> None:
    logs["backend"][0]["message"] = "t9"


def epoch_goes_back(logs: Logs) -> None:
    logs["desks"].append({**logs["desks"][2], "t": 6.0, "epoch": 1})


def never_ends(logs: Logs) -> None:
    for log in ("final", "streams"):
        logs[log] = [line for line in logs[log] if line.get("seq", 0) < 7]
    final(logs, "contact")[:] = []
    logs["desks"].pop()


def never_answered(logs: Logs) -> None:
    logs["customers"].append({"t": 1.2, "k": "ask", "mark": "m5"})


def answered_oddly(logs: Logs) -> None:
    logs["desks"].append({"t": 1.2, "k": "odd", "text": "401 at router2"})


def nothing_at_the_end(logs: Logs) -> None:
    logs["final"] = []


def another_contact_for_the_same(logs: Logs) -> None:
    logs["customers"].append({**logs["customers"][1], "t": 5.0, "contact": "c8"})


LIES: list[tuple[Callable[[Logs], None], str]] = [
    (contact_lost, "acknowledged and lost"),
    (accept_lost, "acknowledged and lost"),
    (message_lost, "acknowledged and lost"),
    (message_doubled, "messages doubled"),
    (completion_lost, "acknowledged and lost"),
    (another_contact_for_the_same, "acknowledged and lost"),
    (a_reader_saw_another_event, "sequence numbers with two meanings"),
    (a_reader_saw_what_is_gone, "sequence numbers with two meanings"),
    (a_desk_saw_another_event, "sequence numbers with two meanings"),
    (a_reader_missed_one, "streams with gaps"),
    (accepted_by_two, "contacts accepted twice"),
    (too_much_for_one, "agents over capacity"),
    (a_deposed_owner_acts, "effects of a deposed owner"),
    (an_effect_twice, "effects carried out twice"),
    (a_message_delivered_twice, "effects carried out twice"),
    (an_effect_of_nothing, "effects without a committed reason"),
    (epoch_goes_back, "epochs that went back"),
    (never_ends, "contacts that never end"),
    (never_answered, "never answered"),
    (answered_oddly, "unexpected answers"),
    (nothing_at_the_end, "the run itself"),
]


@pytest.mark.parametrize(("lie", "kind"), LIES, ids=[lie.__name__ for lie, _ in LIES])
def test_a_broken_promise_is_found(tmp_path: Path, lie: Callable[[Logs], None], kind: str) -> None:
    logs = copy.deepcopy(story())
    lie(logs)
    found = judged(tmp_path, logs).findings
    assert kind in found, found


def test_a_failure_in_a_routers_log_is_found(tmp_path: Path) -> None:
    (tmp_path / "router1").mkdir()
    (tmp_path / "router1/log").write_text('{"text":"Traceback (most recent call last)"}\n')
    assert "failures in a log" in judged(tmp_path, story()).findings


def test_the_reports_are_written_beside_the_logs(tmp_path: Path) -> None:
    judged(tmp_path, story())
    verdict = audit(tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["broken"] == verdict.broken() == 0
    assert "0 promises broken" in (tmp_path / "report.txt").read_text()


def test_a_log_whose_writer_died_in_the_middle_of_a_line_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    raw = Raw(path)
    raw.write("ack", mark="m1")
    raw.close()
    with path.open("ab") as log:
        log.write(b'{"k": "ack", "ma')
    assert [line["mark"] for line in read(path)] == ["m1"]
