"""The journal alone tells a customer's row: its events, folded again, give what is stored."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from router.core import customer_commands as cc
from router.core import customers
from router.core import events as e
from router.core.customer_model import Customer, CustomerPatch, Identity
from router.core.permission_facts import ConsentState
from router.errors import Refused
from router.journal.codec import decode_event
from router.journal.keys import BlockKeys, MemoryBlocks
from router.journal.memory import MemoryJournal
from router.runtime.clock import ManualClock
from router.runtime.customers import FOLLOWED
from router.runtime.loop import Workspace
from tests.runtime.world import World

IDS = st.sampled_from(["kim", "lee", "max"])
NUMBERS = st.sampled_from([f"+493000000{n}" for n in range(4)])
CHANNELS = st.sampled_from(["", "sms", "voice"])
COMMANDS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), IDS, NUMBERS, st.sampled_from(["", "gold", "loyal"])),
        st.tuples(st.just("remove"), IDS, NUMBERS, st.just("")),
        st.tuples(st.just("merge"), IDS, IDS, st.just("")),
        st.tuples(st.just("consent"), IDS, CHANNELS, st.sampled_from(["given", "withdrawn"])),
        st.tuples(st.just("block"), IDS, CHANNELS, st.sampled_from(["", "lifted"])),
        st.tuples(st.just("stop"), IDS, CHANNELS, NUMBERS),
    ),
    max_size=25,
)


def command_of(workspace: Workspace, what: tuple[str, str, str, str]) -> Any:
    kind, id_, second, third = what
    hash_ = workspace.customers.identities.hash("phone", second if "+" in second else third)
    match kind:
        case "change":
            return cc.ChangeCustomer(
                customer=id_,
                patch=CustomerPatch(segment=third, attributes={"n": len(second) + len(third)}),
                add=(Identity(kind="phone", hash=hash_, address=second),),
            )
        case "remove":
            return cc.ChangeCustomer(customer=id_, remove=(hash_,))
        case "merge":
            return cc.MergeCustomers(customer=id_, into=second)
        case "consent":
            return cc.ChangeConsent(customer=id_, channel=second, state=ConsentState(third))
        case "block":
            return cc.ChangeDoNotContact(customer=id_, channel=second, lifted=bool(third))
        case _:
            return cc.ChangeDoNotContact(
                customer=id_, channel=second, address=hash_, asked_from=hash_
            )


def folded(workspace: Workspace, events: list[e.Event]) -> dict[str, Customer]:
    """Rows, from nothing but the events and the keys."""
    rows: dict[str, Customer] = {}
    for event in events:
        if type(event) not in FOLLOWED:
            continue
        id_ = getattr(event, "customer", "")
        row = rows.setdefault(id_, Customer(id=id_, created_at_us=event.at_us))
        if isinstance(event, e.CustomersMerged):
            customers.merge(rows[event.into], row)
            rows[id_] = customers.tombstone(row, event.into)
            continue
        part: Any = None
        if isinstance(event, (e.CustomerChanged, e.IdentityAdded)):
            plain = workspace.sealer.open(event.seal_key, event.sealed)
            assert plain is not None
            type_ = CustomerPatch if isinstance(event, e.CustomerChanged) else Identity
            part = msgspec.msgpack.decode(plain, type=type_)
        customers.apply(row, event, part)
    return rows


async def live(commands: list[tuple[str, str, str, str]], batches: list[int]) -> None:
    keys = await BlockKeys.open(MemoryBlocks())
    world = World(ManualClock(), MemoryJournal(), keys)
    try:
        workspace = await world.workspace()
        await workspace.customers.known.load(workspace)
        todo = list(commands)
        while todo:
            size = batches[len(todo) % len(batches)]
            batch, todo = todo[:size], todo[size:]
            asked = [workspace.put(command_of(workspace, what)) for what in batch]
            for answer in await asyncio.gather(*asked, return_exceptions=True):
                assert not isinstance(answer, BaseException) or isinstance(answer, Refused), answer
        frames = await world.journal.frames(workspace.own, 1, 10_000)
        events = [decode_event(data) for frame in frames for data in frame.events]
        wanted = {id_: row for id_, row in folded(workspace, events).items() if not row.merged_into}
        workspace.customers.drop()
        for id_ in ("kim", "lee", "max"):
            found = await workspace.customers.get(id_)
            if found is None:
                assert id_ not in wanted
            else:
                # What stands against addresses has a test of its own: `test_lives.py`.
                said = {"do_not_contact": (), "consents": (), "by_address": False}
                assert replace(found, **said) == replace(wanted[found.id], **said)
                for identity in found.identities:
                    owner = await workspace.customers.find("phone", identity.address)
                    assert owner is not None
                    assert owner.id == found.id
        owned = [i.hash for row in wanted.values() for i in row.identities]
        assert len(owned) == len(set(owned))
    finally:
        await world.end()
        await keys.close()


@settings(max_examples=60, deadline=None)
@given(commands=COMMANDS, batches=st.lists(st.integers(1, 6), min_size=1, max_size=3))
def test_the_events_of_any_life_give_the_stored_rows(
    commands: list[tuple[str, str, str, str]], batches: list[int]
) -> None:
    asyncio.run(live(commands, batches))
