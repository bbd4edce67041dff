"""The real Asterisk and our own phones, without any adapter: what the other tests stand on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from loadtest import pbx_server
from loadtest.pbx_exchange import Exchange
from loadtest.pbx_phone import Leg
from loadtest.pbx_server import Asterisk, pbx

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(bool(pbx_server.missing()), reason=pbx_server.missing() or "there"),
]

KIM = "+4930900100"
AUTH = {"Authorization": aiohttp.encode_basic_auth(pbx_server.USER, pbx_server.PASSWORD)}


@pytest.fixture
async def place() -> AsyncIterator[tuple[Exchange, Asterisk]]:
    exchange = Exchange(sound=True)
    exchange.open()
    phones = ["ana", "bo"]
    try:
        async with pbx(exchange.port, phones, {"line-8000": ["ana", "bo"]}) as asterisk:
            exchange.pbx_port = asterisk.sip_port
            exchange.tones.hertz["sorry"] = pbx_server.SORRY_HZ
            yield exchange, asterisk
    finally:
        exchange.close()


async def until(holds: Callable[[], Any], within_s: float = 30.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - sound gives no signal when it changes
            await asyncio.sleep(0.01)


def heard(leg: Leg | None) -> set[str]:
    return leg.sound.hears() if leg is not None and leg.sound is not None else set()


async def test_its_own_queue_joins_a_caller_and_a_phone(
    place: tuple[Exchange, Asterisk],
) -> None:
    exchange, asterisk = place
    kim = exchange.dial(KIM, "8000")
    await until(lambda: heard(kim) == {"music"})
    ana = exchange.phone("ana")
    await until(lambda: ana.leg)
    [first] = ana.rings
    first.answer()
    await until(lambda: heard(kim) == {"ana"} and heard(first) == {KIM})
    assert [len(exchange.phone(name).rings) for name in ("ana", "bo")] == [1, 0]
    kim.hang_up()
    await until(lambda: first.state == "ended")
    assert not first.by_us
    await _all_gone(asterisk)


async def test_a_phone_that_refuses_is_rung_once_and_the_next_one_rings(
    place: tuple[Exchange, Asterisk],
) -> None:
    exchange, asterisk = place
    exchange.phone("ana").refuses = 486
    exchange.phone("bo").answers_after_s = 0.02
    kim = exchange.dial(KIM, "8000")
    await until(lambda: heard(kim) == {"bo"}, 30)
    [refused] = exchange.phone("ana").rings
    assert refused.status == 486
    kim.hang_up()
    await _all_gone(asterisk)


async def test_rest_and_events_bring_a_caller_and_an_agent_together(
    place: tuple[Exchange, Asterisk],
) -> None:
    exchange, asterisk = place
    async with (
        aiohttp.ClientSession(headers=AUTH, raise_for_status=True) as http,
        http.ws_connect(asterisk.url + "events?app=contact-router") as events,
    ):
        kim = exchange.dial(KIM, "+4930555100")
        start = await _event(events, "StasisStart")
        caller = start["channel"]["id"]
        assert start["channel"]["caller"]["number"] == KIM
        assert start["channel"]["dialplan"]["exten"] == "+4930555100"
        await http.post(asterisk.url + f"channels/{caller}/answer")
        await http.post(asterisk.url + f"channels/{caller}/moh")
        await until(lambda: heard(kim) == {"music"})
        make = {"endpoint": "PJSIP/ana", "app": "contact-router", "channelId": "leg-1"}
        await http.post(asterisk.url + "channels/create", params=make)
        await _event(events, "StasisStart")
        await http.post(asterisk.url + "channels/leg-1/dial", params={"timeout": "20"})
        ana = exchange.phone("ana")
        await until(lambda: ana.leg)
        ana.rings[0].answer()
        await until(lambda: ana.rings[0].state == "up")
        await http.delete(asterisk.url + f"channels/{caller}/moh")
        await http.post(
            asterisk.url + "bridges", params={"type": "mixing,dtmf_events", "bridgeId": "b1"}
        )
        both = {"channel": f"{caller},leg-1"}
        await http.post(asterisk.url + "bridges/b1/addChannel", params=both)
        await until(lambda: heard(kim) == {"ana"} and heard(ana.leg) == {KIM})
        assert kim.sound is not None
        kim.sound.press("42")
        digits = [(await _event(events, "ChannelDtmfReceived"))["digit"] for _ in "42"]
        assert digits == ["4", "2"]
        assert ana.leg is not None
        ana.leg.hold(True)
        await _event(events, "ChannelHold")
        ana.leg.hold(False)
        await _event(events, "ChannelUnhold")
        ana.leg.hang_up()
        await _event(events, "StasisEnd")
        go_on = {"context": "voicemail", "extension": "0"}
        await http.post(asterisk.url + f"channels/{caller}/continue", params=go_on)
        await until(lambda: "sorry" in kim.sound.heard)  # type: ignore[union-attr]
        await until(lambda: kim.state == "ended")
        await http.delete(asterisk.url + "bridges/b1")
    await _all_gone(asterisk)


async def test_a_cancelled_phone_is_told_that_somebody_else_answered(
    place: tuple[Exchange, Asterisk],
) -> None:
    exchange, asterisk = place
    async with (
        aiohttp.ClientSession(headers=AUTH, raise_for_status=True) as http,
        http.ws_connect(asterisk.url + "events?app=contact-router") as events,
    ):
        for number, cause in enumerate((26, 16)):
            name = f"leg-{number}"
            make = {"endpoint": "PJSIP/ana", "app": "contact-router", "channelId": name}
            await http.post(asterisk.url + "channels/create", params=make)
            await _event(events, "StasisStart")
            await http.post(asterisk.url + f"channels/{name}/dial")
            await until(lambda: exchange.phone("ana").leg)
            leg = exchange.phone("ana").rings[-1]
            # A CANCEL that had to wait for the phone's 180 is sent without a reason.
            await _event(events, "ChannelStateChange")
            await http.delete(asterisk.url + f"channels/{name}", params={"reason_code": str(cause)})
            await until(lambda leg=leg: leg.state == "ended")
            assert leg.cause == cause
    await _all_gone(asterisk)


async def _event(events: aiohttp.ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            event: dict[str, Any] = await events.receive_json()
            if event["type"] == kind:
                return event


async def _all_gone(asterisk: Asterisk) -> None:
    async with asyncio.timeout(30):
        while await asterisk.ask("channels"):  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.02)
