"""Tells a message that the SMSC sends again from a new one with the same words.

SMPP gives a message from a customer no id, and its sequence number is another one each time. What
the SMSC sends again is what it believes unanswered. So a packet with the same content as an earlier
one is that earlier message if, and only if, the SMSC may have missed its answer:

- it was answered with an error, or not within `LATE_S` (the SMSC's own patience may have ended),
- or its connection ended before anything proved that the answer was read. Proof is a response to
  any request that we wrote after the answer: the SMSC reads in order.

Everything else is a new message: a customer may well write "yes" twice. Where the SMSC does give an
id (receipted_message_id on a message that is no receipt), that and the content decide alone.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from adapters.smpp.pdu import RECEIPTED_MESSAGE_ID, Message

LATE_S: Final = 4.0
"""An answer later than this may have come after the SMSC had given up waiting for it."""


@dataclass(slots=True)
class Heard:
    """One message of the SMSC, from the first time it comes until it cannot come again."""

    id: str
    """The message's id for the router."""
    digest: str
    connection: int
    at_s: float
    """When it came last."""
    is_known: bool = False
    """The router has it, or it is a part that is kept."""
    answered_s: float = -1.0
    """When it was answered well on `connection`; negative: not."""

    def may_come_again(self, now_s: float, is_alive: bool) -> bool:
        """Whether the SMSC may have missed the answer."""
        if not is_alive:
            return True
        if self.answered_s >= 0:
            return self.answered_s - self.at_s > LATE_S
        return now_s - self.at_s > LATE_S


class Hearing:
    """What the SMSC may send again."""

    def __init__(self, keep_s: float, most: int) -> None:
        self.keep_s = keep_s
        self.most = most
        self._by_digest: dict[str, list[Heard]] = {}
        self._all: OrderedDict[str, Heard] = OrderedDict()
        """By id, oldest first."""
        self._failed: set[str] = set()
        """Ids that were answered with an error: they are expected again."""
        self._alive: set[int] = set()

    def __len__(self) -> int:
        return len(self._all)

    def connected(self, connection: int) -> None:
        """A connection begins; its number is never used again."""
        self._alive.add(connection)

    def ended(self, connection: int) -> None:
        """A connection is over."""
        self._alive.discard(connection)

    def recall(self, heard: Heard) -> None:
        """From before a restart; its connection is over."""
        self._put(heard)

    def hear(self, message: Message, connection: int, now_s: float, fresh_id: str) -> Heard:
        """The message that this packet is: an earlier one, or a new one with `fresh_id`."""
        digest = digest_of(message)
        given = message.tlvs.get(RECEIPTED_MESSAGE_ID, b"").rstrip(b"\0")
        for known in self._by_digest.get(digest, ()):
            is_alive = known.connection in self._alive and known.id not in self._failed
            if given or known.may_come_again(now_s, is_alive):
                known.connection, known.at_s, known.answered_s = connection, now_s, -1.0
                self._failed.discard(known.id)
                return known
        id_ = f"{given.decode('latin-1')}-{digest[:16]}" if given else fresh_id
        heard = Heard(id_, digest, connection, now_s)
        self._put(heard)
        return heard

    def answered(self, heard: Heard, connection: int, now_s: float, *, is_ok: bool) -> None:
        """It was answered on this connection."""
        if heard.connection == connection and heard.id in self._all:
            if is_ok:
                heard.answered_s = now_s
            else:
                self._failed.add(heard.id)

    def read_until(self, connection: int, until_s: float) -> list[str]:
        """The SMSC has read all that was written before this moment; ids that are forgotten."""
        over = [
            heard.id
            for heard in self._all.values()
            if heard.connection == connection
            and 0 <= heard.answered_s < until_s
            and heard.answered_s - heard.at_s <= LATE_S
        ]
        for id_ in over:
            self._drop(id_)
        return over

    def expire(self, now_s: float) -> list[str]:
        """Ids that are forgotten: too old to come again, or the oldest beyond what is kept."""
        over = [heard.id for heard in self._all.values() if heard.at_s + self.keep_s <= now_s]
        over += [*self._all][: max(0, len(self._all) - self.most)]
        for id_ in dict.fromkeys(over):
            self._drop(id_)
        return over

    def _put(self, heard: Heard) -> None:
        self._all[heard.id] = heard
        self._by_digest.setdefault(heard.digest, []).append(heard)

    def _drop(self, id_: str) -> None:
        heard = self._all.pop(id_, None)
        if heard is None:
            return
        self._failed.discard(id_)
        same = self._by_digest[heard.digest]
        same.remove(heard)
        if not same:
            del self._by_digest[heard.digest]


def digest_of(message: Message) -> str:
    """Of all that the SMSC would repeat: addresses, classes, octets, optional parameters."""
    hash_ = hashlib.blake2b(digest_size=20)
    fixed = (message.source, message.destination, message.esm_class, message.data_coding,
             message.protocol_id, message.source_ton, message.destination_ton)  # fmt: skip
    hash_.update(repr(fixed).encode())
    for tag, value in sorted(message.tlvs.items()):
        hash_.update(b"%d:%d:" % (tag, len(value)) + value)
    hash_.update(message.payload)
    return hash_.hexdigest()
