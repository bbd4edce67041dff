"""An owner that could not renew its ownership says no "there is no such thing" from memory.

Another node may have taken the workspace, and have tokens, contacts and names that this one has
never heard of: whoever is told "wrong token" signs out, whoever is told "not found" gives up.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from router.errors import NotFound, Overloaded
from router.runtime.lease import Lease
from tests.api.site import Site
from tests.api.test_desk import desk

ANSWERS = 30.0
MADE_ELSEWHERE = "crt_" + "a" * 49
"""To this node it is unknown."""
FOREVER_US = 3_600_000_000


def lapse(site: Site) -> None:
    clock = site.server.hosts["oak"].workspace.clock
    site.server.hosts["oak"].workspace.writer.lease = Lease(clock, 1, clock.now_us() - 10)


def renew(site: Site) -> None:
    lease = site.server.hosts["oak"].workspace.writer.lease
    assert lease is not None
    lease.renewed(lease._clock.now_us() + FOREVER_US)


async def test_a_token_a_ticket_a_password_that_are_not_known_here_may_be_known_there(
    site: Site,
) -> None:
    nobody, stranger = site.anybody(), site.anybody(MADE_ELSEWHERE)
    ticket = {"ticket": "crk_" + "a" * 49}
    login = {"name": "kim", "password": "correct horse battery"}

    async def statuses() -> list[int]:
        return [
            (await stranger("GET", "/v1/contacts")).status,
            (await nobody("POST", "/v1/session", ticket)).status,
            (await nobody("POST", "/v1/session:password", login)).status,
        ]

    assert await statuses() == [401, 401, 401]
    lapse(site)
    assert await statuses() == [503, 503, 503]
    elm = await site.client("admin", "elm")
    assert (await elm("GET", "/v1/contacts")).status == 200, "the other workspace is served"
    renew(site)
    assert await statuses() == [401, 401, 401]


async def test_a_link_that_could_not_be_exchanged_is_good_for_another_try(site: Site) -> None:
    admin, nobody = await site.client("admin"), site.anybody()
    body = {"role": "supervisor", "use": "ticket", "once": True}
    ticket = {"ticket": (await admin("POST", "/v1/tokens", body)).body["token"]}
    lapse(site)
    assert (await nobody("POST", "/v1/session", ticket)).status == 507
    renew(site)
    opened = await nobody("POST", "/v1/session", ticket)
    assert opened.status == 200
    assert (await nobody("POST", "/v1/session", ticket)).status == 401
    rows = site.server.hosts["oak"].workspace.rows_of("token")
    assert not [row for row in rows.values() if b"ticket" in row], "nor after a restart"


async def test_a_desk_with_such_a_token_is_sent_away_and_not_signed_out(site: Site) -> None:
    async def closed_with() -> int | None:
        async with site.session.ws_connect(site.base + "/v1/desk") as socket:
            await socket.send_json({"type": "hello", "token": MADE_ELSEWHERE})
            message = await socket.receive(ANSWERS)
            assert message.type is aiohttp.WSMsgType.CLOSE
            return socket.close_code

    assert await closed_with() == 4401
    lapse(site)
    assert await closed_with() == 4503
    renew(site)
    assert await closed_with() == 4401


async def test_what_is_not_known_here_may_have_come_since(site: Site) -> None:
    admin, ana = await site.client("admin"), await site.client("agent")

    async def codes() -> list[str]:
        return [
            (await ana("POST", "/v1/reservations/r77:accept", {})).code,
            (await ana("POST", "/v1/contacts/none:complete", {})).code,
            (await admin("GET", "/v1/contacts/none")).code,
            (await admin("GET", "/v1/reservations/r77")).code,
            (await admin("DELETE", "/v1/tokens/none")).code,
            (await admin("DELETE", "/v1/logins/none")).code,
        ]

    unknown = await codes()
    assert not {"unavailable", "store_full"} & {*unknown}
    lapse(site)
    assert {*await codes()} <= {"unavailable", "store_full"}
    renew(site)
    assert await codes() == unknown


async def test_an_offer_that_is_not_known_here_may_be_accepted_again(site: Site) -> None:
    async with asyncio.timeout(ANSWERS), desk(site) as (ana, _):
        lapse(site)
        refused = await ana.do("accept", reservation="r77")
        assert refused["error"]["code"] in {"unavailable", "store_full"}
        renew(site)
        assert (await ana.do("accept", reservation="r77"))["error"]["code"] == "not_found"


async def test_a_receipt_for_a_message_that_another_owner_sent_is_not_thrown_away(
    site: Site,
) -> None:
    texts: Any = site.server.hosts["oak"].channels.get("texts")
    with pytest.raises(NotFound):
        await texts.router.receipt("none", "m1", "delivered")
    lapse(site)
    with pytest.raises(Overloaded):
        await texts.router.receipt("none", "m1", "delivered")
