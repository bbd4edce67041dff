"""Parts of long messages wait here for the rest: bounded, in any order, and never lost.

A message is complete when all its parts are there. What is not complete in time, and the oldest
when there is no more room, goes on as far as it has come, with a mark where a part is missing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from adapters.smpp.alphabets import Default, text_of
from adapters.smpp.parts import Part

MISSING = "[part {number} of {total} is missing]"
DATA_SHOWN = 64
"""Octets of a message that is no text which are shown."""


@dataclass(slots=True)
class Whole:
    """A long message as far as it has come."""

    key: str
    """Sender, receiver, reference and number of parts."""
    id: str
    """The message's id for the router: that of its first part to come."""
    source: str
    destination: str
    total: int
    began_s: float
    parts: dict[int, Part] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every part is there."""
        return len(self.parts) == self.total

    @property
    def size(self) -> int:
        """Octets that are held for it."""
        return sum(len(part.data) for part in self.parts.values())

    def text(self, default: Default, ia5: Default) -> str:
        """Its text, with marks for what is missing.

        Octets of neighbours with one coding are joined before they are read: some phones divide a
        surrogate pair or an escape pair.
        """
        texts: list[str] = []
        run, coding = b"", -1
        for number in range(1, self.total + 1):
            part = self.parts.get(number)
            if part is not None and part.data_coding == coding:
                run += part.data
                continue
            texts += [shown(run, coding, default, ia5)] if run else []
            run, coding = (part.data, part.data_coding) if part is not None else (b"", -1)
            if part is None:
                texts.append(MISSING.format(number=number, total=self.total))
        texts += [shown(run, coding, default, ia5)] if run else []
        return "".join(texts)


class Reassembly:
    """Long messages that are not complete yet, oldest first."""

    def __init__(self, wait_s: float, most: int, most_octets: int) -> None:
        self.wait_s = wait_s
        self.most = most
        """Long messages at once."""
        self.most_octets = most_octets
        """Octets of all of them."""
        self.octets = 0
        self._open: OrderedDict[str, Whole] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, whole: Whole, part: Part) -> None:
        """Put a part to its message, which may be new. The same part twice counts as it came last.

        `disagrees` must have been asked.
        """
        self._open.setdefault(whole.key, whole)
        before = whole.parts.get(part.number)
        self.octets += len(part.data) - (len(before.data) if before is not None else 0)
        whole.parts[part.number] = part

    def waiting(self, key: str) -> Whole | None:
        """The message with this key, if one is waiting."""
        return self._open.get(key)

    def disagrees(self, key: str, part: Part) -> Whole | None:
        """The waiting message that has another part of this number.

        References are used again, after 256 messages: the one that waits will not be completed.
        """
        known = self._open.get(key)
        before = known.parts.get(part.number) if known is not None else None
        return known if before is not None and before.data != part.data else None

    def remove(self, whole: Whole) -> None:
        """It went on."""
        if self._open.get(whole.key) is whole:
            del self._open[whole.key]
            self.octets -= whole.size

    def over(self, now_s: float) -> list[Whole]:
        """What has to go on as it is: out of time, or the oldest beyond the limits."""
        over = []
        count, octets = len(self._open), self.octets
        for whole in self._open.values():
            late = whole.began_s + self.wait_s <= now_s
            if not late and count <= self.most and octets <= self.most_octets:
                break
            over.append(whole)
            count, octets = count - 1, octets - whole.size
        return over

    def next_s(self) -> float | None:
        """When the oldest is out of time."""
        oldest = next(iter(self._open.values()), None)
        return None if oldest is None else oldest.began_s + self.wait_s


def shown(data: bytes, data_coding: int, default: Default, ia5: Default) -> str:
    """The text; of data that is no text, its size and beginning."""
    text = text_of(data, data_coding, default, ia5)
    if text is not None:
        return text
    more = "..." if len(data) > DATA_SHOWN else ""
    return f"[{len(data)} bytes of data: {data[:DATA_SHOWN].hex()}{more}]"
