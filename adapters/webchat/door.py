"""Who comes in: somebody known by a token, somebody the site vouches for, or a stranger."""

from __future__ import annotations

import secrets
from collections import Counter, OrderedDict
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import NamedTuple

from adapters import Bucket
from adapters.webchat.codec import Hello, Signer, Visitor
from adapters.webchat.identity import KNOWN, Identity, Notary, NotTrue

NETWORKS = 10_000
"""How many networks are counted; the one that came longest ago is forgotten first."""


SILENT_OF_NETWORK = 50
"""Most open sockets of one network that have not said ``hello`` yet; each has ten seconds."""
SILENT = 2_000
"""And of all together."""


class Crowded(Exception):
    """Too many strangers from one network."""


def network_of(address: str) -> str:
    """Who counts as one: an IPv4 address, or the /64 of an IPv6 address.

    A provider gives each line a /64 at least (RFC 6177, RIPE-690): a single host has 2**64
    addresses to come from, one after the other.
    """
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(IPv6Network((int(ip) >> 64 << 64, 64)))


class Porch:
    """Sockets that have not said who they are: bounded, for they cost memory and nobody."""

    def __init__(self) -> None:
        self._by_network: Counter[str] = Counter()

    def enter(self, network: str) -> None:
        """One more. Raises Crowded."""
        if self._by_network[network] >= SILENT_OF_NETWORK or self._by_network.total() >= SILENT:
            raise Crowded
        self._by_network[network] += 1

    def leave(self, network: str) -> None:
        """It has said hello, or is gone."""
        self._by_network[network] -= 1
        if self._by_network[network] <= 0:
            del self._by_network[network]


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
        self._by_network: OrderedDict[str, Bucket] = OrderedDict()
        self.porch = Porch()

    def admit(self, hello: Hello, network: str, now_s: float) -> Entry:
        """Raises Crowded when too many strangers came from this network lately."""
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
        self._charge(network, now_s)
        visitor = Visitor("v" + secrets.token_urlsafe(16), 1)
        return Entry(visitor, True, hello.name, None, complaint)

    def visitor_known_as(self, id_: str) -> str:
        """The visitor whom the site knows by this id."""
        return self._notary.visitor(id_)

    def _charge(self, network: str, now_s: float) -> None:
        bucket = self._by_network.pop(network, None)
        if bucket is None:
            bucket = Bucket(self._per_min / 60.0, self._per_min)
            if len(self._by_network) >= NETWORKS:
                self._by_network.popitem(last=False)
        self._by_network[network] = bucket
        if bucket.take(now_s):
            raise Crowded
