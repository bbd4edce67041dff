"""Which workspace a client belongs to, when it is not one that this node serves.

Tokens and names are rows of their workspace, so only its owner knows them. A node that does not
know a token asks all others; that nobody knows it is certain only when every workspace has been
looked at. A node that cannot be asked makes it "try again", never "wrong token".
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING
from urllib.parse import quote

from router.api.peers import PeerFailed, Peers
from router.api.problems import ApiError

if TYPE_CHECKING:
    from router.api.http import Api

HELD_S = 1.5
KNOWN = 20_000
KNOWN_US = 300_000_000
UNKNOWN_US = 1_000_000
"""So long nobody is asked again about what nobody knows."""


class Locator:
    """Finds workspaces by what their rows know."""

    def __init__(self, api: Api, peers: Peers) -> None:
        self._api = api
        self._peers = peers
        self._known: OrderedDict[str, tuple[str, int]] = OrderedDict()
        """Question -> (workspace or empty, until when that is believed)."""

    async def find(self, kind: str, key: str) -> str:
        """The workspace; empty: none has it. Raises ApiError 503: not all could be asked."""
        question = f"{kind}={quote(key, safe='')}"
        now_us = self._api.clock.now_us()
        workspace, until_us = self._known.get(question, ("", 0))
        if until_us > now_us:
            return workspace
        workspace = await self._insist(question)
        self._known[question] = (workspace, now_us + (KNOWN_US if workspace else UNKNOWN_US))
        self._known.move_to_end(question)
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return workspace

    async def _insist(self, question: str) -> str:
        """Ask again while a workspace is on its way between two nodes. Raises ApiError 503."""
        cluster = self._api.context.cluster
        assert cluster is not None, "asked only where there are several nodes"
        try:
            async with asyncio.timeout(HELD_S):
                while True:
                    workspace, is_whole = await self._ask(question)
                    if workspace or is_whole:
                        return workspace
                    await cluster.change()
        except TimeoutError:
            raise ApiError(
                503, "unavailable", "not every workspace can be asked now", retry_after_s=1.0
            ) from None

    async def _ask(self, question: str) -> tuple[str, bool]:
        """What the others say, and whether every workspace has been looked at."""
        cluster = self._api.context.cluster
        assert cluster is not None, "asked only where there are several nodes"
        now_us = self._api.clock.now_us()
        alive = [n for n in cluster.members.alive(now_us) if n != cluster.me.name]
        entries = [entry for entry in map(cluster.members.get, alive) if entry is not None]
        answers = await asyncio.gather(
            *(self._peers.call("GET", e.address, f"/nodes/find?{question}") for e in entries),
            return_exceptions=True,
        )
        looked_at = dict.fromkeys(self._api.tenants)
        for answer in answers:
            if isinstance(answer, PeerFailed):
                continue
            if isinstance(answer, BaseException):
                raise answer
            if answer["workspace"] in cluster.places:
                return str(answer["workspace"]), True
            looked_at.update(dict.fromkeys(answer["serves"]))
        return "", all(name in looked_at for name in cluster.places)
