"""Core records to bytes and back: msgpack in an envelope that carries a version.

The envelope is itself msgpack, the pair ``[version, fields]``, so any msgpack reader can show a
journal. Records of an older version are lifted by `UPCASTERS` before they are read; the golden
files in `tests/journal/golden` prove that every version ever written can still be read.

What may change without a new version: a new field with a default, a new record type. Everything
else (a renamed field, a changed meaning) raises `VERSION` and adds an upcaster.

A record with personal fields is written without them, as ``[version, fields, key id, sealed]``;
sealed is what was left out. Who has no keys reads the rest (`decode_event`, `decode_row`), who has
them all of it (`runtime/veil.py`). Whether a record is veiled its bytes say, not its version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar, cast

import msgspec

from router.core.effects import Effect
from router.core.events import Event
from router.core.record import Row
from router.errors import JournalDamaged

VERSION = 1
"""Version that is written. At most 127: it must stay one byte of msgpack."""

Upcaster = Callable[[str, dict[str, Any]], dict[str, Any]]
"""(record type's name, its fields as written) -> its fields as the next version writes them."""

UPCASTERS: Mapping[int, Upcaster] = {}
"""From version -> how to lift it to the next one. Version 1 is the first: nothing to lift yet."""

_TAG = b"\xa4type"  # msgpack: a string of four bytes; records begin with it
_MAP_HEADER_BYTES = 3
_SHORT = 0xA0  # a string of up to 31 bytes
_PAIR = 0x92  # msgpack: an array of two
_FOUR = 0x94  # an array of four: a veiled record
T = TypeVar("T")
R = TypeVar("R", bound=Row)


class Sealed(NamedTuple):
    """The fields that a record was written without."""

    key: str
    """The id of their key; empty: they are in the record's own envelope, or were not kept."""
    data: bytes


IN_ENVELOPE = Sealed("", b"")
_encode = msgspec.msgpack.Encoder().encode
_IN_ENVELOPE = _encode("") + _encode(b"")


class Codec(Generic[T]):
    """Encodes and decodes one record type, or one union of tagged records."""

    def __init__(
        self,
        type_: Any,
        what: str,
        version: int = VERSION,
        upcasters: Mapping[int, Upcaster] = UPCASTERS,
    ) -> None:
        self._type = type_
        self._what = what
        self._version = version
        self._upcasters = upcasters
        self._prefix = bytes((_PAIR, version))
        self._veiled = bytes((_FOUR, version))
        self._encode = _encode
        self._decode: Callable[[memoryview], T] = msgspec.msgpack.Decoder(type_).decode
        self._decode_veiled: Callable[[bytes], tuple[int, T, str, bytes]] = msgspec.msgpack.Decoder(
            tuple[int, type_, str, bytes]
        ).decode

    def encode(self, value: T) -> bytes:
        """The record in its envelope."""
        return self._prefix + self._encode(value)

    def encode_veiled(self, value: T, sealed: Sealed) -> bytes:
        """The record, from which the personal fields were taken, and these beside it."""
        veiled = self._veiled + self._encode(value)
        if sealed is IN_ENVELOPE:
            return veiled + _IN_ENVELOPE
        return veiled + self._encode(sealed.key) + self._encode(sealed.data)

    def decode(self, data: bytes) -> T:
        """The record; a veiled one without what is sealed.

        Raises JournalDamaged when the bytes cannot be one.
        """
        return self.split(data)[0]

    def split(self, data: bytes) -> tuple[T, Sealed | None]:
        """The record and, if it is veiled, what is sealed of it. Raises JournalDamaged."""
        try:
            if data[:2] == self._prefix:
                return self._decode(memoryview(data)[2:]), None
            if data[:2] == self._veiled:
                _, value, key, sealed = self._decode_veiled(data)
                return value, Sealed(key, sealed) if key or sealed else IN_ENVELOPE
            return self._lift(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise JournalDamaged(
                f"{self._what}: expected a record of version {self._version}, "
                f"got {len(data)} bytes beginning {data[:8].hex()!r}: {error}"
            ) from error

    def _lift(self, data: bytes) -> tuple[T, Sealed | None]:
        """Decode a record of an older version, step by step."""
        sealed: Sealed | None = None
        if data[:1] == self._veiled[:1]:
            version, fields, key, hidden = msgspec.msgpack.decode(
                data, type=tuple[int, dict[str, Any], str, bytes]
            )
            sealed = Sealed(key, hidden)
        else:
            version, fields = msgspec.msgpack.decode(data, type=tuple[int, dict[str, Any]])
        if version > self._version or version < 1:
            raise JournalDamaged(
                f"{self._what}: version {version} was written by a newer contact-router; "
                f"this one reads up to {self._version}"
            )
        while version < self._version:
            name: str = fields.get("type", self._what)
            fields = self._upcasters[version](name, fields)
            version += 1
        return cast("T", msgspec.convert(fields, self._type)), sealed


_events: Codec[Event] = Codec(Event, "event")
_effects: Codec[Effect] = Codec(Effect, "effect")
_rows: dict[type[Row], Codec[Any]] = {}

encode_event = _events.encode
decode_event = _events.decode
encode_veiled_event = _events.encode_veiled
split_event = _events.split
encode_effect = _effects.encode
decode_effect = _effects.decode


def event_name(data: bytes) -> str:
    """The type's name of an encoded event, at a tenth of what decoding costs; empty = unclear."""
    at = data.find(_TAG, 2, 2 + _MAP_HEADER_BYTES + len(_TAG))
    if at < 0:
        return ""
    at += len(_TAG)
    length = data[at] - _SHORT
    return data[at + 1 : at + 1 + length].decode("ascii", "replace") if 0 < length < 32 else ""


def encode_row(row: Row) -> bytes:
    """A state row's bytes."""
    return _row_codec(type(row)).encode(row)


def decode_row(type_: type[R], data: bytes) -> R:
    """A state row of the type that its kind stands for (`router.core.state.ROWS`).

    Raises JournalDamaged when the bytes cannot be one.
    """
    return cast("R", _row_codec(type_).decode(data))


def encode_veiled_row(row: Row, sealed: Sealed) -> bytes:
    """A state row's bytes, its personal fields taken from it and sealed beside it."""
    return _row_codec(type(row)).encode_veiled(row, sealed)


def row_splitter(type_: type[R]) -> Callable[[bytes], tuple[R, Sealed | None]]:
    """What makes of bytes a row of the type and, if it is veiled, what is sealed of it.

    It raises JournalDamaged.
    """
    return _row_codec(type_).split


def _row_codec(type_: type[Row]) -> Codec[Any]:
    codec = _rows.get(type_)
    if codec is None:
        codec = _rows[type_] = Codec(type_, type_.__name__)
    return codec
