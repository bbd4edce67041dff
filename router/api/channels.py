"""The socket of an adapter that lives in another process.

Frames and their meaning are in `adapters/remote`; here are only the sign-in and the pump.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import WSMsgType, web

from router.api.auth import Principal, Role
from router.api.bodies import HelloBody
from router.api.websocket import FORBIDDEN, NO_TOKEN, NOT_SERVED, TOO_SLOW, Link
from router.errors import ChannelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from router.api.http import Api


class Session(Protocol):
    """The adapter's side of one connection."""

    async def receive(self, data: bytes | str) -> None:
        """A frame, raw; waits while too many calls are under way."""

    def detach(self, reason: str = "") -> None:
        """The socket is gone."""


class Attachable(Protocol):
    """An adapter that others may connect to."""

    def attach(
        self,
        send: Callable[[bytes], None],
        close: Callable[[int, str], None],
        encoding: str = "json",
    ) -> Session:
        """Begin a session; says welcome itself. Raises ChannelLost while it does not run."""


async def serve_channel(
    api: Api,
    request: web.Request,
    socket: web.WebSocketResponse,
    link: Link,
    hello: HelloBody,
    who: Principal,
) -> None:
    """One connection of a remote adapter, after its hello."""
    name = request.match_info["id"]
    if who.role is not Role.ADAPTER or who.channel != name:
        link.close(FORBIDDEN, "this token belongs to no adapter of this name")
        return
    tenant = api.tenant_of(who)
    adapter: Any = tenant.channels.get(name)
    if not hasattr(adapter, "attach"):
        link.close(FORBIDDEN, f"adapter {name!r} does not take connections")
        return
    attachable: Attachable = adapter
    encoding = "msgpack" if link.is_msgpack else "json"
    try:
        session = attachable.attach(link.send, link.close, encoding=encoding)
    except ChannelError as error:
        link.close(TOO_SLOW, str(error))
        return

    def tick() -> None:
        if not api.tokens.is_current(who, api.clock.now_us()):
            link.close(NO_TOKEN, "this token has expired or was revoked")
        elif tenant.workspace.stopped:
            link.close(NOT_SERVED, tenant.workspace.stopped)

    link.on_tick = tick
    receive = session.receive
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                await receive(message.data)
            else:
                break
    finally:
        session.detach("socket closed")
