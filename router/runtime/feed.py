"""The event stream of a workspace: everything from a sequence number on, first stored, then live.

At least once and without gaps. A subscriber that cannot keep up costs bounded memory: its buffer is
dropped and it goes back to reading the journal from where it stands. Only when the journal has been
trimmed past that place does it miss events; `Subscription.skipped` says how many.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from router.core.events import Event
from router.errors import JournalFailed
from router.journal import StoredFrame
from router.journal.codec import decode_event

LIVE_EVENTS = 10_000
"""Most events kept in memory for one subscriber."""
FRAMES_AT_ONCE = 50
READ_AGAIN_S = 1.0
log = logging.getLogger("router.feed")

Item = tuple[int, Event]
Tap = Callable[[int, Sequence[Event]], None]
"""Takes the first sequence number and the events of a commit."""


class Subscription:
    """One reader of the stream: iterate, or take `batch` by `batch`. Call `close` at the end."""

    def __init__(self, feed: Feed, from_seq: int) -> None:
        self.next_seq = from_seq
        self.skipped = 0
        """Events that had been trimmed before this reader came to them."""
        self._feed = feed
        self._live: deque[tuple[int, Sequence[Event]]] = deque()
        self._held = 0
        self._behind = True
        self._wake = asyncio.Event()
        self._closed = False

    def push(self, first_seq: int, events: Sequence[Event]) -> None:
        """The feed has something new; called after the commit."""
        if self._held + len(events) > LIVE_EVENTS:
            self._live.clear()
            self._held = 0
            self._behind = True
        else:
            self._live.append((first_seq, events))
            self._held += len(events)
        self._wake.set()

    async def batch(self) -> list[Item]:
        """The next events in order; waits for some. Empty = the stream has ended."""
        while not self._closed:
            if self._behind:
                items = await self._stored()
            else:
                items = self._drain()
            if items:
                return items
            if not self._behind and not self._live and not self._closed:
                self._wake.clear()
                await self._wake.wait()
        return []

    async def insist(self) -> list[Item]:
        """As `batch`; a store that does not answer is asked again until it does."""
        while True:
            try:
                return await self.batch()
            except JournalFailed as error:
                log.warning("events could not be read", extra={"why": str(error)})
                await asyncio.sleep(READ_AGAIN_S)

    def __aiter__(self) -> AsyncIterator[Item]:
        return self._each()

    async def _each(self) -> AsyncIterator[Item]:
        while items := await self.batch():
            for item in items:
                yield item

    def close(self) -> None:
        """No more; a waiting reader gets the end of the stream."""
        self._closed = True
        self._live.clear()
        self._feed.drop(self)
        self._wake.set()

    def _drain(self) -> list[Item]:
        items: list[Item] = []
        while self._live:
            first_seq, events = self._live.popleft()
            if first_seq > self.next_seq:  # cannot happen; if it does, the journal has the truth
                self._live.appendleft((first_seq, events))
                self._behind = True
                break
            fresh = events[self.next_seq - first_seq :]
            items.extend(enumerate(fresh, self.next_seq))
            self.next_seq += len(fresh)
        self._held = sum(len(events) for _, events in self._live)
        return items

    async def _stored(self) -> list[Item]:
        last_seq = self._feed.last_seq()
        if self.next_seq > last_seq:
            self._behind = False
            return []
        frames = await self._feed.read(self.next_seq, FRAMES_AT_ONCE)
        items: list[Item] = []
        for frame in frames:
            if frame.first_seq > self.next_seq:
                self.skipped += frame.first_seq - self.next_seq
                self.next_seq = frame.first_seq
            for seq, data in enumerate(frame.events, frame.first_seq):
                if seq == self.next_seq:
                    items.append((seq, self._feed.decode(data)))
                    self.next_seq += 1
        if not frames:  # trimmed up to the end, as it was: more may have come meanwhile
            self.skipped += last_seq + 1 - self.next_seq
            self.next_seq = last_seq + 1
        return items


class Feed:
    """All readers of one workspace's stream."""

    def __init__(
        self,
        read: Callable[[int, int], Awaitable[list[StoredFrame]]],
        last_seq: Callable[[], int],
        decode: Callable[[bytes], Event] = decode_event,
    ) -> None:
        self.read = read
        self.decode = decode
        self.last_seq = last_seq
        self._subscribers: dict[Subscription, None] = {}
        self._taps: dict[Tap, None] = {}

    def subscribe(self, from_seq: int | None = None) -> Subscription:
        """Events from `from_seq` on (None: from the next one)."""
        subscription = Subscription(
            self, self.last_seq() + 1 if from_seq is None else max(1, from_seq)
        )
        self._subscribers[subscription] = None
        return subscription

    def tap(self, tell: Tap) -> Callable[[], None]:
        """Call `tell` inside each `publish`, while the state is exactly the committed one.

        It must neither wait nor raise. Returns what ends it.
        """
        self._taps[tell] = None

        def end() -> None:
            self._taps.pop(tell, None)

        return end

    def publish(self, first_seq: int, events: Sequence[Event]) -> None:
        """A frame is durable."""
        for tell in list(self._taps):
            tell(first_seq, events)
        for subscription in self._subscribers:
            subscription.push(first_seq, events)

    def drop(self, subscription: Subscription) -> None:
        """This reader is gone."""
        self._subscribers.pop(subscription, None)

    def close(self) -> None:
        """End every reader's stream."""
        for subscription in list(self._subscribers):
            subscription.close()

    def __len__(self) -> int:
        return len(self._subscribers)
