"""The company's sign-in over several nodes: to the provider from one, back to another, and out.

A real provider (npm `oidc-provider`), real nodes, one real Redis; the browser is moved to another
node by the address that it is given, as a load balancer would.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from loadtest.server import free_port
from tests.api.walk import Person
from tests.cluster.nodes import NEEDS_REDIS, WORKSPACE, Node, Site, owner_among, until
from tests.cluster.test_any_node import signed
from tests.cluster.test_two_workspaces import _section
from tests.peers.identity import SECRET, Identity, provider

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    NEEDS_REDIS,
    pytest.mark.timeout(400),
]
OIDC = """
  public_url: PUBLIC
  oidc:
    issuer: ISSUER
    client_id: contact-router
    client_secret_file: OIDC_SECRET
    grants:
      - {claim: groups, value: leads, role: supervisor, workspace: LEADS}
      - {claim: groups, value: care, role: agent, workspace: CARE}
"""
TWO = "workspaces:\n" + _section("east") + _section("west")


@asynccontextmanager
async def company(
    folder: Path, body: str, leads: str, care: str
) -> AsyncIterator[tuple[Site, Identity, list[Node]]]:
    """Two nodes, not started, and the provider, which knows the first one as us."""
    theirs = free_port()
    secret = folder / "oidc.secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    site = Site(folder, OIDC.lstrip("\n") + body, lease_s=2.0)
    try:
        nodes = [site.node("a"), site.node("b")]
        async with provider(nodes[0].url, theirs, consent=False, backchannel=True) as identity:
            for node in nodes:
                text = node.config.read_text().replace("PUBLIC", nodes[0].url)
                text = text.replace("ISSUER", identity.issuer).replace("OIDC_SECRET", str(secret))
                text = text.replace("LEADS", leads).replace("CARE", care)
                node.config.write_text(text)
            yield site, identity, nodes
    finally:
        await site.close()


Browsers = Callable[[Node], Person]


@pytest.fixture
async def browsers() -> AsyncIterator[Browsers]:
    """Makes browsers that know us by a node's address."""
    made: list[Person] = []

    def make(node: Node) -> Person:
        made.append(Person(node.url))
        return made[-1]

    yield make
    for person in made:
        await person.session.close()


async def to_provider(person: Person, at: Node, login: str, page: str) -> str:
    """Signed in there, having begun at this node; what stands behind our address in the answer."""
    where, _ = await person.step(f"{at.url}/v1/oidc/start?page={page}")
    return (await person.at_provider(where, login)).removeprefix(person.base)


async def back(person: Person, at: Node, path: str) -> str:
    """Back from the provider at this node: a page, and what stands behind its #."""
    where, _ = await person.step(at.url + path)
    return where.removeprefix(at.url)


async def exchange(at: Node, where: str) -> tuple[str, str]:
    """(token, workspace) of the session that a page makes of its ticket."""
    assert "#ticket=" in where, where
    body = {"ticket": where.partition("#ticket=")[2]}
    status, session = await at.insist("POST", "/v1/session", body, token="")
    assert status == 200, session
    again = await at.insist("POST", "/v1/session", body, token="")
    assert again[0] == 401, "a ticket is good once"
    return str(session["token"]), str(session["workspace"])


async def test_people_come_back_to_either_node_and_into_the_workspace_that_is_theirs(
    tmp_path: Path, browsers: Browsers
) -> None:
    async with company(tmp_path, TWO, "east", "west") as (site, identity, nodes):
        admin = (await nodes[0].command("token", "create", "admin", "-w", "west")).strip()
        for node in nodes:
            await node.start()

        async def is_shared_out() -> bool:
            return all([len(await node.owns()) == 1 for node in nodes])

        await until(is_shared_out)
        sessions: dict[str, list[str]] = {"ana-7": [], "sue-9": []}
        people = []
        for start, end in (nodes, nodes[::-1]):
            for login, page, path, place in (
                ("ana-7", "desk", "/v1/reservations", "west"),
                ("sue-9", "wallboard", "/v1/agents", "east"),
            ):
                people.append(person := browsers(nodes[0]))
                answer = await to_provider(person, start, login, page)
                token, workspace = await exchange(start, await back(person, end, answer))
                assert workspace == place
                sessions[login].append(token)
                for node in nodes:
                    assert (await node.insist("GET", path, token=token))[0] == 200
                stale = await back(person, end, answer)
                assert stale == f"/{page}#refused=stale", "an answer counts once"
        for node in nodes:
            for login, why in (("rob-3", "no_agent"), ("tim-5", "no_grant")):
                person = browsers(nodes[0])
                answer = await to_provider(person, node, login, "desk")
                assert await back(person, node, answer) == f"/desk#refused={why}"
        await nobody_else_makes_tickets(site, nodes)
        rows = (await nodes[0].insist("GET", "/v1/audit", token=admin))[1]["rows"]
        came = [row for row in rows if row["action"] == "session.oidc"]
        assert [(row["subject"], row["address"]) for row in came] == [
            ("oidc:ana-7", "127.0.0.1")
        ] * 2
        # The provider knows the first node only, and one of the two workspaces is not there.
        for person, login, path in (
            (people[0], "ana-7", "/v1/reservations"),
            (people[1], "sue-9", "/v1/agents"),
        ):
            await sign_out_there(person, identity, nodes[1])
            statuses = [
                (await node.insist("GET", path, token=token))[0]
                for node in nodes
                for token in sessions[login]
            ]
            assert sorted(statuses) == [200, 200, 401, 401], "this browser's, and no other's"


async def sign_out_there(person: Person, identity: Identity, at: Node) -> None:
    """At the provider, which tells us."""
    where, _ = await person.step(f"{at.url}/v1/oidc/leave?page=desk")
    _, shown = await person.step(where)
    [xsrf] = re.findall(r'name="xsrf" value="([^"]+)"', shown)
    confirm = f"{identity.issuer}/session/end/confirm"
    await person.step(confirm, {"xsrf": xsrf, "logout": "yes"})
    told = await identity.wait("backchannel")
    assert "error" not in told, told


async def nobody_else_makes_tickets(site: Site, nodes: list[Node]) -> None:
    """Not without the secret; and with a signature that covers the path, not by a body alone."""
    secret = bytes.fromhex(site.secret.read_text())
    for node in nodes:
        for path in ("/nodes/oidc/arrived", "/nodes/oidc/signed-out"):
            good = signed(secret, "POST", path, "", time.time_ns() // 1000)
            wrong = signed(b"x" * 32, "POST", path, "", time.time_ns() // 1000)
            for headers in ({}, {"X-Router-Hop": wrong}, {"X-Router-Hop": good}):
                for body in (b"", b"{}", b"\x00" * 64):
                    async with node.session.post(path, data=body, headers=headers) as answer:
                        assert answer.status == 404, await answer.text()


async def test_who_comes_back_while_the_owner_is_lost_is_let_in_by_the_next_one(
    tmp_path: Path, browsers: Browsers
) -> None:
    async with company(tmp_path, WORKSPACE, "main", "main") as (_, _, nodes):
        await nodes[0].command("token", "create", "admin")
        for node in nodes:
            await node.start()
        owner = await owner_among(nodes)
        other = next(node for node in nodes if node is not owner)
        person = browsers(nodes[0])
        answer = await to_provider(person, owner, "ana-7", "desk")
        await owner.kill()
        token, workspace = await exchange(other, await back(person, other, answer))
        assert workspace == "main"
        assert (await other.insist("GET", "/v1/reservations", token=token))[0] == 200
        assert await other.owns() == ["main"]
