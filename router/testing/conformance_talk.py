# ruff: noqa: D102  the tests' names are sentences
"""What adapters do that ask customers something, or show them that the agent types. As tests.

Used as the suites of `conformance.py`: `AskingSuite` for adapters that play and collect,
`TypingSuite` for those whose customers see that the agent types.
"""

from __future__ import annotations

from router.channel import CollectFromContact, OutcomeUnknown, Overloaded
from router.core.model import ContactId
from router.testing.adapter_harness import AskingHarness, TypingHarness
from router.testing.conformance import CUSTOMER, OTHER, deliver


class AskingSuite:
    """For adapters that play and collect: digits, a menu, quick replies."""

    async def test_a_question_is_put_and_its_answer_comes_back_under_its_id(
        self, harness: AskingHarness
    ) -> None:
        await harness.arrive(CUSTOMER)
        await harness.channel.perform(harness.task(CUSTOMER, question("q1")))
        await harness.signal.until(lambda: harness.asked(CUSTOMER) == ["What is it about?"])
        assert harness.router.said("collected") == []
        await harness.answer(CUSTOMER, "2")
        await harness.signal.until(lambda: bool(harness.router.said("collected")))
        [said] = harness.router.said("collected")
        assert (said.of, *said.args) == (
            harness.external_id(CUSTOMER), "topic", "2", "q1", False,
        )  # fmt: skip

    async def test_a_question_that_is_restated_is_put_once(self, harness: AskingHarness) -> None:
        await harness.arrive(CUSTOMER)
        for id_ in ("e1", "e1", "e2"):
            await harness.channel.perform(harness.task(CUSTOMER, question("q1"), id_=id_))
        await harness.channel.perform(harness.task(CUSTOMER, deliver(), id_="e3", text="after it"))
        await harness.signal.until(lambda: "after it" in harness.read(CUSTOMER))
        assert harness.asked(CUSTOMER) == ["What is it about?"]

    async def test_who_does_not_answer_in_time_is_reported_once(
        self, harness: AskingHarness
    ) -> None:
        await harness.arrive(CUSTOMER)
        effect = question("q1", timeout_us=20_000)
        await harness.channel.perform(harness.task(CUSTOMER, effect))
        await harness.signal.until(lambda: bool(harness.router.said("collected")))
        # The next question has a time of its own: by its end the first is long over.
        again = question("q2", timeout_us=50_000)
        await harness.channel.perform(harness.task(CUSTOMER, again, id_="e2"))
        await harness.signal.until(lambda: len(harness.router.said("collected")) > 1)
        assert [said.args for said in harness.router.said("collected")] == [
            ("topic", "", "q1", True), ("topic", "", "q2", True),
        ]  # fmt: skip

    async def test_an_answer_is_said_until_it_is_taken(self, harness: AskingHarness) -> None:
        await harness.arrive(CUSTOMER)
        harness.router.fail("collected", OutcomeUnknown("?"), Overloaded("busy", 0.01))
        await harness.channel.perform(harness.task(CUSTOMER, question("q1")))
        await harness.signal.until(lambda: bool(harness.asked(CUSTOMER)))
        await harness.answer(CUSTOMER, "1")
        await harness.signal.until(lambda: len(harness.router.said("collected")) == 3)
        assert {said.args for said in harness.router.said("collected")} == {
            ("topic", "1", "q1", False)
        }


class TypingSuite:
    """For adapters that show customers that the agent is typing."""

    async def test_an_agent_who_types_is_shown_to_that_customer_only(
        self, harness: TypingHarness
    ) -> None:
        await harness.arrive(CUSTOMER)
        await harness.arrive(OTHER)
        said = len(harness.router.calls)
        harness.channel.agent_typing(harness.external_id(CUSTOMER))
        harness.channel.agent_typing("nobody-of-ours")
        await harness.signal.until(lambda: harness.typed(CUSTOMER) == 1)
        assert harness.typed(OTHER) == 0
        assert len(harness.router.calls) == said


def question(ask: str, *, timeout_us: int = 10_000_000) -> CollectFromContact:
    """A menu of two."""
    return CollectFromContact(
        channel="chat", contact=ContactId("c1"), name="topic", prompt="What is it about?",
        choices={"1": "Billing", "2": "Repairs"}, timeout_us=timeout_us, ask=ask,
    )  # fmt: skip
