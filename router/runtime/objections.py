"""Addresses and what was objected to for them: rows beside the customers', in the same commits.

An archive row of kind ``objection``, id the keyed hash of the address, holds `core/objections.py`:
no address, no name, no words that people wrote, and so nothing that erasing a customer must take
along. Whose row a customer's addresses have is in memory whenever the customer is; of an address
that nobody has, when a command names it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from router.core import events as e
from router.core import objections
from router.core.customer_model import Customer
from router.core.objections import Objections
from router.core.permission_facts import ConsentState
from router.journal import ArchiveWrite
from router.journal.codec import decode_row, encode_row
from router.runtime.customer_rows import OBJECTION, KnownCustomers
from router.runtime.identities import hash_in

if TYPE_CHECKING:
    from router.runtime.frame import Turn

Load = Callable[[str, list[str]], Awaitable[dict[str, bytes]]]


class ObjectionBook:
    """What stands against the addresses of one workspace's customers, and against nobody's."""

    def __init__(self, known: KnownCustomers, load: Load) -> None:
        self._known = known
        self._load = load
        self.rows: dict[str, Objections] = {}
        self.changed: dict[str, Objections] = {}

    def lacks(self, hash_: str) -> bool:
        """There may be a row of this address that is not in memory."""
        return hash_ not in self.rows and self._known.may_object(hash_)

    async def bring(self, hashes: Iterable[str], customers: Sequence[Customer]) -> list[Customer]:
        """Have the rows of these addresses, and of these customers' addresses, in memory.

        What rows of earlier versions say of single addresses gets rows of theirs: returns the
        customers for whom that came to something.
        """
        of_customers = (hash_ for row in customers for hash_ in (*addresses_of(row), *_said(row)))
        named = dict.fromkeys((*hashes, *of_customers))
        wanted = [hash_ for hash_ in named if hash_ and self.lacks(hash_)]
        if wanted:
            for hash_, data in (await self._load(OBJECTION, wanted)).items():
                self.rows[hash_] = decode_row(Objections, data)
        return [row for row in customers if not row.by_address and self._split(row)]

    async def told(self, row: Customer, address: str = "") -> Customer:
        """The customer with what stands against their addresses and this one, as committed."""
        found: list[Objections] = []
        wanted: list[str] = []
        for hash_ in dict.fromkeys((*addresses_of(row), *((address,) * bool(address)))):
            held = self.rows.get(hash_)
            if held is not None:
                found.append(held)
            elif self._known.may_object(hash_):
                wanted.append(hash_)
        if wanted:
            loaded = await self._load(OBJECTION, wanted)
            found += [decode_row(Objections, data) for data in loaded.values()]
        return objections.told(row, found)

    def told_now(self, row: Customer, address: str = "") -> Customer:
        """The same within a turn, of who was brought."""
        rows = self.rows
        if not rows and row.by_address and not row.do_not_contact:
            return row
        hashes = dict.fromkeys((*addresses_of(row), *((address,) * bool(address))))
        return objections.told(row, [rows[hash_] for hash_ in hashes if hash_ in rows])

    def follow(self, row: Customer, event: e.Event) -> None:
        """What has just become true of a customer, for the addresses it concerns."""
        if isinstance(event, objections.SAID):
            asked_from = event.asked_from if isinstance(event, e.DoNotContactChanged) else ""
            said_of = tuple(hash_ for hash_ in (event.address, asked_from) if hash_)
            for hash_ in dict.fromkeys((*said_of, *own_addresses(row))):
                if hash_ in said_of or hash_ in self.rows:
                    objections.follow(self._at(hash_), event)
        elif isinstance(event, e.IdentityRemoved):
            self._leave(row, event.hash)

    def erased(self, row: Customer) -> None:
        """The customer is gone: what they objected to stays with their addresses."""
        for hash_ in own_addresses(row):
            self._leave(row, hash_, for_good=True)

    def write(self, turn: Turn, now_us: int) -> None:
        """The changed rows, into the commit."""
        changed, self.changed = self.changed, {}
        for hash_, row in changed.items():
            if row.is_empty:
                turn.archive_deletes.append((OBJECTION, hash_))
            else:
                self._known.add_objection(hash_)
                turn.archive.append(ArchiveWrite(OBJECTION, hash_, now_us, encode_row(row)))

    def drop(self) -> None:
        """Forget all that is not committed, and with it everything."""
        self.rows.clear()
        self.changed.clear()

    def _split(self, row: Customer) -> bool:
        row.by_address = True
        named = _said(row)
        for hash_ in named:
            objections.split(self._at(hash_), row)
        return bool(named)

    def _leave(self, row: Customer, hash_: str, *, for_good: bool = False) -> None:
        if hash_ in self.rows or row.do_not_contact or row.consents:
            objections.leave(self._at(hash_), row, for_good=for_good)

    def _at(self, hash_: str) -> Objections:
        """The row of an address, which is going to change."""
        row = self.rows.get(hash_)
        if row is None:
            row = self.rows[hash_] = Objections(address=hash_)
        self.changed[hash_] = row
        return row


def own_addresses(row: Customer) -> tuple[str, ...]:
    """The addresses by which somebody is this customer."""
    founding = (hash_ for id_ in (row.id, *row.merged_from) if (hash_ := hash_in(id_)))
    return tuple(dict.fromkeys((*(identity.hash for identity in row.identities), *founding)))


def addresses_of(row: Customer) -> tuple[str, ...]:
    """The same, and those for which somebody has objected under this customer."""
    named = (said.address for said in row.do_not_contact if said.address)
    return tuple(dict.fromkeys((*own_addresses(row), *named)))


def _said(row: Customer) -> dict[str, None]:
    """Single addresses for which the customer's row says that somebody has objected."""
    blocked = [said.address for said in row.do_not_contact]
    withdrawn = [c.address for c in row.consents if c.state is ConsentState.WITHDRAWN]
    return dict.fromkeys(address for address in (*blocked, *withdrawn) if address)
