"""The XMPP component against a real prosody, with a client library as the customers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from adapters.xmpp import Xmpp
from adapters.xmpp.receipts import ONE_BURST
from router.channel import (
    Address,
    ChannelError,
    ChannelLost,
    OutcomeUnknown,
    Overloaded,
    Refused,
    StoreFull,
    UnknownOutcome,
)
from router.errors import ConfigError
from router.testing.adapter_harness import (
    AskingHarness,
    FailingHarness,
    RouterDouble,
    Signal,
    TypingHarness,
)
from router.testing.conformance import (
    CUSTOMER,
    OTHER,
    STRANGE,
    FailureSuite,
    Harness,
    LeaveSuite,
    TextSuite,
    connect,
    deliver,
)
from router.testing.conformance_talk import AskingSuite, TypingSuite
from tests.adapters.prosody import DOMAIN, PROSODY, SECRET, Client, Prosody

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(PROSODY is None, reason="prosody is not installed"),
]

SUPPORT = f"support@{DOMAIN}"
USERS = {"fail": "gone-home", "unknown": "frozen", "lost": "cut-off", "busy": "not an address"}

# The customers' library tells who they are, in this process.
logging.getLogger("slixmpp.features").setLevel(logging.WARNING)


class XmppHarness(FailingHarness, AskingHarness, TypingHarness):
    def __init__(self, prosody: Prosody, **change: Any) -> None:
        self.router = RouterDouble(Signal())
        self.signal = self.router.signal
        self.prosody = prosody
        self.clients: dict[str, Client] = {}
        file = prosody.folder / "secret"
        file.write_text(SECRET)
        file.chmod(0o600)
        settings = {
            "jid": DOMAIN, "secret_file": str(file), "port": self.prosody.component,
            "waiting": 30, "answer_s": 3.0, "patience_s": 0.6, "connect_s": 20.0, **change,
        }  # fmt: skip
        self.channel = self.xmpp = Xmpp("jabber", settings, self.router)
        self._run: asyncio.Task[None] | None = None

    async def __aenter__(self) -> XmppHarness:
        if not self.prosody.is_running:
            await self.prosody.start()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.prosody.thaw()
        for client in self.clients.values():
            await client.close()
        await self.stop()

    async def start(self) -> None:
        before = len(self.router.states)
        self._run = asyncio.get_running_loop().create_task(self.xmpp.run())
        await self.signal.until(lambda: "up" in self.router.states[before:])

    async def stop(self) -> None:
        assert self._run is not None
        self._run.cancel()
        with suppress(asyncio.CancelledError, ChannelLost):
            await self._run

    async def lost(self) -> ChannelLost:
        assert self._run is not None
        with pytest.raises(ChannelLost) as error:
            await asyncio.wait_for(self._run, 30)
        return error.value

    async def client(self, who: str, resource: str = "phone") -> Client:
        client = self.clients.get(f"{who}/{resource}")
        if client is None:
            client = Client(who, self.prosody.c2s, self.signal, resource)
            self.clients[f"{who}/{resource}"] = client
        if not client.online.is_set():
            await client.open()
        return client

    def is_of(self, who: str, customer: Address) -> bool:
        return customer.address == f"{who}@localhost"

    def external_id(self, who: str) -> str:
        return next(id_ for id_, c in self.router.contacts.items() if self.is_of(who, c.customer))

    async def arrive(self, who: str, text: str = "hello", *, again: bool = False) -> str:
        told = await self.write(who, text, "first")
        if who == USERS["fail"]:
            await self.clients[f"{who}/phone"].close()
        elif who == USERS["unknown"]:
            self.prosody.freeze()
        elif who == USERS["lost"]:
            self.prosody.kill()
        return told

    async def write(self, who: str, text: str, message_id: str) -> str:
        return await (await self.client(who)).say(SUPPORT, text, message_id)

    async def leave(self, who: str) -> None:
        (await self.client(who)).show(SUPPORT, "gone")

    def read(self, who: str) -> list[str]:
        clients = [c for name, c in self.clients.items() if name.startswith(f"{who}/")]
        return [text for client in clients for _, text in client.got]

    def troubled(self, word: str) -> str:
        return USERS[word]

    async def back(self) -> None:
        await self.lost()
        await self.prosody.start()
        await self.start()

    async def stall(self) -> int:
        self.prosody.freeze()
        return 30

    def held(self) -> int:
        return self.xmpp.held

    def asked(self, who: str) -> list[str]:
        lines = [text.partition("\n") for text in self.read(who)]
        return [prompt for prompt, menu, _ in lines if menu]

    async def answer(self, who: str, value: str) -> None:
        assert await self.write(who, value, f"answer-{value}") == ""

    def typed(self, who: str) -> int:
        return self.clients[f"{who}/phone"].states.count("composing")


@pytest.fixture(scope="module")
def prosody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prosody]:
    """One server for all; who has killed it, or finds it killed, starts it again."""
    made = Prosody(tmp_path_factory.mktemp("xmpp"))
    for user in (CUSTOMER, OTHER, "+4930900300", *USERS.values()):
        made.add(user)
    yield made
    made.kill()


@pytest.fixture
async def harness(prosody: Prosody) -> AsyncIterator[XmppHarness]:
    async with XmppHarness(prosody) as harness:
        yield harness


class TestXmpp(TextSuite, LeaveSuite, FailureSuite, AskingSuite, TypingSuite):
    """The suites, over a real server."""

    async def test_any_text_comes_through_both_ways(self, harness: Harness) -> None:
        """All but what XML 1.0 has no letters for: that is replaced, and ends no stream."""
        possible = STRANGE.replace("\x01", "") + "\t\nend"
        await harness.arrive(CUSTOMER, possible)
        for number, text in enumerate((possible, "a\x00\x01\ud800\ufffe\r\nb"), 1):
            task = harness.task(CUSTOMER, deliver(number), id_=f"e{number}", text=text)
            await harness.channel.perform(task)
        await harness.signal.until(lambda: len(harness.read(CUSTOMER)) == 2)
        assert list(harness.router.messages.values()) == [possible]
        assert harness.read(CUSTOMER) == [possible, "a\ufffd\ufffd\ufffd\ufffd\nb"]


# -- what comes in -----------------------------------------------------------------------------


async def test_addresses_are_one_however_they_are_written(harness: XmppHarness) -> None:
    phone, desk = await harness.client(CUSTOMER), await harness.client(CUSTOMER, "desk")
    await phone.say(f"Support@{DOMAIN.upper()}/x", "one", "m1")
    await desk.say(SUPPORT, "two", "m1")
    assert len(harness.router.contacts) == 1
    assert list(harness.router.messages.values()) == ["one", "two"]
    [contact] = harness.router.contacts.values()
    assert (contact.customer.address, contact.to) == (f"{CUSTOMER}@localhost", SUPPORT)


async def test_our_addresses_are_entry_points_of_their_own(harness: XmppHarness) -> None:
    client = await harness.client(CUSTOMER)
    await client.say(SUPPORT, "one", "m1")
    await client.say(f"sales@{DOMAIN}", "two", "m2")
    assert [c.to for c in harness.router.contacts.values()] == [SUPPORT, f"sales@{DOMAIN}"]
    task = harness.task(CUSTOMER, deliver(), text="hi")
    task.our_address = f"sales@{DOMAIN}"
    await harness.channel.perform(task)
    await harness.signal.until(lambda: bool(client.got))
    assert client.froms == [f"sales@{DOMAIN}"]


async def test_a_message_is_acknowledged_only_when_it_is_durable(harness: XmppHarness) -> None:
    gate = harness.router.gates["message"] = asyncio.Event()
    client = await harness.client(CUSTOMER)
    saying = asyncio.get_running_loop().create_task(client.say(SUPPORT, "hello", "m1"))
    await harness.signal.until(lambda: bool(harness.router.said("message")))
    await asyncio.wait([saying], timeout=0.1)
    assert client.received == []
    gate.set()
    assert await saying == ""


async def test_an_overloaded_router_is_wait_and_a_refusal_is_for_good(
    harness: XmppHarness,
) -> None:
    harness.router.fail("message", Overloaded("full", 0.01), Refused("closed", "no"))
    client = await harness.client(CUSTOMER)
    assert await client.say(SUPPORT, "hello", "m1") == "wait resource-constraint"
    assert await client.say(SUPPORT, "hello", "m1") == "modify not-acceptable"
    assert await client.say(SUPPORT, "hello", "m1") == ""
    assert len(harness.router.messages) == 1


async def test_an_id_that_a_client_uses_again_for_other_words_is_another_message(
    harness: XmppHarness,
) -> None:
    client = await harness.client(CUSTOMER)
    for text in ("one", "two", "two"):
        assert await client.say(SUPPORT, text, "purple1") == ""
    assert list(harness.router.messages.values()) == ["one", "two"]


async def test_who_writes_too_fast_is_told_to_wait(prosody: Prosody) -> None:
    async with XmppHarness(prosody, per_s=0.01, burst=3) as harness:
        client = await harness.client(CUSTOMER)
        told = [await client.say(SUPPORT, f"{n}", f"m{n}") for n in range(5)]
        assert told == ["", "", "", "wait resource-constraint", "wait resource-constraint"]
        other = await harness.client(OTHER)
        assert await other.say(SUPPORT, "hello", "m1") == ""


async def test_more_than_waits_for_the_router_is_refused_and_the_rest_is_in_order(
    prosody: Prosody,
) -> None:
    async with XmppHarness(prosody, incoming=4) as harness:
        gate = harness.router.gates["message"] = asyncio.Event()
        client = await harness.client(CUSTOMER)
        saying = [
            asyncio.get_running_loop().create_task(client.say(SUPPORT, f"{n}", f"m{n}"))
            for n in range(7)
        ]
        await harness.signal.until(lambda: len(client.errors) == 3)
        gate.set()
        assert sorted(await asyncio.gather(*saying)) == [""] * 4 + ["wait resource-constraint"] * 3
        assert list(harness.router.messages.values()) == ["0", "1", "2", "3"]


async def test_who_writes_while_too_much_is_under_way_is_served_afterwards(
    prosody: Prosody,
) -> None:
    async with XmppHarness(prosody, incoming=1) as harness:
        gate = harness.router.gates["message"] = asyncio.Event()
        first, client = await harness.client(OTHER), await harness.client(CUSTOMER)
        before = asyncio.get_running_loop().create_task(first.say(SUPPORT, "first", "m1"))
        await harness.signal.until(lambda: len(harness.router.said("message")) == 1)
        assert await client.say(SUPPORT, "hello", "m1") == "wait resource-constraint"
        gate.set()
        assert await before == ""
        async with asyncio.timeout(30):
            while await client.say(SUPPORT, "hello", "m2"):
                pass
        assert list(harness.router.messages.values()) == ["first", "hello"]


async def test_files_are_listed_and_other_stanzas_are_no_messages(harness: XmppHarness) -> None:
    client = await harness.client(CUSTOMER)
    url = "https://files.example/a.jpg"
    for kind in ("groupchat", "headline", "error"):
        client.raw("<body>no</body>", to=SUPPORT, type=kind, id="x1")
    client.raw("<subject>no body</subject>", to=SUPPORT, id="x2")
    client.raw("<received xmlns='urn:xmpp:receipts' id='nothing/ofours'/>", to=SUPPORT, id="x3")
    client.raw("<x xmlns='jabber:x:oob'><url>" + url + "</url></x>", to=SUPPORT, type="chat")
    await harness.signal.until(lambda: bool(harness.router.said("message")))
    [said] = harness.router.said("message")
    assert said.args[0].message.attachments == ({"url": url},)
    assert said.args[0].message.text == ""


async def test_questions_about_us_are_answered(harness: XmppHarness) -> None:
    client = await harness.client(CUSTOMER)
    features = await client.plugin["xep_0030"].get_info(jid=SUPPORT)
    assert {"urn:xmpp:receipts", "http://jabber.org/protocol/chatstates"} <= set(
        features["disco_info"]["features"]
    )
    assert await client.plugin["xep_0199"].ping(SUPPORT, timeout=30) is not None
    client.send_presence_subscription(pto=SUPPORT)
    await harness.signal.until(lambda: len(client.presences) >= 2)
    assert {SUPPORT} == {who for _, who in client.presences if who.startswith("support")}
    unknown = client.make_iq_get(queryxmlns="jabber:iq:nothing", ito=SUPPORT)
    with pytest.raises(Exception, match="service-unavailable"):
        await unknown.send(timeout=30)


async def test_a_customer_who_types_is_shown_to_the_agent_once_there_is_a_contact(
    harness: XmppHarness,
) -> None:
    client = await harness.client(CUSTOMER)
    client.show(SUPPORT, "composing")
    await client.say(SUPPORT, "hello", "m1")
    assert harness.router.said("typing") == []
    client.show(SUPPORT, "composing")
    await harness.signal.until(lambda: bool(harness.router.said("typing")))
    assert harness.router.said("typing")[0].of == harness.external_id(CUSTOMER)


async def test_who_has_gone_while_nothing_can_be_saved_is_told_of_whenever_it_can(
    harness: XmppHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    harness.router.fail("left", *[Overloaded("no store", retry_after_s=0.01)] * 3)
    await harness.leave(CUSTOMER)
    await harness.signal.until(lambda: len(harness.router.said("left")) == 4)


async def test_a_client_that_knows_no_chat_states_gets_none(harness: XmppHarness) -> None:
    client = await harness.client(CUSTOMER)
    await client.say(SUPPORT, "hello", "m1", state="")
    harness.channel.agent_typing(harness.external_id(CUSTOMER))
    await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="hi"))
    await harness.signal.until(lambda: bool(client.got))
    assert "composing" not in client.states


# -- what goes out -----------------------------------------------------------------------------


async def test_the_clients_receipt_is_told_and_a_message_that_comes_back_later(
    harness: XmppHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, deliver(7), text="hi"))
    await harness.signal.until(lambda: bool(harness.router.said("receipt")))
    [said] = harness.router.said("receipt")
    assert (said.of, *said.args) == ("c1", "m7", "delivered", "")
    client = await harness.client(CUSTOMER)
    bounce = (
        "<error type='cancel'><remote-server-timeout "
        "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    )
    client.raw(bounce, to=SUPPORT, type="error", id="c1/m8")
    await harness.signal.until(lambda: len(harness.router.said("receipt")) == 2)
    said = harness.router.said("receipt")[1]
    assert (said.of, *said.args) == ("c1", "m8", "undelivered", "remote-server-timeout")


async def test_a_receipt_is_said_until_the_router_has_taken_it(harness: XmppHarness) -> None:
    await harness.arrive(CUSTOMER)
    harness.router.fail("receipt", StoreFull("full"), OutcomeUnknown("?"), StoreFull("full"))
    await harness.channel.perform(harness.task(CUSTOMER, deliver(7), text="hi"))
    await harness.signal.until(lambda: len(harness.router.said("receipt")) == 4)


async def test_made_up_receipts_cost_the_router_little_and_hide_no_true_one(
    harness: XmppHarness,
) -> None:
    flooder, client = await harness.client(OTHER), await harness.client(CUSTOMER)
    await harness.arrive(CUSTOMER)
    for number in range(500):
        received = f"<received xmlns='urn:xmpp:receipts' id='c1/x{number}'/>"
        flooder.raw(received, to=SUPPORT)
    assert await flooder.say(SUPPORT, "hello", "m1") == ""  # all of them were heard by then
    await harness.channel.perform(harness.task(CUSTOMER, deliver(7), text="hi"))
    await harness.signal.until(lambda: "m7" in [s.args[0] for s in harness.router.said("receipt")])
    made_up = [s for s in harness.router.said("receipt") if s.args[0] != "m7"]
    assert ONE_BURST <= len(made_up) < 300  # and one a second more, on a slow machine too
    # One of a message that went to somebody else, and the true one again: nothing new.
    flooder.raw("<received xmlns='urn:xmpp:receipts' id='c1/m7'/>", to=SUPPORT)
    client.raw("<received xmlns='urn:xmpp:receipts' id='c1/m7'/>", to=SUPPORT)
    assert await flooder.say(SUPPORT, "bye", "m2") == ""
    assert await client.say(SUPPORT, "bye", "m2") == ""
    assert len([s for s in harness.router.said("receipt") if s.args[0] == "m7"]) == 1


async def test_a_customer_without_a_server_or_an_account_is_a_failure(
    harness: XmppHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    for number, address in enumerate(("nobody@localhost", "a@b@c", "")):
        task = harness.task(CUSTOMER, deliver(number), id_=f"e{number}", text="hi")
        task.customer = Address(address=address)
        with pytest.raises(ChannelError) as error:
            await harness.channel.perform(task)
        assert not isinstance(error.value, UnknownOutcome)
        assert "nobody" not in str(error.value)


async def test_a_thread_has_no_leg_that_must_come_up(harness: XmppHarness) -> None:
    await harness.arrive(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, connect("")))
    await harness.signal.until(lambda: bool(harness.router.said("connected")))


async def test_the_server_dies_under_traffic_and_nothing_arrives_twice(prosody: Prosody) -> None:
    async with XmppHarness(prosody, patience_s=10.0, answer_s=3.0) as harness:
        await harness.arrive(CUSTOMER)
        client = await harness.client(CUSTOMER)
        outcomes: dict[str, str] = {}

        async def send(lane: int) -> None:
            for number in range(lane, 240, 6):
                text = f"answer {number}"
                task = harness.task(CUSTOMER, deliver(number), id_=f"e{number}", text=text)
                try:
                    await harness.channel.perform(task)
                    outcomes[text] = "done"
                except UnknownOutcome:
                    outcomes[text] = "unknown"

        async with asyncio.TaskGroup() as group:
            for lane in range(6):
                group.create_task(send(lane))
            await harness.signal.until(lambda: len(client.got) > 60)
            harness.prosody.kill()
            await harness.lost()
            await harness.prosody.start()
            await client.open()
            await harness.start()
        done = {text for text, outcome in outcomes.items() if outcome == "done"}
        await harness.signal.until(lambda: done <= set(harness.read(CUSTOMER)))
        got = harness.read(CUSTOMER)
        assert len(got) == len(set(got)), "something arrived twice"
        assert len(outcomes) == 240
        unknown = set(outcomes) - done
        assert len(unknown) <= 6, "only what was under way when it died"
        assert done <= set(got), "accepted, and lost with the server"


async def test_a_frozen_server_is_noticed_and_left(prosody: Prosody) -> None:
    async with XmppHarness(prosody, alive_s=0.2, answer_s=0.3) as harness:
        harness.prosody.freeze()
        assert "does not answer" in str(await harness.lost())
        harness.prosody.thaw()
        await harness.start()
        assert await harness.arrive(CUSTOMER) == ""


async def test_a_wrong_secret_and_a_second_component_are_stream_errors(prosody: Prosody) -> None:
    async with XmppHarness(prosody) as harness:
        other = Xmpp("other", harness.xmpp.settings, RouterDouble(Signal()))
        other._secret = "wrong"
        with pytest.raises(ChannelLost, match="not-authorized"):
            await other.run()
        second = Xmpp("second", harness.xmpp.settings, RouterDouble(Signal()))
        with pytest.raises(ChannelLost, match="conflict"):
            await second.run()
        assert harness.router.states[-1] == "up"
        assert await harness.arrive(CUSTOMER) == ""


async def test_nobody_there_is_told_within_the_time(prosody: Prosody) -> None:
    async with XmppHarness(prosody, connect_s=0.4) as harness:
        harness.prosody.kill()
        await harness.lost()
        with pytest.raises(ChannelLost, match="cannot be reached"):
            await asyncio.wait_for(harness.xmpp.run(), 30)


async def test_stanzas_that_are_no_xml_end_the_stream_and_quote_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "my secret is 4711"

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b">")
        writer.write(
            b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
            b"xmlns:stream='http://etherx.jabber.org/streams' id='s1' from='care.localhost'>"
        )
        await reader.readuntil(b"</handshake>")
        writer.write(b"<handshake/>")
        await reader.readuntil(b"</message>")  # the echo
        writer.write(f"<message from='a@b' <body>{secret}</message>".encode())
        with suppress(OSError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(lie, "127.0.0.1", 0)
    file = tmp_path / "secret"
    file.write_text("x")
    file.chmod(0o600)
    port = server.sockets[0].getsockname()[1]
    settings = {"jid": DOMAIN, "secret_file": str(file), "port": port, "answer_s": 2.0}
    try:
        with pytest.raises(ChannelLost):
            await asyncio.wait_for(Xmpp("x", settings, RouterDouble(Signal())).run(), 30)
    finally:
        server.close()
    lines = " ".join(f"{record.getMessage()} {record.exc_text}" for record in caplog.records)
    assert "4711" not in lines


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"jid": "support@care"}, "jid: expected a domain"),
        ({"port": 0}, "port: expected"),
        ({"answer_s": 12.0, "patience_s": 12.0}, "at most 19"),
        ({"waiting": 0}, "waiting"),
    ],
)
def test_wrong_settings_say_what_was_expected(
    tmp_path: Path, change: dict[str, Any], finding: str
) -> None:
    file = tmp_path / "secret"
    file.write_text("x")
    file.chmod(0o600)
    good = {"jid": DOMAIN, "secret_file": str(file)}
    Xmpp("x", good, RouterDouble(Signal()))
    with pytest.raises(ConfigError) as error:
        Xmpp("x", good | change, RouterDouble(Signal()))
    assert finding in error.value.findings[0]
