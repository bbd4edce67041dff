"""A running server, asked over its HTTP API."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from router.errors import RouterError

DEFAULT_URL = "http://127.0.0.1:8080"
TOKEN_VARIABLE = "CONTACT_ROUTER_TOKEN"
TRIES = 8
LONGEST_PAUSE_S = 10.0
PASSING = frozenset({429, 502, 503, 504})
"""Answers that say "later": the same request is sent again."""


class Answered(RouterError):
    """The server refused. `status` and `code` are its own."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def read_token(file: Path | None) -> str:
    """The token from a file, else from the environment. Raises RouterError where there is none."""
    token = (
        os.environ.get(TOKEN_VARIABLE, "") if file is None else file.read_text("utf-8", "replace")
    ).strip()
    if not token:
        where = f"{file} is empty" if file is not None else f"no --token-file, no {TOKEN_VARIABLE}"
        raise RouterError(
            f"{where}: make a token with `contact-router token create supervisor`, or POST "
            "/v1/tokens, and give it as --token-file FILE"
        )
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise RouterError(f"{file or TOKEN_VARIABLE}: expected one token (crt_…) and nothing else")
    return token


class RunningServer:
    """Use with `async with`; one connection, kept open."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        timeout = aiohttp.ClientTimeout(total=120, sock_connect=10)
        self._session = aiohttp.ClientSession(headers=headers, timeout=timeout)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, **query: str) -> Any:
        """GET: JSON, or CSV as text. Raises Answered, and RouterError where there is no server."""
        return await self._ask("GET", path, query, None)

    async def post(self, path: str, body: Any) -> Any:
        """POST of what may be sent twice. Raises as `get` does."""
        return await self._ask("POST", path, {}, msgspec.json.encode(body))

    async def _ask(self, method: str, path: str, query: dict[str, str], body: bytes | None) -> Any:
        """Send until there is an answer that is not "later"; both kinds of call may be repeated."""
        pause_s = 0.25
        for left in range(TRIES - 1, -1, -1):
            try:
                return await self._once(method, path, query, body)
            except Answered as error:
                if error.status not in PASSING or not left:
                    raise
            except (aiohttp.ClientConnectionError, TimeoutError) as error:
                if not left or (body is None and isinstance(error, aiohttp.ClientConnectorError)):
                    raise RouterError(f"{self._url} does not answer: {error}") from error
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
        raise AssertionError("the last try returns or raises")

    async def _once(self, method: str, path: str, query: dict[str, str], body: bytes | None) -> Any:
        assert self._session is not None, "use `async with`"
        headers = {"Content-Type": "application/json"} if body is not None else {}
        url = f"{self._url}{path}"
        try:
            async with self._session.request(
                method, url, params=query, data=body, headers=headers, allow_redirects=False
            ) as answer:
                raw = await answer.read()
                if answer.status < 300 and answer.content_type == "text/csv":
                    return raw.decode()
                if answer.status < 300:
                    return msgspec.json.decode(raw) if raw else None
                raise _answered(self._url, answer.status, raw)
        except (aiohttp.InvalidURL, msgspec.DecodeError) as error:
            raise RouterError(f"{url}: expected a contact-router server: {error}") from error


def _answered(url: str, status: int, raw: bytes) -> Answered:
    try:
        problem = msgspec.json.decode(raw)
        code, detail = str(problem["code"]), str(problem["detail"])
    except (msgspec.DecodeError, KeyError, TypeError):
        code, detail = "", raw[:200].decode("utf-8", "replace")
    return Answered(status, code, f"{url} answered {status}: {detail}")
