"""May this customer be contacted, on this channel and address, for this purpose, at this moment?

Start here. In this order: do-not-contact, consent, hours by the customer's clock, frequency. The
first that says no is the answer. It is asked twice for each contact: when the decision is made
(then `ledger.reserve`), and at the moment of sending (then `ledger.confirm`, or `release`), because
a customer may have written STOP in between. `besides` is then the id of the own reservation.

Moments are calendar time in epoch µs: the caller adds the clock's offset to engine time.
"""

from __future__ import annotations

from enum import StrEnum

from router.core.consent import (
    MOST_CONSENTS,
    Listener,
    block,
    mode_of,
    statement,
    with_block,
    with_consent,
)
from router.core.ledger import Blocked, blocked, merged, next_free
from router.core.model import DAY_US, MINUTE_US
from router.core.permission_facts import Consent, ConsentState, PermissionFacts
from router.core.permission_policy import ConsentMode, ContactPolicy, FrequencyLimit
from router.core.quiet import LOOK_AHEAD_DAYS, Interval, LocalWindows, QuietHours, intersection
from router.core.record import Value
from router.errors import ConfigError

HOUR_US = 60 * MINUTE_US
NO_SOURCE = "no source given"


class Reason(StrEnum):
    """Why not: stable and machine-readable."""

    UNNAMED = "unnamed"
    DO_NOT_CONTACT = "do_not_contact"
    OPTED_OUT = "opted_out"
    """A keyword such as STOP."""
    CONSENT_WITHDRAWN = "consent_withdrawn"
    CONSENT_MISSING = "consent_missing"
    ZONE_UNKNOWN = "zone_unknown"
    OUTSIDE_HOURS = "outside_hours"
    TOO_OFTEN = "too_often"


class Allowed(Value, kw_only=True):
    """Yes, at this moment."""

    consent: Consent | None = None
    """The statement it rests on; None = the customer has not objected."""


class Denied(Value, kw_only=True):
    """No."""

    reason: Reason
    words: str
    """For people; names no address."""
    next_allowed_us: int | None = None
    """From when on it would be allowed if nothing else happens; None = not by waiting."""


class Permissions:
    """One workspace's policy, compiled.

    Raises ConfigError with every finding (spans, zones, limits, keywords).
    """

    def __init__(self, policy: ContactPolicy) -> None:
        self.policy = policy
        self.listener = Listener(policy.keywords)
        findings = [*self.listener.findings, *_wrong_limits(policy.limits)]
        try:
            self._quiet = QuietHours(policy)
        except ConfigError as error:
            findings.extend(error.findings)
        if findings:
            raise ConfigError(findings)

    def permitted(
        self,
        facts: PermissionFacts,
        channel: str,
        address: str,
        purpose: str,
        at_us: int,
        *,
        besides: str = "",
    ) -> Allowed | Denied:
        """Whether one more contact may go out at this moment."""
        said = self._said(facts, channel, address, purpose)
        if isinstance(said, Denied):
            return said
        windows = self._windows(facts, channel, purpose)
        if isinstance(windows, Denied):
            return windows
        blocks = self._blocks(facts, channel, address, purpose, besides)
        if windows is not None and not windows.is_open(at_us):
            zone, clock = windows.shut_in(at_us)
            return Denied(
                reason=Reason.OUTSIDE_HOURS,
                words=f"it is {clock} in {zone}, outside the hours for {purpose} by {channel}",
                next_allowed_us=_next(windows, blocks, at_us),
            )
        for standing in blocks:
            if standing.from_us <= at_us < standing.until_us:
                limit = standing.limit
                return Denied(
                    reason=Reason.TOO_OFTEN,
                    words=f'limit "{limit.name}" is reached: '
                    f"{limit.most} in {_length(limit.per_us)} per {limit.scope.value}",
                    next_allowed_us=_next(windows, blocks, at_us),
                )
        return Allowed(consent=said)

    def next_allowed(
        self,
        facts: PermissionFacts,
        channel: str,
        address: str,
        purpose: str,
        from_us: int,
        *,
        besides: str = "",
    ) -> int | None:
        """The first moment from `from_us` on at which one more contact may go out.

        None = not by waiting, or not within `quiet.LOOK_AHEAD_DAYS` where several zones have hardly
        an hour in common.
        """
        windows = self._windows(facts, channel, purpose)
        if isinstance(windows, Denied) or isinstance(
            self._said(facts, channel, address, purpose), Denied
        ):
            return None
        return _next(windows, self._blocks(facts, channel, address, purpose, besides), from_us)

    def allowed_intervals(
        self,
        facts: PermissionFacts,
        channel: str,
        address: str,
        purpose: str,
        from_us: int,
        until_us: int,
        *,
        besides: str = "",
    ) -> list[Interval]:
        """The half-open stretches of `[from_us, until_us)` in which one contact may go out.

        In order, none empty; no further than `quiet.LOOK_AHEAD_DAYS` from `from_us`.
        """
        windows = self._windows(facts, channel, purpose)
        if isinstance(windows, Denied) or isinstance(
            self._said(facts, channel, address, purpose), Denied
        ):
            return []
        until_us = min(until_us, from_us + LOOK_AHEAD_DAYS * DAY_US)
        blocks = self._blocks(facts, channel, address, purpose, besides)
        free = _free(blocks, from_us, until_us)
        return free if windows is None else intersection(windows.intervals(from_us, until_us), free)

    def _said(
        self, facts: PermissionFacts, channel: str, address: str, purpose: str
    ) -> Consent | Denied | None:
        """The statement that allows it, None = silence that does, or the refusal."""
        if not (channel and address and purpose):
            return Denied(
                reason=Reason.UNNAMED,
                words=f"expected channel, address and purpose, got channel {channel!r}, "
                f"{'an' if address else 'no'} address, purpose {purpose!r}",
            )
        standing = block(facts.do_not_contact, channel, address, purpose)
        if standing is not None:
            scope = " and ".join(
                (f"on {standing.channel}",) * bool(standing.channel)
                + ("for this address",) * bool(standing.address)
            )
            return Denied(
                reason=Reason.OPTED_OUT if standing.asked_from else Reason.DO_NOT_CONTACT,
                words=f"do not contact {scope or 'at all'} ({standing.source or NO_SOURCE})",
            )
        said = statement(facts.consents, channel, address, purpose)
        if said is not None and said.state is ConsentState.WITHDRAWN:
            return Denied(
                reason=Reason.CONSENT_WITHDRAWN,
                words=f"consent to {purpose} by {channel} was withdrawn "
                f"({said.source or NO_SOURCE})",
            )
        if said is None and mode_of(self.policy, channel, purpose) is ConsentMode.OPT_IN:
            return Denied(
                reason=Reason.CONSENT_MISSING,
                words=f"{purpose} by {channel} needs consent, and none was given",
            )
        return said

    def _windows(
        self, facts: PermissionFacts, channel: str, purpose: str
    ) -> LocalWindows | Denied | None:
        """The hours that hold it, None = none do, or the refusal for want of a zone."""
        if self._quiet.is_exempt(channel, purpose, facts.quiet):
            return None
        windows = self._quiet.local_windows(channel, purpose, facts.zones, facts.quiet)
        if windows is None:
            return Denied(
                reason=Reason.ZONE_UNKNOWN,
                words=f"there are hours for {purpose} by {channel}, and the customer's time zone "
                f"is not known: got {', '.join(facts.zones) or 'none'}",
            )
        return windows

    def _blocks(
        self, facts: PermissionFacts, channel: str, address: str, purpose: str, besides: str
    ) -> list[Blocked]:
        return blocked(
            facts.ledger,
            self.policy.limits,
            channel,
            address,
            purpose,
            exempt=self.policy.exempt,
            besides=besides,
        )


def merged_facts(one: PermissionFacts, other: PermissionFacts) -> PermissionFacts:
    """What is known of two customers who turned out to be one: nobody's objection is lost.

    Where they differ in zone, contact is allowed only where both zones allow it.
    """
    consents = one.consents
    # Withdrawals first: if the two have too many statements, it is given consent that is lost.
    for said in sorted(other.consents, key=lambda said: said.state is ConsentState.GIVEN):
        if said.state is ConsentState.WITHDRAWN or len(consents) < MOST_CONSENTS:
            consents = with_consent(consents, said)
    blocks = one.do_not_contact
    for standing in other.do_not_contact:
        blocks = with_block(blocks, standing)
    return PermissionFacts(
        zones=tuple(dict.fromkeys((*one.zones, *other.zones))),
        consents=consents,
        do_not_contact=blocks,
        quiet=tuple(dict.fromkeys((*one.quiet, *other.quiet))),
        ledger=merged(one.ledger, other.ledger),
    )


def _next(windows: LocalWindows | None, blocks: list[Blocked], at_us: int) -> int | None:
    while True:  # each turn passes at least one block
        opening = at_us if windows is None else windows.next_open(at_us)
        if opening is None:
            return None
        at_us = next_free(blocks, opening)
        if at_us == opening:
            return opening


def _free(blocks: list[Blocked], from_us: int, until_us: int) -> list[Interval]:
    """`[from_us, until_us)` without the blocks, which are sorted by start."""
    free: list[Interval] = []
    for standing in blocks:
        if standing.from_us >= until_us:
            break
        if standing.from_us > from_us:
            free.append((from_us, standing.from_us))
        from_us = max(from_us, standing.until_us)
    if from_us < until_us:
        free.append((from_us, until_us))
    return free


def _length(length_us: int) -> str:
    for unit_us, unit in ((DAY_US, "day"), (HOUR_US, "hour"), (MINUTE_US, "minute")):
        if length_us % unit_us == 0:
            count = length_us // unit_us
            return f"{count} {unit}{'s' * (count != 1)}"
    return f"{length_us / 1e6:g} seconds"


def _wrong_limits(limits: tuple[FrequencyLimit, ...]) -> list[str]:
    findings = []
    for limit in limits:
        where = f'frequency limit "{limit.name}"'
        if limit.most < 1:
            findings.append(f"{where}: expected most >= 1, got {limit.most}")
        if limit.per_us < 1:
            findings.append(f"{where}: expected a length above 0, got {limit.per_us} µs")
    return findings
