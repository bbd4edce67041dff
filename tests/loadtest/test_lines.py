"""Customers over real protocols: short days with real peers, and what their books give away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loadtest import pbx_server
from loadtest.lines import compare, kinds, marks
from loadtest.lines.book import Book, Call
from loadtest.lines.switchboard import Switchboard
from loadtest.runs import judge, page, profile, run
from loadtest.runs.audit import Audit
from loadtest.runs.measures import Measures
from loadtest.runs.profile import CHANNEL, Profile
from loadtest.runs.writing import Notes, Offer

NOTHING = ("audit_faults", "unanswered", "desk_shed", "wrong_answers", "client_errors",
           "live_at_end")  # fmt: skip
"""No slow machine explains one of these."""


def short_day() -> tuple[Profile, Path]:
    """All lines, side by side, for some seconds, with agents enough."""
    found, folder = run.read("real-channels")
    found.customers = [kind for kind in found.customers if kind.over != "api"]
    for agents, count in zip(found.agents, (6, 12), strict=True):
        agents.count = count
    found.phases = [profile.Phase(name="even", seconds=3.0, rate=10.0)]
    found.clients = 1
    return found, folder


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_short_day_over_real_protocols_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, folder = short_day()
    reasons = {over: kinds.missing(over) for over in wanted.lines}
    there = [over for over, reason in reasons.items() if not reason]
    if not there:
        pytest.skip("; ".join(reasons.values()))
    monkeypatch.setenv("STARTED_BY", str(tmp_path))
    result = run.run(wanted, folder)
    found, outcome = result.figures, result.outcome
    wrong = {
        "audit": [text for one in outcome.audits.values() for text in one.wrong],
        **{name: found[name] for name in NOTHING if found[name]},
    }
    assert wrong == {"audit": []}
    assert outcome.left_out == {over: reason for over, reason in reasons.items() if reason}
    assert sum(found[f"{CHANNEL[over]}: due"] for over in there) == found["due"]
    page_text, words = result.write(tmp_path, "day").read_text(), result.text()
    for over in there:
        channel = CHANNEL[over]
        due = found[f"{channel}: due"]
        assert due > 0
        legs = {leg for leg in outcome.measures.legs if leg.endswith(f".{channel}")}
        if over == "sip":
            assert found["voice: served"] + found["voice: gave_up"] == due
            assert {"taken.voice", "rings.voice", "hears.voice", "ends.voice"} <= legs
        else:
            (each,) = {1 + kind.messages for kind in wanted.customers if kind.over == over}
            assert found[f"{channel}: contacts"] == due
            assert found[f"{channel}: texts"] == found[f"{channel}: answers"] == each * due
            # A centre that does not answer in time leaves it unknown, and that is said.
            failed = found[f"{channel}: answers_failed"]
            assert failed <= due // 4
            assert found[f"{channel}: answers_got"] == each * due - failed
            assert {f"{leg}.{channel}" for leg in ("taken", "offer", "message", "reply")} <= legs
        assert f"<h3>{channel}</h3>" in page_text
        assert f"\n  {channel}: " in words
    for over, reason in outcome.left_out.items():
        assert f"left out: {CHANNEL[over]} over {over}: {reason}" in words
    assert left_over(f"STARTED_BY={tmp_path}") == []


def left_over(token: str) -> list[str]:
    """Processes that were started by this test and are still there."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = token.encode() in (place / "environ").read_bytes()
            words = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it has ended, or is somebody else's
        if is_ours and int(place.name) != os.getpid():
            found.append(words)
    return found


# --- what is not there ----------------------------------------------------------------------------


def test_what_is_missing_is_said_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(kinds, "PATH", str(tmp_path))
    monkeypatch.setattr(pbx_server, "UNPACKED", tmp_path)
    assert "apt-get install nodejs npm" in kinds.missing("smpp")
    assert "apt-get install dovecot-imapd dovecot-lmtpd" in kinds.missing("mail")
    assert "run .ci/asterisk" in kinds.missing("sip")


def test_a_day_without_one_of_its_peers_expects_nothing_of_that_channel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pbx_server, "UNPACKED", tmp_path)
    wanted, _ = run.read("real-channels")
    left_out = Switchboard(wanted, tmp_path).left_out
    assert "sip" in left_out
    names = {verdict.name for verdict in judge.judge(wanted, {}, ["sip"])}
    assert not any("voice" in name for name in names)
    assert {"audit_faults", "sms: answers_lost", "offer.email_p99_ms"} <= names


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"channel": "chat"}, "their channel is sms"),
        ({"patience": profile.Span(mean_s=1)}, "no patience"),
        ({"requirements": {"english": 1}}, "requirements"),
        ({"entry_point": "nowhere"}, "needs an address"),
    ],
)
def test_what_a_protocol_cannot_carry_is_refused(change: dict[str, object], says: str) -> None:
    wanted, _ = run.read("real-channels")
    wanted.customers = [kind for kind in wanted.customers if kind.over == "smpp"]
    for name, value in change.items():
        setattr(wanted.customers[0], name, value)
    assert any(says in words for words in profile.impossible(wanted))


def test_calls_need_phones_and_one_channel_has_one_way() -> None:
    wanted, _ = run.read("real-channels")
    assert not list(profile.impossible(wanted))
    for agents in wanted.agents:
        agents.phone = False
    wanted.customers[1].over = "api"
    wanted.customers.append(profile.Customers(name="more", channel="sms", entry_point="text",
                                              over="smpp"))  # fmt: skip
    found = " ".join(profile.impossible(wanted))
    assert "need agents with `phone: true`" in found
    assert "others of channel sms come over api" in found


# --- what the books give away ---------------------------------------------------------------------

FIRST, SECOND = "lt-4915100000001-1-1000000", "lt-4915100000002-1-2000000"
OURS, MORE = "lt-front0001-1-3000000", "lt-front0001-2-4000000"


def good() -> tuple[Book, Notes, Audit]:
    """Two customers who wrote once, and were answered."""
    book = Book(
        "smpp", due={"+4915100000001": 1.0, "+4915100000002": 2.0},
        sent={FIRST: True, SECOND: True}, got={OURS: 1, MORE: 1},
    )  # fmt: skip
    offers = [Offer("sms", f"+491510000000{n}", f"c{n}", n + 0.25, True) for n in (1, 2)]
    notes = Notes(offers, {"m1": FIRST, "m2": SECOND}, {"m3": ("sms", OURS), "m4": ("sms", MORE)})
    return book, notes, Audit(received={"sms": 2}, settled={"m3": "done", "m4": "delivered"})


def compared(book: Book, notes: Notes, stream: Audit) -> tuple[dict[str, float], str]:
    measures = Measures()
    measures.count("due.sms", 2)
    found, wrong = compare.read([book], notes, stream, measures)
    return found, "; ".join(wrong)


def test_books_that_agree_give_nothing_away_and_the_leg_runs_from_the_customers_end() -> None:
    measures = Measures()
    measures.count("due.sms", 2)
    book, notes, stream = good()
    found, wrong = compare.read([book], notes, stream, measures)
    assert wrong == []
    assert (found["sms: texts"], found["sms: answers_got"]) == (2, 2)
    assert measures.leg("offer.sms", range(5)).count == 2
    assert measures.leg("offer.sms", range(5)).percentile(1.0) == pytest.approx(0.25, rel=0.02)


def test_an_answer_that_never_came_is_lost_unless_it_is_said_to_have_failed() -> None:
    book, notes, stream = good()
    del book.got[OURS]
    found, wrong = compared(book, notes, stream)
    assert found["sms: answers_lost"] == 1
    assert "1 answers_lost" in wrong
    stream.settled["m3"] = "failed"
    found, wrong = compared(book, notes, stream)
    assert (found["sms: answers_lost"], found["sms: answers_failed"], wrong) == (0, 1, "")


def test_what_came_twice_is_found_at_either_end() -> None:
    book, notes, stream = good()
    book.got[OURS] = 2
    notes.heard["m9"] = FIRST
    notes.offers.append(Offer("sms", "+4915100000001", "c9", 3.0, False))
    found, wrong = compared(book, notes, stream)
    assert found["sms: answers_doubled"] == found["sms: texts_doubled"] == 1
    assert found["sms: contacts_doubled"] == 1
    for word in ("answers_doubled", "texts_doubled", "contacts_doubled"):
        assert word in wrong


def test_a_text_that_arrived_and_no_desk_has_seen_is_lost_unless_somebody_still_waits() -> None:
    book, notes, stream = good()
    del notes.heard["m1"]
    assert "1 texts_unseen" in compared(book, notes, stream)[1]
    stream.live = 1
    found, wrong = compared(book, notes, stream)
    assert (found["sms: texts_unseen"], wrong) == (1, "")


def test_a_call_in_which_not_both_hear_each_other_is_broken() -> None:
    measures = Measures()
    measures.count("due.voice", 2)
    silent = Call(due_s=1.0, taken_s=1.1, rung_s=1.2, picked_s=2.0, sounded=True, is_silent=True)
    heard = Call(due_s=1.0, rung_s=1.2, picked_s=2.0, sounded=True, heard_s=2.1)
    book = Book("sip", calls={"+1": silent, "+2": heard})
    found, wrong = compare.read([book], Notes(), Audit(received={"voice": 2}), measures)
    assert (found["voice: served"], found["voice: unheard"]) == (2, 1)
    assert "1 unheard" in " ".join(wrong)


def test_a_mark_says_who_when_and_what_it_answers() -> None:
    mark = marks.make("front0001", 7, 12.5)
    said = marks.read(f"Hello\n{mark} re 2/3 we have a look")
    assert said == marks.Text(mark, 2, 3)
    assert (said.due_s, said.is_last) == (12.5, False)
    assert marks.read("lt-1-2-3000 without an order") is None
    assert page.figure(12.5) == "12.50"
