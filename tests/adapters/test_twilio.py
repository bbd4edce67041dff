"""The messaging account passes the suites, and what is sent and told is counted at the provider."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from adapters.twilio import Twilio, routes
from router.channel import (
    Address,
    ChannelError,
    ChannelLost,
    EndContact,
    OutcomeUnknown,
    Overloaded,
    StartContact,
    StoreFull,
    Task,
    TreatContact,
    UnknownOutcome,
)
from router.core.model import ContactId
from router.errors import ConfigError, Refused
from router.testing.adapter_harness import AskingHarness, FailingHarness, RouterDouble, Signal
from router.testing.conformance import CUSTOMER, FailureSuite, TextSuite, connect, deliver
from router.testing.conformance_talk import AskingSuite, question
from tests.adapters.twilio_provider import ACCOUNT, PUBLIC, TOKEN, Provider

OURS = "+4930555300"
TROUBLED = {
    "fail": "+4930900901",
    "unknown": "+4930900902",
    "lost": "+4930900903",
    "busy": "anonymous",
}


class TwilioHarness(FailingHarness, AskingHarness):
    def __init__(
        self, folder: Path, router: RouterDouble | None = None, provider: Provider | None = None,
        **settings: Any,
    ) -> None:  # fmt: skip
        self.router = router or RouterDouble(Signal())
        self.signal = self.router.signal
        self.provider = provider or Provider(self.signal)
        self.provider.modes |= {TROUBLED["fail"]: "refused", TROUBLED["unknown"]: "silent"}
        self._folder = folder
        self._settings = settings
        self._run: asyncio.Task[None] | None = None

    async def __aenter__(self) -> TwilioHarness:
        await self.provider.start()
        token = self._folder / "token"
        token.write_text(f"{TOKEN}\n")
        token.chmod(0o600)
        settings = {
            "account": ACCOUNT, "token_file": str(token), "public_url": PUBLIC, "sender": OURS,
            "api_url": self.provider.url, "timeout_s": 2.0, "resolve_s": 1.0, "patience_s": 2.0,
            "waiting": 30, **self._settings,
        }  # fmt: skip
        self.channel = self.twilio = Twilio("texts", settings, self.router)
        app, inner = web.Application(client_max_size=1 << 20), web.Application()
        inner.add_routes(routes(self.twilio))
        app.add_subapp("/v1/twilio/texts", inner)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.provider.hook = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self._runner.cleanup()
        await self.provider.stop()

    async def start(self) -> None:
        before = len(self.router.states)
        self._run = asyncio.get_running_loop().create_task(self.twilio.run())
        await self.signal.until(lambda: "up" in self.router.states[before:])

    async def stop(self) -> None:
        assert self._run is not None
        self._run.cancel()
        with suppress(asyncio.CancelledError, ChannelLost):
            await self._run

    async def lost(self) -> None:
        """Until `run` has ended because the provider is gone."""
        assert self._run is not None
        with pytest.raises(ChannelLost):
            await asyncio.wait_for(self._run, 30)

    async def arrive(self, who: str, text: str = "hello", *, again: bool = False) -> str:
        told = await self.write(who, text, "first")
        if who == TROUBLED["lost"]:
            await self.provider.kill()
        return told

    async def write(self, who: str, text: str, message_id: str) -> str:
        sid = f"SM-{who}-{message_id}"
        status, body = await self.provider.text_in(who, OURS, text, sid)
        return "" if status == 200 else f"{status} {body}"

    async def leave(self, who: str) -> None:
        raise NotImplementedError("a text message cannot leave")

    def read(self, who: str) -> list[str]:
        return self.provider.to(who)

    def external_id(self, who: str) -> str:
        """The contact's: a message that joins it has an id of its own."""
        contacts = self.router.contacts.items()
        return next(id_ for id_, contact in contacts if contact.customer.address == who)

    def troubled(self, word: str) -> str:
        return TROUBLED[word]

    async def back(self) -> None:
        await self.lost()
        await self.provider.start()
        await self.start()

    async def stall(self) -> int:
        self.provider.is_stalled = True
        return 30

    def held(self) -> int:
        return self.twilio.sender.held

    def asked(self, who: str) -> list[str]:
        lines = [text.partition("\n") for text in self.read(who)]
        return [prompt for prompt, menu, _ in lines if menu]

    async def answer(self, who: str, value: str) -> None:
        assert await self.write(who, value, f"answer-{value}") == ""


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[TwilioHarness]:
    async with TwilioHarness(tmp_path) as harness:
        yield harness


class TestTwilio(TextSuite, FailureSuite, AskingSuite):
    """The suites, over real HTTP."""


def start_of(address: str, contact: str = "c7") -> Task:
    effect = StartContact(channel="sms", contact=ContactId(contact))
    return Task(id=f"s-{contact}", epoch=1, workspace="main", effect=effect, external_id="",
                customer=Address(address=address), our_address=OURS)  # fmt: skip


# -- what comes in -----------------------------------------------------------------------------


async def test_a_picture_message_is_a_message_with_attachments_that_nobody_has_fetched(
    harness: TwilioHarness,
) -> None:
    media = {"MediaUrl0": "https://api.example/m/1", "MediaContentType0": "image/jpeg",
             "MediaUrl1": "javascript:alert(1)", "NumMedia": "2"}  # fmt: skip
    status, _ = await harness.provider.text_in(CUSTOMER, OURS, "", "MM1", **media)
    assert status == 200
    [said] = harness.router.said("message")
    assert said.args[0].message.attachments == (
        {"url": "https://api.example/m/1", "content_type": "image/jpeg"},
    )


async def test_whatsapp_comes_from_a_number_and_is_answered_on_whatsapp(
    harness: TwilioHarness,
) -> None:
    ours = f"whatsapp:{OURS}"
    await harness.provider.text_in(f"whatsapp:{CUSTOMER}", ours, "hi", "SM1", ProfileName="Ada")
    [said] = harness.router.said("message")
    assert said.args[0].customer == Address(address=CUSTOMER, name="Ada")
    await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="hello Ada"))
    [sent] = harness.provider.messages
    assert (sent["to"], sent["from"]) == (f"whatsapp:{CUSTOMER}", ours)


async def test_an_overloaded_router_is_503_with_the_time_to_come_back(
    harness: TwilioHarness,
) -> None:
    harness.router.fail("message", Overloaded("full", 3.2))
    status, _ = await harness.provider.text_in(CUSTOMER, OURS, "hi", "SM1")
    assert status == 503
    assert await harness.arrive(CUSTOMER) == ""


async def test_it_is_answered_only_when_it_is_durable(harness: TwilioHarness) -> None:
    gate = harness.router.gates["message"] = asyncio.Event()
    call = asyncio.get_running_loop().create_task(harness.arrive(CUSTOMER))
    await harness.signal.until(lambda: bool(harness.router.said("message")))
    await asyncio.wait([call], timeout=0.05)
    assert not call.done()
    gate.set()
    assert await call == ""


async def test_a_body_too_large_is_not_read(harness: TwilioHarness) -> None:
    status, _ = await harness.provider.text_in(CUSTOMER, OURS, "x" * 300_000, "SM1")
    assert status == 413


async def test_a_flood_is_told_to_slow_down(tmp_path: Path) -> None:
    async with TwilioHarness(tmp_path, per_s=0.1, burst=3) as harness:
        answers = [
            (await harness.provider.text_in(CUSTOMER, OURS, "hi", f"SM{n}"))[0] for n in range(5)
        ]
        assert answers == [200, 200, 200, 429, 429]


async def test_a_flood_of_forged_calls_takes_nothing_from_the_genuine_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with TwilioHarness(tmp_path, per_s=0.1, burst=3) as harness:
        params = {"MessageSid": "SM1", "From": CUSTOMER, "To": OURS, "Body": "hi"}
        for _ in range(20):
            assert (await harness.provider.call(f"{PUBLIC}/incoming", params, "forged"))[0] == 403
        assert await harness.arrive(CUSTOMER) == ""
        assert len([r for r in caplog.records if "not signed" in r.getMessage()]) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"Body": "changed"},
        {"Added": "1"},
        {"AccountSid": "AC00000000000000000000000000000002"},
    ],
)
async def test_a_changed_webhook_is_refused_and_says_nothing_to_the_router(
    harness: TwilioHarness, change: dict[str, str]
) -> None:
    from twilio.request_validator import RequestValidator

    params = {"MessageSid": "SM1", "From": CUSTOMER, "To": OURS, "Body": "hi"}
    url = f"{PUBLIC}/incoming"
    good = RequestValidator(TOKEN).compute_signature(url, params)
    assert (await harness.provider.call(url, params | change, good))[0] == 403
    assert (await harness.provider.call(url, params, ""))[0] == 403
    assert (await harness.provider.call(url, params, "ü"))[0] == 403
    other = RequestValidator("another token").compute_signature(url, params)
    assert (await harness.provider.call(url, params, other))[0] == 403
    assert harness.router.said("message") == []
    assert (await harness.provider.call(url, params, good))[0] == 200


async def test_the_host_header_decides_nothing(harness: TwilioHarness) -> None:
    from twilio.request_validator import RequestValidator

    params = {"MessageSid": "SM1", "From": CUSTOMER, "To": OURS, "Body": "hi"}
    forged = RequestValidator(TOKEN).compute_signature("https://evil.example/incoming", params)
    url = f"{PUBLIC}/incoming"
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    assert (await harness.provider.call(url, params, forged, **headers))[0] == 403
    assert (await harness.provider.call(url, params, **headers))[0] == 200


async def test_a_message_signed_for_the_state_callback_is_no_message(
    harness: TwilioHarness,
) -> None:
    from twilio.request_validator import RequestValidator

    params = {"MessageSid": "SM1", "From": CUSTOMER, "To": OURS, "Body": "hi"}
    signed = RequestValidator(TOKEN).compute_signature(f"{PUBLIC}/status", params)
    assert (await harness.provider.call(f"{PUBLIC}/incoming", params, signed))[0] == 403


async def test_a_json_body_is_taken_by_its_hash_in_the_signed_query(
    harness: TwilioHarness,
) -> None:
    from twilio.request_validator import RequestValidator

    oracle = RequestValidator(TOKEN)
    fields = {"MessageSid": "SM1", "From": CUSTOMER, "To": OURS, "Body": "Grüße"}
    body = json.dumps(fields)
    url = f"{PUBLIC}/incoming?bodySHA256={oracle.compute_hash(body)}"
    headers = {"Content-Type": "application/json",
               "X-Twilio-Signature": oracle.compute_signature(url, {})}  # fmt: skip
    there = url.replace("https://router.example.com", harness.provider.hook)
    async with aiohttp.ClientSession(headers=headers) as session:
        for data, status in ((body + " ", 403), (body, 200), (body, 200)):
            async with session.post(there, data=data.encode()) as answer:
                assert answer.status == status
        async with session.post(there.partition("?")[0], data=body.encode()) as answer:
            assert answer.status == 403
    assert list(harness.router.messages.values()) == ["Grüße"]


async def test_garbage_that_is_signed_is_a_bad_request(harness: TwilioHarness) -> None:
    assert (await harness.provider.call(f"{PUBLIC}/incoming", {"Body": "no ids"}))[0] == 400
    assert (await harness.provider.call(f"{PUBLIC}/status", {"Body": "no ids"}))[0] == 400


# -- what goes out -----------------------------------------------------------------------------


async def test_what_is_refused_is_said_in_words_and_without_the_number(
    harness: TwilioHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    harness.provider.modes[CUSTOMER] = "stopped"
    with pytest.raises(ChannelError, match="STOP") as error:
        await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="hi"))
    assert not isinstance(error.value, UnknownOutcome)
    assert CUSTOMER not in str(error.value)
    harness.provider.modes[CUSTOMER] = "refused"
    with pytest.raises(ChannelError, match="21211") as error:
        await harness.channel.perform(harness.task(CUSTOMER, deliver(2), id_="e2", text="hi"))
    assert CUSTOMER not in str(error.value)


async def test_a_limited_rate_is_waited_for(harness: TwilioHarness) -> None:
    await harness.arrive(CUSTOMER)
    harness.provider.throttled = 2
    await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="hi"))
    assert harness.read(CUSTOMER) == ["hi"]
    harness.provider.throttled = 1_000
    with pytest.raises(ChannelError, match="rate") as error:
        await harness.channel.perform(harness.task(CUSTOMER, deliver(2), id_="e2", text="ho"))
    assert not isinstance(error.value, UnknownOutcome)
    assert harness.router.states[-1] == "up", "a limit is no failure"


@pytest.mark.parametrize("mode", ["cut", "garbage", "cut-and-called"])
async def test_a_lost_answer_is_found_out_about_and_nothing_is_sent_twice(
    harness: TwilioHarness, mode: str
) -> None:
    await harness.arrive(CUSTOMER)
    harness.provider.modes[CUSTOMER] = mode
    await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="once"))
    assert harness.read(CUSTOMER) == ["once"]
    assert harness.provider.asked["create"] == 1


async def test_an_equal_message_before_is_not_taken_for_the_one_that_was_lost(
    harness: TwilioHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="ok"))
    harness.provider.modes[CUSTOMER] = "silent"
    with pytest.raises(UnknownOutcome):
        await harness.channel.perform(harness.task(CUSTOMER, deliver(2), id_="e2", text="ok"))
    assert harness.read(CUSTOMER) == ["ok"]


async def test_a_provider_that_keeps_failing_is_left_in_peace_and_tried_again(
    harness: TwilioHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    harness.provider.modes[CUSTOMER] = "broken"
    harness.twilio.sender.breaker.pause_s = 60.0
    for number in range(5):
        task = harness.task(CUSTOMER, deliver(number), id_=f"e{number}", text="hi")
        with pytest.raises(UnknownOutcome):
            await harness.channel.perform(task)
    assert harness.router.states[-1] == "degraded"
    asked = harness.provider.asked["create"]
    with pytest.raises(ChannelError, match="nothing was sent") as error:
        await harness.channel.perform(harness.task(CUSTOMER, deliver(8), id_="e8", text="hi"))
    assert not isinstance(error.value, UnknownOutcome)
    assert harness.provider.asked["create"] == asked
    harness.twilio.sender.breaker.pause_s = harness.twilio.sender.breaker._next_s = 0.0
    del harness.provider.modes[CUSTOMER]
    async with asyncio.timeout(30):
        while harness.router.states[-1] != "up":  # one attempt each pause
            with suppress(ChannelError):
                task = harness.task(CUSTOMER, deliver(9), id_="e9", text="at last")
                await harness.channel.perform(task)
            await asyncio.sleep(0)
    assert harness.read(CUSTOMER) == ["at last"]


async def test_a_provider_that_dies_under_traffic_gets_everything_once(tmp_path: Path) -> None:
    async with TwilioHarness(tmp_path, patience_s=6.0, resolve_s=3.0) as harness:
        await harness.arrive(CUSTOMER)
        tasks = [
            harness.task(CUSTOMER, deliver(n), id_=f"e{n}", text=f"answer {n}") for n in range(60)
        ]
        outcomes: list[str] = []

        async def send(some: list[Task]) -> None:
            for task in some:
                try:
                    await harness.channel.perform(task)
                    outcomes.append("done")
                except UnknownOutcome:
                    outcomes.append("unknown")

        async with asyncio.TaskGroup() as group:
            for lane in range(6):
                group.create_task(send(tasks[lane::6]))
            await harness.signal.until(lambda: len(harness.provider.messages) > 12)
            await harness.provider.kill()
            await harness.back()
        sent = harness.read(CUSTOMER)
        assert len(sent) == len(set(sent)), "something was sent twice"
        assert len(outcomes) == 60
        assert len(sent) >= outcomes.count("done")
        # The list was asked: whatever had reached the provider is known to have.
        assert outcomes.count("unknown") <= 6
        assert len(sent) >= 54


async def test_a_long_text_goes_in_parts_that_are_delivered_together(
    harness: TwilioHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    text = " ".join(f"word{number}" for number in range(500))
    await harness.channel.perform(harness.task(CUSTOMER, deliver(), text=text))
    sent = harness.provider.messages
    assert "".join(harness.read(CUSTOMER)) == text
    assert len(sent) == 3
    for message in sent[1:]:
        assert await harness.provider.report(message["sid"], "delivered") == 204
    assert harness.router.said("receipt") == []
    assert await harness.provider.report(sent[0]["sid"], "delivered") == 204
    [said] = harness.router.said("receipt")
    assert (said.of, *said.args) == ("c1", "m1", "delivered", "")


async def test_when_a_later_part_is_refused_the_outcome_is_unknown(
    harness: TwilioHarness,
) -> None:
    await harness.arrive(CUSTOMER)

    async def stop_after_one() -> None:
        await harness.signal.until(lambda: len(harness.provider.messages) == 1)
        harness.provider.modes[CUSTOMER] = "stopped"

    async with asyncio.TaskGroup() as group:
        group.create_task(stop_after_one())
        with pytest.raises(UnknownOutcome, match="of 5 parts"):
            await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="x" * 8_000))


async def test_states_come_twice_and_out_of_order_and_the_last_word_is_told(
    harness: TwilioHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    for number in (1, 2):
        task = harness.task(CUSTOMER, deliver(number), id_=f"e{number}", text=f"t{number}")
        await harness.channel.perform(task)
    one, two = (message["sid"] for message in harness.provider.messages)
    for state in ("delivered", "sent", "queued", "delivered", "sending"):
        assert await harness.provider.report(one, state) == 204
    for _ in range(2):
        assert await harness.provider.report(two, "undelivered", 30003) == 204
    told = [(said.of, *said.args) for said in harness.router.said("receipt")]
    assert set(told) == {
        ("c1", "m1", "delivered", ""),
        ("c1", "m2", "undelivered", "30003: the handset cannot be reached"),
    }


async def test_a_receipt_is_answered_when_it_is_durable_or_means_nothing_any_more(
    harness: TwilioHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="hi"))
    [message] = harness.provider.messages
    harness.router.fail("receipt", Overloaded("full"), Refused("not_found", "no message"))
    assert await harness.provider.report(message["sid"], "delivered") == 503
    assert await harness.provider.report(message["sid"], "delivered") == 204
    assert await harness.provider.report(message["sid"], "delivered") == 204
    # Said by the provider three times; the first was kept, besides, and told by itself.
    assert len(harness.router.said("receipt")) in (3, 4)


async def test_a_state_that_the_provider_says_once_only_is_told_after_the_outage(
    harness: TwilioHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="hi"))
    [message] = harness.provider.messages
    harness.router.fail("receipt", StoreFull("full"), OutcomeUnknown("?"), StoreFull("full"))
    assert await harness.provider.report(message["sid"], "delivered") == 503
    await harness.signal.until(lambda: len(harness.router.said("receipt")) == 4)


async def test_after_a_restart_farewell_and_question_are_not_sent_again(tmp_path: Path) -> None:
    async with TwilioHarness(tmp_path) as harness:
        await harness.arrive(CUSTOMER)
        bye = EndContact(channel="sms", contact=ContactId("c1"), outcome="completed", text="Bye.")
        asks = harness.task(CUSTOMER, question("q1"))
        await harness.channel.perform(asks)
        farewell = harness.task(CUSTOMER, bye, id_="e2")
        await harness.channel.perform(farewell)
        before = list(harness.read(CUSTOMER))
        old = harness.twilio
        await harness.stop()
        harness.channel = harness.twilio = Twilio("texts", old.settings, harness.router)
        await harness.start()
        asks.id, farewell.id = "2-again-1", "2-again-2"
        await harness.channel.perform(asks)
        await harness.channel.perform(farewell)
        assert harness.read(CUSTOMER) == before
        assert len(before) == 2


async def test_a_position_costs_no_message(harness: TwilioHarness) -> None:
    await harness.arrive(CUSTOMER)
    place = TreatContact(channel="sms", contact=ContactId("c1"), kind="position", text="You are 3.")
    await harness.channel.perform(harness.task(CUSTOMER, place))
    assert harness.read(CUSTOMER) == []


async def test_a_text_has_no_leg_that_must_come_up(harness: TwilioHarness) -> None:
    await harness.arrive(CUSTOMER)
    await harness.channel.perform(harness.task(CUSTOMER, connect("")))
    await harness.signal.until(lambda: bool(harness.router.said("connected")))


async def test_credentials_that_are_refused_keep_it_down(tmp_path: Path) -> None:
    async with TwilioHarness(tmp_path) as harness:
        await harness.stop()
        harness.provider.token = "another"
        with pytest.raises(ChannelLost, match="token"):
            await harness.twilio.run()
        assert harness.router.states[-1] == "down"


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"public_url": "router.example.com"}, "public_url: expected https://host/path"),
        ({"public_url": f"{PUBLIC}/"}, "public_url: without query"),
        ({"account": "x"}, "account: expected AC"),
        ({"timeout_s": 15}, "timeout_s"),
        ({"api_key_id": "SK1"}, "api_key_id and api_key_file"),
        ({"tokn_file": "x"}, "did you mean 'token_file'"),
    ],
)
def test_wrong_settings_say_what_was_expected(
    tmp_path: Path, change: dict[str, Any], finding: str
) -> None:
    token = secret(tmp_path, "s")
    good = {"account": ACCOUNT, "token_file": token, "public_url": PUBLIC}
    Twilio("texts", good, RouterDouble(Signal()))
    with pytest.raises(ConfigError) as error:
        Twilio("texts", good | change, RouterDouble(Signal()))
    assert finding in error.value.findings[0]


@pytest.mark.parametrize(
    ("make", "finding"),
    [
        (lambda path: path.write_text(""), "is empty"),
        (lambda path: path.chmod(0o644), "may be read by others"),
        (lambda path: path.unlink(), "No such file"),
    ],
)
def test_a_token_file_that_is_no_secret_is_refused(
    tmp_path: Path, make: Callable[[Path], object], finding: str
) -> None:
    token = secret(tmp_path, "s")
    make(Path(token))
    with pytest.raises(ConfigError, match=finding):
        Twilio("texts", {"account": ACCOUNT, "token_file": token, "public_url": PUBLIC},
               RouterDouble(Signal()))  # fmt: skip


def secret(folder: Path, text: str) -> str:
    file = folder / "secret"
    file.write_text(text)
    file.chmod(0o600)
    return str(file)
