"""A customer's remembered evidence: its bytes, and that the order of arrival does not matter."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.preference.archive import CELLS
from router.preference.outcomes import Outcome
from router.preference.profile import (
    ATTEMPTS,
    ENDPOINTS,
    HOUR_END,
    INBOUND,
    MAX_BYTES,
    Endpoint,
    Profile,
    ProfileError,
    wall_hour,
)

PHONE = Endpoint(0, 0xDEADBEEF, 0)
TEXT = Endpoint(1, 0xDEADBEEF, 0)
MAIL = Endpoint(2, 0x01020304, 1)
HOUR = 60_000

outcomes = st.sampled_from(Outcome)
endpoints = st.builds(Endpoint, st.integers(0, 3), st.sampled_from([1, 2, 0xFFFFFFFF]), st.just(0))
attempts = st.tuples(endpoints, st.integers(HOUR, HOUR + 100), outcomes, st.booleans())


def filled(events: list[tuple[Endpoint, int, Outcome, bool]]) -> Profile:
    profile = Profile()
    for endpoint, hour, outcome, explore in events:
        profile.record_attempt(endpoint, hour, outcome, explore=explore)
    return profile


def content(profile: Profile) -> tuple[object, object]:
    return sorted(profile.events()), sorted(profile.inbound_events())


def test_the_stored_form_is_these_bytes() -> None:
    profile = Profile()
    profile.record_attempt(PHONE, 0x12345, Outcome.ANSWERED)
    profile.record_attempt(MAIL, 0x12346, Outcome.PENDING, explore=True)
    profile.record_inbound(MAIL, 0x12347)
    endpoints, tried = "ef be ad de 00   04 03 02 01 21", "98 50 34 12   03 61 34 12"
    assert profile.encode() == bytes.fromhex(f"02 00 02 02 01 00 {endpoints} {tried} 71 34 12")
    first_version = bytes.fromhex(f"01 00 02 02 01 {endpoints} {tried} 9c 71 34 12")
    assert Profile.decode(first_version).encode() == profile.encode()


def test_counts_of_older_attempts_are_stored_with_their_endpoint_and_hour() -> None:
    profile = filled([(MAIL, HOUR - 1, Outcome.IGNORED, False), (PHONE, HOUR, Outcome.BUSY, False)])
    for number in range(ATTEMPTS):
        profile.record_attempt(TEXT, HOUR + 1 + number, Outcome.ANSWERED)
    assert profile.older == [(HOUR - 1) % 168 << 20 | (HOUR - 1) // 1024 << 10 | 1 << 5]
    assert profile.encode()[-4:] == profile.older[0].to_bytes(4, "little")
    assert [endpoint for endpoint, _ in Profile.decode(profile.encode()).older_counts()] == [MAIL]


@settings(deadline=None)
@given(
    st.lists(attempts, max_size=120),
    st.lists(st.tuples(endpoints, st.integers(HOUR, HOUR + 100)), max_size=60),
    st.integers(-23, 23),
)
def test_what_is_stored_is_read_again(
    tried: list[tuple[Endpoint, int, Outcome, bool]], came: list[tuple[Endpoint, int]], shift: int
) -> None:
    profile = filled(tried)
    for endpoint, hour in came:
        profile.record_inbound(endpoint, hour)
    profile.move(lambda hour: hour + shift, shift)
    data = profile.encode()
    again = Profile.decode(data)
    assert len(data) <= MAX_BYTES <= 512
    assert again.encode() == data
    assert (again.events(), again.inbound_events()) == (profile.events(), profile.inbound_events())
    assert again.older_counts() == profile.older_counts()


def test_the_largest_profile_fits_into_512_bytes() -> None:
    profile, sizes, lengths = Profile(), set(), set()
    for number in range(600):
        endpoint = Endpoint(number % 4, 2**32 - 1 - number % ENDPOINTS, 15)
        profile.record_attempt(endpoint, HOUR + number, Outcome.IGNORED)
        profile.record_inbound(endpoint, HOUR + number)
        sizes.add((len(profile.attempts), len(profile.inbound), len(profile.older)))
        lengths.add(len(profile.encode()))
    assert max(sizes) == (ATTEMPTS, INBOUND, CELLS)
    assert max(lengths) == MAX_BYTES == 510


@settings(max_examples=200, deadline=None)
@given(st.data(), st.lists(attempts, min_size=1, max_size=140))
def test_the_order_of_arrival_does_not_matter(
    data: st.DataObject, tried: list[tuple[Endpoint, int, Outcome, bool]]
) -> None:
    shuffled = data.draw(st.permutations(tried))
    assert content(filled(tried)) == content(filled(list(shuffled)))


@settings(deadline=None)
@given(st.lists(attempts, min_size=1, max_size=100))
def test_what_arrives_twice_counts_once(tried: list[tuple[Endpoint, int, Outcome, bool]]) -> None:
    assert content(filled(tried)) == content(filled(tried + tried))


def test_redials_within_an_hour_are_one_attempt_that_was_answered() -> None:
    profile = Profile()
    for outcome in (Outcome.IGNORED, Outcome.ANSWERED, Outcome.BUSY):
        profile.record_attempt(PHONE, HOUR, outcome)
    profile.record_attempt(TEXT, HOUR, Outcome.IGNORED)
    assert [event.outcome for event in profile.events()] == [Outcome.ANSWERED, Outcome.IGNORED]


def test_a_better_outcome_stays_and_a_worse_one_is_kept_out() -> None:
    profile = Profile()
    profile.record_attempt(TEXT, HOUR)
    profile.record_attempt(TEXT, HOUR + 5)
    for outcome in (Outcome.IGNORED, Outcome.REPLIED, Outcome.REPLIED, Outcome.BOUNCED):
        profile.record_attempt(TEXT, HOUR, outcome)
    assert [event.outcome for event in profile.events()] == [Outcome.REPLIED, Outcome.PENDING]


def test_events_move_each_by_its_own_hours_and_two_that_meet_are_one() -> None:
    profile = Profile()
    profile.record_attempt(TEXT, HOUR, Outcome.IGNORED)
    profile.record_attempt(TEXT, HOUR + 1, Outcome.REPLIED)
    profile.record_attempt(PHONE, HOUR + 30)
    profile.record_attempt(PHONE, 3)
    profile.record_inbound(TEXT, HOUR + 30)
    profile.move(lambda hour: hour - (5 if hour == HOUR else 6), -6)
    profile = Profile.decode(profile.encode())
    assert [(e.hour, e.outcome) for e in profile.events()] == [
        (HOUR - 5, Outcome.REPLIED),
        (HOUR + 24, Outcome.PENDING),
    ], "what would lie before 2020 is dropped"
    assert [e.hour for e in profile.inbound_events()] == [HOUR + 24]


def test_the_oldest_attempts_are_forgotten() -> None:
    profile = filled([(PHONE, HOUR + n, Outcome.IGNORED, False) for n in range(ATTEMPTS + 5)])
    assert [event.hour for event in profile.events()] == list(range(HOUR + 5, HOUR + 69))
    profile.record_attempt(PHONE, HOUR, Outcome.ANSWERED)
    assert profile.events()[0].hour == HOUR + 5


def test_the_seventeenth_endpoint_takes_the_place_of_the_one_longest_unused() -> None:
    profile = Profile()
    for number in range(ENDPOINTS):
        profile.record_attempt(Endpoint(0, number), HOUR + number, Outcome.IGNORED)
    profile.record_inbound(Endpoint(0, 0), HOUR + 50)
    profile.record_attempt(Endpoint(0, 99), HOUR + 60, Outcome.IGNORED)
    assert Endpoint(0, 1) not in profile.endpoints
    assert len(profile.events()) == ENDPOINTS
    assert {event.endpoint for event in profile.events()} == set(profile.endpoints)


def test_a_forgotten_address_leaves_nothing_behind() -> None:
    profile = Profile()
    for number, endpoint in enumerate((PHONE, TEXT, MAIL, PHONE, MAIL)):
        profile.record_attempt(endpoint, HOUR + number, Outcome.IGNORED)
    kept = [event for event in profile.events() if event.endpoint != PHONE]
    profile.forget(PHONE.channel, PHONE.address)
    assert profile.events() == kept
    profile.forget(PHONE.channel, PHONE.address)
    assert Profile.decode(profile.encode()).events() == kept
    profile.forget(TEXT.channel, TEXT.address)
    assert bytes.fromhex("efbeadde") not in profile.encode()


def test_an_address_takes_its_new_rank() -> None:
    profile = filled([(MAIL, HOUR, Outcome.IGNORED, False)])
    profile.record_attempt(MAIL._replace(rank=0), HOUR + 1, Outcome.IGNORED)
    assert profile.endpoints == [MAIL._replace(rank=0)]


@pytest.mark.parametrize(
    ("at_us", "offset", "hour"),
    [
        (1_577_836_800_000_000 + 5 * 86_400_000_000, 0, 0),  # 2020-01-06 00:00 UTC, a Monday
        (1_577_836_800_000_000 + 5 * 86_400_000_000 + 3_599_999_999, 0, 0),
        (1_577_836_800_000_000 + 5 * 86_400_000_000, 60, 1),
        (1_577_836_800_000_000 + 5 * 86_400_000_000 + 30 * 60_000_000, 330, 6),
    ],
)
def test_wall_hours_count_from_a_monday(at_us: int, offset: int, hour: int) -> None:
    assert wall_hour(at_us, offset) == hour


def test_what_does_not_fit_is_refused() -> None:
    profile = Profile()
    for hour in (-1, HOUR_END):
        with pytest.raises(ProfileError, match="wall hour: 0 to 1048575"):
            profile.record_attempt(PHONE, hour)
    with pytest.raises(ProfileError, match="wall hour"):
        wall_hour(0, 0)
    with pytest.raises(ProfileError, match="channel and rank 0 to 15"):
        profile.record_attempt(Endpoint(16, 1), HOUR)
    with pytest.raises(ProfileError, match="hash of 32 bits"):
        profile.record_inbound(Endpoint(0, 1 << 32), HOUR)
    with pytest.raises(ProfileError, match="at most 26 h, got 27"):
        profile.move(lambda hour: hour, 27)
    assert profile.encode() == Profile().encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "at least 5 bytes, got 0"),
        ("03 00 00 00 00 00", "version 1 to 2, got 3"),
        ("02 00 00 00 00", "version 1 to 2, got 2"),
        ("02 00 00 00 00 01", "are 10 bytes, got 6"),
        ("02 00 00 00 00 01 20 00 10 00", "names no endpoint or hours"),
        ("02 00 01 00 00 01 ef be ad de 00 20 00 10 0d", "names no endpoint or hours"),
        ("02 00 01 00 00 01 ef be ad de 00 22 00 10 00", "more successes than attempts"),
        ("01 00 00 01 00", "are 9 bytes, got 5"),
        ("01 00 00 01 00 00 00 00 00", "names no endpoint or outcome"),
        ("01 00 01 02 00 ef be ad de 00 30 00 34 12 30 00 34 12", "ascending order"),
    ],
)
def test_bytes_that_are_no_profile_are_refused(data: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        Profile.decode(bytes.fromhex(data))
