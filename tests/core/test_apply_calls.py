from __future__ import annotations

import pytest

from router.core import apply_calls
from router.core import commands as c
from router.core import events as e
from router.core.model import AgentId, ContactId, ReservationId
from router.core.state import APPLY
from tests.core.centre import Centre

CALLS = (
    e.ConferenceStarted, e.ConferenceEnded, e.MonitorStarted, e.MonitorChanged, e.MonitorEnded,
    e.RecordingStarted, e.RecordingPaused, e.RecordingResumed, e.RecordingEnded,
)  # fmt: skip


def test_each_event_of_a_call_has_its_handler_here() -> None:
    assert {APPLY[kind].__module__ for kind in CALLS} == {apply_calls.__name__}


def test_nothing_hangs_on_a_reservation_that_nobody_serves() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.submit("c1", "voice", external_id="call-1")
    offered = centre.offer_of("c1")
    event = e.RecordingStarted(
        at_us=centre.now_us,
        recording="x",
        contact=ContactId("c1"),
        reservation=offered.id,
        agent=AgentId("ana"),
    )
    with pytest.raises(AssertionError, match="is offered"):
        centre.engine.state.apply(event)


def test_rows_and_the_index_of_what_hangs_on_them_agree_after_a_restart() -> None:
    centre = Centre()
    centre.agent("ana")
    centre.agent("cy", endpoints={"voice": "SIP/cy"}, ready=False)
    centre.submit("c1", "voice", external_id="call-1")
    centre.talk("c1")
    centre.say(c.RecordCall(contact=ContactId("c1")))
    centre.say(c.StartMonitor(contact=ContactId("c1"), monitor="m1", agent=AgentId("cy")))
    state = centre.engine.state
    before = dict(state.attached)
    assert before == dict.fromkeys(["c1-r1-1", "m1"], ReservationId("r1"))
    state.attached.clear()
    centre.engine.resume(centre.now_us)
    assert state.attached == before
