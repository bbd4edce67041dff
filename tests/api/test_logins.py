"""Names and passwords: who gets in, who does not, and what an attacker learns."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from router.api.auth import Role
from router.api.passwords import _derive, make_login
from router.api.problems import ApiError
from tests.api.site import Site, api_of, start

GOOD = "correct horse battery"


async def put(site: Site, name: str, password: str = GOOD, **more: Any) -> Any:
    admin = await site.client("admin")
    body = {"password": password, "role": "supervisor", **more}
    return await admin("PUT", f"/v1/logins/{name}", body)


async def sign_in(site: Site, name: str, password: str = GOOD, **more: str) -> Any:
    body = {"name": name, "password": password, **more}
    return await site.anybody()("POST", "/v1/session:password", body)


def stored_in(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.rglob("*") if file.is_file())


async def test_an_agent_signs_in_and_is_that_agent(site: Site) -> None:
    made = await put(site, "ana@oak", role="agent", agent="ana")
    at_us = made.body.pop("changed_at_us")
    assert at_us > 0
    assert made.body == {"name": "ana@oak", "role": "agent", "agent": "ana", "by": "token:admin"}
    session = await sign_in(site, "ana@oak")
    assert (session.body["role"], session.body["agent"], session.body["name"]) == (
        "agent", "ana", "Ana",
    )  # fmt: skip
    ana = site.anybody(session.body["token"])
    assert (await ana("POST", "/v1/agents/ana:presence", {"presence": "ready"})).status == 200
    assert (await ana("POST", "/v1/agents/ben:presence", {"presence": "ready"})).status == 404
    assert (await ana("DELETE", "/v1/session")).status == 204
    assert (await ana("GET", "/v1/reservations")).status == 401


async def test_a_wrong_password_and_a_name_that_is_not_there_look_the_same(site: Site) -> None:
    await put(site, "sue")
    wrong, nobody = await sign_in(site, "sue", "wrong wrong"), await sign_in(site, "sam")
    assert (wrong.status, wrong.code) == (nobody.status, nobody.code) == (401, "wrong_login")
    assert wrong.body["detail"] == nobody.body["detail"]


async def test_who_guesses_is_slowed_and_who_knows_it_elsewhere_is_not(site: Site) -> None:
    await put(site, "sue")
    site.api.logins._near.rate /= 100  # on a slow machine five tries take long enough for a sixth
    for _ in range(5):
        assert (await sign_in(site, "sue", "a guess, a guess")).status == 401
    stopped = await sign_in(site, "sue")
    assert (stopped.status, stopped.code) == (429, "rate_limited")
    assert 1 <= float(stopped.headers["Retry-After"]) <= 1_201
    assert (await sign_in(site, "sam")).status == 401, "another name is not concerned"


async def test_a_new_password_ends_the_sessions_of_the_old_one(site: Site) -> None:
    await put(site, "sue")
    token = (await sign_in(site, "sue")).body["token"]
    other = (await sign_in(site, "sue")).body["token"]
    assert (await site.anybody(token)("GET", "/v1/stats")).status == 200
    await put(site, "sue", "an entirely new one")
    for old in (token, other):
        assert (await site.anybody(old)("GET", "/v1/stats")).status == 401
    assert (await sign_in(site, "sue")).status == 401
    token = (await sign_in(site, "sue", "an entirely new one")).body["token"]
    admin = await site.client("admin")
    assert (await admin("DELETE", "/v1/logins/sue")).status == 204
    assert (await site.anybody(token)("GET", "/v1/stats")).status == 401
    assert (await admin("DELETE", "/v1/logins/sue")).status == 404


async def test_a_session_of_the_old_password_does_not_slip_in_while_it_changes(site: Site) -> None:
    await put(site, "sue")
    change = put(site, "sue", "an entirely new one")
    changed, *old = await asyncio.gather(change, *(sign_in(site, "sue") for _ in range(5)))
    assert changed.status == 200
    for answer in old:
        if answer.status == 200:
            session = site.anybody(answer.body["token"])
            assert (await session("GET", "/v1/stats")).status == 401
    admin = await site.client("admin")
    tokens = (await admin("GET", "/v1/tokens")).body["tokens"]
    assert not [row for row in tokens if row.get("by") == "login:sue"]
    assert (await sign_in(site, "sue", "an entirely new one")).status in (200, 429)


async def test_who_tries_many_names_is_slowed_and_keeps_nobody_else_waiting(site: Site) -> None:
    site.api.logins._wrong.rate, site.api.logins._wrong.burst = 0.01, 3.0
    answers = await asyncio.gather(*(sign_in(site, f"nobody{n}") for n in range(10)))
    assert Counter(answer.status for answer in answers) == {401: 3, 429: 7}


async def test_who_signs_in_rightly_is_not_slowed_for_others_at_the_same_address(
    site: Site,
) -> None:
    site.api.logins._wrong.rate, site.api.logins._wrong.burst = 0.01, 2.0
    for name in ("sue", "sam", "kim", "lee"):
        await put(site, name)
        assert (await sign_in(site, name)).status == 200


async def test_who_is_slowed_does_not_use_up_the_tries_of_others(site: Site) -> None:
    logins, now_us = site.api.logins, site.api.clock.now_us()
    for _ in range(30):
        with pytest.raises(ApiError):
            await logins.check("", "sue", "a guess", "192.0.2.1", now_us)
    with pytest.raises(ApiError) as refused:
        await logins.check("", "sue", "a guess", "192.0.2.2", now_us)
    assert refused.value.status == 401


async def test_who_makes_up_names_does_not_wipe_out_how_often_one_was_guessed_at(
    site: Site,
) -> None:
    logins, now_us = site.api.logins, 1
    while not logins._far.take("ana", now_us):
        pass
    while not logins._wrong.take("192.0.2.1", now_us):
        pass
    for number in range(10_100):  # more than the tables hold
        with pytest.raises(ApiError) as refused:
            await logins.check("", f"nobody {number}", "guessed", "192.0.2.1", now_us)
        assert refused.value.status == 429
    with pytest.raises(ApiError) as refused:
        await logins.check("", "ana", "guessed", "198.51.100.1", now_us)
    assert refused.value.status == 429, "ana is guessed at as if for the first time"


async def test_one_subscriber_is_one_address(site: Site) -> None:
    logins, now_us = site.api.logins, site.api.clock.now_us()
    statuses = []
    for n in range(7):
        with pytest.raises(ApiError) as refused:
            await logins.check("", "sue", "a guess", f"2001:db8:1:2:{n}::{n}", now_us)
        statuses.append(refused.value.status)
    assert statuses == [401] * 5 + [429] * 2


@pytest.mark.parametrize(
    ("name", "password", "more"),
    [
        ("sue", "short", {}),
        ("sue", "x" * 201, {}),
        ("sue", "aaaaaaaaaaaaaaaa", {}),
        ("susan.miller", "susan.miller1", {}),
        ("sue", GOOD, {"role": "adapter"}),
        ("sue", GOOD, {"role": "agent"}),
        ("sue", GOOD, {"agent": "ana"}),
        ("sue", GOOD, {"role": "agent", "agent": "nobody"}),
    ],
)
async def test_what_cannot_be_a_login_is_refused(
    site: Site, name: str, password: str, more: dict[str, str]
) -> None:
    answer = await put(site, name, password, **more)
    assert answer.status == 422
    assert (await sign_in(site, name, password[:200])).status == 401


async def test_one_name_in_two_workspaces_needs_the_workspace(site: Site) -> None:
    await put(site, "sue")
    elm = await site.client("admin", "elm")
    other = {"password": "her other password", "role": "supervisor"}
    assert (await elm("PUT", "/v1/logins/sue", other)).status == 200
    assert (await sign_in(site, "sue")).status == 401
    found = await sign_in(site, "sue", workspace="oak")
    assert found.body["workspace"] == "oak"
    assert (await sign_in(site, "sue", workspace="elm")).status == 401
    names = (await elm("GET", "/v1/logins")).body["logins"]
    assert [(row["name"], "key" in row, "salt" in row) for row in names] == [("sue", False, False)]


async def test_names_outlive_a_restart_and_passwords_are_not_in_the_store(tmp_path: Path) -> None:
    import aiohttp

    server = await start(tmp_path)
    async with aiohttp.ClientSession() as session:
        site = Site(server, api_of(server), session)
        await put(site, "sue", "Grüße an alle hier")
        await server.stop()
        server = await start(tmp_path)
        site = Site(server, api_of(server), session)
        # The same letters, composed otherwise, are the same password.
        assert (await sign_in(site, "sue", "Gru\u0308\u00dfe an alle hier")).status == 200
        await server.stop()
    stored = stored_in(tmp_path)
    assert len(stored) > 10_000
    assert "Grüße an alle".encode() not in stored


async def test_signing_in_is_in_the_audit_and_the_password_is_not(site: Site) -> None:
    await put(site, "sue")
    await sign_in(site, "sue")
    admin = await site.client("admin")
    rows = (await admin("GET", "/v1/audit")).body["rows"]
    assert ("login.put", "sue") in [(row["action"], row["subject"]) for row in rows]
    assert ("session.open", "login:sue") in [(row["action"], row["by"]) for row in rows]
    assert GOOD not in str(rows)


def test_a_password_is_kept_as_scrypt_with_the_stated_cost() -> None:
    row = make_login("sue", Role.SUPERVISOR, "", 0, "me")
    expected = hashlib.scrypt(
        GOOD.encode(), salt=row.salt, n=32_768, r=8, p=3, maxmem=1 << 27, dklen=32
    )
    assert _derive(GOOD, row) == expected
    assert row.salt != make_login("sue", Role.SUPERVISOR, "", 0, "me").salt
