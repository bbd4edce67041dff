"""Words of scenarios for calls: hold, consult, conference, listening in, recording, hanging up.

``consult c1 x1 queue=experts``, ``conference c1``, ``apart c1``, ``monitor c1 m1 cy whisper``,
``stop m1``, ``record c1``, ``pause c1``, ``lose c1-r1-1 disk full``, ``hangup r1``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from router.core import commands as c
from router.core.model import AgentId, ContactId, QueueId, ReservationId
from router.testing.scenario_words import Words

Play = Callable[[Any, Words], Iterator[c.Command]]
MODES = ("listen", "whisper", "barge")


def _of_contact(make: Callable[[ContactId], c.Command]) -> Play:
    def play(_: Any, words: Words) -> Iterator[c.Command]:
        yield make(ContactId(words.name("contact")))

    return play


def _consult(_: Any, words: Words) -> Iterator[c.Command]:
    yield c.StartConsult(
        contact=ContactId(words.name("contact")),
        consult=ContactId(words.name("consult")),
        queue=QueueId(words.text("queue", "")),
        target_agent=AgentId(words.text("agent", "")),
        requirements=words.requirements(),
    )


def _end_consult(_: Any, words: Words) -> Iterator[c.Command]:
    contact = ContactId(words.name("contact"))
    yield c.EndConsult(contact=contact, hand_over=words.flag("handover"))


def _monitor(_: Any, words: Words) -> Iterator[c.Command]:
    yield c.StartMonitor(
        contact=ContactId(words.name("contact")),
        monitor=words.name("monitor"),
        agent=AgentId(words.name("agent")),
        mode=words.one_of(MODES, "listen"),  # type: ignore[arg-type]  # one of them
        by="lead",
    )


def _stop(_: Any, words: Words) -> Iterator[c.Command]:
    yield c.EndMonitor(monitor=words.name("monitor"), reason=words.rest())


def _lose(_: Any, words: Words) -> Iterator[c.Command]:
    yield c.FailRecording(recording=words.name("recording"), reason=words.rest())


def _hang_up(_: Any, words: Words) -> Iterator[c.Command]:
    yield c.AgentHungUp(reservation=ReservationId(words.name("reservation")))


CALLS: dict[str, Play] = {
    "hold": _of_contact(lambda id_: c.HoldCustomer(contact=id_)),
    "unhold": _of_contact(lambda id_: c.ResumeCustomer(contact=id_)),
    "consult": _consult,
    "end": _end_consult,
    "conference": _of_contact(lambda id_: c.SetConference(contact=id_)),
    "apart": _of_contact(lambda id_: c.SetConference(contact=id_, together=False)),
    "monitor": _monitor,
    "stop": _stop,
    "record": _of_contact(lambda id_: c.RecordCall(contact=id_, by="ana")),
    "pause": _of_contact(lambda id_: c.RecordCall(contact=id_, on=False, by="ana")),
    "lose": _lose,
    "hangup": _hang_up,
}
"""What may happen in a story about calls."""
