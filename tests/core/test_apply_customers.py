"""Customer events leave the engine's state as it was; whose contact is whose is kept beside it."""

from __future__ import annotations

from router.core import apply_customers, customer_commands
from router.core import commands as c
from router.core import events as e
from router.core.model import ContactId
from router.core.restart import lay_out
from router.core.state import APPLY, State
from tests.core.centre import START_US, Centre


def test_customer_events_touch_no_row_of_the_engine() -> None:
    centre = Centre()
    centre.engine.state.drain()
    centre.say(customer_commands.ChangeDoNotContact(customer="kim"))
    assert centre.engine.state.drain().upserts == []
    for kind in (e.CustomerChanged, e.CustomerErased, e.CustomersMerged, e.ConsentChanged):
        assert APPLY[kind] is apply_customers._nothing


def test_contacts_are_found_by_their_customer_until_they_close_and_after_a_restart() -> None:
    centre = Centre()
    for number in range(3):
        centre.submit(f"c{number}", customer="kim")
    centre.submit("other", customer="lee")
    centre.submit("nobody")
    state = centre.engine.state
    assert state.contacts_of("kim") == ("c0", "c1", "c2")
    assert (state.contacts_of("lee"), state.contacts_of("")) == (("other",), ())
    centre.say(c.UpdateContact(contact=ContactId("c1"), customer="lee"))
    centre.say(c.AbandonContact(contact=ContactId("c0")))
    assert (state.contacts_of("kim"), state.contacts_of("lee")) == (("c2",), ("other", "c1"))
    loaded = State()
    for kind, _, row in state.drain().upserts:
        loaded.load(kind, row)
    loaded.use(state.policy, START_US)
    lay_out(loaded, START_US, 0)
    assert (loaded.contacts_of("kim"), loaded.contacts_of("lee")) == (("c2",), ("c1", "other"))
    for id_ in ("c1", "c2", "other"):
        centre.say(c.AbandonContact(contact=ContactId(id_)))
    assert state.by_customer == {}
