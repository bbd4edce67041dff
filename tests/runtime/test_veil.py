"""What callers say of a customer is sealed in every event and row, comes back, can be erased."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from router.channel import Address, NewContact, NewMessage, Receipt
from router.core import commands as c
from router.core import customer_commands as cc
from router.core import events as e
from router.core.customer_model import CustomerPatch
from router.core.facts import Outbound
from router.core.model import Contact, ContactId, ContactState
from router.core.record import Personal
from router.core.state import State
from router.journal import ArchiveWrite
from router.journal.codec import decode_event, decode_row, encode_row, split_event
from router.journal.frame import unpack_frame
from router.journal.keys import BlockKeys
from router.journal.keys_file import SqliteBlocks
from router.journal.seal import Opener, Sealer
from router.journal.sqlite import SqliteJournal
from router.replay.stored import open_past
from router.runtime.clock import ManualClock
from router.runtime.host import Host
from router.runtime.intake import Routing
from router.runtime.veil import FIELDS, SAID, Reader, is_said
from router.testing import simulator
from tests.journal.samples import EVENTS, sample
from tests.runtime.world import SECOND, World, submit, until, with_ana

CANARY = "canary"
ATTRIBUTES = {"canary_key": "canary value", "n": 3}
NEW = NewContact(
    external_id="canary-1",
    customer=Address(address="+4930canary", name="canary"),
    to="shop",
    attributes=ATTRIBUTES,
    conversation="canary-talk",
)


async def host_of(world: World) -> Host:
    host = await world.host()
    await host.start([])
    await until(lambda: host.intake._seen._is_ready and host.intake._received._is_ready)
    return host


def stored(world: World) -> str:
    """All that is stored: the log, the rows and the archive, ids included."""
    store = world.journal._stores["main"]  # type: ignore[attr-defined]
    return repr({name: getattr(store, name) for name in dir(store) if name[0] != "_"})


def of(contact: str, kind: type[Any]) -> dict[str, Any]:
    """Who an event of this type is about, in the words of its fields."""
    names = {field.name for field in msgspec.structs.fields(kind)}
    return {
        name: value for name, value in (("contact", contact), ("customer", "kim")) if name in names
    }


async def test_every_personal_field_is_sealed_and_comes_back(world: World) -> None:
    host = await host_of(world)
    workspace, veil = host.workspace, host.workspace.veil
    contact = (await host.intake.submit(NEW, "chat"))[0].contact
    patch = CustomerPatch(name="kim")
    await workspace.ask(cc.ChangeCustomer(customer="kim", patch=patch))
    live = workspace.engine.state.contacts[ContactId(contact)]
    sealed = {"seal_key": live.seal_key, "sealed": live.sealed}
    assert [kind for kind in EVENTS if issubclass(kind, Personal)] == [
        kind for kind in EVENTS if kind in FIELDS
    ]
    for kind, names in FIELDS.items():
        event = msgspec.structs.replace(sample(kind), **of(contact, kind), erased=False)
        if kind is e.ContactReceived:
            event = msgspec.structs.replace(event, **sealed)
        before = msgspec.structs.replace(event)
        data = veil.encode(event)
        assert event == before, "it is whole in memory"
        blank = decode_event(data)
        assert all(getattr(blank, name) == empty for name, empty in names.items()), kind
        if kind is e.RouteAnswered:
            assert veil.event(data).erased
            continue
        assert veil.event(data) == event
    await workspace.keys.erase([live.seal_key, await workspace.customers.key_of("kim")])
    for kind, names in FIELDS.items():
        if kind in (e.ContactReceived, e.RouteAnswered):
            continue
        event = msgspec.structs.replace(sample(kind), **of(contact, kind), erased=False)
        read = veil.event(veil.encode(event))
        assert read.erased, "what is said after the erasure is not kept"
        assert all(getattr(read, name) == empty for name, empty in names.items()), kind


async def test_a_contacts_life_leaves_nothing_in_clear(world: World) -> None:
    host = await host_of(world)
    workspace = host.workspace
    message = NewMessage(id="canary-m1", text="canary sings", subject="canary")
    receipt = await host.intake.message(msgspec.structs.replace(NEW, message=message), "chat")
    id_ = ContactId(receipt.contact)
    update = c.UpdateContact(contact=id_, attributes={"later": "canary"}, customer="kim")
    await workspace.ask(update)
    await workspace.ask(
        c.CollectInput(contact=id_, name="pin", prompt="canary?", choices={"canary": "canary"})
    )
    await workspace.ask(c.ReportInput(contact=id_, name="pin", value="canary"))
    await workspace.ask(c.LinkContact(contact=id_, external_id="canary-2"))
    switch = c.SwitchChannel(contact=id_, channel="voice", external_id="canary-3")
    await workspace.ask(switch)
    whole = msgspec.structs.replace(workspace.engine.state.contacts[id_])
    assert whole.attributes == {**ATTRIBUTES, "later": "canary", "input.pin": "canary"}
    again = State()
    async for chunk in workspace.journal.load(workspace.own):
        for row in chunk:
            if row.kind == "contact":
                again.load("contact", Reader(workspace.sealer).contact(row.data))
    assert again.contacts == {id_: whole}
    await workspace.ask(c.CancelContact(contact=id_, reason="canary said so"))
    closed = await host.intake.contact(id_)
    assert closed is not None
    assert (closed.attributes, closed.external_id) == (whole.attributes, "canary-3")
    assert (closed.conversation, closed.outcome_reason) == ("canary-talk", "canary said so")
    assert "ContactReceived" in stored(world)
    assert CANARY not in stored(world)
    assert (workspace.veil.enveloped, workspace.veil._covers) == ({}, {})


async def test_one_seal_serves_until_something_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await host_of(world)
    workspace = host.workspace
    await with_ana(workspace)
    sealed: list[str] = []
    seal, seal_new = Sealer.seal, Sealer.seal_new
    monkeypatch.setattr(Sealer, "seal", lambda s, key, p: sealed.append(key) or seal(s, key, p))
    monkeypatch.setattr(Sealer, "seal_new", lambda s, p: sealed.append("new") or seal_new(s, p))
    receipt, answer = await host.intake.submit(NEW, "chat")
    assert answer is not None
    offered = answer.events[-1]
    assert isinstance(offered, e.ContactOffered)
    await workspace.ask(c.AcceptOffer(reservation=offered.reservation))
    assert sealed == ["new"]
    id_ = ContactId(receipt.contact)
    await workspace.ask(c.UpdateContact(contact=id_, attributes={"a": 1}))
    key = workspace.engine.state.contacts[id_].seal_key
    assert sealed == ["new", key, key], "the event and the row"
    await workspace.ask(c.ParkContact(contact=id_))
    assert sealed == ["new", key, key]
    await host.stop()
    again = await world.host()
    await again.start([])
    assert again.workspace.engine.state.contacts[id_].attributes == {**ATTRIBUTES, "a": 1}
    await again.workspace.ask(c.WatchContact(contact=id_))
    assert sealed == ["new", key, key], "what was read is written again as it was sealed"


async def test_the_attributes_of_the_entry_point_need_no_seal_of_their_own(world: World) -> None:
    host = await world.host()
    policy = host.workspace.policy
    shop = msgspec.structs.replace(policy.entry_points["shop"], attributes={"brand": "x"})
    policy = msgspec.structs.replace(policy, entry_points={"shop": shop})
    host = await world.host(policy=policy)
    await host.start([])
    _, answer = await host.intake.submit(NEW, "chat")
    assert answer is not None
    frames = await world.journal.frames(host.workspace.own, 1, 100)
    data = frames[-1].events[0]
    assert split_event(data)[1] == ("", b""), "in the envelope"
    event = host.workspace.veil.event(data)
    assert isinstance(event, e.ContactReceived)
    assert event.attributes == {"brand": "x", **ATTRIBUTES}


async def test_terms_of_what_goes_out_are_sealed(world: World) -> None:
    host = await host_of(world)
    workspace = host.workspace
    terms = Outbound(template="canary {name}", purpose="service")
    later_us = workspace.now_us() + 3600 * SECOND
    routing = Routing(outbound=terms, not_before_us=later_us)
    receipt, _ = await host.intake.submit(NEW, "chat", routing=routing)
    contact = workspace.engine.state.contacts[ContactId(receipt.contact)]
    assert contact.outbound is not None
    assert contact.outbound.template == "canary {name}"
    assert "ContactReceived" in stored(world)
    assert CANARY not in stored(world)
    await host.stop()
    again = await world.host()
    await again.start([])
    assert again.workspace.engine.state.contacts[contact.id].outbound == contact.outbound


@pytest.mark.parametrize("attributes", [{}, {"tier": "canary"}])
async def test_facts_of_a_customer_are_sealed_where_they_tell_something(
    world: World, attributes: dict[str, str]
) -> None:
    host = await host_of(world)
    workspace = host.workspace
    patch = CustomerPatch(attributes=attributes, watched=True)
    await workspace.ask(cc.ChangeCustomer(customer="kim", patch=patch))
    receipt, _ = await host.intake.submit(NEW, "chat", routing=Routing(customer="kim"))
    contact = workspace.engine.state.contacts[ContactId(receipt.contact)]
    assert (contact.facts.customer.known, contact.facts.customer.attributes) == (True, attributes)
    assert CANARY not in stored(world)
    data = workspace.veil.contact_row(contact)
    assert split_event(last_arrival(world))[1] is not None
    read = workspace.veil.event(last_arrival(world))
    assert isinstance(read, e.ContactReceived)
    assert read.facts == contact.facts
    await host.stop()
    again = await world.host()
    await again.start([])
    assert again.workspace.engine.state.contacts[contact.id] == contact
    await workspace.keys.erase([contact.seal_key])
    left = workspace.veil.contact(data)
    assert (left.facts.customer.known, left.facts.customer.attributes) == (not attributes, {})


def last_arrival(world: World) -> bytes:
    """The stored bytes of the last arrival."""
    store = world.journal._stores["main"]  # type: ignore[attr-defined]
    frames = [unpack_frame("main", seq, data) for seq, data in store.log.items()]
    events = [data for frame in frames for data in frame.events]
    return [data for data in events if b"ContactReceived" in data][-1]


async def test_a_contact_of_an_earlier_version_is_read_in_clear_and_written_sealed(
    world: World,
) -> None:
    host = await host_of(world)
    receipt, _ = await host.intake.submit(NEW, "chat")
    contact = host.workspace.engine.state.contacts[ContactId(receipt.contact)]
    data = encode_row(contact)
    assert CANARY.encode() in data
    veil = host.workspace.veil
    veil.drop()
    assert veil.row(Contact, data) == (contact, None)
    written = veil.contact_row(contact)
    assert CANARY.encode() not in written
    assert veil.contact(written) == contact


async def test_ids_stored_by_an_earlier_version_are_still_known(world: World) -> None:
    workspace = await world.workspace()
    now_us = workspace.now_us()
    old = [
        ArchiveWrite("external", "chat/canary-1", now_us, b"c1"),
        ArchiveWrite("received", "chat/m/1", now_us, b"c1"),
    ]
    await workspace.ask(submit("c1"), old)
    await workspace.ask(c.CancelContact(contact=ContactId("c1")))
    await workspace.stop()
    host = await host_of(world)
    receipt, answer = await host.intake.submit(NEW, "chat")
    assert (receipt.contact, receipt.state, answer) == ("c1", ContactState.CLOSED, None)
    again = msgspec.structs.replace(NEW, message=NewMessage(id="m/1", text="again"))
    assert await host.intake.message(again, "chat") == Receipt(
        contact="c1", state=ContactState.CLOSED, outcome="cancelled", created=False
    )


async def test_a_log_is_read_with_the_keys_beside_it(tmp_path: Path) -> None:
    keys = await BlockKeys.open(SqliteBlocks(tmp_path))
    journal = SqliteJournal(tmp_path, durability="process")
    world = World(ManualClock(), journal, keys)
    host = await world.host()
    await host.start([])
    await host.intake.submit(NEW, "chat")
    await host.intake.submit(msgspec.structs.replace(NEW, external_id="canary-2"), "chat")
    first = next(iter(host.workspace.engine.state.contacts.values()))
    await keys.erase([first.seal_key])
    backup = tmp_path / "copy"
    await journal.backup(backup / "journal")
    await keys.backup(backup / "keys")
    await world.end()
    await journal.close()
    await keys.close()
    for place in (tmp_path, backup / "journal"):
        with open_past(place, "main") as past:
            read = [event for _, event in past.events() if isinstance(event, e.ContactReceived)]
        assert [(event.external_id, event.attributes, event.erased) for event in read] == [
            ("", {}, True),
            ("canary-2", ATTRIBUTES, False),
        ]
    (backup / "keys" / "keys.db").unlink()
    with open_past(backup / "journal", "main") as past:
        assert [getattr(event, "erased", False) for _, event in past.events()].count(True) == 2


async def test_without_keys_the_rest_is_read(world: World) -> None:
    class NoKeys:
        def key(self, key_id: str) -> bytes | None:
            return None

    host = await host_of(world)
    receipt, _ = await host.intake.submit(NEW, "chat")
    row = host.workspace.engine.state.contacts[ContactId(receipt.contact)]
    data = host.workspace.veil.contact_row(row)
    closed = Reader(Opener(NoKeys())).contact(data)
    assert closed == decode_row(Contact, data)
    assert (closed.id, closed.queue, closed.attributes) == (row.id, row.queue, {})


def test_what_the_router_says_itself_is_known_to_be_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: dict[str, None] = {}
    apply = State.apply

    def listen(state: State, event: e.Event) -> None:
        if "reason" in FIELDS.get(type(event), ()):
            said[event.reason] = None  # type: ignore[union-attr]
        apply(state, event)

    monkeypatch.setattr(State, "apply", listen)
    for seed in range(4):
        assert simulator.run(seed, 300).is_clean
    assert len(said) > 12
    assert [reason for reason in said if reason not in SAID] == ["withdrawn"], "said by its people"
    assert is_said("attempt", "c0123456789abcdef/1")
    assert not is_said("attempt", "canary/1")
    assert not is_said("source", "api of Canary")
