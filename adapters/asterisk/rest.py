"""Requests to one Asterisk: keep-alive, a bounded number at once, deadlines, a circuit breaker."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import aiohttp

from adapters import Breaker
from adapters.asterisk.ari import Request
from adapters.asterisk.settings import Settings
from router.channel import ChannelError, ChannelLost, UnknownOutcome

BODY = 16 * 1024 * 1024
"""Longest answer: the list of some thousand channels has 2 MB."""
UNTRUSTED = "the PBX's certificate is not trusted: `ca_file`, and the name in `url`"
DEFINITE = 500
"""ARI's own failure ("Allocation failed"): an answer, and nothing was done."""


class AriRefused(ChannelError):
    """The PBX understood and says no."""

    def __init__(self, request: Request, status: int) -> None:
        super().__init__(f"{request.method} {_kind(request.path)}: {status}")
        self.status = status


class Rest:
    """What is asked of ARI over HTTP."""

    def __init__(
        self,
        settings: Settings,
        password: str,
        tls: ssl.SSLContext,
        on_state: Callable[[str, str], None],
    ) -> None:
        self.settings = settings
        self.breaker = Breaker()
        self._tls = tls
        self._headers = {"Authorization": aiohttp.encode_basic_auth(settings.user, password)}
        self._on_state = on_state
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Before the first request."""
        # The event socket takes one connection, too.
        connector = aiohttp.TCPConnector(
            limit=self.settings.connections + 1, keepalive_timeout=60, ssl=self._tls
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=self.settings.timeout_s),
        )

    async def close(self) -> None:
        """After the last one."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(self, request: Request) -> bytes:
        """The body of a good answer.

        Raises AriRefused (4xx, ARI's own 500), UnknownOutcome when it was sent and not answered,
        ChannelLost when nobody is there, ChannelError at once while the PBX keeps failing.
        """
        if self._session is None:
            raise ChannelLost("the PBX is not connected")
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        self.breaker.check(began_s)
        session = self._session
        try:
            status, body = await self._send(session, request)
        except aiohttp.ClientConnectorCertificateError as error:
            self._failed(began_s, now_s())
            raise ChannelLost(UNTRUSTED) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self._failed(began_s, now_s())
            raise ChannelLost("the PBX cannot be reached") from error
        except asyncio.CancelledError:
            # Closing a session cancels what waits for one of its connections: none of it was sent.
            task = asyncio.current_task()
            if session.closed and task is not None and not task.cancelling():
                raise ChannelLost("the PBX is not connected") from None
            raise
        except RuntimeError as error:  # closed in the middle: `run` has ended
            if session.closed:
                raise ChannelLost("the PBX is not connected") from error
            raise
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._failed(began_s, now_s())
            raise UnknownOutcome(f"the PBX did not answer: {type(error).__name__}") from error
        if status > DEFINITE:  # a proxy's, or a PBX that is going down
            self._failed(began_s, now_s())
            raise UnknownOutcome(f"{request.method} {_kind(request.path)}: {status}")
        if self.breaker.succeeded():
            self._on_state("up", "")
        if status >= 400:
            raise AriRefused(request, status)
        return body

    async def _send(self, session: aiohttp.ClientSession, request: Request) -> tuple[int, bytes]:
        async with session.request(
            request.method,
            self.settings.url.rstrip("/") + request.path,
            params=request.query,
            json=request.body,
        ) as answer:
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > BODY:
                    raise ValueError("the answer is too long")
            return answer.status, bytes(body)

    def _failed(self, began_s: float, now_s: float) -> None:
        if self.breaker.failed(began_s, now_s):
            self._on_state("degraded", "the PBX does not answer requests")

    async def events(self) -> aiohttp.ClientWebSocketResponse:
        """Open the event socket. Raises ChannelLost."""
        if self._session is None:
            raise ChannelLost("the PBX is not connected")
        url = self.settings.url.rstrip("/") + "/events"
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                return await self._session.ws_connect(
                    url,
                    params={"app": self.settings.app},
                    heartbeat=self.settings.ping_s,
                    max_msg_size=BODY,
                )
        except aiohttp.WSServerHandshakeError as error:
            why = "user or password is wrong" if error.status == 401 else f"HTTP {error.status}"
            raise ChannelLost(f"the PBX refuses the event socket: {why}") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise ChannelLost(UNTRUSTED) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ChannelLost(f"no event socket: {type(error).__name__}") from error


def _kind(path: str) -> str:
    """A request's kind without ids: what may stand in a log line."""
    parts = path.split("/")
    return "/".join(parts[1:2] + parts[3:4])
