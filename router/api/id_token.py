"""Is this token the identity provider's word, said to us, now? Pure: no network, no clock.

The signature is PyJWT's matter (RFC 7515); which algorithms and keys are let in, and what the
claims must say, stands here: OpenID Connect Core 1.0 section 3.1.3.7, RFC 8725 (best practice).
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jwt
import msgspec

ALGORITHMS = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "ES384": "EC", "EdDSA": "OKP"}
"""Let in, with the kind of key. Never `none`; never HMAC, which would take a public key for a
secret."""
TOKEN_BYTES = 16_384
LEEWAY_S = 60
"""How far the clocks may differ."""
FRESH_S = 600
"""An ID token was made at most so long ago: it is read right after it was asked for."""
MOST_KEYS = 100
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"

_jws = jwt.PyJWS(options={"enforce_minimum_key_length": True})


class Untrusted(Exception):
    """The token does not count. `code` is for logs and tests: it holds nothing of the token."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnknownKey(Untrusted):
    """Signed by a key that is not in the set: the set may have changed."""


class Key(msgspec.Struct, frozen=True):
    """One public key of the provider's, as it came."""

    kid: str
    kty: str
    alg: str
    jwk: dict[str, Any]


def keys_of(document: Mapping[str, Any]) -> list[Key]:
    """The keys that may sign, of a JWK set (RFC 7517 section 5); others are passed over."""
    found: list[Key] = []
    listed = document.get("keys")
    for jwk in listed[:MOST_KEYS] if isinstance(listed, list) else ():
        if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
            continue
        if "verify" not in jwk.get("key_ops", ("verify",)) or "d" in jwk:
            continue
        kid, kty, alg = (jwk.get(name, "") for name in ("kid", "kty", "alg"))
        if isinstance(kid, str) and isinstance(alg, str) and kty in ALGORITHMS.values():
            found.append(Key(kid, kty, alg, jwk))
    return found


def read(token: str, keys: Sequence[Key], *, types: tuple[str, ...] = ("JWT",)) -> dict[str, Any]:
    """The claims, if one of these keys has signed them. Raises Untrusted, UnknownKey.

    `types` are the values of the header's `typ` that are let in; it may also be absent.
    """
    if len(token) > TOKEN_BYTES or not token.isascii():
        raise Untrusted("size")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError:
        raise Untrusted("form") from None
    alg, kid = header.get("alg"), header.get("kid", "")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise Untrusted("algorithm")
    if "crit" in header or not isinstance(kid, str):
        raise Untrusted("header")
    type_ = header.get("typ", types[0])
    if not isinstance(type_, str) or type_.lower() not in {name.lower() for name in types}:
        raise Untrusted("type")
    key = _key(keys, alg, kid)
    try:
        payload = _jws.decode_complete(token, jwt.PyJWK(key.jwk, algorithm=alg), algorithms=[alg])[
            "payload"
        ]
    except jwt.InvalidSignatureError:
        raise Untrusted("signature") from None
    except (jwt.PyJWTError, ValueError, TypeError):
        raise Untrusted("key") from None
    try:
        return msgspec.json.decode(payload, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Untrusted("claims") from None


def _key(keys: Sequence[Key], alg: str, kid: str) -> Key:
    fitting = [k for k in keys if k.kty == ALGORITHMS[alg] and k.alg in ("", alg)]
    named = [k for k in fitting if k.kid == kid] if kid else fitting
    if not named:
        raise UnknownKey("key")
    if len(named) > 1:
        raise Untrusted("ambiguous")
    return named[0]


def check_id_token(
    claims: Mapping[str, Any], *, issuer: str, client: str, nonce: str, now_s: float
) -> str:
    """Whom the claims are about (`sub`). Raises Untrusted with the first that is wrong."""
    subject = _check(claims, issuer, client, now_s)
    if now_s - _number(claims, "iat") > FRESH_S + LEEWAY_S:
        raise Untrusted("old")
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
        raise Untrusted("nonce")
    if not subject:
        raise Untrusted("subject")
    return subject


def check_logout_token(
    claims: Mapping[str, Any], *, issuer: str, client: str, now_s: float
) -> tuple[str, str]:
    """(sub, sid) of whom the provider signs out; one of them may be empty. Raises Untrusted.

    OpenID Connect Back-Channel Logout 1.0 section 2.6.
    """
    subject = _check(claims, issuer, client, now_s)
    session = claims.get("sid", "")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise Untrusted("events")
    if "nonce" in claims:  # else an ID token could be passed off as one
        raise Untrusted("nonce")
    if not isinstance(session, str) or len(session) > 255 or not (subject or session):
        raise Untrusted("subject")
    return subject, session


def _check(claims: Mapping[str, Any], issuer: str, client: str, now_s: float) -> str:
    """What both kinds have in common; gives `sub`, empty if it is not there."""
    if claims.get("iss") != issuer:
        raise Untrusted("issuer")
    audience = claims.get("aud")
    listed = [audience] if isinstance(audience, str) else audience
    if not isinstance(listed, list) or client not in listed:
        raise Untrusted("audience")
    if claims.get("azp", client if len(listed) == 1 else None) != client:
        raise Untrusted("party")
    if now_s - LEEWAY_S >= _number(claims, "exp"):
        raise Untrusted("expired")
    if _number(claims, "iat") > now_s + LEEWAY_S:
        raise Untrusted("future")
    if "nbf" in claims and _number(claims, "nbf") > now_s + LEEWAY_S:
        raise Untrusted("future")
    subject = claims.get("sub", "")
    if not isinstance(subject, str) or len(subject) > 255:
        raise Untrusted("subject")
    return subject


def _number(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Untrusted(name)
    return value
