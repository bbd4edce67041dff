"""What one node tells another: requests it passes on and questions of its own, signed.

`X-Router-Hop` names when, which node and for whom, and an HMAC-SHA256 over these, method and path
under a key made of the installation's secret. A header that is not signed so, or not now, is no
header: whoever makes one up is a client like any other, at the address they come from.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

from router.runtime.clock import Clock

HEADER = "X-Router-Hop"
WINDOW_US = 60_000_000
"""So far may the clocks of two nodes differ."""


class Hop(NamedTuple):
    """A request that another node has passed on, or asks itself."""

    node: str
    """Its name."""
    address: str
    """Who asked there; empty = nobody can say, or the node itself."""


class Hops:
    """Signs and checks."""

    def __init__(self, secret: bytes, clock: Clock, node: str) -> None:
        """`secret` is the installation's."""
        self._key = hmac.digest(secret, b"hops between nodes", "sha256")
        self._clock = clock
        self._node = node.replace(" ", "_")

    def sign(self, method: str, path: str, address: str = "") -> str:
        """The header for a request. `path` with its query, as it is sent."""
        now_us = self._clock.now_us()
        mac = self._mac(method, path, str(now_us), self._node, address)
        return f"{now_us} {self._node} {address or '-'} {mac}"

    def read(self, header: str, method: str, path: str) -> Hop | None:
        """What a header says; None: it is not from a node of ours."""
        words = header.split(" ")
        if len(words) != 4 or not header.isascii():
            return None
        if not words[0].isdecimal() or len(words[0]) > 18:
            return None
        at, node, address, mac = words
        address = "" if address == "-" else address
        good = self._mac(method, path, at, node, address)
        if not hmac.compare_digest(good.encode(), mac.encode()):
            return None
        if abs(self._clock.now_us() - int(at)) > WINDOW_US:
            return None
        return Hop(node, address)

    def _mac(self, *words: str) -> str:
        return hmac.new(self._key, "\n".join(words).encode(), "sha256").hexdigest()
