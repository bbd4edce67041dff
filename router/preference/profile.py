"""What is remembered of one customer: the last attempts and inbound contacts, counts of older ones.

One small value of bytes per customer, stored with the contact's frame. Events are 32-bit numbers:

    bits 31-12  local wall hour since Monday 2020-01-06 00:00 (20 bits: until 2139)
    bits 11-8   endpoint, an index into the profile's own list of (channel, address)
    bits  7-4   outcome (`Outcome`)
    bit   3     outcome is a success    bit 2  inbound    bit 1  explored    bit 0  pending

The hour stands first, so that events sort by time as plain numbers, and the upper 24 bits name an
attempt: redials within an hour on one endpoint are one attempt. Which outcome stays is settled by
`Outcome`'s order, and which events stay by their hour, never by the order of arrival.

Attempts that there is no more room for are counted by endpoint and time of day (`archive.py`).

The layout in bytes is: version, 0 (not used any more), number of endpoints, of attempts, of
inbound contacts, of cells of the archive; 5 bytes per endpoint (address hash, channel << 4 | rank);
4 per attempt; 3 per inbound contact (its upper 24 bits, which say all); 4 per cell; all little
endian. At most 6 + 16 * 5 + 64 * 4 + 32 * 3 + 18 * 4 = 510 bytes. Version 1 had no archive and 4
bytes per inbound contact; it is still read.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, insort
from collections.abc import Callable
from typing import NamedTuple

from router.preference import archive
from router.preference.archive import CELLS, Cell
from router.preference.outcomes import Outcome

VERSION = 2
ATTEMPTS = 64
"""Attempts remembered."""
INBOUND = 32
"""Inbound contacts remembered."""
ENDPOINTS = 16
WEEK = 168
EPOCH_HOURS = 438_408
"""Hours from 1970-01-01 to Monday 2020-01-06 00:00, both on the same wall clock."""
HOUR_END = 1 << 20
MAX_BYTES = 6 + 5 * ENDPOINTS + 4 * (ATTEMPTS + CELLS) + 3 * INBOUND
_HOUR_US = 3_600_000_000
_HEADER = struct.Struct("<BbBBBB")
_HEADER_1 = struct.Struct("<BbBBB")
_ENDPOINT = struct.Struct("<IB")
_SUCCESS, _INBOUND, _EXPLORE, _PENDING = 8, 4, 2, 1
_CODE = [
    (int(o) << 4) | (_SUCCESS if o.success else 0) | (_PENDING if o is Outcome.PENDING else 0)
    for o in Outcome
]
_VISIT = _CODE[Outcome.ANSWERED] | _INBOUND


class ProfileError(ValueError):
    """Stored bytes are no profile, or a value does not fit into one."""


class Endpoint(NamedTuple):
    """An address on a channel."""

    channel: int
    """Index into the tenant's list of channels, 0 to 15."""
    address: int
    """Keyed 32-bit hash of the address, made by the caller: the address itself is not kept."""
    rank: int = 0
    """Place among the customer's addresses of this kind: 0 is the primary one, up to 15."""


class Event(NamedTuple):
    """An attempt or an inbound contact, taken apart."""

    hour: int
    endpoint: Endpoint
    outcome: Outcome
    explore: bool


def wall_hour(at_us: int, utc_offset_minutes: int) -> int:
    """Local hours since Monday 2020-01-06 00:00 of a moment (microseconds since 1970, UTC).

    `hour % 168` is the hour of the week. Raises ProfileError before 2020 and after 2139.
    """
    hour = (at_us + utc_offset_minutes * 60_000_000) // _HOUR_US - EPOCH_HOURS
    return _checked_hour(hour)


class Profile:
    """The evidence about one customer. Changed in place; `encode` and `decode` are its stored form.

    Equal evidence gives equal answers: what is remembered does not depend on the order in which
    events of one hour arrive, nor on events that arrive twice. (With more than 16 endpoints the
    one that was used longest ago is forgotten, and there the order of arrival can matter.)
    """

    __slots__ = ("attempts", "endpoints", "inbound", "older")

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []
        self.attempts: list[int] = []
        """Events in ascending order, at most 64, one for each hour and endpoint."""
        self.inbound: list[int] = []
        """Events in ascending order, at most 32, one for each hour and endpoint."""
        self.older: list[int] = []
        """Cells of the archive in ascending order, at most 18."""

    def record_attempt(
        self,
        endpoint: Endpoint,
        hour: int,
        outcome: Outcome = Outcome.PENDING,
        *,
        explore: bool = False,
    ) -> None:
        """Remember an attempt at a local wall hour.

        An attempt on the same endpoint in the same hour is the same attempt: the greater outcome
        stays. Raises ProfileError for an hour outside 0 to 2**20 or an endpoint that does not fit.
        """
        if not 0 <= hour < HOUR_END:
            _checked_hour(hour)
        try:  # mostly it is one of those known, with the same rank
            place = self.endpoints.index(endpoint)
        except ValueError:
            place = self._place(endpoint)
        events = self.attempts
        key = (hour << 4) | place
        event = (key << 8) | _CODE[outcome] | (_EXPLORE if explore else 0)
        if not events or events[-1] >> 8 < key:
            events.append(event)
        else:
            at = bisect_left(events, key << 8)
            if at < len(events) and events[at] >> 8 == key:
                events[at] = _join(events[at], event)
            else:
                events.insert(at, event)
        if len(events) > ATTEMPTS:
            dropped = self._drop_oldest(events)
            if dropped != event:  # else it came too late, and may not be the first to say so
                archive.add(self.older, dropped)

    def retract(self, endpoint: Endpoint, hour: int) -> None:
        """Forget an attempt that was not made after all."""
        place = self._place(endpoint)
        key = (hour << 4) | place
        self.attempts[:] = [event for event in self.attempts if event >> 8 != key]

    def outcome_of(self, endpoint: Endpoint, hour: int) -> Outcome | None:
        """What is known of the attempt at an hour; None = there was none, or it is forgotten."""
        for event in reversed(self.attempts):
            taken = self._event(event)
            if taken.hour == hour and taken.endpoint[:2] == endpoint[:2]:
                return taken.outcome
        return None

    def record_inbound(self, endpoint: Endpoint, hour: int) -> None:
        """Remember that the customer came to us; once for each hour and endpoint."""
        _checked_hour(hour)
        key = (hour << 4) | self._place(endpoint)
        event = (key << 8) | _VISIT
        at = bisect_left(self.inbound, event)
        if at < len(self.inbound) and self.inbound[at] == event:
            return
        self.inbound.insert(at, event)
        if len(self.inbound) > INBOUND:
            self._drop_oldest(self.inbound)

    def move(self, moved: Callable[[int], int], usually: int) -> None:
        """The customer's zone was wrong: each event goes to the wall hour that `moved` gives.

        Counts of older attempts, whose dates are not known any more, move by `usually` hours (-26
        to 26). Events that would come to lie before 2020 are dropped.
        """
        if not -26 <= usually <= 26:
            raise ProfileError(f"zones differ by at most 26 h, got {usually}")
        for events in (self.attempts, self.inbound):
            found: dict[int, int] = {}
            for event in events:
                hour = moved(event >> 12)
                if 0 <= hour < HOUR_END:
                    new = hour << 12 | event & 0xFFF
                    known = found.get(new >> 8)
                    found[new >> 8] = new if known is None else _join(known, new)
            events[:] = sorted(found.values())
        self.older = archive.shifted(self.older, usually)

    def forget(self, channel: int, address: int) -> None:
        """Drop an endpoint and all its events."""
        for place, endpoint in enumerate(self.endpoints):
            if endpoint.channel == channel and endpoint.address == address:
                self._drop_endpoint(place)
                return

    def events(self) -> list[Event]:
        """The attempts, oldest first."""
        return [self._event(event) for event in self.attempts]

    def open_events(self) -> list[Event]:
        """Those of them of which nothing is known yet."""
        return [self._event(event) for event in self.attempts if event & _PENDING]

    def tried_at(self, endpoint: Endpoint, slot: int) -> int:
        """How many remembered attempts on an address, whose outcome is known, at an hour of the
        week.
        """
        wanted = endpoint[:2]
        places = [at for at, known in enumerate(self.endpoints) if known[:2] == wanted]
        return sum(
            (event >> 12) % WEEK == slot
            and (event >> 8) & 15 in places
            and Outcome((event >> 4) & 15) is not Outcome.PENDING
            for event in self.attempts
        )

    def inbound_events(self) -> list[Event]:
        """The inbound contacts, oldest first."""
        return [self._event(event) for event in self.inbound]

    def older_counts(self) -> list[tuple[Endpoint, Cell]]:
        """Counts of attempts that are no longer remembered one by one."""
        cells = map(archive.cell, self.older)
        return [(self.endpoints[found.place], found) for found in cells]

    def take_older(self, other: Profile) -> None:
        """Add the counts of attempts that another profile no longer remembers one by one."""
        for number in other.older:
            place = self._place(other.endpoints[number >> 28])
            archive.join(self.older, number & 0xFFFFFFF | place << 28)
        archive.widen(self.older)

    def encode(self) -> bytes:
        """The stored form, at most 510 bytes."""
        counts = (len(self.endpoints), len(self.attempts), len(self.inbound), len(self.older))
        places = b"".join(
            _ENDPOINT.pack(e.address, e.channel << 4 | e.rank) for e in self.endpoints
        )
        came = b"".join((event >> 8).to_bytes(3, "little") for event in self.inbound)
        return b"".join(
            (
                _HEADER.pack(VERSION, 0, *counts),
                places,
                struct.pack(f"<{counts[1]}I", *self.attempts),
                came,
                struct.pack(f"<{counts[3]}I", *self.older),
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Profile:
        """The profile of stored bytes. Raises ProfileError when they are none."""
        if len(data) < _HEADER_1.size:
            raise ProfileError(f"profile: at least {_HEADER_1.size} bytes, got {len(data)}")
        layout, visit = (_HEADER_1, 4) if data[0] == 1 else (_HEADER, 3)
        if not 1 <= data[0] <= VERSION or len(data) < layout.size:
            raise ProfileError(f"profile: version 1 to {VERSION}, got {data[0]}")
        _, _, endpoints, attempts, inbound, *rest = layout.unpack_from(data)
        older = rest[0] if rest else 0
        first = layout.size + _ENDPOINT.size * endpoints
        came, cells = first + 4 * attempts, first + 4 * attempts + visit * inbound
        size = cells + 4 * older
        fits = endpoints <= ENDPOINTS and attempts <= ATTEMPTS and inbound <= INBOUND
        if len(data) != size or not fits or older > CELLS:
            raise ProfileError(
                f"profile: {endpoints} endpoints, {attempts} attempts, {inbound} inbound and "
                f"{older} older are {size} bytes, got {len(data)}"
            )
        profile = cls()
        profile.endpoints = [
            Endpoint(kind >> 4, address, kind & 15)
            for address, kind in _ENDPOINT.iter_unpack(data[layout.size : first])
        ]
        profile.attempts = list(struct.unpack_from(f"<{attempts}I", data, first))
        profile.inbound = [
            int.from_bytes(data[at + visit - 3 : at + visit], "little") << 8 | _VISIT
            for at in range(came, cells, visit)
        ]
        profile.older = list(struct.unpack_from(f"<{older}I", data, cells))
        for events in (profile.attempts, profile.inbound):
            _check_events(events, endpoints)
        _check_cells(profile.older, endpoints)
        return profile

    def _place(self, endpoint: Endpoint) -> int:
        """The endpoint's index; a new rank of a known address is taken over."""
        for place, known in enumerate(self.endpoints):
            if known.address == endpoint.address and known.channel == endpoint.channel:
                if known.rank != endpoint.rank:
                    self.endpoints[place] = _checked_endpoint(endpoint)
                return place
        _checked_endpoint(endpoint)
        if len(self.endpoints) == ENDPOINTS:
            last = [-1] * ENDPOINTS
            for event in (*self.attempts, *self.inbound):
                last[(event >> 8) & 15] = max(last[(event >> 8) & 15], event >> 12)
            place = min(range(ENDPOINTS), key=lambda p: (last[p], self.endpoints[p]))
            for events in (self.attempts, self.inbound):
                events[:] = [event for event in events if (event >> 8) & 15 != place]
            self.older = [number for number in self.older if number >> 28 != place]
            self.endpoints[place] = endpoint
            return place
        self.endpoints.append(endpoint)
        return len(self.endpoints) - 1

    def _drop_endpoint(self, place: int) -> None:
        """Forget it. The last endpoint takes its index, so references to that one go stale."""
        last = len(self.endpoints) - 1
        self.endpoints[place] = self.endpoints[last]
        self.endpoints.pop()
        for events in (self.attempts, self.inbound):
            kept: list[int] = []
            for event in events:
                at = (event >> 8) & 15
                if at == last and place != last:
                    insort(kept, event & ~0xF00 | place << 8)
                elif at != place:
                    insort(kept, event)
            events[:] = kept
        moved = (n & 0xFFFFFFF | place << 28 if n >> 28 == last else n
                 for n in self.older if n >> 28 != place)  # fmt: skip
        self.older = sorted(moved)

    def _drop_oldest(self, events: list[int]) -> int:
        """Drop one event and return it. Of several in the oldest hour that of the least endpoint
        goes: its index says only which endpoint was met first."""
        oldest = events[0] >> 12
        if events[1] >> 12 != oldest:
            return events.pop(0)
        same = 2
        while same < len(events) and events[same] >> 12 == oldest:
            same += 1
        least = min(range(same), key=lambda i: self.endpoints[(events[i] >> 8) & 15])
        return events.pop(least)

    def _event(self, event: int) -> Event:
        return Event(
            event >> 12,
            self.endpoints[(event >> 8) & 15],
            Outcome((event >> 4) & 15),
            bool(event & _EXPLORE),
        )


def _join(known: int, new: int) -> int:
    """Two reports of one attempt: the greater outcome, explored when either says so."""
    explore = (known | new) & _EXPLORE
    return (max(known & ~_EXPLORE, new & ~_EXPLORE)) | explore


def _checked_hour(hour: int) -> int:
    if not 0 <= hour < HOUR_END:
        raise ProfileError(f"wall hour: 0 to {HOUR_END - 1} since 2020-01-06, got {hour}")
    return hour


def _checked_endpoint(endpoint: Endpoint) -> Endpoint:
    if not 0 <= endpoint.channel < 16 or not 0 <= endpoint.rank < 16:
        raise ProfileError(f"endpoint: channel and rank 0 to 15, got {endpoint}")
    if not 0 <= endpoint.address < 1 << 32:
        raise ProfileError(f"endpoint: an address hash of 32 bits, got {endpoint.address}")
    return endpoint


def _check_events(events: list[int], endpoints: int) -> None:
    previous = -1
    for event in events:
        if event >> 8 <= previous:
            raise ProfileError(f"profile: events in ascending order, got {event >> 8} too late")
        if (event >> 8) & 15 >= endpoints or (event >> 4) & 15 >= len(_CODE):
            raise ProfileError(f"profile: event {event:#010x} names no endpoint or outcome")
        previous = event >> 8


def _check_cells(cells: list[int], endpoints: int) -> None:
    previous = -1
    for number in cells:
        found = archive.cell(number)
        if number >> 20 <= previous:
            raise ProfileError(f"profile: cells in ascending order, got {number:#010x} too late")
        if found.place >= endpoints or found.hours > archive.ANY_HOUR:
            raise ProfileError(f"profile: cell {number:#010x} names no endpoint or hours")
        if not found.successes <= found.attempts != 0:
            raise ProfileError(f"profile: cell {number:#010x} has more successes than attempts")
        previous = number >> 20
