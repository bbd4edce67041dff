"""Bytes to values: everything that JSON is, nothing that it should not be."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.api.bodies import SubmitBody
from router.api.limits import Buckets, Connections
from router.api.problems import ApiError
from router.api.wire import (
    DEPTH,
    Malformed,
    Reader,
    check_attributes,
    pack_frame,
    parse_json,
    parse_msgpack,
    signature,
    typed,
)
from router.errors import Invalid

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_json_says_comes_out(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False, indent=1).encode()) == value


@given(VALUES)
def test_msgpack_says_the_same(value: Any) -> None:
    assert parse_msgpack(msgpack.packb(value)) == value
    assert msgpack.unpackb(pack_frame(value)) == value


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c:d", 'e"f', "ü"]), VALUES), max_size=6))
def test_a_key_that_stands_twice_is_always_found(pairs: list[tuple[str, Any]]) -> None:
    body = ",".join(f"{json.dumps(key)} : {json.dumps(value)}" for key, value in pairs)
    raw = ("{" + body + "}").encode()
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        with pytest.raises(Malformed, match="twice"):
            parse_json(raw)
    else:
        assert parse_json(raw) == dict(pairs)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_malformed(raw: bytes) -> None:
    for parse in (parse_json, parse_msgpack):
        with contextlib.suppress(Malformed):
            parse(raw)


PAIRS = st.tuples(
    st.sampled_from(["channel", "peer", "attributes", "requirements", "tier", "queue", "other"]),
    st.sampled_from(["sms", {}, {"address": "+49"}, {"en": 3}, {"to": ""}, 0, None, 1 << 63])
    | st.dictionaries(TEXT, VALUES, max_size=3),
)


@given(
    st.lists(PAIRS, max_size=5),
    st.sampled_from([": ", ":", " :", "\n\t : "]),
    st.booleans(),
    st.sampled_from(['"channel":"chat",', '"channel":"chat","peer":{"name":"a","name":"b"},', ""]),
)
def test_a_body_read_in_one_step_is_the_one_read_in_two(
    pairs: list[tuple[str, Any]], colon: str, ascii_only: bool, begin: str
) -> None:
    def written(value: Any) -> str:
        return json.dumps(value, ensure_ascii=ascii_only)

    body = ",".join(f"{written(key)}{colon}{written(value)}" for key, value in pairs)
    raw = ("{" + begin + body + "}").replace(",}", "}").encode()

    def outcome(read: Callable[[bytes], SubmitBody]) -> SubmitBody | tuple[type, str]:
        try:
            return read(raw)
        except Invalid as error:
            return type(error), str(error)

    reader = Reader(SubmitBody, lambda read: (read.attributes,))
    assert outcome(reader.read) == outcome(lambda raw: typed(parse_json(raw), SubmitBody))


def test_depth_ends_where_it_is_said_to() -> None:
    assert parse_json(b"[" * DEPTH + b"]" * DEPTH)
    for raw in (b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1), b'{"a":' * 40 + b"1" + b"}" * 40):
        with pytest.raises(Malformed, match="deeper"):
            parse_json(raw)
    with pytest.raises(Malformed):
        parse_msgpack(b"\x91" * 5000 + b"\x01")


def test_an_error_names_its_place() -> None:
    with pytest.raises(Invalid, match=r"\$\.peer\.address"):
        typed({"channel": "voice", "peer": {"address": 1}}, SubmitBody)
    with pytest.raises(Invalid, match=r"unknown field `chanel`"):
        typed({"chanel": "voice"}, SubmitBody)


def test_requirements_become_a_signature() -> None:
    assert signature({"b": 2, "a": 10}) == (("a", 10), ("b", 2))
    for wrong in ({"a": 0}, {"a": 11}, {"": 3}):
        with pytest.raises(Invalid):
            signature(wrong)


def test_attributes_are_bounded() -> None:
    check_attributes({str(n): n for n in range(64)})
    for wrong in ({str(n): n for n in range(65)}, {"a": "x" * 17_000}):
        with pytest.raises(Invalid):
            check_attributes(wrong)


def test_a_bucket_gives_its_rate_and_its_burst() -> None:
    buckets = Buckets(rate=10, burst=5)
    granted = [buckets.take("a", 0) for _ in range(7)]
    assert granted[:5] == [0.0] * 5
    assert granted[5] == pytest.approx(0.1)
    assert buckets.take("a", 100_000) == 0.0
    assert buckets.take("a", 100_000) > 0
    assert buckets.take("b", 0) == 0.0
    assert sum(buckets.take("a", t * 10_000) == 0.0 for t in range(10, 1010)) == pytest.approx(
        100, abs=2
    )


def test_a_bucket_table_is_bounded_and_keeps_who_asks_often() -> None:
    buckets = Buckets(rate=1, burst=1, entries=10)
    assert buckets.take("greedy", 0) == 0.0
    for number in range(1000):
        buckets.take(f"k{number}", 0)
        assert buckets.take("greedy", 0) > 0
    assert len(buckets._levels) == 10


def test_a_cost_above_the_burst_leaves_a_debt() -> None:
    buckets = Buckets(rate=10, burst=5)
    assert buckets.take("a", 0, cost=20) == 0.0
    assert buckets.take("a", 1_000_000) > 0
    assert buckets.take("a", 2_000_000) == 0.0


def test_connections_are_counted() -> None:
    connections = Connections(2)
    connections.enter("a")
    connections.enter("a")
    with pytest.raises(ApiError) as refused:
        connections.enter("a")
    assert refused.value.status == 429
    connections.leave("a")
    connections.enter("a")
    connections.leave("b")
    assert connections.count("b") == 0


def test_frames_are_the_same_in_both_encodings() -> None:
    class Part(msgspec.Struct):
        a: int
        b: str

    assert msgpack.unpackb(pack_frame({"x": Part(1, "y")})) == {"x": {"a": 1, "b": "y"}}
