"""Contacting customers, as configured: consent, hours, frequency, keywords."""

from __future__ import annotations

import pytest

from router.config import loads
from router.core.model import DAY_US
from router.core.permission import Permissions
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
from router.core.policy import IdentityKind, KeywordReplies, Policy
from router.errors import ConfigError

BASE = "queues: {care: {}}\nprofiles: {all: {care: 1}}\n"


def policy(text: str) -> Policy:
    return loads(BASE + text, "test.yaml").workspaces["main"].policy


def findings(text: str) -> str:
    with pytest.raises(ConfigError) as error:
        policy(text)
    return "\n".join(error.value.findings)


def test_without_a_word_the_careful_defaults_hold() -> None:
    made = policy("")
    assert (made.contacting, made.keyword_replies) == (ContactPolicy(), KeywordReplies())
    assert made.country == ""
    assert made.channels["sms"].identity is IdentityKind.PHONE


def test_everything_that_can_be_said_is_compiled() -> None:
    made = policy("""
country: de
channels: {fax: {cost: 10, maximum: 5, identity: phone}}
contacting:
  consent: [{mode: opt_in, channels: [voice], purposes: [survey]}]
  consent_otherwise: opt_out
  windows:
    night-shift:
      open: {mon-fri: "22:00-06:00"}
      channels: [sms]
      purposes: [alarm]
      holidays: {2027-12-25: closed, 2027-12-24: {open: "09:00-12:00", name: Eve}}
  limits: {calls: {most: 2, per: 7d, channels: [voice], purposes: [sales], scope: address}}
  exempt: [alarm]
  unknown_zones: [Europe/Berlin]
  keywords:
    stop: [HALT]
    stop_all: []
    start: [WEITER]
    channels: [sms, chat]
    replies: {stop: Schluss., start: ""}
""")
    assert made.country == "DE"
    assert made.channels["fax"].identity is IdentityKind.PHONE
    got = made.contacting
    rule = ConsentRule(mode=ConsentMode.OPT_IN, channels=("voice",), purposes=("survey",))
    assert (got.consent, got.consent_otherwise) == ((rule,), ConsentMode.OPT_OUT)
    assert got.windows == (
        ContactWindow(
            name="night-shift", channels=("sms",), purposes=("alarm",),
            spans=(
                DaySpan((0, 1, 2, 3, 4), 1320, 1440), DaySpan((1, 2, 3, 4, 5), 0, 360),
            ),
            holidays=(
                SpecialDay(date="2027-12-24", spans=((540, 720),), name="Eve"),
                SpecialDay(date="2027-12-25"),
            ),
        ),
    )  # fmt: skip
    assert got.limits == (
        FrequencyLimit(
            name="calls", most=2, per_us=7 * DAY_US, channels=("voice",), purposes=("sales",),
            scope=LimitScope.ADDRESS,
        ),
    )  # fmt: skip
    assert (got.exempt, got.unknown_zones) == (("alarm",), ("Europe/Berlin",))
    assert (got.keywords.stop, got.keywords.stop_all) == (("HALT",), ())
    assert got.keywords.channels == ("sms", "chat")
    assert (made.keyword_replies.stop, made.keyword_replies.start) == ("Schluss.", "")
    assert made.keyword_replies.stop_all == KeywordReplies().stop_all
    assert Permissions(got).policy is got


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("country: Germany", "expected a country such as DE or US"),
        ("contacting: {unknown_zones: [Europe/Berln]}", "did you mean 'Europe/Berlin'"),
        ("contacting: {windows: {day: {open: {mon: closed}}}}", "never opens"),
        ("contacting: {limits: {a: {most: 0, per: 1d}}}", "expected 1 to 10000"),
        ("contacting: {limits: {a: {most: 1}}}", "'per' is missing"),
        ("contacting: {consent: [{mode: maybe}]}", "opt_in, opt_out"),
        ("contacting: {keywords: {channels: [fax]}}", "unknown channel 'fax'"),
        ("contacting: {keywords: {stop: [GO], start: [go]}}", "got it under stop and start"),
        ("contacting: {keywords: {stop: ['!!']}}", "expected letters or digits"),
        (
            "contacting: {windows: {day: {open: {mon: '09:00-10:00'},"
            " holidays: {2027-01-01: '22:00-02:00'}}}}",
            "cannot go past midnight",
        ),
    ],
)
def test_what_cannot_be_meant_is_found_with_its_place(text: str, words: str) -> None:
    found = findings(text)
    assert words in found
    assert found.startswith("test.yaml:3:")
