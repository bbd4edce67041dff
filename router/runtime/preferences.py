"""A customer's learned preference, asked: facts for rules, windows for sending, a report.

Everything here stands on three things: the profile in the customer's row (`learning.py`), what is
permitted (`core/permission.py`), and the estimator (`router.preference`). Nothing is changed by
asking.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.core import customers
from router.core.customer_model import Customer, Identity
from router.core.facts import LearnedWindow, PreferenceFacts
from router.core.permission import Denied
from router.core.permission_facts import Consent, DoNotContact, LedgerEntry
from router.preference.explain import Evidence, evidence_of, sentence
from router.preference.profile import EPOCH_HOURS, Endpoint, Profile
from router.preference.windows import Choice, Ranking, Request, Window, rank
from router.runtime.local_time import wall_hours

if TYPE_CHECKING:
    from router.core.permission_facts import PermissionFacts
    from router.runtime.customers import CustomerBook
    from router.runtime.learning import Learner

HOUR_US = 3_600_000_000
WEEK = 168
LEAST_US = 300_000_000
"""A permitted stretch of an hour that is shorter is not worth waiting for."""
CACHED = 4096
WINDOWS = 8
Said = tuple[tuple[DoNotContact, ...], tuple[Consent, ...]]
Given = tuple[int, int, bytes, tuple[LedgerEntry, ...], Said]
"""What the facts about a customer hang on: hour, version, profile, ledger, and what was said."""


class Place(NamedTuple):
    """An address of a customer on a channel."""

    channel: str
    identity: Identity
    endpoint: Endpoint

    @property
    def label(self) -> str:
        """The address as far as it may be shown: its last two characters."""
        return masked(self.identity)


class Outlook(NamedTuple):
    """What can be said of one customer from a moment on."""

    places: list[Place]
    ranking: Ranking
    spans: list[list[tuple[int, int] | None]]
    """Permitted stretch per place and hour; None = not permitted."""
    profile: Profile
    now_hour: int
    from_us: int


class Preferences:
    """Answers about the customers of one workspace."""

    def __init__(self, learner: Learner, book: CustomerBook, rng: random.Random) -> None:
        self._learner = learner
        self._book = book
        self._rng = rng
        book.preferences = self
        self._cache: OrderedDict[tuple[str, str], tuple[Given, PreferenceFacts]] = OrderedDict()
        self._settings: tuple[object, object] = (None, None)

    def facts(self, row: Customer, purpose: str, at_us: int) -> PreferenceFacts:
        """What rules see; remembered for the hour, as long as nothing new is learned or said."""
        settings = (self._learner.use(), self._book.permissions)
        if any(now is not then for now, then in zip(settings, self._settings, strict=True)):
            self._cache.clear()
            self._settings = settings
        place = (row.id, purpose)
        told = self._book.objections.told_now(row)
        said = (told.do_not_contact, told.consents)
        given = (at_us // HOUR_US, row.version, row.profile, row.ledger, said)
        known = self._cache.get(place)
        if known is not None and known[0] == given:
            return known[1]
        found = self._facts(row, purpose, at_us)
        self._cache[place] = (given, found)
        self._cache.move_to_end(place)
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return found

    def windows(
        self,
        row: Customer,
        purpose: str,
        at_us: int,
        *,
        channels: Sequence[str] = (),
        explore: bool = False,
        besides: str = "",
    ) -> tuple[LearnedWindow, ...]:
        """Permitted windows, best first; with `explore`, now and then one to learn from is first.

        `besides`: the ledger's entry of the attempt that is asked for.
        """
        policy = self._learner.use()
        outlook = self.outlook(row, purpose, at_us, at_us + policy.within_us, channels, besides)
        ranking = outlook.ranking
        if not ranking.candidates:
            return ()
        share = policy.explore if explore else 0.0
        choice = ranking.choose(share, self._rng.random() if share else 0.0)
        first = self._learned(row, outlook, choice.window, choice)
        others = [
            self._learned(row, outlook, window)
            for window in ranking.best(WINDOWS)
            if window != choice.window
        ]
        return (first, *others)

    def outlook(
        self,
        row: Customer,
        purpose: str,
        from_us: int,
        until_us: int,
        channels: Sequence[str] = (),
        besides: str = "",
    ) -> Outlook:
        """Every permitted hour on every address of the customer, ranked."""
        learner = self._learner
        policy = learner.use()
        places = self.places(row, channels)
        zone = learner.zone(row)
        hours = list(wall_hours(zone, from_us, until_us))
        first = hours[0][0]
        count = hours[-1][0] - first + 1
        allowed = np.zeros((len(places), count), np.bool_)
        spans: list[list[tuple[int, int] | None]] = [[None] * count for _ in places]
        facts = self.permission_facts(row)
        for number, place in enumerate(places):
            open_ = self._book.permissions.allowed_intervals(
                facts, place.channel, place.identity.hash, purpose, from_us, until_us,
                besides=besides,
            )  # fmt: skip
            _fill(hours, open_, first, allowed[number], spans[number])
        profile = learner.profile(row, from_us)
        now_hour = first - EPOCH_HOURS
        request = Request(
            endpoints=[place.endpoint for place in places],
            first_hour=now_hour,
            allowed=allowed,
            segment=learner.segment(row),
            cost=[policy.costs.get(place.channel, 0.0) for place in places],
        )
        ranking = rank(
            learner.estimator,
            profile,
            learner.tables(),
            request,
            now_hour,
            learner.calibration if places else None,
        )
        return Outlook(places, ranking, spans, profile, now_hour, from_us)

    def places(self, row: Customer, channels: Sequence[str] = ()) -> list[Place]:
        """Where the customer can be reached: each identity on each channel that takes its kind."""
        found = []
        for channel in channels or self._book.channels():
            kind = self._book.identities.kind(channel)
            for identity in row.identities:
                if identity.kind == kind:
                    endpoint = self._learner.endpoint(row, channel, identity.hash)
                    if endpoint is not None:
                        found.append(Place(channel, identity, endpoint))
        return found[:16]

    def denied(self, row: Customer, place: Place, purpose: str, at_us: int) -> Denied | None:
        """Why this address must not be contacted now; None = it may."""
        verdict = self._book.permissions.permitted(
            self.permission_facts(row), place.channel, place.identity.hash, purpose, at_us
        )
        return verdict if isinstance(verdict, Denied) else None

    def permission_facts(self, row: Customer) -> PermissionFacts:
        """What decides about permission."""
        told = self._book.objections.told_now(row)
        return customers.permission_facts(told, self._book.zones(row))

    def evidence(self, row: Customer, outlook: Outlook, window: Window) -> Evidence:
        """What is counted for a window."""
        learner = self._learner
        return evidence_of(
            outlook.profile,
            learner.tables(),
            learner.segment(row),
            window.endpoint,
            window.hour,
            outlook.now_hour,
        )

    def place_of(self, outlook: Outlook, window: Window) -> int:
        """The number of a window's place."""
        return next(
            number
            for number, place in enumerate(outlook.places)
            if place.endpoint == window.endpoint
        )

    def text(self, row: Customer, outlook: Outlook, window: Window) -> str:
        """A window and its evidence in a sentence."""
        place = outlook.places[self.place_of(outlook, window)]
        return sentence(
            window,
            self.evidence(row, outlook, window),
            place.channel,
            place.label,
            outlook.now_hour,
        )

    def success_us(self, outlook: Outlook, found: Evidence) -> int:
        """The moment of the last success, on the hour; 0 = none is remembered."""
        last = found.last_success_hour
        if last is None:
            return 0
        return outlook.from_us - outlook.from_us % HOUR_US - (outlook.now_hour - last) * HOUR_US

    def _learned(
        self, row: Customer, outlook: Outlook, window: Window, choice: Choice | None = None
    ) -> LearnedWindow:
        number = self.place_of(outlook, window)
        place = outlook.places[number]
        span = outlook.spans[number][window.hour - outlook.now_hour]
        assert span is not None, "only permitted windows are ranked"
        found = self.evidence(row, outlook, window)
        return LearnedWindow(
            channel=place.channel,
            address=place.identity.hash,
            start_us=span[0],
            end_us=span[1],
            probability=window.p,
            raw=window.raw,
            low=window.low,
            high=window.high,
            attempts=found.exact.attempts,
            successes=found.exact.successes,
            last_success_at_us=self.success_us(outlook, found),
            explore=choice.explore if choice is not None else False,
            propensity=choice.propensity if choice is not None else 1.0,
            candidates=choice.candidates if choice is not None else 1,
            text=sentence(window, found, place.channel, place.label, outlook.now_hour),
        )

    def _facts(self, row: Customer, purpose: str, at_us: int) -> PreferenceFacts:
        within_us = self._learner.use().within_us
        outlook = self.outlook(row, purpose, at_us, at_us + within_us)
        best = outlook.ranking.best(1)
        by_channel = self._now(row, outlook)
        if not best:
            return PreferenceFacts(by_channel=by_channel)
        window = best[0]
        learned = self._learned(row, outlook, window)
        slot = window.hour % WEEK
        return PreferenceFacts(
            channel=learned.channel,
            address=outlook.places[self.place_of(outlook, window)].label,
            weekday=slot // 24,
            hour=slot % 24,
            probability=window.p,
            low=window.low,
            high=window.high,
            confidence=max(0.0, 1.0 - (window.high - window.low)),
            attempts=learned.attempts,
            successes=learned.successes,
            last_success_at_us=learned.last_success_at_us,
            by_channel=by_channel,
            text=learned.text,
        )

    def _now(self, row: Customer, outlook: Outlook) -> dict[str, float]:
        """The best probability per channel in this hour, permitted or not."""
        if not outlook.places:
            return {}
        ranking = self.everywhere(row, outlook, [outlook.now_hour])
        found: dict[str, float] = {}
        for number, place in enumerate(outlook.places):
            p = ranking.window(number, 0).p
            found[place.channel] = max(p, found.get(place.channel, 0.0))
        return found

    def everywhere(self, row: Customer, outlook: Outlook, hours: Sequence[int]) -> Ranking:
        """All places in these successive wall hours, whether or not that is permitted."""
        learner = self._learner
        request = Request(
            endpoints=[place.endpoint for place in outlook.places],
            first_hour=hours[0],
            allowed=np.ones((len(outlook.places), len(hours)), np.bool_),
            segment=learner.segment(row),
        )
        return rank(
            learner.estimator,
            outlook.profile,
            learner.tables(),
            request,
            outlook.now_hour,
            learner.calibration,
        )


def masked(identity: Identity) -> str:
    """An address as it may be shown: enough to tell one's own apart."""
    name, at, domain = identity.address.partition("@")
    if at:
        return f"{name[:1]}..@{domain}"
    return f"..{identity.address[-2:]}"


def _fill(
    hours: Sequence[tuple[int, int, int]],
    open_: Sequence[tuple[int, int]],
    first: int,
    allowed: NDArray[np.bool_],
    spans: list[tuple[int, int] | None],
) -> None:
    """Which hours hold a permitted stretch that is long enough, and which stretch."""
    at = 0
    for wall, start_us, end_us in hours:
        while at < len(open_) and open_[at][1] <= start_us:
            at += 1
        for from_us, until_us in open_[at:]:
            if from_us >= end_us:
                break
            begin, end = max(from_us, start_us), min(until_us, end_us)
            column = wall - first
            if end - begin >= LEAST_US and spans[column] is None:
                allowed[column] = True
                spans[column] = (begin, end)
