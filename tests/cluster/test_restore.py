"""A backup is brought back, or the store's directory is an older one: who is fenced, what is there.

Real nodes and real Redis servers. What is there afterwards is asked of whichever node is up.
"""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.cluster.nodes import NEEDS_REDIS, Node, Site, Store, contact, owner_among, until

pytestmark = [
    pytest.mark.peer,
    NEEDS_REDIS,
    pytest.mark.timeout(400),
]


async def post(site: Site, node: Node, *marks: str) -> dict[str, tuple[str, str]]:
    """Contacts, each asked for until it is acknowledged: what we call them -> (id, name)."""
    made = {}
    for mark in marks:

        async def is_taken(mark: str = mark) -> bool:
            status, body = await node.ask("POST", "/v1/contacts", contact(mark), token=site.admin)
            assert status in (200, 201, 503, 507), (status, body)
            if status < 300:
                made[mark] = (str(body["contact"]), "Kim")
            return status < 300

        await until(is_taken, node.log_end)
    return made


async def there(site: Site, node: Node) -> dict[str, tuple[str, str]]:
    """What we called the contacts that there are -> (id, the customer's name)."""
    found: dict[str, tuple[str, str]] = {}

    async def is_told() -> bool:
        found.clear()
        status, page = await node.ask("GET", "/v1/contacts?limit=500", token=site.admin)
        assert status in (200, 503, 507), page
        for row in page.get("contacts", ()):
            path = f"/v1/contacts/{row['id']}"
            status, whole = await node.ask("GET", path, token=site.admin)
            if status != 200:
                return False
            assert whole["external_id"] not in found, "there twice"
            found[whole["external_id"]] = (row["id"], whole["peer"]["name"])
        return status == 200

    await until(is_told, node.log_end)
    return found


async def backup(owner: Node) -> Path:
    """As the runbook says: SIGUSR1; done when the secret is there, which is written last."""
    owner.signal(signal.SIGUSR1)
    place = owner.directory / "data/backup"

    async def is_written() -> bool:
        return any(place.glob("*/keys/secret"))

    await until(is_written, owner.log_end)
    return next(place.iterdir())


async def until_logged(node: Node, words: str) -> None:
    """Until it has said so."""

    async def is_said() -> bool:
        return words in node.log.read_text()

    await until(is_said, node.log_end)


async def epoch(node: Node) -> int:
    """Of the workspace that it serves."""
    _, _, rest = (await node.metrics()).partition('router_epoch{workspace="main"} ')
    return int(float(rest.split()[0]))


def the_other(nodes: list[Node], owner: Node) -> Node:
    """Of two."""
    return next(node for node in nodes if node is not owner)


async def test_a_node_that_nobody_could_stop_is_fenced_by_the_backup_that_came_back(
    site: Site,
) -> None:
    nodes = await site.start("b", "a")
    owner = await owner_among(nodes)
    other = the_other(nodes, owner)
    kept = await post(site, owner, "kept-1", "kept-2")
    copy = await backup(owner)
    later = await post(site, owner, "later-1", "later-2")
    old_epoch = await epoch(owner)
    # What the runbook says, with one node out of reach.
    owner.signal(signal.SIGSTOP)
    assert await other.stop() == 0, other.log_end()
    site.store.client.flushall()
    said = await other.command("restore", str(copy), "--data", str(other.directory / "data"))
    assert "workspace main is as of 20" in said
    assert "what was acknowledged later is not in it" in said
    await other.start()
    await owner_among([other])
    kept |= await post(site, other, "new-1")
    owner.signal(signal.SIGCONT)
    await until_logged(owner, "workspace lost")
    assert "another node has taken it over" in owner.log.read_text()

    async def has_let_go() -> bool:
        return not await owner.owns()

    await until(has_let_go, owner.log_end)
    assert await epoch(other) > old_epoch + 1000, "adapters and desks refuse the old owner"
    for node in nodes:
        assert await there(site, node) == kept, "nothing of what the old owner knew later"
    again = await post(site, owner, "later-1", "later-2")
    assert not {id_ for id_, _ in again.values()} & {id_ for id_, _ in later.values()}
    await other.kill()
    await owner_among([owner])
    kept |= again | await post(site, owner, "new-2")
    assert await there(site, owner) == kept
    await owner.kill()
    await owner.start()
    assert await there(site, owner) == kept, "all of it can be read by who knew nothing of it"


async def test_a_restore_is_refused_while_nodes_run_and_takes_nothing_from_them(
    site: Site,
) -> None:
    nodes = await site.start("b", "a")
    owner = await owner_among(nodes)
    kept = await post(site, owner, "kept-1")
    copy = await backup(owner)
    kept |= await post(site, owner, "later-1")
    words = ("restore", str(copy), "--data", str(site.directory / "elsewhere"))
    code, said = await owner.attempt(*words)
    assert code != 0
    # Nodes that the machine holds up for a lease are not named.
    assert re.search(r"nodes run on this store: (a|b|a, b)\. Stop all of them", said), said
    # With one of them it is the same, and an emptied store is filled by its owner again.
    other = the_other(nodes, owner)
    assert await other.stop() == 0
    site.store.client.delete("{main}:own", "{main}:log", "{main}:live")
    code, said = await owner.attempt(*words)
    assert code != 0
    assert f"nodes run on this store: {owner.name}. Stop all of them" in said, said
    await until_logged(owner, "the store has lost this workspace: it is written anew")
    assert not (site.directory / "elsewhere/secret").exists()
    kept |= await post(site, owner, "after")  # acknowledged once the others are there again
    await other.start()
    await owner.kill()
    await owner_among([other])
    assert await there(site, other) == kept


def put_back(store: Store, old: Path) -> None:
    """The server's directory is what it was when it was copied."""
    store.kill()
    shutil.rmtree(store.directory)
    shutil.copytree(old, store.directory)
    store.restart()


async def test_an_older_directory_under_a_living_owner_is_filled_up_by_it(
    site: Site, tmp_path: Path
) -> None:
    nodes = await site.start("b", "a")
    owner = await owner_among(nodes)
    kept = await post(site, owner, "kept-1")
    shutil.copytree(site.store.directory, tmp_path / "old")
    kept |= await post(site, owner, "later-1", "later-2")
    put_back(site.store, tmp_path / "old")
    await until_logged(owner, "the store forgot commits: they are written again")
    assert "router_journal_gaps_total 1.0" in await owner.metrics()
    kept |= await post(site, owner, "after")  # acknowledged once the others are there again
    await owner.kill()
    other = the_other(nodes, owner)
    await owner_among([other])
    assert await there(site, other) == kept


async def test_an_older_directory_and_a_frozen_owner_the_one_who_took_over_meanwhile_stays(
    site: Site, tmp_path: Path
) -> None:
    nodes = await site.start("b", "a")
    owner = await owner_among(nodes)
    other = the_other(nodes, owner)
    kept = await post(site, owner, "kept-1")
    shutil.copytree(site.store.directory, tmp_path / "old")
    await post(site, owner, "later-1")
    owner.signal(signal.SIGSTOP)
    put_back(site.store, tmp_path / "old")
    await owner_among([other])
    kept |= await post(site, other, "new-1")
    owner.signal(signal.SIGCONT)
    await until_logged(owner, "workspace lost")
    for node in nodes:
        assert await there(site, node) == kept, "not a mixture"
    kept |= await post(site, owner, "later-1")
    assert await there(site, other) == kept


async def test_a_copied_store_makes_two_owners_that_can_be_told_apart_and_are_counted(
    site: Site, tmp_path: Path
) -> None:
    nodes = await site.start("b", "a")
    owner = await owner_among(nodes)
    other = the_other(nodes, owner)
    both = await post(site, owner, "both")
    assert await other.stop() == 0
    shutil.copytree(site.store.directory, tmp_path / "old")
    copied = Store(tmp_path / "second")
    try:
        put_back(copied, tmp_path / "old")
        text = other.config.read_text()
        other.config.write_text(text.replace(f":{site.store.port}/", f":{copied.port}/"))
        await other.start()
        await owner_among([other])
        # Nothing in either store knows of the other: what tells is the count of owners (the alert
        # `router_workspace_owned`), and who is obeyed is who has the higher epoch.
        assert [await node.owns() for node in nodes] == [["main"], ["main"]]
        assert await epoch(other) > await epoch(owner)
        mine, theirs = await post(site, owner, "mine"), await post(site, other, "theirs")
        assert await there(site, owner) == both | mine
        assert await there(site, other) == both | theirs
        # Put right: the copy is taken away, its node goes to the real store and is a way in there.
        assert await other.stop() == 0
        other.config.write_text(text)
        await other.start()
        assert await there(site, other) == both | mine
    finally:
        copied.close()


async def test_a_store_that_lost_all_gets_contacts_and_keys_back_before_its_owner_dies(
    site: Site,
) -> None:
    nodes = await site.start("b", "a")
    owner = await owner_among(nodes)
    other = the_other(nodes, owner)
    kept = await post(site, owner, "one", "two")
    assert await other.stop() == 0
    site.store.client.flushall()

    async def is_given_back() -> bool:
        told = re.findall(r'the key store has lost keys.*?"blocks":(\d+)', owner.log.read_text())
        keys = site.store.client.keys("{router-keys}:block:*")
        is_seeded = "router_journal_seeds_total 1.0" in await owner.metrics()
        return bool(told) and len(keys) >= int(told[0]) and is_seeded

    await until(is_given_back, owner.log_end)
    await other.start()
    await owner.kill()
    await owner_among([other])
    assert await there(site, other) == kept, "names and external ids as well"
    again = await post(site, other, "one")
    assert again["one"] == kept["one"], "the same id is the same contact"
