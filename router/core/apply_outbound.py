"""What outbound attempts change in a contact. See `state.py`; the customer's row is not here."""

from __future__ import annotations

from msgspec.structs import replace

from router.core import events as e
from router.core.facts import Outbound
from router.core.state import State, applies


@applies(e.OutboundReserved)
def _reserved(state: State, event: e.OutboundReserved) -> None:
    contact = state.contacts[event.contact]
    terms = contact.outbound or Outbound()
    contact.outbound = replace(
        terms,
        tries=terms.tries + (event.attempt != terms.attempt),
        attempt=event.attempt,
        is_reserved=True,
        reserved_at_us=event.for_at_us,
        sent_at_us=0,
        is_settled=False,
    )
    state.touch(contact)


@applies(e.OutboundSent)
def _sent(state: State, event: e.OutboundSent) -> None:
    contact = state.contacts[event.contact]
    contact.outbound = replace(
        contact.outbound or Outbound(),
        attempt=event.attempt,
        is_reserved=False,
        sent_at_us=event.sent_at_us,
        message=event.message,
        is_settled=False,
    )
    state.touch(contact)


@applies(e.OutboundReleased)
def _released(state: State, event: e.OutboundReleased) -> None:
    contact = state.contacts[event.contact]
    contact.outbound = replace(contact.outbound or Outbound(), is_reserved=False)
    state.touch(contact)


@applies(e.OutcomeRecorded)
def _outcome(state: State, event: e.OutcomeRecorded) -> None:
    contact = state.contacts.get(event.contact)
    if contact is None or contact.outbound is None or contact.outbound.attempt != event.attempt:
        return
    contact.outbound = replace(contact.outbound, is_settled=True)
    state.touch(contact)
