"""The defaults of the contact policy are those its text promises."""

from __future__ import annotations

import msgspec
import pytest

from router.core.model import DAY_US
from router.core.permission_policy import ConsentMode, ContactPolicy, LimitScope, applies

DEFAULTS = ContactPolicy()


@pytest.mark.parametrize(
    ("channels", "purposes", "exempt", "holds"),
    [
        ((), (), (), True),
        (("sms",), (), (), True),
        (("voice", "email"), (), (), False),
        ((), ("marketing",), (), True),
        ((), ("service",), (), False),
        (("sms",), ("marketing",), (), True),
        ((), (), ("marketing",), False),
        ((), ("marketing",), ("marketing",), True),
    ],
)
def test_empty_lists_mean_every_one_but_the_exempt(
    channels: tuple[str, ...], purposes: tuple[str, ...], exempt: tuple[str, ...], holds: bool
) -> None:
    assert applies(channels, purposes, "sms", "marketing", exempt) is holds


def test_calls_and_sms_are_made_by_day_and_seven_calls_a_week_are_the_most() -> None:
    (daytime,) = DEFAULTS.windows
    assert daytime.channels == ("voice", "sms")
    assert [(s.days, s.start_minute, s.end_minute) for s in daytime.spans] == [
        ((0, 1, 2, 3, 4, 5, 6), 480, 1260)
    ]
    weekly, daily, marketing = DEFAULTS.limits
    assert (weekly.most, weekly.per_us, weekly.channels) == (7, 7 * DAY_US, ("voice",))
    assert (daily.most, daily.per_us, daily.scope) == (3, DAY_US, LimitScope.ADDRESS)
    assert (marketing.most, marketing.per_us, marketing.purposes) == (2, 7 * DAY_US, ("marketing",))


def test_silence_is_consent_only_to_service() -> None:
    (rule,) = DEFAULTS.consent
    assert rule.mode is ConsentMode.OPT_OUT
    assert rule.purposes == ("service_reply", "callback", "service")
    assert DEFAULTS.consent_otherwise is ConsentMode.OPT_IN


def test_a_policy_is_the_same_after_being_stored() -> None:
    assert msgspec.msgpack.encode(DEFAULTS) == b"\x80"
    assert msgspec.convert(msgspec.to_builtins(DEFAULTS), ContactPolicy) == DEFAULTS
