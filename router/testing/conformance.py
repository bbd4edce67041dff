# ruff: noqa: D102  the tests' names are sentences
"""What every adapter must do, as tests: subclass a suite, give it a harness, run pytest.

    class TestPager(TextSuite):
        @pytest.fixture
        async def harness(self) -> AsyncIterator[Harness]:
            async with PagerHarness() as harness:
                yield harness

`AdapterSuite` is for every adapter, `TextSuite` has it and more for those that carry what people
write; `LeaveSuite` for those whose customers can go, `FailureSuite` for those whose backend fails
on demand, `MediaSuite` for those that ring agents' endpoints, `ThreadSuite` for those that show
customers what was said, `LiveSuite` for those that know after a reconnect which contacts are left.
Questions and typing are in `conformance_talk.py`. The router is a double that records what the
adapter says and raises what a test tells it to (`adapter_harness.py`). Nothing here sleeps; waiting
is by signal.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from router.channel import (
    Address,
    ChannelError,
    ChannelLost,
    ConnectAgent,
    DeliverMessage,
    EndContact,
    Line,
    OfferContact,
    OutcomeUnknown,
    Overloaded,
    Refused,
    RescindOffer,
    StartContact,
    Task,
    TreatContact,
    UnknownOutcome,
)
from router.core.model import AgentId, ContactId, ReservationId
from router.testing.adapter_harness import (
    TEXT_BYTES,
    FailingHarness,
    Harness,
    LiveHarness,
    ThreadHarness,
)

CUSTOMER = "+4930900100"
OTHER = "+4930900200"
STRANGE = (
    "Grüße \U0001f469\u200d\U0001f469\u200d\U0001f467 "
    "\u05e9\u05dc\u05d5\u05dd \u202e \u0928 <b>&amp;\"'\\ \u0001"
)
"""Text that careless code breaks: joined emoji, right-to-left, markup, quotes, a control."""


class LogCapture(Protocol):
    """The part of pytest's `caplog` that is used here."""

    records: list[logging.LogRecord]

    def set_level(self, level: int) -> None:
        """Record from this level on."""


class AdapterSuite:
    """For every adapter."""

    async def test_it_says_that_it_is_up(self, harness: Harness) -> None:
        assert harness.router.states[-1] == "up"

    async def test_the_same_arrival_twice_is_one_contact(self, harness: Harness) -> None:
        await harness.arrive(CUSTOMER)
        await harness.arrive(CUSTOMER, again=True)
        assert len(harness.router.contacts) == 1
        assert len(harness.router.messages) <= 1  # calls bring none

    async def test_two_customers_are_two_contacts(self, harness: Harness) -> None:
        await harness.arrive(CUSTOMER)
        await harness.arrive("+4930900200")
        assert len(harness.router.contacts) == 2

    async def test_an_overloaded_router_is_told_to_the_customer(self, harness: Harness) -> None:
        harness.router.fail("submit", Overloaded("full", 0.01))
        assert await harness.arrive(CUSTOMER), "the customer was not told"
        assert not await harness.arrive(CUSTOMER, again=True)
        assert len(harness.router.contacts) == 1

    async def test_a_refused_contact_is_told_to_the_customer(self, harness: Harness) -> None:
        harness.router.fail("submit", Refused("no_entry_point", "nothing is reached here"))
        assert await harness.arrive(CUSTOMER), "the customer was not told"
        assert not harness.router.contacts

    async def test_it_ends_when_cancelled_and_can_be_run_again(self, harness: Harness) -> None:
        async with asyncio.timeout(5):
            await harness.stop()
        assert harness.router.states[-1] == "down"
        try:
            await harness.channel.perform(self._plain_task())
        except ChannelLost:
            pass
        else:
            raise AssertionError("an adapter that does not run took an effect")
        async with asyncio.timeout(5):
            await harness.start()
        assert harness.router.states[-1] == "up"
        assert not await harness.arrive("+4930900300")

    def _plain_task(self) -> Task:
        return Task(id="e9", epoch=9, workspace="main", effect=deliver(), external_id="v.1",
                    customer=Address(address=CUSTOMER), our_address="")  # fmt: skip


class LeaveSuite:
    """For adapters whose customers can go while they wait: calls and chats, not letters."""

    async def test_a_customer_who_leaves_while_offered_is_reported(self, harness: Harness) -> None:
        await harness.arrive(CUSTOMER)
        external_id = harness.external_id(CUSTOMER)
        await harness.channel.perform(harness.task(CUSTOMER, offer()))
        await harness.leave(CUSTOMER)
        await harness.signal.until(lambda: bool(harness.router.said("left")))
        assert harness.router.said("left")[0].of == external_id
        gone = Task(id="e2", epoch=1, workspace="main", effect=rescind(), external_id=external_id,
                    customer=Address(), our_address="")  # fmt: skip
        await harness.channel.perform(gone)

    async def test_that_a_customer_left_is_said_until_it_is_taken(self, harness: Harness) -> None:
        await harness.arrive(CUSTOMER)
        harness.router.fail("left", OutcomeUnknown("?"), Overloaded("busy", 0.01))
        await harness.leave(CUSTOMER)
        await harness.signal.until(lambda: len(harness.router.said("left")) == 3)


class TextSuite(AdapterSuite):
    """For adapters that carry what people write."""

    async def test_a_contact_is_submitted_with_address_and_text(self, harness: Harness) -> None:
        assert not await harness.arrive(CUSTOMER, "my line is dead")
        [said] = harness.router.said("submit") + harness.router.said("message")
        contact = said.args[0]
        assert contact.external_id
        assert contact.customer.address
        assert contact.message.text == "my line is dead"

    async def test_a_second_message_joins_the_contact(self, harness: Harness) -> None:
        await harness.arrive(CUSTOMER, "first")
        assert not await harness.write(CUSTOMER, "second", "m2")
        assert len(harness.router.contacts) == 1
        assert list(harness.router.messages.values()) == ["first", "second"]

    async def test_the_same_message_twice_is_one_message(self, harness: Harness) -> None:
        await harness.arrive(CUSTOMER, "first")
        await harness.write(CUSTOMER, "second", "m2")
        await harness.write(CUSTOMER, "second", "m2")
        assert len(harness.router.messages) == 2

    async def test_messages_of_the_agent_arrive_in_order(self, harness: Harness) -> None:
        await harness.arrive(CUSTOMER)
        texts = [f"answer {number}" for number in range(20)]
        for number, text in enumerate(texts):
            await harness.channel.perform(
                harness.task(CUSTOMER, deliver(number), id_=f"e{number}", text=text)
            )
        await harness.signal.until(lambda: len(harness.read(CUSTOMER)) >= len(texts))
        assert harness.read(CUSTOMER) == texts

    async def test_the_same_effect_twice_reaches_the_customer_once(self, harness: Harness) -> None:
        await harness.arrive(CUSTOMER)
        for _ in range(2):
            await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="once"))
        await harness.channel.perform(harness.task(CUSTOMER, deliver(2), id_="e2", text="last"))
        await harness.signal.until(lambda: "last" in harness.read(CUSTOMER))
        assert harness.read(CUSTOMER) == ["once", "last"]

    async def test_an_effect_of_a_lower_epoch_is_refused(self, harness: Harness) -> None:
        await harness.arrive(CUSTOMER)
        await harness.channel.perform(
            harness.task(CUSTOMER, deliver(1), id_="e1", epoch=7, text="new owner")
        )
        try:
            await harness.channel.perform(
                harness.task(CUSTOMER, deliver(2), id_="e2", epoch=6, text="old owner")
            )
        except ChannelError:
            pass
        else:
            raise AssertionError("an effect of epoch 6 was taken after one of epoch 7")
        await harness.signal.until(lambda: bool(harness.read(CUSTOMER)))
        assert harness.read(CUSTOMER) == ["new owner"]

    async def test_treatment_and_farewell_reach_the_customer(self, harness: Harness) -> None:
        await harness.arrive(CUSTOMER)
        greeting = TreatContact(
            channel="chat", contact=ContactId("c1"), kind="greeting", text="Welcome."
        )
        bye = EndContact(channel="chat", contact=ContactId("c1"), outcome="completed", text="Bye.")
        await harness.channel.perform(harness.task(CUSTOMER, greeting))
        await harness.channel.perform(harness.task(CUSTOMER, bye, id_="e2"))
        await harness.signal.until(lambda: len(harness.read(CUSTOMER)) == 2)
        assert harness.read(CUSTOMER) == ["Welcome.", "Bye."]

    async def test_any_text_comes_through_both_ways(self, harness: Harness) -> None:
        await harness.arrive(CUSTOMER, STRANGE)
        await harness.channel.perform(harness.task(CUSTOMER, deliver(), text=STRANGE))
        await harness.signal.until(lambda: bool(harness.read(CUSTOMER)))
        assert list(harness.router.messages.values()) == [STRANGE]
        assert harness.read(CUSTOMER) == [STRANGE]

    async def test_a_message_too_long_is_refused_and_the_next_is_taken(
        self, harness: Harness
    ) -> None:
        await harness.arrive(CUSTOMER)
        assert await harness.write(CUSTOMER, "x" * (TEXT_BYTES + 1), "big")
        assert not await harness.write(CUSTOMER, "short", "small")
        assert list(harness.router.messages.values()) == ["hello", "short"]

    async def test_after_an_unknown_outcome_the_same_ids_are_said_again(
        self, harness: Harness
    ) -> None:
        harness.router.fail("submit", OutcomeUnknown("the store does not answer"))
        if await harness.arrive(CUSTOMER):
            assert not await harness.arrive(CUSTOMER, again=True)
        said = harness.router.said("submit") + harness.router.said("message")
        assert len(said) == 2
        assert len({s.of for s in said}) == 1
        assert len({s.args[0].message.id for s in said}) == 1

    async def test_what_the_adapter_holds_is_bounded(self, harness: Harness) -> None:
        await harness.arrive(CUSTOMER)
        most = await harness.stall()
        tasks = [
            harness.task(CUSTOMER, deliver(number), id_=f"e{number}", text=f"answer {number}")
            for number in range(most + 20)
        ]
        work = [asyncio.get_running_loop().create_task(harness.channel.perform(t)) for t in tasks]
        await asyncio.wait(work, timeout=0.05)
        assert harness.held() <= most
        for one in work:
            one.cancel()
        for result in await asyncio.gather(*work, return_exceptions=True):
            assert result is None or isinstance(result, ChannelError | asyncio.CancelledError)

    async def test_an_effect_given_up_does_not_break_the_next(self, harness: Harness) -> None:
        await harness.arrive(CUSTOMER)
        first = asyncio.get_running_loop().create_task(
            harness.channel.perform(harness.task(CUSTOMER, deliver(1), id_="e1", text="one"))
        )
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await harness.channel.perform(harness.task(CUSTOMER, deliver(2), id_="e2", text="two"))
        await harness.signal.until(lambda: "two" in harness.read(CUSTOMER))

    async def test_no_personal_data_is_logged(self, harness: Harness, caplog: LogCapture) -> None:
        caplog.set_level(logging.INFO)
        harness.router.fail("submit", Overloaded("full", 0.01))
        await harness.arrive(CUSTOMER, "my secret is 4711")
        await harness.arrive(CUSTOMER, "my secret is 4711", again=True)
        await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="your secret 4711"))
        lines = " ".join(f"{record.getMessage()} {record.args}" for record in caplog.records)
        assert "4711" not in lines
        assert CUSTOMER not in lines


class FailureSuite:
    """For adapters whose backend fails on demand."""

    async def test_an_effect_that_failed_is_told(self, harness: FailingHarness) -> None:
        who = harness.troubled("fail")
        await harness.arrive(who)
        error = await _error_of(harness, harness.task(who, deliver(), text="no"))
        assert type(error) is ChannelError, error
        assert harness.read(who) == []

    async def test_an_effect_of_unknown_outcome_is_told_as_unknown(
        self, harness: FailingHarness
    ) -> None:
        who = harness.troubled("unknown")
        await harness.arrive(who)
        error = await _error_of(harness, harness.task(who, deliver(), text="perhaps"))
        assert isinstance(error, UnknownOutcome), error

    async def test_a_lost_backend_is_told_and_it_serves_again_afterwards(
        self, harness: FailingHarness
    ) -> None:
        who = harness.troubled("lost")
        await harness.arrive(who)
        error = await _error_of(harness, harness.task(who, deliver(), text="no"))
        assert isinstance(error, ChannelError), error
        await harness.back()
        await harness.arrive(OTHER)
        await harness.channel.perform(harness.task(OTHER, deliver(2), id_="e2", text="yes"))
        await harness.signal.until(lambda: bool(harness.read(OTHER)))
        assert harness.read(OTHER) == ["yes"]

    async def test_what_was_carried_out_is_found(self, harness: FailingHarness) -> None:
        await harness.arrive(CUSTOMER)
        done = harness.task(CUSTOMER, deliver(), text="done")
        await harness.channel.perform(done)
        assert await harness.channel.find(done) is True
        never = harness.task(CUSTOMER, deliver(2), id_="e2", text="never performed")
        assert await harness.channel.find(never) is False

    async def test_an_outbound_contact_is_started_and_named(self, harness: FailingHarness) -> None:
        await harness.channel.perform(_start("c7", OTHER, "e1"))
        await harness.signal.until(lambda: bool(harness.router.said("started")))
        [said] = harness.router.said("started")
        assert said.of
        assert said.args == ("c7",)

    async def test_a_busy_customer_makes_the_outbound_contact_fail(
        self, harness: FailingHarness
    ) -> None:
        error = await _error_of(harness, _start("c7", harness.troubled("busy"), "e1"))
        assert isinstance(error, ChannelError), error
        assert harness.router.said("started") == []


class MediaSuite:
    """For adapters that ring agents' endpoints and bring legs up."""

    async def test_an_answered_endpoint_is_a_connected_reservation(
        self, harness: FailingHarness
    ) -> None:
        await harness.arrive(CUSTOMER)
        await harness.channel.perform(harness.task(CUSTOMER, offer("phone/ana")))
        await harness.signal.until(lambda: bool(harness.router.said("connected")))
        assert harness.router.said("connected")[0].of == "r1"

    async def test_an_offer_restated_rings_once(self, harness: FailingHarness) -> None:
        await harness.arrive(CUSTOMER)
        await harness.arrive(OTHER)
        for number in range(3):
            await harness.channel.perform(
                harness.task(CUSTOMER, offer("phone/ana"), id_=f"e{number}")
            )
        await harness.signal.until(lambda: bool(harness.router.said("connected")))
        # A second answer to r1 would come before this one.
        await harness.channel.perform(harness.task(OTHER, offer("phone/bo", "r2"), id_="e9"))
        await harness.signal.until(
            lambda: "r2" in [said.of for said in harness.router.said("connected")]
        )
        assert [said.of for said in harness.router.said("connected")] == ["r1", "r2"]

    async def test_a_leg_asked_for_comes_up(self, harness: FailingHarness) -> None:
        await harness.arrive(CUSTOMER)
        await harness.channel.perform(harness.task(CUSTOMER, connect("phone/ana")))
        await harness.signal.until(lambda: bool(harness.router.said("connected")))

    async def test_a_busy_endpoint_fails_the_reservation_as_busy(
        self, harness: FailingHarness
    ) -> None:
        await harness.arrive(CUSTOMER)
        task = harness.task(CUSTOMER, offer(harness.troubled("busy")))
        await harness.channel.perform(task)
        await harness.signal.until(lambda: bool(harness.router.said("failed")))
        assert harness.router.said("failed")[0].args[1] is True
        assert harness.router.said("connected") == []

    async def test_a_rescinded_offer_is_not_answered(self, harness: FailingHarness) -> None:
        await harness.arrive(CUSTOMER)
        await harness.arrive(OTHER)
        await harness.channel.perform(harness.task(CUSTOMER, offer("phone/ana"), id_="e1"))
        await harness.channel.perform(harness.task(CUSTOMER, rescind(), id_="e2"))
        # Rung later, so answered later: by then ana's answer would be here.
        await harness.channel.perform(harness.task(OTHER, offer("phone/bo", "r2"), id_="e3"))
        await harness.signal.until(lambda: bool(harness.router.said("connected")))
        assert [said.of for said in harness.router.said("connected")] == ["r2"]


class ThreadSuite:
    """For adapters that show customers what was said before."""

    async def test_after_a_restart_what_was_said_is_shown_again(
        self, harness: ThreadHarness
    ) -> None:
        await harness.arrive(CUSTOMER, "my line is dead")
        said = Line(id="m9", author="agent", at_us=9, text=STRANGE)
        harness.router.lines[harness.external_id(CUSTOMER)].append(said)
        await harness.renew()
        assert await harness.reread(CUSTOMER) == ["my line is dead", STRANGE]

    async def test_what_is_shown_after_a_restart_is_what_the_router_still_tells(
        self, harness: ThreadHarness
    ) -> None:
        await harness.arrive(CUSTOMER, "first")
        await harness.write(CUSTOMER, "second", "m2")
        del harness.router.lines[harness.external_id(CUSTOMER)][0]  # erased meanwhile
        await harness.renew()
        assert await harness.reread(CUSTOMER) == ["second"]


class LiveSuite:
    """For adapters that know, after a reconnect, which contacts are left."""

    async def test_after_a_reconnect_it_says_which_contacts_live(
        self, harness: LiveHarness
    ) -> None:
        await harness.arrive(CUSTOMER)
        await harness.arrive(OTHER)
        stays = harness.external_id(OTHER)
        before = len(harness.router.said("live"))
        await harness.break_connection()
        await harness.vanish(CUSTOMER)
        await harness.restore()
        await harness.signal.until(lambda: len(harness.router.said("live")) > before)
        assert harness.router.said("live")[-1].args == (stays,)
        assert harness.router.states[-1] == "up"

    async def test_the_live_list_is_said_until_it_is_taken(self, harness: LiveHarness) -> None:
        await harness.arrive(CUSTOMER)
        before = len(harness.router.said("live"))
        await harness.break_connection()
        harness.router.fail("live", OutcomeUnknown("?"), Overloaded("busy", 0.01))
        await harness.restore()
        await harness.signal.until(lambda: len(harness.router.said("live")) >= before + 3)


async def _error_of(harness: Harness, task: Task) -> ChannelError | None:
    try:
        await harness.channel.perform(task)
    except ChannelError as error:
        return error
    return None


def _start(contact: str, address: str, id_: str) -> Task:
    effect = StartContact(channel="voice", contact=ContactId(contact))
    return Task(id=id_, epoch=1, workspace="main", effect=effect, external_id="",
                customer=Address(address=address), our_address="+4930")  # fmt: skip


def deliver(number: int = 1) -> DeliverMessage:
    """A message of the agent."""
    return DeliverMessage(channel="chat", contact=ContactId("c1"), message=f"m{number}")


def offer(endpoint: str = "", reservation: str = "r1") -> OfferContact:
    """An offer, rung at an endpoint or shown at the desk."""
    return OfferContact(
        channel="chat", contact=ContactId("c1"), reservation=ReservationId(reservation),
        agent=AgentId("ana"), endpoint=endpoint, deadline_at_us=1,
    )  # fmt: skip


def rescind(reservation: str = "r1") -> RescindOffer:
    """The same offer, taken back."""
    return RescindOffer(
        channel="chat", contact=ContactId("c1"), reservation=ReservationId(reservation),
        agent=AgentId("ana"),
    )  # fmt: skip


def connect(endpoint: str, reservation: str = "r1") -> ConnectAgent:
    """Bring the agent's leg up."""
    return ConnectAgent(
        channel="voice", contact=ContactId("c1"), reservation=ReservationId(reservation),
        agent=AgentId("ana"), endpoint=endpoint, deadline_at_us=1,
    )  # fmt: skip
