"""Many customers in the embedded store: what a look-up and a change cost, and how large one is.

The store is filled row by row, sealed as always; look-ups and changes then go the ordinary way,
through the customer book and the workspace's loop. `python -m loadtest customers --count N`.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from loadtest.report import Report, percentile, progress
from router.core import commands as c
from router.core import customer_commands as cc
from router.core.customer_model import Customer, Identity
from router.core.events import AuditRecorded
from router.core.model import ContactId, QueueId
from router.core.permission_facts import Consent, ConsentState, LedgerEntry
from router.core.policy import Policy, Profile, ProfileQueue, Queue, default_channels
from router.journal import AppendResult, ArchiveWrite, Commit, Journal, KeyStore, Ownership
from router.journal.codec import encode_event, encode_row
from router.journal.keys import BlockKeys
from router.journal.keys_file import SqliteBlocks
from router.journal.seal import Sealer
from router.journal.sqlite import SqliteJournal
from router.preference.outcomes import Outcome
from router.preference.profile import Endpoint, wall_hour
from router.preference.profile import Profile as Learned
from router.runtime.clock import SystemClock
from router.runtime.customer_rows import Held, stored
from router.runtime.frame import Turn
from router.runtime.identities import Identities, derived_id
from router.runtime.inbox import Input
from router.runtime.loop import Workspace
from router.runtime.metrics import Metrics

SECRET = b"secret of the load test, 32 bytes"
NAME = "load"
ROWS_A_COMMIT = 2_000
DAY_US = 86_400_000_000
PROFILES = 200
LOOKUPS = 20_000
CHANGES = 8_192


def number_of(place: int) -> str:
    """The phone number of a customer."""
    return f"+49151{place:08}"


def profiles(now_us: int, rng: random.Random) -> list[bytes]:
    """Learned profiles as they are after some attempts."""
    found: list[bytes] = []
    for _ in range(PROFILES):
        learned = Learned()
        for _ in range(rng.randrange(4, 40)):
            at_us = now_us - rng.randrange(200) * DAY_US
            outcome = rng.choice((Outcome.ANSWERED, Outcome.IGNORED, Outcome.REPLIED))
            learned.record_attempt(Endpoint(rng.randrange(3), 1), wall_hour(at_us, 60), outcome)
        found.append(learned.encode())
    return found


def customer(place: int, identities: Identities, now_us: int, profile: bytes) -> Customer:
    """One who has been with us for a while: some contacts, consent, a learned profile."""
    number = number_of(place)
    hash_ = identities.hash("phone", number)
    return Customer(
        id=derived_id(hash_),
        identities=(Identity(kind="phone", hash=hash_, address=number, added_at_us=now_us),),
        name=f"Customer {place:08} of the load test",
        attributes={"tier": "gold", "city": "Bielefeld", "since": 2019, "newsletter": True},
        segment="loyal" if place % 4 == 0 else "",
        language="de",
        consents=(
            Consent(state=ConsentState.GIVEN, at_us=now_us, purpose="marketing", source="web form"),
        ),
        ledger=tuple(
            LedgerEntry(
                now_us - day * DAY_US, "sms", hash_, "service", f"c{place:x}/{day}", sent=True
            )
            for day in (3, 1)
        ),
        profile=profile,
        contacts=7,
        last_contact_at_us=now_us,
        last_channel="sms",
        last_agent="ana",
        created_at_us=now_us,
        version=2,
    )


async def run(count: int) -> Report:
    """Fill, look up, change."""
    report = Report(f"Customers: {count:,} in the embedded store")
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory)
        keys = await BlockKeys.open(SqliteBlocks(data))
        journal = SqliteJournal(data, durability="process")
        try:
            await _fill(report, data, journal, keys, count)
            await _measure(report, journal, keys, count)
        finally:
            await journal.close()
            await keys.close()
    return report


async def _fill(report: Report, data: Path, journal: Journal, keys: KeyStore, count: int) -> None:
    own = await journal.acquire(NAME)
    sealer, rng = Sealer(keys, SECRET), random.Random(7)
    identities = Identities(sealer)
    identities.use(_policy())
    now_us = SystemClock().now_us()
    learned = profiles(now_us, rng)
    plain = sealed = 0
    began = time.perf_counter()
    seq = own.seq
    for first in range(0, count, ROWS_A_COMMIT):
        rows: list[ArchiveWrite] = []
        for place in range(first, min(count, first + ROWS_A_COMMIT)):
            row = customer(place, identities, now_us, learned[place % PROFILES])
            held = Held(row, keys.new_key()[0])
            rows.append(stored(sealer, held, now_us))
            plain += len(encode_row(row))
            sealed += len(rows[-1].data)
        seq += 1
        await _commit(journal, own, seq, now_us, rows)
        await keys.refill()
        if first % (50 * ROWS_A_COMMIT) == 0:
            progress(f"{first:,} of {count:,} customers")
    took_s = time.perf_counter() - began
    await journal.release(own)
    size = await asyncio.to_thread(_size, data)
    report.add("bytes of a row", plain / count, "bytes", note="as msgpack, before it is sealed")
    report.add("bytes of a sealed row", sealed / count, "bytes")
    report.add("bytes on disk", size / count, "bytes", note="a customer, with index")
    report.add("filled", count / took_s, "rows/s")


def _size(data: Path) -> int:
    return sum(file.stat().st_size for file in data.glob("ws-*"))


async def _commit(
    journal: Journal, own: Ownership, seq: int, now_us: int, rows: list[ArchiveWrite]
) -> None:
    event = encode_event(AuditRecorded(at_us=now_us, action="loadtest.fill"))
    result = await journal.append(own, Commit(seq, now_us, [event], archive=rows))
    assert result is AppendResult.OK, result


async def _measure(report: Report, journal: Journal, keys: KeyStore, count: int) -> None:
    workspace = Workspace(
        NAME,
        _policy(),
        journal=journal,
        keys=keys,
        secret=SECRET,
        clock=SystemClock(),
        metrics=Metrics().workspace(NAME),
    )
    workspace.perform = lambda id_, effect: None
    await workspace.start()
    try:
        began = time.perf_counter()
        await workspace.customers.known.load(workspace)
        took_s = time.perf_counter() - began
        report.add("filter read at start", took_s, "s", note="beside everything else")
        await _lookups(report, workspace, count)
        await _changes(report, workspace, keys, count)
        await _arrivals(report, workspace, count)
    finally:
        await workspace.stop()


async def _lookups(report: Report, workspace: Workspace, count: int) -> None:
    book, rng = workspace.customers, random.Random(11)
    places = [rng.randrange(count) for _ in range(LOOKUPS)]

    async def found(place: int) -> None:
        row = await book.find("phone", number_of(place))
        assert row is not None

    async def unknown(place: int) -> None:
        assert await book.find("phone", f"+1212{place:09}") is None

    times = await _timed(found, places)
    report.add("look-up by number, p50", percentile(times, 0.50), "µs")
    report.add("look-up by number, p99", percentile(times, 0.99), "µs")
    times = await _timed(unknown, places)
    report.add("look-up of nobody, p50", percentile(times, 0.50), "µs")
    report.add("look-up of nobody, p99", percentile(times, 0.99), "µs")


async def _timed(step: Callable[[int], Awaitable[None]], places: list[int]) -> list[float]:
    times: list[float] = []
    for place in places:
        began = time.perf_counter()
        await step(place)
        times.append((time.perf_counter() - began) * 1e6)
    return times


async def _changes(report: Report, workspace: Workspace, keys: KeyStore, count: int) -> None:
    """Consent given by random customers, as fast as the loop takes it."""
    identities, rng = workspace.customers.identities, random.Random(13)
    ids = [
        derived_id(identities.hash("phone", number_of(rng.randrange(count))))
        for _ in range(CHANGES)
    ]
    began = time.perf_counter()
    for first in range(0, CHANGES, 512):
        commands = [
            cc.ChangeConsent(customer=id_, state=ConsentState.GIVEN, channel="sms", source="test")
            for id_ in ids[first : first + 512]
        ]
        await asyncio.gather(*(workspace.put(command) for command in commands))
    took_us = (time.perf_counter() - began) * 1e6 / CHANGES
    report.add("a change, all told", took_us, "µs", note="row read, opened, sealed, committed")


async def _arrivals(report: Report, workspace: Workspace, count: int) -> None:
    """What the book adds to a submission, of somebody unknown and of somebody in memory."""
    book, rng = workspace.customers, random.Random(17)
    strangers = [f"+1212{number:09}" for number in range(512)]
    friends = [number_of(rng.randrange(count)) for _ in range(512)]
    for name, numbers in (("unknown", strangers), ("known, in memory", friends)):
        batch = [_input(workspace, number) for number in numbers]
        best_us = float("inf")
        for _ in range(20):
            turn = Turn(1, workspace.veil)
            began = time.perf_counter()
            await book.bring(batch, turn)
            for item in batch:
                book.prepare(item.command)
            best_us = min(best_us, (time.perf_counter() - began) * 1e6 / len(batch))
        report.add(f"added to a submission: {name}", best_us, "µs")


def _input(workspace: Workspace, number: str) -> Input:
    who, peer_key = workspace.customers.identities.peer("sms", number, "+49302")
    command = c.SubmitContact(
        contact=ContactId(number), channel="sms", queue=QueueId("care"), customer=who,
        peer_key=peer_key,
    )  # fmt: skip
    return Input(command, (), (), 0, asyncio.get_running_loop().create_future())


def _policy() -> Policy:
    care = QueueId("care")
    return Policy(
        version="load",
        channels=default_channels(),
        queues={care: Queue(id=care)},
        profiles={"care": Profile(id="care", queues=(ProfileQueue(queue=care),))},
        country="DE",
    )
