"""Simulated customers: they come when they are due, wait, give up, write, and are served."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import msgspec

from loadtest.contacts import TOPICS
from loadtest.drivers import answers, http
from loadtest.runs.measures import Mark, Measures
from loadtest.runs.profile import Customers, Span
from loadtest.runs.spans import drawn

CONNECTIONS = 96
"""Of each process and workspace, for submissions: so many that what waits, waits in the server."""
OTHERS = 192
"""For all else: a connection that brings nothing but submissions is served faster."""
GONE = frozenset({answers.LOST, 404, 409})
"""Answers that a customer may get who is too late; or the run has ended."""
AHEAD_S = 0.002
"""What is due within so much is sent now: a timer is no more exact."""


class Receipt(msgspec.Struct):
    """As much of an answer as is read."""

    contact: str = ""
    code: str = ""


_decode = msgspec.json.Decoder(Receipt).decode
_encode = msgspec.json.Encoder().encode


class Customer:
    """One who waits or is served."""

    __slots__ = ("connected", "contact", "giving_up", "kind", "mark", "written")

    def __init__(self, kind: Customers, mark: str) -> None:
        self.kind = kind
        self.mark = mark
        self.contact = ""
        self.connected = False
        self.giving_up: asyncio.TimerHandle | None = None
        self.written = 0


class Crowd:
    """All customers of one process."""

    def __init__(
        self,
        index: int,
        kinds: list[Customers],
        tokens: dict[str, str],
        *,
        port: int,
        measures: Measures,
        rng: random.Random,
    ) -> None:
        """`tokens`: by workspace."""
        self.acknowledged: list[tuple[str, str, str]] = []
        """Workspace, mark and contact of each that the server took."""
        self._index = index
        self._kinds = kinds
        self._shares = [kind.share for kind in kinds]
        self._tokens = tokens
        self._clients = {name: answers.Client(port, CONNECTIONS) for name in tokens}
        self._others = {name: answers.Client(port, OTHERS) for name in tokens}
        self._measures = measures
        self._rng = rng
        self._there: dict[str, Customer] = {}
        """By mark."""
        self._number = 0
        self._again = 0.0
        """Until when each that is over is followed by another (closed loop)."""
        self.over = 0
        self._closed = False

    async def open(self) -> None:
        """Connect."""
        for client in self._all():
            await client.open()

    def close(self) -> None:
        """Go."""
        self._closed = True
        for client in self._all():
            client.close()

    def _all(self) -> list[answers.Client]:
        return [*self._clients.values(), *self._others.values()]

    @property
    def unanswered(self) -> int:
        """Requests without an answer."""
        return sum(client.waiting for client in self._all())

    async def come(self, start_s: float, moments: Iterator[tuple[float, str]]) -> None:
        """The open loop: each when they are due, whatever became of those before.

        A moment may name the channel; else, and where nobody comes on that one, it is drawn.
        """
        loop = asyncio.get_running_loop()
        for at_s, channel in moments:
            due_s = start_s + at_s
            wait_s = due_s - perf_counter()
            if wait_s > AHEAD_S:
                await asyncio.sleep(wait_s)
            elif self._number % 64 == 0:
                await asyncio.sleep(0)  # behind: answers are read all the same
            self._submit(due_s, loop, channel)

    async def stay(self, seconds: float, at_once: int) -> int:
        """The closed loop: so many at a time. How many were served in its second half."""
        loop = asyncio.get_running_loop()
        began_s = perf_counter()
        self._again = began_s + seconds
        for _ in range(at_once):
            self._submit(perf_counter(), loop)
        await asyncio.sleep(seconds / 2)
        before = self.over
        await asyncio.sleep(max(0.0, began_s + seconds - perf_counter()))
        return self.over - before

    def told(self, what: str, mark: str, reservation: str) -> None:
        """An agent has taken a contact, can be rung for it, or is done with it."""
        customer = self._there.get(mark)
        if what == "ringing":
            if customer is not None:
                self._later(customer.kind.connect, self._put_through, customer, reservation)
            return
        if what == "over":
            self._there.pop(mark, None)
            self.over += 1
            if perf_counter() < self._again:
                self._submit(perf_counter(), asyncio.get_running_loop())
        if customer is None:
            return
        if customer.giving_up is not None:
            customer.giving_up.cancel()
            customer.giving_up = None
        customer.connected = what == "connected"
        if customer.connected and customer.kind.messages:
            self._later(customer.kind.reply, self._write, customer)

    # --- coming -------------------------------------------------------------------------------

    def _kind(self, channel: str) -> Customers:
        kinds = [kind for kind in self._kinds if kind.channel == channel] if channel else []
        if kinds:
            return self._rng.choices(kinds, [kind.share for kind in kinds])[0]
        if len(self._kinds) == 1:
            return self._kinds[0]
        return self._rng.choices(self._kinds, self._shares)[0]

    def _submit(self, due_s: float, loop: asyncio.AbstractEventLoop, channel: str = "") -> None:
        measures = self._measures
        kind = self._kind(channel)
        self._number += 1
        customer = Customer(kind, Mark.make(self._index, self._number, due_s))
        body = _encode(self._body(kind, customer.mark))
        request = http.request("/v1/contacts", body, self._tokens[kind.workspace])
        measures.count("due", at_s=due_s)
        measures.record("late", due_s, perf_counter())

        def answered(status: int, text: bytes) -> None:
            now_s = perf_counter()
            if status in {200, 201}:
                measures.record("durable", due_s, now_s)
                measures.count("taken", at_s=due_s)
                self._taken(customer, _decode(text).contact, loop)
            elif status == answers.LOST:
                measures.count("lost_connection", at_s=due_s)
            else:
                self._refused(kind, status, text, due_s, now_s)

        self._clients[kind.workspace].send(request, answered)

    def _refused(
        self, kind: Customers, status: int, text: bytes, due_s: float, now_s: float
    ) -> None:
        measures = self._measures
        if status == 503 and _decode(text).code == "overloaded":
            measures.record("refused", due_s, now_s)
            measures.count("shed", at_s=due_s)
            measures.count(f"shed.{kind.channel}", at_s=due_s)
        else:
            measures.count(f"refused.{status}", at_s=due_s)
        if due_s < self._again:  # a closed loop goes on with another
            loop = asyncio.get_running_loop()
            loop.call_later(0.05, lambda: self._submit(perf_counter(), loop))

    def _body(self, kind: Customers, mark: str) -> dict[str, Any]:
        requirements = dict(kind.requirements)
        if kind.one_skill_of:
            requirements[self._rng.choice(kind.one_skill_of)] = 1
        number = self._number
        address = f"+4915{self._index}{number:08d}"
        if kind.channel == "email":
            address = f"customer{number}.{self._index}@example.com"
        body: dict[str, Any] = {
            "channel": kind.channel,
            "entry_point": kind.entry_point,
            "external_id": mark,
            "peer": {"address": address, "name": f"Customer {number:08d}"},
            "attributes": {"topic": TOPICS[number % len(TOPICS)], **kind.attributes},
        }
        if requirements:
            body["requirements"] = requirements
        return body

    def _taken(self, customer: Customer, contact: str, loop: asyncio.AbstractEventLoop) -> None:
        self.acknowledged.append((customer.kind.workspace, customer.mark, contact))
        customer.contact = contact
        self._there[customer.mark] = customer
        if customer.kind.patience is not None:
            wait_s = drawn(customer.kind.patience, self._rng)
            customer.giving_up = loop.call_later(
                wait_s, self._give_up, perf_counter() + wait_s, customer
            )

    # --- waiting and being served ----------------------------------------------------------------

    def _give_up(self, due_s: float, customer: Customer) -> None:
        measures = self._measures
        self._there.pop(customer.mark, None)
        measures.count("gave_up", at_s=due_s)

        def answered(status: int, _: bytes) -> None:
            if status == 200:
                measures.record("abandon", due_s, perf_counter())
            elif status not in GONE:  # an agent was faster: both are true
                measures.count(f"abandon_refused.{status}", at_s=due_s)

        self._post(customer, f"/v1/contacts/{customer.contact}:abandon", b"{}", answered)

    def _write(self, due_s: float, customer: Customer) -> None:
        if not customer.connected or customer.written >= customer.kind.messages:
            return
        customer.written += 1
        text = Mark.make(self._index, self._number, due_s)
        id_ = f"n-{customer.mark}-{customer.written}"
        body = _encode({"id": id_, "text": text, "direction": "from_customer"})

        def answered(status: int, _: bytes) -> None:
            if status == 200:
                self._measures.count("written", at_s=due_s)
                self._later(customer.kind.reply, self._write, customer)
            elif status == 503:  # messages of customers give way, too
                self._measures.count("message_shed", at_s=due_s)
            elif status not in GONE:  # closed meanwhile
                self._measures.count(f"message_refused.{status}", at_s=due_s)

        self._post(customer, f"/v1/contacts/{customer.contact}/messages", body, answered)

    def _put_through(self, due_s: float, customer: Customer, reservation: str) -> None:
        """As the exchange would: the agent's phone was answered."""

        def answered(status: int, _: bytes) -> None:
            if status == 200:
                self._measures.record("put_through", due_s, perf_counter())
            elif status not in GONE:  # hung up meanwhile
                self._measures.count(f"put_through_refused.{status}", at_s=due_s)

        self._post(customer, f"/v1/reservations/{reservation}:connected", b"{}", answered)

    def _post(self, customer: Customer, path: str, body: bytes, answered: answers.Answered) -> None:
        """Said again when the connection breaks: all of these may be said twice."""
        name = customer.kind.workspace
        request = http.request(path, body, self._tokens[name])

        def heard(status: int, text: bytes) -> None:
            if status == answers.LOST and not self._closed:
                self._measures.count("lost_connection")
                asyncio.get_running_loop().call_later(0.1, send)
            else:
                answered(status, text)

        def send() -> None:
            self._others[name].send(request, heard)

        send()

    def _later(self, span: Span, do: Any, *about: Any) -> None:
        wait_s = drawn(span, self._rng)
        due_s = perf_counter() + wait_s
        asyncio.get_running_loop().call_later(wait_s, do, due_s, *about)
