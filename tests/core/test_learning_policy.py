from __future__ import annotations

from router.core.learning_policy import HOUR_US, LearningPolicy


def test_an_answer_counts_for_four_hours_and_by_mail_for_a_day() -> None:
    policy = LearningPolicy()
    assert policy.within("sms") == policy.within("a-channel-of-ones-own") == 4 * HOUR_US
    assert policy.within("email") == 24 * HOUR_US


def test_what_is_set_goes_before_what_is_built_in() -> None:
    policy = LearningPolicy(reply_within_us={"email": HOUR_US})
    assert policy.within("email") == HOUR_US
    assert policy.within("sms") == 4 * HOUR_US
