"""``POST /files``: a visitor's file, checked, bounded, and kept by the router until it is said.

    Webchat-Token: the visitor's token              201 {id, name, size}
    Webchat-File-Name: percent-encoded (RFC 3986)   400, 403, 404, 408, 413, 415, 422, 429, 503
    <the bytes>                                         {code, text}, and Retry-After where it helps

The page is another origin's, so browsers ask first (CORS, Fetch standard 3.3): pages of the allowed
origins are answered, others are not. No cookie is looked at: the token is the visitor, and counts
only while a page of theirs is open, which has shown the site's key (and the identity, if any).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from urllib.parse import unquote

import aiohttp
import msgspec
from aiohttp import web

from adapters import TRY_AGAIN, Crew, hook_body
from adapters.webchat.codec import same_origin
from adapters.webchat.conversation import Conversation
from adapters.webchat.door import network_of
from adapters.webchat.files import Rates, kind_of, name_for
from adapters.webchat.settings import Settings
from adapters.webchat.unsaid import Unsaid
from router.channel import Refused, Router

AT_ONCE = 16
"""Files on their way at once: so many times `file_bytes` is what they take of memory."""
NETWORK_AT_ONCE = 4
NETWORK_TIMES = 10
"""A network may send so many times what one visitor may: there are offices behind some."""
SLOWEST = 65_536
"""Bytes a second that a line must carry, and `GRACE_S` on top, or the upload is given up."""
GRACE_S = 20.0
NAME_CHARS = 120
CUT = (aiohttp.ClientError, ConnectionError, web.RequestPayloadError)
"""What reading a body raises when the other end is gone or sends nonsense."""


class NotTaken(Exception):
    """The answer is no: a status, a code for programs, words for people."""

    def __init__(self, status: int, code: str, text: str, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text
        self.retry_after_s = retry_after_s


class Uploads:
    """The files of one site's visitors on their way in."""

    def __init__(self, config: Settings, router: Router, crew: Crew) -> None:
        self.config = config
        self.grace_s = GRACE_S
        self._router = router
        self._visitors = Rates(config.files_per_hour)
        self._networks = Rates(NETWORK_TIMES * config.files_per_hour)
        self._on_their_way: Counter[str] = Counter()
        """By network."""
        self._unsaid = Unsaid(router, crew)

    async def take(
        self, request: web.Request, conversation: Conversation | None
    ) -> dict[str, str | int]:
        """Read and keep one file; returns what the page is answered. Raises NotTaken."""
        most = self.config.file_bytes
        if conversation is None or not conversation.pages:
            raise NotTaken(403, "not_here", "this visitor's chat is not open")
        if (request.content_length or 0) > most:
            raise NotTaken(413, "too_big", f"a file has at most {most} bytes")
        network, now_s = network_of(request.remote or ""), asyncio.get_running_loop().time()
        shelf = conversation.files
        if (
            shelf.busy
            or self._on_their_way.total() >= AT_ONCE
            or self._on_their_way[network] >= NETWORK_AT_ONCE
            or self._unsaid.is_full(network)
        ):
            raise NotTaken(503, "try_again", "other files are on their way", 2.0)
        self._charge(conversation.visitor, network, now_s)
        shelf.busy = True
        self._on_their_way[network] += 1
        try:
            data = await self._body(request)
            return await self._keep(conversation, data, _name(request), network)
        finally:
            shelf.busy = False
            self._on_their_way[network] -= 1
            self._on_their_way += Counter()  # those at zero go

    def said(self, ids: tuple[str, ...]) -> None:
        """A message has them, or nobody knows whether it has: they stay."""
        for id_ in ids:
            self._unsaid.said(id_)

    def stop(self) -> int:
        """No page is left that could name those that wait. How many are being removed."""
        return self._unsaid.stop()

    def _charge(self, visitor: str, network: str, now_s: float) -> None:
        # What is refused later counts, too: it was read.
        wait_s = self._visitors.take(visitor, now_s) or self._networks.take(network, now_s)
        if wait_s > 0:
            raise NotTaken(429, "too_fast", "too many files in one hour", wait_s)

    async def _body(self, request: web.Request) -> bytes:
        length = request.content_length
        announced = self.config.file_bytes if length is None else length
        try:
            return await hook_body(
                request, None, self.config.file_bytes, self.grace_s + announced / SLOWEST
            )
        except web.HTTPRequestEntityTooLarge:
            most = self.config.file_bytes
            raise NotTaken(413, "too_big", f"a file has at most {most} bytes") from None
        except web.HTTPRequestTimeout:
            raise NotTaken(408, "too_slow", "the file took too long") from None
        except CUT:
            raise NotTaken(400, "cut", "the file did not come whole") from None

    async def _keep(
        self, conversation: Conversation, data: bytes, name: str, network: str
    ) -> dict[str, str | int]:
        kind = kind_of(data)
        if kind not in self.config.file_types:
            raise NotTaken(415, "type", f"taken are {', '.join(self.config.file_types)}")
        name = name_for(name, kind)
        try:
            entry = await self._router.attach(data, name=name, kind=kind)
        except Refused as refused:
            raise NotTaken(422, refused.code, "this file cannot be taken") from None
        except TRY_AGAIN as error:
            after_s = getattr(error, "retry_after_s", 5.0)
            raise NotTaken(503, "try_again", "we are very busy: one moment", after_s) from None
        now_s = asyncio.get_running_loop().time()
        name = str(entry.get("name", name))
        id_ = conversation.files.put(name, entry, now_s)
        self._unsaid.put(id_, entry, network)
        return {"id": id_, "name": name, "size": len(data)}


def _name(request: web.Request) -> str:
    """What the visitor calls it; the router cleans it. The beginning goes, not the ending."""
    name = unquote(request.headers.get("Webchat-File-Name", ""), errors="replace")
    # A header may hold octets that are no text: they come as surrogates, which nobody can encode.
    return name.encode("utf-8", "replace").decode()[-NAME_CHARS:] or "file"


def may_upload(request: web.Request, config: Settings) -> None:
    """Whether this page may at all. Raises NotTaken: files are off, or another site's page."""
    if not config.files:
        raise NotTaken(404, "no_files", "this chat takes no files")
    if not same_origin(request.headers.get("Origin", ""), config.origins, request.host):
        raise NotTaken(403, "origin", "pages of this origin may not send files here")


def allowed(request: web.Request) -> web.Response:
    """The browser's question before the upload: yes."""
    headers = {
        **_cors(request),
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "Webchat-Token, Webchat-File-Name, Content-Type",
        "Access-Control-Max-Age": "600",
    }
    return web.Response(status=204, headers=headers)


def answer(request: web.Request, found: dict[str, str | int]) -> web.Response:
    """The file is kept."""
    return web.Response(
        status=201, body=msgspec.json.encode(found), content_type="application/json",
        headers=_cors(request),
    )  # fmt: skip


def refusal(request: web.Request, no: NotTaken) -> web.Response:
    """It is not; an allowed page may read why."""
    headers = {} if no.code in ("no_files", "origin") else _cors(request)
    if no.retry_after_s > 0:
        headers["Retry-After"] = str(max(1, -int(-no.retry_after_s // 1)))
    body = msgspec.json.encode({"code": no.code, "text": no.text})
    return web.Response(
        status=no.status, body=body, content_type="application/json", headers=headers
    )


def _cors(request: web.Request) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": request.headers.get("Origin", ""),
        "Access-Control-Expose-Headers": "Retry-After",
        "Vary": "Origin",
    }
