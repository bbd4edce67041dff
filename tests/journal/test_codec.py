"""Records and their bytes. The golden files are what was once written, and must stay readable.

`REWRITE=1 pytest tests/journal/test_codec.py` adds types that are new; it never changes a line.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest

from router.core.events import ContactParked, OfferAccepted
from router.core.model import Agent, AgentId, Contact, ContactId, ReservationId
from router.errors import JournalDamaged
from router.journal.codec import (
    VERSION,
    Codec,
    Sealed,
    decode_effect,
    decode_event,
    decode_row,
    encode_effect,
    encode_event,
    encode_row,
    encode_veiled_event,
    event_name,
    row_splitter,
    split_event,
)
from router.journal.seal import Opener
from tests.journal.samples import EFFECTS, EVENTS, ROWS, sample

GOLDEN = Path(__file__).parent / "golden"
GONE = {("Totals", "decision_no"), ("Reservation", "after_wrap")}
"""Fields that were written once and that nothing reads any more."""
_TYPES = {type_.__name__: type_ for type_ in (*EVENTS, *EFFECTS, *ROWS)}


def encode(record: Any) -> bytes:
    if type(record) in ROWS:
        return encode_row(record)
    return encode_event(record) if type(record) in EVENTS else encode_effect(record)


def decode(type_: type[Any], data: bytes) -> Any:
    if type_ in ROWS:
        return decode_row(type_, data)
    return decode_event(data) if type_ in EVENTS else decode_effect(data)


def lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def plain(record: Any) -> Any:
    return json.loads(msgspec.json.encode(record))


def test_every_type_has_a_golden_line_in_the_newest_version() -> None:
    path = GOLDEN / f"v{VERSION}.jsonl"
    missing = sorted(_TYPES.keys() - {line["type"] for line in lines(path)})
    if os.environ.get("REWRITE") and missing:
        GOLDEN.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            for name in missing:
                record = sample(_TYPES[name])
                line = {"type": name, "bytes": encode(record).hex(), "reads": plain(record)}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        missing = []
    assert missing == [], "REWRITE=1 adds them"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("v*.jsonl")), ids=lambda path: path.stem)
def test_everything_ever_written_can_still_be_read(path: Path) -> None:
    known = lines(path)
    assert len(known) >= 50
    for line in known:
        record = decode(_TYPES[line["type"]], bytes.fromhex(line["bytes"]))
        now = plain(record)
        for field, value in line["reads"].items():
            if (line["type"], field) not in GONE:
                assert now[field] == value, f"{line['type']}.{field}"


@pytest.mark.parametrize("type_", _TYPES.values(), ids=lambda type_: type_.__name__)
def test_every_record_comes_back_as_it_was(type_: type[Any]) -> None:
    record = sample(type_)
    assert decode(type_, encode(record)) == record


@pytest.mark.parametrize("type_", _TYPES.values(), ids=lambda type_: type_.__name__)
def test_the_msgpack_package_reads_and_writes_the_same_bytes(type_: type[Any]) -> None:
    record = sample(type_)
    version, fields = msgpack.unpackb(encode(record))
    assert version == VERSION
    assert fields.get("type", type_.__name__) == type_.__name__
    assert decode(type_, msgpack.packb([version, fields])) == record


@pytest.mark.parametrize("type_", EVENTS, ids=lambda t: t.__name__)
def test_the_name_of_an_event_is_told_without_decoding_it(type_: type[Any]) -> None:
    event = sample(type_)
    assert event_name(encode_event(event)) == type_.__name__
    assert event_name(encode_veiled_event(event, Sealed("1-1", b"sealed"))) == type_.__name__
    assert event_name(b"\x92\x01\x80") == ""


def test_defaults_cost_no_bytes() -> None:
    data = encode_row(Agent(id=AgentId("a1")))
    assert msgpack.unpackb(data) == [1, {"id": "a1"}]


def test_unknown_fields_of_a_later_minor_version_are_passed_over() -> None:
    data = msgpack.packb([1, {"id": "c1", "channel": "sms", "field_of_next_year": [1]}])
    assert decode_row(Contact, data) == Contact(id=ContactId("c1"), channel="sms")


def test_an_older_version_is_lifted_step_by_step() -> None:
    def to_two(name: str, fields: dict[str, Any]) -> dict[str, Any]:
        assert name == "ContactParked"
        return {**fields, "why": fields.pop("cause")}

    def to_three(_name: str, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "reason": fields.pop("why")}

    codec: Codec[Any] = Codec(ContactParked | OfferAccepted, "event", 3, {1: to_two, 2: to_three})
    old = {"type": "ContactParked", "at_us": 5, "contact": "c1", "cause": "silence"}
    expected = ContactParked(at_us=5, contact=ContactId("c1"), reason="silence")
    assert codec.decode(msgpack.packb([1, old])) == expected
    assert msgpack.unpackb(codec.encode(expected))[0] == 3
    assert codec.decode(codec.encode(expected)) == expected


def test_a_newer_version_is_refused_with_words() -> None:
    with pytest.raises(JournalDamaged, match="version 9 was written by a newer contact-router"):
        decode_event(msgpack.packb([9, {"type": "ContactParked", "at_us": 1, "contact": "c"}]))


@pytest.mark.parametrize(
    "data",
    [b"", b"\x92", b"\x92\x01", b"\x92\x01\xc1", b"junk", b"\x92\x01\x80", b"\x92\xa1x\x80"],
)
def test_bytes_that_are_no_record_are_damage(data: bytes) -> None:
    with pytest.raises(JournalDamaged, match="event"):
        decode_event(data)


class OneKey:
    """The key under which the golden records are sealed."""

    def key(self, key_id: str) -> bytes | None:
        return bytes(range(32)) if key_id == "1-2" else None


@pytest.mark.parametrize("line", lines(GOLDEN / "sealed-1.jsonl"), ids=lambda line: line["type"])
def test_a_veiled_record_is_read_without_its_key_and_what_is_sealed_with_it(
    line: dict[str, Any],
) -> None:
    data, type_ = bytes.fromhex(line["bytes"]), _TYPES[line["type"]]
    record, sealed = row_splitter(type_)(data) if type_ in ROWS else split_event(data)
    assert decode(type_, data) == record
    assert {name: plain(record)[name] for name in line["reads"]} == line["reads"]
    assert sealed is not None
    if sealed.key:
        opened = Opener(OneKey()).open(sealed.key, sealed.data)
        assert opened is not None
        assert msgpack.unpackb(opened) == line["sealed"]
    else:
        assert (sealed.data, line["sealed"]) == (b"", {})
    for length in range(len(data)):
        with pytest.raises(JournalDamaged):
            row_splitter(type_)(data[:length]) if type_ in ROWS else split_event(data[:length])


def test_every_cut_of_a_record_is_damage() -> None:
    event = OfferAccepted(
        at_us=1, reservation=ReservationId("r1"), contact=ContactId("c1"), agent=AgentId("a")
    )
    data = encode_event(event)
    for length in range(len(data)):
        with pytest.raises(JournalDamaged):
            decode_event(data[:length])
