"""Tokens: shape, storage, expiry, tickets and sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from router.api.auth import Role, Tokens, Use, digest_of, is_well_formed, make_token, token_commit
from router.errors import Invalid
from router.journal import AppendResult
from router.journal.memory import MemoryJournal
from tests.api.site import Client, Site, api_of, start


def test_a_token_has_256_random_bits_and_a_checksum() -> None:
    texts = {make_token(Role.ADMIN, now_us=1)[0] for _ in range(200)}
    assert len(texts) == 200
    for text in texts:
        assert is_well_formed(text)
        assert text.startswith("crt_")
        assert not is_well_formed(text[:-1] + ("A" if text[-1] != "A" else "B"))
        assert not is_well_formed(text[:10] + ("x" if text[10] != "x" else "y") + text[11:])


def test_only_the_hash_is_kept() -> None:
    text, row = make_token(Role.CLIENT, now_us=1, name="shop")
    assert row.digest == digest_of(text)
    assert text not in repr(row)
    assert text[4:] not in repr(row)


@pytest.mark.parametrize(
    ("role", "bound"),
    [
        (Role.AGENT, {}),
        (Role.ADMIN, {"agent": "ana"}),
        (Role.ADAPTER, {}),
        (Role.CLIENT, {"channel": "phones"}),
        (Role.ADAPTER, {"channel": "phones", "agent": "ana"}),
        (Role.ADMIN, {"length_us": -1}),
    ],
)
def test_a_role_and_what_it_is_bound_to_must_fit(role: Role, bound: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        make_token(role, now_us=1, **bound)


async def test_wrong_tokens_are_nobodys(site: Site) -> None:
    good = await site.token("admin")
    cases = {
        "": 401,
        "Bearer ": 401,
        "Bearer crt_": 401,
        f"Bearer {good[:-1]}": 401,
        f"Bearer {good}x": 401,
        f"Bearer {good.lower()}": 401,
        f"bearer{good}": 401,
        f"Basic {good}": 401,
        good: 401,
        f"Bearer {digest_of(good).hex()}": 401,
        "Bearer eyJhbGciOiJub25lIn0.eyJyb2xlIjoiYWRtaW4ifQ.": 401,
        f"Bearer {make_token(Role.ADMIN, now_us=1)[0]}": 401,
        f"Bearer {good}": 200,
    }
    for header, status in cases.items():
        answer = await site.anybody()("GET", "/v1/agents", Authorization=header)
        assert answer.status == status, header
        if status == 401:
            assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert (await site.anybody()("GET", f"/v1/agents?token={good}")).status == 401


async def test_who_guesses_tokens_is_slowed_down(site: Site) -> None:
    site.api.limits.addresses.rate = 0.01  # a slow machine takes its time for sixty
    statuses = [(await site.anybody("crt_guess")("GET", "/v1/agents")).status for _ in range(60)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert (await (await site.client("admin"))("GET", "/v1/agents")).status == 200


async def test_an_expired_or_revoked_token_is_nobodys(site: Site) -> None:
    admin = await site.client("admin")
    made = (await admin("POST", "/v1/tokens", {"role": "client", "expires_in_s": 3600})).body
    client = Client(site.session, site.base, made["token"])
    assert (await client("GET", "/v1/contacts")).status == 200
    now_us = site.api.clock.now_us()
    assert site.api.tokens.find(made["token"], now_us + 3_599_000_000) is not None
    assert site.api.tokens.find(made["token"], now_us + 3_601_000_000) is None
    assert (await admin("DELETE", f"/v1/tokens/{made['id']}")).status == 204
    assert (await client("GET", "/v1/contacts")).status == 401
    assert (await admin("DELETE", f"/v1/tokens/{made['id']}")).status == 404
    listed = (await admin("GET", "/v1/tokens")).body["tokens"]
    assert made["id"] not in [row["id"] for row in listed]
    assert all("token" not in row for row in listed)


async def test_a_ticket_is_exchanged_once_and_is_no_token(site: Site) -> None:
    admin = await site.client("admin")
    wanted = {"role": "agent", "agent": "ana", "use": "ticket"}
    ticket = (await admin("POST", "/v1/tokens", wanted)).body["token"]
    assert ticket.startswith("crk_")
    assert (await site.anybody(ticket)("GET", "/v1/agents/ana")).status == 401
    session = await site.anybody()("POST", "/v1/session", {"ticket": ticket})
    assert session.status == 200, session
    assert session.headers["Cache-Control"] == "no-store"
    assert (session.body["role"], session.body["agent"], session.body["name"]) == (
        "agent", "ana", "Ana",
    )  # fmt: skip
    again = await site.anybody()("POST", "/v1/session", {"ticket": ticket})
    assert (again.status, again.code) == (401, "wrong_ticket")
    mine = site.anybody(session.body["token"])
    assert (await mine("GET", "/v1/agents/ana")).status == 200
    assert (await mine("GET", "/v1/agents/ben")).status == 404
    assert (await mine("DELETE", "/v1/session")).status == 204
    assert (await mine("GET", "/v1/agents/ana")).status == 401
    assert (await admin("DELETE", "/v1/session")).status == 409
    audit = (await admin("GET", "/v1/audit")).body["rows"]
    assert {"session.open", "session.close", "token.create"} <= {row["action"] for row in audit}


async def test_a_token_names_agents_and_adapters_that_exist(site: Site) -> None:
    admin = await site.client("admin")
    for body in (
        {"role": "agent", "agent": "nobody"},
        {"role": "agent"},
        {"role": "adapter", "channel": "nothing"},
        {"role": "king"},
    ):
        assert (await admin("POST", "/v1/tokens", body)).status == 422, body


async def test_tokens_outlive_a_restart(site: Site, tmp_path: Path) -> None:
    admin = await site.client("admin")
    other = await site.client("client", "elm")
    await site.server.stop()
    server = await start(tmp_path)
    again = Site(server, api_of(server), site.session)
    try:
        assert (await again.anybody(admin.token)("GET", "/v1/tokens")).status == 200
        found = again.api.tokens.find(other.token, again.api.clock.now_us())
        assert found is not None
        assert found.workspace == "elm"
    finally:
        await server.stop()


async def test_tokens_can_be_made_while_nobody_serves() -> None:
    journal = MemoryJournal()
    own = await journal.acquire("main")
    _, row = make_token(Role.ADMIN, now_us=1)
    assert await journal.append(own, token_commit(own, 1, [row])) is AppendResult.OK
    rows = [found async for chunk in journal.load(own) for found in chunk]
    assert [(found.kind, found.id) for found in rows] == [("token", row.id)]


def test_tickets_are_found_only_when_asked_for() -> None:
    tokens = Tokens()
    text, row = make_token(Role.ADMIN, now_us=1, use=Use.TICKET, length_us=10)
    tokens._keep("main", row)
    assert tokens.find(text, 5) is None
    assert tokens.find(text, 5, use=Use.TICKET) is not None
    assert tokens.find(text, 11, use=Use.TICKET) is None
