"""Questions between nodes: short, signed, with a deadline; nobody outside is answered."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from yarl import URL

from router.api.hops import HEADER, Hops

CALL_S = 3.0
CONNECT_S = 1.0
ANSWER_BYTES = 1 << 20


class PeerFailed(Exception):
    """The node did not answer, or not as one of ours."""


class PeerSlow(PeerFailed):
    """It is there, and has not answered in time."""


class Peers:
    """The way to the other nodes."""

    def __init__(self, hops: Hops) -> None:
        self.hops = hops
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """Connections to other nodes; nothing of a request but what is given goes over them."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=1000, keepalive_timeout=30),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            )
        return self._session

    async def call(
        self,
        method: str,
        address: str,
        path: str,
        wait_s: float = CALL_S,
        *,
        body: bytes | None = None,
        asker: str = "",
    ) -> Any:
        """The JSON that the node at `address` answers. Raises PeerFailed, PeerSlow among it.

        `body` is not covered by the signature: whoever sends one seals it. `asker` is the address
        of the client on whose behalf is asked.
        """
        url = URL(address.rstrip("/") + path, encoded=True)
        headers = {HEADER: self.hops.sign(method, path, asker)}
        try:
            async with (
                asyncio.timeout(wait_s),
                self.session.request(
                    method, url, headers=headers, data=body, allow_redirects=False
                ) as answer,
            ):
                if answer.status != 200:
                    raise PeerFailed(f"{address} answered {answer.status}")
                if (answer.content_length or 0) > ANSWER_BYTES:
                    raise PeerFailed(f"{address} answered too much")
                return await answer.json()
        # RuntimeError: the session was closed, this node stops
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RuntimeError) as error:
            is_slow = isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError)
            kind = PeerSlow if is_slow else PeerFailed
            raise kind(f"{address}: {str(error) or type(error).__name__}") from error

    async def close(self) -> None:
        """Safe to repeat."""
        if self._session is not None:
            await self._session.close()
            self._session = None
