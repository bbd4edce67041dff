"""What an adapter asks the router: which contacts it has, what was said; and ids that change."""

from __future__ import annotations

import pytest

from adapters.loopback import Loopback
from router.channel import Line, Refused, Router
from router.config import AdapterSettings
from router.core import commands as c
from router.core import events as e
from router.core.effects import DeliverMessage, EndContact
from router.core.model import AgentId, ContactId, Direction, ReservationId
from router.errors import JournalFailed, Overloaded
from router.runtime.desks import Typing
from router.runtime.envelope import resealed
from router.runtime.host import Host
from tests.runtime.world import ANA, CARE, World, until, with_ana

CHAT = AdapterSettings(type="loopback", channel="chat")
VOICE = AdapterSettings(type="loopback", channel="voice", settings={"media": True})


async def serve(world: World, **adapters: AdapterSettings) -> Host:
    host = await world.host()
    host.load(adapters)
    await host.start([])
    host.serve([])
    await until(lambda: all(state["state"] == "up" for state in host.channels.states()))
    return host


def loopback(host: Host, name: str) -> Loopback:
    adapter = host.channels.get(name)
    assert isinstance(adapter, Loopback)
    return adapter


def router_of(host: Host, name: str) -> Router:
    return loopback(host, name).router


async def accept(host: Host, contact: str) -> None:
    (reservation,) = host.workspace.engine.state.contacts[ContactId(contact)].reservations
    await host.workspace.ask(c.AcceptOffer(reservation=reservation))


def plain(lines: list[Line]) -> list[tuple[str, str, str]]:
    return [(line.author, line.text, line.backend_id) for line in lines]


async def test_an_adapter_hears_of_its_own_open_contacts_only(world: World) -> None:
    host = await serve(world, first=CHAT, second=CHAT, phones=VOICE)
    await with_ana(host.workspace)
    first = await loopback(host, "first").arrive("v1", text="hello", external_id="x1")
    await loopback(host, "second").arrive("v2", text="hello", external_id="x2")
    await loopback(host, "first").arrive("v3", text="hello", external_id="x3")
    await loopback(host, "phones").arrive("+491", external_id="call-1")
    await loopback(host, "first").leave("x3")
    await accept(host, first.contact)
    assert await router_of(host, "first").open() == [("x1", "active")]
    assert [id_ for id_, _ in await router_of(host, "second").open()] == ["x2"]
    assert [id_ for id_, _ in await router_of(host, "phones").open()] == ["call-1"]


async def test_what_was_said_is_told_after_the_end_and_after_a_restart(world: World) -> None:
    host = await serve(world, site=CHAT)
    await with_ana(host.workspace)
    receipt = await loopback(host, "site").arrive("v1", text="hello", external_id="x1")
    await accept(host, receipt.contact)
    await host.intake.send(receipt.contact, "hi, this is Ana", agent=ANA)
    await host.intake.send(receipt.contact, "This chat is recorded.")
    await loopback(host, "site").write("x1", "fine", message_id="m2")
    told = [
        ("customer", "hello", "x1/1"),
        ("agent", "hi, this is Ana", ""),
        ("router", "This chat is recorded.", ""),
        ("customer", "fine", "m2"),
    ]
    assert plain(await router_of(host, "site").history("x1")) == told
    assert plain(await router_of(host, "site").history("x1", 2)) == told[-2:]
    site = loopback(host, "site")

    def authors() -> list[str]:
        tasks = [p.task for p in site.performed]
        return [task.author for task in tasks if isinstance(task.effect, DeliverMessage)]

    await site.until(lambda: authors() == ["agent", "router"])
    await host.workspace.ask(c.CompleteContact(contact=ContactId(receipt.contact)))
    successor = await serve(world, site=CHAT)
    assert plain(await router_of(successor, "site").history("x1")) == told
    assert await router_of(successor, "site").open() == []


async def answered(host: Host, site: Loopback) -> DeliverMessage:
    """A visitor's contact is accepted, and the agent's answer is delivered."""
    receipt = await site.arrive("v1", text="hello", external_id="x1")
    await accept(host, receipt.contact)
    await host.intake.send(receipt.contact, "are you there?", agent=ANA)
    await site.until(lambda: any(isinstance(p.task.effect, DeliverMessage) for p in site.performed))
    sent = site.performed[-1].task.effect
    assert isinstance(sent, DeliverMessage)
    await until(lambda: not host.workspace.rows_of("effect"))
    return sent


async def test_a_message_that_came_back_is_told_to_the_agent_who_wrote_it(world: World) -> None:
    host = await serve(world, site=CHAT, other=CHAT)
    await with_ana(host.workspace)
    site = loopback(host, "site")
    sent = await answered(host, site)
    stream = host.workspace.feed.subscribe(host.workspace.seq + 1)
    await site.bounce(sent, "no such mailbox")
    await site.bounce(sent, "no such mailbox")  # the backend says it again
    # What is over can come back, too.
    await host.workspace.ask(c.CompleteContact(contact=sent.contact))
    await site.router.receipt(sent.contact, sent.message, "delivered", "a spare host took it")
    told = [event for _, event in await stream.batch() if isinstance(event, e.EffectSettled)]
    assert [(event.message, event.result, event.reason) for event in told] == [
        (sent.message, "undelivered", "no such mailbox"),
        (sent.message, "delivered", "a spare host took it"),
    ]


async def test_a_receipt_for_what_one_has_not_sent_is_refused(world: World) -> None:
    host = await serve(world, site=CHAT, other=CHAT)
    receipt = await loopback(host, "site").arrive("v1", text="hello", external_id="x1")
    [line] = await router_of(host, "site").history("x1")
    for name, contact, message in (
        ("site", receipt.contact, line.id),  # the customer's own
        ("site", receipt.contact, "m000"),
        ("site", "c000", line.id),
        ("other", receipt.contact, line.id),
    ):
        with pytest.raises(Refused) as caught:
            await router_of(host, name).receipt(contact, message, "delivered")
        assert caught.value.code == "not_found"


async def test_what_needs_a_look_into_a_store_that_is_away_may_be_said_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No adapter knows the journal's errors: taken for a fault, a receipt would be said no more."""
    host = await serve(world, site=CHAT)
    await with_ana(host.workspace)
    site = loopback(host, "site")
    sent = await answered(host, site)

    async def away(*_: object) -> dict[str, bytes]:
        raise JournalFailed("Redis cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr(host.workspace.journal, "fetch", away)
        patch.setattr(host.workspace.journal, "list_archive", away)
        router = site.router
        for call in (
            router.receipt(sent.contact, sent.message, "delivered"),
            router.history("x1"),
        ):
            with pytest.raises(Overloaded):
                await call
    await site.router.receipt(sent.contact, sent.message, "delivered")


async def test_nobody_reads_what_was_said_elsewhere(world: World) -> None:
    host = await serve(world, first=CHAT, second=CHAT)
    await loopback(host, "first").arrive("v1", text="a secret", external_id="x1")
    for name, external_id in (("second", "x1"), ("first", "x2")):
        with pytest.raises(Refused) as caught:
            await router_of(host, name).history(external_id)
        assert caught.value.code == "not_found"


async def test_what_was_erased_is_not_told(world: World) -> None:
    host = await serve(world, site=CHAT)
    receipt = await loopback(host, "site").arrive("v1", text="hello", external_id="x1")
    await world.keys.erase(
        [host.workspace.engine.state.contacts[ContactId(receipt.contact)].seal_key]
    )
    assert await router_of(host, "site").history("x1") == []


async def test_who_types_is_shown_to_the_agent_who_serves(world: World) -> None:
    host = await serve(world, site=CHAT)
    await with_ana(host.workspace)
    session = await host.desks.open(ANA)
    receipt = await loopback(host, "site").arrive("v1", text="hello", external_id="x1")
    router_of(host, "site").typing("x1")  # nobody serves yet: nobody hears it
    await accept(host, receipt.contact)
    seq = host.workspace.seq
    router_of(host, "site").typing("x1")
    router_of(host, "site").typing("unknown")
    shown = [item for item in await session.pull() if isinstance(item, Typing)]
    assert shown == [Typing(ContactId(receipt.contact))]
    assert host.workspace.seq == seq, "nothing is written down"


async def test_an_agent_who_types_is_shown_to_the_customer_she_serves(world: World) -> None:
    host = await serve(world, first=CHAT, second=CHAT)
    await with_ana(host.workspace)
    receipt = await loopback(host, "second").arrive("v1", text="hello", external_id="x1")
    line = loopback(host, "second").lines["x1"]
    contact = ContactId(receipt.contact)
    host.channels.agent_typing(contact, ANA)  # only offered yet
    await accept(host, contact)
    seq = host.workspace.seq
    host.channels.agent_typing(contact, AgentId("bo"))
    host.channels.agent_typing(ContactId("nothing"), ANA)
    assert line.typed == 0
    host.channels.agent_typing(contact, ANA)
    assert line.typed == 1
    assert host.workspace.seq == seq, "nothing is written down"


@pytest.mark.parametrize("endpoint", ["", "desk/ana"])
async def test_a_call_that_was_dialled_is_known_by_the_id_of_the_telephone_system(
    world: World, endpoint: str
) -> None:
    host = await serve(world, phones=VOICE)
    await with_ana(host.workspace, {"voice": endpoint} if endpoint else None)
    dialled = c.SubmitContact(
        contact=ContactId("c1"), channel="voice", queue=CARE, direction=Direction.OUTBOUND
    )
    await host.workspace.ask(dialled)
    state, phones = host.workspace.engine.state, loopback(host, "phones")
    if endpoint:
        await phones.until(lambda: bool(phones.rings))
        await phones.answer(next(iter(phones.rings)))
    else:
        await accept(host, "c1")
    await until(lambda: state.contacts[ContactId("c1")].external_id == "out-c1")
    await until(lambda: state.reservations[ReservationId("r1")].state == "connected")
    assert await phones.router.open() == [("out-c1", "active")]
    await phones.hang_up("out-c1")
    await until(lambda: not state.contacts)
    assert plain(await phones.router.history("out-c1")) == []


async def test_a_call_whose_contact_is_over_after_a_restart_is_not_left_on_the_line(
    world: World,
) -> None:
    host = await serve(world, phones=VOICE)
    await with_ana(host.workspace)
    await loopback(host, "phones").arrive("+491", external_id="call-1")
    successor = await serve(world, phones=VOICE)  # the telephone system has no call any more
    await until(lambda: not successor.workspace.engine.state.contacts)


async def test_the_channel_that_a_contact_leaves_lets_go_of_it(world: World) -> None:
    host = await serve(world, site=CHAT, phones=VOICE)
    site = loopback(host, "site")
    receipt = await site.arrive("v1", text="please call me", external_id="x1")
    id_ = ContactId(receipt.contact)
    with pytest.raises(Refused, match="no phone address"):  # "v1" cannot be dialled
        await host.workspace.ask(c.SwitchChannel(contact=id_, channel="voice"))
    contact = host.workspace.engine.state.contacts[id_]
    sealed, key, peer = resealed(host.workspace, contact, "voice", "+491701234542")
    await host.workspace.ask(
        c.SwitchChannel(contact=id_, channel="voice", sealed=sealed, seal_key=key, peer_key=peer)
    )
    await site.until(lambda: any(isinstance(p.task.effect, EndContact) for p in site.performed))
    assert site.performed[-1].task.external_id == "x1"
    assert "x1" not in site.lines
    linked = await host.workspace.ask(c.LinkContact(contact=id_, external_id="call-7"))
    assert [type(event) for event in linked.events] == [e.ContactLinked]
    assert (await host.workspace.ask(linked_again(id_))).events == ()
    # The chat's id leads to the same contact still, here and after a restart.
    late = await site.arrive("v1", text="please call me", external_id="x1")
    assert (late.contact, late.created) == (receipt.contact, False)
    assert plain(await router_of(host, "phones").history("call-7"))[0][1] == "please call me"
    await router_of(host, "site").left("x1")  # too late: it is a call now
    assert host.workspace.engine.state.contacts[id_].channel == "voice"


def linked_again(contact: ContactId) -> c.LinkContact:
    return c.LinkContact(contact=contact, external_id="call-7")
