"""Forged, borrowed and stale ID tokens: each is refused, and for its own reason."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from router.api.id_token import (
    LOGOUT_EVENT,
    UnknownKey,
    Untrusted,
    check_id_token,
    check_logout_token,
    keys_of,
    read,
)

NOW = 1_790_000_000.0
ISSUER, CLIENT, NONCE = "https://id.example.com", "router", "n-0S6_WzA2Mj"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER, "sub": "248289761001", "aud": CLIENT, "nonce": NONCE,
    "exp": NOW + 300, "iat": NOW - 2,
}  # fmt: skip
RSA = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
SHORT = rsa.generate_private_key(65537, 1024)
EC = ec.generate_private_key(ec.SECP256R1())
EC_384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()


# Tokens are made here by hand (RFC 7515 appendix A): a library would refuse to forge most of them.


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rs256(text: bytes, key: rsa.RSAPrivateKey = RSA) -> bytes:
    return key.sign(text, padding.PKCS1v15(), hashes.SHA256())


def ps256(text: bytes) -> bytes:
    return RSA.sign(text, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


def es256(text: bytes, key: ec.EllipticCurvePrivateKey = EC) -> bytes:
    r, s = utils.decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA256())))
    size = (key.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def token(
    header: dict[str, Any],
    claims: dict[str, Any] | bytes = CLAIMS,
    sign: Callable[[bytes], bytes] = rs256,
) -> str:
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    text = f"{b64(json.dumps(header).encode())}.{b64(body)}"
    return f"{text}.{b64(sign(text.encode()))}"


def rsa_jwk(key: rsa.RSAPrivateKey, **more: str) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **more}


def ec_jwk(key: ec.EllipticCurvePrivateKey, crv: str, **more: str) -> dict[str, Any]:
    numbers, size = key.public_key().public_numbers(), (key.key_size + 7) // 8
    x, y = (b64(value.to_bytes(size, "big")) for value in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": crv, "x": x, "y": y, **more}


ED_X = b64(ED.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
SET = {
    "keys": [
        rsa_jwk(RSA, kid="a", use="sig"),
        ec_jwk(EC, "P-256", kid="e", alg="ES256"),
        {"kty": "OKP", "crv": "Ed25519", "x": ED_X, "kid": "d"},
        rsa_jwk(OTHER, kid="box", use="enc"),
        {"kty": "oct", "k": b64(b"shared-shared-shared-shared-shar"), "kid": "s"},
        rsa_jwk(SHORT, kid="short"),
        ec_jwk(EC_384, "P-384", kid="wide"),
        rsa_jwk(OTHER, kid="ps", alg="PS256"),
    ]
}
KEYS = keys_of(SET)
PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
R = {"alg": "RS256", "kid": "a"}


def judge(text: str, keys: Any = KEYS) -> str:
    """`sub`, or the reason for which it does not count."""
    try:
        claims = read(text, keys)
        return check_id_token(claims, issuer=ISSUER, client=CLIENT, nonce=NONCE, now_s=NOW)
    except Untrusted as error:
        return f"refused: {error.code}"


GOOD = {
    "RS256": token(R),
    "PS256": token({"alg": "PS256", "kid": "a"}, sign=ps256),
    "ES256": token({"alg": "ES256", "kid": "e"}, sign=es256),
    "EdDSA": token({"alg": "EdDSA", "kid": "d"}, sign=ED.sign),
    "with its type": token({**R, "typ": "jwt"}),
    "audience as a list": token(R, {**CLAIMS, "aud": [CLIENT]}),
    "several audiences, for us": token(R, {**CLAIMS, "aud": ["x", CLIENT], "azp": CLIENT}),
    "our clock is a minute late": token(R, {**CLAIMS, "iat": NOW + 59, "nbf": NOW + 59}),
    "our clock is a minute early": token(R, {**CLAIMS, "exp": NOW - 59}),
    "fractions of seconds": token(R, {**CLAIMS, "iat": NOW - 0.25}),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_the_provider_says_counts(name: str) -> None:
    assert judge(GOOD[name]) == "248289761001"


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda text: hmac.digest(secret, text, hashlib.sha256)


def changed(part: int, text: str = GOOD["RS256"]) -> str:
    parts = text.split(".")
    data = parts[part]
    parts[part] = data[:10] + ("A" if data[10] != "A" else "B") + data[11:]
    return ".".join(parts)


def without(name: str) -> str:
    return token(R, {key: value for key, value in CLAIMS.items() if key != name})


def payload_of(**claims: Any) -> str:
    """A good signature under other claims than those that were signed."""
    head, _, signature = GOOD["RS256"].split(".")
    return f"{head}.{b64(json.dumps({**CLAIMS, **claims}).encode())}.{signature}"


FORGED = {
    "no signature, alg none": (token({"alg": "none"}, sign=lambda _: b""), "algorithm"),
    "alg None, otherwise written": (token({"alg": "nOnE"}, sign=lambda _: b""), "algorithm"),
    "no signature, alg kept": (GOOD["RS256"].rsplit(".", 1)[0] + ".", "signature"),
    "public key as an HMAC secret": (
        token({"alg": "HS256", "kid": "a"}, sign=hs256(PEM)), "algorithm"),
    "a shared key of the set": (
        token({"alg": "HS256", "kid": "s"}, sign=hs256(b"shared-shared-shared-shared-shar")),
        "algorithm"),
    "an algorithm we do not take": (token({"alg": "RS1", "kid": "a"}), "algorithm"),
    "no algorithm": (token({"kid": "a"}), "algorithm"),
    "algorithm as a list": (token({"alg": ["RS256"], "kid": "a"}), "algorithm"),
    "RS256 said, PS256 made": (token(R, sign=ps256), "signature"),
    "EC key under an RSA algorithm": (token({"alg": "RS256", "kid": "e"}), "key"),
    "RSA algorithm of another key's": (token({"alg": "RS256", "kid": "ps"}), "key"),
    "another curve": (
        token({"alg": "ES256", "kid": "wide"}, sign=lambda t: es256(t, EC_384)), "key"),
    "somebody else's key": (token(R, sign=lambda t: rs256(t, OTHER)), "signature"),
    "a key that is for encryption": (
        token({"alg": "RS256", "kid": "box"}, sign=lambda t: rs256(t, OTHER)), "key"),
    "a key that is not in the set": (
        token({"alg": "RS256", "kid": "z"}, sign=lambda t: rs256(t, OTHER)), "key"),
    "a key too short": (
        token({"alg": "RS256", "kid": "short"}, sign=lambda t: rs256(t, SHORT)), "key"),
    "no key named among several": (token({"alg": "RS256"}), "ambiguous"),
    "its own key in the header": (
        token({"alg": "RS256", "kid": "z", "jwk": rsa_jwk(OTHER)},
              sign=lambda t: rs256(t, OTHER)), "key"),
    "its own key set in the header": (
        token({"alg": "RS256", "jku": "https://evil.example/jwks", "kid": "a"},
              sign=lambda t: rs256(t, OTHER)), "signature"),
    "key id that is a path": (token({"alg": "RS256", "kid": "../../a"}), "key"),
    "key id that is a number": (token({"alg": "RS256", "kid": 7}), "form|header"),
    "critical header": (token({**R, "crit": ["exp"], "exp": 1}), "form|header"),
    "payload outside": (token({**R, "b64": False, "crit": ["b64"]}), "form|header"),
    "an access token": (token({**R, "typ": "at+jwt"}), "type"),
    "a logout token": (token({**R, "typ": "logout+jwt"}), "type"),
    "claims changed": (payload_of(sub="admin"), "signature"),
    "header changed": (changed(0), "form|signature|key|algorithm"),
    "signature changed": (changed(2), "signature"),
    "four parts": (GOOD["RS256"] + ".x", "form|signature"),
    "two parts": ("a.b", "form"),
    "nothing": ("", "form"),
    "not base64": ("!.!.!", "form"),
    "letters of elsewhere": (GOOD["RS256"] + "é", "size"),
    "17 kB": (token(R, {**CLAIMS, "x": "y" * 17_000}), "size"),
    "claims that are a list": (token(R, b"[]"), "claims"),
    "claims that are no JSON": (token(R, b"{"), "claims"),
    "claims nested deeply": (token(R, b'{"a":' + b"[" * 5_000), "claims"),
    "another issuer": (token(R, {**CLAIMS, "iss": "https://id.example.com.evil.io"}), "issuer"),
    "issuer with a slash": (token(R, {**CLAIMS, "iss": ISSUER + "/"}), "issuer"),
    "no issuer": (without("iss"), "issuer"),
    "for another client": (token(R, {**CLAIMS, "aud": "shop"}), "audience"),
    "audience that holds our name": (token(R, {**CLAIMS, "aud": "router2"}), "audience"),
    "audience as an object": (token(R, {**CLAIMS, "aud": {CLIENT: 1}}), "audience"),
    "no audience": (without("aud"), "audience"),
    "several audiences, nobody named": (token(R, {**CLAIMS, "aud": [CLIENT, "x"]}), "party"),
    "asked for by another": (token(R, {**CLAIMS, "azp": "shop"}), "party"),
    "over": (token(R, {**CLAIMS, "exp": NOW - 61}), "expired"),
    "without an end": (without("exp"), "exp"),
    "end as text": (token(R, {**CLAIMS, "exp": str(NOW + 300)}), "exp"),
    "end as truth": (token(R, {**CLAIMS, "exp": True}), "exp"),
    "end without end": (
        token(R, json.dumps(CLAIMS).replace(str(NOW + 300), "1e999").encode()), "exp|claims"),
    "made in the future": (token(R, {**CLAIMS, "iat": NOW + 61}), "future"),
    "not yet": (token(R, {**CLAIMS, "nbf": NOW + 61}), "future"),
    "made long ago": (token(R, {**CLAIMS, "iat": NOW - 700}), "old"),
    "made never": (without("iat"), "iat"),
    "of another sign-in": (token(R, {**CLAIMS, "nonce": "other"}), "nonce"),
    "of no sign-in": (without("nonce"), "nonce"),
    "nonce that is a list": (token(R, {**CLAIMS, "nonce": [NONCE]}), "nonce"),
    "about nobody": (without("sub"), "subject"),
    "about nobody in words": (token(R, {**CLAIMS, "sub": ""}), "subject"),
    "about a list": (token(R, {**CLAIMS, "sub": ["ana"]}), "subject"),
    "about a very long name": (token(R, {**CLAIMS, "sub": "x" * 256}), "subject"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused_for_its_reason(name: str) -> None:
    text, reasons = FORGED[name]
    assert judge(text) in {f"refused: {reason}" for reason in reasons.split("|")}


def test_there_are_enough_of_them() -> None:
    assert len(FORGED) >= 55


def test_without_a_key_id_the_only_key_that_fits_counts() -> None:
    alone = keys_of({"keys": [rsa_jwk(RSA)]})
    assert judge(token({"alg": "RS256"}), alone) == "248289761001"


def test_what_is_no_key_of_ours_is_passed_over() -> None:
    private = {**rsa_jwk(RSA, kid="p"), "d": "AQAB"}
    odd = {"keys": [1, "x", None, {}, {"kty": "RSA", "kid": 5}, private,
                    {**rsa_jwk(RSA, kid="v"), "key_ops": ["encrypt"]}]}  # fmt: skip
    assert keys_of(odd) == []
    assert keys_of({"keys": "x"}) == keys_of({}) == []
    assert {key.kid for key in KEYS} == {"a", "e", "d", "short", "wide", "ps"}
    with pytest.raises(UnknownKey):
        read(GOOD["RS256"], [])


def test_a_key_that_is_broken_is_no_key() -> None:
    broken = keys_of({"keys": [{"kty": "RSA", "n": "!", "e": "AQAB", "kid": "a"}]})
    assert judge(GOOD["RS256"], broken) == "refused: key"


LOGOUT = {
    "iss": ISSUER, "aud": CLIENT, "iat": NOW, "exp": NOW + 120, "jti": "1", "sub": "ana",
    "sid": "s1", "events": {LOGOUT_EVENT: {}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, ("ana", "s1")),
        ({"sub": None}, ("", "s1")),
        ({"sid": None}, ("ana", "")),
        ({"sub": None, "sid": None}, "subject"),
        ({"nonce": "n"}, "nonce"),
        ({"events": None}, "events"),
        ({"events": {}}, "events"),
        ({"events": {LOGOUT_EVENT: "x"}}, "events"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"aud": "shop"}, "audience"),
        ({"exp": NOW - 100}, "expired"),
        ({"sid": 7}, "subject"),
    ],
)
def test_the_providers_sign_out_names_somebody(
    change: dict[str, Any], found: tuple[str, str] | str
) -> None:
    claims = {key: value for key, value in {**LOGOUT, **change}.items() if value is not None}
    text = token({**R, "typ": "logout+jwt"}, claims)
    read_back = read(text, KEYS, types=("logout+jwt", "JWT"))
    if isinstance(found, tuple):
        given = check_logout_token(read_back, issuer=ISSUER, client=CLIENT, now_s=NOW)
        assert given == found
        return
    with pytest.raises(Untrusted) as caught:
        check_logout_token(read_back, issuer=ISSUER, client=CLIENT, now_s=NOW)
    assert caught.value.code == found


def test_an_id_token_signs_nobody_out() -> None:
    with pytest.raises(Untrusted, match="events"):
        check_logout_token(read(GOOD["RS256"], KEYS), issuer=ISSUER, client=CLIENT, now_s=NOW)
