"""Bytes from the network to checked values, and back: JSON and msgpack, bounded and strict.

What is refused, whatever the operation: more than `DEPTH` levels, duplicate keys, NaN and
infinities, numbers beyond 64 bits, text that is not Unicode, fields that the operation does not
know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import msgpack
import msgspec

from router.errors import Invalid

T = TypeVar("T")

BODY_BYTES = 1 << 20
FRAME_BYTES = 64 << 10
DEPTH = 32
LOOSE_DEPTH = 3
"""Parts of a body that its type does not bound begin at most so deep in it."""
ATTRIBUTES = 64
ATTRIBUTES_BYTES = 16 << 10
LEAST, MOST = -(1 << 63), (1 << 63) - 1
INFINITY = float("inf")

_untyped = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder(decimal_format="string")
encode_json = _encoder.encode


class Malformed(Invalid):
    """The bytes are no acceptable JSON or msgpack at all (HTTP 400; `Invalid` proper is 422)."""

    def __init__(self, message: str) -> None:
        super().__init__("malformed", message)


def parse_json(raw: bytes) -> Any:
    """JSON bytes to plain values. Raises Malformed."""
    try:
        value = _untyped.decode(raw)
    except msgspec.ValidationError as error:  # numbers out of range
        raise Malformed(f"body: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"body is not JSON: {error}") from None
    except RecursionError:
        raise Malformed(f"body is nested deeper than {DEPTH} levels") from None
    keys = _check(value, 0)
    if keys != _keys_in(raw):
        _refuse_duplicates(raw)
    return value


class Reader(Generic[T]):
    """Reads bodies of one type straight from the bytes, in a third of the time of two steps.

    `loose` names the parts of a body whose content its type does not bound. Whatever looks odd is
    read again by `parse_json` and `typed`: they know what is wrong with it, if anything is.
    """

    def __init__(self, type_: type[T], loose: Callable[[T], Iterable[Any]]) -> None:
        self._type = type_
        self._loose = loose
        self._decode = msgspec.json.Decoder(type_).decode

    def read(self, raw: bytes) -> T:
        """The body. Raises Malformed and Invalid."""
        try:
            body = self._decode(raw)
            if self._is_sound(raw, body):
                return body
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Malformed):
            pass
        return typed(parse_json(raw), self._type)

    def _is_sound(self, raw: bytes, body: T) -> bool:
        """No key stands twice, and the loose parts are neither deep nor beyond 64 bits."""
        for part in self._loose(body):
            _check(part, LOOSE_DEPTH)
        # Colons end keys or stand in texts, and without escapes our own encoding has the same
        # texts. It leaves out what has its default, or shows it as `{}` (a record within), so it
        # never has more colons than came in: as many means that nothing was said twice. Fewer
        # only send us the long way round.
        own = encode_json(body)
        colons = own.count(b":") - own.count(b'":{}')
        return colons == raw.count(b":") and b"\\" not in raw


def parse_msgpack(raw: bytes) -> Any:
    """msgpack bytes to plain values. Raises Malformed."""
    try:
        value = msgpack.unpackb(raw, strict_map_key=True, object_pairs_hook=_unique)
    except Malformed:
        raise
    except (ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise Malformed(f"frame is not msgpack: {type(error).__name__}") from None
    _check(value, 0)
    return value


def typed(value: Any, type_: type[T]) -> T:
    """A plain value as a record of this type. Raises Invalid, naming the place (`$.peer`)."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise Invalid("invalid", str(error)) from None


def pack_frame(frame: Any) -> bytes:
    """A frame for a msgpack socket: the same content as the JSON one."""
    packed: bytes = msgpack.packb(msgspec.to_builtins(frame))
    return packed


def plain(record: Any) -> Any:
    """A record as plain values, as it goes out (bytes as base64)."""
    return msgspec.to_builtins(record)


def check_attributes(attributes: dict[str, Any], place: str = "$.attributes") -> None:
    """Raises Invalid if there are too many or too large attributes."""
    if len(attributes) > ATTRIBUTES:
        raise Invalid(
            "too_many",
            f"expected at most {ATTRIBUTES} attributes, got {len(attributes)} - at `{place}`",
        )
    if attributes and len(encode_json(attributes)) > ATTRIBUTES_BYTES:
        raise Invalid(
            "too_large", f"expected attributes of at most {ATTRIBUTES_BYTES} bytes - at `{place}`"
        )


def signature(requirements: dict[str, int]) -> tuple[tuple[str, int], ...]:
    """Requirements as the core wants them: sorted by skill, levels checked. Raises Invalid."""
    for skill, level in requirements.items():
        if not skill or not 1 <= level <= 10:
            raise Invalid(
                "invalid",
                f"expected a skill with a level 1-10, got {skill!r}: {level} - at `$.requirements`",
            )
    return tuple(sorted(requirements.items()))


def _check(value: Any, depth: int) -> int:
    """Count the keys below `value`; refuse depth and numbers that the journal could not hold."""
    kind = type(value)
    if kind is dict:
        keys = len(value)
        items = value.values()
    elif kind is list:
        keys = 0
        items = value
    else:
        items = (value,)
        keys = 0
    if depth >= DEPTH:
        raise Malformed(f"body is nested deeper than {DEPTH} levels")
    for item in items:
        inner = type(item)
        if inner is str:
            continue
        if inner is dict or inner is list:
            keys += _check(item, depth + 1)
        elif inner is int:
            if not LEAST <= item <= MOST:
                raise Malformed("expected numbers within 64 bits")
        elif inner is float and not -INFINITY < item < INFINITY:
            raise Malformed("expected finite numbers")
    return keys


def _keys_in(raw: bytes) -> int:
    """How many keys a JSON text has; more where a text within it looks like the end of a key.

    So when as many came out of it, none stood twice.
    """
    return raw.translate(None, b" \t\r\n").count(b'":')


def _unique(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: dict[Any, None] = {}
        for key, _ in pairs:
            if key in seen:
                raise Malformed(f"key {key!r:.80} stands twice")
            seen[key] = None
    for key in found:
        if type(key) is not str:
            raise Malformed(f"expected text as key, got {type(key).__name__}")
    return found


def _refuse_duplicates(raw: bytes) -> None:
    try:
        json.loads(raw, object_pairs_hook=_unique)
    except RecursionError:
        raise Malformed(f"body is nested deeper than {DEPTH} levels") from None
    except ValueError:
        raise Malformed("body is not JSON") from None
