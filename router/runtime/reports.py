"""Interval reports of a workspace, worked out from its log."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from router.core.model import DAY_US
from router.core.recount import Recount, Row
from router.core.tallies import INTERVAL_US
from router.errors import Invalid, Overloaded
from router.journal.codec import decode_event
from router.runtime.local_time import wall_days
from router.runtime.loop import Workspace

LOOK_BACK_US = 2 * DAY_US
"""So far before a span the log is read, for what had begun before and went on."""
SPAN_MOST_US = 32 * DAY_US
EVENTS_MOST = 5_000_000
"""Most events that are read for one report; about half a minute of a core."""
_FRAMES = 20
"""Frames at a time: what they take is how long commands may have to wait."""
WAITING_MOST = 8
"""So many reports of a workspace wait for the one that is being made; a page asks for a new one
with every choice."""
_turns: WeakKeyDictionary[Workspace, asyncio.Semaphore] = WeakKeyDictionary()
_asked: Counter[str] = Counter()
"""Reports that are being made or wait, by workspace."""


async def first_seq(workspace: Workspace, at_us: int) -> int:
    """The sequence number from which frames are not older than `at_us`: a search by halves."""
    low, high = await workspace.journal.oldest_seq(workspace.own), workspace.seq + 1
    while low < high:
        middle = (low + high) // 2
        frames = await workspace.frames(middle, 1)
        if not frames or frames[0].at_us >= at_us:
            high = middle
        else:
            low = frames[0].first_seq + len(frames[0].events)
    return low


@asynccontextmanager
async def turn(workspace: Workspace) -> AsyncIterator[None]:
    """One at a time reads the log of a workspace for a whole span. Raises Overloaded."""
    if _asked[workspace.name] > WAITING_MOST:
        raise Overloaded("other reports are being made: ask again in a moment", 2.0)
    _asked[workspace.name] += 1
    try:
        async with _turns.setdefault(workspace, asyncio.Semaphore(1)):
            yield
    finally:
        _asked[workspace.name] -= 1


async def make_report(
    workspace: Workspace, by: Sequence[str], from_us: int, to_us: int, every: int, zone: str = ""
) -> list[Row]:
    """Lines of a span, see `Recount.rows`; its ends are moved to whole quarters of an hour.

    With an IANA `zone`, intervals of a day begin when its clock shows midnight.
    One of a workspace is made at a time, the others wait for it. Raises Invalid for a span that is
    none or is trimmed from the log already, Overloaded when too many wait.
    """
    if not 0 < to_us - from_us <= SPAN_MOST_US:
        raise Invalid("span", "a report is about more than nothing, and at most 32 days")
    from_us -= from_us % INTERVAL_US
    to_us += -to_us % INTERVAL_US
    async with turn(workspace):
        recount = await _recount(workspace, from_us, to_us)
    days = wall_days(zone, from_us, to_us) if zone and every * INTERVAL_US == DAY_US else ()
    return list(recount.rows(by, every, workspace.now_us(), days))


async def _recount(workspace: Workspace, from_us: int, to_us: int) -> Recount:
    seq = await first_seq(workspace, from_us - LOOK_BACK_US)
    if seq > 1 and (oldest := await oldest_at_us(workspace)) > from_us:
        raise Invalid("trimmed", f"the log begins at {oldest} µs, after this span has begun")
    recount = Recount(workspace.policy, from_us, to_us)
    read = 0
    while not recount.is_settled():
        frames = await workspace.frames(seq, _FRAMES)
        if not frames:
            break
        for frame in frames:
            for data in frame.events:
                # Nothing personal is asked for: what is sealed stays sealed.
                recount.apply(decode_event(data))
            read += len(frame.events)
        seq = frames[-1].first_seq + len(frames[-1].events)
        if read > EVENTS_MOST:
            raise Invalid("span", f"more than {EVENTS_MOST:,} events: ask for a shorter span")
        await asyncio.sleep(0)
    return recount


async def oldest_at_us(workspace: Workspace) -> int:
    """When the log begins; 0: nothing was trimmed from it."""
    oldest = await workspace.journal.oldest_seq(workspace.own)
    frames = await workspace.frames(oldest, 1) if oldest > 1 else []
    return frames[0].at_us if frames else 0
