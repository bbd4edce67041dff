"""kill -9 again and again while load goes on, at random moments and at named places.

The checker stands outside and talks over sockets only. `CONTACT_ROUTER_KILLS=50` for the whole.
"""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

import aiohttp
import pytest

from tests.runtime.server import Served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("CONTACT_ROUTER_KILLS", "6"))
POINTS = ("", "before_commit", "after_commit", "after_effects", "after_answers", "after_effect")
AGENTS = 6
GONE = (aiohttp.ClientError, ConnectionError, OSError)


class Crowd:
    """Clients and agents who act over HTTP and remember what was promised to them."""

    def __init__(self, served: Served, rng: random.Random) -> None:
        self.served = served
        self.rng = rng
        self.acknowledged: dict[str, str] = {}
        """External id -> contact."""
        self.closed: dict[str, None] = {}
        self.unsure: list[str] = []
        self.number = 0
        self.accepted_by: dict[str, str] = {}

    async def post(self) -> None:
        while True:
            if self.unsure and self.rng.random() < 0.5:
                external = self.unsure.pop()
            else:
                self.number += 1
                external = f"e{self.number}"
            try:
                body = self.served.text(external)
                status, answer = await self.served.call("POST", "/v1/contacts", body)
            except GONE:
                self.unsure.append(external)
                return
            assert status in (200, 201, 503), answer
            if status != 503:
                known = self.acknowledged.setdefault(external, answer["contact"])
                assert known == answer["contact"], f"{external} is two contacts"

    async def serve(self, agent: str) -> None:
        while True:
            try:
                path = f"/v1/reservations?agent={agent}"
                _, answer = await self.served.call("GET", path)
                for row in answer.get("reservations", []):
                    await self.act(row)
                await asyncio.sleep(0.005)
            except GONE:
                return

    async def act(self, row: dict[str, Any]) -> None:
        call, id_ = self.served.call, row["id"]
        if row["state"] == "offered":
            status, _ = await call("POST", f"/v1/reservations/{id_}:accept", {})
            if status == 200:
                winner = self.accepted_by.setdefault(id_, row["agent"])
                assert winner == row["agent"]
        elif row["state"] == "connected":
            status, _ = await call("POST", f"/v1/contacts/{row['contact']}:complete", {})
            if status == 200:
                self.closed[row["contact"]] = None
        elif row["state"] == "wrapping":
            await call("POST", f"/v1/reservations/{id_}:finish-wrap-up", {})

    async def check(self) -> None:
        """What was promised is there, once."""
        for external, contact in self.acknowledged.items():
            found = await self.served.good("GET", f"/v1/contacts/{contact}")
            assert found["external_id"] == external
            if contact in self.closed:
                assert found["state"] == "closed", f"{contact} was closed and is {found['state']}"
        agents = (await self.served.good("GET", "/v1/agents"))["agents"]
        assert all(agent.get("load", 0) <= agent["capacity"] for agent in agents)
        live: dict[str, str] = {}
        cursor = ""
        while True:
            page = await self.served.good("GET", f"/v1/contacts?limit=200&cursor={cursor}")
            for contact in page["contacts"]:
                other = live.setdefault(contact["external_id"], contact["id"])
                assert other == contact["id"], f"{contact['external_id']} is there twice"
            cursor = page.get("next", "")
            if not cursor:
                return


async def test_nothing_acknowledged_is_lost_however_often_the_server_is_killed(
    served: Served,
) -> None:
    rng = random.Random(20261121)
    crowd = Crowd(served, rng)
    for kill in range(KILLS + 1):
        point = POINTS[kill % len(POINTS)] if kill < KILLS else ""
        await served.start(f"{point}:{rng.randrange(20, 200)}" if point else "")
        if kill == 0:
            for number in range(AGENTS):
                body = {"profile": "care"}
                await served.good("PUT", f"/v1/agents/a{number}", body)
                path = f"/v1/agents/a{number}:presence"
                await served.good("POST", path, {"presence": "ready"})
        async with asyncio.timeout(60):
            try:
                await crowd.check()
            except GONE:  # it crashed while it was being asked
                assert served.process is not None
                await served.process.wait()
                continue
        if kill == KILLS:
            break
        people = [asyncio.ensure_future(crowd.post()) for _ in range(4)]  # noqa: TID251
        people += [asyncio.ensure_future(crowd.serve(f"a{n}")) for n in range(AGENTS)]  # noqa: TID251
        assert served.process is not None
        try:
            async with asyncio.timeout(rng.uniform(0.3, 1.5) if not point else 3):
                await served.process.wait()
        except TimeoutError:
            await served.kill()
        await asyncio.gather(*people)
    assert len(crowd.acknowledged) > 20 * KILLS
    assert crowd.closed
    assert await served.stop() == 0
    assert "Traceback" not in (served.directory / "log").read_text()
