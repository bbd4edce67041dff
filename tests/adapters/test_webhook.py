"""Described backends pass the suites: Telegram and WhatsApp, by the shipped samples."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from adapters.webhook import Webhook
from router.channel import (
    Address,
    ChannelError,
    DeliverMessage,
    EndContact,
    Overloaded,
    Refused,
    Task,
    TreatContact,
    UnknownOutcome,
)
from router.core.model import ContactId
from router.errors import ConfigError
from router.testing.adapter_harness import RouterDouble, Signal
from router.testing.conformance import CUSTOMER, FailureSuite, TextSuite, connect, deliver
from router.testing.conformance_talk import AskingSuite, TypingSuite
from tests.adapters.documented import sample
from tests.adapters.webhook_harness import (
    Mounted,
    TelegramHarness,
    WhatsAppHarness,
    described,
)
from tests.adapters.whatsapp_server import OURS, VERIFY


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[TelegramHarness]:
    async with TelegramHarness(tmp_path) as harness:
        yield harness


@pytest.fixture
async def whatsapp(tmp_path: Path) -> AsyncIterator[WhatsAppHarness]:
    async with WhatsAppHarness(tmp_path) as harness:
        yield harness


class TestTelegram(TextSuite, FailureSuite, AskingSuite, TypingSuite):
    """The suites, by the sample of config/webhooks."""


# -- Telegram ----------------------------------------------------------------------------------


async def test_a_call_without_the_secret_says_nothing(harness: TelegramHarness) -> None:
    update = harness.server.update(1, "hi")
    assert (await harness.server.deliver(update, secret="another"))[0] == 403
    assert (await harness.server.deliver(update, secret=None))[0] == 403
    assert harness.router.said("message") == []


async def test_a_flood_of_forged_calls_takes_nothing_from_the_genuine_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with TelegramHarness(tmp_path, per_s=0.1, burst=2) as harness:
        for _ in range(20):
            assert (await harness.server.deliver({}, secret="another"))[0] == 403
        answers = [(await harness.server.deliver(harness.server.update(1, "hi")))[0] for _ in "123"]
        assert answers == [200, 200, 429]
        assert len([r for r in caplog.records if "not signed" in r.getMessage()]) == 3


async def test_files_captions_and_language_are_taken_out(harness: TelegramHarness) -> None:
    photo = [{"file_id": "small", "width": 90}, {"file_id": "large", "width": 900}]
    update = harness.server.update(7, None, caption="look", photo=photo)
    assert (await harness.server.deliver(update))[0] == 200
    [said] = harness.router.said("message")
    contact = said.args[0]
    assert contact.customer == Address(address="7", name="Ada")
    assert contact.attributes == {"language": "de"}
    assert contact.message.text == "look"
    assert contact.message.attachments == ({"kind": "photo", "ref": "large"},)


@pytest.mark.parametrize(
    "update",
    [
        {"update_id": 1, "edited_message": {"chat": {"id": 1}, "text": "x"}},
        {"update_id": 2, "message": {"chat": {"id": -100, "type": "supergroup"}, "text": "x"}},
        {"update_id": 3, "message": {"chat": {"type": "private"}, "text": "no id"}},
        {"update_id": None, "message": {"chat": {"id": 5, "type": "private"}, "text": "x"}},
        {"update_id": 4, "message": None},
        {"update_id": 5, "message": {"chat": {"id": [1], "type": "private"}, "text": "x"}},
        [],
        7,
    ],
)
async def test_what_is_no_message_is_taken_and_means_nothing(
    harness: TelegramHarness, update: Any
) -> None:
    assert (await harness.server.deliver(update))[0] == 200
    assert harness.router.said("message") == []


async def test_what_is_no_json_is_a_bad_request(harness: TelegramHarness) -> None:
    headers = {"X-Telegram-Bot-Api-Secret-Token": "A-secret_of_ours"}
    deep = b'{"message":' * 5_000 + b"1" + b"}" * 5_000
    async with aiohttp.ClientSession(headers=headers) as session:
        for body in (b"", b"{", b"\xff", deep, b'{"a": NaN}'):
            async with session.post(harness.server.hook, data=body) as answer:
                assert answer.status == 400, body[:20]
        async with session.post(harness.server.hook, data=io.BytesIO(b" " * 2_000_000)) as answer:
            assert answer.status == 413


async def test_a_message_that_can_never_be_taken_does_not_hold_back_the_next(
    tmp_path: Path,
) -> None:
    async with TelegramHarness(tmp_path, refused_status=200) as harness:
        harness.router.fail("message", Refused("too_long", "no"), Overloaded("full", 0.0))
        updates = [harness.server.update(7, text) for text in ("bad", "good", "last")]
        assert await harness.server.insist(updates) == 4
        assert list(harness.router.messages.values()) == ["good", "last"]


async def test_an_overloaded_router_is_503_with_the_time_to_come_back(
    harness: TelegramHarness,
) -> None:
    harness.router.fail("message", Overloaded("full", 3.2))
    headers = {"X-Telegram-Bot-Api-Secret-Token": "A-secret_of_ours"}
    update = json.dumps(harness.server.update(7, "hi"))
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(harness.server.hook, data=update) as answer,
    ):
        assert (answer.status, answer.headers["Retry-After"]) == (503, "4")


async def test_a_flood_limit_is_waited_for_as_long_as_the_backend_says(
    harness: TelegramHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    harness.server.flood = 1
    before = asyncio.get_running_loop().time()
    await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="hi"))
    assert asyncio.get_running_loop().time() - before >= 1
    assert harness.read(CUSTOMER) == ["hi"]


async def test_a_customer_who_has_blocked_us_is_a_failure_with_its_code(
    harness: TelegramHarness,
) -> None:
    await harness.arrive("900901")
    with pytest.raises(ChannelError, match=r"^403$") as error:
        await harness.channel.perform(harness.task("900901", deliver(), text="hi"))
    assert not isinstance(error.value, UnknownOutcome)


async def test_a_lost_answer_is_unknown_and_not_sent_again(harness: TelegramHarness) -> None:
    await harness.arrive("77")
    harness.server.modes[77] = "cut"
    with pytest.raises(UnknownOutcome):
        await harness.channel.perform(harness.task("77", deliver(), text="once"))
    assert harness.read("77") == ["once"]


async def test_a_backend_that_does_an_effect_only_once_is_asked_again(tmp_path: Path) -> None:
    async with TelegramHarness(tmp_path) as harness:
        send = harness.webhook.config.send
        config = {**described("telegram", harness.server.url, tmp_path)}
        config["send"] = {**config["send"], "repeats": True}
        assert send.repeats is False
        other = Mounted("telegram", config, harness.router)
        harness.server.hook = await other.open()
        try:
            await harness.arrive("77")
            harness.server.modes[77] = "cut"
            task = harness.task("77", deliver(), text="at least once")

            async def mend() -> None:
                await harness.signal.until(lambda: bool(harness.server.sent))
                del harness.server.modes[77]

            async with asyncio.TaskGroup() as group:
                group.create_task(mend())
                await other.webhook.perform(task)
            assert len(harness.read("77")) == 2
        finally:
            await other.close()


async def test_a_long_text_goes_in_parts(harness: TelegramHarness) -> None:
    await harness.arrive(CUSTOMER)
    text = "word " * 2_000
    await harness.channel.perform(harness.task(CUSTOMER, deliver(), text=text))
    assert "".join(harness.read(CUSTOMER)) == text
    assert [len(part) <= 4_096 for part in harness.read(CUSTOMER)] == [True] * 3


async def test_a_backend_that_keeps_failing_is_left_in_peace_and_tried_again(
    harness: TelegramHarness,
) -> None:
    await harness.arrive("900902")
    harness.webhook.sender.breaker.pause_s = 60.0
    for number in range(5):
        task = harness.task("900902", deliver(number), id_=f"e{number}", text="hi")
        with pytest.raises(UnknownOutcome):
            await harness.channel.perform(task)
    assert harness.router.states[-1] == "degraded"
    asked = harness.server.asked
    with pytest.raises(ChannelError, match="nothing was sent") as error:
        await harness.channel.perform(harness.task("900902", deliver(8), id_="e8", text="hi"))
    assert not isinstance(error.value, UnknownOutcome)
    assert harness.server.asked == asked
    harness.webhook.sender.breaker.pause_s = harness.webhook.sender.breaker._next_s = 0.0
    del harness.server.modes[900902]
    async with asyncio.timeout(30):
        while harness.router.states[-1] != "up":  # one attempt each pause
            with suppress(ChannelError):
                task = harness.task("900902", deliver(9), id_="e9", text="at last")
                await harness.channel.perform(task)
            await asyncio.sleep(0)
    assert harness.read("900902") == ["at last"]


async def test_a_backend_that_dies_under_traffic_gets_nothing_twice(tmp_path: Path) -> None:
    async with TelegramHarness(tmp_path, patience_s=8.0) as harness:
        await harness.arrive(CUSTOMER)
        outcomes: list[str] = []

        async def send(lane: int) -> None:
            for number in range(lane, 90, 6):
                task = harness.task(
                    CUSTOMER, deliver(number), id_=f"e{number}", text=f"answer {number}"
                )
                try:
                    await harness.channel.perform(task)
                    outcomes.append("done")
                except UnknownOutcome:
                    outcomes.append("unknown")

        async with asyncio.TaskGroup() as group:
            for lane in range(6):
                group.create_task(send(lane))
            await harness.signal.until(lambda: len(harness.server.sent) > 20)
            await harness.server.kill()
            await harness.back()
        sent = harness.read(CUSTOMER)
        assert len(sent) == len(set(sent)), "something was sent twice"
        assert len(outcomes) == 90
        assert outcomes.count("unknown") <= 6, "only what was under way when it died"
        assert len(sent) >= outcomes.count("done")


async def test_a_place_in_the_line_is_not_written_into_the_thread(
    harness: TelegramHarness,
) -> None:
    await harness.arrive(CUSTOMER)
    place = TreatContact(channel="chat", contact=ContactId("c1"), kind="position", text="3rd")
    await harness.channel.perform(harness.task(CUSTOMER, place))
    await harness.channel.perform(harness.task(CUSTOMER, connect(""), id_="e2"))
    await harness.signal.until(lambda: bool(harness.router.said("connected")))
    bye = EndContact(channel="chat", contact=ContactId("c1"), outcome="completed")
    await harness.channel.perform(harness.task(CUSTOMER, bye, id_="e3"))
    assert harness.read(CUSTOMER) == []


# -- WhatsApp ----------------------------------------------------------------------------------


def answer_to(number: str, message: str, text: str, id_: str) -> Task:
    effect = DeliverMessage(channel="whatsapp", contact=ContactId("c1"), message=message)
    return Task(id=id_, epoch=1, workspace="main", effect=effect, external_id="x", text=text,
                customer=Address(address=number), our_address=OURS)  # fmt: skip


async def test_meta_is_told_the_challenge_if_it_knows_the_token(whatsapp: WhatsAppHarness) -> None:
    assert await whatsapp.server.verify(VERIFY) == (200, "1158201444")
    assert (await whatsapp.server.verify("another"))[0] == 403
    assert (await whatsapp.server.verify(""))[0] == 403
    assert (await whatsapp.server.verify(VERIFY, mode="unsubscribe"))[0] == 403


async def test_several_messages_in_one_call_are_each_taken_once(
    whatsapp: WhatsAppHarness,
) -> None:
    server = whatsapp.server
    first = server.change(server.message("16505551234", "one"), server.message("16505551234", "2"))
    second = server.change(server.message("4917012345", "three"))
    whatsapp.router.fail("message", Overloaded("full"))
    assert (await server.deliver(first, second))[0] == 503
    assert (await server.deliver(first, second))[0] == 200
    assert (await server.deliver(first, second))[0] == 200
    assert list(whatsapp.router.messages.values()) == ["one", "2", "three"]
    contacts = list(whatsapp.router.contacts.values())
    assert [c.customer.address for c in contacts] == ["+16505551234", "+4917012345"]
    assert [(c.customer.name, c.to) for c in contacts] == [("Ada", OURS)] * 2


async def test_a_body_that_was_changed_or_signed_by_another_is_refused(
    whatsapp: WhatsAppHarness,
) -> None:
    server = whatsapp.server
    change = server.change(server.message("16505551234", "hi"))
    assert (await server.deliver(change, secret="another"))[0] == 403
    body = json.dumps({"entry": [{"changes": [change]}]}).encode()
    digest = hmac.new(b"app-secret", body, hashlib.sha256).hexdigest()
    async with aiohttp.ClientSession() as session:
        for given in (digest, f"sha256={digest.upper()}", f"sha256={digest[:-1]}0", "sha256=", "ü"):
            headers = {"X-Hub-Signature-256": given}
            async with session.post(server.hook, data=body, headers=headers) as answer:
                good = digest in given.lower()
                assert answer.status == (200 if good else 403), given
            changed = body.replace(b"hi", b"ho")
            async with session.post(server.hook, data=changed, headers=headers) as answer:
                assert answer.status == 403
    assert list(whatsapp.router.messages.values()) == ["hi"]


async def test_receipts_bring_our_reference_back_in_any_order_and_often(
    whatsapp: WhatsAppHarness,
) -> None:
    server = whatsapp.server
    await whatsapp.webhook.perform(answer_to("+16505551234", "m1", "one", "e1"))
    await whatsapp.webhook.perform(answer_to("+16505551234", "m2", "two", "e2"))
    one, two = server.sent
    assert (one["to"], one["text"]["body"]) == ("16505551234", "one")
    del two["biz_opaque_callback_data"]  # then the id tells, as long as the process lives
    for sent, state, error in (
        (one, "read", 0), (one, "delivered", 0), (one, "sent", 0), (two, "failed", 131026),
        (one, "delivered", 0),
    ):  # fmt: skip
        statuses = (server.status(sent, state, error),)
        assert (await server.deliver(server.change(statuses=statuses)))[0] == 200
    told = {(said.of, *said.args) for said in whatsapp.router.said("receipt")}
    assert told == {("c1", "m1", "delivered", ""), ("c1", "m2", "undelivered", "131026")}


async def test_a_receipt_of_a_message_that_nobody_knows_is_taken(
    whatsapp: WhatsAppHarness,
) -> None:
    server = whatsapp.server
    stranger = {"id": "wamid.other", "to": "16505551234"}
    statuses = (server.status(stranger, "delivered"),)
    assert (await server.deliver(server.change(statuses=statuses)))[0] == 200
    assert whatsapp.router.said("receipt") == []
    whatsapp.router.fail("receipt", Refused("not_found", "erased"), Overloaded("full"))
    known = (server.status({**stranger, "biz_opaque_callback_data": "c9/m9"}, "delivered"),)
    assert (await server.deliver(server.change(statuses=known)))[0] == 200
    assert (await server.deliver(server.change(statuses=known)))[0] == 503


async def test_limits_are_waited_for_and_refusals_have_their_code(
    whatsapp: WhatsAppHarness,
) -> None:
    whatsapp.server.errors = [(400, 130429), (429, 80007)]
    await whatsapp.webhook.perform(answer_to("+16505551234", "m1", "one", "e1"))
    assert len(whatsapp.server.sent) == 1
    whatsapp.server.errors = [(400, 131030)]
    with pytest.raises(ChannelError, match=r"^131030$"):
        await whatsapp.webhook.perform(answer_to("+16505551234", "m2", "two", "e2"))
    whatsapp.server.errors = [(500, 131000)]
    with pytest.raises(UnknownOutcome):
        await whatsapp.webhook.perform(answer_to("+16505551234", "m3", "three", "e3"))
    assert len(whatsapp.server.sent) == 1


# -- a backend of one's own: signed with a time --------------------------------------------------


OWN = {
    "verify": {"kind": "timed_hmac", "header": "X-Signature", "timestamp_header": "X-Timestamp"},
    "messages": [{"id": "id", "sender": "from", "text": "text"}],
    "send": {"url": "http://127.0.0.1:1/send", "body": {"t": "{text}"}},
}


async def test_a_call_with_a_time_is_good_for_five_minutes_and_once(tmp_path: Path) -> None:
    secret = tmp_path / "own.secret"
    secret.write_text("s3cret")
    secret.chmod(0o600)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/send"
    router = RouterDouble(Signal())
    verify = {**OWN["verify"], "secret_file": str(secret)}
    own = Mounted("own", {**OWN, "verify": verify, "send": {**OWN["send"], "url": url}}, router)
    hook = await own.open()
    now = int(datetime.now(UTC).timestamp())

    async def call(at: int | str, number: int, key: bytes = b"s3cret") -> int:
        body = json.dumps({"id": number, "from": "ada", "text": "hi"}).encode()
        digest = hmac.new(key, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {"X-Timestamp": str(at), "X-Signature": f"v1={digest}"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(hook, data=body, headers=headers) as answer,
        ):
            return answer.status

    try:
        assert await call(now, 1) == 200
        assert await call(now - 290, 2) == 200
        assert await call(now + 290, 3) == 200
        assert await call(now - 310, 4) == 403
        assert await call(now + 310, 5) == 403
        assert await call(now, 6, b"other") == 403
        assert await call("", 6) == 403
        assert await call("-1", 6) == 403
        assert await call(f"{now}.0", 6) == 403
        assert len(router.said("message")) == 3
        assert await call(now, 1) == 200, "a repetition is no error"
        assert len(router.said("message")) == 3, "and says nothing"
        router.fail("message", Overloaded("full"))
        assert await call(now, 7) == 503
        assert await call(now, 7) == 200, "what was not taken may be said again"
    finally:
        await own.close()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"send": {"url": "ftp://x", "body": {}}}, "url: expected https"),
        ({"send": {"url": "https://x/{tokn}", "body": {}}}, "unknown placeholder {tokn}"),
        ({"send": {"url": "https://x", "body": {"a": "Hi {text}"}}}, "stands alone"),
        ({"send": {"url": "https://x", "body": {}, "headers": {"A": "a\r\nB: c"}}}, "header"),
        ({"send": {"url": "https://x", "body": {}, "answers": [{"status": "2", "means": "later"}]}},
         "expected 200 or 2xx"),
        ({"messages": []}, "describe at least one"),
        ({"messages": [{"id": "a..b", "sender": "x"}]}, "expected a path"),
        ({"messages": [{"id": "a" + "[*]" * 5, "sender": "x"}]}, "at most"),
        ({"secrets": {"token": "x"}}, "secrets stand in files"),
        ({"receipts": {"state": "s", "delivered": ["d"]}}, "says which message"),
        ({"timeout_s": 60}, "timeout_s"),
    ],
)  # fmt: skip
def test_wrong_descriptions_say_what_was_expected(
    tmp_path: Path, change: dict[str, Any], finding: str
) -> None:
    good = described("telegram", "https://api.telegram.org", tmp_path)
    Webhook("telegram", good, RouterDouble(Signal()))
    with pytest.raises(ConfigError) as error:
        Webhook("telegram", {**good, **change}, RouterDouble(Signal()))
    assert finding in error.value.findings[0]


def test_the_backend_that_the_page_describes_can_be_made(tmp_path: Path) -> None:
    settings = yaml.safe_load(sample("webhook"))["adapters"]["shop"]
    del settings["type"], settings["channel"]
    for name in ("secret", "token"):
        (tmp_path / name).write_text("s3cret")
        (tmp_path / name).chmod(0o600)
    settings["verify"]["secret_file"] = str(tmp_path / "secret")
    settings["secrets"]["token_file"] = str(tmp_path / "token")
    assert Webhook("shop", settings, RouterDouble(Signal())).config.send.repeats
