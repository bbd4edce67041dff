"""Files of visitors: which are taken, under what name, and those that no message has named yet.

Sans-IO: time is given.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from adapters import Bucket
from router.media_types import by_first_bytes

SUFFIXES = {
    "image/png": ("png",),
    "image/jpeg": ("jpg", "jpeg"),
    "image/gif": ("gif",),
    "image/webp": ("webp",),
    "application/pdf": ("pdf",),
    "application/zip": ("zip", "docx", "xlsx", "pptx", "odt", "ods", "odp"),
    "text/plain": ("txt", "log"),
}
"""The media types that first bytes tell, and what a file of each may be called."""
HELD = 10
"""Most files of one conversation that no message has named yet."""
HELD_S = 900.0
"""So long they wait for their message."""
VISITORS = 10_000
"""How many visitors (and addresses) are counted; the one longest ago is forgotten first."""


class NoFile(Exception):
    """A message names a file that is not here: never was, too old, or somebody else's."""


def kind_of(data: bytes) -> str:
    """The media type by the content, whatever the sender says; empty for one that is not known."""
    if kind := by_first_bytes(data):
        return kind if kind in SUFFIXES else ""
    if not data or b"\0" in data:
        return ""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return "text/plain"


def name_for(name: str, kind: str) -> str:
    """The name with an ending of its type: a picture called ``bill.html`` opens as a picture."""
    if name.rpartition(".")[2].lower() in SUFFIXES[kind]:
        return name
    return f"{name}.{SUFFIXES[kind][0]}"


@dataclass(frozen=True, slots=True)
class Held:
    """A file that waits for its message."""

    name: str
    entry: dict[str, Any]
    """What the router answered when it kept the file."""
    until_s: float


class Shelf:
    """The files of one conversation that no message has named yet."""

    def __init__(self) -> None:
        self.busy = False
        """One is on its way: a visitor uploads one at a time."""
        self._files: OrderedDict[str, Held] = OrderedDict()

    def put(self, name: str, entry: dict[str, Any], now_s: float) -> str:
        """The id by which a message names it: worth nothing in any other conversation.

        One more than `HELD` drops the oldest: the visitor may have taken it back.
        """
        if len(self._files) >= HELD:
            self._files.popitem(last=False)
        id_ = secrets.token_urlsafe(16)
        self._files[id_] = Held(name, entry, now_s + HELD_S)
        return id_

    def find(self, ids: tuple[str, ...], now_s: float) -> list[Held]:
        """The files that a message names. Raises NoFile when one is not here."""
        found = [self._files.get(id_) for id_ in ids]
        here = [held for held in found if held is not None and held.until_s > now_s]
        if len(here) < len(found):
            raise NoFile
        return here

    def take(self, ids: tuple[str, ...]) -> None:
        """A message that names them is durable: they are named once."""
        for id_ in ids:
            self._files.pop(id_, None)

    def clear(self) -> None:
        """The conversation is over; what was not sent in it is not sent in the next."""
        self._files.clear()


class Rates:
    """How many files an hour each visitor, or each address, may send."""

    def __init__(self, per_hour: int) -> None:
        self._per_hour = per_hour
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, who: str, now_s: float) -> float:
        """0 and one is taken, or the seconds until one may come."""
        bucket = self._buckets.pop(who, None)
        if bucket is None:
            bucket = Bucket(self._per_hour / 3600.0, self._per_hour)
            if len(self._buckets) >= VISITORS:
                self._buckets.popitem(last=False)
        self._buckets[who] = bucket
        return bucket.take(now_s)
