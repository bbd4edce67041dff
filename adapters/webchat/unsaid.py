"""Files that were uploaded and that no message has named: they are removed, and few at once.

Whoever fills the shop's disk needs no account for it: without this, what is uploaded and never said
would stay for as long as messages may become old.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from adapters import Crew, insist
from adapters.webchat.files import HELD_S
from router.channel import ChannelError, Router

KEPT_S = HELD_S + 120.0
"""Longer than a message may name them: one that is under way has its file."""
OF_NETWORK = 50
"""Most of one network at once; of a visitor there are ten at most."""
IN_ALL = 500


@dataclass(slots=True)
class _Waiting:
    entry: dict[str, Any]
    network: str
    timer: asyncio.TimerHandle


class Unsaid:
    """All files of one site that wait for their message, whatever becomes of the visitor."""

    def __init__(self, router: Router, crew: Crew) -> None:
        self._router = router
        self._crew = crew
        self._files: dict[str, _Waiting] = {}
        self._by_network: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._files)

    def is_full(self, network: str) -> bool:
        """Are there as many as there may be?"""
        return len(self._files) >= IN_ALL or self._by_network[network] >= OF_NETWORK

    def put(self, id_: str, entry: dict[str, Any], network: str) -> None:
        """One more waits; removed when its time is over."""
        timer = asyncio.get_running_loop().call_later(KEPT_S, self._over, id_)
        self._files[id_] = _Waiting(entry, network, timer)
        self._by_network[network] += 1

    def said(self, id_: str) -> None:
        """It waits no more."""
        self._pop(id_)

    def stop(self) -> int:
        """Nobody waits any more: all are removed. How many there were."""
        ids = list(self._files)
        for id_ in ids:
            self._over(id_)
        return len(ids)

    def _pop(self, id_: str) -> _Waiting | None:
        waiting = self._files.pop(id_, None)
        if waiting is not None:
            waiting.timer.cancel()
            self._by_network[waiting.network] -= 1
            if self._by_network[waiting.network] <= 0:
                del self._by_network[waiting.network]
        return waiting

    def _over(self, id_: str) -> None:
        waiting = self._pop(id_)
        if waiting is None:
            return
        entry = waiting.entry
        with suppress(ChannelError):  # too much under way: it goes when messages of its age do
            self._crew.start(insist(lambda: self._router.discard(entry)), "discard")
