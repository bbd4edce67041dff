"""The filter before the archive: never a wrong no, hardly a wrong yes."""

from __future__ import annotations

import asyncio

from router.channel import Address, NewContact
from router.core import commands as c
from router.core.model import ContactId
from router.journal.memory import MemoryJournal
from router.runtime import seen
from router.runtime.seen import Seen
from tests.runtime.test_loop import GatedJournal
from tests.runtime.world import World, until


async def test_ids_are_known_after_reading_the_archive(world: World) -> None:
    workspace = await world.workspace()
    filter_ = Seen("external")
    assert filter_.may_hold("chat/anything")  # not read yet: ask the store
    filter_.add("chat/early")
    await filter_.load(workspace)
    assert filter_.may_hold("chat/early")
    wrong = sum(filter_.may_hold(f"chat/{number}") for number in range(10_000))
    assert wrong == 0


def test_a_wrong_yes_is_rare_in_a_full_filter() -> None:
    filter_ = Seen("external")
    filter_._is_ready = True
    for number in range(100_000):
        filter_.add(f"chat/{number}")
    assert all(filter_.may_hold(f"chat/{number}") for number in range(0, 100_000, 7))
    wrong = sum(filter_.may_hold(f"sms/{number}") for number in range(20_000))
    assert wrong < 200


async def test_a_full_filter_asks_the_store(world: World) -> None:
    filter_ = Seen("external")
    await filter_.load(await world.workspace())
    filter_._count = seen.MOST
    filter_.add("chat/one-more")
    assert filter_.may_hold("chat/never seen")


async def test_a_closed_contact_is_recognised_after_a_restart_and_new_ones_cost_no_question(
    world: World,
) -> None:
    class Counting(MemoryJournal):
        asked = 0

        async def fetch(self, own, kind, ids):  # type: ignore[no-untyped-def]
            Counting.asked += 1
            return await super().fetch(own, kind, ids)

    journal = Counting()
    host = await world.host(journal=journal)
    await host.start([])
    await until(lambda: host.intake._received._is_ready)
    new = NewContact(external_id="x1", customer=Address(address="v1"), to="shop")
    before = Counting.asked
    first, _ = await host.intake.submit(new, "chat")
    assert Counting.asked == before
    await host.workspace.ask(c.AbandonContact(contact=ContactId(first.contact)))
    again = await world.host(journal=journal)
    await again.start([])
    known, answer = await again.intake.submit(new, "chat")
    assert (known.contact, known.outcome, answer) == (first.contact, "abandoned", None)


async def test_a_contact_whose_end_is_not_stored_yet_is_still_the_same_contact(
    world: World,
) -> None:
    journal = GatedJournal()
    host = await world.host(journal=journal)
    await host.start([])
    new = NewContact(external_id="x1", customer=Address(address="v1"), to="shop")
    first, _ = await host.intake.submit(new, "chat")
    journal.open.clear()
    journal.entered.clear()
    ending = host.workspace.put(c.AbandonContact(contact=ContactId(first.contact)))
    await journal.entered.wait()
    assert host.intake.find("chat", "x1") is None
    asking = asyncio.get_running_loop().create_task(host.intake.closed_by_external("chat", "x1"))
    await until(lambda: host.workspace._settling)
    journal.open.set()
    await ending
    known = await asking
    assert known is not None
    assert (known.contact, known.outcome) == (first.contact, "abandoned")
