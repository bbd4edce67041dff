"""Adapters: each joins one kind of backend to the router. How to add one: adapters/README.md.

`adapters.<type>` has `CHANNEL` (the Channel class) and `SETTINGS` (its documented settings record),
and may have ``routes(channel)`` (HTTP routes that the API mounts under ``/v1/<type>/<name>``). What
several adapters need of the same thing stands here.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec
from aiohttp import web

from router.channel import (
    ChannelError,
    ChannelLost,
    CollectFromContact,
    OutcomeUnknown,
    Overloaded,
    Refused,
    Router,
    StoreFull,
    UnknownOutcome,
)
from router.core.record import Value
from router.errors import ConfigError

log = logging.getLogger(__name__)

S = TypeVar("S", bound=Value)
T = TypeVar("T")

TRY_AGAIN = (Overloaded, OutcomeUnknown, StoreFull)
"""What a `Router` call raises when the same call may be made again."""


def read_settings(record: type[S], raw: dict[str, Any], where: str) -> S:
    """The settings of an adapter as its record; raises ConfigError with every unknown key.

    `where` stands before each finding (``adapters.pbx``).
    """
    known = [field.encode_name for field in msgspec.structs.fields(record)]
    findings = []
    for key in raw:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
            findings.append(f"{where}.{key}: unknown setting{hint}")
    if findings:
        raise ConfigError(findings)
    try:
        return msgspec.convert(raw, record)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        raise ConfigError([f"{where}{path.rstrip('`')}: {text}"]) from None


def read_secret(path: str, where: str) -> str:
    """The first line of a secret's file. Raises ConfigError: not there, empty, or others may read.

    `where` is the setting that names it (``adapters.pbx.token_file``).
    """
    file = Path(path)
    try:
        if file.stat().st_mode & 0o006:
            raise ConfigError([f"{where}: {path} may be read by others: chmod 600"])
        secret = file.read_text("utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", "") or "is not UTF-8"
        raise ConfigError([f"{where}: {path}: {why}"]) from None
    if not secret:
        raise ConfigError([f"{where}: {path} is empty"])
    return secret


class Finding(Value, kw_only=True):
    """One thing that an adapter's `check` has to say about its backend.

    ``async def check(name, settings, endpoints) -> list[Finding]`` in an adapter's module asks the
    backend what is wrong; `contact-router doctor --adapters` calls it.
    """

    level: str
    """``ok``, ``warning`` or ``error``"""
    text: str
    """In plain words, without personal data."""


class Fence:
    """Refuses effects of an owner that was replaced: an epoch lower than one already seen."""

    __slots__ = ("epoch",)

    def __init__(self) -> None:
        self.epoch = 0

    def check(self, epoch: int) -> None:
        """Raises ChannelError for an epoch that is over."""
        if epoch < self.epoch:
            raise ChannelError(f"epoch {epoch} is over: the current one is {self.epoch}")
        self.epoch = epoch


class Crew:
    """An adapter's own tasks: a bounded number, none dies in silence, all end with `run`."""

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self.most = most
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        """Let `work` go on beside; raises ChannelError when the crew is full."""
        if len(self._tasks) >= self.most:
            work.close()
            raise ChannelError(f"{self.name} has {self.most} tasks under way and takes no more")
        task = asyncio.get_running_loop().create_task(
            self._watch(work, what), name=f"{self.name}:{what}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # cancelled before it has begun
        return task

    async def stop(self, grace_s: float = 0.0) -> None:
        """Let the tasks end by themselves for so long, cancel the rest, wait until all are gone."""
        if self._tasks and grace_s > 0:
            await asyncio.wait(self._tasks, timeout=grace_s)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, work: Coroutine[Any, Any, None], what: str) -> None:
        try:
            await work
        except Refused as refused:
            log.debug("%s: %s: refused: %s", self.name, what, refused.code)
        except TRY_AGAIN as error:
            log.warning("%s: %s: given up: %s", self.name, what, type(error).__name__)
        except Exception:
            log.exception("%s: %s failed", self.name, what)


async def insist(
    call: Callable[[], Awaitable[T]],
    *,
    on: tuple[type[Exception], ...] = TRY_AGAIN,
    for_s: float = 30.0,
    first_s: float = 0.2,
) -> T:
    """Make an idempotent `Router` call until it is taken, waiting longer each time.

    After `for_s` seconds the last of the `on` errors is raised; others at once.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + for_s
    pause = first_s
    while True:
        try:
            return await call()
        except on as error:
            pause = max(pause, getattr(error, "retry_after_s", 0.0))
            if loop.time() + pause > until:
                raise
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5.0)


class Breaker:
    """Spares a backend that keeps failing: effects fail at once, one each `pause_s` tries again."""

    def __init__(self, after: int = 5, pause_s: float = 5.0) -> None:
        self.after = after
        self.pause_s = pause_s
        self._failures = 0
        self._failed_s = 0.0
        self._next_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it fails what it is asked, but for one attempt now and then."""
        return self._failures >= self.after

    def check(self, now_s: float) -> None:
        """Before an attempt; raises ChannelError while the backend is left in peace."""
        if not self.is_open:
            return
        if now_s < self._next_s:
            raise ChannelError("the backend keeps failing: nothing was sent")
        self._next_s = now_s + self.pause_s  # this one tries for all

    def failed(self, began_s: float, now_s: float) -> bool:
        """An attempt failed for the backend's sake. True: that opens the breaker.

        Those that were under way together fail together, when a backend dies: they count once.
        """
        self._next_s = now_s + self.pause_s
        if began_s < self._failed_s:
            return False
        self._failed_s = now_s
        self._failures += 1
        return self._failures == self.after

    def succeeded(self) -> bool:
        """The backend has answered. True: that closes the breaker."""
        was_open, self._failures = self.is_open, 0
        return was_open


class Bucket:
    """A rate: `burst` at once, then `per_s` a second."""

    def __init__(self, per_s: float, burst: int) -> None:
        self.per_s = per_s
        self.burst = burst
        self._left = float(burst)
        self._at_s = 0.0

    def take(self, now_s: float) -> float:
        """0 and one is taken, or the seconds until one is there."""
        self._left = min(float(self.burst), self._left + (now_s - self._at_s) * self.per_s)
        self._at_s = now_s
        if self._left >= 1.0:
            self._left -= 1.0
            return 0.0
        return (1.0 - self._left) / self.per_s


class NotSent(ChannelError):
    """The backend has not taken it: it may be tried again."""


class Throttled(NotSent):
    """The backend is well and says: not so fast."""

    def __init__(self, text: str, retry_after_s: float = 1.0) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class Sender:
    """Requests to an HTTP backend: bounded, patient while nothing was sent, none while it fails."""

    def __init__(
        self, state: Callable[[str, str], None], *, most: int, at_once: int, patience_s: float
    ) -> None:
        self.most = most
        self.patience_s = patience_s
        self.held = 0
        self.lost = asyncio.Event()
        """Set when nobody was there `LOST` times in a row; cleared by whoever connects anew."""
        self.breaker = Breaker()
        self._state = state
        self._room = asyncio.Semaphore(at_once)
        self._nobody = 0

    async def send(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` returns. It is made again (for `patience_s`) when it raises `NotSent`."""
        if self.held >= self.most:
            raise ChannelError(f"{self.most} effects are under way: no more are taken")
        self.held += 1
        try:
            return await self._patiently(attempt)
        finally:
            self.held -= 1

    async def watch(self, probe: Callable[[], Awaitable[None]], every_s: float) -> None:
        """Until nobody is there: ChannelLost. `probe` asks now and then, for a quiet channel."""
        while True:
            try:
                async with asyncio.timeout(every_s):
                    await self.lost.wait()
            except TimeoutError:
                await probe()
            else:
                raise ChannelLost("the backend cannot be reached")

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        now_s = asyncio.get_running_loop().time
        until_s, pause_s = now_s() + self.patience_s, 0.2
        while True:
            async with self._room:
                began_s = now_s()
                self.breaker.check(began_s)
                try:
                    done = await attempt()
                except Throttled as slow:
                    wait_s, last = max(pause_s, slow.retry_after_s), ChannelError(str(slow))
                except NotSent as error:
                    wait_s, last = pause_s, ChannelError(str(error))
                    self._nobody += 1
                    if self._nobody >= LOST:
                        self.lost.set()
                except UnknownOutcome as error:
                    if self.breaker.failed(began_s, now_s()):
                        self._state("degraded", str(error))
                    raise
                except ChannelError:
                    self._answered()
                    raise
                else:
                    self._answered()
                    return done
            if now_s() + wait_s > until_s:
                raise last
            await asyncio.sleep(wait_s)
            pause_s = min(2 * pause_s, 2.0)

    def _answered(self) -> None:
        self._nobody = 0
        if self.breaker.succeeded():
            self._state("up", "")


LOST = 3
"""So often in a row was nobody there, and the adapter connects anew."""


def http_trouble(error: Exception) -> ChannelError:
    """What an aiohttp error means for a request that does something: not sent, or nobody knows."""
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return NotSent("the backend cannot be reached")
    return UnknownOutcome(f"the backend did not answer: {type(error).__name__}")


async def bounded_body(response: aiohttp.ClientResponse, most: int) -> bytes:
    """An answer's body. Raises UnknownOutcome when it is longer than `most` bytes."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > most:
            raise UnknownOutcome("the backend's answer is too long")
    return bytes(body)


def retry_after(value: str | None, default_s: float = 1.0) -> float:
    """Seconds of a Retry-After header (RFC 9110 10.2.3); a date or nonsense is the default."""
    digits = (value or "").strip()
    return (
        min(3600.0, float(digits)) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", digits) else default_s
    )


async def hook_body(
    request: web.Request, rate: Bucket | None, most: int, for_s: float = 10.0
) -> bytes:
    """A webhook's body, within its size and time; raises the answer (429, 413, 408).

    None as `rate` where `hook_rate` follows: after a signature, forged calls use up nothing.
    """
    if rate is not None:
        hook_rate(rate)
    if (request.content_length or 0) > most:
        raise web.HTTPRequestEntityTooLarge(most, request.content_length or 0)
    body = bytearray()
    try:
        async with asyncio.timeout(for_s):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > most:
                    raise web.HTTPRequestEntityTooLarge(most, len(body))
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    return bytes(body)


def hook_rate(bucket: Bucket) -> None:
    """Raises 429 when this call is one too many."""
    wait_s = bucket.take(asyncio.get_running_loop().time())
    if wait_s > 0:
        raise web.HTTPTooManyRequests(headers=_later(wait_s))


async def hook_answer(call: Awaitable[object]) -> web.Response | None:
    """None when a `Router` call was durable; 503: say it again (ids make it safe); 422: never."""
    try:
        await call
    except TRY_AGAIN as error:
        after_s = getattr(error, "retry_after_s", 2.0)
        return web.Response(status=503, text="not taken: say it again", headers=_later(after_s))
    except Refused as refused:
        return web.Response(status=422, text=f"refused: {refused.code}")
    return None


def _later(after_s: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, -int(-after_s // 1)))}


ANSWER = 1_000
"""So much of what a customer writes is the answer to a question, in characters."""
QUESTIONS = 10_000
"""Most questions open at once in one adapter."""


@dataclass(slots=True)
class _Open:
    """A question that waits for its answer."""

    external_id: str
    effect: CollectFromContact
    timer: asyncio.TimerHandle


class Questions:
    """Questions put in writing, one to each customer at a time: what they write next answers."""

    def __init__(self, router: Router, crew: Crew) -> None:
        self._router = router
        self._crew = crew
        self._open: dict[str, _Open] = {}

    def put(self, who: str, external_id: str, effect: CollectFromContact) -> str:
        """Wait for `who` to answer; the text to send, empty when it is being asked already.

        Raises ChannelError when there are too many.
        """
        known = self._open.get(who)
        if known is not None and known.effect.ask == effect.ask:
            return ""
        if known is None and len(self._open) >= QUESTIONS:
            raise ChannelError(f"{QUESTIONS} questions are open")
        self.withdraw(who)
        timer = asyncio.get_running_loop().call_later(
            effect.timeout_us / 1e6, self._answered, who, ""
        )
        self._open[who] = _Open(external_id, effect, timer)
        return "\n".join([effect.prompt, *(f"{k}: {v}" for k, v in effect.choices.items())])

    def answer(self, who: str, text: str) -> None:
        """`who` has written; an answer if something is asked and this was one of the choices."""
        known = self._open.get(who)
        if known is None:
            return
        value, choices = text.strip()[:ANSWER], known.effect.choices
        if choices and value not in choices:
            value = next((k for k, v in choices.items() if v.casefold() == value.casefold()), "")
        if value:
            self._answered(who, value)

    def withdraw(self, who: str) -> None:
        """It could not be put, or the contact is over."""
        known = self._open.pop(who, None)
        if known is not None:
            known.timer.cancel()

    def stop(self) -> None:
        """Nobody waits any more: the router states open questions again."""
        for who in list(self._open):
            self.withdraw(who)

    def _answered(self, who: str, value: str) -> None:
        known = self._open[who]
        self.withdraw(who)
        effect = known.effect
        self._crew.start(
            insist(
                lambda: self._router.collected(
                    known.external_id, effect.name, value, ask=effect.ask, timed_out=not value
                )
            ),
            "answer",
        )


def pieces(text: str, most: int) -> list[str]:
    """A text in parts of at most `most` characters, cut at blanks where there are some."""
    parts = []
    while len(text) > most:
        cut = max(text.rfind(" ", most // 2, most), text.rfind("\n", most // 2, most)) + 1
        cut = cut or _between_letters(text, most)
        parts.append(text[:cut])
        text = text[cut:]
    return [*parts, text] if text else parts


def _between_letters(text: str, at: int) -> int:
    """A cut before which no letter ends in a mark, a joiner or half a flag; at most `at`."""
    for cut in range(at, at // 2, -1):
        if text[cut] not in JOINED and text[cut - 1] not in JOINED:
            return cut
    return at


JOINED = {"\u200d", "\ufe0f", "\u20e3", *map(chr, range(0x300, 0x370)),
          *map(chr, range(0x1F3FB, 0x1F400)), *map(chr, range(0x1F1E6, 0x1F200))}  # fmt: skip
"""Characters that belong to the one beside them: joiner, variation, accents, skin tones, flags."""
