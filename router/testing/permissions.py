"""Random decisions about contacting customers, judged by a checker that shares no code with them.

Run: ``python -m router.testing.permissions [--count 1000000] [--seed 1]``. Customers live through
days on which clocks change, on Sundays and holidays, in known, wrong and unknown zones; they write
STOP and START, give and withdraw consent, while contacts are decided, reserved, checked again and
sent. The checker keeps a history of its own and reads the clock on the wall with `zoneinfo`. Each
decision is compared both ways: what is allowed and should not be is a *violation*; what is refused
without a reason is *needless* (or one could pass by never contacting anybody).

What is decided there stands on one customer's facts. Whether an objection outlives what becomes of
customers and their addresses is asked of a whole workspace: `objection_lives.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

import msgspec

from router.core import ledger
from router.core.consent import renewed, with_block, with_consent, without_block
from router.core.model import DAY_US, MINUTE_US, SECOND_US
from router.core.permission import Allowed, Permissions
from router.core.permission_facts import (
    Consent,
    ConsentState,
    DoNotContact,
    LedgerEntry,
    PermissionFacts,
    QuietSpan,
)
from router.core.permission_policy import (
    ConsentMode,
    ConsentRule,
    ContactPolicy,
    ContactWindow,
    DaySpan,
    FrequencyLimit,
    LimitScope,
    SpecialDay,
)
from router.testing.objection_lives import run_lives
from router.testing.permission_checker import Checker, Meant
from router.testing.permission_report import PermissionReport

HOUR_US = 60 * MINUTE_US
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CHANNELS = ("voice", "sms", "email")
PURPOSES = ("service", "marketing", "service_reply", "callback", "survey")
ADDRESSES = ("a1", "a2")
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Los_Angeles",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Pacific/Kiritimati",
    "Asia/Tehran",
    "America/Havana",
    "Etc/GMT+12",
)
WRONG_ZONES = ("Europe/Berlinn", "", "Factory", "localtime", "UTC+2", "../etc/passwd", "Europe")
DAYS = (
    "2027-03-28",  # Berlin's clocks go forward
    "2027-10-31",  # and back
    "2027-03-14",  # New York, Havana
    "2027-11-07",
    "2027-04-04",  # Lord Howe, half an hour
    "2027-10-03",
    "2011-12-30",  # Apia had no such day
    "2026-02-15",  # Casablanca, for Ramadan
    "2026-03-22",
    "2021-09-22",  # Tehran, at midnight
    "2027-08-01",  # an ordinary Sunday
    "2028-02-29",
)
MESSAGES = (
    ("STOP", "stop"),
    (" stop! ", "stop"),
    ("Unsubscribe.", "stop"),
    ("opt-out", "stop"),
    ("Quit", "stop"),
    ("StopAll", "stop_all"),
    ("start", "start"),
    ("UNSTOP ✋", "start"),
    ("please stop", ""),
    ("When does it start?", ""),
    ("stopped by your shop", ""),
)
DECISIONS_A_CUSTOMER = 40
CUSTOMERS_A_POLICY = 25
SHOWN = 10


class Life:
    """One customer: what the router knows of them beside what the checker remembers."""

    def __init__(self, rng: Random, permissions: Permissions, base: str, name: str) -> None:
        self.rng = rng
        self.permissions = permissions
        self.name = name
        self.base = base
        zones = draw_zones(rng)
        quiet = tuple(draw_quiet(rng) for _ in range(rng.choice((0, 0, 0, 1, 2))))
        self.facts = PermissionFacts(zones=zones, quiet=quiet)
        self.checker = Checker(permissions.policy, zones, quiet)
        self.attempts = 0

    def go(self, report: PermissionReport, decisions: int) -> None:
        """Live through so many moments, and at least so many decisions."""
        until = report.decisions + decisions
        moments = sorted(self.moment() for _ in range(decisions))
        for now_us in moments:
            if report.decisions >= until:
                return
            self.turn(now_us)
            self.facts = msgspec.structs.replace(
                self.facts,
                ledger=ledger.pruned(self.facts.ledger, self.permissions.policy.limits, now_us),
            )
            self.send_what_is_due(report, now_us)
            self.decide(report, now_us)

    def moment(self) -> int:
        """Near where something changes: an edge of hours by some clock, or a clock change."""
        rng = self.rng
        day = date.fromisoformat(self.base) + timedelta(days=rng.randint(-3, 4))
        minute = rng.choice((0, 60, 119, 120, 150, 180, 480, 540, 1020, 1260, rng.randrange(1440)))
        zone = ZoneInfo(rng.choice(ZONES))
        if self.checker.zones and rng.random() < 0.7:
            zone = rng.choice(self.checker.zones)
        clock = time(minute // 60, minute % 60, fold=rng.randint(0, 1))
        local = datetime.combine(day, clock, tzinfo=zone)
        at_us = (local - EPOCH) // timedelta(microseconds=1)
        return at_us + rng.choice(
            (0, 0, -1, 1, SECOND_US, -SECOND_US, rng.randint(-HOUR_US, HOUR_US))
        )

    def turn(self, now_us: int) -> None:
        """Something may happen that is not ours to decide."""
        rng, facts = self.rng, self.facts
        channel, address = rng.choice(CHANNELS), rng.choice(ADDRESSES)
        chance = rng.random()
        if chance < 0.04:
            text, meaning = rng.choice(MESSAGES)
            heard = self.permissions.listener.hear(
                facts.do_not_contact, channel, address, text, now_us
            )
            if heard is not None:
                self.facts = msgspec.structs.replace(facts, do_not_contact=heard.do_not_contact)
            self.checker.message(channel, address, meaning, now_us)
        elif chance < 0.06:
            scope = (rng.choice(("", channel)), rng.choice(("", address)))
            new = DoNotContact(at_us=now_us, channel=scope[0], address=scope[1])
            self._set_blocks(with_block(facts.do_not_contact, new))
            self.checker.blocks.append((*scope, "", now_us))
        elif chance < 0.12 and self.checker.blocks:
            scope = rng.choice(self.checker.blocks)[:2]
            self._set_blocks(without_block(facts.do_not_contact, *scope))
            self.checker.blocks = [b for b in self.checker.blocks if b[:2] != scope]
        elif chance < 0.3:
            said = Consent(
                state=rng.choice((ConsentState.GIVEN, ConsentState.GIVEN, ConsentState.WITHDRAWN)),
                at_us=now_us,
                channel=rng.choice(("", channel)),
                address=rng.choice(("", "", address)),
                purpose=rng.choice(("", *PURPOSES)),
            )
            consents = with_consent(facts.consents, said)
            blocks = facts.do_not_contact
            if said.state is ConsentState.GIVEN and said.address:
                after = (renewed(b, said) if b.address == said.address else b for b in blocks)
                blocks = tuple(b for b in after if b is not None)
            self.facts = msgspec.structs.replace(facts, consents=consents, do_not_contact=blocks)
            self.checker.statements.append(said)

    def _set_blocks(self, blocks: tuple[DoNotContact, ...]) -> None:
        self.facts = msgspec.structs.replace(self.facts, do_not_contact=blocks)

    def send_what_is_due(self, report: PermissionReport, now_us: int) -> None:
        """Reserved contacts whose moment has come are checked again, then sent or released."""
        due = [e for e in self.facts.ledger if not e.sent and e.at_us <= now_us]
        for entry in due:
            kept = self.ask(report, entry.channel, entry.address, entry.purpose, now_us, entry.id)
            meant = next(m for m in self.checker.meant if m.id == entry.id)
            if kept:
                self._enter(ledger.confirm, msgspec.structs.replace(entry, at_us=now_us))
                meant.at_us = now_us
            else:
                self.facts = msgspec.structs.replace(
                    self.facts, ledger=ledger.release(self.facts.ledger, entry.id)
                )
                self.checker.meant.remove(meant)

    def decide(self, report: PermissionReport, now_us: int) -> None:
        """One contact: at once, at the next allowed moment, or somewhere in what is allowed."""
        rng = self.rng
        channel, address = rng.choice(CHANNELS), rng.choice(ADDRESSES)
        purpose = rng.choice(PURPOSES)
        how = rng.random()
        enter: Callable[..., ledger.Entries] = ledger.reserve
        if how < 0.6:
            at_us, enter = now_us, ledger.confirm
        elif how < 0.8:
            following = self.permissions.next_allowed(self.facts, channel, address, purpose, now_us)
            if following is None:
                return
            if following > now_us:
                self.ask(report, channel, address, purpose, following - 1)
            at_us = following
            self._must(report, channel, address, purpose, at_us)
        else:
            spans = self.permissions.allowed_intervals(
                self.facts, channel, address, purpose, now_us, now_us + rng.randint(1, 5) * DAY_US
            )
            if not spans:
                self._must_not(report, channel, address, purpose, now_us + rng.randint(0, DAY_US))
                return
            start_us, end_us = rng.choice(spans)
            if end_us < now_us + DAY_US:
                self._must_not(report, channel, address, purpose, end_us)
            at_us = rng.choice((start_us, end_us - 1, rng.randrange(start_us, end_us)))
            self._must(report, channel, address, purpose, at_us)
        if self.ask(report, channel, address, purpose, at_us):
            self.attempts += 1
            entry = LedgerEntry(at_us, channel, address, purpose, f"{self.name}/{self.attempts}")
            self._enter(enter, entry)
            self.checker.meant.append(Meant(at_us, channel, address, purpose, entry.id))

    def _enter(self, how: Callable[..., ledger.Entries], entry: LedgerEntry) -> None:
        self.facts = msgspec.structs.replace(self.facts, ledger=how(self.facts.ledger, entry))

    def ask(
        self,
        report: PermissionReport,
        channel: str,
        address: str,
        purpose: str,
        at_us: int,
        besides: str = "",
    ) -> bool:
        """One decision, compared with the checker's."""
        verdict = self.permissions.permitted(
            self.facts, channel, address, purpose, at_us, besides=besides
        )
        against = self.checker.objections(channel, address, purpose, at_us, besides)
        report.decisions += 1
        allowed = isinstance(verdict, Allowed)
        report.verdicts["allowed" if isinstance(verdict, Allowed) else verdict.reason.value] += 1
        if allowed and against:
            report.violations.append(
                self._told(channel, purpose, at_us, f"allowed against {', '.join(against)}")
            )
        elif not allowed and not against:
            report.needless.append(self._told(channel, purpose, at_us, f"{verdict}"))
        return allowed

    def _must(
        self, report: PermissionReport, channel: str, address: str, purpose: str, at_us: int
    ) -> None:
        against = self.checker.objections(channel, address, purpose, at_us)
        if against:
            report.violations.append(
                self._told(channel, purpose, at_us, f"proposed against {', '.join(against)}")
            )

    def _must_not(
        self, report: PermissionReport, channel: str, address: str, purpose: str, at_us: int
    ) -> None:
        if not self.checker.objections(channel, address, purpose, at_us):
            report.needless.append(self._told(channel, purpose, at_us, "left out of the intervals"))

    def _told(self, channel: str, purpose: str, at_us: int, what: str) -> str:
        at = EPOCH + timedelta(microseconds=at_us)
        zones = ", ".join(self.facts.zones) or "none"
        return f"{self.name}: {channel} {purpose} at {at.isoformat()} (zones {zones}): {what}"


def draw_policy(rng: Random, base: str) -> ContactPolicy:
    """Sometimes the defaults, else anything: windows, holidays, limits, modes."""
    if rng.random() < 0.25:
        return ContactPolicy(unknown_zones=rng.choice(((), ("Europe/Berlin", "Asia/Tehran"))))
    holidays = tuple(
        SpecialDay(
            (date.fromisoformat(base) + timedelta(days=shift)).isoformat(),
            rng.choice(((), ((600, 720),), ((0, 150), (1200, 1440)))),
        )
        for shift in sorted(rng.sample(range(-2, 4), rng.randint(0, 2)))
    )
    windows = tuple(
        ContactWindow(
            name=f"window {number}",
            channels=tuple(rng.sample(CHANNELS, rng.randint(0, 2))),
            purposes=tuple(rng.sample(PURPOSES, rng.choice((0, 0, 1, 2)))),
            spans=tuple(draw_span(rng) for _ in range(rng.randint(1, 3))),
            holidays=holidays if rng.random() < 0.7 else (),
        )
        for number in range(rng.randint(0, 3))
    )
    limits = tuple(
        FrequencyLimit(
            name=f"limit {number}",
            most=rng.randint(1, 4),
            per_us=rng.choice((1, HOUR_US, 6 * HOUR_US, DAY_US, 3 * DAY_US, 30 * DAY_US)),
            channels=tuple(rng.sample(CHANNELS, rng.randint(0, 2))),
            purposes=tuple(rng.sample(PURPOSES, rng.choice((0, 0, 1, 2)))),
            scope=rng.choice(tuple(LimitScope)),
        )
        for number in range(rng.randint(0, 3))
    )
    consent = tuple(
        ConsentRule(
            mode=rng.choice(tuple(ConsentMode)),
            channels=tuple(rng.sample(CHANNELS, rng.randint(0, 2))),
            purposes=tuple(rng.sample(PURPOSES, rng.randint(0, 3))),
        )
        for _ in range(rng.randint(0, 3))
    )
    return ContactPolicy(
        consent=consent,
        consent_otherwise=rng.choice(tuple(ConsentMode)),
        windows=windows,
        limits=limits,
        exempt=rng.choice(((), ("service_reply",), ("service_reply", "callback"))),
        unknown_zones=tuple(rng.sample(ZONES, rng.choice((0, 0, 1, 2)))),
    )


def draw_span(rng: Random) -> DaySpan:
    """Hours of a week: office-like, round the clock, or anything."""
    days = tuple(sorted(rng.sample(range(7), rng.randint(3, 7))))
    start, end = rng.choice(
        ((480, 1260), (540, 1020), (0, 1440), (60, 180), tuple(sorted(rng.sample(range(1441), 2))))
    )
    return DaySpan(days, start, end)


def draw_quiet(rng: Random) -> QuietSpan:
    """A customer's wish."""
    span = draw_span(rng)
    return QuietSpan(
        days=span.days,
        start_minute=span.start_minute,
        end_minute=min(span.end_minute, span.start_minute + 300),
        channels=tuple(rng.sample(CHANNELS, rng.randint(0, 1))),
    )


def draw_zones(rng: Random) -> tuple[str, ...]:
    """Known, one of several, unknown or wrong."""
    kind = rng.random()
    if kind < 0.6:
        return (rng.choice(ZONES),)
    if kind < 0.75:
        return tuple(rng.sample(ZONES, rng.randint(2, 3)))
    if kind < 0.85:
        return ()
    return tuple(rng.sample((rng.choice(WRONG_ZONES), rng.choice(ZONES)), rng.randint(1, 2)))


def run(
    count: int,
    seed: int,
    compile_policy: Callable[[ContactPolicy], Permissions] = Permissions,
) -> PermissionReport:
    """Make `count` decisions; the same seed makes the same ones.

    `compile_policy` is for those who plant faults, to see them found.
    """
    rng = Random(seed)
    report = PermissionReport()
    number = 0
    while report.decisions < count:
        number += 1
        base = rng.choice(DAYS)
        permissions = compile_policy(draw_policy(rng, base))
        for customer in range(CUSTOMERS_A_POLICY):
            left = count - report.decisions
            if left <= 0:
                break
            life = Life(rng, permissions, base, f"policy {number}, customer {customer}")
            life.go(report, min(left, DECISIONS_A_CUSTOMER))
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m router.testing.permissions")
    parser.add_argument("--count", type=int, default=20_000, help="decisions (default 20,000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--lives", type=int, default=20, help="of customers who share addresses (default 20)"
    )
    options = parser.parse_args(arguments)
    reports = [run(options.count, options.seed), run_lives(options.lives, options.seed)]
    for report in reports:
        tell(report)
    return 0 if all(report.is_clean for report in reports) else 1


def tell(report: PermissionReport) -> None:
    """What was found, for people."""
    out = sys.stdout.write
    out(f"decisions   {report.decisions:>10,}\n")
    for verdict, times in sorted(report.verdicts.items(), key=lambda item: (-item[1], item[0])):
        out(f"  {verdict:<20}{times:>10,}  {times / report.decisions:6.1%}\n")
    for title, found in (("violations", report.violations), ("needless", report.needless)):
        out(f"{title:<12}{len(found):>10,}\n")
        for line in found[:SHOWN]:
            out(f"  {line}\n")


if __name__ == "__main__":
    sys.exit(main())
