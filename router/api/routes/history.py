"""What was before: past attempts brought in from elsewhere, and a customer's last contacts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from hashlib import blake2b
from typing import Annotated, NamedTuple

from msgspec import Meta

from router.api.audit import audit_row
from router.api.bodies import Body
from router.api.customer_bodies import OUTCOMES
from router.api.problems import describe
from router.api.routes.customers import ID, READERS, the_customer
from router.api.table import Call, Param, Reply, Route, query_int, roles
from router.api.views import View
from router.core import customer_commands as cc
from router.core.customer_model import Identity
from router.core.events import CustomerChanged
from router.core.model import Contact, ContactOutcome, ContactState, Direction
from router.errors import (
    Invalid,
    JournalError,
    OutcomeUnknown,
    Overloaded,
    Refused,
    RouterError,
    StoreFull,
)
from router.journal import ArchiveWrite
from router.journal.codec import decode_row
from router.runtime.customer_rows import IMPORTED, INDEX, index_id
from router.runtime.identities import derived_id
from router.runtime.learning import INBOUND
from router.runtime.loop import Answer

MOST_ROWS = 500
EARLIEST_US = 946_684_800_000_000
"""2000-01-01: what is older was most likely not meant in microseconds."""
AHEAD_US = 86_400_000_000
SHED = 4
"""History can wait: like reports, it gives way first."""
DIRECTIONS = ("outbound", "callback", "inbound")
PHONE = re.compile(r"(tel:)?\+?[0-9][0-9 ()./-]*")
PURPOSE = re.compile(r"[A-Za-z0-9_.-]{0,64}")
INDEX_PAGES, INDEX_PAGE = 20, 500
Cell = Annotated[str, Meta(max_length=320)]


class HistoryRow(Body):
    """One past attempt, or a contact that the customer began. Checked row by row."""

    channel: Cell = ""
    customer: Cell = ""
    """Your id of the customer; or else:"""
    identity: Cell = ""
    """An address that tells who it is: a number, a mailbox, a handle on this channel."""
    address: Cell = ""
    """Where it was tried; default: the identity, else the customer's first one on this channel."""
    at_us: int = 0
    """Calendar moment of the attempt."""
    outcome: Cell = ""
    direction: Cell = ""
    """``outbound`` (default), ``callback``, ``inbound``."""
    purpose: Cell = ""
    """Stands in the event's source."""


class HistoryBody(Body):
    """Past attempts."""

    rows: Annotated[list[HistoryRow], Meta(min_length=1, max_length=MOST_ROWS)]
    dry_run: bool = False
    """Rows are checked, each by itself, and none is recorded."""


class HistoryResult(View):
    """What became of one row."""

    status: str
    """``recorded``, ``known`` (the same row came before), ``rejected``."""
    code: str = ""
    detail: str = ""


class HistoryView(View):
    """One result for each row, in their order."""

    results: list[HistoryResult]
    recorded: int = 0
    known: int = 0
    rejected: int = 0
    created: int = 0
    """Customers who were not there before."""


class PastContact(View):
    """A contact of a customer: when, how, and what came of it; no texts."""

    id: str
    channel: str
    state: ContactState
    direction: Direction = Direction.INBOUND
    outcome: ContactOutcome | None = None
    disposition: str = ""
    queue: str = ""
    agent: str = ""
    """Who served it last."""
    created_at_us: int = 0
    closed_at_us: int = 0


class PastContacts(View):
    """The customer's contacts, newest first."""

    contacts: list[PastContact]
    more: bool = False


class _Attempt(NamedTuple):
    """A row, understood."""

    customer: str
    channel: str
    identity: Identity
    """Of the address where it was tried."""
    others: tuple[Identity, ...]
    at_us: int
    outcome: str
    source: str
    digest: str

    @property
    def place(self) -> str:
        return index_id(self.customer, self.digest)


async def import_history(call: Call) -> Reply:
    """Past attempts become evidence; each row is answered by itself."""
    body: HistoryBody = call.body
    call.api.limits.charge(call.who.token, call.now_us, len(body.rows) / 10)
    await call.tenant.read()
    results: list[HistoryResult | None] = [None] * len(body.rows)
    attempts: dict[int, _Attempt] = {}
    before: Addresses = {}
    for place, row in enumerate(body.rows):
        try:
            attempts[place] = await _understood(call, row, before)
        except RouterError as error:
            results[place] = _rejected(error)
    await _drop_known(call, attempts, results)
    if body.dry_run:
        results = [result or HistoryResult(status="recorded") for result in results]
        return _reply(results, 0)
    created, refused = await _customers(call, attempts.values())
    for place, attempt in list(attempts.items()):
        reason = refused.get((attempt.customer, attempt.identity.hash))
        if reason is not None:
            results[place] = _rejected(reason)
            del attempts[place]
    await _record(call, attempts, results)
    return _reply(results, created)


def _reply(results: list[HistoryResult | None], created: int) -> Reply:
    done = [result for result in results if result is not None]
    counts = {word: sum(result.status == word for result in done) for word in STATUSES}
    return Reply(200, HistoryView(results=done, created=created, **counts))


STATUSES = ("recorded", "known", "rejected")


Addresses = dict[tuple[str, str], Identity]
"""By customer and kind: from the rows before."""


async def _understood(call: Call, row: HistoryRow, before: Addresses) -> _Attempt:
    """Raises Invalid with the reason that the import's report shows."""
    channels = call.tenant.policy.channels
    direction = _one_of("direction", row.direction or DIRECTIONS[0], DIRECTIONS)
    channel = _one_of("channel", row.channel, tuple(channels))
    outcome = INBOUND
    if direction != INBOUND:
        outcome = _one_of("outcome", row.outcome, OUTCOMES)
    elif row.outcome not in ("", INBOUND):
        raise Invalid("outcome", f"inbound: expected no outcome, got {row.outcome!r:.60}")
    now_us = call.tenant.workspace.now_us()
    if not EARLIEST_US <= row.at_us <= now_us + AHEAD_US:
        raise Invalid("at", f"expected a moment from 2000-01-01 until now, got {row.at_us} µs")
    if not PURPOSE.fullmatch(row.purpose):
        raise Invalid("purpose", f"expected letters, digits, _ . -, got {row.purpose!r:.60}")
    if row.customer and not ID.fullmatch(row.customer):
        raise Invalid("customer", f"expected an id, got {row.customer!r:.60}")
    told = _identity(call, channel, row.identity) if row.identity else None
    identity = await _address(call, channel, row, told, before)
    customer = row.customer or derived_id((told or identity).hash)
    for each in (told, identity):
        if each is not None:
            before.setdefault((customer, each.kind), each)
    text = f"{channel}\0{identity.hash}\0{row.at_us}\0{direction}"
    return _Attempt(
        customer=customer,
        channel=channel,
        identity=identity,
        others=(told,) if told is not None and told.hash != identity.hash else (),
        at_us=row.at_us,
        outcome=outcome,
        source=f"import/{row.purpose}" if row.purpose else "import",
        digest=blake2b(text.encode(), digest_size=12).hexdigest(),
    )


async def _address(
    call: Call, channel: str, row: HistoryRow, told: Identity | None, before: Addresses
) -> Identity:
    """Where it was tried."""
    book = call.tenant.workspace.customers
    kind = book.identities.kind(channel)
    if row.address:
        return _identity(call, channel, row.address, kind)
    if told is not None and told.kind == kind:
        return told
    if not (row.customer or told):
        raise Invalid("customer", "expected a customer, an identity or an address")
    customer = row.customer or derived_id(told.hash if told else "")
    found = await book.get(customer)
    for identity in found.identities if found is not None else ():
        if identity.kind == kind:
            return identity
    if (customer, kind) in before:
        return before[customer, kind]
    raise Invalid("address", f"expected an address: none on {channel} is known of this customer")


def _identity(call: Call, channel: str, address: str, kind: str = "") -> Identity:
    known = call.tenant.workspace.customers.identities
    if not kind:
        is_told = "@" in address or PHONE.fullmatch(address)
        kind = known.kind_of(address) if is_told else known.kind(channel)
    written = known.written(kind, address)
    if (kind == "phone" and not any(letter.isdigit() for letter in written)) or (
        kind == "email" and "@" not in written
    ):
        raise Invalid("address", f"expected {kind} on {channel}, got {address!r:.60}")
    return Identity(kind=kind, hash=known.hash(kind, written), address=written)


def _one_of(name: str, given: str, known: tuple[str, ...]) -> str:
    """`given`, in lower case. Raises Invalid, with did-you-mean."""
    word = given.strip().lower()
    if word in known:
        return word
    close = get_close_matches(word, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(known)}"
    raise Invalid(name, f"no {name} {given!r:.60}: {hint}")


async def _drop_known(
    call: Call, attempts: dict[int, _Attempt], results: list[HistoryResult | None]
) -> None:
    """Answer rows that came before with the same outcome, here or in an earlier import."""
    workspace = call.tenant.workspace
    places = list(dict.fromkeys(attempt.place for attempt in attempts.values()))
    found = await workspace.journal.fetch(workspace.own, IMPORTED, places) if places else {}
    before = {id_: data.decode() for id_, data in found.items()}
    for place, attempt in list(attempts.items()):
        if before.get(attempt.place) == attempt.outcome:
            results[place] = HistoryResult(status="known")
            del attempts[place]
        before[attempt.place] = attempt.outcome


Refusals = dict[tuple[str, str], RouterError]


async def _customers(call: Call, attempts: Iterable[_Attempt]) -> tuple[int, Refusals]:
    """Make who is not there yet, and add addresses; how many are new, and what was refused why."""
    wanted: dict[str, dict[str, Identity]] = {}
    for attempt in attempts:
        own = wanted.setdefault(attempt.customer, {})
        for identity in (attempt.identity, *attempt.others):
            own[identity.hash] = identity
    await call.tenant.intake.keys_ready()
    commands = [_change(call, customer, own.values()) for customer, own in wanted.items()]
    created, refused = 0, Refusals()
    for command, answer in zip(commands, await _ask_all(call, commands), strict=True):
        if isinstance(answer, Answer):
            created += _creates(answer)
        elif isinstance(answer, Refused) and answer.code == "identity_taken":
            more, taken = await _one_by_one(call, command)
            created += more
            refused |= taken
        else:
            refused |= {(command.customer, identity.hash): answer for identity in command.add}
    return created, refused


def _change(call: Call, customer: str, add: Iterable[Identity]) -> cc.ChangeCustomer:
    return cc.ChangeCustomer(customer=customer, add=tuple(add), by=call.who.by)


def _creates(answer: Answer) -> bool:
    return any(isinstance(e, CustomerChanged) and "created" in e.fields for e in answer.events)


async def _one_by_one(call: Call, command: cc.ChangeCustomer) -> tuple[int, Refusals]:
    """An address is somebody else's: who is known by it alone is this customer from now on."""
    customer, book = command.customer, call.tenant.workspace.customers
    refused = Refusals()
    free: list[Identity] = []
    absorbed: list[str] = []
    for identity in command.add:
        owner = await book.find(identity.kind, identity.address)
        if owner is None or owner.id == customer:
            free.append(identity)
        elif owner.id == derived_id(identity.hash) and not owner.merged_from:
            absorbed.append(owner.id)
        else:
            refused[customer, identity.hash] = Refused(
                "identity_taken", f"the address belongs to customer {owner.id!r}: merge the two"
            )
    first, *rest = await _ask_all(call, [_change(call, customer, free)])
    created = _creates(first) if isinstance(first, Answer) else 0
    merges = [cc.MergeCustomers(customer=id_, into=customer, by=call.who.by) for id_ in absorbed]
    answers = [first, *rest, *await _ask_all(call, merges)]
    failed = next((a for a in answers if not isinstance(a, Answer)), None)
    if failed is not None:
        refused |= {
            (customer, i.hash): failed for i in command.add if (customer, i.hash) not in refused
        }
    return created, refused


async def _record(
    call: Call, attempts: dict[int, _Attempt], results: list[HistoryResult | None]
) -> None:
    commands = [
        cc.RecordOutcome(
            customer=attempt.customer,
            channel=attempt.channel,
            address=attempt.identity.hash,
            attempted_at_us=attempt.at_us,
            outcome=attempt.outcome,
            attempt=f"import/{attempt.digest}",
            source=attempt.source,
        )
        for attempt in attempts.values()
    ]
    now_us = call.tenant.workspace.now_us()
    rows = [
        [ArchiveWrite(IMPORTED, attempt.place, now_us, attempt.outcome.encode())]
        for attempt in attempts.values()
    ]
    if rows:
        rows[0].append(audit_row(call, "history.import", f"{len(rows)} rows"))
    answers = await _ask_all(call, commands, rows)
    for place, answer in zip(attempts, answers, strict=True):
        if isinstance(answer, Answer):
            results[place] = HistoryResult(status="recorded")
        else:
            results[place] = _rejected(answer)


async def _ask_all(
    call: Call,
    commands: Sequence[cc.ChangeCustomer | cc.MergeCustomers | cc.RecordOutcome],
    rows: list[list[ArchiveWrite]] | None = None,
) -> list[Answer | RouterError]:
    """Carry commands out together. Raises what passes by itself: the whole request is sent again,
    which does no harm, as what was done is known by then."""
    put = call.tenant.workspace.put
    waiting: list[asyncio.Future[Answer]] = []
    try:
        for place, command in enumerate(commands):
            waiting.append(put(command, rows[place] if rows else (), shed=SHED))
    finally:
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    done: list[Answer | RouterError] = []
    for answer in answers:
        if isinstance(answer, Refused) and answer.code == "no_key":
            raise Overloaded(str(answer), 1.0)
        if isinstance(answer, Answer | RouterError) and not isinstance(answer, PASSING):
            done.append(answer)
        else:
            raise answer
    return done


PASSING = (Overloaded, OutcomeUnknown, StoreFull, JournalError)


def _rejected(error: RouterError) -> HistoryResult:
    _, problem = describe(error)
    return HistoryResult(status="rejected", code=problem["code"], detail=problem["detail"])


# --- a customer's last contacts ---------------------------------------------------------------


async def contacts(call: Call) -> Reply:
    """The last contacts of a customer, open ones among them, whoever served them."""
    limit = query_int(call, "limit", 20, 1, 100)
    row = await the_customer(call)
    state, workspace = call.tenant.state, call.tenant.workspace
    rows = {id_: state.contacts[id_] for id_ in state.contacts_of(row.id)}
    closed: list[str] = []
    for id_ in (row.id, *row.merged_from):
        closed += await _index(call, id_)
    wanted = sorted({*closed, *rows}, reverse=True)
    missing = [id_ for id_ in wanted[:limit] if id_ not in rows]
    stored = await workspace.journal.fetch(workspace.own, "contact", missing) if missing else {}
    views = [
        _past(rows.get(id_) or decode_row(Contact, stored[id_]))  # type: ignore[call-overload]
        for id_ in wanted[:limit]
        if id_ in rows or id_ in stored
    ]
    return Reply(200, PastContacts(contacts=views, more=len(wanted) > limit))


async def _index(call: Call, customer: str) -> list[str]:
    """Ids of a customer's closed contacts, oldest first."""
    workspace = call.tenant.workspace
    prefix = after = index_id(customer)
    found: list[str] = []
    for _ in range(INDEX_PAGES):
        rows = await workspace.journal.list_archive(workspace.own, INDEX, prefix, after, INDEX_PAGE)
        found += [id_.removeprefix(prefix) for id_, _ in rows]
        if len(rows) < INDEX_PAGE:
            break
        after = rows[-1][0]
    return found


def _past(row: Contact) -> PastContact:
    return PastContact(
        id=row.id,
        channel=row.channel,
        state=row.state,
        direction=row.direction,
        outcome=row.outcome,
        disposition=row.disposition,
        queue=row.queue,
        agent=row.last_agent,
        created_at_us=row.created_at_us,
        closed_at_us=row.closed_at_us,
    )


ROUTES: tuple[Route, ...] = (
    Route("importHistory", "POST", "/v1/outcomes:import", import_history,
          roles("admin supervisor"), {200: HistoryView},
          f"Past attempts to reach customers, up to {MOST_ROWS}; each row is answered by itself. "
          "Customers who are not there are made. The same row twice is `known`: sending again is "
          "safe.", body=HistoryBody, audited="history.import", errors=(507,)),
    Route("listCustomerContacts", "GET", "/v1/customers/{id}/contacts", contacts, READERS,
          {200: PastContacts},
          "The customer's last contacts, newest first, open ones among them. An agent's own token: "
          "customers of the contacts they hold.",
          params=(Param("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
                        "Most rows."),), errors=(404,)),
)  # fmt: skip
