from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.core.timers import Timers

KEYS = st.sampled_from([("step", "q"), ("hold", "c1"), ("hold", "c2"), ("cool", "c1", "a1")])
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEYS, st.integers(0, 50)),
        st.tuples(st.just("cancel"), KEYS, st.just(0)),
        st.tuples(st.just("pop"), st.just(("",)), st.integers(0, 50)),
    ),
    max_size=60,
)


def test_the_earliest_comes_first_and_only_when_due() -> None:
    timers = Timers()
    timers.set(("late", "b"), 20)
    timers.set(("late", "a"), 10)
    assert timers.next() == 10
    assert timers.pop(9) is None
    assert timers.pop(10) == (10, ("late", "a"))
    assert timers.pop(10) is None
    assert timers.next() == 20


def test_a_key_has_one_deadline_the_last_one_set() -> None:
    timers = Timers()
    timers.set(("hold", "c1"), 10)
    timers.set(("hold", "c1"), 30)
    assert (timers.next(), timers.at(("hold", "c1")), len(timers)) == (30, 30, 1)
    timers.set(("hold", "c1"), 5)
    assert timers.pop(100) == (5, ("hold", "c1"))
    assert timers.pop(100) is None


def test_two_that_are_due_at_once_come_in_the_order_of_setting() -> None:
    timers = Timers()
    for name in "cab":
        timers.set(("step", name), 7)
    assert [timers.pop(7) for _ in range(3)] == [(7, ("step", n)) for n in "cab"]


def test_setting_the_same_moment_again_keeps_the_turn() -> None:
    timers = Timers()
    timers.set(("step", "a"), 7)
    timers.set(("step", "b"), 7)
    timers.set(("step", "a"), 7)
    assert timers.pop(7) == (7, ("step", "a"))


def test_a_cancelled_key_is_forgotten_and_none_set_is_fine() -> None:
    timers = Timers()
    timers.cancel(("hold", "c1"))
    timers.set(("hold", "c1"), 10)
    timers.cancel(("hold", "c1"))
    assert (timers.next(), timers.at(("hold", "c1")), timers.keys()) == (None, None, [])


def test_the_heap_does_not_grow_with_deadlines_that_move() -> None:
    timers = Timers()
    for moment in range(10_000):
        timers.set(("hold", "c1"), moment)
    assert len(timers._heap) < 100
    assert timers.pop(20_000) == (9_999, ("hold", "c1"))


@given(ACTS)
def test_it_does_what_a_plain_dictionary_would(
    acts: list[tuple[str, tuple[str, ...], int]],
) -> None:
    timers, plain = Timers(), {}
    for act, key, at_us in acts:
        if act == "set":
            timers.set(key, at_us)
            plain[key] = at_us
        elif act == "cancel":
            timers.cancel(key)
            plain.pop(key, None)
        else:
            found = timers.pop(at_us)
            due = {k: at for k, at in plain.items() if at <= at_us}
            if found is None:
                assert not due
            else:
                assert found[0] == min(due.values())
                assert plain.pop(found[1]) == found[0]
        assert timers.next() == min(plain.values(), default=None)
        assert sorted(timers.keys()) == sorted(plain)
