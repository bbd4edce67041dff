"""Who comes in: somebody known by a token, somebody the site vouches for, or a stranger."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import NamedTuple

from adapters.webchat.codec import Bucket, Hello, Signer, Visitor
from adapters.webchat.identity import KNOWN, Identity, Notary, NotTrue

ADDRESSES = 10_000
"""How many addresses are counted; the one that came longest ago is forgotten first."""


class Crowded(Exception):
    """Too many strangers from one address."""


class Entry(NamedTuple):
    """A page that was let in."""

    visitor: Visitor
    is_new: bool
    """A stranger: nothing was said before."""
    name: str
    identity: Identity | None
    complaint: str
    """Why the identity that was shown is not believed; empty: it is, or none was shown."""


class Door:
    """Decides for each page who it is."""

    def __init__(self, signer: Signer, notary: Notary, strangers_per_min: int) -> None:
        self._signer = signer
        self._notary = notary
        self._per_min = strangers_per_min
        self._by_address: OrderedDict[str, Bucket] = OrderedDict()

    def admit(self, hello: Hello, address: str, now_s: float) -> Entry:
        """Raises Crowded when too many strangers came from this address lately."""
        identity, complaint = None, ""
        if hello.identity:
            try:
                identity = self._notary.check(hello.identity, int(now_s))
            except NotTrue as why:
                complaint = str(why)
        known = self._signer.check(hello.token, int(now_s))
        if identity is not None:
            id_ = self._notary.visitor(identity.id)
            # On another device there is no token yet. The number tells this visitor's
            # conversations apart; the time is above all that were given out before.
            visitor = known if known is not None and known.id == id_ else Visitor(id_, int(now_s))
            return Entry(visitor, False, identity.name or hello.name, identity, "")
        if known is not None and not known.id.startswith(KNOWN):
            return Entry(known, False, hello.name, None, complaint)
        # A token of somebody who was vouched for is worth nothing without the identity: they have
        # signed out of the site, and whoever uses the browser now must not read what they wrote.
        self._charge(address, now_s)
        visitor = Visitor("v" + secrets.token_urlsafe(16), 1)
        return Entry(visitor, True, hello.name, None, complaint)

    def visitor_known_as(self, id_: str) -> str:
        """The visitor whom the site knows by this id."""
        return self._notary.visitor(id_)

    def _charge(self, address: str, now_s: float) -> None:
        bucket = self._by_address.pop(address, None)
        if bucket is None:
            bucket = Bucket(self._per_min / 60.0, self._per_min)
            if len(self._by_address) >= ADDRESSES:
                self._by_address.popitem(last=False)
        self._by_address[address] = bucket
        if bucket.take(now_s):
            raise Crowded
