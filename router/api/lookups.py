"""Questions to all other nodes, many in one call, so often and no oftener.

Whoever makes up tokens makes every node ask every other one, before anything can be charged to
them: a token of another workspace looks the same until somebody knows it. So nobody is refused, and
what is bounded is the calls: one at once when nothing was asked lately, then one each `PAUSE_US`
for all that have come by then.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from router.api.problems import ApiError
from router.runtime.clock import Clock, sleep
from router.runtime.tasks import spawn

PAUSE_US = 10_000
CALL_CHARS = 6_000
"""Of questions in one call: it is one line of HTTP, and aiohttp takes 8,190."""
WAITING = 2_000
"""Questions that wait for a call: a fifth of a second of them."""


class Found(NamedTuple):
    """What the other nodes say about one question."""

    workspace: str
    """Empty: none of those asked knows it."""
    is_whole: bool
    """Every workspace has been looked at."""


Ask = Callable[[Sequence[str]], Awaitable[dict[str, Found]]]


class Lookups:
    """Collects questions and asks them together."""

    def __init__(self, ask: Ask, clock: Clock) -> None:
        """`ask` answers every one of the questions that it is given."""
        self._ask = ask
        self._clock = clock
        self._waiting: OrderedDict[str, asyncio.Future[Found]] = OrderedDict()
        self._is_calling = False

    async def ask(self, question: str) -> Found:
        """What the others say. Raises ApiError 503 while too many ask."""
        answer = self._waiting.get(question)
        if answer is None:
            if len(self._waiting) >= WAITING:
                raise ApiError(
                    503, "unavailable", "too many unknown tokens and names", retry_after_s=1.0
                )
            answer = self._waiting[question] = asyncio.get_running_loop().create_future()
            if not self._is_calling:
                self._is_calling = True
                spawn(self._call(), "lookups")
        return await asyncio.shield(answer)  # several may wait for it: one that leaves ends nothing

    async def _call(self) -> None:
        """A call each pause, until nobody asks; none waits for the answer to the one before."""
        try:
            while self._waiting:
                batch: dict[str, asyncio.Future[Found]] = {}
                room = CALL_CHARS
                while self._waiting and (room := room - len(next(iter(self._waiting))) - 1) >= 0:
                    question, answer = self._waiting.popitem(last=False)
                    batch[question] = answer
                spawn(self._answer(batch), "lookup")
                await sleep(self._clock, PAUSE_US)
        finally:
            self._is_calling = False

    async def _answer(self, batch: dict[str, asyncio.Future[Found]]) -> None:
        try:
            found = await self._ask(list(batch))
        except BaseException:
            for answer in batch.values():
                answer.set_exception(ApiError(503, "unavailable", "not asked", retry_after_s=1.0))
                answer.exception()  # whoever asked may have left
            raise
        for question, answer in batch.items():
            answer.set_result(found[question])
