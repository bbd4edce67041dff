"""May this customer be contacted? Consent, hours and frequency together, and a million judgements.

The long form: `python -m router.testing.permissions --count 1000000`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from router.core.consent import MOST_CONSENTS
from router.core.ledger import confirm, release, reserve
from router.core.model import DAY_US, FOR_EVER_US, MINUTE_US, SECOND_US
from router.core.permission import Allowed, Denied, Permissions, Reason, merged_facts
from router.core.permission_facts import (
    Consent,
    ConsentState,
    DoNotContact,
    LedgerEntry,
    PermissionFacts,
    QuietSpan,
)
from router.core.permission_policy import (
    EVERY_DAY,
    ContactPolicy,
    ContactWindow,
    DaySpan,
    FrequencyLimit,
    Keywords,
    LimitScope,
)
from router.errors import ConfigError
from router.testing import permissions as trial

HOUR_US = 60 * MINUTE_US
DEFAULTS = Permissions(ContactPolicy())
BERLIN = PermissionFacts(zones=("Europe/Berlin",))
GIVEN = Consent(state=ConsentState.GIVEN, at_us=1, source="web form")


def moment(text: str, zone: str = "Europe/Berlin") -> int:
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return (local - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


NOON = moment("2027-06-16T12:00")


def denied(
    facts: PermissionFacts,
    purpose: str = "service",
    at_us: int = NOON,
    *,
    channel: str = "sms",
    permissions: Permissions = DEFAULTS,
) -> Denied:
    verdict = permissions.permitted(facts, channel, "a", purpose, at_us)
    assert isinstance(verdict, Denied)
    return verdict


def with_ledger(facts: PermissionFacts, *entries: LedgerEntry) -> PermissionFacts:
    ledger = facts.ledger
    for entry in entries:
        ledger = reserve(ledger, entry)
    return msgspec.structs.replace(facts, ledger=ledger)


# --- a million judgements, in short ------------------------------------------------------------


def test_random_decisions_are_right_in_both_directions() -> None:
    report = trial.run(20_000, seed=3)
    assert report.decisions >= 20_000
    assert report.violations == []
    assert report.needless == []
    assert {reason.value for reason in Reason} - {"unnamed"} <= set(report.verdicts)
    assert 0.2 < report.verdicts["allowed"] / report.decisions < 0.8


class Planted(Permissions):
    """Asks with other facts, or at another moment, than it was given."""

    forget: tuple[str, ...] = ()
    one_zone: tuple[str, ...] | None = None
    late_us = 0

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
        nothing: tuple[str, ...] = ()
        changed = dict.fromkeys(self.forget, nothing)
        if self.one_zone is not None:
            changed["zones"] = self.one_zone or facts.zones[:1]
        seen = msgspec.structs.replace(facts, **changed)
        at_us -= self.late_us
        return super().permitted(seen, channel, address, purpose, at_us, besides=besides)


class DeafToStop(Planted):
    forget = ("do_not_contact",)


class ForgetsWithdrawals(Planted):
    forget = ("consents",)


class ForgetsTheLedger(Planted):
    forget = ("ledger",)


class ForgetsWishes(Planted):
    forget = ("quiet",)


class LivesInLondon(Planted):
    one_zone = ("Europe/London",)


class TakesTheFirstZone(Planted):
    one_zone = ()


class OneSecondLate(Planted):
    late_us = SECOND_US


class OneMicrosecondLate(Planted):
    late_us = 1


class CountsItsOwnReservation(Permissions):
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
        return super().permitted(facts, channel, address, purpose, at_us)


@pytest.mark.parametrize(
    "faulty",
    [
        DeafToStop,
        ForgetsWithdrawals,
        ForgetsTheLedger,
        ForgetsWishes,
        LivesInLondon,
        TakesTheFirstZone,
        OneSecondLate,
        OneMicrosecondLate,
    ],
)
def test_the_checker_sees_a_planted_fault(faulty: type[Permissions]) -> None:
    assert trial.run(4_000, seed=3, compile_policy=faulty).violations


def test_the_checker_sees_needless_refusals() -> None:
    assert trial.run(4_000, seed=3, compile_policy=CountsItsOwnReservation).needless


def test_the_command_says_what_it_found_and_fails_on_a_violation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert trial.main(["--count", "2000", "--seed", "5"]) == 0
    out = capsys.readouterr().out
    assert "violations           0" in out
    assert not trial.PermissionReport(violations=["one"]).is_clean
    assert not trial.PermissionReport(needless=["one"]).is_clean


# --- one after the other -----------------------------------------------------------------------


def test_a_second_after_nine_is_too_late_and_the_next_moment_is_eight_across_a_clock_change() -> (
    None
):
    late = moment("2027-03-27T21:00:01")
    verdict = denied(BERLIN, at_us=late)
    assert verdict.reason is Reason.OUTSIDE_HOURS
    assert verdict.next_allowed_us == moment("2027-03-28T08:00")
    assert verdict.words == (
        "it is Saturday 2027-03-27 21:00:01 in Europe/Berlin, outside the hours for service by sms"
    )
    last = late - SECOND_US - 1
    assert DEFAULTS.permitted(BERLIN, "sms", "a", "service", last) == Allowed()
    assert denied(BERLIN, at_us=last + 1).reason is Reason.OUTSIDE_HOURS


def test_after_stop_nothing_goes_out_to_that_address_not_even_a_reply() -> None:
    heard = DEFAULTS.listener.hear((), "sms", "a", "stop", NOON)
    assert heard is not None
    facts = msgspec.structs.replace(BERLIN, do_not_contact=heard.do_not_contact)
    for purpose in ("service", "marketing", "service_reply", "callback"):
        verdict = denied(facts, purpose)
        assert verdict.reason is Reason.OPTED_OUT
        assert verdict.next_allowed_us is None
        assert verdict.words == ("do not contact on sms and for this address (keyword STOP on sms)")
    assert DEFAULTS.permitted(facts, "sms", "b", "service", NOON) == Allowed()
    assert DEFAULTS.permitted(facts, "email", "a", "service", NOON) == Allowed()


def test_do_not_contact_stands_before_consent_that_was_given() -> None:
    block = DoNotContact(at_us=1)
    facts = msgspec.structs.replace(BERLIN, consents=(GIVEN,), do_not_contact=(block,))
    verdict = denied(facts, "marketing")
    assert verdict.reason is Reason.DO_NOT_CONTACT
    assert verdict.words == "do not contact at all (no source given)"


def test_marketing_needs_consent_and_names_the_one_it_rests_on() -> None:
    assert denied(BERLIN, "marketing").reason is Reason.CONSENT_MISSING
    facts = msgspec.structs.replace(BERLIN, consents=(GIVEN,))
    assert DEFAULTS.permitted(facts, "sms", "a", "marketing", NOON) == Allowed(consent=GIVEN)


def test_a_withdrawn_consent_holds_also_what_needs_none() -> None:
    withdrawn = Consent(state=ConsentState.WITHDRAWN, at_us=2, channel="sms", source="agent ana")
    facts = msgspec.structs.replace(BERLIN, consents=(GIVEN, withdrawn))
    verdict = denied(facts, "service_reply")
    assert verdict.reason is Reason.CONSENT_WITHDRAWN
    assert verdict.words == "consent to service_reply by sms was withdrawn (agent ana)"
    assert DEFAULTS.permitted(facts, "email", "a", "marketing", NOON) == Allowed(consent=GIVEN)


def test_a_reply_may_go_out_at_night_and_from_an_unknown_zone() -> None:
    night = moment("2027-06-16T03:00")
    wish = QuietSpan(days=EVERY_DAY, start_minute=0, end_minute=480)
    facts = msgspec.structs.replace(BERLIN, quiet=(wish,))
    assert DEFAULTS.permitted(facts, "sms", "a", "service_reply", night) == Allowed()
    assert DEFAULTS.permitted(PermissionFacts(), "sms", "a", "service_reply", night) == Allowed()
    assert denied(facts, "service", night).next_allowed_us == moment("2027-06-16T08:00")


def test_an_unknown_zone_is_refused_where_hours_matter_only() -> None:
    verdict = denied(PermissionFacts(zones=("Europe/Berlinn",)))
    assert verdict.reason is Reason.ZONE_UNKNOWN
    assert verdict.next_allowed_us is None
    assert "got Europe/Berlinn" in verdict.words
    assert DEFAULTS.permitted(PermissionFacts(), "email", "a", "service", NOON) == Allowed()


def test_replies_are_not_counted_and_other_contacts_are_held_by_the_ledger() -> None:
    replies = [LedgerEntry(NOON - n, "sms", "a", "service_reply", f"r/{n}") for n in range(9)]
    facts = with_ledger(BERLIN, *replies)
    assert DEFAULTS.permitted(facts, "sms", "a", "service", NOON) == Allowed()
    others = [LedgerEntry(NOON - n * HOUR_US, "email", "a", "service", f"c/{n}") for n in range(3)]
    facts = with_ledger(facts, *others)
    verdict = denied(facts)
    assert verdict.reason is Reason.TOO_OFTEN
    assert verdict.words == 'limit "address in a day" is reached: 3 in 1 day per address'
    assert verdict.next_allowed_us == NOON + 22 * HOUR_US
    assert DEFAULTS.permitted(facts, "sms", "b", "service", NOON) == Allowed()
    assert DEFAULTS.permitted(facts, "sms", "a", "service_reply", NOON) == Allowed()


def test_the_next_moment_obeys_hours_and_ledger_at_once() -> None:
    evening = moment("2027-06-16T20:00")
    sent = [LedgerEntry(evening + n, "sms", "a", "service", f"c/{n}") for n in range(3)]
    facts = with_ledger(BERLIN, *sent)
    # A day later is 20:00: inside the hours. A call at 21:30 would be freed outside them.
    assert denied(facts, at_us=evening).next_allowed_us == evening + DAY_US
    late = [
        LedgerEntry(moment("2027-06-16T21:30") + n, "email", "a", "service", f"c/{n}")
        for n in range(3)
    ]
    facts = with_ledger(BERLIN, *late)
    assert denied(facts, at_us=NOON).reason is Reason.TOO_OFTEN
    assert denied(facts, at_us=NOON).next_allowed_us == moment("2027-06-18T08:00")


def test_a_decision_reserves_and_is_checked_again_when_it_is_sent() -> None:
    policy = ContactPolicy(windows=(), limits=(FrequencyLimit(name="one", most=1, per_us=DAY_US),))
    permissions = Permissions(policy)
    meant = LedgerEntry(NOON + HOUR_US, "sms", "a", "service", "c1/1")
    facts = with_ledger(BERLIN, meant)
    assert denied(facts, permissions=permissions).reason is Reason.TOO_OFTEN
    again = permissions.permitted(facts, "sms", "a", "service", NOON + HOUR_US, besides="c1/1")
    assert again == Allowed()
    stopped = msgspec.structs.replace(facts, do_not_contact=(DoNotContact(at_us=NOON),))
    now = NOON + HOUR_US
    refused = permissions.permitted(stopped, "sms", "a", "service", now, besides="c1/1")
    assert isinstance(refused, Denied)
    free = msgspec.structs.replace(facts, ledger=release(facts.ledger, "c1/1"))
    assert permissions.permitted(free, "sms", "a", "service", NOON) == Allowed()
    sent = msgspec.structs.replace(facts, ledger=confirm(facts.ledger, meant))
    assert denied(sent, permissions=permissions).next_allowed_us == NOON + HOUR_US + DAY_US


def test_intervals_and_next_moment_leave_out_what_the_ledger_blocks() -> None:
    policy = ContactPolicy(
        windows=(ContactWindow(name="day", spans=(DaySpan(EVERY_DAY, 480, 1260),)),),
        limits=(FrequencyLimit(name="one", most=1, per_us=2 * HOUR_US),),
    )
    permissions = Permissions(policy)
    facts = with_ledger(BERLIN, LedgerEntry(NOON, "sms", "b", "service", "c1/1"))
    question = ("sms", "a", "service")
    midnight = moment("2027-06-16T00:00")
    eight, nine = moment("2027-06-16T08:00"), moment("2027-06-16T21:00")
    spans = permissions.allowed_intervals(facts, *question, midnight, midnight + DAY_US)
    assert spans == [(eight, NOON - 2 * HOUR_US + 1), (NOON + 2 * HOUR_US, nine)]
    assert permissions.next_allowed(facts, *question, NOON) == NOON + 2 * HOUR_US
    assert permissions.allowed_intervals(facts, *question, NOON, NOON) == []
    own = permissions.allowed_intervals(facts, *question, eight, nine, besides="c1/1")
    assert own == [(eight, nine)]


def test_what_waiting_does_not_cure_has_no_next_moment_and_no_interval() -> None:
    for facts, purpose in (
        (BERLIN, "marketing"),
        (msgspec.structs.replace(BERLIN, do_not_contact=(DoNotContact(at_us=1),)), "service"),
        (PermissionFacts(), "service"),
    ):
        assert DEFAULTS.next_allowed(facts, "sms", "a", purpose, NOON) is None
        assert DEFAULTS.allowed_intervals(facts, "sms", "a", purpose, NOON, NOON + DAY_US) == []
    never = Permissions(ContactPolicy(windows=(ContactWindow(name="never"),)))
    assert never.next_allowed(BERLIN, "email", "a", "service", NOON) is None
    assert denied(BERLIN, permissions=never).next_allowed_us is None


def test_without_hours_the_whole_stretch_is_allowed() -> None:
    question = ("email", "a", "service")
    assert DEFAULTS.allowed_intervals(PermissionFacts(), *question, NOON, NOON + DAY_US) == [
        (NOON, NOON + DAY_US)
    ]
    assert DEFAULTS.next_allowed(PermissionFacts(), *question, FOR_EVER_US) == FOR_EVER_US


@pytest.mark.parametrize(
    "question", [("", "a", "service"), ("sms", "", "service"), ("sms", "a", "")]
)
def test_a_question_that_names_not_everything_is_refused(question: tuple[str, str, str]) -> None:
    verdict = DEFAULTS.permitted(BERLIN, *question, NOON)
    assert isinstance(verdict, Denied)
    assert verdict.reason is Reason.UNNAMED
    assert DEFAULTS.next_allowed(BERLIN, *question, NOON) is None


def test_two_customers_who_are_one_lose_no_objection() -> None:
    withdrawn = Consent(state=ConsentState.WITHDRAWN, at_us=5, channel="sms")
    stop = DoNotContact(at_us=3, channel="voice", address="a", asked_from="a")
    wish = QuietSpan(days=(6,), start_minute=0, end_minute=1440)
    entry = LedgerEntry(NOON, "sms", "a", "service", "c1/1")
    one = with_ledger(msgspec.structs.replace(BERLIN, consents=(GIVEN,), quiet=(wish,)), entry)
    other = PermissionFacts(
        zones=("America/New_York",),
        consents=(withdrawn,),
        do_not_contact=(stop,),
        quiet=(wish,),
        ledger=confirm((), LedgerEntry(NOON - 5, "sms", "a", "service", "c2/1")),
    )
    both = merged_facts(one, other)
    assert both.zones == ("Europe/Berlin", "America/New_York")
    assert both.consents == (GIVEN, withdrawn)
    assert both.do_not_contact == (stop,)
    assert both.quiet == (wish,)
    assert [e.id for e in both.ledger] == ["c2/1", "c1/1"]
    assert merged_facts(both, both) == both


def test_a_merge_beyond_the_bound_keeps_every_withdrawal() -> None:
    def many(state: ConsentState, name: str) -> PermissionFacts:
        return PermissionFacts(
            consents=tuple(
                Consent(state=state, at_us=1, address=f"{name}{n}") for n in range(MOST_CONSENTS)
            )
        )

    given = many(ConsentState.GIVEN, "a")
    more = merged_facts(given, many(ConsentState.GIVEN, "b"))
    assert len(more.consents) == MOST_CONSENTS
    all_of_them = merged_facts(given, many(ConsentState.WITHDRAWN, "b"))
    assert len(all_of_them.consents) == 2 * MOST_CONSENTS


def test_a_limit_says_its_length_in_words() -> None:
    for per_us, words in (
        (DAY_US, "1 day"),
        (7 * DAY_US, "7 days"),
        (36 * HOUR_US, "36 hours"),
        (90 * MINUTE_US, "90 minutes"),
        (1_500_000, "1.5 seconds"),
    ):
        limit = FrequencyLimit(name="one", most=1, per_us=per_us, scope=LimitScope.ADDRESS)
        permissions = Permissions(ContactPolicy(windows=(), limits=(limit,)))
        facts = with_ledger(BERLIN, LedgerEntry(NOON, "sms", "a", "service", "c1/1"))
        words = f'limit "one" is reached: 1 in {words} per address'
        assert denied(facts, permissions=permissions).words == words


def test_a_wrong_policy_is_refused_with_every_finding() -> None:
    policy = ContactPolicy(
        windows=(ContactWindow(name="odd", spans=(DaySpan((1,), 1260, 480),)),),
        limits=(FrequencyLimit(name="none", most=0, per_us=0),),
        unknown_zones=("Europe/Berlinn",),
        keywords=Keywords(start=("stop",)),
    )
    with pytest.raises(ConfigError) as caught:
        Permissions(policy)
    assert len(caught.value.findings) == 5
    text = str(caught.value)
    for part in ('"contact window odd"', "most >= 1, got 0", "above 0", "Berlinn", "'stop'"):
        assert part in text
