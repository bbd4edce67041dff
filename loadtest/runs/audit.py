"""Reads the whole event stream after a run and lets the checker judge it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

import aiohttp

from loadtest.checker import Checker
from loadtest.server import Server

CAPACITY = 100
"""Of every agent: the router's default, which profiles do not change."""


@dataclass
class Audit:
    """What the stream says, and what is wrong with it."""

    wrong: list[str] = field(default_factory=list)
    events: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    """Closed contacts by outcome."""
    live: int = 0
    received: dict[str, int] = field(default_factory=dict)
    """Contacts by channel."""
    settled: dict[str, str] = field(default_factory=dict)
    """What became of messages of ours, as the stream has it at its end."""


async def read(
    server: Server,
    token: str,
    workspace: str,
    maximum: dict[str, int],
    acknowledged: Iterable[tuple[str, str]],
    accepted: Iterable[str],
) -> Audit:
    """Judge one workspace. `maximum`: contacts of a channel that an agent may have."""
    checker = Checker(CAPACITY, maximum, keep_events=False)
    received: dict[str, int] = {}
    settled: dict[str, str] = {}
    headers = {"Authorization": f"Bearer {token}"}
    status, health = await server.ask("GET", "/v1/health", token=token)
    assert status == 200, health
    workspaces = health["workspaces"]
    last = (workspaces.get(workspace) or next(iter(workspaces.values())))["seq"]
    timeout = aiohttp.ClientTimeout(total=None, sock_read=30)
    async with server.session.get(
        "/v1/events", headers=headers, params={"from_seq": "1"}, timeout=timeout
    ) as answer:
        seq = 0
        async for raw in answer.content:
            if raw.startswith(b"id: "):
                seq = int(raw[4:])
            elif raw.startswith(b"event: gap"):
                checker.find(f"the stream has a gap after {checker.seq}")
            elif raw.startswith(b"data: ") and seq:
                event = json.loads(raw[6:])
                checker.event(seq, event)
                if event["type"] == "ContactReceived":
                    received[event["channel"]] = received.get(event["channel"], 0) + 1
                elif event["type"] == "EffectSettled" and event.get("message"):
                    settled[event["message"]] = event["result"]
                if seq >= last:
                    break
    checker.finish_stream(acknowledged, accepted)
    outcomes: dict[str, int] = {}
    for outcome in checker.closed.values():
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    live = len(checker.live)
    return Audit(checker.wrong, checker.seq, outcomes, live, received, settled)
