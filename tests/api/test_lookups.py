"""What nodes ask each other: however many tokens are made up, the calls are few."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from router.api.locating import Answers
from router.api.lookups import CALL_CHARS, PAUSE_US, WAITING, Found, Lookups
from router.api.problems import ApiError
from router.runtime.clock import ManualClock
from router.runtime.tasks import spawn

NOBODY = Found("", is_whole=True)


class Others:
    """The other nodes: they know what `known` says, and answer when they are let."""

    def __init__(self, known: dict[str, str] | None = None) -> None:
        self.known = known or {}
        self.calls: list[list[str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.fails = False

    async def ask(self, questions: Sequence[str]) -> dict[str, Found]:
        self.calls.append(list(questions))
        await self.may_answer.wait()
        if self.fails:
            raise OSError("no way there")
        return {q: Found(self.known.get(q, ""), is_whole=True) for q in questions}


def digests(count: int, start: int = 0) -> list[str]:
    return [f"token={number:064x}" for number in range(start, start + count)]


def asking(lookups: Lookups, question: str) -> asyncio.Task[Found | ApiError]:
    async def answer() -> Found | ApiError:
        try:
            return await lookups.ask(question)
        except ApiError as error:
            return error

    return spawn(answer(), "asking")


async def turns(count: int = 5) -> None:
    """Let all that can go on without the clock go on."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_thousand_made_up_tokens_a_second_are_a_hundred_calls_and_nobody_is_refused() -> (
    None
):
    clock, others = ManualClock(), Others({"token=known": "west"})
    lookups = Lookups(others.ask, clock)
    asked = []
    for moment in range(100):
        asked += [asking(lookups, q) for q in digests(10, 10 * moment)]
        asked.append(asking(lookups, "token=known"))
        await turns()
        clock.advance(PAUSE_US)
        await turns()
    found = await asyncio.gather(*asked)
    assert len(others.calls) <= 101
    assert found.count(Found("west", is_whole=True)) == 100
    assert found.count(NOBODY) == 1000


async def test_one_that_asks_alone_waits_for_nobody() -> None:
    clock, others = ManualClock(), Others()
    assert await Lookups(others.ask, clock).ask("token=a") == NOBODY, "the clock has not moved"


async def test_who_asks_during_a_pause_is_asked_for_after_it_and_each_question_once() -> None:
    clock, others = ManualClock(), Others()
    lookups = Lookups(others.ask, clock)
    await lookups.ask("token=a")
    later = [asking(lookups, q) for q in ("token=b", "token=c", "token=b")]
    await turns()
    assert others.calls == [["token=a"]]
    clock.advance(PAUSE_US)
    assert await asyncio.gather(*later) == [NOBODY] * 3
    assert others.calls[1:] == [["token=b", "token=c"]]


async def test_a_node_that_does_not_answer_holds_up_only_who_waits_for_it() -> None:
    clock, others = ManualClock(), Others()
    lookups = Lookups(others.ask, clock)
    others.may_answer.clear()
    stuck = asking(lookups, "token=a")
    await turns()
    clock.advance(PAUSE_US)
    await turns()
    second = asking(lookups, "token=b")
    await turns()
    assert others.calls == [["token=a"], ["token=b"]], "asked although the first is not answered"
    stuck.cancel()
    others.may_answer.set()
    assert await second == NOBODY


async def test_a_call_is_one_line_of_http_and_too_many_questions_are_refused() -> None:
    clock, others = ManualClock(), Others()
    lookups = Lookups(others.ask, clock)
    asked = [asking(lookups, q) for q in digests(WAITING + 1)]
    while not all(answer.done() for answer in asked):
        await turns()
        clock.advance(PAUSE_US)
    *granted, last = [answer.result() for answer in asked]
    assert granted == [NOBODY] * WAITING
    assert isinstance(last, ApiError)
    assert last.status == 503
    assert max(len("&".join(call)) for call in others.calls) <= CALL_CHARS
    assert sum(map(len, others.calls)) == WAITING


async def test_a_failure_is_told_to_all_who_asked_and_the_next_one_is_asked_again() -> None:
    clock, others = ManualClock(), Others()
    lookups = Lookups(others.ask, clock)
    others.fails = True
    both = [asking(lookups, q) for q in ("token=a", "token=b")]
    for answer in await asyncio.gather(*both):
        assert isinstance(answer, ApiError)
    clock.advance(PAUSE_US)
    await turns()
    others.fails = False
    assert await lookups.ask("token=a") == NOBODY


def test_an_answer_is_believed_for_its_time_and_the_one_used_longest_ago_makes_room() -> None:
    answers = Answers(2)
    answers.put("a", "west", 100)
    answers.put("b", "", 100)
    assert (answers.get("a", 99), answers.get("a", 100)) == ("west", None)
    answers.put("c", "east", 100)  # a was used after b
    assert [answers.get(name, 0) for name in "abc"] == ["west", None, "east"]
