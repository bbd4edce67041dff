"""Commands, completed from the customer's row in the moment before they are decided.

What was said outside (an address, a change of the profile) meets what is known by now: facts and
permission are filled in, what is personal is sealed, and what the row does not allow is refused.
Every row that a command names is in memory by then, or there is none; see `customers.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from router.core import commands as c
from router.core import customer_commands as cc
from router.core import customers
from router.core.customer_model import MOST_IDENTITIES, Customer, Identity
from router.core.facts import Permission
from router.core.model import DAY_US, Contact, ContactId, Direction
from router.core.permission import Allowed
from router.core.permission_facts import Consent, ConsentState
from router.core.policy import IdentityKind, same_address
from router.errors import Invalid, NotFound, Overloaded, Refused
from router.runtime.envelope import open_sealed, resealed
from router.runtime.identities import derived_id, hash_in, zones_of
from router.runtime.keywords import check_reply, written_to

if TYPE_CHECKING:
    from router.runtime.customer_rows import Held
    from router.runtime.customers import CustomerBook
    from router.runtime.loop import Workspace

LOOK_AHEAD_US = 8 * DAY_US
"""How far is looked for the end of a permission."""
FIRST_US = 1_609_459_200_000_000
"""2021-01-01: nothing older is learned from."""
NO_ADDRESS = "-"
"""Whoever submits a contact may know the address alone: what holds for every address counts."""
CREATED = ("created",)
Elsewhere = TypeVar("Elsewhere", c.RequestCallback, c.SwitchChannel)
_encode = msgspec.msgpack.Encoder().encode
replace = msgspec.structs.replace


class Completing:
    """Completes commands of one workspace."""

    def __init__(self, book: CustomerBook, workspace: Workspace) -> None:
        self._book = book
        self._workspace = workspace
        self.names: dict[type, Callable[[Any], tuple[str, ...]]] = {
            c.SubmitContact: _of_submission,
            c.ReceiveMessage: lambda command: (command.contact.customer,),
            c.HearKeyword: lambda command: _and_address(command.asked),
            c.SendMessage: partial(written_to, workspace),
            c.ProvideCustomer: self._of_provided,
            c.AskRoute: _customer,
            c.RequestCallback: self._customer_of,
            c.SwitchChannel: self._customer_of,
            c.UpdateContact: _customer,
            cc.ChangeCustomer: lambda command: (
                command.customer,
                *(derived_id(identity.hash) for identity in command.add),
            ),
            cc.MergeCustomers: lambda command: (command.customer, command.into),
            cc.ChangeConsent: _and_address,
            cc.ChangeDoNotContact: _and_address,
            cc.RecordOutcome: _customer,
            cc.EraseCustomer: _customer,
        }
        """The customers that a command names, by its type."""
        self.by_type: dict[type, Callable[[Any], Any]] = {
            c.SubmitContact: self._submit,
            c.ReceiveMessage: self._receive,
            c.HearKeyword: self._hear,
            c.SendMessage: partial(check_reply, workspace),
            c.ProvideCustomer: self._provide,
            c.AskRoute: self._route,
            c.RequestCallback: self._goes_on,
            c.SwitchChannel: self._goes_on,
            c.UpdateContact: self._named,
            cc.ChangeCustomer: self._change,
            cc.MergeCustomers: self._merge,
            cc.ChangeConsent: self._consent,
            cc.ChangeDoNotContact: self._do_not_contact,
            cc.RecordOutcome: self._outcome,
            cc.EraseCustomer: self._erase,
        }

    # --- contacts -----------------------------------------------------------------------------

    def _submit(self, command: c.SubmitContact) -> c.SubmitContact:
        held = self._book.held(command.customer)
        return self.submitted(command, held.row if held is not None else None)

    def submitted(
        self, command: c.SubmitContact, row: Customer | None, number: str = ""
    ) -> c.SubmitContact:
        """An arrival with what is known of its customer; None = nothing.

        `number`: the address, where it does not lie sealed in the command.
        """
        if row is None:
            if command.direction is Direction.INBOUND or not command.customer:
                return command
            facts = replace(command.facts, permission=self._permitted(command, None, number))
            return replace(command, facts=facts)
        facts = replace(command.facts, customer=customers.facts_of(row))
        if command.direction is not Direction.INBOUND:
            facts = replace(facts, permission=self._permitted(command, row, number))
        if self._book.sending is not None:
            facts = self._book.sending.facts(facts, row, command, self._now_us())
        return replace(
            command,
            customer=row.id,
            segment=command.segment or row.segment,
            watched=command.watched or row.watched,
            facts=facts,
        )

    def _receive(self, command: c.ReceiveMessage) -> c.ReceiveMessage:
        contact = self._submit(command.contact)
        return command if contact is command.contact else replace(command, contact=contact)

    def _route(self, command: c.AskRoute) -> c.AskRoute:
        held = self._book.held(command.customer)
        if held is None:
            return command
        row = held.row
        facts = replace(command.facts, customer=customers.facts_of(row))
        if self._book.sending is not None:
            asked = c.SubmitContact(contact=ContactId(command.request), channel=command.channel)
            facts = self._book.sending.facts(facts, row, asked, self._now_us())
        segment = command.segment or row.segment
        return replace(command, customer=row.id, segment=segment, facts=facts)

    def _hear(self, command: c.HearKeyword) -> c.HearKeyword:
        held = self._book.held(command.asked.customer)
        if held is None:
            return command
        return replace(
            command,
            asked=replace(command.asked, customer=held.row.id),
            contact=replace(command.contact, customer=held.row.id),
        )

    def _provide(self, command: c.ProvideCustomer) -> c.ProvideCustomer:
        held = self._book.held(command.customer)
        contact = self._workspace.engine.state.contacts.get(ContactId(command.contact))
        if contact is None:
            return command
        row = held.row if held is not None else None
        facts = command.facts
        if row is not None:
            facts = replace(facts, customer=customers.facts_of(row))
        if contact.direction is not Direction.INBOUND:
            facts = replace(facts, permission=self._of_contact(contact, row))
        command = replace(
            command,
            segment=(row.segment if row is not None else "") or contact.segment,
            found=row is not None,
            facts=facts,
        )
        if self._book.sending is None:
            return command
        return self._book.sending.provide(command, contact, held, self._now_us())

    def _of_provided(self, command: c.ProvideCustomer) -> tuple[str, ...]:
        contact = self._workspace.engine.state.contacts.get(ContactId(command.contact))
        if contact is None or contact.direction is Direction.INBOUND or not contact.address:
            return (command.customer,)
        return (command.customer, derived_id(contact.address))

    def _named(self, command: c.UpdateContact) -> c.UpdateContact:
        """Who was merged, or is known by another id, is the customer whose row it is."""
        held = self._book.held(command.customer) if command.customer else None
        return command if held is None else replace(command, customer=held.row.id)

    def _customer_of(self, command: c.RequestCallback | c.SwitchChannel) -> tuple[str, ...]:
        contact = self._workspace.engine.state.contacts.get(command.contact)
        return (contact.customer,) if contact is not None else ()

    def _goes_on(self, command: Elsewhere) -> Elsewhere:
        """On another channel the customer has another address: that of their profile.

        Raises Refused where none is known: an e-mail address cannot be dialled.
        """
        contact = self._workspace.engine.state.contacts.get(command.contact)
        channels = self._workspace.policy.channels
        if contact is None or command.sealed or command.channel not in channels:
            return command
        here, there = channels[contact.channel], channels[command.channel]
        is_there = isinstance(command, c.SwitchChannel) and command.external_id
        if is_there or there.name == here.name or same_address(here, there):
            return command
        kind = self._book.identities.kind(there.name)
        held = self._book.held(contact.customer) if contact.customer else None
        identities = held.row.identities if held is not None else ()
        address = next((i.address for i in identities if i.kind == kind and i.address), "")
        if not address:
            if there.identity is IdentityKind.HANDLE:
                return command  # they come by themselves
            raise Refused("no_address", f"the customer has no {kind} address: give one")
        sealed, seal_key, peer_key = resealed(self._workspace, contact, there.name, address)
        return replace(command, sealed=sealed, seal_key=seal_key, peer_key=peer_key)

    # --- permission ---------------------------------------------------------------------------

    def _permitted(self, command: c.SubmitContact, row: Customer | None, number: str) -> Permission:
        terms = command.outbound
        purpose = terms.purpose if terms is not None else _purpose(command.direction)
        return self.permission(
            row,
            command.channel,
            command.peer_key.partition("/")[0],
            purpose,
            max(self._now_us(), command.not_before_us),
            sealed=(command.seal_key, command.sealed),
            number=number,
        )

    def _of_contact(self, contact: Contact, row: Customer | None) -> Permission:
        terms = contact.outbound
        return self.permission(
            row,
            contact.channel,
            contact.address,
            terms.purpose if terms is not None else _purpose(contact.direction),
            self._now_us(),
            besides=terms.attempt if terms is not None and terms.is_reserved else "",
            sealed=(contact.seal_key, contact.sealed),
        )

    def permission(
        self,
        row: Customer | None,
        channel: str,
        address: str,
        purpose: str,
        at_us: int,
        *,
        besides: str = "",
        sealed: tuple[str, bytes] = ("", b""),
        number: str = "",
        owner: Customer | None = None,
    ) -> Permission:
        """May this customer (None = somebody unknown) be contacted at this calendar moment?

        `address` is a keyed hash; empty = the first one of theirs that the channel can reach.
        `owner`: whose address it is, for callers who looked; else who was brought is.
        `sealed`: key and bytes of an envelope, which tells the zone of a number that nobody has;
        `number`: the address itself, where it is not sealed.
        """
        kind = self._book.identities.kind(channel)
        if not address and row is not None:
            address = next((i.hash for i in row.identities if i.kind == kind), "")
        address = address or NO_ADDRESS
        zones: tuple[str, ...] = ()
        # A number that the profile does not have (given by an agent) tells its zone itself.
        is_known = row is not None and (row.zone or any(i.hash == address for i in row.identities))
        if not is_known and (sealed[1] or number) and kind == "phone":
            number = number or open_sealed(self._workspace.sealer, *sealed).address
            zones = zones_of(self._book.identities.written(kind, number))
        zones = zones or self._book.zones(row if row is not None else customers.EMPTY)
        told = self._book.objections.told_now
        asked = address if address != NO_ADDRESS else ""
        facts = customers.permission_facts(
            told(row if row is not None else customers.EMPTY, asked), zones
        )
        held = self._book.held(derived_id(asked)) if owner is None and asked else None
        if held is not None:
            owner = told(held.row)
        if owner is not None and (row is None or owner.id != row.id):
            facts = customers.with_objections(facts, owner)
        rules = self._book.permissions
        verdict = rules.permitted(facts, channel, address, purpose, at_us, besides=besides)
        if not isinstance(verdict, Allowed):
            return Permission(
                allowed=False,
                reason=verdict.reason.value,
                text=verdict.words,
                next_at_us=verdict.next_allowed_us or 0,
            )
        last_us = at_us + LOOK_AHEAD_US
        open_ = rules.allowed_intervals(
            facts, channel, address, purpose, at_us, last_us, besides=besides
        )
        until_us = open_[0][1] if open_ and open_[0][0] <= at_us else 0
        return Permission(until_us=until_us if until_us < last_us else 0)

    def _now_us(self) -> int:
        """Calendar time: what permission goes by."""
        state = self._workspace.engine.state
        return self._workspace.now_us() + state.totals.clock_offset_us

    # --- customers ----------------------------------------------------------------------------

    def _change(self, command: cc.ChangeCustomer) -> cc.ChangeCustomer:
        held = self._book.held(command.customer)
        row = held.row if held is not None else None
        founding = hash_in(command.customer)
        if row is None and (
            not command.creates or (founding and all(i.hash != founding for i in command.add))
        ):
            raise NotFound("customer", command.customer)
        customers.check_version(row, command.version)
        base = row if row is not None else customers.EMPTY
        patch = customers.patched(base, command.patch, whole=command.whole)
        fields = customers.fields_of(patch) or (() if row is not None else CREATED)
        id_ = row.id if row is not None else command.customer
        add, remove = self._identities(command, base, id_)
        if not (fields or add or remove):
            return replace(command, fields=(), sealed_identities=(), remove=())
        key = self._key(held, id_)
        seal = self._workspace.sealer.seal
        return replace(
            command,
            customer=id_,
            patch=customers.UNCHANGED,
            add=(),
            remove=remove,
            fields=fields,
            sealed=seal(key, _encode(patch)) if fields else b"",
            seal_key=key,
            sealed_identities=tuple(
                cc.SealedIdentity(kind=i.kind, hash=i.hash, sealed=seal(key, _encode(i)))
                for i in add
            ),
            contacts=self._live_of(add, id_),
        )

    def _live_of(self, added: list[Identity], id_: str) -> tuple[ContactId, ...]:
        """Contacts under way of whoever had one of these addresses and no row yet."""
        state = self._workspace.engine.state
        whose = [derived_id(identity.hash) for identity in added]
        return tuple(live for who in whose if who != id_ for live in state.contacts_of(who))

    def _identities(
        self, command: cc.ChangeCustomer, row: Customer, id_: str
    ) -> tuple[list[Identity], tuple[str, ...]]:
        """What comes and what goes. Raises Refused: another's, too many, or not to be lost."""
        own = {identity.hash: identity for identity in row.identities}
        founding = hash_in(id_)
        add: list[Identity] = []
        now_us = self._workspace.now_us()
        for identity in {identity.hash: identity for identity in command.add}.values():
            known = own.get(identity.hash)
            if known is not None:
                if known.label == identity.label:
                    continue
                add.append(replace(known, label=identity.label))
                continue
            owner = self._book.owner(identity.hash)
            if owner not in ("", id_):
                raise Refused(
                    "identity_taken",
                    f"a {identity.kind} given belongs to customer {owner!r}: merge the two",
                )
            add.append(replace(identity, added_at_us=now_us))
        wanted = {identity.hash: None for identity in command.add}
        remove = tuple(
            hash_
            for hash_ in own
            if hash_ not in wanted
            and (hash_ in command.remove or (command.whole and hash_ != founding))
        )
        if founding in remove and founding:
            raise Refused(
                "identity_names", "the customer is called after this identity: it cannot be removed"
            )
        count = len(own) - len(remove) + sum(identity.hash not in own for identity in add)
        if count > MOST_IDENTITIES:
            raise Refused(
                "too_many_identities", f"expected at most {MOST_IDENTITIES} identities, got {count}"
            )
        return add, remove

    def _key(self, held: Held | None, id_: str) -> str:
        """The customer's key; a new one for whoever has no row yet."""
        if held is not None and held.key:
            return held.key
        key = self._book.fresh_keys.get(id_)
        if key is None:
            try:
                key = self._workspace.keys.new_key()[0]
            except Overloaded as error:
                raise Refused("no_key", str(error)) from error
        if held is not None:
            held.key = key
        else:
            self._book.fresh_keys[id_] = key
        return key

    def _merge(self, command: cc.MergeCustomers) -> cc.MergeCustomers:
        other, into = self._row(command.customer), self._row(command.into)
        if other.id == into.id:
            raise Refused("same_customer", f"both are customer {into.id!r} already")
        customers.merge(replace(into), other)  # refuses here what cannot be
        return replace(command, customer=other.id, into=into.id)

    def _consent(self, command: cc.ChangeConsent) -> cc.ChangeConsent:
        row = self._row(command.customer)
        if command.state is ConsentState.GIVEN:
            self._own(command.address, row.id)
        said = Consent(
            state=command.state,
            at_us=self._now_us(),
            channel=command.channel,
            address=command.address,
            purpose=command.purpose,
        )
        customers.check_consent(row, said)
        return replace(command, customer=row.id)

    def _do_not_contact(self, command: cc.ChangeDoNotContact) -> cc.ChangeDoNotContact:
        held = self._book.held(command.customer)
        if held is None:
            # Whoever is known by an address alone can object before anything else is known.
            if hash_in(command.customer):
                return command
            raise NotFound("customer", command.customer)
        if command.lifted and not command.asked_from:
            self._own(command.address, held.row.id)
        return replace(command, customer=held.row.id)

    def _own(self, address: str, id_: str) -> None:
        """Raises Refused for another's address: what was objected to there is not theirs to end."""
        if address and self._book.owner(address) not in ("", id_):
            raise Refused("identity_taken", "the address given is another customer's: say it there")

    def _outcome(self, command: cc.RecordOutcome) -> cc.RecordOutcome:
        row = self._row(command.customer)
        if not FIRST_US <= command.attempted_at_us <= self._now_us() + DAY_US:
            raise Invalid(
                "attempted_at_us",
                f"expected a moment from 2021 to now, in µs, got {command.attempted_at_us}",
            )
        attempt = command.attempt or f"reported/{command.channel}/{command.attempted_at_us}"
        return replace(command, customer=row.id, attempt=attempt)

    def _erase(self, command: cc.EraseCustomer) -> cc.EraseCustomer:
        if command.customer not in self._book.to_erase:
            raise NotFound("customer", command.customer)
        return command

    def _row(self, id_: str) -> Customer:
        held = self._book.held(id_)
        if held is None:
            raise NotFound("customer", id_)
        return held.row


def _customer(command: Any) -> tuple[str, ...]:
    return (command.customer,)


def _and_address(command: cc.ChangeConsent | cc.ChangeDoNotContact) -> tuple[str, ...]:
    """The customer and whoever has the address of which they say something."""
    address = command.address or getattr(command, "asked_from", "")
    return (command.customer, derived_id(address)) if address else (command.customer,)


def _of_submission(command: c.SubmitContact) -> tuple[str, ...]:
    if command.direction is Direction.INBOUND:
        return (command.customer,)
    # Whoever has the address, or wrote STOP from it, may be somebody else.
    address = command.peer_key.partition("/")[0]
    return (command.customer, derived_id(address)) if address else (command.customer,)


def _purpose(direction: Direction) -> str:
    """What a contact without terms is for; as `core/attempts.py` has it."""
    return "callback" if direction is Direction.CALLBACK else "service"
