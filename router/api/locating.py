"""Which workspace a client belongs to, when it is not one that this node serves.

Tokens and names are rows of their workspace, so only its owner knows them. A node that does not
know a token asks all others (`lookups.py`: many at once); that nobody knows it is certain only when
every workspace has been looked at. A node that cannot be asked makes it "try again", never "wrong
token".
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from router.api.lookups import Found, Lookups
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
        self._lookups = Lookups(self._ask, api.clock)
        self._known = Answers(KNOWN)
        self._unknown = Answers(KNOWN)
        """Apart: what somebody makes up must not push out what is known."""

    async def find(self, kind: str, key: str) -> str:
        """The workspace; empty: none has it. Raises ApiError 503: not all could be asked."""
        question = f"{kind}={quote(key, safe='')}"
        now_us = self._api.clock.now_us()
        workspace = self._known.get(question, now_us)
        if workspace is None:
            workspace = self._unknown.get(question, now_us)
        if workspace is None:
            workspace = await self._insist(question)
            kept, length_us = (self._known, KNOWN_US) if workspace else (self._unknown, UNKNOWN_US)
            kept.put(question, workspace, now_us + length_us)
        return workspace

    async def _insist(self, question: str) -> str:
        """Ask again while a workspace is on its way between two nodes. Raises ApiError 503."""
        cluster = self._api.context.cluster
        assert cluster is not None, "asked only where there are several nodes"
        try:
            async with asyncio.timeout(HELD_S):
                while True:
                    found = await self._lookups.ask(question)
                    if found.is_whole:
                        return found.workspace
                    await cluster.change()
        except TimeoutError:
            raise ApiError(
                503, "unavailable", "not every workspace can be asked now", retry_after_s=1.0
            ) from None

    async def _ask(self, questions: Sequence[str]) -> dict[str, Found]:
        """What the others say, and whether every workspace has been looked at."""
        cluster = self._api.context.cluster
        assert cluster is not None, "asked only where there are several nodes"
        now_us = self._api.clock.now_us()
        alive = [n for n in cluster.members.alive(now_us) if n != cluster.me.name]
        entries = [entry for entry in map(cluster.members.get, alive) if entry is not None]
        path = f"/nodes/find?{'&'.join(questions)}"
        answers = await asyncio.gather(
            *(self._peers.call("GET", entry.address, path) for entry in entries),
            return_exceptions=True,
        )
        looked_at = dict.fromkeys(self._api.serves())
        found: dict[str, str] = {}
        for answer in answers:
            if isinstance(answer, PeerFailed):
                continue
            if isinstance(answer, BaseException):
                raise answer
            found.update(
                (question, str(workspace))
                for question, workspace in zip(questions, answer["workspaces"], strict=True)
                if workspace in cluster.places
            )
            looked_at.update(dict.fromkeys(answer["serves"]))
        is_whole = all(name in looked_at for name in cluster.places)
        return {
            question: Found(found.get(question, ""), is_whole or question in found)
            for question in questions
        }


class Answers:
    """What was answered, each for a while; the one used longest ago makes room."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[str, tuple[str, int]] = OrderedDict()
        """Question -> (workspace, until when that is believed)."""

    def get(self, question: str, now_us: int) -> str | None:
        """The workspace, if the answer is still believed."""
        workspace, until_us = self._held.get(question, ("", 0))
        if until_us <= now_us:
            return None
        self._held.move_to_end(question)
        return workspace

    def put(self, question: str, workspace: str, until_us: int) -> None:
        """Believe it so long."""
        self._held[question] = (workspace, until_us)
        self._held.move_to_end(question)
        if len(self._held) > self._most:
            self._held.popitem(last=False)
