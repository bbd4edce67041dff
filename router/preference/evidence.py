"""A profile's events as arrays, the form in which the estimators read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from router.preference.archive import AGE_HOURS
from router.preference.kernel import HOURS, Floats, Ints
from router.preference.outcomes import Outcome, OutcomeWeights
from router.preference.profile import Endpoint, Profile


class Events(NamedTuple):
    """Events by endpoint, each endpoint's by hour; arrays of one length n.

    That order is theirs however they arrived: the same sums to the last bit.
    """

    endpoints: list[Endpoint]
    """The profile's, in ascending order."""
    place: Ints
    """Which of them."""
    slot: Ints
    """Hour of the week; from 168 on several hours of the archive's."""
    age_days: Floats
    """Before now; an event of the future has age 0."""
    target: Floats
    """Share of a success, 0 to 1."""
    weight: Floats
    """How many attempts it counts for; none is 0."""
    older: bool = False
    """Whether some are counts of the archive."""


class Visits(NamedTuple):
    """Contacts that the customer began, in the same order; arrays of one length."""

    endpoints: list[Endpoint]
    place: Ints
    slot: Ints
    age_days: Floats


def read(profile: Profile, now_hour: int, weights: OutcomeWeights) -> tuple[Events, Visits]:
    """The attempts that count, and the customer's own contacts.

    Attempts whose outcome is open or weighs nothing are left out.
    """
    endpoints = sorted(profile.endpoints)
    at = np.array([endpoints.index(endpoint) for endpoint in profile.endpoints], np.int64)
    numbers = np.array(profile.attempts + profile.inbound, np.int64)
    count = len(profile.attempts)
    numbers += at.take((numbers >> 8) & 15) << _PLACE
    numbers[count:] += _CAME
    numbers.sort()
    target, weight = weights.table.take((numbers[:count] >> 4) & 15, 1)
    if np.count_nonzero(weight) < count:
        counted = np.flatnonzero(weight)
        target, weight = target.take(counted), weight.take(counted)
        numbers, count = np.concatenate((numbers.take(counted), numbers[count:])), len(counted)
    hour = (numbers >> 12) & _HOUR
    place, slot = (numbers >> _PLACE) & 15, hour % HOURS
    age = np.maximum(now_hour - hour, 0) / 24.0
    return (
        Events(endpoints, place[:count], slot[:count], age[:count], target, weight),
        Visits(endpoints, place[count:], slot[count:], age[count:]),
    )


def with_older(profile: Profile, now_hour: int, weights: OutcomeWeights, recent: Events) -> Events:
    """The attempts, and what is left of older ones by endpoint and hours.

    A success among those counts as a reply does, a failure as no answer does.
    """
    if not profile.older:
        return recent
    at = [recent.endpoints.index(endpoint) for endpoint in profile.endpoints]
    cells = np.array(sorted(n & 0xFFFFFFF | at[n >> 28] << 28 for n in profile.older), np.int64)
    n, s = (cells >> 5) & 31, cells & 31
    good = s * weights.weight[Outcome.REPLIED]
    bad = (n - s) * weights.weight[Outcome.IGNORED]
    got = good * weights.target[Outcome.REPLIED] + bad * weights.target[Outcome.IGNORED]
    weight = np.maximum(good + bad, 1e-3)
    age = np.maximum(now_hour - ((cells >> 10) & 1023) * AGE_HOURS, 0) / 24.0
    older = cells >> 28, (cells >> 20) & 255, age, got / weight, weight
    both = [np.concatenate(pair) for pair in zip(recent[1:-1], older, strict=True)]
    order = both[0].argsort(kind="stable")
    place, slot, days, target, weight = (values.take(order) for values in both)
    return Events(recent.endpoints, place, slot, days, target, weight, older=True)


def places(endpoints: Sequence[Endpoint]) -> tuple[Ints, NDArray[np.int64], Ints]:
    """Channels, addresses and ranks of endpoints as arrays."""
    table = np.array(endpoints, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


_PLACE = 32
_CAME = 1 << 40
"""What sorts the customer's own contacts behind the attempts."""
_HOUR = (1 << 20) - 1
