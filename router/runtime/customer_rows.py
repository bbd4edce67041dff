"""How customers lie in the archive, and which ids may be somebody's.

customer           customer id              [key id, the row sealed with that key]
identity           hash of an address       the customer's id, where the hash does not tell it
customer_contact   customer/contact         the id of the key that seals the closed contact
imported           customer/digest          the outcome of a row of imported history
objection          hash of an address       what was objected to for it; see `objections.py`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from router.core import events as e
from router.core.customer_model import Customer, CustomerPatch, Identity
from router.journal import ArchiveWrite
from router.journal.codec import decode_row, encode_row
from router.journal.seal import Sealer
from router.runtime.identities import derived_id
from router.runtime.seen import Seen

if TYPE_CHECKING:
    from router.runtime.loop import Workspace

CUSTOMER, IDENTITY, INDEX, IMPORTED = "customer", "identity", "customer_contact", "imported"
OBJECTION = "objection"
FILTER_BITS = 27
"""Of the filter over known customers: 16 MiB, for eight million."""
OBJECTED = "objected "
"""Before an address in the filter: no customer's id has a blank in it."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, bytes]).decode
_patch = msgspec.msgpack.Decoder(CustomerPatch).decode
_identity = msgspec.msgpack.Decoder(Identity).decode


class Held:
    """A row in memory, and the key that seals it; empty = none yet."""

    __slots__ = ("key", "row")

    def __init__(self, row: Customer, key: str) -> None:
        self.row = row
        self.key = key


def stored(sealer: Sealer, held: Held, at_us: int) -> ArchiveWrite:
    """The row to write. Raises JournalError if its key was erased."""
    sealed = sealer.seal(held.key, encode_row(held.row))
    return ArchiveWrite(CUSTOMER, held.row.id, at_us, _encode((held.key, sealed)))


def opened(sealer: Sealer, data: bytes) -> Held | None:
    """A stored row; None if its key was erased: then nobody is known by this id."""
    key, sealed = _decode(data)
    plain = sealer.open(key, sealed)
    return None if plain is None else Held(decode_row(Customer, plain), key)


def part_of(sealer: Sealer, event: e.Event) -> CustomerPatch | Identity | None:
    """What an event about a customer carries sealed; None if that is nothing, or erased."""
    if not isinstance(event, (e.CustomerChanged, e.IdentityAdded)):
        return None
    plain = sealer.open(event.seal_key, event.sealed)
    if plain is None:
        return None
    return _patch(plain) if isinstance(event, e.CustomerChanged) else _identity(plain)


def key_of(data: bytes) -> str:
    """The key of a stored row, which may be erased."""
    return _decode(data)[0]


def index_id(customer: str, contact: str = "") -> str:
    """The id of the row that says whose contact it was; without a contact, what all begin with."""
    return f"{customer.replace('%', '%25').replace('/', '%2F')}/{contact}"


class KnownCustomers(Seen):
    """Ids under which there may be a customer: given ones, and derived ones that lead to one. And
    the addresses for which somebody has objected.
    """

    def __init__(self) -> None:
        super().__init__(CUSTOMER, bits=FILTER_BITS)

    async def load(self, workspace: Workspace) -> None:
        """See Seen."""
        whole = (
            await self.read(workspace, CUSTOMER)
            and await self.read(workspace, IDENTITY, "p")
            and await self.read(workspace, OBJECTION, OBJECTED)
        )
        self.done(whole)

    def may_know(self, hash_: str) -> bool:
        """False: nobody has this address, and nothing was objected to for it."""
        return self.may_hold(derived_id(hash_)) or self.may_object(hash_)

    def may_object(self, hash_: str) -> bool:
        """False: certainly nothing was objected to for this address."""
        return self.may_hold(OBJECTED + hash_)

    def add_objection(self, hash_: str) -> None:
        """A row of this address is being archived."""
        self.add(OBJECTED + hash_)
