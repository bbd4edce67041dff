"""A rule tried on the contacts that came in: read from the log, newest first, and judged.

What is decided stands in `core/trying.py`. Here the log is read, in slices between which the loop
goes on, and what was sealed is opened as far as the keys are there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime, time
from time import monotonic
from typing import NamedTuple

from router.core.contact_events import ContactReceived
from router.core.events import Event, PolicyApplied
from router.core.policy import Policy
from router.core.rules.book import Rule
from router.core.rules.moments import zone_of
from router.core.trying import ERASED, Judged, NotJudged, Trial
from router.journal import StoredFrame
from router.journal.codec import decode_event
from router.journal.seal import Opener
from router.runtime.loop import Workspace
from router.runtime.reports import oldest_at_us, turn
from router.runtime.veil import Reader

CONTACTS_MOST = 10_000
"""Most contacts that are looked at, the newest; about two seconds of a core."""
EVENTS_MOST = 1_000_000
"""Most events that are read for it."""
SHOWN_MOST = 200
"""Most moved contacts that are told one by one."""
SLICE_S = 0.002
"""How long the loop is held up at a time."""
_CHUNK = 2_000
"""Events that are read at a time, and held until they are judged."""
_FRAMES = 20


class Moved(NamedTuple):
    """A contact that would have been treated differently."""

    event: ContactReceived
    judged: Judged


class Outcome:
    """What a trial has found so far."""

    def __init__(self, from_us: int) -> None:
        self.from_us = from_us
        """Where the contacts that were looked at begin: later than asked for if `cut`."""
        self.trimmed_before_us = 0
        """Not 0: the log begins here, after the span has begun."""
        self.judged = 0
        self.matched = 0
        """Contacts that the tried rule matches."""
        self.moved = 0
        self.cut = False
        """There were more contacts, or events, than are looked at."""
        self.not_judged: Counter[NotJudged] = Counter()
        self.shown: list[Moved] = []
        """The newest of those moved."""

    def note(self, event: ContactReceived, judged: Judged | NotJudged, rule: str) -> None:
        """One more contact; `rule`: the name of the one that is tried."""
        if isinstance(judged, NotJudged):
            self.not_judged[judged] += 1
            return
        self.judged += 1
        self.matched += rule in judged.after
        if judged.changes:
            self.moved += 1
            if len(self.shown) < SHOWN_MOST:
                self.shown.append(Moved(event, judged))


def day_start(policy: Policy, now_us: int) -> int:
    """When today began where most of the queues are; microseconds of the calendar."""
    named = (queue.hours for queue in policy.queues.values())
    zones = Counter(policy.hours[name].zone for name in named if name)
    zone = zone_of(zones.most_common(1)[0][0] if zones else "UTC")
    today = datetime.fromtimestamp(now_us / 1e6, zone).date()
    return int(datetime.combine(today, time.min, zone).timestamp()) * 1_000_000


async def try_rule(
    workspace: Workspace, rule: Rule, before: str, instead_of: str, from_us: int
) -> Outcome:
    """What the book in force with this rule in this place says of contacts since `from_us`.

    One of a workspace at a time, as reports. Raises Overloaded when too many wait, and Invalid if
    there is no such place.
    """
    async with turn(workspace):
        found = Outcome(from_us)
        oldest_us = await oldest_at_us(workspace)
        if oldest_us > from_us:
            found.trimmed_before_us = oldest_us
        trial = Trial(workspace.engine.state, rule, before, instead_of)
        async with aclosing(_newest_first(workspace, from_us)) as events:
            await _judge(workspace, trial, rule.name, events, found)
        return found


async def _judge(
    workspace: Workspace,
    trial: Trial,
    rule: str,
    events: AsyncIterator[Event],
    found: Outcome,
) -> None:
    as_now = True
    contacts = read = last_us = 0
    async for event in events:
        read += 1
        is_arrival = type(event) is ContactReceived and not event.consult_of
        if read > EVENTS_MOST or (is_arrival and contacts == CONTACTS_MOST):
            found.cut = True
            found.from_us = last_us
            return
        last_us = event.at_us
        if type(event) is PolicyApplied:
            as_now = False  # those before it were decided by other settings
        elif type(event) is ContactReceived and is_arrival:
            contacts += 1
            is_erased = event.seal_key and workspace.keys.key(event.seal_key) is None
            judged = ERASED if is_erased else trial.judge(event, as_now=as_now)
            found.note(event, judged, rule)


async def _newest_first(workspace: Workspace, from_us: int) -> AsyncGenerator[Event, None]:
    """Events from the last one back to `from_us`; the loop goes on in between.

    What is sealed is opened of arrivals alone.
    """
    reader = Reader(Opener(workspace.keys, ciphers_max=0))
    slices = _Slices()
    async for chunk in _backwards(workspace):
        stored = [data for frame in reversed(chunk) for data in reversed(frame.events)]
        events: list[Event] = []
        for data in stored:
            events.append(decode_event(data))
            await slices.rest()
        arrivals = (event for event in events if type(event) is ContactReceived)
        await workspace.keys.fetch({event.seal_key for event in arrivals if event.seal_key})
        for event, data in zip(events, stored, strict=True):
            if event.at_us < from_us:
                return
            yield reader.event(data) if type(event) is ContactReceived else event
            await slices.rest()


async def _backwards(workspace: Workspace) -> AsyncIterator[list[StoredFrame]]:
    """The log from its end, some frames at a time; each time they stand in their order."""
    journal, own = workspace.journal, workspace.own
    oldest, end = await journal.oldest_seq(own), workspace.seq + 1
    while end > oldest:
        seq = max(oldest, end - _CHUNK)
        chunk: list[StoredFrame] = []
        while seq < end:
            frames = await journal.frames(own, seq, _FRAMES)
            if not frames:
                break
            chunk += [frame for frame in frames if frame.first_seq < end]
            seq = frames[-1].first_seq + len(frames[-1].events)
        if not chunk:
            return  # trimmed meanwhile
        yield chunk
        end = chunk[0].first_seq


class _Slices:
    """Lets the loop go on whenever it was held up for long enough."""

    def __init__(self) -> None:
        self._until_s = monotonic() + SLICE_S

    async def rest(self) -> None:
        """To be called often."""
        if monotonic() > self._until_s:
            await asyncio.sleep(0)
            self._until_s = monotonic() + SLICE_S
