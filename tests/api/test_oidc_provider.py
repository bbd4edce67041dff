"""Signing in at a real identity provider (npm `oidc-provider`), by HTTP, step by step."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from router.api import oidc_pages
from tests.api.site import Site
from tests.api.walk import Person, company

pytestmark = [pytest.mark.peer, pytest.mark.slow]


async def session_of(site: Site, where: str) -> dict[str, Any]:
    """The session that a page makes of what it was sent."""
    page, _, ticket = where.partition("#ticket=")
    assert page in {"/desk", "/wallboard"}, where
    answer = await site.anybody()("POST", "/v1/session", {"ticket": ticket})
    assert answer.status == 200, answer
    body: dict[str, Any] = answer.body
    return body


async def audit(site: Site) -> list[tuple[str, str, str]]:
    admin = await site.client("admin")
    rows = (await admin("GET", "/v1/audit")).body["rows"]
    return [(row["action"], row["by"], row.get("subject", "")) for row in rows]


async def test_the_company_account_leads_to_the_desk_and_to_the_wallboard(tmp_path: Path) -> None:
    async with company(tmp_path) as (site, _, person):
        ways = (await site.anybody()("GET", "/v1/session:ways")).body
        assert ways == {"provider": "Oak ID", "password": False}
        ana = await session_of(site, await person.sign_in("ana-7"))
        assert (ana["role"], ana["agent"], ana["name"]) == ("agent", "ana", "Ana")
        assert ana["provider"] == "Oak ID"
        desk = site.anybody(ana["token"])
        presence = {"presence": "ready"}
        assert (await desk("POST", "/v1/agents/ana:presence", presence)).status == 200
        assert (await desk("GET", "/v1/agents")).status == 403
        other = Person(person.base)
        sue = await session_of(site, await other.sign_in("sue-9", "wallboard"))
        assert (sue["role"], sue["name"]) == ("supervisor", "sue")
        assert (await site.anybody(sue["token"])("GET", "/v1/agents")).status == 200
        assert (await desk("DELETE", "/v1/session")).status == 204
        assert (await desk("GET", "/v1/reservations")).status == 401
        await other.session.close()
        told = await audit(site)
        assert ("session.oidc", "agent:ana", "oidc:ana-7") in told
        assert ("session.open", "agent:ana", "agent:ana") in told
        assert ("session.oidc", "token:sue", "oidc:sue-9") in told
        assert [action for action, *_ in told].count("session.close") == 1


@pytest.mark.parametrize(
    ("login", "page", "refused"),
    [
        ("sue-9", "desk", "no_grant"),
        ("ana-7", "wallboard", "no_grant"),
        ("tim-5", "desk", "no_grant"),
        ("rob-3", "desk", "no_agent"),
        ("max-1", "desk", "no_name"),
    ],
)
async def test_who_has_no_access_hears_which(
    tmp_path: Path, login: str, page: str, refused: str
) -> None:
    async with company(tmp_path, consent=False) as (site, _, person):
        assert await person.sign_in(login, page) == f"/{page}#refused={refused}"
        assert not [one for one in await audit(site) if one[0] == "session.oidc"]
        page_of_metrics = (await (await site.client("admin"))("GET", "/metrics")).body.decode()
        assert f'router_sign_ins_total{{outcome="{refused}",way="oidc"}} 1.0' in page_of_metrics


@pytest.mark.parametrize(
    "how",
    [
        {"alg": "ES256", "auth": "client_secret_post"},
        {"alg": "PS256", "auth": "none"},
        {"alg": "EdDSA", "inIdToken": False},
    ],
    ids=lambda how: " ".join(map(str, how.values())),
)
async def test_each_kind_of_client_signature_and_claims(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    async with company(tmp_path, consent=False, **how) as (site, identity, person):
        ana = await session_of(site, await person.sign_in("ana-7"))
        assert ana["agent"] == "ana"
        await identity.wait("grant.success")


async def test_new_keys_are_fetched_and_the_way_goes_on(tmp_path: Path) -> None:
    async with company(tmp_path, consent=False) as (site, identity, person):
        await session_of(site, await person.sign_in("ana-7"))
        before = [key.kid for key in site.api.provider._keys]
        await identity.do("rotate")
        site.api.provider._asked_keys_at_us = 0  # as if it had been some seconds ago
        await session_of(site, await person.sign_in("ana-7"))
        after = [key.kid for key in site.api.provider._keys]
        assert (before, after) == (["k1"], ["k2"])


async def test_an_answer_counts_once_in_the_browser_that_asked(tmp_path: Path) -> None:
    async with company(tmp_path, consent=False) as (site, _, person):
        back = await person.go("ana-7")
        query = parse_qs(urlsplit(back).query)
        stranger = Person(person.base)
        assert await stranger.arrive(back) == "/desk#refused=stale"
        changed = back.replace(query["state"][0], "desk." + "x" * 32)
        assert await person.arrive(changed) == "/desk#refused=stale"
        # Refused once, the browser has nothing left to go on with.
        assert await person.arrive(back) == "/desk#refused=stale"
        back = await person.go("ana-7")
        await session_of(site, await person.arrive(back))
        assert await person.arrive(back) == "/desk#refused=stale"
        await stranger.session.close()


async def test_a_code_of_another_sign_in_is_not_taken(tmp_path: Path) -> None:
    """PKCE: whoever steals a code cannot use it in a sign-in of their own (RFC 7636)."""
    async with company(tmp_path, consent=False) as (_, identity, person):
        stolen = parse_qs(urlsplit(await person.go("ana-7")).query)["code"][0]
        thief = Person(person.base)
        own = await thief.go("tim-5")
        code = parse_qs(urlsplit(own).query)["code"][0]
        assert await thief.arrive(own.replace(code, stolen)) == "/desk#refused=stale"
        await identity.wait("grant.error")
        await thief.session.close()


async def test_the_answer_of_another_provider_is_not_taken(tmp_path: Path) -> None:
    async with company(tmp_path, consent=False) as (_, identity, person):
        back = await person.go("ana-7")
        mixed = back.replace(f"{identity.port}", "9")
        assert mixed != back
        assert await person.arrive(mixed) == "/desk#refused=token"


async def test_who_turns_back_at_the_provider_hears_so(tmp_path: Path) -> None:
    async with company(tmp_path) as (_, identity, person):
        where, _ = await person.step(f"{person.base}/v1/oidc/start?page=desk")
        where, _ = await person.step(where)
        where, _ = await person.step(f"{where}/abort")
        assert await person.arrive(await person.at_provider(where, "")) == "/desk#refused=denied"
        assert identity.issuer


async def test_signing_out_at_the_provider_ends_the_session_here(tmp_path: Path) -> None:
    async with company(tmp_path, consent=False, backchannel=True) as (site, identity, person):
        ana = await session_of(site, await person.sign_in("ana-7"))
        other = Person(person.base)
        sue = await session_of(site, await other.sign_in("sue-9", "wallboard"))
        desk, wall = site.anybody(ana["token"]), site.anybody(sue["token"])
        where, _ = await person.step(f"{person.base}/v1/oidc/leave?page=desk")
        assert where.startswith(f"{identity.issuer}/session/end?")
        _, shown = await person.step(where)
        form = {"xsrf": shown.split('name="xsrf" value="')[1].split('"')[0], "logout": "yes"}
        back, _ = await person.step(f"{identity.issuer}/session/end/confirm", form)
        assert (await identity.wait("backchannel"))["account"] == "ana-7"
        assert back.startswith(f"{person.base}/desk")
        assert (await desk("GET", "/v1/reservations")).status == 401
        assert (await wall("GET", "/v1/agents")).status == 200, "sue is still signed in"
        assert any(by == "oidc:ana-7" for action, by, _ in await audit(site)
                   if action == "session.close")  # fmt: skip
        await other.session.close()


async def test_a_sign_out_that_never_comes_to_its_end_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc_pages, "BODY_S", 0.2)
    async with company(tmp_path, consent=False, backchannel=True) as (site, _, _person):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
        writer.write(
            b"POST /v1/oidc/logout HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\nlogout_token="
        )
        async with asyncio.timeout(30):
            assert b" 408 " in await reader.readline()
        writer.close()


async def test_who_makes_up_sign_outs_is_slowed(tmp_path: Path) -> None:
    async with company(tmp_path, consent=False, backchannel=True) as (site, _, person):
        ana = await session_of(site, await person.sign_in("ana-7"))
        site.api.limits.addresses.rate = 0.01  # a slow machine takes its time for sixty
        statuses = []
        for _ in range(60):
            url = f"{person.base}/v1/oidc/logout"
            form = {"logout_token": "e30.e30.e30"}
            async with site.session.post(url, data=form) as answer:
                statuses.append(answer.status)
        assert set(statuses) == {400, 429}
        assert statuses[0] == 400
        async with site.session.post(f"{person.base}/v1/oidc/logout", data="x") as answer:
            assert answer.status in {400, 429}
        assert (await site.anybody(ana["token"])("GET", "/v1/reservations")).status == 200
