"""What a workspace learns of reaching its customers: evidence in, windows and their reasons out.

`Learner.learn` follows what the customer book follows (attempts, outcomes, closed contacts) and
changes the profile in the customer's row, in the same commit. What all customers have in common
(the prior of each segment, the calibration of each channel) is one row of the workspace, written
now and then: losing the last few counts of it does no harm. The mathematics is `router.preference`.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import msgspec

from router.core import customers, learning_policy
from router.core import events as e
from router.core.customer_model import Customer
from router.core.model import Contact, Direction
from router.core.outbound_events import NOT_SENT
from router.core.record import Row
from router.journal.codec import decode_row, encode_row
from router.preference.calibration import Calibration
from router.preference.gpl import Gpl
from router.preference.outcomes import Outcome, OutcomeWeights, Weight
from router.preference.prior import Prior, PriorTables
from router.preference.profile import EPOCH_HOURS, Endpoint, Profile, wall_hour
from router.runtime.evidence import Evidence, Whereabouts
from router.runtime.local_time import MINUTE_US, offset_minutes, wall_moment

if TYPE_CHECKING:
    from router.core.learning_policy import LearningPolicy
    from router.runtime.customers import CustomerBook
    from router.runtime.loop import Workspace

CHANNELS, SEGMENTS = 8, 24
"""Most that are told apart; further ones are learned about as "unknown"."""
KEEP_EVERY_US = 60_000_000
"""The common row is written so often, if anything was observed."""
TABLES_EVERY = 512
"""Observations between two smoothings of the prior."""
HOUR_US = 3_600_000_000
KIND, ID = "learned", "all"
OUTCOMES = {word: Outcome[kind.upper()] for word, kind in learning_policy.OUTCOMES.items()}
"""The words that events and settings use."""
INBOUND = "inbound"
"""Of imported history: the customer began it."""


class LearnedRow(Row, kw_only=True):
    """What all customers of a workspace have in common."""

    channels: list[str] = []
    segments: list[str] = []
    prior: bytes = b""
    calibration: bytes = b""


class Learner(Evidence):
    """One workspace's evidence."""

    def __init__(self, workspace: Workspace, book: CustomerBook) -> None:
        self._workspace = workspace
        self._book = book
        self._channels: list[str] = []
        self._segments: list[str] = []
        self._prior = Prior(SEGMENTS, CHANNELS)
        self.calibration = Calibration(CHANNELS)
        self._tables: PriorTables | None = None
        self._seen = 0
        self._kept_us = workspace.now_us()
        self._policy: LearningPolicy | None = None
        self.weights = OutcomeWeights()
        self.estimator = Gpl()
        book.evidence = self
        workspace.on_loaded.append(self._load)

    def _load(self) -> None:
        data = self._workspace.rows_of(KIND).get(ID)
        if data is None:
            return
        row = decode_row(LearnedRow, zlib.decompress(data))
        self._channels, self._segments = list(row.channels), list(row.segments)
        self._prior = Prior.decode(row.prior)
        self.calibration = Calibration.decode(row.calibration)
        self._tables = None

    def use(self) -> LearningPolicy:
        """The settings in force."""
        policy = self._workspace.policy.learning
        if policy is not self._policy:
            self._policy = policy
            given = {
                OUTCOMES[name]: Weight(weight.target, weight.weight)
                for name, weight in policy.weights.items()
            }
            self.weights = OutcomeWeights(given)
            self.estimator = Gpl(weights=self.weights)
        return policy

    # --- names and numbers --------------------------------------------------------------------

    def channel(self, name: str) -> int | None:
        """The number of a channel; None = there are too many to learn about this one."""
        return self._number(self._channels, name, CHANNELS)

    def segment(self, row: Customer) -> int | None:
        """The segment whose customers this one is compared with."""
        name = row.segment or row.last_segment
        return self._number(self._segments, name, SEGMENTS) if name else None

    def _number(self, names: list[str], name: str, most: int) -> int | None:
        if name in names:
            return names.index(name)
        if len(names) >= most:
            return None
        names.append(name)
        self.keep()  # customers' rows name it by its number from this commit on
        return len(names) - 1

    def endpoint(self, row: Customer, channel: str, address: str) -> Endpoint | None:
        """An address of a customer on a channel, as profiles name it."""
        number = self.channel(channel)
        if number is None or not address:
            return None
        kind = self._book.identities.kind(channel)
        own = [identity.hash for identity in row.identities if identity.kind == kind]
        rank = own.index(address) if address in own else len(own)
        return Endpoint(number, int(address[:8], 16), min(rank, 15))

    def hour(self, row: Customer, at_us: int) -> int:
        """The wall hour of a calendar moment where the customer is."""
        return wall_hour(at_us, offset_minutes(self.zone(row), at_us))

    def zone(self, row: Customer) -> str:
        """Where the customer is, as far as is known."""
        zones = self._book.zones(row)
        return zones[0] if zones else self.use().zone

    def whereabouts(self, row: Customer) -> Whereabouts:
        """Where the customer is, as far as is known."""
        return Whereabouts(self.zone(row), is_stated=bool(row.zone))

    def tables(self) -> PriorTables:
        """What is expected of strangers."""
        if self._tables is None:
            self._tables = self._prior.tables()
        return self._tables

    def profile(self, row: Customer, now_us: int) -> Profile:
        """What is remembered of a customer; attempts that can have no answer any more are over."""
        profile = stored_profile(row)
        self._settle_overdue(row, profile, now_us, counts=False)
        return profile

    # --- evidence -----------------------------------------------------------------------------

    def learn(self, row: Customer, what: e.Event | Contact) -> None:
        """Follow an event about a customer, or the end of one of their contacts."""
        policy = self.use()
        if isinstance(what, Contact):
            self._closed(row, what, policy)
        elif isinstance(what, e.OutboundSent):
            endpoint = self.endpoint(row, what.channel, what.address)
            if endpoint is not None:
                profile = stored_profile(row)
                hour = self.hour(row, what.sent_at_us)
                profile.record_attempt(endpoint, hour, explore=what.explore)
                row.profile = profile.encode()
        elif isinstance(what, e.OutcomeRecorded):
            self._outcome(row, what, policy)

    def relocated(self, row: Customer, was: Whereabouts) -> None:
        """A zone that was wrong all along is corrected: the evidence goes to the right hours."""
        now = self.whereabouts(row)
        if row.profile and now.zone != was.zone:
            row.profile = self._corrected(stored_profile(row), was, now).encode()

    def join(self, into: Customer, other: Customer) -> None:
        """Two customers are one: their evidence, too, by the clock of where that one is."""
        if not (into.profile or other.profile):
            return
        one = msgspec.structs.replace(into)
        customers.merge(one, other)
        where = self.whereabouts(one)
        joined = self._corrected(stored_profile(into), self.whereabouts(into), where)
        if other.profile != into.profile:
            found = self._corrected(stored_profile(other), self.whereabouts(other), where)
            for event in found.events():
                joined.record_attempt(
                    event.endpoint, event.hour, event.outcome, explore=event.explore
                )
            for event in found.inbound_events():
                joined.record_inbound(event.endpoint, event.hour)
            joined.take_older(found)
        into.profile = joined.encode()

    def _corrected(self, profile: Profile, was: Whereabouts, now: Whereabouts) -> Profile:
        """The evidence after a change of zone.

        One stated zone after another one is a move: who answered at nine goes on to answer at nine,
        by another clock. Everything else puts right what we believed: the moments stay.
        """
        if was.zone != now.zone and not (was.is_stated and now.is_stated):
            at_us = self._calendar_us(self._workspace.now_us())
            later = offset_minutes(now.zone, at_us) - offset_minutes(was.zone, at_us)
            profile.move(lambda hour: elsewhere(hour, was.zone, now.zone), round(later / 60))
        return profile

    def _outcome(self, row: Customer, event: e.OutcomeRecorded, policy: LearningPolicy) -> None:
        endpoint = self.endpoint(row, event.channel, event.address)
        if endpoint is None:
            return
        profile = stored_profile(row)
        hour = self.hour(row, event.attempted_at_us)
        if event.outcome == NOT_SENT:
            profile.retract(endpoint, hour)
            row.profile = profile.encode()
            return
        if event.outcome == INBOUND:
            self._began(profile, endpoint, hour)
            row.profile = profile.encode()
            return
        outcome = OUTCOMES.get(event.outcome)
        if outcome is None:
            return
        if outcome is Outcome.REPLIED and event.source == "engine":
            within_us = policy.within(event.channel)
            if self._calendar_us(event.at_us) > event.attempted_at_us + within_us:
                outcome = Outcome.REPLIED_LATE
        self._settle(row, profile, endpoint, hour, outcome, self._choice(event))
        row.profile = profile.encode()

    def _closed(self, row: Customer, contact: Contact, policy: LearningPolicy) -> None:
        profile = stored_profile(row)
        terms = contact.outbound
        if contact.direction is Direction.INBOUND:
            endpoint = self.endpoint(row, contact.channel, contact.address)
            if endpoint is not None:
                hour = self.hour(row, self._calendar_us(contact.created_at_us))
                self._began(profile, endpoint, hour)
        elif terms is not None and terms.sent_at_us and contact.disposition in policy.dispositions:
            endpoint = self.endpoint(row, contact.channel, contact.address)
            outcome = OUTCOMES.get(policy.dispositions[contact.disposition])
            if endpoint is not None and outcome is not None:
                hour = self.hour(row, terms.sent_at_us)
                self._settle(row, profile, endpoint, hour, outcome, _choice_of(contact))
        now_us = self._calendar_us(contact.closed_at_us)
        self._settle_overdue(row, profile, now_us, counts=True)
        row.profile = profile.encode()

    def _began(self, profile: Profile, endpoint: Endpoint, hour: int) -> None:
        """The customer came by themselves."""
        profile.record_inbound(endpoint, hour)
        self._prior.observe_inbound(endpoint.channel, hour)
        self._observed()

    def _settle(
        self,
        row: Customer,
        profile: Profile,
        endpoint: Endpoint,
        hour: int,
        outcome: Outcome,
        choice: tuple[float | None, int, float],
    ) -> None:
        """An attempt has come to something; the first that is known of it counts for everybody."""
        known = profile.outcome_of(endpoint, hour)
        profile.record_attempt(endpoint, hour, outcome)
        if known not in (None, Outcome.PENDING):
            return
        target, weight = self.weights.target[outcome], self.weights.weight[outcome]
        propensity, candidates, raw = choice
        self._prior.observe(
            self.segment(row),
            endpoint.channel,
            endpoint.rank,
            hour,
            float(target),
            weight=float(weight),
            propensity=propensity,
            candidates=candidates,
        )
        if raw > 0 and weight:
            self.calibration.observe(endpoint.channel, raw, float(target), float(weight))
        self._observed()

    def _settle_overdue(
        self, row: Customer, profile: Profile, now_us: int, *, counts: bool
    ) -> None:
        """Attempts that nobody answered in time: ignored. `counts`: for everybody, too."""
        waiting = profile.open_events()
        if not waiting:
            return
        policy = self.use()
        now_hour = self.hour(row, now_us)
        for event in waiting:
            number = event.endpoint.channel
            name = self._channels[number] if number < len(self._channels) else ""
            within_us = policy.within(name)
            if now_hour - event.hour <= -(-within_us // HOUR_US):
                continue
            if counts:
                self._settle(
                    row, profile, event.endpoint, event.hour, Outcome.IGNORED, (None, 1, 0.0)
                )
            else:
                profile.record_attempt(event.endpoint, event.hour, Outcome.IGNORED)

    def _choice(self, event: e.OutcomeRecorded) -> tuple[float | None, int, float]:
        """Propensity, candidates and the estimator's own p of the choice behind an attempt."""
        contact = self._workspace.engine.state.contacts.get(event.contact)
        return (None, 1, 0.0) if contact is None else _choice_of(contact)

    def _calendar_us(self, engine_us: int) -> int:
        return engine_us + self._workspace.engine.state.totals.clock_offset_us

    def _observed(self) -> None:
        self._seen += 1
        if self._seen % TABLES_EVERY == 0:
            self._tables = None
        now_us = self._workspace.now_us()
        if now_us >= self._kept_us + KEEP_EVERY_US:
            self._kept_us = now_us
            self.keep()

    def keep(self) -> None:
        """Write what all customers have in common with the next commit."""
        row = LearnedRow(
            channels=self._channels,
            segments=self._segments,
            prior=self._prior.encode(),
            calibration=self.calibration.encode(),
        )
        # Mostly zeros: a few kilobytes are left of 600.
        self._workspace.note(KIND, ID, zlib.compress(encode_row(row), 1))


def stored_profile(row: Customer) -> Profile:
    """The evidence in a customer's row; an empty one for somebody new."""
    return Profile.decode(row.profile) if row.profile else Profile()


def elsewhere(hour: int, zone: str, other: str) -> int:
    """The wall hour in another zone at the middle of this one. Negative before 2020."""
    at_us = wall_moment(zone, (EPOCH_HOURS + hour) * HOUR_US + HOUR_US // 2)
    return (at_us + offset_minutes(other, at_us) * MINUTE_US) // HOUR_US - EPOCH_HOURS


def _choice_of(contact: Contact) -> tuple[float | None, int, float]:
    window = contact.outbound.window if contact.outbound is not None else None
    if window is None:
        return None, 1, 0.0
    return window.propensity, window.candidates, window.raw
