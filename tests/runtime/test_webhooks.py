"""Webhooks against a real HTTP server: signed, in order, at least once, put aside in the end."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web

from router.runtime.loop import Workspace
from router.runtime.webhooks import GIVE_UP_US, Webhook, Webhooks, signature
from tests.runtime.world import SECOND, World, submit, until

SECRET = b"a secret between us"


class Receiver:
    """Somebody else's server."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        status = self.answers.pop(0) if self.answers else 204
        headers = {"Location": self.url} if status == 302 else {}
        return web.Response(status=status, headers=headers)

    def events(self) -> list[dict[str, Any]]:
        return [event for _, body in self.requests for event in json.loads(body)["events"]]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


class Delivering:
    """Webhooks of a workspace, stopped at the end."""

    def __init__(self, world: World, workspace: Workspace, *hooks: Webhook) -> None:
        self.webhooks = Webhooks(workspace, world.clock, random.Random(1))
        self.webhooks.start(hooks)

    async def __aenter__(self) -> Delivering:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.webhooks.stop()


def hook(receiver: Receiver, *events: str) -> Webhook:
    return Webhook("crm", receiver.url, SECRET, frozenset(events))


async def test_events_arrive_signed_and_in_order(world: World, receiver: Receiver) -> None:
    workspace = await world.workspace()
    async with Delivering(world, workspace, hook(receiver)):
        await workspace.ask(submit("c1", sealed=b"address", seal_key="k", peer_key="p"))
        await workspace.ask(submit("c2"))
        await until_received(receiver, 4)
    assert [event["type"] for event in receiver.events()] == [
        "ContactReceived", "ContactQueued", "ContactReceived", "ContactQueued",
    ]  # fmt: skip
    headers, body = receiver.requests[0]
    assert headers["X-Router-Signature"] == signature(SECRET, headers["X-Router-Timestamp"], body)
    assert headers["X-Router-Webhook"] == "crm"
    assert not {"sealed", "seal_key", "peer_key"} & set(receiver.events()[0])


async def test_only_the_wanted_events_are_sent(world: World, receiver: Receiver) -> None:
    workspace = await world.workspace()
    async with Delivering(world, workspace, hook(receiver, "ContactQueued")):
        await workspace.ask(submit("c1"))
        await until_received(receiver, 1)
    assert [event["type"] for event in receiver.events()] == ["ContactQueued"]


async def test_a_failed_delivery_is_sent_again_with_the_same_name(
    world: World, receiver: Receiver
) -> None:
    workspace = await world.workspace()
    receiver.answers = [500, 302, 404]
    async with Delivering(world, workspace, hook(receiver)):
        await workspace.ask(submit("c1"))
        for requests in range(1, 4):
            await until_requests(receiver, requests)
            await until_waiting(world)
            world.clock.advance(60 * SECOND)
        await until_requests(receiver, 4)
    names = {headers["X-Router-Delivery"] for headers, _ in receiver.requests}
    assert len(names) == 1
    attempts = [headers["X-Router-Attempt"] for headers, _ in receiver.requests]
    assert attempts == ["1", "2", "3", "4"]


async def test_a_restart_goes_on_where_delivery_stood(world: World, receiver: Receiver) -> None:
    workspace = await world.workspace()
    async with Delivering(world, workspace, hook(receiver)):
        await workspace.ask(submit("c1"))
        await until_true(lambda: workspace.rows_of("webhook")["crm"] == str(workspace.seq).encode())
    await workspace.ask(submit("c2"))  # nobody delivers; the place rides on this commit
    again = await world.workspace()
    async with Delivering(world, again, hook(receiver)):
        await until_received(receiver, 4)
    seqs = [event["seq"] for event in receiver.events()]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


async def test_what_nobody_takes_for_a_day_is_put_aside_and_the_next_goes_out(
    world: World, receiver: Receiver
) -> None:
    workspace = await world.workspace()
    receiver.answers = [500, 500]
    async with Delivering(world, workspace, hook(receiver)):
        await workspace.ask(submit("c1"))
        await until_requests(receiver, 1)
        await until_waiting(world)
        world.clock.advance(GIVE_UP_US + SECOND)
        await until_requests(receiver, 2)
        await workspace.ask(submit("c2"))
        await until_requests(receiver, 3)
        await workspace.ask(submit("c3"))
    dead = await world.journal.list_archive(workspace.own, "webhook_dead")
    ((_, kept),) = [msgspec.msgpack.decode(body) for _, body in dead]
    assert workspace.veil.event(kept[1]).contact == "c1"
    assert json.loads(receiver.requests[2][1])["events"][0]["contact"] == "c2"


async def until_received(receiver: Receiver, count: int) -> None:
    await until_true(lambda: len(receiver.events()) >= count)


async def until_requests(receiver: Receiver, count: int) -> None:
    await until_true(lambda: len(receiver.requests) >= count)


async def until_waiting(world: World) -> None:
    await until_true(lambda: world.clock.pending())


async def until_true(holds: Any) -> None:
    await until(holds, turns=200_000)
