"""A profile's events as arrays, the form in which the estimators read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.preference.kernel import HOURS, Floats, Ints
from router.preference.outcomes import Outcome, OutcomeWeights
from router.preference.profile import Endpoint, Profile


class Events(NamedTuple):
    """Events in ascending time, then channel and address; arrays of one length n."""

    place: Ints
    """Which of the profile's endpoints: index into the three arrays of `endpoints`."""
    endpoints: tuple[Ints, NDArray[np.int64], Ints]
    """Channels, addresses and ranks."""
    channel: Ints
    address: NDArray[np.int64]
    rank: Ints
    slot: Ints
    """Hour of the week; from 168 on several hours of the archive's."""
    age_days: Floats
    """Before now; an event of the future has age 0."""
    target: Floats
    """Share of a success, 0 to 1."""
    weight: Floats
    """How many attempts it counts for; none is 0."""


def attempts(profile: Profile, now_hour: int, weights: OutcomeWeights) -> Events:
    """The attempts that count; those whose outcome is open or weighs nothing are left out."""
    events = np.array(profile.attempts, np.int64)
    code = (events >> 4) & 15
    weight = weights.weight[code]
    if not weight.all():
        counted = weight > 0
        events, code, weight = events[counted], code[counted], weight[counted]
    return _events(profile, events, now_hour, weights.target[code], weight)


def remembered(profile: Profile, now_hour: int, weights: OutcomeWeights) -> Events:
    """The attempts that count, and after them what is left of older ones, by endpoint and hours.

    A success among those counts as a reply does, a failure as no answer does.
    """
    recent = attempts(profile, now_hour, weights)
    if not profile.older:
        return recent
    cells = sorted(
        (endpoint[:2], place, hours, hour, n, s)
        for endpoint, (place, hours, hour, n, s) in profile.older_counts()
    )
    table = np.array([cell[1:] for cell in cells], np.int64)
    place, n, s = table[:, 0], table[:, 3], table[:, 4]
    good = s * weights.weight[Outcome.REPLIED]
    bad = (n - s) * weights.weight[Outcome.IGNORED]
    got = good * weights.target[Outcome.REPLIED] + bad * weights.target[Outcome.IGNORED]
    weight = np.maximum(good + bad, 1e-3)
    channel, address, rank = recent.endpoints
    age = np.maximum(now_hour - table[:, 2], 0) / 24.0

    def both(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate((one, other))

    return Events(
        place=both(recent.place, place),
        endpoints=recent.endpoints,
        channel=both(recent.channel, channel[place]),
        address=both(recent.address, address[place]),
        rank=both(recent.rank, rank[place]),
        slot=both(recent.slot, table[:, 1]),
        age_days=both(recent.age_days, age),
        target=both(recent.target, got / weight),
        weight=both(recent.weight, weight),
    )


def inbound(profile: Profile, now_hour: int) -> Events:
    """The contacts that the customer began."""
    events = np.array(profile.inbound, np.int64)
    ones = np.ones(len(events))
    return _events(profile, events, now_hour, ones, ones)


def places(endpoints: Sequence[Endpoint]) -> tuple[Ints, NDArray[np.int64], Ints]:
    """Channels, addresses and ranks of endpoints as arrays."""
    table = np.array(endpoints, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _events(
    profile: Profile,
    events: NDArray[np.int64],
    now_hour: int,
    target: Floats,
    weight: Floats,
) -> Events:
    endpoints = places(profile.endpoints)
    channel, address, rank = endpoints
    hour = events >> 12
    place = (events >> 8) & 15
    if len(hour) > 1 and not (hour[1:] > hour[:-1]).all():
        # Within an hour by endpoint: the same sums to the last bit in any order of arrival.
        order = np.lexsort((address[place], channel[place], hour))
        hour, place, target, weight = hour[order], place[order], target[order], weight[order]
    return Events(
        place=place,
        endpoints=endpoints,
        channel=channel[place],
        address=address[place],
        rank=rank[place],
        slot=hour % HOURS,
        age_days=np.maximum(now_hour - hour, 0) / 24.0,
        target=target,
        weight=weight,
    )
