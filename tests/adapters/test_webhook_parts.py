"""Paths, templates and signatures, by themselves."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.webhook.description import DEFAULT_ANSWERS, Messages, Request, Verify
from adapters.webhook.paths import FOUND, Node, TooMany, first, path_of, scalar, walk
from adapters.webhook.reading import AnswerReader, MessageReader
from adapters.webhook.templates import Template
from adapters.webhook.verify import SEEN, Gate

DOCUMENT = {
    "a": {"b": [{"c": 1}, {"c": 2, "d": [{"e": "x"}, {"e": "y"}]}]},
    "top": "t",
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abcde"), inner),
    max_leaves=40,
)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("", [DOCUMENT]),
        ("top", ["t"]),
        ("a.b[0].c", [1]),
        ("a.b[-1].c", [2]),
        ("a.b[*].c", [1, 2]),
        ("a.b[*].d[*].e", ["x", "y"]),
        ("a.b[7].c", []),
        ("a.b[-7].c", []),
        ("a.b.c", []),
        ("a[0]", []),
        ("nothing", []),
        ("^top", []),
    ],
)
def test_a_path_finds_what_is_there(path: str, found: list[Any]) -> None:
    assert [node.value for node in walk(path_of(path), Node(DOCUMENT))] == found


def test_a_path_goes_out_to_the_objects_around() -> None:
    [_, last] = walk(path_of("a.b[*].d[*].e"), Node(DOCUMENT))
    assert first((path_of("^e"),), last) == "y"
    assert first((path_of("^^c"),), last) == "2"
    assert first((path_of("^^^^top"),), last) == "t"
    assert walk(path_of("^^^^^top"), last) == []


@pytest.mark.parametrize(
    "wrong", ["a..b", ".", "a.", "a[b]", "a[**]", "a b", "[0]", "a[99999]", "ä"]
)
def test_a_path_that_means_nothing_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="expected a path"):
        path_of(wrong)


@given(json_values, st.sampled_from(["a", "a.b", "a[*].b", "^a", "a[*].b[*].c[*]", "b[-1].c"]))
def test_no_document_breaks_a_path(document: Any, path: str) -> None:
    for node in walk(path_of(path), Node(document)):
        assert isinstance(scalar(node.value), str)


def test_a_document_made_to_be_slow_is_given_up_soon() -> None:
    inner: Any = [0] * 2_000
    document = {"a": [{"b": inner}] * 2_000}
    began = time.process_time()
    with pytest.raises(TooMany, match=str(FOUND)):
        walk(path_of("a[*].b[*]"), Node(document))
    assert time.process_time() - began < 5.0  # all of it would be millions of steps


@pytest.mark.parametrize(
    ("value", "text"),
    [("x", "x"), (7, "7"), (-100123456789, "-100123456789"), (True, "true"), (1.5, ""), (None, ""),
     ([], ""), ({}, ""), (2**70, "")],
)  # fmt: skip
def test_texts_and_whole_numbers_are_values(value: Any, text: str) -> None:
    assert scalar(value) == text


@given(st.text(st.characters(codec="utf-8")).filter(lambda text: text not in (".", "..")))
def test_whatever_a_customer_writes_is_one_json_string(text: str) -> None:
    request = Request(
        url="https://x.example/{customer}", body={"a": ["{text}", "fixed {}"], "b": 1}
    )
    ready = Template(request, {}).fill({"text": text, "customer": text})
    assert json.loads(ready.body) == {"a": [text, "fixed {}"], "b": 1}
    assert ready.url.startswith("https://x.example/")
    assert not set("/?# \r\n").intersection(ready.url.removeprefix("https://x.example/"))


def test_a_value_cannot_begin_a_header() -> None:
    request = Request(url="https://x.example", headers={"X-Name": "{name}"}, body={})
    template = Template(request, {})
    assert template.fill({"name": "Ada"}).headers["X-Name"] == "Ada"
    for name in ("a\r\nX-Admin: 1", "a\nb", "Zoë", "\x00"):
        with pytest.raises(ValueError, match="cannot stand in a header"):
            template.fill({"name": name})


def test_a_number_is_a_number_and_nothing_else() -> None:
    template = Template(Request(url="https://x.example", body={"id": "{customer:int}"}), {})
    assert json.loads(template.fill({"customer": "-100123"}).body) == {"id": -100123}
    for wrong in ("", "x", "1e3", "١٢", "9" * 30):
        with pytest.raises(ValueError, match="no whole number"):
            template.fill({"customer": wrong})


def test_a_secret_stands_where_the_template_says_and_wins_over_values() -> None:
    request = Request(url="https://x.example/bot{token}/send", body={"t": "{text}"})
    ready = Template(request, {"token": "1:A-b_c"}).fill({"text": "{token}", "token": "no"})
    assert ready.url == "https://x.example/bot1:A-b_c/send"
    assert json.loads(ready.body) == {"t": "{token}"}, "a customer's words are no template"


@pytest.mark.parametrize(
    ("status", "body", "means"),
    [(200, b"{}", "accepted"), (204, b"", "accepted"), (429, b"<html>", "later"),
     (404, b"", "refused"), (500, b"{}", "unknown"), (302, b"", "unknown"), (100, b"", "unknown")],
)  # fmt: skip
def test_statuses_mean_what_they_do_without_a_description(
    status: int, body: bytes, means: str
) -> None:
    assert AnswerReader(DEFAULT_ANSWERS, ()).read(status, body).means == means


@given(st.binary(max_size=300))
def test_garbage_is_an_answer_like_any_other(body: bytes) -> None:
    assert AnswerReader(DEFAULT_ANSWERS, "a.b").read(200, body).means == "accepted"


def test_only_codes_of_the_backend_are_passed_on_as_reasons() -> None:
    rules = (DEFAULT_ANSWERS[2].__class__(status="4xx", means="refused", reason="why"),)
    reader = AnswerReader(rules, ())
    assert reader.read(400, b'{"why": 131026}').reason == "131026"
    assert reader.read(400, b'{"why": "Ada said my secret is 4711"}').reason == "refused: 400"


@given(json_values)
def test_no_document_breaks_a_description(document: Any) -> None:
    reader = MessageReader(Messages(each="a[*]", id="b", sender=("c", "^d"), text="e"))
    with contextlib.suppress(TooMany):
        for message in reader.read(document):
            assert message.id
            assert message.sender


def test_the_memory_of_signatures_is_bounded_and_ends_with_their_time() -> None:
    verify = Verify(kind="timed_hmac", header="s", timestamp_header="t", secret_file="x")
    gate = Gate(verify, "key", "")
    now_s = 1_000_000.0
    for number in range(SEEN + 10):
        gate.taken({"s": str(number)}, now_s)
    assert not gate.is_replay({"s": "0"}, now_s)
    assert gate.is_replay({"s": "20"}, now_s + 599)
    assert not gate.is_replay({"s": "20"}, now_s + 601)


@given(st.binary(max_size=64), st.text(max_size=64))
def test_only_the_right_signature_opens(body: bytes, given_signature: str) -> None:
    gate = Gate(Verify(kind="body_hmac", header="s", secret_file="x"), "key", "")
    right = hmac.new(b"key", body, hashlib.sha256).hexdigest()
    assert gate.admits({"s": f"sha256={right}"}, body, 0.0)
    assert not gate.admits({"s": given_signature}, body, 0.0)
    assert not gate.admits({"s": f"sha256={right}"}, body + b"x", 0.0)


def test_no_question_is_answered_where_there_is_no_token_for_it() -> None:
    gate = Gate(Verify(kind="body_hmac", header="s", secret_file="x"), "key", "")
    query = {"hub.mode": "subscribe", "hub.verify_token": "", "hub.challenge": "1"}
    assert gate.challenge(query) == ""


def test_a_signature_written_otherwise_is_the_same_call() -> None:
    verify = Verify(kind="timed_hmac", header="s", secret_file="x", timestamp_header="t")
    gate = Gate(verify, "secret", "")
    now_s = 1_800_000_000.0
    body, stamp = b"{}", str(int(now_s))
    digest = hmac.new(b"secret", f"{stamp}.{{}}".encode(), hashlib.sha256).hexdigest()
    first = {"s": f"sha256={digest}", "t": stamp}
    assert gate.admits(first, body, now_s)
    gate.taken(first, now_s)
    for other in (digest, digest.upper(), f"x={digest}", f"sha256= {digest} "):
        again = {"s": other, "t": stamp}
        assert gate.admits(again, body, now_s)
        assert gate.is_replay(again, now_s)
