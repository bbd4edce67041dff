"""Adapters notice that the router can save nothing, for how long, and when it is over."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

import pytest

from adapters import watch_store
from router.channel import Overloaded, Router, StoreFull

GOOD = None
LOOK_S = 0.001
DEADLINE_S = 30.0


class Saying:
    """A router whose `open` answers from a list, and ends the watch when that is used up."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = deque(answers)
        self.told: list[str] = []
        """``look``, ``away`` and ``back`` in their order."""

    async def open(self) -> list[tuple[str, str]]:
        if not self.answers:
            raise asyncio.CancelledError
        self.told.append("look")
        answer = self.answers.popleft()
        if answer is not None:
            raise answer
        return []

    async def away(self) -> None:
        self.told.append("away")

    async def back(self) -> None:
        self.told.append("back")

    async def watched(self, after_s: float) -> list[str]:
        router = cast("Router", cast("Any", self))
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(asyncio.CancelledError):
                await watch_store(
                    router, after_s=after_s, away=self.away, back=self.back, look_s=LOOK_S
                )
        return self.told


async def test_a_router_that_saves_is_left_alone() -> None:
    assert await Saying(GOOD, GOOD, GOOD).watched(0) == ["look"] * 3


@pytest.mark.parametrize("refusal", [StoreFull("no store"), Overloaded("no store", 5.0)])
async def test_each_look_says_that_it_is_away_and_the_first_good_one_that_it_is_back(
    refusal: Exception,
) -> None:
    told = await Saying(GOOD, refusal, refusal, GOOD, GOOD).watched(0)
    assert told == ["look", "look", "away", "look", "away", "look", "back", "look"]


async def test_a_short_time_sends_nobody_away_but_is_over_all_the_same() -> None:
    told = await Saying(StoreFull("no store"), GOOD, GOOD).watched(3600)
    assert told == ["look", "look", "back", "look"]
