"""Two workspaces with two owners: who belongs where is found from either node; nothing crosses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster.nodes import NEEDS_REDIS, WORKSPACE, Node, Site, contact, owner_among, until

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    NEEDS_REDIS,
    pytest.mark.timeout(400),
]


def _section(name: str) -> str:
    body = WORKSPACE.replace("  line:", f"  line-{name}:").replace("  site:", f"  site-{name}:")
    return f"  {name}:\n" + "".join(f"    {line}\n" for line in body.strip().splitlines())


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path, "workspaces:\n" + _section("east") + _section("west"), lease_s=2.0)
    yield made
    await made.close()


async def _revoked(node: Node, token: str) -> str:
    """A token of the right shape that nobody knows any more, so all have to be asked."""
    status, made = await node.insist("POST", "/v1/tokens", {"role": "client"}, token=token)
    assert status == 201, made
    status, _ = await node.insist("DELETE", f"/v1/tokens/{made['id']}", token=token)
    assert status in (204, 404), "404: it was revoked by a try that nobody could store at once"
    return str(made["token"])


async def test_tokens_links_and_passwords_find_their_workspace_from_any_node(site: Site) -> None:
    nodes = [site.node("a"), site.node("b")]
    tokens = {}
    for name in ("east", "west"):
        words = ("token", "create", "admin", "-w", name)
        tokens[name] = (await nodes[0].command(*words)).strip()
    link = (await nodes[0].command("token", "create", "supervisor", "--link", "-w", "west")).strip()
    for node in nodes:
        await node.start()

    async def is_shared_out() -> bool:
        return all([len(await node.owns()) == 1 for node in nodes])

    await until(is_shared_out)
    for name, token in tokens.items():
        for number, node in enumerate(nodes):
            mark = f"{name}-{number}"
            status, made = await node.insist("POST", "/v1/contacts", contact(mark), token=token)
            assert status in (200, 201), made
    for name, token in tokens.items():
        for node in nodes:
            page = (await node.insist("GET", "/v1/contacts", token=token))[1]
            found = {row["external_id"] for row in page["contacts"]}
            assert found == {f"{name}-0", f"{name}-1"}, "nothing crosses"
    for token in ("crt_" + "a" * 49, await _revoked(nodes[0], tokens["east"])):
        for node in nodes:
            assert (await node.insist("GET", "/v1/contacts", token=token))[0] == 401
    west = await owner_among(nodes, "west")
    far = next(node for node in nodes if node is not west)
    ticket = {"ticket": link.partition("#ticket=")[2]}
    status, session = await far.insist("POST", "/v1/session", ticket, token="")
    assert (status, session["workspace"]) == (200, "west"), session
    login = {"role": "supervisor", "password": "correct horse battery"}
    path, admin = "/v1/logins/kim", tokens["west"]
    assert (await far.insist("PUT", path, login, token=admin))[0] == 200
    body = {"name": "kim", "password": login["password"]}
    for node in nodes:
        status, session = await node.insist("POST", "/v1/session:password", body, token="")
        assert (status, session.get("workspace")) == (200, "west"), session
    for name in tokens:
        await owner_among(nodes, name)
