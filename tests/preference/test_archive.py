"""Counts of attempts that a profile has no more room for."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from router.preference import archive
from router.preference.archive import ANY_HOUR, CELLS, SPARE
from router.preference.outcomes import Outcome
from router.preference.profile import ATTEMPTS, Endpoint, Profile

PHONE, TEXT, MAIL = Endpoint(0, 11), Endpoint(1, 11), Endpoint(2, 21)
MONDAY = 60_480  # wall hour of a Monday, 00:00
attempts = st.tuples(
    st.sampled_from([PHONE, TEXT, MAIL]),
    st.integers(0, 20_000),
    st.sampled_from([Outcome.IGNORED, Outcome.ANSWERED, Outcome.PENDING, Outcome.BUSY]),
)


def filled(events: list[tuple[Endpoint, int, Outcome]]) -> Profile:
    profile = Profile()
    for endpoint, hour, outcome in events:
        profile.record_attempt(endpoint, MONDAY + hour, outcome)
    return profile


def weekly(endpoint: Endpoint, slot: int, successes: int, failures: int) -> list[int]:
    """Cells of so many attempts, a week apart, whatever their order."""
    cells: list[int] = []
    for number in range(successes + failures):
        outcome = Outcome.ANSWERED if number < successes else Outcome.IGNORED
        archive.add(cells, (MONDAY + 168 * number + slot) << 12 | 3 << 8 | int(outcome) << 4)
    return cells


def test_one_hour_of_the_week_is_one_cell_with_the_mean_of_the_ages() -> None:
    (found,) = map(archive.cell, weekly(PHONE, 33, 4, 8))
    assert found[:2] == (3, 33)
    assert found[3:] == (12, 4)
    assert MONDAY < found.hour <= MONDAY + 12 * 168 + 1024


def test_of_many_attempts_the_rate_stays_and_the_number_does_not_grow_without_end() -> None:
    (found,) = map(archive.cell, weekly(PHONE, 33, 300, 300))
    assert found.attempts <= 31
    (always,) = map(archive.cell, weekly(PHONE, 33, 200, 0))
    assert always.attempts == always.successes > 15


@settings(deadline=None)
@given(st.lists(attempts, min_size=ATTEMPTS, max_size=500, unique_by=lambda a: a[1]))
def test_every_settled_attempt_is_remembered_or_counted(
    tried: list[tuple[Endpoint, int, Outcome]],
) -> None:
    tried = sorted(tried, key=lambda attempt: attempt[1])
    profile = filled(tried)
    older = [(e, o) for e, _, o in tried[:-ATTEMPTS] if o in (Outcome.IGNORED, Outcome.ANSWERED)]
    assert len(profile.older) <= CELLS
    assert profile.older == sorted(profile.older)
    for endpoint in (PHONE, TEXT, MAIL):
        counted = [cell for of, cell in profile.older_counts() if of == endpoint]
        wanted = [o for e, o in older if e == endpoint]
        if all(cell.attempts < 31 for cell in counted) and len(wanted) < 31:
            assert sum(cell.attempts for cell in counted) == len(wanted)
            assert sum(cell.successes for cell in counted) == wanted.count(Outcome.ANSWERED)


def test_the_hours_tried_longest_ago_are_put_with_wider_ones() -> None:
    cells: list[int] = []
    for number in range(CELLS + 1):
        archive.add(cells, (MONDAY + 1024 * number) << 12 | int(Outcome.IGNORED) << 4)
    found = [archive.cell(number) for number in cells]
    assert CELLS - SPARE <= len(cells) <= CELLS
    assert sum(cell.attempts for cell in found) == CELLS + 1
    wide = [cell.hour for cell in found if cell.hours >= 168]
    assert wide
    assert max(wide) < min(cell.hour for cell in found if cell.hours < 168)
    for number in range(32):
        archive.add(cells, (MONDAY + 30_000 + number) << 12 | number % 16 << 8 | 3 << 4)
    assert len(cells) <= CELLS
    assert ANY_HOUR in [archive.cell(number).hours for number in cells]


def test_an_attempt_that_comes_too_late_is_not_counted_twice() -> None:
    tried = [(PHONE, 50 * number, Outcome.ANSWERED) for number in range(ATTEMPTS + 9)]
    profile = filled(tried)
    before = profile.encode()
    for endpoint, hour, outcome in tried:
        profile.record_attempt(endpoint, MONDAY + hour, outcome)
    assert profile.encode() == before


def test_counts_follow_their_customer_through_a_join_a_forgotten_address_and_another_zone() -> None:
    one = filled([(PHONE, 24 * n, Outcome.ANSWERED) for n in range(ATTEMPTS + 5)])
    two = filled([(MAIL, 9, Outcome.IGNORED)])
    two.take_older(one)
    assert [endpoint for endpoint, _ in two.older_counts()] == [PHONE] * 5
    two.move(lambda hour: hour + 3, 3)
    assert sorted(cell.hours for _, cell in two.older_counts()) == [3 + 24 * n for n in range(5)]
    two.record_attempt(TEXT, MONDAY, Outcome.IGNORED)
    two.forget(MAIL.channel, MAIL.address)
    assert [endpoint for endpoint, _ in two.older_counts()] == [PHONE] * 5
    assert Profile.decode(two.encode()).older == two.older
    two.forget(PHONE.channel, PHONE.address)
    assert two.older == []
