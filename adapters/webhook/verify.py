"""Who may call: a secret in a header, or a signature over the body, perhaps with a time. No I/O."""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Mapping

from adapters.webhook.description import Verify

SEEN = 10_000
"""Most signatures that are remembered; each for as long as its timestamp is good."""


class Gate:
    """The way in of one backend."""

    def __init__(self, verify: Verify, secret: str, challenge_token: str) -> None:
        self._verify = verify
        self._secret = secret.encode()
        self._challenge_token = challenge_token.encode()
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def admits(self, headers: Mapping[str, str], body: bytes, now_s: float) -> bool:
        """Whether the backend said this, and, if it says when, that it was just now."""
        given = headers.get(self._verify.header, "")
        if not given or not given.isascii():
            return False
        if self._verify.kind == "header":
            return hmac.compare_digest(given.encode(), self._secret)
        signed = body
        if self._verify.kind == "timed_hmac":
            stamp = headers.get(self._verify.timestamp_header, "")
            if not (stamp.isascii() and stamp.isdecimal() and len(stamp) < 12):
                return False
            if abs(now_s - int(stamp)) > self._verify.within_s:
                return False
            signed = stamp.encode() + b"." + body
        digest = hmac.new(self._secret, signed, hashlib.sha256).hexdigest()
        return hmac.compare_digest(_hex(given), digest.encode())

    def is_replay(self, headers: Mapping[str, str], now_s: float) -> bool:
        """Whether this very call was taken before: only calls with a time are known again."""
        if self._verify.kind != "timed_hmac":
            return False
        while self._seen and next(iter(self._seen.values())) < now_s:
            self._seen.popitem(last=False)
        return self._signature(headers) in self._seen

    def taken(self, headers: Mapping[str, str], now_s: float) -> None:
        """This call was durable. One that was not may be said again, with the same signature."""
        if self._verify.kind == "timed_hmac":
            # Its timestamp may lie ahead by `within_s`, and is good for as long again.
            until_s = now_s + 2 * self._verify.within_s
            self._seen[self._signature(headers)] = until_s
            if len(self._seen) > SEEN:
                self._seen.popitem(last=False)

    def _signature(self, headers: Mapping[str, str]) -> bytes:
        """As it is compared: written otherwise it is the same call."""
        return _hex(headers.get(self._verify.header, ""))

    def challenge(self, query: Mapping[str, str]) -> str:
        """What to answer to the backend's question by GET; empty = it is none of ours."""
        token = query.get("hub.verify_token", "").encode()
        right = hmac.compare_digest(token, self._challenge_token)
        if not self._challenge_token or query.get("hub.mode") != "subscribe" or not right:
            return ""
        return query.get("hub.challenge", "")[:256]


def _hex(given: str) -> bytes:
    """Without ``sha256=`` or another name of the scheme."""
    return given.rpartition("=")[2].strip().lower().encode()
