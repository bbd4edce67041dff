"""Who is refused, by how long the line is expected to take, and who comes first."""

from __future__ import annotations

import asyncio

from router.core import commands as c
from router.core.model import ReservationId
from router.runtime.inbox import ARRIVALS, SHED_AFTER_US, Inbox, Input
from tests.runtime.test_loop import submit

LATER, VOICE, NEVER = 3, 1, 0
MS = 1_000


def arrival(inbox: Inbox, now_us: int, name: str = "c1", shed: int = LATER) -> Input:
    made = Input(submit(name), (), (), now_us, asyncio.Future())
    inbox.put(made, shed)
    return made


def accept(inbox: Inbox, now_us: int) -> Input:
    command = c.AcceptOffer(reservation=ReservationId("r1"))
    made = Input(command, (), (), now_us, asyncio.Future())
    inbox.put(made, NEVER)
    return made


async def test_a_burst_into_an_idle_inbox_is_taken_whole() -> None:
    inbox = Inbox(4096)
    for n in range(2000):
        assert not inbox.refuses(LATER, 1_000_000), n
        arrival(inbox, 1_000_000)


async def test_who_would_be_taken_too_late_is_refused_before_anybody_has_waited_so_long() -> None:
    inbox = Inbox(4096)
    now_us = 1_000_000
    for _ in range(2000):
        arrival(inbox, now_us)
    while len(inbox) > 1000:  # a machine that takes 200 ms for what it takes in one go
        inbox.take(512, now_us)
        now_us += 200 * MS
    waits_us = len(inbox) * 200 * MS / ARRIVALS
    assert SHED_AFTER_US[LATER] > waits_us
    while len(inbox):  # those who wait have waited no longer than is allowed
        inbox.take(512, now_us)
        for _ in range(ARRIVALS):
            arrival(inbox, now_us)
        now_us += 200 * MS
        if inbox.refuses(LATER, now_us):
            break
        for _ in range(200):
            arrival(inbox, now_us)
    waits_us = len(inbox) * 200 * MS / ARRIVALS
    assert 0.8 * SHED_AFTER_US[LATER] < waits_us < 1.5 * SHED_AFTER_US[LATER]
    assert not inbox.refuses(VOICE, now_us), "calls may expect to wait longer"
    assert not inbox.refuses(NEVER, now_us)


async def test_the_rush_is_forgotten_once_nobody_waits() -> None:
    inbox = Inbox(4096)
    for n in range(10):
        for _ in range(ARRIVALS + 60):
            arrival(inbox, n * 1_000_000)
        inbox.take(512, n * 1_000_000)
    assert inbox.refuses(LATER, 10_000_000)
    while len(inbox):
        inbox.take(512, 10_000_000)
    for n in range(2000):
        assert not inbox.refuses(LATER, 10_000_000), n
        arrival(inbox, 10_000_000)


async def test_what_is_put_back_comes_first_in_its_own_line() -> None:
    inbox = Inbox(4096)
    first, second = arrival(inbox, 1, "c1"), arrival(inbox, 1, "c2")
    batch = inbox.take(512, 1)
    assert batch == [first, second]
    late, third = accept(inbox, 2), arrival(inbox, 2, "c3")
    inbox.put_back(batch)
    assert inbox.take(512, 2) == [late, first, second, third], "an agent need not wait for them"
    first.failures = 1
    inbox.put_back([first, second])
    assert inbox.take(512, 3) == [first], "what broke the engine is tried alone"
    assert inbox.take(512, 3) == [second]
