"""What every command, event, effect and state row is made of.

msgspec structs: frozen ones cost 0.1-0.2 µs to make (a frozen dataclass 1 µs), and one definition
serves the journal (msgpack), the wire (JSON) and OpenAPI. ARCHITECTURE.md, decision 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    # mypy refuses a subclass that does not repeat `frozen`, which msgspec hands down by itself: the
    # checker sees plain structs, and writing to one fails at run time.
    class Record(msgspec.Struct):
        """A message: immutable, and its encoded form carries its class name under ``type``."""

    class Personal(Record):
        """A message with fields that are sealed wherever it is stored; see `runtime/veil.py`."""

        erased: bool = False

    class Value(msgspec.Struct):
        """A part of a message or a setting: immutable, no name of its own."""
else:

    class Record(
        msgspec.Struct, frozen=True, omit_defaults=True, tag=True, tag_field="type", gc=False
    ):
        """A message: immutable, and its encoded form carries its class name under ``type``."""

    class Personal(Record, kw_only=True):
        """A message with fields that are sealed wherever it is stored; see `runtime/veil.py`."""

        erased: bool = False
        """Set when it is read: its personal fields are gone for good, or were never kept."""

    class Value(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
        """A part of a message or a setting: immutable, no name of its own."""


class Row(msgspec.Struct, omit_defaults=True, gc=False):
    """A piece of state that is kept as one row; only `state.py` changes it.

    Rows name each other by id and so make no circles: the garbage collector, for which each one is
    sixty fields to walk through, need not know them.
    """
