"""How much one caller may ask: token buckets per token and per address, connections per token.

All tables are bounded; the entry used longest ago makes room.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

from router.api.problems import ApiError

LATEST_S = 30.0
"""Nobody of a herd is told to come back later than that."""


class Buckets:
    """Token buckets by key: `rate` a second on average, `burst` at once."""

    def __init__(self, rate: float, burst: float, entries: int = 10_000) -> None:
        self.rate = rate
        self.burst = burst
        self._entries = entries
        self._levels: OrderedDict[str, list[float]] = OrderedDict()

    def take(self, key: str, now_us: int, cost: float = 1.0) -> float:
        """Take `cost` for `key`; 0.0 if granted, else after how many seconds to come back."""
        level = self._levels.get(key)
        if level is None:
            if len(self._levels) >= self._entries:
                self._levels.popitem(last=False)
            level = self._levels[key] = [self.burst, now_us]
        else:
            self._levels.move_to_end(key)
        room = min(self.burst, level[0] + (now_us - level[1]) * self.rate / 1e6)
        level[1] = now_us
        if room >= cost:
            level[0] = room - cost
            return 0.0
        # A cost above the burst is let through once the bucket is full, and leaves a debt.
        if room < min(cost, self.burst):
            level[0] = room
            return max(0.001, (min(cost, self.burst) - room) / self.rate)
        level[0] = room - cost
        return 0.0

    def give_back(self, key: str, now_us: int, cost: float = 1.0) -> None:
        """What was taken does not count after all."""
        self.take(key, now_us, -cost)


def place_of(address: str) -> str:
    """What is counted as one address: of IPv6 the 64 bits that one subscriber has at the least."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return address
    return str(ip.ipv4_mapped or IPv6Address(int(ip) >> 64 << 64))


class Herd:
    """New sockets of the whole process: `rate` a second on average, `burst` at once.

    Who is refused hears when it will be their turn, and not when there is room for the next one:
    otherwise all of a herd would come back for one place.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self._bucket = Buckets(rate, burst, entries=1)
        self._ahead = 0.0
        """Who was told to come back and cannot have had a place yet."""
        self._at_us = 0

    def take(self, now_us: int) -> float:
        """0.0 if one may come in, else after how many seconds to come back: 1 to `LATEST_S`."""
        self._ahead = max(0.0, self._ahead - (now_us - self._at_us) * self.rate / 1e6)
        self._at_us = now_us
        if not self._bucket.take("", now_us):
            return 0.0
        self._ahead = min(self._ahead + 1, self.rate * LATEST_S)
        return max(1.0, self._ahead / self.rate)


class Connections:
    """How many connections each key has open."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._open: dict[str, int] = {}

    def enter(self, key: str) -> None:
        """One more. Raises ApiError 429 when that is too many."""
        count = self._open.get(key, 0)
        if count >= self.most:
            raise ApiError(
                429, "too_many", f"at most {self.most} connections for one token", retry_after_s=5.0
            )
        self._open[key] = count + 1

    def leave(self, key: str) -> None:
        """One less."""
        count = self._open.get(key, 0) - 1
        if count > 0:
            self._open[key] = count
        else:
            self._open.pop(key, None)

    def count(self, key: str) -> int:
        """How many this key has open."""
        return self._open.get(key, 0)


class Limits:
    """What is counted for this process."""

    def __init__(
        self,
        *,
        token_rate: float = 20_000.0,
        token_burst: float = 60_000.0,
        address_rate: float = 10.0,
        address_burst: float = 40.0,
        connections: int = 200,
    ) -> None:
        self.tokens = Buckets(token_rate, token_burst)
        self.addresses = Buckets(address_rate, address_burst)
        """Failed sign-ins and other requests without a valid token, per address."""
        self.accepts = Herd(300.0, 300.0)
        self.sockets = Connections(connections)

    def charge(self, token: str, now_us: int, cost: float = 1.0) -> None:
        """Count a request against a token. Raises ApiError 429."""
        wait_s = self.tokens.take(token, now_us, cost)
        if wait_s:
            raise ApiError(
                429, "rate_limited", "this token asks too often", retry_after_s=round(wait_s, 3)
            )

    def charge_address(self, address: str, now_us: int) -> None:
        """Count a request without a valid token against its address. Raises ApiError 429."""
        wait_s = self.addresses.take(place_of(address), now_us)
        if wait_s:
            raise ApiError(
                429, "rate_limited", "too many failed attempts", retry_after_s=round(wait_s, 3)
            )
