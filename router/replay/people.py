"""What people would have done where the record does not say: drawn from what they did.

Every draw has its own seed, made of the run's seed and what the draw is about ("the second offer of
c17 to ana"). So one seed gives one result, and two policies meet the same luck wherever they ask
the same question: what differs between them is the policy.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import NamedTuple

from router.core import commands as c
from router.core.model import MINUTE_US, SECOND_US, AgentId, ContactId
from router.replay.patience import Patience, Wait
from router.replay.recording import Passed, Reaction, Recording, Return, StageKey
from router.replay.stages import Kind

TALK_US = 3 * MINUTE_US
"""Assumed where no contact was ever served to its end."""
BACK_US = MINUTE_US
"""Assumed where no agent ever came back from a missed offer."""
CONNECT_US = 2 * SECOND_US
"""Assumed where no media leg ever came up."""
DRAWN_SEQ = 1 << 60
"""Drawn inputs come after given ones of the same moment."""
DONE = (c.CompleteContact, c.AbandonContact)


class Service(NamedTuple):
    """How one contact was served: what another one may borrow."""

    connect_us: int
    talk_us: int
    wrap_us: int | None
    """None: no wrap-up was seen."""
    end: c.Command


class People:
    """Draws; counts what it had to draw."""

    def __init__(self, recording: Recording, seed: int) -> None:
        self.drawn: Counter[str] = Counter()
        self._recording = recording
        self._seed = seed
        self.patience = Patience(waits_of(recording))
        self._reactions: dict[tuple[str, str], list[Reaction]] = {}
        for reaction in recording.reactions:
            for whose in _reaction_keys(reaction.agent, reaction.channel):
                self._reactions.setdefault(whose, []).append(reaction)
        self._services: dict[tuple[str, str], list[Service]] = {}
        self._own: dict[ContactId, Service] = {}
        for key, passed in recording.services():
            service = service_of(recording, key, passed)
            if service is None:
                continue
            self._own[key[0]] = service
            if isinstance(service.end, DONE):
                for place in _service_keys(passed.queue, passed.channel):
                    self._services.setdefault(place, []).append(service)
        for services in self._services.values():
            services.sort(key=_talk_us)
        for reactions in self._reactions.values():
            reactions.sort(key=_after_us)
        self._returns: dict[str, list[Return]] = {}
        for (agent, _), back in recording.returns.items():
            if back is not None:
                self._returns.setdefault(agent, []).append(back)
                self._returns.setdefault("", []).append(back)

    def reaction(
        self, contact: ContactId, agent: AgentId, number: int, channel: str, beyond_us: int
    ) -> Reaction:
        """How this agent takes an offer that was not made then, or was taken back too early."""
        rng = self._rng("offer", contact, agent, str(number))
        for key in _reaction_keys(agent, channel):
            seen = self._reactions.get(key, [])
            first = bisect_right(seen, beyond_us, key=_after_us)
            if first < len(seen):
                self.drawn["reactions to offers"] += 1
                return seen[rng.randrange(first, len(seen))]._replace(seq=DRAWN_SEQ)
        kind = "accept" if beyond_us < 0 else "miss"
        self.drawn["reactions to offers, assumed"] += 1
        return Reaction(DRAWN_SEQ, kind, SECOND_US, channel, agent)

    def patience_us(
        self, contact: ContactId, number: int, queue: str, channel: str, beyond_us: int
    ) -> int | None:
        """How long a customer waits who was seen to wait `beyond_us`; None = for ever."""
        _, curve = self.patience.curve(queue, channel)
        return curve.draw(self._rng("patience", contact, str(number)), beyond_us)

    def service(self, contact: ContactId, number: int, queue: str, channel: str) -> Service:
        """The contact's own way of being served, else another one's of its queue and channel."""
        own = self._own.get(contact)
        if own is not None and isinstance(own.end, DONE):
            self.drawn["services, from the contact's own"] += 1
            return own
        return self._borrowed(contact, number, queue, channel, -1)

    def rest_us(
        self, contact: ContactId, number: int, queue: str, channel: str, beyond_us: int
    ) -> int:
        """How long a service would have lasted that was broken off after `beyond_us`."""
        return self._borrowed(contact, number, queue, channel, beyond_us).talk_us

    def _borrowed(
        self, contact: ContactId, number: int, queue: str, channel: str, beyond_us: int
    ) -> Service:
        rng = self._rng("service", contact, str(number))
        for key in _service_keys(queue, channel):
            seen = self._services.get(key, [])
            first = bisect_right(seen, beyond_us, key=_talk_us)
            if first < len(seen):
                self.drawn["services"] += 1
                return seen[rng.randrange(first, len(seen))]
        self.drawn["services, assumed"] += 1
        end = c.CompleteContact(contact=contact)
        return Service(CONNECT_US, max(beyond_us, 0) + TALK_US, None, end)

    def back_us(self, agent: AgentId, at_us: int) -> int:
        """When an agent is ready again after an offer that was not missed then."""
        fitting = self._returns.get(agent) or self._returns.get("")
        if not fitting:
            self.drawn["returns from missed offers, assumed"] += 1
            return BACK_US
        self.drawn["returns from missed offers"] += 1
        return self._rng("back", agent, str(at_us)).choice(fitting).after_us

    def _rng(self, *about: str) -> Random:
        return Random("\0".join((str(self._seed), *about)))


def waits_of(recording: Recording) -> dict[tuple[str, str], list[Wait]]:
    """Every wait of a customer on the line, by queue and channel."""
    found: dict[tuple[str, str], list[Wait]] = {}
    for key, passed in recording.stages.items():
        if key[1] is not Kind.WAIT or not passed.has_patience:
            continue
        left = passed.last is not None and isinstance(passed.last.command, c.AbandonContact)
        place = (passed.queue, passed.channel)
        found.setdefault(place, []).append(Wait(passed.length_us, left))
    return found


def service_of(recording: Recording, key: StageKey, passed: Passed) -> Service | None:
    """The lengths of a service and what ended it; None if it never got to talk."""
    if passed.last is None or not passed.end.leg % 2:
        return None
    connect_us = 0
    for given in recording.given(key):
        if isinstance(given.command, c.ConnectReservation):
            connect_us = given.place.after_us
            break
    wrap_us = None
    for given in recording.wraps.get((key[0], key[2]), ()):
        if isinstance(given.command, c.FinishWrapUp):
            wrap_us = given.place.after_us
    return Service(connect_us, passed.end.after_us, wrap_us, passed.last.command)


def _reaction_keys(agent: str, channel: str) -> Iterable[tuple[str, str]]:
    """Whose reactions count, the nearest first."""
    return (agent, channel), (agent, ""), ("", channel), ("", "")


def _service_keys(queue: str, channel: str) -> Iterable[tuple[str, str]]:
    return (queue, channel), ("", channel), ("", "")


def _talk_us(service: Service) -> int:
    return service.talk_us


def _after_us(reaction: Reaction) -> int:
    return reaction.after_us
