"""The connection of the IVR in Node.js to a router that answers late, twice, wrongly and not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from tests.adapters.test_node_ivr import HAS_WS, IVR, NODE, Ivr

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(NODE is None, reason="node is not installed"),
    pytest.mark.skipif(not HAS_WS, reason="npm install was not run in adapters/examples/ivr"),
]

OFFER = {"type": "OfferContact", "channel": "voice", "contact": "k1", "reservation": "r1",
         "agent": "ana", "endpoint": "phone/ana", "deadline_at_us": 1}  # fmt: skip


class LyingRouter:
    """Speaks the protocol as far as a test tells it to; `frames` is what the IVR has said."""

    def __init__(self) -> None:
        self.port = 0
        self.frames: list[dict[str, Any]] = []
        self.sockets: list[web.WebSocketResponse] = []
        self._changed = asyncio.Event()

    async def start(self) -> None:
        app = web.Application()
        app.add_routes([web.get("/v1/channels/ivr", self._serve)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        for socket in self.sockets:
            await socket.close()
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=["contact-router.v1.json"])
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            self.frames.append(json.loads(message.data))
            self._changed.set()
            if self.frames[-1]["type"] == "hello":
                await self.send(type="welcome", channel="ivr", epoch=5, version=1)
        return socket

    async def send(self, **frame: Any) -> None:
        await self.sockets[-1].send_str(json.dumps(frame))

    async def perform(self, id_: str, epoch: int = 5, **effect: Any) -> None:
        await self.send(type="perform", id=id_, epoch=epoch, effect=effect or OFFER,
                        external_id="c1", text="", first_attempt=True)  # fmt: skip

    async def until(self, kind: str, count: int = 1, **wanted: Any) -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            wanted["type"] = kind
            return [f for f in self.frames if all(f.get(k) == v for k, v in wanted.items())]

        async with asyncio.timeout(30):
            while len(found()) < count:
                self._changed.clear()
                await self._changed.wait()
        return found()[count - 1]


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[LyingRouter, Ivr]]:
    router = LyingRouter()
    await router.start()
    (tmp_path / "token").write_text("crt_x")
    served: Any = router  # an IVR needs the port of its server only
    ivr = Ivr(served, tmp_path / "token", IVR / "menu.json")
    try:
        await ivr.start()
        yield router, ivr
    finally:
        await ivr.stop(kill=True)
        await router.stop()


async def brought_in(router: LyingRouter, ivr: Ivr) -> dict[str, Any]:
    await ivr.bring("c1")
    route = await router.until("route")
    await router.send(type="answer", cid=route["cid"], route={"queue": "q", "wait_us": 150_000_000})
    submit = await router.until("submit")
    assert ivr.heard("c1")[-1] == "You wait about 3 minutes."
    return submit


async def test_live_is_said_first_and_what_was_not_taken_is_said_again(
    both: tuple[LyingRouter, Ivr],
) -> None:
    router, ivr = both
    assert [frame["type"] for frame in router.frames[:2]] == ["hello", "live"]
    submit = await brought_in(router, ivr)
    for code in ("overloaded", "outcome_unknown", "store_full"):
        error = {"code": code, "text": "later", "retry_after_s": 0.02}
        await router.send(type="answer", cid=submit["cid"], error=error)
    again = await router.until("submit", 4)
    assert again == submit
    await router.sockets[-1].close()
    await ivr.until("connected", 2)
    assert await router.until("submit", 5) == submit
    lives = [frame["external_ids"] for frame in router.frames if frame["type"] == "live"]
    assert lives == [[], ["c1"]]


async def test_an_effect_is_done_once_whatever_the_router_repeats(
    both: tuple[LyingRouter, Ivr],
) -> None:
    router, ivr = both
    submit = await brought_in(router, ivr)
    await router.send(type="answer", cid=submit["cid"], receipt={"contact": "k1"})
    for times in (1, 2):
        await router.perform("5-1")
        await router.until("result", times, effect="5-1", outcome="done")
    await router.perform("4-9", epoch=4, type="EndContact", outcome="completed")
    await router.until("result", effect="4-9", outcome="failed")
    await router.perform("5-2", type="StartConference")
    await router.until("result", effect="5-2", outcome="failed")
    await router.send(type="find", id="5-1", epoch=5, effect=OFFER, external_id="c1")
    await router.send(type="find", id="5-7", epoch=5, effect=OFFER, external_id="c1")
    assert (await router.until("found", effect="5-1"))["found"] is True
    assert (await router.until("found", effect="5-7"))["found"] is False
    assert len(ivr.of("rings")) == 1
    assert ivr.of("over") == []


async def test_garbage_ends_the_connection_and_results_are_said_again(
    both: tuple[LyingRouter, Ivr],
) -> None:
    router, ivr = both
    await brought_in(router, ivr)
    await router.perform("5-1")
    await router.until("result", effect="5-1")
    await router.sockets[-1].send_str("{not json")
    await ivr.until("connected", 2)
    await router.until("result", 2, effect="5-1", outcome="done")
    await router.sockets[-1].send_str('{"type": "fly"}')
    await router.sockets[-1].send_str('{"type": "answer", "cid": 999}')
    await ivr.do("pick_up", phone="phone/ana")
    assert (await router.until("connected"))["reservation"] == "r1"
    assert len(ivr.of("rings")) == 1


async def test_a_caller_for_whom_there_is_no_answer_hears_that_all_lines_are_busy(
    both: tuple[LyingRouter, Ivr],
) -> None:
    router, ivr = both
    submit = await brought_in(router, ivr)
    error = {"code": "no_entry_point", "text": "nothing is reached here"}
    await router.send(type="answer", cid=submit["cid"], error=error)
    await ivr.until("over", call="c1", by="us")
    assert "busy" in ivr.heard("c1")[-1]
    assert ivr.of("not_taken", code="no_entry_point")


async def test_commands_that_mean_nothing_are_said_to(both: tuple[LyingRouter, Ivr]) -> None:
    router, ivr = both
    assert ivr.process is not None
    assert ivr.process.stdin is not None
    ivr.process.stdin.write(b'not json\n{"do": "fly"}\n')
    await ivr.until("error", 2)
    await ivr.do("press", call="nobody", key="1")
    await brought_in(router, ivr)
