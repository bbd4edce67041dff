"""What several adapters share: a memory with an end, and effects that need nothing of a backend."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from adapters import Facts, Questions, Remembered, hook_body, without_leg
from router.channel import (
    ChannelError,
    CollectFromContact,
    ConnectAgent,
    OfferContact,
    Overloaded,
    StartContact,
)
from router.core.model import ContactId
from router.testing.adapter_harness import RouterDouble, Signal

OF = {"channel": "sms", "contact": "c-1"}


def test_the_oldest_is_forgotten_however_it_was_put_in() -> None:
    memory: Remembered[str, int] = Remembered(2)
    memory["a"] = 1
    memory.setdefault("b", 2)
    memory["a"] = 3  # known already: nothing goes, and it is no younger for that
    assert list(memory.items()) == [("a", 3), ("b", 2)]
    memory.setdefault("c", 4)
    assert list(memory) == ["b", "c"]
    memory.update(d=5, e=6)
    assert list(memory) == ["d", "e"]


async def test_without_a_leg_an_agent_is_connected_and_a_contact_of_ours_has_a_name() -> None:
    signal = Signal()
    router, facts = RouterDouble(signal), Facts("sms")
    router.fail("connected", Overloaded("later", retry_after_s=0.01))
    seat = {"reservation": "r-1", "agent": "ana", "deadline_at_us": 0}
    effects = (
        OfferContact(**OF, **seat),
        ConnectAgent(**OF, **seat),
        StartContact(**OF),
    )
    for effect in effects:
        without_leg(effect, router, facts)
    assert len(facts) == 2  # an offer is answered at the desk: nothing to do
    await facts.stop(grace_s=30.0)
    told = [(said.call, said.of, *said.args) for said in router.calls]
    assert sorted(told) == [
        ("connected", "r-1"),
        ("connected", "r-1"),  # was not taken the first time
        ("started", "out-c-1", "c-1"),
    ]


async def test_an_agent_who_cannot_be_told_connected_is_a_failure_that_the_router_hears_of() -> (
    None
):
    router, facts = RouterDouble(Signal()), Facts("sms", most=0)
    with pytest.raises(ChannelError, match="keeps no more"):
        without_leg(StartContact(**OF), router, facts)
    assert router.calls == []


async def test_an_answer_that_nobody_has_room_for_is_no_fault_of_the_message_that_brought_it() -> (
    None
):
    router = RouterDouble(Signal())
    questions = Questions(router, Facts("sms", most=0))
    ask = CollectFromContact(
        channel="sms", contact=ContactId("c-1"), name="topic", prompt="What about?", ask="q-1"
    )
    assert questions.put("+4930", "x-1", ask) == "What about?"
    questions.answer("+4930", "a bill")  # the message is durable by now: it must not fail
    assert router.calls == []
    assert questions.put("+4930", "x-1", ask) == "What about?"  # it is open no more
    questions.stop()


async def test_a_webhook_whose_body_is_not_what_it_says_is_refused_and_no_fault() -> None:
    async def take(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await hook_body(request, None, 1_000))))

    app = web.Application()
    app.router.add_post("/in", take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        for coding in (b"gzip", b"deflate"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"POST /in HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Encoding: "
                + coding
                + b"\r\nContent-Length: 5\r\n\r\nabcde"
            )
            async with asyncio.timeout(30):
                answer = await reader.read()
            writer.close()
            assert answer.startswith(b"HTTP/1.1 400 "), answer
    finally:
        await runner.cleanup()
