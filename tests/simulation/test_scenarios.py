"""Stories in tests/scenarios; `REWRITE=1 pytest` writes their transcripts anew, for review."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import pytest

from router.core import commands as c
from router.core.customer_commands import CustomerCommand
from router.testing import scenario

STORIES = sorted((Path(__file__).parent.parent / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=[path.stem for path in STORIES])
def test_story(path: Path) -> None:
    text = path.read_text()
    played = scenario.run(text, path.name)
    if os.environ.get("REWRITE") and played != text:
        path.write_text(played)
    assert played == text or os.environ.get("REWRITE"), "the transcript differs: REWRITE=1 shows it"
    assert text.startswith("#"), "a story begins with what it is about"


def test_there_are_stories() -> None:
    assert len(STORIES) >= 30


PLAYED: dict[type, str] = {
    c.SubmitContact: "levels",
    c.ReceiveMessage: "messages-join",
    c.SendMessage: "messages-that-fail",
    c.AbandonContact: "abandon",
    c.CancelContact: "scheduled-cancelled",
    c.ReprioritizeContact: "reprioritize",
    c.MoveContact: "supervisor",
    c.RequireSkills: "supervisor",
    c.PullContact: "supervisor",
    c.WatchContact: "supervisor",
    c.UpdateContact: "attributes",
    c.RequestCallback: "callback-keeps-its-place",
    c.RescheduleContact: "scheduled",
    c.SwitchChannel: "channel-switch",
    c.LinkContact: "outbound-call-is-linked",
    c.RecordAudit: "audit",
    c.AcceptOffer: "rona",
    c.RejectOffer: "rejections-cool-down",
    c.ConnectReservation: "rona",
    c.FailReservation: "leg-does-not-come-up",
    c.CompleteContact: "hold-customer",
    c.FinishWrapUp: "wrap-up-holds-its-own-units",
    c.ExtendWrapUp: "extended-wrap-up",
    c.ParkContact: "parking",
    c.HoldCustomer: "hold-customer",
    c.ResumeCustomer: "hold-customer",
    c.TransferContact: "transfer-to-an-agent",
    c.RequeueContact: "requeue",
    c.StartConsult: "consult-and-hand-over",
    c.EndConsult: "consult-and-hand-over",
    c.SetConference: "conference",
    c.StartMonitor: "supervisor-listens",
    c.EndMonitor: "supervisor-listens",
    c.RecordCall: "recording",
    c.FailRecording: "recording",
    c.AgentHungUp: "agent-hangs-up",
    c.PutAgent: "levels",
    c.RemoveAgent: "agent-dismissed",
    c.SetPresence: "levels",
    c.DeskLost: "agent-lost",
    c.DeskBack: "agent-lost",
    c.AskRoute: "route-request",
    c.ReportInput: "collect-input",
    c.CollectInput: "collect-input",
    c.SettleEffect: "messages-that-fail",
    c.ProvideCustomer: "customer-is-brought",
    c.ReportLive: "adapter-says-what-is-there",
    c.ApplyPolicy: "reload",
    c.StepClock: "clock-is-set",
    c.PauseChannel: "channel-paused",
    c.ResumeChannel: "channel-paused",
}


@pytest.mark.parametrize("command", PLAYED, ids=[kind.__name__ for kind in PLAYED])
def test_a_story_tells_each_command(command: type) -> None:
    story = scenario.Story()
    path = next(path for path in STORIES if path.stem == PLAYED[command])
    scenario.run(path.read_text(), path.name, story)
    assert command in {type(asked) for asked in story.commands}


def test_only_dead_letters_and_customers_have_no_story() -> None:
    # What is said about customers is completed from their rows by the runtime: tests/api has it.
    of_customers = {*get_args(CustomerCommand), c.HearKeyword}
    assert set(get_args(c.Command)) - PLAYED.keys() == {c.DeadLetter} | of_customers


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dance ana", "no such word: 'dance'"),
        ("contact c1 voice colour=red", "not understood: colour"),
        ("wait soon", "expected a length like 20s, got 'soon'"),
        ("accept", "expected reservation"),
    ],
)
def test_a_wrong_word_is_named_with_its_line(line: str, words: str) -> None:
    with pytest.raises(scenario.ScenarioError) as caught:
        scenario.run(f"# a story\nagent ana\n{line}\n----\n", "odd.txt")
    assert "odd.txt:3" in str(caught.value)
    assert words in str(caught.value)
