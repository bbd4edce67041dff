"""The plain reading of what customers objected to: one flat list, forgotten by nothing but its end.

Shares no code with what it judges (`router/core/objections.py`, `router/runtime/objections.py` and
what they stand on). An objection is of a customer, for all their addresses, or of one address; it
knows no rows, hashes or journals. What is of an address is ended by START from there, by people, or
by consent for exactly that address; what becomes of customers ends nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

Scope = tuple[str, str, str]
"""Channel, address, purpose; empty = every one."""


@dataclass(slots=True)
class Objection:
    """One that stands."""

    at_us: int
    channel: str
    purpose: str = ""
    customer: str = ""
    """Whose it is, for all their addresses; empty: it is of `address`."""
    address: str = ""
    origin: str = ""
    """The address from which a keyword came."""
    was_wide: bool = False
    """Said of all addresses of whoever had this one."""
    is_withdrawal: bool = False
    """Of consent; else a block on every purpose."""
    ended_for: list[tuple[str, str]] = field(default_factory=list)
    """Channel and purpose of later consent."""


@dataclass(slots=True)
class Statement:
    """About consent."""

    at_us: int
    given: bool
    scope: Scope


class ObjectionChecker:
    """What was said in one workspace, and whose the addresses are."""

    def __init__(self, opt_out: tuple[str, ...]) -> None:
        self.opt_out = opt_out
        self.owner: dict[str, str] = {}
        self.absorbed: dict[str, str] = {}
        """Addresses whose nameless customer was merged into somebody: they stay theirs."""
        self.standing: list[Objection] = []
        self.statements: dict[str, list[Statement]] = {}

    def against(self, customer: str, channel: str, address: str, purpose: str) -> list[str]:
        """Everything that forbids this contact."""
        owner = self.owner.get(address, "")
        of_all = [id_ for id_ in (customer, owner) if id_]
        covering = [
            (said.at_us, not said.given)
            for id_ in dict.fromkeys(of_all)
            for said in self.statements.get(id_, [])
            if _covers(said.scope, (channel, address, purpose))
            and (id_ == customer or not (said.given or self._again(id_, said)))
        ]
        found = []
        for objection in self.standing:
            if objection.address != address and objection.customer not in of_all:
                continue
            if objection.address not in ("", address) or objection.channel not in ("", channel):
                continue
            if objection.is_withdrawal:
                if objection.purpose in ("", purpose):
                    covering.append((objection.at_us, True))
            elif not any(c in ("", channel) and p in ("", purpose) for c, p in objection.ended_for):
                found.append("block")
        if max(covering, default=(0, purpose not in self.opt_out))[1]:
            found.append("consent")
        return found

    def blocked(self, at_us: int, customer: str, channel: str, address: str, origin: str) -> None:
        """Do not contact: said by people, or by a keyword from `origin`."""
        if address:
            self.standing.append(Objection(at_us, channel, address=address, origin=origin))
            return
        self.standing.append(Objection(at_us, channel, customer=customer, origin=origin))
        if origin:
            of_it = Objection(at_us, channel, address=origin, origin=origin, was_wide=True)
            self.standing.append(of_it)

    def started(self, customer: str, channel: str, origin: str) -> None:
        """START from this address, which is this customer's or nobody's."""
        own = self._own(customer)
        self.standing = [
            said
            for said in self.standing
            if not said.origin
            or said.channel not in ("", channel)
            or not (
                said.address == origin
                or (said.origin == origin and (said.customer == customer or said.address in own))
            )
        ]

    def lifted(self, customer: str, channel: str, address: str) -> None:
        """People take back what was said of exactly this."""
        own = self._own(customer)
        self.standing = [
            said
            for said in self.standing
            if said.is_withdrawal
            or said.channel != channel
            or not (
                said.address == address
                if address
                else said.customer == customer or (said.was_wide and said.address in own)
            )
        ]

    def consented(self, at_us: int, customer: str, given: bool, scope: Scope) -> None:
        """Consent given or withdrawn."""
        self.statements.setdefault(customer, []).append(Statement(at_us, given, scope))
        channel, address, purpose = scope
        if not given:
            if address:
                said = Objection(at_us, channel, purpose, address=address, is_withdrawal=True)
                self.standing.append(said)
            return
        there = (address,) if address else self._own(customer)
        kept = []
        for said in self.standing:
            if said.address in there and said.at_us < at_us:
                if said.is_withdrawal:
                    if channel in ("", said.channel) and purpose in ("", said.purpose):
                        continue
                elif address and (channel in ("", said.channel) or not said.channel):
                    if channel in ("", said.channel) and not purpose:
                        continue
                    said.ended_for.append((channel, purpose))
            kept.append(said)
        self.standing = kept

    def taken_out(self, customer: str, address: str) -> None:
        """The address is this customer's no more: what they said of all of theirs goes with it."""
        self._leave(customer, address)
        self.owner.pop(address, None)
        if address in self.absorbed:
            self.owner[address] = self.absorbed[address]

    def merged(self, customer: str, into: str) -> None:
        """The two are one."""
        for said in self.standing:
            if said.customer == customer:
                said.customer = into
        self.statements.setdefault(into, []).extend(self.statements.pop(customer, []))
        for address in self._own(customer):
            self.owner[address] = into
        for address, owner in self.absorbed.items():
            if owner == customer:
                self.absorbed[address] = into

    def erased(self, customer: str) -> None:
        """Nothing is left of them but what they objected to, at their addresses."""
        gone = self._own(customer)
        self.absorbed = {a: owner for a, owner in self.absorbed.items() if owner != customer}
        for address in gone:
            self.taken_out(customer, address)
            for said in self.standing:
                if said.address == address and said.origin:
                    said.origin = address
        self.standing = [said for said in self.standing if said.customer != customer]
        self.statements.pop(customer, None)

    def _own(self, customer: str) -> list[str]:
        return [address for address, owner in self.owner.items() if owner == customer]

    def _leave(self, customer: str, address: str) -> None:
        wide = [said for said in self.standing if said.customer == customer]
        for said in wide:
            left = replace(said, customer="", address=address, was_wide=True, ended_for=[])
            self.standing.append(left)
        for statement in self.statements.get(customer, []):
            channel, of, purpose = statement.scope
            if not statement.given and not of and not self._again(customer, statement):
                self.standing.append(
                    Objection(
                        statement.at_us, channel, purpose, address=address, is_withdrawal=True
                    )
                )

    def _again(self, customer: str, withdrawn: Statement) -> bool:
        """Consent to all of it was given since."""
        return any(
            said.given and said.at_us > withdrawn.at_us and _covers(said.scope, withdrawn.scope)
            for said in self.statements.get(customer, [])
        )


def _covers(wide: Scope, narrow: Scope) -> bool:
    return all(one in ("", other) for one, other in zip(wide, narrow, strict=True))
