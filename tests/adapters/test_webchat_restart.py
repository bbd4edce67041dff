"""The web chat after a restart: who was there, what was said, and who never comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from router.channel import Address, Line, Receipt, Task
from router.testing.conformance import CUSTOMER, OTHER, deliver
from tests.adapters.test_webchat import farewell, treat
from tests.adapters.webchat_harness import WebChatHarness


async def test_after_a_restart_the_token_joins_the_same_contact(tmp_path: Path) -> None:
    secret = str(tmp_path / "var" / "secret")
    async with WebChatHarness(secret_file=secret) as before:
        await before.arrive(CUSTOMER)
        token = before.browser(CUSTOMER).token
        external_id = before.external_id(CUSTOMER)
    async with WebChatHarness(before.router, secret_file=secret) as after:
        after.router.calls.clear()
        after.browser(CUSTOMER).token = token
        assert await after.write(CUSTOMER, "are you there?", "m2") == ""
        assert [s.of for s in after.router.said("message")] == [external_id]
        await after.channel.perform(after.task(CUSTOMER, deliver(), text="yes"))
        await after.browser(CUSTOMER).until("message", 2)


async def test_after_a_restart_what_was_said_is_shown_again(tmp_path: Path) -> None:
    secret = str(tmp_path / "secret")
    async with WebChatHarness(secret_file=secret) as before:
        await before.arrive(CUSTOMER, "is the bench in stock?")
        token, external_id = before.browser(CUSTOMER).token, before.external_id(CUSTOMER)
    router = before.router
    router.contact_states[external_id] = "active"
    router.lines[external_id].append(Line(id="m9", author="agent", at_us=9, text="yes, it is"))
    async with WebChatHarness(router, secret_file=secret) as after:
        browser = after.browser(CUSTOMER)
        browser.token = token
        # An effect from before the restart, whose text the history has as well.
        await after.channel.perform(after.task(CUSTOMER, deliver(9), text="yes, it is"))
        await browser.open()
        welcome = browser.frames[0]
        assert [(m["id"], m["who"], m["text"]) for m in welcome["messages"]] == [
            ("m1", "visitor", "is the bench in stock?"),
            ("a:m9", "agent", "yes, it is"),
        ]
        assert welcome["state"] == "talking"
        assert await browser.say("is the bench in stock?", "m1") == "", "said again: known"
        assert len(router.messages) == 1


async def test_a_conversation_that_ended_meanwhile_is_shown_as_over(tmp_path: Path) -> None:
    secret = str(tmp_path / "secret")
    async with WebChatHarness(secret_file=secret) as before:
        await before.arrive(CUSTOMER)
        token, first = before.browser(CUSTOMER).token, before.external_id(CUSTOMER)
    before.router.contacts.clear()
    async with WebChatHarness(before.router, secret_file=secret) as after:
        browser = after.browser(CUSTOMER)
        browser.token = token
        await browser.open()
        assert browser.frames[0]["state"] == "ended"
        assert [m["text"] for m in browser.frames[0]["messages"]] == ["hello"]
        assert await browser.say("one more thing", "m2") == ""
        assert after.external_id(CUSTOMER) not in ("", first)


async def test_a_visitor_who_waited_and_never_returns_after_a_restart_has_left() -> None:
    async with WebChatHarness(away_s=60) as before:
        await before.arrive(CUSTOMER)
        await before.arrive(OTHER)
        gone, served = before.external_id(CUSTOMER), before.external_id(OTHER)
    before.router.contact_states[served] = "parked"
    before.router.contacts["beeper-7"] = before.router.contacts[gone]  # of another adapter
    async with WebChatHarness(before.router, away_s=0.02) as after:
        await after.signal.until(lambda: bool(after.router.said("left")))
        assert [(s.of, s.args) for s in after.router.said("left")] == [(gone, ("away",))]
        assert [c.external_id for c in after.chat.conversations.values()] == [served]


async def test_a_number_used_before_a_restart_is_not_taken_again(tmp_path: Path) -> None:
    secret = str(tmp_path / "secret")
    async with WebChatHarness(secret_file=secret) as harness:
        await harness.arrive(CUSTOMER)
        used = harness.external_id(CUSTOMER)
        visitor, _, number = used.rpartition(".")
        await harness.channel.perform(harness.task(CUSTOMER, farewell()))
        submit = harness.router.submit

        async def closed_once(contact: Any) -> Receipt:
            harness.router.submit = submit  # type: ignore[method-assign]
            return Receipt(contact="c9", state="closed", created=False)

        harness.router.submit = closed_once  # type: ignore[method-assign]
        assert await harness.write(CUSTOMER, "hello again", "m2") == ""
        assert harness.external_id(CUSTOMER) == f"{visitor}.{int(number) + 2}"


async def test_a_returning_visitor_without_room_finds_the_conversation_going_on(
    tmp_path: Path,
) -> None:
    async with WebChatHarness(conversations=1, secret_file=str(tmp_path / "secret")) as harness:
        first = harness.browser(CUSTOMER)
        await harness.arrive(CUSTOMER)
        await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="hi"))
        await first.close()
        other = harness.browser(OTHER)
        await other.open()
        await other.close()
        await harness.signal.until(lambda: len(harness.chat.conversations) < 2)
        await first.open()
        assert first.frames[0]["state"] == "talking"
        assert await first.say("still here", "m2") == ""
        assert len(harness.router.contacts) == 1


async def test_the_ghost_of_a_restart_leaves_when_nobody_comes_back() -> None:
    async with WebChatHarness(away_s=0.02) as harness:
        task = Task(id="e1", epoch=1, workspace="main", effect=treat("position", position=1),
                    external_id="vghost.1", customer=Address(address="vghost"),
                    our_address="site")  # fmt: skip
        await harness.channel.perform(task)
        await harness.signal.until(lambda: bool(harness.router.said("left")))
        assert harness.router.said("left")[0].of == "vghost.1"
