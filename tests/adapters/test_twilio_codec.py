"""Signatures against the vendor's own validator, forms, texts in parts."""

from __future__ import annotations

import contextlib
import hashlib
import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict
from twilio.request_validator import RequestValidator

from adapters import JOINED, pieces
from adapters.twilio.codec import (
    TEXT,
    incoming,
    is_genuine,
    parameters,
    plain_and_kind,
    reason,
    signature,
    status,
)

TOKEN = "12345678901234567890123456789012"
URL = "https://mycompany.com/myapp"
FORM = "application/x-www-form-urlencoded"
ORACLE = RequestValidator(TOKEN)

names = st.text(st.characters(codec="utf-8", min_codepoint=32), min_size=1, max_size=8)
values = st.text(st.characters(codec="utf-8"), max_size=12)
forms = st.lists(st.tuples(names, values), max_size=8)


@given(forms)
def test_the_vendor_signs_as_we_do(params: list[tuple[str, str]]) -> None:
    body = urlencode(params).encode()
    signed = ORACLE.compute_signature(URL, MultiDict(params))
    assert signature(TOKEN, URL, params) == signed
    assert is_genuine(TOKEN, URL, FORM, body, signed)
    assert not is_genuine(TOKEN, URL, FORM, body + b"&Added=1", signed)


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example/in",
        "https://a.example:443/in",
        "https://a.example:8443/in",
        "http://a.example/in",
        "http://a.example:80/in?x=1&y=%2F%2f",
        "https://a.example/in?x=a+b&x=",
        "https://a.example/%C3%A4",
    ],
)
def test_ports_and_queries_are_judged_as_the_vendor_does(url: str) -> None:
    params = [("From", "+49"), ("Body", "ä 👋"), ("Empty", ""), ("Key", "b"), ("Key", "a")]
    body = urlencode(params).encode()
    candidates = {url, url.replace("a.example/", "a.example:443/"),
                  url.replace("a.example/", "a.example:80/"), url.replace(":443", ""),
                  url.replace(":80/", "/"), url.replace(":8443", ""), url + "/",
                  url.replace("https", "http"), url.replace("a.example", "b.example"),
                  url.replace("%2f", "%2F"), url.upper()}  # fmt: skip
    for candidate in candidates:
        signed = ORACLE.compute_signature(candidate, MultiDict(params))
        ours = is_genuine(TOKEN, url, FORM, body, signed)
        assert ours == ORACLE.validate(url, MultiDict(params), signed), candidate


def test_a_url_with_an_ipv6_host_keeps_it() -> None:
    for url in ("https://[::1]/in", "https://[::1]:443/in"):
        signed = signature(TOKEN, url, [])
        assert is_genuine(TOKEN, "https://[::1]/in", FORM, b"", signed)


def test_a_json_body_is_signed_by_its_hash() -> None:
    body = json.dumps({"MessageSid": "SM1", "Body": "ä"}).encode()
    url = f"{URL}?bodySHA256={hashlib.sha256(body).hexdigest()}"
    signed = ORACLE.compute_signature(url, {})
    assert ORACLE.validate(url, body.decode(), signed)
    assert is_genuine(TOKEN, url, "application/json", body, signed)
    assert not is_genuine(TOKEN, url, "application/json", body + b" ", signed)
    assert not is_genuine(TOKEN, f"{url}0", "application/json", body, signed)
    bare = ORACLE.compute_signature(URL, {})
    assert not is_genuine(TOKEN, URL, "application/json", body, bare), "no hash, no body"


def test_a_json_body_is_not_smuggled_behind_a_signed_form() -> None:
    params = [("Body", "hi")]
    body = urlencode(params).encode()
    signed = ORACLE.compute_signature(URL, MultiDict(params))
    assert is_genuine(TOKEN, URL, FORM, body, signed)
    assert not is_genuine(TOKEN, URL, "application/json", b'{"Body": "ho"}', signed)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", b"Body=hi"),
        ("", b"Body=hi"),
        ("application/json", b"[1]"),
        ("application/json", b"{"),
        ("application/json", b"\xff"),
        ("application/json", b"[" * 100_000),
        ("application/json", b"1" * 5_000),
        (FORM, b"a=%ff"),
        (FORM, b"\xff=1"),
        (FORM, b"&".join(b"a%d=1" % number for number in range(300))),
    ],
)
def test_what_is_no_form_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(ValueError):
        parameters(kind, body)


@given(st.binary(max_size=200), st.text(max_size=40))
def test_garbage_is_refused_or_not_genuine(body: bytes, given_signature: str) -> None:
    with contextlib.suppress(ValueError):
        assert not is_genuine(TOKEN, URL, FORM, body, given_signature)


def test_the_number_of_files_is_the_vendors_and_bounded() -> None:
    base = [("MessageSid", "MM1"), ("From", "+1"), ("To", "+2")]
    media = [(f"MediaUrl{n}", f"https://a.example/{n}") for n in range(30)]
    assert len(incoming([*base, *media, ("NumMedia", "30")]).media) == 10
    assert len(incoming([*base, *media, ("NumMedia", "1")]).media) == 1
    assert incoming([*base, *media, ("NumMedia", "-1")]).media == ()
    assert incoming([*base, *media, ("NumMedia", "9" * 5_000)]).media == ()


def test_older_names_of_the_parameters_are_understood() -> None:
    old = [("SmsSid", "SM1"), ("From", "+1"), ("To", "+2"), ("SmsStatus", "Delivered")]
    assert incoming(old).id == "SM1"
    assert status(old) == ("SM1", "delivered", 0)


@given(st.text(st.characters(codec="utf-8"), max_size=400), st.integers(1, 50))
def test_parts_are_the_text_and_no_part_is_too_long(text: str, most: int) -> None:
    parts = pieces(text, most)
    assert "".join(parts) == text
    assert all(0 < len(part) <= most for part in parts)


def test_a_text_is_cut_at_blanks_and_not_inside_a_letter() -> None:
    assert pieces("word " * 400, TEXT)[0].endswith("word ")
    family = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
    for part in pieces(family * 700, TEXT):
        assert part[0] not in JOINED
        assert part[-1] != "\u200d"


@pytest.mark.parametrize(
    ("address", "number", "kind"),
    [
        ("+49", "+49", ""),
        ("whatsapp:+49", "+49", "whatsapp:"),
        ("messenger:12", "12", "messenger:"),
    ],
)
def test_what_stands_before_a_number(address: str, number: str, kind: str) -> None:
    assert plain_and_kind(address) == (number, kind)


def test_an_unknown_error_is_a_number_and_no_words_of_the_vendor() -> None:
    assert reason(99999, "x") == "error 99999"
    assert reason(0, "failed") == "failed"
