"""Customers: their rows, brought when a command names one, changed by what was decided.

A customer is an archive row (kind ``customer``, id the customer's id), sealed as a whole under the
customer's own key, and there can be millions: the engine keeps none. The book has those in memory
that were in use lately. It belongs to the workspace's loop, so the order of the inbox decides here,
too, and nothing is decided by a stale row:

1. `bring`: before a batch is decided, the rows that its commands name are fetched, all at once. A
   filter says of nearly everybody unknown that there is no row, and then nothing is fetched.
2. `prepare`: right before a command is decided it is completed from the row as it is then.
3. `settle`: what was decided changes the rows (`core/customers.py`); they join the same commit.

How the rows lie in the archive: `customer_rows.py`.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from router.core import customers
from router.core import events as e
from router.core.commands import Command
from router.core.customer_model import MOST_IDENTITIES, Customer, Identity
from router.core.ledger import pruned
from router.core.model import Contact
from router.core.permission import Permissions
from router.errors import JournalFailed, Overloaded
from router.journal import ArchiveWrite
from router.runtime.clock import sleep
from router.runtime.completing import Completing
from router.runtime.customer_rows import (
    CUSTOMER,
    IDENTITY,
    INDEX,
    Held,
    KnownCustomers,
    index_id,
    key_of,
    opened,
    part_of,
    stored,
)
from router.runtime.envelope import open_envelope
from router.runtime.evidence import Evidence
from router.runtime.identities import Identities, derived_id, hash_in, zones_in, zones_of
from router.runtime.objections import ObjectionBook

if TYPE_CHECKING:
    from router.core.policy import Policy
    from router.runtime.frame import Turn
    from router.runtime.inbox import Input
    from router.runtime.loop import Workspace
    from router.runtime.preferences import Preferences
    from router.runtime.sending import Sending

__all__ = ["CUSTOMER", "IDENTITY", "INDEX", "CustomerBook", "Held", "index_id"]

log = logging.getLogger("router.customers")

ROWS = 16_384
"""Rows kept in memory: some 50 MB."""
RETRY_US = 200_000
FOLLOWED = {*customers.FOLDS, e.CustomersMerged, e.CustomerErased}
LOCATE = (e.CustomerChanged, e.IdentityAdded, e.IdentityRemoved)
"""What may tell another zone than before."""


class CustomerBook:
    """The customers of one workspace."""

    def __init__(self, workspace: Workspace, *, most: int = ROWS) -> None:
        self._workspace = workspace
        self.most = most
        self._rows: OrderedDict[str, Held] = OrderedDict()
        self._via: OrderedDict[str, str] = OrderedDict()
        """Derived id -> the customer whose address it is, where that is another id."""
        self._changed: dict[str, Held] = {}
        self._turn: Turn | None = None
        self._read = 0
        """Events of this turn that have been followed."""
        self._late: list[e.Event] = []
        """Events about customers whose row is not in memory; followed by `settle`."""
        self._gone: dict[str, None] = {}
        """Customers erased in this turn; below, who was looked for in it and not found."""
        self._absent: dict[str, None] = {}
        self.known = KnownCustomers()
        self.objections = ObjectionBook(self.known, self._load)
        self.identities = Identities(workspace.sealer, self.known.may_know)
        self.identities.use(workspace.policy)
        self.permissions = Permissions(workspace.policy.contacting)
        self._policy: Policy = workspace.policy
        self.to_erase: dict[str, Sequence[tuple[str, str]]] = {}
        """Archive rows to delete when the erasure of a customer is decided; see `erasure.py`."""
        self.evidence = Evidence()
        """Who learns from all this."""
        self.preferences: Preferences | None = None
        """Answers questions about what was learned."""
        self.sending: Sending | None = None
        """Completes what goes out."""
        self.drafts: dict[str, ArchiveWrite] = {}
        """Rows of first messages: written if the engine decides that they go out."""
        self.fresh_keys: dict[str, str] = {}
        """Keys of customers who have no row yet, where something was sealed already."""
        self._complete = Completing(self, workspace)
        self.permission = self._complete.permission
        self.judged = self._complete.submitted

    # --- before a batch is decided ------------------------------------------------------------

    async def bring(self, batch: Sequence[Input], turn: Turn) -> None:
        """Fetch the rows that the commands of a batch name and that are not in memory."""
        self._turn, self._read, self._gone, self._absent = turn, 0, {}, {}
        if self._policy is not self._workspace.policy:
            self._use(self._workspace.policy)
        if max(len(self._rows), len(self.objections.rows)) > self.most:
            self._evict()
        wanted: dict[str, None] = {}
        names = self._complete.names
        for item in batch:
            name = names.get(type(item.command))
            if name is not None:
                for id_ in name(item.command):
                    found = self.held(id_)
                    if found is not None:
                        self._rows.move_to_end(found.row.id)
                    elif self._may_lie_there(id_):
                        wanted[id_] = None
        if wanted:
            await self._fetch(wanted)

    def prepare(self, command: Command) -> Command:
        """The command, completed from the customer's row. Raises Refused."""
        complete = self._complete.by_type.get(type(command))
        if complete is None:
            return command
        self._catch_up()
        done: Command = complete(command)
        return done

    # --- after it -----------------------------------------------------------------------------

    async def settle(self, closed: Sequence[Contact]) -> None:
        """Change the rows as was decided, and put them into the turn's commit."""
        turn = self._turn
        assert turn is not None
        self._catch_up()
        self.drafts.clear()
        if not (closed or self._late or self._changed or self.objections.changed or self._gone):
            return
        ended = [contact for contact in closed if customers.counts_for(contact)]
        wanted: dict[str, None] = {}
        for id_ in (*map(customer_of, self._late), *(contact.customer for contact in ended)):
            if id_ not in self._rows and self._may_lie_there(id_):
                wanted[id_] = None
        for contact in ended:  # its address may become the customer's now
            if contact.address and self.objections.lacks(contact.address):
                wanted[derived_id(contact.address)] = None
        if wanted:
            await self._fetch(wanted)
        late, self._late = self._late, []
        for event in late:
            self._follow(event, is_fetched=True)
        for contact in ended:
            self._close(contact)
        await self._write(turn)

    def drop(self) -> None:
        """Forget all that is not committed, and with it everything: it is read again."""
        self._rows.clear()
        self._via.clear()
        self._changed.clear()
        self.objections.drop()
        self._late.clear()
        self._gone.clear()
        self.fresh_keys.clear()
        self._turn, self._read = None, 0

    # --- looking ------------------------------------------------------------------------------

    def held(self, id_: str) -> Held | None:
        """The row in memory, where it is and may be trusted: within a turn, of who was brought."""
        found = self._rows.get(self._via.get(id_, id_))
        while found is not None and found.row.merged_into:
            found = self._rows.get(found.row.merged_into)
        return found

    def owner(self, hash_: str) -> str:
        """Whose address this is, of those brought; empty = nobody's."""
        found = self.held(derived_id(hash_))
        return found.row.id if found is not None else ""

    async def get(self, id_: str) -> Customer | None:
        """A customer as committed; who was merged into another is that one. None = nobody."""
        await self._workspace.settled()
        if not id_ or not self.known.may_hold(id_):
            return None
        held = self.held(id_)
        if held is not None:
            return await self.objections.told(msgspec.structs.replace(held.row))
        # Not kept: a turn of the loop may change the row while the store answers.
        hash_ = hash_in(id_)
        if hash_:
            id_ = (await self._load(IDENTITY, [hash_])).get(hash_, id_.encode()).decode()
        while id_:
            data = (await self._load(CUSTOMER, [id_])).get(id_)
            held = None if data is None else opened(self._workspace.sealer, data)
            if held is None:
                return None
            if not held.row.merged_into:
                return await self.objections.told(held.row)
            id_ = held.row.merged_into
        return None

    async def key_of(self, id_: str) -> str:
        """The key that seals a customer's row; empty = there is no row."""
        held = self._rows.get(id_)
        if held is not None:
            return held.key
        data = (await self._load(CUSTOMER, [id_])).get(id_)
        return "" if data is None else key_of(data)

    async def find(self, kind: str, address: str) -> Customer | None:
        """The customer whose address this is."""
        return await self.get(derived_id(self.identities.hash(kind, address)))

    async def owner_of(self, hash_: str) -> Customer | None:
        """Whose address this is, with what stands against it; None = nobody's."""
        if not hash_:
            return None
        found = await self.get(derived_id(hash_)) or Customer(id=derived_id(hash_))
        return await self.objections.told(found, hash_)

    def channels(self) -> tuple[str, ...]:
        """The channels there are."""
        return tuple(self._workspace.policy.channels)

    def zones(self, row: Customer) -> tuple[str, ...]:
        """Where the customer may be: as said, else as their number tells, else in our country."""
        if row.zone:
            return (row.zone,)
        numbers = (i.address for i in row.identities if i.kind == "phone")
        told = dict.fromkeys(zone for number in numbers for zone in zones_of(number))
        return tuple(told) or zones_in(self._policy.country)

    # --- rows ---------------------------------------------------------------------------------

    def _use(self, policy: Policy) -> None:
        self._policy = policy
        self.identities.use(policy)
        if policy.contacting != self.permissions.policy:
            self.permissions = Permissions(policy.contacting)

    def _evict(self) -> None:
        if self._changed or self.objections.changed:
            return  # read, and not written yet
        while len(self._rows) > self.most:
            self._rows.popitem(last=False)
        if len(self.objections.rows) > self.most:
            # Who is in memory has theirs in memory: both are read again.
            self._rows.clear()
            self._via.clear()
            self.objections.drop()
        while len(self._via) > self.most:
            self._via.popitem(last=False)

    async def _fetch(self, ids: Iterable[str]) -> None:
        """Bring these rows, and those that they lead to."""
        brought: list[Held] = []
        hashes = [hash_ for id_ in ids if id_ not in self._via and (hash_ := hash_in(id_))]
        if hashes:
            for hash_, owner in (await self._load(IDENTITY, hashes)).items():
                self._via[derived_id(hash_)] = owner.decode()
        wanted = dict.fromkeys(self._via.get(id_, id_) for id_ in ids)
        while wanted:
            missing = [id_ for id_ in wanted if id_ not in self._rows]
            rows = await self._load(CUSTOMER, missing) if missing else {}
            for id_, data in rows.items():
                held = opened(self._workspace.sealer, data)
                if held is not None:
                    self._rows[id_] = held
                    brought.append(held)
            found = [self._rows[id_] for id_ in wanted if id_ in self._rows]
            wanted = dict.fromkeys(h.row.merged_into for h in found if h.row.merged_into)
        self._absent.update(dict.fromkeys(id_ for id_ in ids if self.held(id_) is None))
        split = await self.objections.bring(map(hash_in, ids), [held.row for held in brought])
        for row in split:
            self._touch(self._rows[row.id])

    def _may_lie_there(self, id_: str) -> bool:
        """There may be a row of this customer in the store, or one of the address in the id."""
        if not id_ or id_ in self._absent:
            return False
        return self.known.may_hold(id_) or (id_[0] == "p" and self.objections.lacks(id_[1:]))

    async def _load(self, kind: str, ids: list[str]) -> dict[str, bytes]:
        while True:
            try:
                return await self._workspace.journal.fetch(self._workspace.own, kind, ids)
            except JournalFailed as error:
                log.warning("customers cannot be read", extra={"error": str(error)})
                await sleep(self._workspace.clock, RETRY_US)

    def _new(self, id_: str, at_us: int) -> Held:
        row = Customer(id=id_, created_at_us=at_us, by_address=True)
        held = self._rows[id_] = Held(row, self.fresh_keys.pop(id_, ""))
        self.known.add(id_)
        return held

    # --- following ----------------------------------------------------------------------------

    def _catch_up(self) -> None:
        """Follow what the engine has decided since the last look."""
        turn = self._turn
        if turn is None or self._read == len(turn.events):
            return
        events = turn.events
        first, self._read = self._read, len(events)
        for place in range(first, self._read):
            event = events[place]
            if type(event) in FOLLOWED:
                if type(event) is e.OutboundSent and event.message in self.drafts:
                    turn.archive.append(self.drafts[event.message])
                self._follow(event)

    def _follow(self, event: e.Event, *, is_fetched: bool = False) -> None:
        id_ = customer_of(event)
        if not id_:
            return
        if isinstance(event, e.CustomerErased):
            self._erased(id_)
            return
        held = self.held(id_)
        if held is None:
            if not is_fetched and self._may_lie_there(id_):
                self._late.append(event)
                return
            held = self._new(id_, event.at_us)
        if isinstance(event, e.CustomersMerged):
            self._merged(held, event)
            return
        part = part_of(self._workspace.sealer, event)
        if part is None and isinstance(event, (e.CustomerChanged, e.IdentityAdded)):
            return  # its key was erased in between
        was = self.evidence.whereabouts(held.row) if isinstance(event, LOCATE) else None
        self.objections.follow(held.row, event)
        customers.apply(held.row, event, part)
        if was is not None:
            self.evidence.relocated(held.row, was)
        if isinstance(event, e.IdentityAdded):
            self._lead(event.hash, held.row.id)
        elif isinstance(event, e.IdentityRemoved):
            self._unlead(event.hash, held.row)
        self._learned(held.row, event)
        self._touch(held)

    def _merged(self, held: Held, event: e.CustomersMerged) -> None:
        into = self.held(event.into)
        assert into is not None, "both rows of a merge are brought"
        other = held.row
        self.evidence.join(into.row, other)
        customers.merge(into.row, other)
        held.row = customers.tombstone(other, into.row.id)
        for identity in other.identities:
            self._lead(identity.hash, into.row.id)
        self._learned(into.row, event)
        self._touch(into)
        self._touch(held)

    def _erased(self, id_: str) -> None:
        assert self._turn is not None
        self._turn.archive_deletes.extend(self.to_erase.pop(id_, ()))
        held = self.held(id_)
        if held is not None:
            self.objections.erased(held.row)
        ids = (id_,) if held is None else (id_, held.row.id, *held.row.merged_from)
        for gone in dict.fromkeys(ids):
            self._rows.pop(gone, None)
            self._changed.pop(gone, None)
            self._gone[gone] = None
        for derived in [d for d, owner in self._via.items() if owner in self._gone]:
            del self._via[derived]

    def _close(self, contact: Contact) -> None:
        """A contact has ended: count it, and learn the address."""
        assert self._turn is not None
        held = self.held(contact.customer)
        at_us = contact.closed_at_us
        id_ = contact.customer if held is None else held.row.id
        place = index_id(id_, contact.id)
        row = ArchiveWrite(INDEX, place, at_us, contact.seal_key.encode())
        self._turn.archive.append(row)
        if id_ in self._gone:
            return  # ended by the erasure itself: nothing may be remembered
        if held is None:
            held = self._new(contact.customer, contact.created_at_us)
        offset_us = self._workspace.engine.state.totals.clock_offset_us
        customers.close(held.row, contact, at_us + offset_us)
        if contact.address:
            was = self.evidence.whereabouts(held.row)
            self._learn_address(held, contact)
            self.evidence.relocated(held.row, was)
        self._learned(held.row, contact)
        self._touch(held)

    def _learn_address(self, held: Held, contact: Contact) -> None:
        """The address from which, or at which, the contact was: the customer's, if nobody's yet."""
        row, hash_ = held.row, contact.address
        if any(identity.hash == hash_ for identity in row.identities):
            return
        derived = derived_id(hash_)
        if derived != row.id and self.known.may_hold(derived):
            return
        envelope = open_envelope(self._workspace.sealer, contact)
        if not envelope.address or len(row.identities) >= MOST_IDENTITIES:
            return
        kind = self.identities.kind(contact.channel)
        address = self.identities.written(kind, envelope.address)
        if self.identities.hash(kind, address) != hash_:
            return  # the country was set differently when it arrived
        added = Identity(kind=kind, hash=hash_, address=address, added_at_us=contact.closed_at_us)
        row.identities = (*row.identities, added)
        row.name = row.name or envelope.name
        self._lead(hash_, row.id)

    def _learned(self, row: Customer, what: e.Event | Contact) -> None:
        try:
            self.evidence.learn(row, what)
        except ValueError as error:  # a moment or outcome that no profile can hold
            log.warning("not learned", extra={"what": type(what).__name__, "why": str(error)})

    def _lead(self, hash_: str, id_: str) -> None:
        """Whoever has this address is this customer."""
        derived = derived_id(hash_)
        if derived != id_:
            assert self._turn is not None
            self._via[derived] = id_
            self.known.add(derived)
            self._keep((IDENTITY, hash_))
            self._turn.archive.append(
                ArchiveWrite(IDENTITY, hash_, self._workspace.now_us(), id_.encode())
            )

    def _keep(self, place: tuple[str, str]) -> None:
        """Deletes come after writes in a commit: this row is written after all."""
        assert self._turn is not None
        if place in self._turn.archive_deletes:
            self._turn.archive_deletes.remove(place)

    def _unlead(self, hash_: str, row: Customer) -> None:
        derived = derived_id(hash_)
        if derived != row.id and self._via.get(derived, row.id) == row.id:
            assert self._turn is not None
            self._via.pop(derived, None)
            if derived not in row.merged_from:
                self._absent[derived] = None
            self._turn.archive_deletes.append((IDENTITY, hash_))

    def _touch(self, held: Held) -> None:
        id_ = held.row.id
        self._changed[id_] = held
        self._rows.move_to_end(id_)

    # --- writing ------------------------------------------------------------------------------

    async def _write(self, turn: Turn) -> None:
        """The changed rows, sealed, into the commit."""
        now_us = self._workspace.now_us()
        calendar_us = now_us + self._workspace.engine.state.totals.clock_offset_us
        changed, self._changed = self._changed, {}
        limits = self._policy.contacting.limits
        for id_, held in changed.items():
            if not held.key:
                held.key = await self._new_key()
            if self._gone:
                self._keep((CUSTOMER, id_))
            held.row.ledger = pruned(held.row.ledger, limits, calendar_us)
            turn.archive.append(stored(self._workspace.sealer, held, now_us))
        self.objections.write(turn, now_us)

    async def _new_key(self) -> str:
        keys = self._workspace.keys
        while True:
            try:
                return keys.new_key()[0]
            except Overloaded:
                try:
                    await keys.refill()
                except JournalFailed as error:
                    log.warning("no new keys", extra={"error": str(error)})
                    await sleep(self._workspace.clock, RETRY_US)


def customer_of(event: e.Event) -> str:
    """The customer whom a followed event is about."""
    return getattr(event, "customer", "")
