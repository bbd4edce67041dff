"""The e-mail adapter passes the suites against a real Dovecot and a real SMTP server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.channel import Address, StartContact, Task
from router.core.model import ContactId
from router.testing.adapter_harness import TEXT_BYTES, FailingHarness, Harness
from router.testing.conformance import CUSTOMER, FailureSuite, TextSuite
from tests.adapters.mail_harness import MailHarness, contact_of
from tests.peers.dovecot import BINARY, WHY_NOT

pytestmark = [pytest.mark.peer, pytest.mark.skipif(BINARY is None, reason=WHY_NOT)]


class TestMail(TextSuite, FailureSuite):
    @pytest.fixture
    async def harness(self, tmp_path: Path) -> AsyncIterator[MailHarness]:
        async with MailHarness(tmp_path) as harness:
            yield harness

    async def test_a_message_too_long_is_refused_and_the_next_is_taken(
        self, harness: Harness
    ) -> None:
        """A mail is not refused: it is cut, and all of it is there as a file."""
        await harness.arrive(CUSTOMER)
        assert not await harness.write(CUSTOMER, "x" * (TEXT_BYTES + 1), "big")
        assert not await harness.write(CUSTOMER, "short", "small")
        first, cut, last = harness.router.messages.values()
        assert (first, last) == ("hello", "short")
        assert len(cut.encode()) <= TEXT_BYTES
        assert cut.endswith("x\n[…]")
        (whole,) = contact_of(harness.router, 1).message.attachments
        assert (whole["role"], whole["size"]) == ("original", TEXT_BYTES + 1)

    async def test_an_outbound_contact_is_started_and_named(self, harness: FailingHarness) -> None:
        """The suite's customer has a telephone; ours has an address."""
        effect = StartContact(channel="email", contact=ContactId("c7"))
        task = Task(id="e1", epoch=1, workspace="main", effect=effect, external_id="",
                    customer=Address(address="lee@customer.example"), our_address="")  # fmt: skip
        await harness.channel.perform(task)
        await harness.signal.until(lambda: bool(harness.router.said("started")))
        [said] = harness.router.said("started")
        assert said.of
        assert said.args == ("c7",)
