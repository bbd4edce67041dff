"""The evidence in words: the finest level that has enough, and counts that can be counted again."""

from __future__ import annotations

import numpy as np
import pytest

from router.preference.explain import LEVELS, Count, evidence_of, sentence
from router.preference.outcomes import Outcome
from router.preference.prior import Prior
from router.preference.profile import Endpoint, Profile
from router.preference.windows import Window

NOW = 60_480 + 12 * 24 + 20  # a Saturday evening
TUESDAY_9 = 60_480 + 24 + 9
VOICE, SMS, OTHER = Endpoint(0, 7), Endpoint(1, 42), Endpoint(1, 43, 1)
TABLES = Prior(1, 2).tables()
P = float(TABLES.rate[0, 1, 33])


def window(endpoint: Endpoint = SMS, hour: int = TUESDAY_9 + 336) -> Window:
    return Window(endpoint, hour, 0.71, 0.58, 0.82, 0.71, 0.7, 0.2)


def tuesdays(successes: int, failures: int) -> Profile:
    profile = Profile()
    for week in range(successes + failures):
        outcome = Outcome.REPLIED if week < successes else Outcome.IGNORED
        profile.record_attempt(SMS, TUESDAY_9 - 168 * week, outcome)
    return profile


def said(profile: Profile, **wants: str) -> str:
    found = evidence_of(profile, TABLES, 0, SMS, TUESDAY_9 + 336, NOW)
    return sentence(window(), found, "SMS", "..42", NOW, **wants)


def test_enough_attempts_at_the_hour_are_spoken_of() -> None:
    profile = tuesdays(8, 2)
    for week in range(5):
        profile.record_inbound(VOICE, TUESDAY_9 + 1 - 168 * week)
    expected = 10 * P
    assert said(profile) == (
        f"SMS to ..42, Tue 9-10: 8 of 10 answered (expected {expected:.1f} for customers like "
        "this); estimate 71 % (58-82); last success 11 days ago; also came in 5 times between 8 "
        "and 11"
    )


def test_coarser_levels_are_named_as_what_they_are() -> None:
    profile = Profile()
    for day in range(3):  # Wednesday to Friday at 10
        profile.record_attempt(SMS, TUESDAY_9 + 25 + 24 * day, Outcome.REPLIED)
    assert "3 of 3 answered around this hour (expected" in said(profile)
    profile = Profile()
    for day in range(3):
        profile.record_attempt(SMS, TUESDAY_9 + 9 + 24 * day, Outcome.REFUSED)
    assert "0 of 3 answered to ..42 at any hour (expected" in said(profile)
    profile = Profile()
    for day in range(3):
        profile.record_attempt(OTHER, TUESDAY_9 + 24 * day, Outcome.REPLIED)
    assert "3 of 3 answered by SMS at any hour (expected" in said(profile)
    profile = Profile()
    for day in range(3):
        profile.record_attempt(VOICE, TUESDAY_9 + 24 * day, Outcome.ANSWERED)
    assert "3 of 3 answered on all channels (expected" in said(profile)


def test_little_evidence_is_called_so() -> None:
    assert said(Profile()) == (
        "SMS to ..42, Tue 9-10: little evidence (0 contacts) - based on similar customers; "
        "estimate 71 % (58-82)"
    )
    assert "little evidence (1 contact) - based on" in said(tuesdays(0, 1))
    assert said(Profile(), blocked="quiet hours").endswith(
        "; a better hour is ruled out by quiet hours"
    )


def test_pending_attempts_and_redials_are_not_counted() -> None:
    profile = tuesdays(2, 1)
    profile.record_attempt(SMS, TUESDAY_9, Outcome.IGNORED)
    profile.record_attempt(SMS, TUESDAY_9 + 168, Outcome.PENDING)
    found = evidence_of(profile, TABLES, 0, SMS, TUESDAY_9, NOW)
    assert found.exact == Count(3, 2, pytest.approx(3 * P))  # type: ignore[arg-type]
    assert found.customer.attempts == 3
    assert found.last_success_hour == TUESDAY_9
    assert found.level() == "exact"
    assert found.segment_p == pytest.approx(P)


def test_levels_widen_from_the_hour_to_the_customer() -> None:
    profile = Profile()
    for endpoint, hour in (
        (SMS, TUESDAY_9),
        (SMS, TUESDAY_9 + 24 + 1),  # Wednesday 10: near
        (SMS, TUESDAY_9 + 4 * 24),  # Saturday 9: another type of day
        (SMS, TUESDAY_9 + 5),
        (OTHER, TUESDAY_9),
        (VOICE, TUESDAY_9),
    ):
        profile.record_attempt(endpoint, hour, Outcome.IGNORED)
    found = evidence_of(profile, TABLES, 0, SMS, TUESDAY_9, NOW)
    levels = (found.exact, found.near, found.endpoint, found.channel, found.customer)
    assert [level.attempts for level in levels] == [1, 2, 4, 5, 6]


def test_confidence_is_by_attempts_that_are_not_too_old() -> None:
    found = [
        evidence_of(profile, TABLES, 0, SMS, TUESDAY_9, now).confidence
        for profile, now in (
            (Profile(), NOW),
            (tuesdays(2, 3), NOW),
            (tuesdays(10, 10), NOW),
            (tuesdays(10, 10), NOW + 24 * 300),
        )
    ]
    assert found == ["low", "medium", "high", "medium"]


def test_the_counts_of_explanations_are_those_of_the_log() -> None:
    from loadtest.preference_checks import miscounted, order_matters

    rng = np.random.default_rng(7)
    assert miscounted(200, rng) == 0
    assert order_matters(5, rng) <= 1e-9


def test_counts_are_those_of_the_events_one_by_one() -> None:
    rng = np.random.default_rng(4)
    places = [VOICE, SMS, OTHER]
    for attempts in (0, 1, 5, 40, 90):
        profile = Profile()
        for _ in range(attempts):
            outcome, at = Outcome(int(rng.integers(len(Outcome)))), NOW - int(rng.integers(600))
            profile.record_attempt(places[rng.integers(3)], at, outcome)
        where, hour = places[rng.integers(3)], NOW + int(rng.integers(168))
        found = evidence_of(profile, TABLES, 0, where, hour, NOW)
        done = [event for event in profile.events() if event.outcome is not Outcome.PENDING]
        on_channel = [event for event in done if event.endpoint.channel == where.channel]
        here = [event for event in on_channel if event.endpoint == where]
        near = [
            event
            for event in here
            if (event.hour - hour) % 24 in (23, 0, 1)
            and (event.hour % 168 >= 120) == (hour % 168 >= 120)
        ]
        exact = [event for event in here if (event.hour - hour) % 168 == 0]
        groups = [exact, near, here, on_channel, done]
        for level, group in zip(LEVELS, groups, strict=True):
            count: Count = getattr(found, level)
            assert (count.attempts, count.successes) == (
                len(group),
                sum(event.outcome.success for event in group),
            )
            logits = [
                TABLES.level[0, e.endpoint.channel, e.hour % 168]
                + TABLES.rank[e.endpoint.channel, e.endpoint.rank]
                for e in group
            ]
            wanted = sum(1 / (1 + float(np.exp(-logit))) for logit in logits)
            assert count.expected == pytest.approx(wanted, abs=1e-9)
        good = [event.hour for event in here if event.outcome.success]
        assert found.last_success_hour == max(good, default=None)
