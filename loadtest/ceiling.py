"""What the stack itself can do: the least that any server built on it must pay.

`python -m loadtest.ceiling` serves, in its own process, a bare aiohttp handler that validates the
body of a contact and answers 201, and a bare WebSocket that validates a submit frame and answers.
Nothing is matched, stored, limited or signed in.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import msgspec
import uvloop
from aiohttp import WSMsgType, web
from msgspec import Meta

from loadtest.server import cpu_s, free_port, is_ready

Id = Annotated[str, Meta(max_length=200)]
Skills = Annotated[dict[Id, Annotated[int, Meta(ge=1, le=10)]], Meta(max_length=200)]


class Peer(msgspec.Struct, forbid_unknown_fields=True):
    """Who is at the other end."""

    address: Id = ""
    name: Id = ""
    to: Id = ""


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """A contact over HTTP."""

    channel: Id
    entry_point: Id = ""
    external_id: Id = ""
    peer: Peer = msgspec.field(default_factory=Peer)
    attributes: dict[str, Any] = {}
    requirements: Skills = {}
    segment: Id = ""
    conversation: Id = ""


class Customer(msgspec.Struct, forbid_unknown_fields=True):
    """Who is at the other end, on the adapter socket."""

    address: Id = ""
    name: Id = ""


class NewContact(msgspec.Struct, forbid_unknown_fields=True):
    """A contact on the adapter socket."""

    external_id: Id
    customer: Customer
    to: Id = ""
    entry_point: Id = ""
    attributes: dict[str, Any] = {}
    requirements: Skills = {}
    conversation: Id = ""


class Submit(msgspec.Struct, tag_field="type", tag="submit", forbid_unknown_fields=True):
    """A frame of the adapter socket."""

    cid: int
    contact: NewContact


class Receipt(msgspec.Struct):
    """The answer."""

    contact: str
    state: str = "queued"
    created: bool = True


class Answer(msgspec.Struct, tag_field="type", tag="answer"):
    """The answer on the socket."""

    cid: int
    receipt: Receipt


_body = msgspec.json.Decoder(Body).decode
_submit = msgspec.json.Decoder(Submit).decode
_encode = msgspec.json.Encoder().encode


async def post(request: web.Request) -> web.Response:
    """Validate, answer 201."""
    contact = _body(await request.read())
    receipt = Receipt(contact=contact.external_id)
    return web.Response(status=201, body=_encode(receipt), content_type="application/json")


async def socket(request: web.Request) -> web.WebSocketResponse:
    """Validate, answer."""
    connection = web.WebSocketResponse(compress=False)
    await connection.prepare(request)
    async for message in connection:
        if message.type is not WSMsgType.TEXT:
            break
        frame = _submit(message.data)
        answer = Answer(frame.cid, Receipt(contact=frame.contact.external_id))
        await connection.send_frame(_encode(answer), WSMsgType.TEXT)
    return connection


async def ready(_: web.Request) -> web.Response:
    """It serves."""
    return web.Response(text="ready")


async def serve(port: int) -> None:
    """Until it is killed."""
    app = web.Application()
    app.router.add_get("/readyz", ready)
    app.router.add_post("/v1/contacts", post)
    app.router.add_get("/socket", socket)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


class Bare:
    """The bare server in a process of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Serve."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "loadtest.ceiling", str(self.port), cwd=Path(__file__).parents[1]
        )
        async with asyncio.timeout(20):
            while not await is_ready(self.port):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)

    def cpu_s(self) -> float:
        """Processor seconds used so far."""
        assert self._process is not None, "not started"
        return cpu_s(self._process.pid)

    async def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def bare_commits(directory: Path, size: int = 65_536, count: int = 100) -> tuple[float, float]:
    """Append `size` bytes and sync, `count` times: how often a second, median seconds."""
    data = os.urandom(size)
    times: list[float] = []
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        began_s = perf_counter()
        for _ in range(count):
            before_s = perf_counter()
            file.write(data)
            os.fdatasync(file.fileno())
            times.append(perf_counter() - before_s)
        total_s = perf_counter() - began_s
    return count / total_s, sorted(times)[count // 2]


def main() -> None:
    """Serve on the given port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
