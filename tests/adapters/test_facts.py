"""Facts that nobody else will tell: said until they are taken, in order, and never without end."""

from __future__ import annotations

import asyncio
import logging

import pytest

from adapters import Facts
from adapters.kit import facts as kit
from router.channel import ChannelError, OutcomeUnknown, Overloaded, Refused, StoreFull
from router.testing.adapter_harness import RouterDouble, Signal

SOON = Overloaded("no store", retry_after_s=0.0)


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "FIRST_S", 0.001)
    monkeypatch.setattr(kit, "LONGEST_S", 0.001)


@pytest.fixture
def router() -> RouterDouble:
    return RouterDouble(Signal())


async def test_a_fact_is_said_until_it_is_taken_however_often_it_is_not(
    router: RouterDouble,
) -> None:
    router.fail("left", *[SOON, StoreFull("full"), OutcomeUnknown("?")] * 100)
    facts = Facts("chat")
    facts.later("x1", router.left, "x1", "gone")
    await router.signal.until(lambda: len(router.said("left")) == 301)
    await facts.stop(grace_s=30.0)
    assert (len(facts), len(router.said("left"))) == (0, 301)


async def test_facts_about_one_thing_keep_their_order_and_others_do_not_wait_for_them(
    router: RouterDouble,
) -> None:
    gate = router.gates["hung_up"] = asyncio.Event()
    facts = Facts("pbx")
    facts.later("call-1", router.hung_up, "r1")
    facts.later("call-1", router.left, "call-1")
    facts.later("call-2", router.left, "call-2")
    await router.signal.until(lambda: len(router.said("left")) == 1)
    assert [said.of for said in router.said("left")] == ["call-2"]
    gate.set()
    await router.signal.until(lambda: len(router.said("left")) == 2)
    await facts.stop(grace_s=30.0)
    assert len(facts) == 0


async def test_far_more_than_are_said_at_once_are_all_said_each_once(router: RouterDouble) -> None:
    count = 20 * kit.AT_ONCE
    router.fail("left", *[SOON] * 3 * kit.AT_ONCE)
    facts = Facts("chat")
    for number in range(count):
        facts.later(f"x{number}", router.left, f"x{number}")
    assert len(facts) == count
    await facts.stop(grace_s=30.0)
    assert len(facts) == 0
    assert len(router.said("left")) == count + 3 * kit.AT_ONCE
    assert {said.of for said in router.said("left")} == {f"x{number}" for number in range(count)}


async def test_the_same_fact_waits_once(router: RouterDouble) -> None:
    gate = router.gates["receipt"] = asyncio.Event()
    facts = Facts("sms")
    for _ in range(100):
        facts.later("m1", router.receipt, "c1", "m1", "undelivered", "006")
    facts.later("m1", router.receipt, "c1", "m1", "delivered")
    assert len(facts) == 2
    gate.set()
    await facts.stop(grace_s=30.0)
    assert [said.args[1] for said in router.said("receipt")] == ["undelivered", "delivered"]


async def test_what_cannot_be_saved_is_refused_to_the_backend_and_told_all_the_same(
    router: RouterDouble,
) -> None:
    """A backend that never says it again loses nothing, and one that does says nothing twice."""
    gate = asyncio.Event()
    router.fail("receipt", StoreFull("full"), StoreFull("full"))
    facts = Facts("sms")
    with pytest.raises(StoreFull):
        await facts.tell("m1", router.receipt, "c1", "m1", "delivered")
    router.gates["receipt"] = gate
    for _ in range(5):
        with pytest.raises(Overloaded, match="waits for the store"):
            await facts.tell("m1", router.receipt, "c1", "m1", "delivered")
    gate.set()
    await facts.stop(grace_s=30.0)
    assert len(router.said("receipt")) == 3  # two that were not taken, and the one that was
    await facts.tell("m1", router.receipt, "c1", "m1", "delivered")
    router.fail("receipt", Refused("not_found", "no message"))
    with pytest.raises(Refused):
        await facts.tell("m2", router.receipt, "c1", "m2", "delivered")
    assert len(facts) == 0


async def test_a_receipt_whose_backend_hangs_up_meanwhile_is_told(router: RouterDouble) -> None:
    gate = router.gates["receipt"] = asyncio.Event()
    facts = Facts("sms")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await facts.tell("m1", router.receipt, "c1", "m1", "delivered")
    gate.set()
    await facts.stop(grace_s=30.0)
    assert len(router.said("receipt")) == 2


async def test_who_is_full_keeps_what_came_first_and_says_so_once(
    router: RouterDouble, caplog: pytest.LogCaptureFixture
) -> None:
    gate = router.gates["left"] = asyncio.Event()
    facts = Facts("chat", most=2)
    facts.later("x1", router.left, "x1")
    facts.later("x2", router.left, "x2")
    for number in range(3, 6):
        with pytest.raises(ChannelError, match="keeps no more"):
            facts.later(f"x{number}", router.left, f"x{number}")
    router.fail("receipt", SOON)
    with pytest.raises(Overloaded):  # the backend hears it, and that it is full says the log
        await facts.tell("m1", router.receipt, "c1", "m1", "delivered")
    gate.set()
    await facts.stop(grace_s=30.0)
    assert sorted(said.of for said in router.said("left")) == ["x1", "x2"]
    assert [r.levelno for r in caplog.records if "no more are kept" in r.message] == [logging.ERROR]


async def test_what_a_stop_has_left_is_said_by_the_next_start(router: RouterDouble) -> None:
    router.gates["left"] = asyncio.Event()
    facts = Facts("pbx")
    for number in range(3 * kit.AT_ONCE):
        facts.later(f"x{number}", router.left, f"x{number}")
    await router.signal.until(lambda: len(router.said("left")) == kit.AT_ONCE)
    await facts.stop(grace_s=0.0)
    facts.later("late", router.left, "late")  # an event that came while it stopped
    assert len(facts) == 3 * kit.AT_ONCE + 1
    router.calls.clear()
    del router.gates["left"]
    facts.go_on()
    await facts.stop(grace_s=30.0)
    assert len(router.said("left")) == 3 * kit.AT_ONCE + 1
    assert len(facts) == 0


async def test_one_that_is_refused_broken_or_cancelled_below_holds_nothing_up(
    router: RouterDouble, caplog: pytest.LogCaptureFixture
) -> None:
    cut = [asyncio.CancelledError()]

    async def cancelled() -> None:
        if cut:
            raise cut.pop()
        await router.left("x-cancelled")

    async def broken() -> None:
        raise KeyError("planted")

    router.fail("left", Refused("not_found", "over"))
    facts = Facts("pbx")
    facts.later("call", router.left, "x-refused")
    facts.later("call", broken)
    facts.later("call", cancelled)
    facts.later("call", router.left, "x-last")
    await facts.stop(grace_s=30.0)
    assert [said.of for said in router.said("left")] == ["x-refused", "x-cancelled", "x-last"]
    assert "pbx: a fact was not told" in caplog.messages
