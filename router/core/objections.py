"""What somebody objected to for an address: a row of the address, whoever's customer it is.

It outlives what becomes of customers: an address taken out of a profile or given to another
customer, two customers merged, a customer erased. The row holds a keyed hash, moments and means,
and none of the words that people gave as a reason: those lie in the customer's row and end with it.

What a customer objected to for all their addresses stays with the customer, and comes to the row of
an address that leaves them. Pure, as `customers.py`: the same events in the same order give the
same rows.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from router.core import events as e
from router.core.consent import renewed, same_block, with_block, with_consent
from router.core.customer_model import Customer
from router.core.permission_facts import Consent, ConsentState, DoNotContact
from router.core.record import Row

AGENT, API = "agent", "api"
"""By what means."""
Said = e.DoNotContactChanged | e.ConsentChanged
SAID = (e.DoNotContactChanged, e.ConsentChanged)
replace = msgspec.structs.replace


class Objections(Row, kw_only=True):
    """What stands against contacting one address."""

    address: str
    do_not_contact: tuple[DoNotContact, ...] = ()
    """An entry without an address came from a customer who had objected for all of theirs."""
    withdrawn: tuple[Consent, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Nothing stands."""
        return not (self.do_not_contact or self.withdrawn)


def follow(row: Objections, event: Said) -> None:
    """Make true for this address what its customer, or somebody writing from it, has said."""
    if isinstance(event, e.ConsentChanged):
        _consent(row, event)
    elif not event.lifted:
        _objected(row, event)
    elif event.asked_from:
        row.do_not_contact = tuple(
            old
            for old in row.do_not_contact
            if not old.asked_from
            or event.asked_from not in (row.address, old.asked_from)
            or old.channel not in ("", event.channel)
        )
    else:
        row.do_not_contact = tuple(
            old
            for old in row.do_not_contact
            if old.channel != event.channel
            or not (event.address == row.address or event.address == old.address == "")
        )


def split(row: Objections, customer: Customer) -> None:
    """What a customer's row of earlier versions says of this address, and says alone."""
    for said in customer.do_not_contact:
        if said.address == row.address:
            _block(row, replace(said, source=means(said)))
    for consent in customer.consents:
        if consent.state is ConsentState.WITHDRAWN and consent.address == row.address:
            _withdraw(row, consent)


def leave(row: Objections, customer: Customer, *, for_good: bool = False) -> None:
    """The address leaves a customer: what they objected to for all of theirs stays with it.

    `for_good`: nobody is left who could take back what was said from another address.
    """
    for said in customer.do_not_contact:
        if not said.address:
            _block(row, replace(said, source=means(said)))
    if for_good:
        row.do_not_contact = tuple(
            replace(old, asked_from=row.address) if old.asked_from else old
            for old in row.do_not_contact
        )
    for consent in customer.consents:
        if consent.state is ConsentState.WITHDRAWN and not consent.address:
            _withdraw(row, consent)


def told(customer: Customer, rows: Iterable[Objections]) -> Customer:
    """The customer with all that stands against these addresses, wherever it was said.

    Of what their own row says of an address only the words are taken: it may have ended since.
    """
    blocks = customer.do_not_contact
    own = {(old.channel, old.address, old.asked_from, old.at_us): old.source for old in blocks}
    if customer.by_address:
        blocks = tuple(old for old in blocks if not old.address)
    consents = customer.consents
    for row in rows:
        for entry in row.do_not_contact:
            if not entry.address and any(same_block(old, entry) for old in blocks):
                continue  # it has come back to whom it came from
            words = own.get((entry.channel, row.address, entry.asked_from, entry.at_us))
            blocks = with_block(
                blocks, replace(entry, address=row.address, source=words or entry.source)
            )
        known = [(old.channel, old.address, old.purpose, old.at_us) for old in consents]
        # Beside what the customer has said since: it may be another one's question.
        consents += tuple(
            said
            for said in row.withdrawn
            if (said.channel, said.address, said.purpose, said.at_us) not in known
        )
    if not (blocks or customer.do_not_contact) and consents == customer.consents:
        return customer
    return replace(customer, do_not_contact=blocks, consents=consents, by_address=False)


def means(said: DoNotContact) -> str:
    """How it was said, without words that people wrote: those are erased with the customer."""
    if said.asked_from:
        return said.source  # "keyword STOP on sms": ours
    return said.source if said.source in (AGENT, API) else ""


def _objected(row: Objections, event: e.DoNotContactChanged) -> None:
    if row.address not in (event.address, event.asked_from):
        return
    source = event.source if event.asked_from else _by(event.by)
    _block(
        row,
        DoNotContact(
            at_us=event.said_at_us,
            channel=event.channel,
            address=event.address,
            source=source,
            asked_from=event.asked_from,
        ),
    )


def _consent(row: Objections, event: e.ConsentChanged) -> None:
    said = Consent(
        state=event.state,
        at_us=event.said_at_us,
        channel=event.channel,
        address=event.address,
        purpose=event.purpose,
        source=_by(event.by),
    )
    if said.state is ConsentState.GIVEN:
        if said.address == row.address:
            blocks = (renewed(old, said) for old in row.do_not_contact)
            row.do_not_contact = tuple(old for old in blocks if old is not None)
        after = with_consent(row.withdrawn, said)
        row.withdrawn = tuple(old for old in after if old.state is ConsentState.WITHDRAWN)
    elif said.address == row.address:
        _withdraw(row, said)


def _block(row: Objections, said: DoNotContact) -> None:
    row.do_not_contact = with_block(row.do_not_contact, said)


def _withdraw(row: Objections, said: Consent) -> None:
    source = said.source if said.source in (AGENT, API) else ""
    row.withdrawn = with_consent(row.withdrawn, replace(said, address=row.address, source=source))


def _by(by: str) -> str:
    return AGENT if by.startswith("agent:") else API
