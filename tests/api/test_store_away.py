"""Desks hear that nothing can be saved, and when it can again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from router.errors import JournalFailed
from router.journal import AppendResult, Commit, Ownership
from router.runtime.lease import Lease
from tests.api.site import Client, Site
from tests.api.test_desk import desk, submit

ANSWERS = 30.0


def take_store_away(site: Site) -> Callable[[], None]:
    """From now on every commit fails; gives what brings the store back."""
    journal = site.server.hosts["oak"].workspace.journal
    append = journal.append

    async def fails(own: Ownership, commit: Commit) -> AppendResult:
        raise JournalFailed("planted: no store")

    journal.append = fails  # type: ignore[method-assign]

    def back() -> None:
        journal.append = append  # type: ignore[method-assign]

    return back


async def try_to_commit(client: Client) -> int:
    """The first who wants something saved finds out, and waits for as long as 5 s for it."""
    return (await client("POST", "/v1/contacts", {"channel": "email", "queue": "front"})).status


@pytest.mark.parametrize("role", ["agent", "supervisor"])
async def test_a_desk_hears_that_nothing_can_be_saved_and_that_it_can_again(
    site: Site, role: str
) -> None:
    client = await site.client("client")
    async with asyncio.timeout(ANSWERS), desk(site, role) as (one, welcome):
        assert welcome["type"] == "welcome"
        back = take_store_away(site)
        asking = asyncio.ensure_future(try_to_commit(client))  # noqa: TID251 - a test's own
        told = await one.until(type="store")
        assert told["away"] is True
        assert told["since_us"] >= welcome["now_us"]
        back()
        told = await one.until(type="store")
        assert told == {"type": "store", "away": False}
        assert await asking in {201, 503}, "saved in the end, or nobody could know in time"
        await submit(site)


async def test_a_desk_that_comes_while_nothing_can_be_saved_hears_why_it_is_not_let_in(
    site: Site,
) -> None:
    client = await site.client("client")
    token = await site.token("agent")
    async with asyncio.timeout(ANSWERS), desk(site, "supervisor") as (watching, _):
        back = take_store_away(site)
        asking = asyncio.ensure_future(try_to_commit(client))  # noqa: TID251 - a test's own
        await watching.until(type="store", away=True)
        async with desk(site, token=token) as (ana, first):
            assert (first["type"], first["away"]) == ("store", True), "instead of a welcome"
            assert await ana.closed() == 4503
        back()
        await watching.until(type="store", away=False)
        await asking
        async with desk(site, token=token) as (ana, first):
            assert first["type"] == "welcome"
            assert (await ana.do("presence", presence="ready"))["ok"]


async def test_a_lease_that_lapses_without_any_commit_is_said_too(site: Site) -> None:
    workspace = site.server.hosts["oak"].workspace
    clock = workspace.clock
    async with asyncio.timeout(ANSWERS), desk(site) as (ana, _):
        lease: Any = Lease(clock, 1, clock.now_us() - 10)
        workspace.writer.lease = lease
        await ana.until(type="store", away=True)
        answer = await ana.do("presence", presence="ready")
        assert answer["error"]["code"] == "store_full"
        lease.renewed(clock.now_us() + 3_600_000_000)
        await ana.until(type="store", away=False)
        assert (await ana.do("presence", presence="ready"))["ok"], "tried again"


async def test_nobody_looks_at_the_store_while_no_desk_is_there(site: Site) -> None:
    async with asyncio.timeout(ANSWERS):
        async with desk(site) as (ana, _):
            assert (await ana.do("presence", presence="ready"))["ok"]
            [link] = site.api.sockets._links
            watch = site.api.tenants["oak"].hub.store
            assert list(watch._links) == [link]
            assert watch._timer is not None
        watch.leave(link)
        assert (watch._links, watch._timer) == ({}, None)
