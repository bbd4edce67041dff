"""The outside checker itself: it finds each lie a server could tell, and none in a true story."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loadtest.checker import Checker, Json

STORY: list[Json] = [
    {"type": "ContactReceived", "contact": "c1", "channel": "sms", "external_id": "e1",
     "attributes": {"mark": "one"}},
    {"type": "ContactQueued", "contact": "c1", "queue": "ask"},
    {"type": "MessageReceived", "contact": "c1", "message": "m1", "size": 4},
    {"type": "ContactOffered", "reservation": "r1", "contact": "c1", "agent": "ana",
     "channel": "sms", "units": 20},
    {"type": "OfferAccepted", "reservation": "r1", "contact": "c1", "agent": "ana"},
    {"type": "ReservationConnected", "reservation": "r1", "contact": "c1", "agent": "ana"},
    {"type": "ContactClosed", "contact": "c1", "outcome": "completed"},
    {"type": "WrapUpStarted", "reservation": "r1", "contact": "c1", "agent": "ana"},
    {"type": "ReservationEnded", "reservation": "r1", "contact": "c1", "agent": "ana"},
]  # fmt: skip
LISTED: list[Json] = [{"id": "c1", "state": "closed", "outcome": "completed"}]


def told(story: list[Json]) -> Checker:
    checker = Checker(100, {"sms": 5})
    checker.acknowledged("one", "c1")
    checker.message_acknowledged("c1", "hello")
    for seq, event in enumerate(story, 1):
        checker.event(seq, event)
    return checker


def test_a_true_story_is_believed() -> None:
    checker = told(STORY)
    checker.accept_acknowledged("r1")
    checker.pushed(4, STORY[3], "ana")
    checker.welcomed(5, "ana", [{"id": "r1", "contact": "c1", "state": "accepted"}])
    checker.messages("c1", ["hello", "good day"])
    checker.finish(LISTED)
    checker.compare_welcomes()
    assert checker.wrong == []


def offer(number: int, **changed: object) -> Json:
    return {**STORY[3], "reservation": f"r{number}", **changed}


def received(number: int, **changed: object) -> Json:
    return {**STORY[0], "contact": f"c{number}", "external_id": f"e{number}",
            "attributes": {"mark": f"m{number}"}, **changed}  # fmt: skip


LIES: dict[str, tuple[list[Json], str]] = {
    "one external id, two contacts": ([*STORY, received(2, external_id="e1")], "and again c2"),
    "one matter, two contacts": (
        [*STORY, received(2, attributes={"mark": "one"})], "one became c1 and again c2"),
    "a contact received twice": ([STORY[0], STORY[0]], "received twice"),
    "closed twice": ([*STORY, STORY[6]], "closed twice"),
    "offered after it was closed": ([*STORY, offer(2)], "offered and not live"),
    "a reservation made twice": ([*STORY[:4], STORY[3]], "made twice"),
    "accepted by two agents": (
        [*STORY[:5], offer(2, agent="ben"),
         {"type": "OfferAccepted", "reservation": "r2", "contact": "c1", "agent": "ben"}],
        "accepted by r2"),
    "accepted twice": ([*STORY[:5], STORY[4]], "accepted by r1 (accepted)"),
    "over capacity": ([*STORY[:4], received(2), offer(2, contact="c2", units=81)], "101 of 100"),
    "too many of a channel": (
        [x for n in range(2, 8) for x in (received(n), offer(n, contact=f"c{n}", units=1))],
        "holds 6 of channel sms"),
    "a message twice": ([*STORY[:3], STORY[2]], "there 2 times"),
    "an end of what is not open": ([*STORY, STORY[8]], "which is not open"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_stream_that_cannot_be_is_found_out(lie: str) -> None:
    story, words = LIES[lie]
    checker = told(story)
    assert any(words in text for text in checker.wrong), checker.wrong


def gap(checker: Checker) -> None:
    checker.event(11, {"type": "ClockStepped"})


def two_meanings(checker: Checker) -> None:
    checker.event(2, {"type": "ClockStepped"})


def lost(checker: Checker) -> None:
    checker.acknowledged("two", "c2")
    checker.finish(LISTED)


def changed_its_mind(checker: Checker) -> None:
    checker.acknowledged("one", "c2")


def forgotten_accept(checker: Checker) -> None:
    checker.accept_acknowledged("r9")
    checker.finish(LISTED)


def shown_and_taken_back(checker: Checker) -> None:
    checker.pushed(4, offer(1, agent="ben"), "ben")
    checker.finish(LISTED)


def shown_too_early(checker: Checker) -> None:
    checker.pushed(12, offer(1), "ana")
    checker.finish(LISTED)


def offer_not_restated(checker: Checker) -> None:
    checker.welcomed(4, "ana", [])
    checker.compare_welcomes()


def offer_under_another_id(checker: Checker) -> None:
    checker.welcomed(4, "ana", [{"id": "r7", "contact": "c1", "state": "offered"}])
    checker.compare_welcomes()


def message_lost(checker: Checker) -> None:
    checker.messages("c1", [])


def message_doubled(checker: Checker) -> None:
    checker.messages("c1", ["hello", "hello"])


def delivered_twice(checker: Checker) -> None:
    checker.performed("m1")
    checker.performed("m1")


def listed_and_unknown(checker: Checker) -> None:
    checker.finish([*LISTED, {"id": "c9", "state": "queued"}])


def closed_and_listed_live(checker: Checker) -> None:
    checker.finish([{"id": "c1", "state": "queued"}])


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (gap, "jumps from 9 to 11"),
        (two_meanings, "two meanings"),
        (lost, "acknowledged as c2, which is not there"),
        (changed_its_mind, "acknowledged as c1, later as c2"),
        (forgotten_accept, "the stream says nothing"),
        (shown_and_taken_back, "ben was shown 4"),
        (shown_too_early, "which is not on the stream"),
        (offer_not_restated, "the desk of ana was told {}"),
        (offer_under_another_id, "r7"),
        (message_lost, "is there 0 times"),
        (message_doubled, "is there 2 times"),
        (delivered_twice, "to be delivered 2 times"),
        (listed_and_unknown, "the stream says unknown"),
        (closed_and_listed_live, "listed as live"),
    ],
)
def test_a_lie_on_another_socket_is_found_out(lie: Callable[[Checker], None], words: str) -> None:
    checker = told(STORY)
    assert not checker.wrong
    lie(checker)
    assert any(words in text for text in checker.wrong), checker.wrong
