"""What adapters have in common that carry what people write: long texts, no legs, a memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

from adapters.kit.facts import Facts
from router.channel import ConnectAgent, Effect, Router, StartContact

K = TypeVar("K")
V = TypeVar("V")


class Remembered(OrderedDict[K, V]):
    """What is remembered of the last `most` things; the oldest is forgotten."""

    def __init__(self, most: int = 10_000) -> None:
        super().__init__()
        self.most = most

    def __setitem__(self, key: K, what: V) -> None:
        super().__setitem__(key, what)
        while len(self) > self.most:
            self.popitem(last=False)


def without_leg(effect: Effect, router: Router, facts: Facts) -> None:
    """The effects that are done at once where nothing must be rung and no leg come up.

    An agent is connected when asked for, a contact of ours begins as ``out-<contact>``, an offer
    is answered at the desk. Raises ChannelError when too many facts wait.
    """
    match effect:
        case ConnectAgent(reservation=reservation):
            facts.later(effect.contact, router.connected, reservation)
        case StartContact(contact=contact):
            facts.later(contact, router.started, contact, f"out-{contact}")
        case _:
            pass


def pieces(text: str, most: int) -> list[str]:
    """A text in parts of at most `most` characters, cut at blanks where there are some."""
    parts = []
    while len(text) > most:
        cut = max(text.rfind(" ", most // 2, most), text.rfind("\n", most // 2, most)) + 1
        cut = cut or _between_letters(text, most)
        parts.append(text[:cut])
        text = text[cut:]
    return [*parts, text] if text else parts


def _between_letters(text: str, at: int) -> int:
    """A cut before which no letter ends in a mark, a joiner or half a flag; at most `at`."""
    for cut in range(at, at // 2, -1):
        if text[cut] not in JOINED and text[cut - 1] not in JOINED:
            return cut
    return at


JOINED = {"\u200d", "\ufe0f", "\u20e3", *map(chr, range(0x300, 0x370)),
          *map(chr, range(0x1F3FB, 0x1F400)), *map(chr, range(0x1F1E6, 0x1F200))}  # fmt: skip
"""Characters that belong to the one beside them: joiner, variation, accents, skin tones, flags."""
