"""What became of our messages, as customers' clients say (XEP-0184) or an error that comes late.

Anybody can send a receipt, for any id. One for a message that this process has sent counts when it
comes from whom it was sent to, each state once. Of all others (from before a restart, or made up)
only few are passed on: each makes the router look into its store.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from adapters import Bucket, Facts, Remembered
from router.channel import ChannelError, Delivery, Router

PER_S: Final = 5.0
BURST: Final = 200
"""Receipts a second for ids that are not known, from everybody together."""
ONE_PER_S: Final = 1.0
ONE_BURST: Final = 40
"""The same from one address; who was offline tells of all that waited for them at once."""
ROOM: Final = 1_000
"""So many facts may wait for the router before receipts for unknown ids are not kept any more."""


class Receipts:
    """Tells the router of those that can be true."""

    def __init__(self, jid: str, router: Router, facts: Facts) -> None:
        self._jid = jid
        self._router = router
        self._facts = facts
        self._sent: Remembered[str, tuple[str, set[Delivery]]] = Remembered()
        """To whom, and what was told of it, by the id of a message."""
        self._unknown = Bucket(PER_S, BURST)
        self._of: Remembered[str, Bucket] = Remembered(1_000)

    def sent(self, id_: str, person: str) -> None:
        """A message with this id goes to this address (bare)."""
        self._sent.setdefault(id_, (person, set()))

    def told(self, id_: str, by: str, state: Delivery, detail: str = "") -> None:
        """`by` (bare) says that it has arrived or never will."""
        contact, slash, message = id_.partition("/")
        if not slash or not by or contact == "e":
            return
        person, known = self._sent.get(id_, ("", None))
        if known is None:
            if not self._may(by):
                return
        else:
            ours = (person,) if state == "delivered" else (person, _domain(person), self._jid)
            if by not in ours or state in known:
                return
            known.add(state)
        with suppress(ChannelError):  # too many facts wait: the log says so, nobody can be asked
            self._facts.later(message, self._router.receipt, contact, message, state, detail)

    def _may(self, by: str) -> bool:
        """Whether one more for an id that is not known is passed on."""
        now_s = asyncio.get_running_loop().time()
        bucket = self._of.setdefault(by, Bucket(ONE_PER_S, ONE_BURST))
        has_room = len(self._facts) < ROOM
        return has_room and bucket.take(now_s) == 0 and self._unknown.take(now_s) == 0


def _domain(address: str) -> str:
    return address.rpartition("@")[2]
