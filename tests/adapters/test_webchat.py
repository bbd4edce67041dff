"""The web chat passes the suite over real WebSockets, and keeps strangers and floods out."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.webchat.channel import WebChat, filled
from adapters.webchat.codec import TEXT_BYTES, Message, Signer, Visitor
from adapters.webchat.conversation import Words
from adapters.webchat.visits import BUFFER, OpenPage
from router.channel import (
    Address,
    ChannelError,
    CollectFromContact,
    ConnectAgent,
    EndContact,
    HoldContact,
    OutcomeUnknown,
    Overloaded,
    Receipt,
    StartContact,
    TreatContact,
)
from router.core.model import AgentId, ContactId, ReservationId
from router.errors import ConfigError
from router.testing.adapter_harness import RouterDouble, Signal
from router.testing.conformance import (
    CUSTOMER,
    OTHER,
    LeaveSuite,
    TextSuite,
    ThreadSuite,
    deliver,
)
from router.testing.conformance_talk import AskingSuite, TypingSuite
from tests.adapters.webchat_harness import Browser, WebChatHarness


class TestWebChat(TextSuite, LeaveSuite, ThreadSuite, TypingSuite, AskingSuite):
    @pytest.fixture
    async def harness(self) -> AsyncIterator[WebChatHarness]:
        async with WebChatHarness() as harness:
            yield harness


@pytest.fixture
async def harness() -> AsyncIterator[WebChatHarness]:
    async with WebChatHarness(away_s=0.05) as harness:
        await harness.arrive(CUSTOMER)
        yield harness


async def test_a_reload_shows_the_history_of_the_same_contact(harness: WebChatHarness) -> None:
    browser = harness.browser(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="hi, this is Ana"))
    await browser.until("message", 2)
    await browser.close()
    await browser.open()
    welcome = browser.frames[0]
    assert [(m["who"], m["text"]) for m in welcome["messages"]] == [
        ("visitor", "hello"),
        ("agent", "hi, this is Ana"),
    ]
    assert welcome["state"] == "talking"
    await browser.say("still here", "m2")
    assert len(harness.router.contacts) == 1


async def test_a_second_tab_sees_the_same_conversation(harness: WebChatHarness) -> None:
    first, second = harness.browser(CUSTOMER), Browser(harness)
    second.token = first.token
    await second.open()
    await second.say("from the second tab", "m2")
    await harness.signal.until(lambda: len(first.of("message")) == 2)
    await second.close()
    assert harness.router.said("left") == []


async def test_a_message_that_came_while_away_is_there_on_return(harness: WebChatHarness) -> None:
    browser = harness.browser(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, deliver(1), id_="e1", text="one"))
    await browser.close()
    await harness.channel.perform(harness.task(CUSTOMER, deliver(2), id_="e2", text="two"))
    await browser.open()
    assert browser.told() == ["one", "two"]


async def test_a_waiting_visitor_who_stays_away_has_left(harness: WebChatHarness) -> None:
    external_id = harness.external_id(CUSTOMER)
    await harness.browser(CUSTOMER).close()
    await harness.signal.until(lambda: bool(harness.router.said("left")))
    assert harness.router.said("left")[0] == ("left", external_id, ("away",))
    assert harness.chat.conversations == {}


async def test_a_visitor_who_closes_while_nothing_can_be_saved_is_told_of_whenever_it_can(
    harness: WebChatHarness,
) -> None:
    """Else an agent would be given somebody who has gone; the visitor's page has nothing to do."""
    harness.router.fail("left", *[Overloaded("no store", retry_after_s=0.01)] * 3)
    browser = harness.browser(CUSTOMER)
    await browser.send(type="end")
    await browser.until("ended")
    await harness.signal.until(lambda: len(harness.router.said("left")) == 4)
    assert {said.of for said in harness.router.said("left")} == {harness.external_id(CUSTOMER)}


async def test_a_visitor_who_was_answered_may_stay_away(harness: WebChatHarness) -> None:
    await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="hi"))
    await harness.arrive(OTHER)
    await harness.browser(CUSTOMER).close()
    await harness.browser(OTHER).close()
    # The other one's time is over later: by then ours would have been reported.
    await harness.signal.until(lambda: bool(harness.router.said("left")))
    assert len(harness.router.said("left")) == 1
    assert len(harness.chat.conversations) == 1


async def test_position_and_wait_are_told_as_they_are(harness: WebChatHarness) -> None:
    browser = harness.browser(CUSTOMER)
    place = await browser.until("place")
    assert (place["position"], place["wait_s"]) == (3, 90)
    await harness.channel.perform(
        harness.task(CUSTOMER, treat("position", position=2, wait_us=61_500_000))
    )
    assert (await browser.until("place", 2))["wait_s"] == 62
    await harness.channel.perform(
        harness.task(CUSTOMER, treat("position", position=1, wait_us=-1), id_="e2")
    )
    assert "wait_s" not in await browser.until("place", 3), "an unknown wait was made up"


@pytest.mark.parametrize(
    ("text", "position", "wait_s", "shown"),
    [
        ("Number {position}, {wait_minutes} min", 2, 61, "Number 2, 2 min"),
        ("{wait_minutes} min", 2, 0, "1 min"),
        ("{wait_minutes} min", 2, -1, ""),
        ("Number {position}", 0, 60, ""),
        ("Please wait.", 0, -1, "Please wait."),
    ],
)
def test_a_text_with_numbers_that_nobody_knows_is_not_shown(
    text: str, position: int, wait_s: int, shown: str
) -> None:
    assert filled(text, position, wait_s) == shown


async def test_a_question_is_answered_once_and_only_with_what_was_offered(
    harness: WebChatHarness,
) -> None:
    browser = harness.browser(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, question()))
    ask = await browser.until("ask")
    assert ask["choices"] == {"1": "Billing", "2": "Repairs"}
    await browser.send(type="choose", name="topic", value="99")
    await browser.until("error")
    assert harness.router.said("collected") == []
    await browser.send(type="choose", name="topic", value="2")
    await harness.signal.until(lambda: bool(harness.router.said("collected")))
    await browser.send(type="choose", name="topic", value="1")
    await browser.until("error", 2)
    assert [s.args for s in harness.router.said("collected")] == [("topic", "2", "", False)]


async def test_typing_is_told_now_and_then_while_somebody_serves(harness: WebChatHarness) -> None:
    browser = harness.browser(CUSTOMER)
    await browser.send(type="typing")  # nobody serves yet
    assert await browser.say("more", "m2") == ""
    assert harness.router.said("typing") == []
    await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="hi"))
    for _ in range(5):
        await browser.send(type="typing")
    assert await browser.say("and more", "m3") == ""
    assert [s.of for s in harness.router.said("typing")] == [harness.external_id(CUSTOMER)]


async def test_a_question_without_choices_is_answered_by_the_next_message(
    harness: WebChatHarness,
) -> None:
    browser = harness.browser(CUSTOMER)
    ask = CollectFromContact(
        channel="chat", contact=ContactId("c1"), name="order", prompt="Which order?", ask="q1"
    )
    await harness.channel.perform(harness.task(CUSTOMER, ask))
    await browser.until("ask")
    assert await browser.say("OAK-1", "m2") == ""
    assert (await browser.until("answered"))["name"] == "order"
    await harness.signal.until(lambda: bool(harness.router.said("collected")))
    assert await browser.say("thanks", "m3") == ""
    assert [s.args for s in harness.router.said("collected")] == [("order", "OAK-1", "q1", False)]
    assert "OAK-1" in harness.router.messages.values()


async def test_a_question_without_answer_ends_empty(harness: WebChatHarness) -> None:
    await harness.channel.perform(harness.task(CUSTOMER, question(timeout_us=10_000)))
    await harness.signal.until(lambda: bool(harness.router.said("collected")))
    assert harness.router.said("collected")[0].args == ("topic", "", "", True)


async def test_a_message_that_two_effects_bring_is_shown_once(harness: WebChatHarness) -> None:
    for number in range(2):
        await harness.channel.perform(
            harness.task(CUSTOMER, deliver(1), id_=f"e{number}", text="once")
        )
    await harness.channel.perform(harness.task(CUSTOMER, deliver(2), id_="e9", text="last"))
    await harness.signal.until(lambda: "last" in harness.read(CUSTOMER))
    assert harness.read(CUSTOMER) == ["once", "last"]


async def test_of_two_first_messages_the_second_joins_the_first() -> None:
    async with WebChatHarness() as harness:
        browser = harness.browser(CUSTOMER)
        await browser.open()
        [conversation] = harness.chat.conversations.values()
        gate = harness.router.gates["submit"] = asyncio.Event()
        async with asyncio.TaskGroup() as tabs:
            tabs.create_task(harness.chat.say(conversation, Words("m1", "one", "https://x")))
            await harness.signal.until(lambda: bool(harness.router.said("submit")))
            tabs.create_task(harness.chat.say(conversation, Words("m2", "two", "https://x")))
            await asyncio.sleep(0)
            gate.set()
        calls = [s.call for s in harness.router.calls if s.call in ("submit", "message")]
        assert calls == ["submit", "message"]


async def test_after_an_unknown_outcome_another_message_joins_what_may_be_there() -> None:
    async with WebChatHarness() as harness:
        harness.router.fail("submit", OutcomeUnknown("the store does not answer"))
        assert await harness.arrive(CUSTOMER) == "try_again"
        assert await harness.write(CUSTOMER, "another", "m2") == ""
        assert len(harness.router.said("submit")) == 1
        assert len(harness.router.said("message")) == 1


def test_a_token_is_good_for_its_days_and_its_site_only() -> None:
    here, there = Signer(b"k" * 32, "here", 30), Signer(b"k" * 32, "there", 30)
    token = here.sign(Visitor("vx", 3), now_s=1_000)
    assert here.check(token, 1_000 + 30 * 86_400 - 1) == ("vx", 3)
    assert here.check(token, 1_000 + 30 * 86_400) is None
    assert there.check(token, 1_000) is None


@pytest.mark.parametrize(
    ("mode", "content", "finding"),
    [
        (0o644, b"k" * 32, "may be read by others: chmod 600"),
        (0o600, b"short", "has 5 bytes, expected >= 16"),
    ],
)
def test_a_weak_secret_is_refused(tmp_path: Path, mode: int, content: bytes, finding: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    file.chmod(mode)
    with pytest.raises(ConfigError, match=finding):
        WebChat("site", {"key": "k", "secret_file": str(file)}, RouterDouble(Signal()))


@pytest.mark.parametrize(
    ("settings", "finding"),
    [
        ({}, "missing required field `key`"),
        ({"key": ""}, "key must not be empty"),
        ({"key": "k", "origin": ["self"]}, "did you mean 'origins'"),
        ({"key": "k", "origins": ["example.com"]}, "expected https://host or self"),
        ({"key": "k", "burst": 0}, "must be > 0"),
    ],
)
def test_wrong_settings_say_what_was_expected(settings: dict[str, Any], finding: str) -> None:
    with pytest.raises(ConfigError, match=finding):
        WebChat("site", settings, RouterDouble(Signal()))


async def test_a_visitors_id_cannot_stand_for_an_agents_message(harness: WebChatHarness) -> None:
    await harness.write(CUSTOMER, "mine", "m7")
    await harness.channel.perform(harness.task(CUSTOMER, deliver(7), text="the agent's"))
    await harness.signal.until(lambda: harness.read(CUSTOMER) == ["the agent's"])


async def test_after_the_farewell_the_next_message_begins_a_new_contact(
    harness: WebChatHarness,
) -> None:
    browser, first = harness.browser(CUSTOMER), harness.external_id(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, farewell()))
    await browser.until("ended")
    assert await browser.say("one more thing", "m2") == ""
    second = harness.external_id(CUSTOMER)
    assert second != first
    assert second.split(".")[0] == first.split(".")[0], "the visitor is the same"
    # A late farewell of the first contact does not end the second.
    task = harness.task(CUSTOMER, farewell(), id_="e9")
    task.external_id = first
    await harness.channel.perform(task)
    await harness.channel.perform(harness.task(CUSTOMER, deliver(), id_="e10", text="go on"))
    await harness.signal.until(lambda: "go on" in browser.told())
    assert len(browser.of("ended")) == 1


async def test_a_contact_closed_behind_our_back_is_begun_anew(harness: WebChatHarness) -> None:
    first = harness.external_id(CUSTOMER)

    async def closed(contact: Any) -> Receipt:
        return Receipt(contact="c1", state="closed", created=False)

    harness.router.message = closed  # type: ignore[method-assign]
    assert await harness.write(CUSTOMER, "hello again", "m2") == ""
    assert harness.external_id(CUSTOMER) != first
    assert list(harness.router.messages.values()) == ["hello", "hello again"]


async def test_a_stolen_or_changed_token_makes_a_stranger(harness: WebChatHarness) -> None:
    token = harness.browser(CUSTOMER).token
    visitor, number, expires, signature = token.split(".")
    bad = [
        f"{visitor}.2.{expires}.{signature}",
        f"vsomebody.{number}.{expires}.{signature}",
        f"{visitor}.{number}.{int(expires) + 1}.{signature}",
        f"{visitor}.{number}.{expires}.{signature[:-1]}",
        f"{visitor}.{number}.{expires}.",
        "é.é.é.é",
        "...",
        "",
    ]
    for forged in bad:
        stranger = Browser(harness)
        stranger.token = forged
        await stranger.open()
        assert stranger.frames[0].get("messages", []) == [], forged
        assert not stranger.token.startswith(visitor), forged
        await stranger.close()


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1", "file://", "http://x@y:1"]
)
async def test_a_page_of_another_origin_is_refused(harness: WebChatHarness, origin: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await Browser(harness).open(origin=origin)
    assert refused.value.status == 403


async def test_a_listed_origin_may_chat() -> None:
    async with WebChatHarness(origins=["https://www.example.com"]) as harness:
        browser = harness.browser(CUSTOMER)
        await browser.open(origin="https://www.example.com")
        assert browser.frames[0]["type"] == "welcome"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await Browser(harness).open()


async def test_a_restart_is_told_to_the_open_pages(harness: WebChatHarness) -> None:
    browser = harness.browser(CUSTOMER)
    await harness.stop()
    await harness.signal.until(lambda: browser.closed is not None)
    assert browser.closed == 1012
    await harness.start()
    assert await harness.write(CUSTOMER, "still here", "m2") == ""
    assert len(harness.router.contacts) == 1


async def test_who_does_not_come_back_after_a_restart_has_left(harness: WebChatHarness) -> None:
    await harness.stop()
    await harness.start()
    await harness.signal.until(lambda: bool(harness.router.said("left")))
    assert harness.chat.conversations == {}


async def test_a_wrong_key_is_closed(harness: WebChatHarness) -> None:
    browser = Browser(harness)
    await browser.open(key="another")
    assert browser.closed == 4003
    await browser.close()


async def test_a_message_of_exactly_4_kib_is_taken_and_one_byte_more_is_not(
    harness: WebChatHarness,
) -> None:
    assert await harness.write(CUSTOMER, "é" * (TEXT_BYTES // 2), "m2") == ""
    assert await harness.write(CUSTOMER, "é" * (TEXT_BYTES // 2) + "x", "m3") == "too_long"
    assert await harness.write(CUSTOMER, " \n ", "m4") == "too_long"


async def test_a_flood_is_slowed_down() -> None:
    async with WebChatHarness(burst=3, messages_per_s=0.01) as harness:
        answers = [await harness.write(CUSTOMER, "spam", f"m{number}") for number in range(5)]
        assert answers == ["", "", "", "too_fast", "too_fast"]
        browser = harness.browser(CUSTOMER)
        assert browser.of("refused")[0]["retry_after_s"] > 50
        await browser.close()
        assert await harness.write(CUSTOMER, "spam", "m9") == "too_fast", "a reload refilled it"


async def test_nothing_a_visitor_says_becomes_an_attribute(harness: WebChatHarness) -> None:
    browser = Browser(harness)
    await browser.open(name="Mallory")
    await browser.send(type="say", id="m1", text="hi", priority=0, attributes={"tier": 0})
    await browser.until("error")
    await browser.say('{"priority": 0}', "m2")
    contact = harness.router.said("submit")[-1].args[0]
    assert contact.attributes == {"site": "site", "origin": harness.origin}
    assert contact.requirements == {}
    assert contact.customer.name == "Mallory"
    await browser.close()


async def test_nonsense_is_answered_and_then_closed(harness: WebChatHarness) -> None:
    browser = harness.browser(CUSTOMER)
    assert browser.socket is not None
    for _ in range(11):
        await browser.socket.send_str("[" * 3_000)
    await harness.signal.until(lambda: browser.closed is not None)
    assert browser.closed == 1008


async def test_the_sixth_page_closes_the_first(harness: WebChatHarness) -> None:
    first = harness.browser(CUSTOMER)
    others = [Browser(harness) for _ in range(5)]
    for page in others:
        page.token = first.token
        await page.open()
    await harness.signal.until(lambda: first.closed is not None)
    assert first.closed == 4008
    for page in others:
        await page.close()


async def test_one_visitor_too_many_is_told_to_come_back() -> None:
    async with WebChatHarness(conversations=1) as harness:
        await harness.arrive(CUSTOMER)
        late = harness.browser(OTHER)
        await late.open()
        assert late.closed == 1013
        # Somebody who was answered and is away makes room.
        await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="hi"))
        await harness.browser(CUSTOMER).close()
        await late.open()
        assert late.frames[0]["type"] == "welcome"


async def test_a_page_that_reads_nothing_is_closed_not_buffered() -> None:
    class Deaf:
        async def send_str(self, data: str) -> None:
            await asyncio.Event().wait()

    page = OpenPage(Deaf(), None)  # type: ignore[arg-type]
    writer = asyncio.get_running_loop().create_task(page.write())
    numbers = itertools.count()
    while not page.closing:
        page.send(Message(f"m{next(numbers)}", "agent", "x" * 4_000, 0))
    assert next(numbers) == BUFFER + 1
    writer.cancel()


async def test_hold_and_an_outbound_chat_reach_the_open_page(harness: WebChatHarness) -> None:
    browser = harness.browser(CUSTOMER)
    hold = HoldContact(channel="chat", contact=ContactId("c1"), reservation=ReservationId("r1"),
                       held=True)  # fmt: skip
    await harness.channel.perform(harness.task(CUSTOMER, hold))
    assert (await browser.until("hold"))["held"] is True
    start = StartContact(channel="chat", contact=ContactId("c2"))
    await harness.channel.perform(harness.task(CUSTOMER, start, id_="e2"))
    await harness.signal.until(lambda: bool(harness.router.said("started")))
    said = harness.router.said("started")[0]
    assert said.args == ("c2",)
    assert said.of != harness.external_id(CUSTOMER)
    stranger = harness.task(CUSTOMER, start, id_="e3")
    stranger.customer = Address(address="vnobody")
    with pytest.raises(ChannelError, match="not here"):
        await harness.channel.perform(stranger)


async def test_a_chat_has_no_leg_to_bring_up(harness: WebChatHarness) -> None:
    join = ConnectAgent(channel="chat", contact=ContactId("c1"), reservation=ReservationId("r1"),
                        agent=AgentId("ana"), deadline_at_us=1)  # fmt: skip
    await harness.channel.perform(harness.task(CUSTOMER, join))
    await harness.signal.until(lambda: bool(harness.router.said("connected")))
    await harness.browser(CUSTOMER).until("joined")


async def test_a_visitor_who_is_served_is_not_told_to_wait(harness: WebChatHarness) -> None:
    harness.router.taken_as = Receipt(contact="", state="active", position=0, wait_us=0)
    places = len(harness.browser(CUSTOMER).of("place"))
    await harness.write(CUSTOMER, "anybody there?", "m2")
    await harness.browser(CUSTOMER).until("joined")
    assert len(harness.browser(CUSTOMER).of("place")) == places


async def test_an_effect_for_a_contact_that_is_not_of_this_site_fails(
    harness: WebChatHarness,
) -> None:
    task = harness.task(CUSTOMER, deliver(), text="?")
    task.external_id = "SIP/4711"
    with pytest.raises(ChannelError, match="not of this site"):
        await harness.channel.perform(task)


def treat(kind: str, text: str = "", position: int = 0, wait_us: int = -1) -> TreatContact:
    return TreatContact(channel="chat", contact=ContactId("c1"), kind=kind, text=text,
                        position=position, wait_us=wait_us)  # fmt: skip


def farewell() -> EndContact:
    return EndContact(channel="chat", contact=ContactId("c1"), outcome="completed", text="Bye.")


def question(timeout_us: int = 10_000_000) -> CollectFromContact:
    return CollectFromContact(
        channel="chat", contact=ContactId("c1"), name="topic", prompt="What is it about?",
        choices={"1": "Billing", "2": "Repairs"}, timeout_us=timeout_us,
    )  # fmt: skip
