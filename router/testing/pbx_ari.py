"""A conformance Asterisk: ARI's REST and event socket as they were recorded on a real one.

For whoever writes or changes an ARI application and has no PBX at hand: `AriPbx` listens on
loopback, callers and phones are moved by method (`call`, `answer`, `hang_up` ...), and what it is
asked and tells over HTTP is what Asterisk 20 was asked and told in the recordings under
``tests/data/recordings/ari``; ``tests/voice/test_pbx_ari.py`` replays them against it. Comments
name the recording that each answer follows, or say "after ARI's description" where there is none.

    pbx = AriPbx()
    await pbx.start()
    ...  # an application connects to pbx.url as pbx.user with pbx.password
    pbx.call("+4930900100", "+4930555100")
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import WSMsgType, web

from router.testing.adapter_harness import Signal
from router.testing.pbx_ari_parts import Channel, Json, Party, Problem, Races
from router.testing.pbx_ari_rest import Rest
from router.testing.pbx_ari_switch import Switch

CONTEXT = "from-sip"
LAG_S = 0.001
"""Between an answer and the events that belong to it, whichever comes first."""
EVENTS = 10_000
"""Most events that wait for one application; a slower reader loses its socket, as on the real one
(websocket_write_timeout)."""


class EventSocket:
    """One open event socket."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        apps: list[str],
        transport: asyncio.Transport | None,
    ) -> None:
        self.socket = socket
        self.transport = transport
        self.apps = apps
        self.events: asyncio.Queue[Json] = asyncio.Queue(EVENTS)
        self.is_replaced = False

    async def send(self, lag_s: float) -> None:
        """Carry events away until the socket is gone."""
        while True:
            event = await self.events.get()
            if lag_s:
                await asyncio.sleep(lag_s)
            await self.socket.send_json(event)


class AriPbx:
    """A PBX on a loopback port, with the phones that belong to it."""

    def __init__(
        self, *, app: str = "contact-router", races: Races | None = None, port: int = 0
    ) -> None:
        self.app = app
        self.user = "router"
        self.password = secrets.token_hex(8)
        self.port = port
        self.races = races or Races()
        self.switch = Switch(self._tell, self.races)
        self.rest = Rest(self.switch)
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """All that was asked: method, path below /ari, query."""
        self.events: list[Json] = []
        """All that was told."""
        self.refuses_events = False
        self.on_change: Callable[[], None] = lambda: None
        """Called whenever something may look different from outside."""
        self.signal = Signal()
        self.switch.on_change = self._note_change
        self.sockets_opened = 0
        self._silence = asyncio.Event()
        """Set at the end: requests that are never answered wait for it."""
        self._sockets: list[EventSocket] = []
        self._troubles: list[tuple[str, str, deque[int | str]]] = []
        self._runner: web.AppRunner | None = None
        self._connections: set[asyncio.Transport] = set()

    @property
    def url(self) -> str:
        """Base address of ARI."""
        return f"http://127.0.0.1:{self.port}/ari"

    def _note_change(self) -> None:
        self.signal.notify()
        self.on_change()

    async def until(self, holds: Callable[[], bool], timeout_s: float = 5.0) -> None:
        """Until this holds; looked at after each change. Raises TimeoutError."""
        await self.signal.until(holds, timeout_s)

    # -- its life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen; the port is free and stays the same over `kill` and `start`."""
        application = web.Application(middlewares=[self._guard])
        application.router.add_get("/ari/events", self._events)
        self.rest.add_to(application, "/ari")
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def kill(self) -> None:
        """kill -9: connections are reset, calls are gone, nobody is told."""
        for socket in self._sockets:
            socket.is_replaced = True  # nothing is told any more
        for channel in list(self.switch.channels.values()):
            self.switch.end(channel)
        self.switch.bridges.clear()
        self.switch.recordings.clear()
        self.switch.active.clear()
        await self._close()
        self.switch.on_change()

    async def stop(self) -> None:
        """As `kill`, for the end of a test."""
        await self.kill()

    async def _close(self) -> None:
        self._silence.set()
        self._silence = asyncio.Event()
        for transport in list(self._connections):
            transport.abort()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self._sockets.clear()

    def cut_events(self) -> None:
        """Event sockets are reset and cannot be opened; REST goes on (event-socket-lost)."""
        self.refuses_events = True
        for socket in self._sockets:
            if socket.transport is not None:
                socket.transport.abort()

    def restore_events(self) -> None:
        """They can be opened again."""
        self.refuses_events = False

    async def say_raw(self, text: str) -> None:
        """Anything at all on the event sockets: a PBX that lies."""
        for socket in self._sockets:
            await socket.socket.send_str(text)

    def replace(self) -> None:
        """Another application of the same name has connected."""
        for socket in self._sockets:
            self._tell(socket.apps[0], _replaced(socket.apps[0]))
            socket.is_replaced = True

    def listeners(self) -> int:
        """Event sockets that are told something."""
        return sum(not socket.is_replaced for socket in self._sockets)

    def trouble(self, method: str, ending: str, *what: int | str) -> None:
        """The next requests whose path ends so: an error status (not carried out), ``cut``
        (carried out, connection reset), ``silence`` (carried out, never answered)."""
        self._troubles.append((method, ending, deque(what)))

    # -- the edge ----------------------------------------------------------------------------------

    def come_back(self, number: str, to: str) -> None:
        """The dialplan runs Stasis() once more for a customer whom the application has sent on."""
        channel = self.switch.party(number).channel
        assert channel is not None, f"{number} has no call"
        assert not channel.is_in_stasis, f"{number} has not been sent on"
        channel.app, channel.args = self.app, f"inbound,{to}"
        self.switch.enter_stasis(channel)

    def call(self, number: str, to: str) -> Channel | None:
        """A customer dials; the dialplan runs Stasis() unanswered. None: no application was
        there, and the dialplan has gone on without us."""
        party = self.switch.party(number)
        serial = self.switch.number()
        channel = self.switch.add(
            Channel(
                id=f"ast-{secrets.token_hex(4)}.{serial}", name=f"PJSIP/trunk-{serial:08x}",
                state="Ring", party=party, caller=number, context=CONTEXT, exten=to,
                app=self.app, args=f"inbound,{to}",
            )
        )  # fmt: skip
        party.channel = channel
        if self.switch.enter_stasis(channel):
            return channel
        party.went_on_to = f"{CONTEXT}/{to}"
        self.switch.end(channel)
        return None

    def party(self, name: str) -> Party:
        """A phone."""
        return self.switch.party(name)

    def answer(self, name: str) -> None:
        """A ringing phone is picked up. Raises LookupError if it does not ring."""
        self.switch.answer(self._ringing(name))

    def refuse(self, name: str) -> None:
        """A ringing phone says 486 Busy Here."""
        self.switch.refuse(self._ringing(name), 17, 486)

    def hang_up(self, name: str) -> None:
        """The phone is put down; a caller who rings or waits goes."""
        self.switch.hang_up(self._channel(name))

    def fail(self, name: str) -> None:
        """The leg breaks: the network took it away (cause 38, after Q.850)."""
        channel = self._channel(name)
        channel.cause = 38
        self.switch.of(channel, "ChannelHangupRequest", cause=38)
        self.switch.end(channel)

    def press(self, name: str, digits: str) -> None:
        """DTMF: told at each digit's end (digits-collected, phone-hold-and-digits)."""
        channel = self._channel(name)
        for number, digit in enumerate(digits):
            # Some 300 ms lie between two digits of a phone, and so between their timestamps.
            self.switch.ahead_ms = 300 * number
            self.switch.of(channel, "ChannelDtmfReceived", digit=digit, duration_ms=100)
        self.switch.ahead_ms = 0

    def push_hold(self, name: str, *, on: bool) -> None:
        """The phone's own hold key: phone-hold-and-digits."""
        channel = self._channel(name)
        channel.on_hold = on
        if on:
            self.switch.of(channel, "ChannelHold", musicclass="default")
        else:
            self.switch.of(channel, "ChannelUnhold")

    def left_over(self) -> list[str]:
        """Channels and bridges that exist."""
        return [*self.switch.channels, *self.switch.bridges]

    def _channel(self, name: str) -> Channel:
        channel = self.switch.party(name).channel
        if channel is None:
            raise LookupError(f"{name} has no call")
        return channel

    def _ringing(self, name: str) -> Channel:
        channel = self._channel(name)
        if channel.state != "Ringing":
            raise LookupError(f"{name} does not ring: {channel.state}")
        return channel

    # -- HTTP --------------------------------------------------------------------------------------

    def _tell(self, app: str, event: Json) -> None:
        for socket in self._sockets:
            if app in socket.apps and not socket.is_replaced:
                self.events.append(event)
                socket.events.put_nowait(event)

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        transport = request.transport
        if transport is not None:
            self._connections.add(transport)
        if not self._is_allowed(request):
            return web.json_response({"message": "Authentication required"}, status=401)
        path = request.path.removeprefix("/ari")
        if path == "/events":
            return await handler(request)
        self.requests.append((request.method, path, dict(request.query)))
        trouble = self._trouble_of(request.method, path)
        if isinstance(trouble, int):
            return web.json_response({"message": "Trouble"}, status=trouble)
        try:
            answer = await handler(request)
        except Problem as problem:
            answer = web.json_response(problem.body, status=problem.status)
        if trouble == "cut" and transport is not None:
            transport.abort()
        elif trouble == "silence":
            await self._silence.wait()
        if self.races.events_first:
            await asyncio.sleep(LAG_S)
        return answer

    def _trouble_of(self, method: str, path: str) -> int | str | None:
        for wanted, ending, what in self._troubles:
            if what and method == wanted and path.endswith(ending):
                return what.popleft()
        return None

    def _is_allowed(self, request: web.Request) -> bool:
        word = f"{self.user}:{self.password}"
        basic = "Basic " + base64.b64encode(word.encode()).decode()
        given = request.headers.get("Authorization", "")
        return given == basic or request.query.get("api_key") == word

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self.refuses_events:
            return web.json_response({"message": "No"}, status=503)
        apps = [app for app in request.query.get("app", "").split(",") if app]
        if not apps:
            return web.json_response({"message": "Missing param"}, status=400)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        mine = EventSocket(socket, apps, request.transport)
        for other in self._sockets:
            shared = [app for app in other.apps if app in apps]
            if shared and not other.is_replaced:
                # application-replaced: told once, then nothing more, and not closed.
                self._tell(shared[0], _replaced(shared[0]))
                other.is_replaced = True
        self._sockets.append(mine)
        self.sockets_opened += 1
        for app in apps:
            self.switch.active[app] = True
        self.switch.on_change()
        await self._serve(mine)
        return socket

    async def _serve(self, mine: EventSocket) -> None:
        lag_s = 0.0 if self.races.events_first else LAG_S
        sender = asyncio.get_running_loop().create_task(mine.send(lag_s))
        try:
            async for message in mine.socket:
                if message.type is WSMsgType.ERROR:
                    break
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            if mine in self._sockets:
                self._sockets.remove(mine)
            for app in mine.apps:
                if not any(app in s.apps and not s.is_replaced for s in self._sockets):
                    self.switch.active[app] = False
            self.switch.on_change()


def _replaced(app: str) -> dict[str, Any]:
    return {"type": "ApplicationReplaced", "application": app}
