"""Visitors whom the site knows: what its own server signs about them, and how we tell it is true.

A page of a site on which people sign in gives the widget a ``data-identity``, made by the site's
server: ``<claims>.<signature>``, both base64url (RFC 4648 section 5) without padding. The claims
are JSON, the signature is HMAC-SHA256 (RFC 2104) of the claims' base64url text under the secret
that site and router share. Sans-IO: time is given.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Annotated

import msgspec

CLAIMS_BYTES = 4_096
ATTRIBUTES = 20
"""Most attributes of one visitor; more are refused, all of them."""
_SECONDS_FROM_NOW_MAX = 90 * 86_400

Scalar = str | int | float | bool


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who the site says this is."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    """The site's own id of the person: the same one on any device is the same visitor."""
    exp: int
    """The signature is worth nothing from this moment on, in seconds since 1970."""
    name: Annotated[str, msgspec.Meta(max_length=80)] = ""
    attributes: dict[Annotated[str, msgspec.Meta(min_length=1, max_length=64)], Scalar] = {}
    """Facts for rules: the site vouches for them."""


_decode = msgspec.json.Decoder(Identity).decode


class NotTrue(Exception):
    """The identity was not signed with our secret, or is over; the text says which."""


class Notary:
    """Checks identities of one site; without a secret it believes none."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def check(self, signed: str, now_s: int) -> Identity:
        """Raises NotTrue, with a reason that tells a stranger nothing about the secret."""
        if not self._secret:
            raise NotTrue("this site takes no identities: it has no identity_secret_file")
        claims, _, signature = signed.partition(".")
        if len(claims) > CLAIMS_BYTES:
            raise NotTrue(f"the identity has more than {CLAIMS_BYTES} bytes")
        if not hmac.compare_digest(signature.encode(), sign(self._secret, claims).encode()):
            raise NotTrue("the identity's signature does not match")
        try:
            identity = _decode(_unpacked(claims))
        except (msgspec.MsgspecError, binascii.Error, ValueError, RecursionError) as error:
            raise NotTrue(f"the identity's claims are not right: {error}") from None
        if len(identity.attributes) > ATTRIBUTES:
            raise NotTrue(f"the identity has more than {ATTRIBUTES} attributes")
        if identity.exp <= now_s:
            raise NotTrue("the identity has expired")
        if identity.exp > now_s + _SECONDS_FROM_NOW_MAX:
            raise NotTrue("the identity is good for more than 90 days: give it an earlier exp")
        return identity

    def visitor(self, id_: str) -> str:
        """The visitor that a person is on this site, the same on every device.

        Derived with the secret, so that nobody can name a person's visitor who knows their id.
        """
        digest = hmac.new(self._secret, f"visitor\n{id_}".encode(), hashlib.sha256).digest()
        return KNOWN + _packed(digest[:16])


KNOWN = "u"
"""Begins the id of every visitor who was vouched for; a stranger's begins with ``v``."""


def sign(secret: bytes, claims: str) -> str:
    """What the site's server does: HMAC-SHA256 of the claims' base64url text, as base64url."""
    return _packed(hmac.new(secret, claims.encode(), hashlib.sha256).digest())


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unpacked(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
