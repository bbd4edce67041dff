"""Drawn lives of customers and their addresses in a real workspace, judged by a plain list.

Numbers are entered, taken out, given to others; customers merge and are erased; people and keywords
object, take it back, consent. Meanwhile memory is small, forgotten, or lost with the process, and
after each step somebody asks who may be contacted: as the API asks, and as a submission is judged.
Whatever is allowed against an objection is a violation; a refusal without one is needless.
"""

from __future__ import annotations

import asyncio
from random import Random

from router.core import commands as c
from router.core import customer_commands as cc
from router.core import events as e
from router.core.customer_model import Identity
from router.core.effects import Effect
from router.core.facts import Outbound
from router.core.model import ContactId, Direction, QueueId
from router.core.permission_facts import ConsentState
from router.core.permission_policy import SERVICE, ConsentMode, ConsentRule, ContactPolicy
from router.core.policy import EntryPoint, Policy, Queue, default_channels
from router.errors import NotFound, Refused
from router.journal.keys import BlockKeys, MemoryBlocks
from router.journal.memory import MemoryJournal
from router.runtime import erasure
from router.runtime.clock import ManualClock
from router.runtime.identities import derived_id, hash_in
from router.runtime.loop import Answer, Workspace
from router.runtime.metrics import Metrics
from router.testing.objection_checker import ObjectionChecker
from router.testing.permission_report import PermissionReport

NAMED = ("kim", "lee", "max")
NUMBERS = tuple(f"+49301234{number:03}" for number in range(4))
CHANNELS = ("sms", "voice")
PURPOSES = (SERVICE, "marketing")
ROUNDS = 25
MOST = 2
"""Customers, and addresses, that fit into memory."""
SECOND_US = 1_000_000
LINE = QueueId("line")
SECRET = b"secret of drawn lives, 32 bytes."


class Lives:
    """A few customers who share a few numbers."""

    def __init__(self, rng: Random, report: PermissionReport, name: str) -> None:
        self.rng = rng
        self.report = report
        self.name = name
        self.checker = ObjectionChecker(opt_out=(SERVICE,))
        self.clock = ManualClock()
        self.journal = MemoryJournal()
        self.submitted = 0

    async def go(self) -> None:
        """Live through it."""
        self.keys = await BlockKeys.open(MemoryBlocks())
        self.workspace = await self._started()
        try:
            for _ in range(ROUNDS):
                await self.turn()
                for _ in range(3):
                    await self.ask()
        finally:
            await self.workspace.stop()
            await self.keys.close()

    async def turn(self) -> None:
        """What happens next, in one batch, or the loss of what was in memory."""
        rng = self.rng
        self.clock.advance(rng.choice((0, 1, SECOND_US)))
        chance = rng.random()
        if chance < 0.08:
            await self.workspace.stop()
            self.workspace = await self._started()
        elif chance < 0.18:
            await self._erase(self._customer())
        asked = [self.workspace.put(self._command()) for _ in range(rng.randint(1, 4))]
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(answer, Answer):
                for event in answer.events:
                    self._follow(event)
            elif not isinstance(answer, (NotFound, Refused)):
                raise answer

    async def ask(self) -> None:
        """May somebody be contacted? As the API asks it, or as a submission is judged."""
        rng, book = self.rng, self.workspace.customers
        customer, hash_ = self._customer(), self._hash(rng.choice(NUMBERS))
        channel, purpose = rng.choice(CHANNELS), rng.choice(PURPOSES)
        row = await book.get(customer)
        who = customer if row is None else row.id
        if rng.random() < 0.5:
            owner = await book.owner_of(hash_)
            now_us = self.workspace.now_us()
            found = book.permission(row, channel, hash_, purpose, now_us, owner=owner)
        else:
            self.submitted += 1
            submit = c.SubmitContact(
                contact=ContactId(f"c{self.submitted}"),
                channel=channel,
                entry_point=channel,
                direction=Direction.OUTBOUND,
                customer=customer,
                peer_key=f"{hash_}/{channel}/us",
                outbound=Outbound(purpose=purpose),
            )
            answer = await self.workspace.ask(submit)
            first = next(event for event in answer.events if isinstance(event, e.ContactReceived))
            found = first.facts.permission
            if submit.contact in self.workspace.engine.state.contacts:
                await self.workspace.ask(c.CancelContact(contact=submit.contact))
        self._judge(who, channel, hash_, purpose, found.allowed)

    def _judge(self, who: str, channel: str, hash_: str, purpose: str, allowed: bool) -> None:
        report = self.report
        against = self.checker.against(who, channel, hash_, purpose)
        report.decisions += 1
        report.verdicts["allowed" if allowed else "objected"] += 1
        told = f"{self.name}: {who} by {channel} at {hash_[:4]} for {purpose}"
        if allowed and against:
            report.violations.append(f"{told}: allowed against {', '.join(against)}")
        elif not allowed and not against:
            report.needless.append(f"{told}: refused without an objection")

    def _command(self) -> c.Command:
        rng = self.rng
        customer, number = self._customer(), rng.choice(NUMBERS)
        hash_ = self._hash(number)
        channel, of = rng.choice(("", *CHANNELS)), rng.choice(("", hash_, hash_))
        match rng.randrange(8):
            case 0 | 1:
                new = Identity(kind="phone", hash=hash_, address=number)
                return cc.ChangeCustomer(customer=rng.choice(NAMED), add=(new,))
            case 2:
                return cc.ChangeCustomer(customer=rng.choice(NAMED), remove=(hash_,))
            case 3:
                other = rng.choice((derived_id(hash_), customer))
                return cc.MergeCustomers(customer=other, into=rng.choice(NAMED))
            case 4:
                state = rng.choice((ConsentState.GIVEN, ConsentState.GIVEN, ConsentState.WITHDRAWN))
                return cc.ChangeConsent(
                    customer=customer,
                    state=state,
                    channel=channel,
                    address=of,
                    purpose=rng.choice(("", *PURPOSES)),
                )
            case 5:
                return cc.ChangeDoNotContact(
                    customer=customer, channel=channel, address=of, lifted=rng.random() < 0.6
                )
            case _:
                return self._keyword(hash_)

    def _keyword(self, hash_: str) -> c.Command:
        """STOP, STOPALL or START, as `runtime/keywords.py` puts it."""
        kind = self.rng.choice(("stop", "stop", "stop_all", "start"))
        everywhere = kind == "stop_all"
        return cc.ChangeDoNotContact(
            customer=derived_id(hash_),
            lifted=kind == "start",
            channel="" if everywhere else "sms",
            address="" if everywhere else hash_,
            source=f"keyword {kind} on sms",
            asked_from=hash_,
            by="keyword",
        )

    def _follow(self, event: e.Event) -> None:
        """What the journal says has happened."""
        checker = self.checker
        founding = hash_in(getattr(event, "customer", ""))
        if founding:  # known by the address alone
            checker.owner.setdefault(founding, derived_id(founding))
        customer = checker.absorbed.get(founding, getattr(event, "customer", ""))
        if isinstance(event, e.IdentityAdded):
            checker.owner[event.hash] = event.customer
        elif isinstance(event, e.IdentityRemoved):
            checker.taken_out(event.customer, event.hash)
        elif isinstance(event, e.CustomersMerged):
            checker.merged(event.customer, event.into)
            if founding:
                checker.absorbed[founding] = event.into
        elif isinstance(event, e.ConsentChanged):
            scope = (event.channel, event.address, event.purpose)
            given = event.state is ConsentState.GIVEN
            checker.consented(event.said_at_us, customer, given, scope)
        elif isinstance(event, e.DoNotContactChanged):
            where = (customer, event.channel)
            if not event.lifted:
                checker.blocked(event.said_at_us, *where, event.address, event.asked_from)
            elif event.asked_from:
                checker.started(*where, event.asked_from)
            else:
                checker.lifted(*where, event.address)

    async def _erase(self, customer: str) -> None:
        row = await self.workspace.customers.get(customer)
        if row is not None:
            await erasure.erase(self.workspace, row.id, "test")
            self.checker.erased(row.id)

    def _customer(self) -> str:
        return self.rng.choice((*NAMED, derived_id(self._hash(self.rng.choice(NUMBERS)))))

    def _hash(self, number: str) -> str:
        return self.workspace.customers.identities.hash("phone", number)

    async def _started(self) -> Workspace:
        workspace = Workspace(
            "lives",
            make_policy(),
            journal=self.journal,
            keys=self.keys,
            secret=SECRET,
            clock=self.clock,
            metrics=Metrics().workspace("lives"),
        )
        workspace.customers.most = MOST
        workspace.perform = _nothing
        await workspace.start()
        if self.rng.random() < 0.8:  # else every address is asked for
            await workspace.customers.known.load(workspace)
        return workspace


def _nothing(_id: str, _effect: Effect) -> None:
    """Nobody is contacted: it is asked whether they may be."""


def make_policy() -> Policy:
    """Hours and limits forbid nothing here."""
    opt_out = ConsentRule(mode=ConsentMode.OPT_OUT, purposes=(SERVICE,))
    return Policy(
        version="lives",
        channels=default_channels(),
        queues={LINE: Queue(id=LINE)},
        entry_points={
            name: EntryPoint(id=name, channel=name, queue=LINE, address="us") for name in CHANNELS
        },
        contacting=ContactPolicy(consent=(opt_out,), windows=(), limits=()),
    )


def run_lives(count: int, seed: int) -> PermissionReport:
    """Live so many lives; the same seed makes the same ones."""
    report = PermissionReport()
    for number in range(count):
        lives = Lives(Random(seed * 1_000_003 + number), report, f"life {number}")
        asyncio.run(lives.go())
    return report
