"""Questions put in writing: whoever is asked answers with the next message."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from adapters.kit.facts import Facts
from router.channel import ChannelError, CollectFromContact, Router

ANSWER = 1_000
"""So much of what a customer writes is the answer to a question, in characters."""
QUESTIONS = 10_000
"""Most questions open at once in one adapter."""


@dataclass(slots=True)
class _Open:
    """A question that waits for its answer."""

    external_id: str
    effect: CollectFromContact
    timer: asyncio.TimerHandle


class Questions:
    """Questions put in writing, one to each customer at a time: what they write next answers."""

    def __init__(self, router: Router, facts: Facts) -> None:
        self._router = router
        self._facts = facts
        self._open: dict[str, _Open] = {}

    def put(self, who: str, external_id: str, effect: CollectFromContact) -> str:
        """Wait for `who` to answer; the text to send, empty when it is being asked already.

        Raises ChannelError when there are too many.
        """
        known = self._open.get(who)
        if known is not None and known.effect.ask == effect.ask:
            return ""
        if known is None and len(self._open) >= QUESTIONS:
            raise ChannelError(f"{QUESTIONS} questions are open")
        self.withdraw(who)
        timer = asyncio.get_running_loop().call_later(
            effect.timeout_us / 1e6, self._answered, who, ""
        )
        self._open[who] = _Open(external_id, effect, timer)
        return "\n".join([effect.prompt, *(f"{k}: {v}" for k, v in effect.choices.items())])

    def answer(self, who: str, text: str) -> None:
        """`who` has written; an answer if something is asked and this was one of the choices."""
        known = self._open.get(who)
        if known is None:
            return
        value, choices = text.strip()[:ANSWER], known.effect.choices
        if choices and value not in choices:
            value = next((k for k, v in choices.items() if v.casefold() == value.casefold()), "")
        if value:
            self._answered(who, value)

    def withdraw(self, who: str) -> None:
        """It could not be put, or the contact is over."""
        known = self._open.pop(who, None)
        if known is not None:
            known.timer.cancel()

    def stop(self) -> None:
        """Nobody waits any more: the router states open questions again."""
        for who in list(self._open):
            self.withdraw(who)

    def _answered(self, who: str, value: str) -> None:
        known = self._open[who]
        self.withdraw(who)
        effect = known.effect
        # Too many facts wait: whoever wrote must not hear of it. The router ends it by itself.
        with suppress(ChannelError):
            self._facts.later(
                known.external_id, self._router.collected,
                known.external_id, effect.name, value, ask=effect.ask, timed_out=not value,
            )  # fmt: skip
