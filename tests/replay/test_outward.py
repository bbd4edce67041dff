"""Contacts that we begin, played again: what the runtime had said of them is told from the log."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from router.core import commands as c
from router.core import events as e
from router.core.effects import LoadCustomer
from router.core.engine import Outcome
from router.core.facts import CustomerFacts, Facts, LearnedWindow, Outbound, Permission
from router.core.model import AgentId, ContactId, ContactOutcome, Direction, Presence, QueueId
from router.core.policy import Policy, Profile, ProfileQueue, Queue, default_channels
from router.core.rules.book import Moment, Rule
from router.core.rules.verbs import At, GiveUp, Mode, Schedule
from router.replay.reading import Reader
from router.replay.recording import Recording
from router.testing.scenario import Story, run
from tests.core.ruled import book, rule, when
from tests.replay.records import ROOT, Day, again, decided

START_US = 1_773_133_200_000_000
MINUTE = 60_000_000
HOUR = 60 * MINUTE
Q = QueueId("q")
STORIES = sorted((ROOT / "tests" / "scenarios").glob("*.txt"))
OTHERWISE = ("policy ", "queue ", "restart", "profile ", "hours ", "channel ")


class Kept(Story):
    """A story whose events are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[e.Event] = []
        self.restarts = False

    def _commit(self, pulled: str = "") -> None:
        self.events += self._frame
        super()._commit(pulled)

    def restart(self) -> None:
        self.restarts = True
        super().restart()


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_every_story_is_repeated_event_by_event(path: Path) -> None:
    story = Kept()
    run(path.read_text(), path.name, story)
    if story.restarts or any(isinstance(given, c.ApplyPolicy) for given in story.commands):
        return  # one policy, and one process: what a replay can repeat
    policy = story.engine.policy
    repeats(story.events, policy, until_us=story.now_us)


def repeats(happened: list[e.Event], policy: Policy, *, until_us: int = 0) -> Recording:
    """The same policy decides the same, event by event."""
    recording = read(happened, policy, until_us)
    repeated, driver = again(recording, policy)
    expected = decided(happened)
    for was, now in zip(expected, decided(repeated), strict=False):
        assert now == was
    assert len(decided(repeated)) == len(expected)
    assert not driver.refused
    return recording


def read(happened: list[e.Event], policy: Policy, until_us: int = 0) -> Recording:
    reader = Reader(policy)
    for seq, event in enumerate(happened, 1):
        reader.take(seq, event)
    recording = reader.finish()
    recording.last_us = max(recording.last_us, until_us)
    return recording


# --- with rules -----------------------------------------------------------------------------------

WRITES = rule(
    "writes",
    'contact.direction == "outbound"',
    schedule=Schedule(at=At.LEARNED_WINDOW, mode=Mode.MESSAGE_FIRST, template="offer"),
)
CALLS = rule(
    "calls", 'contact.direction == "callback"',
    tier=0, head_start_us=MINUTE,
    schedule=Schedule(at=At.MOMENT, moment=when("now + duration(\"1h\")", None),
                      purpose="callback", give_up=GiveUp.SEND),
)  # fmt: skip
SWITCHES = rule("switches", 'contact.channel == "chat"', switch_channel="sms", message="By text.")


def policy(*rules: Rule) -> Policy:
    return Policy(
        version="v",
        channels=default_channels(),
        queues={Q: Queue(id=Q)},
        profiles={"front": Profile(id="front", queues=(ProfileQueue(queue=Q),))},
        rules=book(*rules),
    )


class Street(Day):
    """A day whose runtime answers, some milliseconds after it was asked."""

    LATER_US = 7_000

    def __init__(self, settings: Policy, *answers: c.ProvideCustomer) -> None:
        super().__init__(settings)
        self.events: list[e.Event] = []
        self._answers = list(answers)

    def _keep(self, outcome: Outcome, at_us: int) -> list[e.Event]:
        found = super()._keep(outcome, at_us)
        self.events += found
        for effect in outcome.effects:
            if isinstance(effect, LoadCustomer):
                answer = self._answers.pop(0)
                found = found + self.at(at_us + self.LATER_US, answer)
        return found

    def ana(self) -> None:
        self.at(START_US, c.PutAgent(agent=AgentId("ana"), profile="front", capacity=100))
        self.at(START_US, c.SetPresence(agent=AgentId("ana"), presence=Presence.READY))


def window(start_us: int, channel: str = "sms", **more: object) -> LearnedWindow:
    return LearnedWindow(
        channel=channel, address=f"{channel}-hash", start_us=start_us, end_us=start_us + HOUR,
        probability=0.7, low=0.5, high=0.8, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def answer(*windows: LearnedWindow, contact: str = "c1", **more: object) -> c.ProvideCustomer:
    return c.ProvideCustomer(
        contact=ContactId(contact), customer="kim",
        facts=Facts(customer=CustomerFacts(known=True), windows=windows,
                    permission=Permission(until_us=START_US + 11 * HOUR)),
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def outbound(**more: object) -> c.SubmitContact:
    return c.SubmitContact(
        contact=ContactId("c1"), channel="sms", direction=Direction.OUTBOUND, queue=Q,
        customer="kim", peer_key="sms-hash/sms/us", sealed=b"kim", seal_key="k1",
        facts=Facts(customer=CustomerFacts(known=True)), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def reply(text: str = "m2") -> c.ReceiveMessage:
    asked = c.SubmitContact(
        contact=ContactId("c9"), channel="sms", queue=Q, peer_key="sms-hash/sms/us"
    )
    return c.ReceiveMessage(message=text, size=3, contact=asked)


def ends(events: list[e.Event]) -> dict[str, ContactOutcome]:
    return {event.contact: event.outcome for event in events if isinstance(event, e.ContactClosed)}


def served(day: Day, at_us: int, contact: str = "c1") -> None:
    """Who was offered it takes it, talks for a minute, and ends it."""
    state = day.engine.state
    (reservation,) = (r for r in state.reservations.values() if r.contact == contact)
    day.at(at_us, c.AcceptOffer(reservation=reservation.id))
    if contact in state.contacts and state.reservations[reservation.id].state != "connected":
        day.at(at_us + 1000, c.ConnectReservation(reservation=reservation.id))
    day.at(at_us + MINUTE, c.CompleteContact(contact=ContactId(contact)))
    if reservation.id in state.reservations:
        day.at(at_us + MINUTE + 5_000_000, c.FinishWrapUp(reservation=reservation.id))


def test_a_message_in_the_learned_hour_and_its_reply_are_repeated() -> None:
    ahead = window(START_US + HOUR)
    day = Street(policy(WRITES), answer(ahead), answer(ahead, message="m1", message_size=20))
    day.ana()
    day.at(START_US + MINUTE, outbound())
    day.at(START_US + HOUR + 10 * MINUTE, reply())
    served(day, START_US + HOUR + 10 * MINUTE + 5_000_000)
    happened = day.events
    assert ends(happened) == {"c1": ContactOutcome.COMPLETED}
    assert [event.message for event in happened if isinstance(event, e.MessageSent)] == ["m1"]
    repeats(happened, policy(WRITES))


def test_a_window_on_another_channel_is_repeated_with_its_address() -> None:
    there = window(START_US + HOUR, "voice", explore=True, propensity=0.04)
    goes = answer(
        there, message="m1", message_size=2, channel="voice", sealed=b"there", seal_key="k1",
        peer_key="voice-hash/voice/us",
    )  # fmt: skip
    day = Street(policy(WRITES), answer(there), goes)
    day.at(START_US + MINUTE, outbound())
    day.at(START_US + 3 * HOUR)
    switched = [event for event in day.events if isinstance(event, e.ContactSwitched)]
    assert [event.channel for event in switched] == ["voice"]
    assert [event.propensity for event in day.events if isinstance(event, e.OutboundSent)] == [0.04]
    repeats(day.events, policy(WRITES))


def test_who_is_refused_in_the_open_window_on_another_channel_waits_again() -> None:
    there = window(START_US + HOUR, "voice")
    no = replace(
        answer(channel="voice"),
        facts=Facts(
            permission=Permission(
                allowed=False, reason="outside_hours", next_at_us=START_US + 9 * HOUR
            )
        ),
    )
    day = Street(policy(WRITES), answer(there), no)
    day.at(START_US + MINUTE, outbound())
    day.at(START_US + 3 * HOUR)
    assert day.engine.state.contacts[ContactId("c1")].not_before_us == START_US + 9 * HOUR
    repeats(day.events, policy(WRITES))


@pytest.mark.parametrize("said", ["m-hello", "m-stop"])
def test_a_keyword_ends_what_it_answers_or_what_it_begins(said: str) -> None:
    heard = c.HearKeyword(
        asked=c.ChangeDoNotContact(customer="kim"), contact=reply().contact,
        message=said, size=4, reply="m-reply", reply_size=9,
    )  # fmt: skip
    ahead = window(START_US + HOUR)
    day = Street(policy(WRITES), answer(ahead), answer(ahead, message="m1", message_size=20))
    if said == "m-stop":
        day.at(START_US + MINUTE, outbound())
    day.at(START_US + 2 * HOUR, heard)
    day.at(START_US + 3 * HOUR)
    id_ = "c1" if said == "m-stop" else "c9"
    assert ends(day.events) == {id_: ContactOutcome.DEFLECTED}
    without = [event for event in day.events if not isinstance(event, e.DoNotContactChanged)]
    recording = read(without, policy(WRITES))
    repeated, _ = again(recording, policy(WRITES))
    again_ = [event for event in decided(repeated) if not isinstance(event, e.DoNotContactChanged)]
    assert again_ == decided(without)


def test_a_callback_that_a_rule_put_off_is_repeated() -> None:
    day = Street(policy(CALLS), answer(contact="b1"))
    called = c.SubmitContact(
        contact=ContactId("c1"), channel="voice", queue=Q, customer="kim",
        peer_key="voice-hash/voice/us", sealed=b"kim", seal_key="k1",
        facts=Facts(customer=CustomerFacts(known=True)),
    )  # fmt: skip
    day.at(START_US, called)
    asked = c.RequestCallback(
        contact=ContactId("c1"), callback=ContactId("b1"), not_before_us=START_US + 2 * MINUTE
    )
    day.at(START_US + MINUTE, asked)
    day.ana()
    day.at(START_US + HOUR + MINUTE + 5_000_000)
    served(day, START_US + HOUR + MINUTE + 5_000_000, "b1")
    assert ends(day.events) == {"c1": ContactOutcome.DEFLECTED, "b1": ContactOutcome.COMPLETED}
    recording = repeats(day.events, policy(CALLS))
    plain, _ = again(recording, policy())
    received = [event for event in plain if isinstance(event, e.ContactReceived)][1]
    assert received.not_before_us == START_US + 2 * MINUTE, "as it was asked for"


def test_the_channel_that_a_rule_switches_to_is_decided_anew() -> None:
    day = Day(policy(SWITCHES))
    chat = c.SubmitContact(
        contact=ContactId("c1"), channel="chat", queue=Q, peer_key="chat-hash/chat/us"
    )
    happened = day.at(START_US, chat) + day.at(
        START_US + MINUTE, c.AbandonContact(contact=chat.contact)
    )
    assert any(isinstance(event, e.ContactSwitched) for event in happened)
    recording = repeats(happened, policy(SWITCHES))
    plain, driver = again(recording, policy())
    assert not any(isinstance(event, e.ContactSwitched) for event in plain)
    assert not driver.refused


ANSWERED = rule(
    "angry", 'contact.attributes["input.mood"] == "angry"', Moment.INPUT,
    set={"loud": True}, watch=True, tier=0, require=(("calm", 1),), switch_channel="sms",
)  # fmt: skip


def test_what_rules_make_of_an_answer_is_decided_anew() -> None:
    day = Day(policy(ANSWERED))
    id_ = ContactId("c1")
    happened: list[e.Event] = []
    for at_s, command in (
        (0, c.SubmitContact(contact=id_, channel="voice", queue=Q, peer_key="hash/voice/us")),
        (5, c.CollectInput(contact=id_, name="mood", prompt="How are you?")),
        (9, c.ReportInput(contact=id_, name="mood", value="angry")),
        (60, c.AbandonContact(contact=id_)),
    ):
        happened += day.at(START_US + at_s * 1_000_000, command)
    kinds = {type(event) for event in happened}
    assert {e.ContactUpdated, e.RequirementsChanged, e.ContactReprioritized} <= kinds
    recording = repeats(happened, policy(ANSWERED))
    plain, driver = again(recording, policy(rule("none", "false", tier=1)))
    kinds = {type(event) for event in plain}
    assert e.InputCollected in kinds
    assert not {e.RequirementsChanged, e.ContactReprioritized, e.ContactSwitched} & kinds
    assert not driver.refused


def test_a_rule_that_sends_first_now_finds_a_runtime_that_brings_the_text() -> None:
    """The log is of an agent who was to write in the learned hour."""
    before = policy()
    terms = Outbound(learned=True)
    ahead = window(START_US + HOUR)
    day = Street(before, answer(ahead))
    asked = outbound(outbound=terms)
    day.at(START_US, replace(asked, facts=replace(asked.facts, windows=(ahead,))))
    day.ana()
    day.at(START_US + HOUR + 5_000_000)
    served(day, START_US + HOUR + 5_000_000)
    recording = repeats(day.events, before)
    changed, driver = again(recording, policy(WRITES))
    out = [event for event in changed if isinstance(event, e.OutboundSent)]
    assert [(event.sent_at_us, bool(event.message)) for event in out] == [
        (START_US + HOUR + Street.LATER_US, True)
    ]
    assert not driver.refused


def test_a_queue_that_everybody_left_at_once_has_no_rate() -> None:
    day = Day(policy())
    for number in range(40):
        name = ContactId(f"c{number}")
        day.at(START_US + number, c.SubmitContact(contact=name, channel="chat", queue=Q))
        day.at(START_US + number, c.AbandonContact(contact=name))
    recording = repeats(_all(day), policy())
    again(recording, replace(policy(), waiting_places=1))


def _all(day: Day) -> list[e.Event]:
    return [event for _, events in day.frames for event in events]
