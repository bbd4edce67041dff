"""Events to somebody else's HTTP server: signed, in order, at least once.

A request is a POST of JSON ``{"workspace": ..., "events": [{"seq": ..., "type": ..., ...}]}`` with
up to 100 events, in sequence. Headers:

    X-Router-Webhook     the webhook's name
    X-Router-Delivery    ``<first seq>-<last seq>``, the same when it is sent again
    X-Router-Attempt     1, 2, ...
    X-Router-Timestamp   seconds since 1970
    X-Router-Signature   ``v1=`` + hex of HMAC-SHA256(secret, timestamp + "." + body)

Any 2xx within 15 s is success. Anything else is tried again, ever more slowly, for 24 hours; then
the events are put aside (archive kind ``webhook_dead``: as the log has them, sealed where it is),
and the next ones go out. The place is a row (kind ``webhook``), so a restart skips nothing. Only
configured URLs are called, redirects are not followed, and of the answer at most a few KiB are
read.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from router.core.events import Event
from router.errors import JournalError
from router.journal import ArchiveWrite
from router.runtime.clock import Clock, sleep
from router.runtime.feed import Item
from router.runtime.loop import Workspace
from router.runtime.tasks import TaskSet

log = logging.getLogger("router.webhooks")

EVENTS = 100
FRAMES = 100
TIMEOUT_S = 15.0
ANSWER_BYTES = 4096
FIRST_PAUSE_US = 1_000_000
LONGEST_PAUSE_US = 3600 * 1_000_000
GIVE_UP_US = 24 * 3600 * 1_000_000
PRIVATE = ("sealed", "seal_key", "peer_key")
"""Fields of events that leave the house with nobody."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where events go."""

    name: str
    url: str
    secret: bytes
    events: frozenset[str] = frozenset()
    """Names of the event types wanted; empty = all."""


class Webhooks:
    """The webhooks of one workspace."""

    def __init__(self, workspace: Workspace, clock: Clock, rng: random.Random) -> None:
        self._workspace = workspace
        self._clock = clock
        self._rng = rng
        self._tasks = TaskSet(f"webhooks:{workspace.name}")
        self._session: aiohttp.ClientSession | None = None

    def start(self, webhooks: Sequence[Webhook]) -> None:
        """Deliver from where each one stood; a new one begins with the next event."""
        if webhooks:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), cookie_jar=aiohttp.DummyCookieJar()
            )
        for webhook in webhooks:
            if webhook.name not in self._workspace.rows_of("webhook"):
                self._stand(webhook, self._workspace.seq)
            self._tasks.spawn(self._serve(webhook), webhook.name)

    async def stop(self) -> None:
        """Stop; what was not delivered goes out after the next start."""
        await self._tasks.stop()
        if self._session is not None:
            await self._session.close()

    async def _serve(self, webhook: Webhook) -> None:
        place = int(self._workspace.rows_of("webhook")[webhook.name])
        stream = self._workspace.feed.subscribe(place + 1)
        skipped = 0
        try:
            while items := await stream.insist():
                if stream.skipped > skipped:
                    log.error(
                        "webhook missed events that were trimmed",
                        extra={"webhook": webhook.name, "events": stream.skipped - skipped},
                    )
                    skipped = stream.skipped
                for first in range(0, len(items), EVENTS):
                    part = items[first : first + EVENTS]
                    wanted = [
                        item
                        for item in part
                        if not webhook.events or type(item[1]).__name__ in webhook.events
                    ]
                    if wanted:
                        await self._deliver(webhook, wanted)
                    self._stand(webhook, part[-1][0])
        finally:
            stream.close()

    def _stand(self, webhook: Webhook, seq: int) -> None:
        self._workspace.note("webhook", webhook.name, str(seq).encode())

    async def _deliver(self, webhook: Webhook, items: list[Item]) -> None:
        body = encode(self._workspace.name, items)
        delivery = f"{items[0][0]}-{items[-1][0]}"
        began_us = self._clock.now_us()
        pause_us = FIRST_PAUSE_US
        attempt = 0
        while True:
            attempt += 1
            why = await self._post(webhook, body, delivery, attempt)
            if not why:
                return
            if self._clock.now_us() - began_us > GIVE_UP_US:
                break
            if attempt in (1, 5, 20):
                log.warning(
                    "webhook not delivered",
                    extra={"webhook": webhook.name, "why": why, "attempt": attempt},
                )
            await sleep(self._clock, int(pause_us * (0.5 + self._rng.random() / 2)))
            pause_us = min(2 * pause_us, LONGEST_PAUSE_US)
        log.error("webhook gave up", extra={"webhook": webhook.name, "delivery": delivery})
        self._workspace.metrics.dead_letter("webhook")
        await self._put_aside(webhook, items)

    async def _put_aside(self, webhook: Webhook, items: list[Item]) -> None:
        """Keep what was not taken: [number, bytes of the event], as far as the log still has it."""
        workspace = self._workspace
        wanted = {seq: None for seq, _ in items}
        first, last = items[0][0], items[-1][0]
        kept: list[tuple[int, bytes]] = []
        seq = first
        while seq <= last:
            try:
                frames = await workspace.frames(seq, FRAMES)
            except JournalError as error:
                log.warning("put aside in part", extra={"error": str(error)})
                break
            if not frames:
                break
            for frame in frames:
                numbered = enumerate(frame.events, frame.first_seq)
                kept += [(number, data) for number, data in numbered if number in wanted]
            seq = frames[-1].first_seq + len(frames[-1].events)
        id_, now_us = f"{webhook.name}/{first:015d}", workspace.now_us()
        workspace.keep(ArchiveWrite("webhook_dead", id_, now_us, msgspec.msgpack.encode(kept)))

    async def _post(self, webhook: Webhook, body: bytes, delivery: str, attempt: int) -> str:
        """One attempt; why it failed, or nothing."""
        assert self._session is not None, "deliver before start"
        timestamp = str(self._clock.now_us() // 1_000_000)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "contact-router",
            "X-Router-Webhook": webhook.name,
            "X-Router-Delivery": delivery,
            "X-Router-Attempt": str(attempt),
            "X-Router-Timestamp": timestamp,
            "X-Router-Signature": signature(webhook.secret, timestamp, body),
        }
        try:
            async with self._session.post(
                webhook.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                await answer.content.read(ANSWER_BYTES)
                return "" if 200 <= answer.status < 300 else f"status {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """What X-Router-Signature must be for this body."""
    digest = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"v1={digest}"


def encode(workspace: str, items: Sequence[Item]) -> bytes:
    """The body of a delivery."""
    events = [{"seq": seq, **public(event)} for seq, event in items]
    return msgspec.json.encode({"workspace": workspace, "events": events})


def public(event: Event) -> dict[str, Any]:
    """An event without its sealed fields."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    for name in PRIVATE:
        fields.pop(name, None)
    return fields
