"""The frequency ledger against a plain recount of every stretch."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.core.ledger import (
    MOST_ENTRIES,
    Entries,
    blocked,
    confirm,
    merged,
    next_free,
    pruned,
    release,
    reserve,
)
from router.core.model import DAY_US
from router.core.permission_facts import LedgerEntry
from router.core.permission_policy import FrequencyLimit, LimitScope
from router.errors import Refused

EXEMPT = ("service_reply",)
CHANNELS, ADDRESSES = ("sms", "voice"), ("a", "b")
PURPOSES = ("marketing", "service", "service_reply")


def entry(at_us: int, entry_id: str, channel: str = "sms", address: str = "a") -> LedgerEntry:
    return LedgerEntry(at_us, channel, address, "marketing", entry_id)


def ledger_of(*entries: LedgerEntry) -> Entries:
    found: Entries = ()
    for one in entries:
        found = reserve(found, one)
    return found


entries = st.builds(
    LedgerEntry,
    st.integers(0, 30),
    st.sampled_from(CHANNELS),
    st.sampled_from(ADDRESSES),
    st.sampled_from(PURPOSES),
    st.sampled_from([f"c/{n}" for n in range(10)]),
)
limits = st.builds(
    FrequencyLimit,
    name=st.just("drawn"),
    most=st.integers(1, 3),
    per_us=st.integers(1, 12),
    channels=st.sampled_from(((), ("sms",), CHANNELS)),
    purposes=st.sampled_from(((), ("marketing",), ("service", "service_reply"))),
    scope=st.sampled_from(LimitScope),
)


def holds(limit: FrequencyLimit, channel: str, purpose: str) -> bool:
    if limit.channels and channel not in limit.channels:
        return False
    return purpose in limit.purposes if limit.purposes else purpose not in EXEMPT


def one_too_many(kept: list[LedgerEntry], new: LedgerEntry, limit: FrequencyLimit) -> bool:
    """Some stretch of the limit's length holds the new contact and more than are allowed."""
    if not holds(limit, new.channel, new.purpose):
        return False
    counted = [new] + [
        old
        for old in kept
        if holds(limit, old.channel, old.purpose)
        and (limit.scope is LimitScope.CUSTOMER or old.address == new.address)
    ]
    return any(
        sum(start <= one.at_us < start + limit.per_us for one in counted) > limit.most
        for start in range(new.at_us - limit.per_us + 1, new.at_us + 1)
    )


@settings(max_examples=300, deadline=None)
@given(
    st.lists(entries, max_size=10),
    st.lists(limits, max_size=3),
    st.sampled_from(CHANNELS),
    st.sampled_from(ADDRESSES),
    st.sampled_from(PURPOSES),
    st.sampled_from(("", "c/1", "c/2")),
)
def test_blocks_agree_with_counting_every_stretch_anew(
    drawn: list[LedgerEntry],
    asked: list[FrequencyLimit],
    channel: str,
    address: str,
    purpose: str,
    besides: str,
) -> None:
    kept = ledger_of(*drawn)
    blocks = blocked(kept, asked, channel, address, purpose, exempt=EXEMPT, besides=besides)
    assert blocks == sorted(blocks, key=lambda b: b.from_us)
    others = [old for old in kept if old.id != besides]
    forbidden = [
        any(
            one_too_many(others, LedgerEntry(at_us, channel, address, purpose, "new"), limit)
            for limit in asked
        )
        for at_us in range(-15, 60)
    ]
    assert [
        any(b.from_us <= at_us < b.until_us for b in blocks) for at_us in range(-15, 60)
    ] == forbidden
    for at_us in range(-15, 45):
        free = next(t for t in range(at_us, 60) if not forbidden[t + 15])
        assert next_free(blocks, at_us) == free
    for at_us in range(-15, 45):
        for b in blocks:
            if b.from_us <= at_us < b.until_us:
                new = LedgerEntry(at_us, channel, address, purpose, "new")
                assert one_too_many(others, new, b.limit)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), entries), max_size=40), st.lists(limits, max_size=3))
def test_who_asks_before_each_contact_never_breaks_a_limit_and_forgetting_changes_nothing(
    turns: list[tuple[int, LedgerEntry]], asked: list[FrequencyLimit]
) -> None:
    short: Entries = ()
    sent: list[LedgerEntry] = []
    now_us = 0
    for number, (pause_us, drawn) in enumerate(turns):
        now_us += pause_us
        short = pruned(short, asked, now_us)
        new = LedgerEntry(now_us, drawn.channel, drawn.address, drawn.purpose, f"n/{number}")
        question = (asked, new.channel, new.address, new.purpose)
        free = next_free(blocked(short, *question, exempt=EXEMPT), now_us)
        whole = tuple(sent)
        assert free == next_free(blocked(whole, *question, exempt=EXEMPT), now_us)
        if free == now_us:
            assert not any(one_too_many(sent, new, limit) for limit in asked)
            short = confirm(short, new)
            sent.append(new)
        longest_us = max((limit.per_us for limit in asked), default=0)
        assert all(old.at_us > now_us - longest_us or old.at_us == now_us for old in short)


@given(st.lists(entries, max_size=10))
@example([entry(5, "c/1"), entry(3, "c/2"), entry(9, "c/1")])
def test_a_reservation_made_again_is_moved(drawn: list[LedgerEntry]) -> None:
    kept = ledger_of(*drawn)
    last = {one.id: one for one in drawn}
    assert sorted(kept, key=lambda e: e.id) == sorted(last.values(), key=lambda e: e.id)
    assert list(kept) == sorted(kept, key=lambda e: (e.at_us, e.id))


def test_two_decisions_cannot_share_the_last_free_place() -> None:
    limit = FrequencyLimit(name="one a day", most=1, per_us=DAY_US)
    tuesday, monday = 10 * DAY_US, 9 * DAY_US + 1
    kept = ledger_of(entry(tuesday, "c/1"))
    (b,) = blocked(kept, (limit,), "email", "b", "service")
    assert (b.from_us, b.until_us) == (tuesday - DAY_US + 1, tuesday + DAY_US)
    assert next_free((b,), monday) == tuesday + DAY_US
    assert next_free((b,), monday - 1) == monday - 1


def test_a_contact_checked_again_does_not_stand_in_its_own_way() -> None:
    limit = FrequencyLimit(name="one a day", most=1, per_us=DAY_US)
    kept = ledger_of(entry(5, "c/1"))
    assert blocked(kept, (limit,), "sms", "a", "marketing")
    assert not blocked(kept, (limit,), "sms", "a", "marketing", besides="c/1")


def test_sent_counts_from_when_it_was_sent_and_stays() -> None:
    kept = ledger_of(entry(5, "c/1"), entry(6, "c/2"))
    kept = confirm(kept, entry(8, "c/1"))
    assert [(e.id, e.at_us, e.sent) for e in kept] == [("c/2", 6, False), ("c/1", 8, True)]
    assert release(kept, "c/1") == kept
    assert [e.id for e in release(kept, "c/2")] == ["c/1"]
    with pytest.raises(Refused) as caught:
        reserve(kept, entry(9, "c/1"))
    assert caught.value.code == "already_sent"


def test_what_was_sent_without_a_reservation_is_entered_all_the_same() -> None:
    full = tuple(entry(n, f"c/{n}") for n in range(MOST_ENTRIES))
    with pytest.raises(Refused) as caught:
        reserve(full, entry(0, "one more"))
    assert caught.value.code == "ledger_full"
    assert reserve(full, entry(0, "c/7"))[0].id == "c/0"
    assert confirm(full, entry(MOST_ENTRIES, "one more"))[-1].sent


def test_without_limits_nothing_past_is_kept_and_a_reservation_is() -> None:
    kept = ledger_of(entry(5, "c/1"), entry(20, "c/2"))
    assert [e.id for e in pruned(kept, (), 10)] == ["c/2"]
    limit = FrequencyLimit(name="ten", most=1, per_us=10)
    assert pruned(kept, (limit,), 14) is kept
    assert [e.id for e in pruned(kept, (limit,), 15)] == ["c/2"]
    assert pruned((), (limit,), 15) == ()


def test_merged_ledgers_count_each_contact_once_and_as_sent() -> None:
    one = confirm(ledger_of(entry(5, "c/1"), entry(6, "c/2")), entry(4, "c/1"))
    other = ledger_of(entry(9, "c/1"), entry(1, "c/3"))
    for both in (merged(one, other), merged(other, one)):
        assert [(e.id, e.at_us, e.sent) for e in both] == [
            ("c/3", 1, False),
            ("c/1", 4, True),
            ("c/2", 6, False),
        ]
