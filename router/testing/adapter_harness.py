"""What adapter tests need: a router that records and can be told to fail, and a harness to fill in.

`conformance.py` has the suites that run on it.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, NamedTuple

from router.channel import (
    Address,
    Channel,
    Delivery,
    Effect,
    Line,
    NewContact,
    Receipt,
    Refused,
    RouteAnswer,
    RouteRequest,
    Task,
    Teller,
)

TEXT_BYTES = 65_536
"""Longest message that the router takes, in bytes of UTF-8."""


class Signal:
    """Wait until something holds, woken by whoever may have changed it."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Something happened: look again."""
        self._changed.set()

    async def until(self, holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Until `holds()`; raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not holds():
                self._changed.clear()
                await self._changed.wait()


class Said(NamedTuple):
    """One call that the adapter made."""

    call: str
    of: str
    """External id, or reservation."""
    args: tuple[Any, ...]


class RouterDouble:
    """The router as an adapter sees it; scripted with `fail`, read through `said`."""

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self.calls: list[Said] = []
        self.contacts: dict[str, NewContact] = {}
        """Open contacts by external id."""
        self.messages: dict[str, str] = {}
        """Text by message id, in the order in which they came."""
        self.lines: defaultdict[str, list[Line]] = defaultdict(list)
        """What was said, by external id; tests add what agents wrote."""
        self.contact_states: dict[str, str] = {}
        """State by external id, where it is not ``queued``."""
        self.states: list[str] = []
        self.details: list[str] = []
        """What was said with each state."""
        self.taken_as = Receipt(contact="", state="queued", position=3, wait_us=90_000_000)
        self.gates: dict[str, asyncio.Event] = {}
        """Calls of this name wait here, after they were noted."""
        self._errors: defaultdict[str, deque[Exception]] = defaultdict(deque)

    def fail(self, call: str, *errors: Exception) -> None:
        """The next calls of this name raise these, one each."""
        self._errors[call].extend(errors)

    def said(self, call: str) -> list[Said]:
        """The calls of this name, in order."""
        return [said for said in self.calls if said.call == call]

    def begin(self, contact: NewContact, teller: Teller) -> bool:
        """Each submission is to be waited for, here."""
        return False

    async def submit(self, contact: NewContact) -> Receipt:
        """See `Router.submit`."""
        return await self._take("submit", contact)

    async def message(self, contact: NewContact) -> Receipt:
        """See `Router.message`. One that begins a contact fails as told to a `submit`, too."""
        if self._joined(contact) not in self.contacts:
            self._errors["message"].extendleft(self._errors.pop("submit", ()))
        return await self._take("message", contact)

    async def left(self, external_id: str, reason: str = "") -> None:
        """See `Router.left`."""
        await self._note("left", external_id, reason)
        self.contacts.pop(external_id, None)

    async def connected(self, reservation: str) -> None:
        """See `Router.connected`."""
        await self._note("connected", reservation)

    async def failed(self, reservation: str, reason: str, *, busy: bool = False) -> None:
        """See `Router.failed`."""
        await self._note("failed", reservation, reason, busy)

    async def ended(self, external_id: str, reason: str = "") -> None:
        """See `Router.ended`."""
        await self._note("ended", external_id, reason)
        self.contacts.pop(external_id, None)

    async def hung_up(self, reservation: str, reason: str = "") -> None:
        """See `Router.hung_up`."""
        await self._note("hung_up", reservation, reason)

    async def monitor_ended(self, monitor: str, reason: str = "") -> None:
        """See `Router.monitor_ended`."""
        await self._note("monitor_ended", monitor, reason)

    async def recording_ended(self, recording: str, reason: str = "") -> None:
        """See `Router.recording_ended`."""
        await self._note("recording_ended", recording, reason)

    async def collected(
        self, external_id: str, name: str, value: str, *, ask: str = "", timed_out: bool = False
    ) -> None:
        """See `Router.collected`."""
        await self._note("collected", external_id, name, value, ask, timed_out)

    async def attach(
        self, data: bytes, *, name: str, kind: str = "", role: str = "attachment"
    ) -> dict[str, Any]:
        """See `Router.attach`."""
        await self._note("attach", name, data, kind, role)
        return {"id": f"f{len(self.calls)}", "name": name, "size": len(data), "role": role}

    async def discard(self, attachment: dict[str, Any]) -> None:
        """See `Router.discard`."""
        await self._note("discard", str(attachment.get("id", "")))

    async def receipt(self, contact: str, message: str, state: Delivery, detail: str = "") -> None:
        """See `Router.receipt`."""
        await self._note("receipt", contact, message, state, detail)

    async def started(self, contact: str, external_id: str) -> None:
        """See `Router.started`."""
        await self._note("started", external_id, contact)

    async def route(self, request: RouteRequest) -> RouteAnswer:
        """See `Router.route`."""
        await self._note("route", request.request)
        return RouteAnswer(queue="care", open=True, wait_us=-1, position=1, eligible=0)

    async def live(self, external_ids: list[str]) -> None:
        """See `Router.live`."""
        await self._note("live", "", *external_ids)

    async def open(self) -> list[tuple[str, str]]:
        """See `Router.open`."""
        await self._note("open", "")
        return [(id_, self.contact_states.get(id_, "queued")) for id_ in self.contacts]

    async def history(self, external_id: str, limit: int = 50) -> list[Line]:
        """See `Router.history`."""
        await self._note("history", external_id, limit)
        if external_id not in self.lines:
            raise Refused("not_found", f"no contact {external_id!r}")
        return self.lines[external_id][-limit:]

    def typing(self, external_id: str) -> None:
        """See `Router.typing`."""
        self.calls.append(Said("typing", external_id, ()))
        self.signal.notify()

    def state(self, state: str, detail: str = "") -> None:
        """See `Router.state`."""
        assert state in ("starting", "up", "degraded", "down"), f"no such state: {state!r}"
        self.states.append(state)
        self.details.append(detail)
        self.signal.notify()

    async def _take(self, call: str, contact: NewContact) -> Receipt:
        message = contact.message
        if message is not None and len(message.text.encode()) > TEXT_BYTES:
            raise Refused("too_long", f"a message has at most {TEXT_BYTES} bytes")
        await self._note(call, contact.external_id, contact)
        external_id = contact.external_id if call == "submit" else self._joined(contact)
        if message is not None and message.id not in self.messages:
            self.messages[message.id] = message.text
            number = len(self.messages)
            line = Line(
                id=f"m{number}",
                author="customer",
                at_us=number,
                text=message.text,
                backend_id=message.id,
            )
            self.lines[external_id].append(line)
        created = external_id not in self.contacts
        self.contacts.setdefault(external_id, contact)
        self.signal.notify()
        return Receipt(
            contact=f"c-{contact.external_id}",
            state=self.taken_as.state,
            created=created,
            position=self.taken_as.position,
            wait_us=self.taken_as.wait_us,
        )

    def _joined(self, contact: NewContact) -> str:
        """The external id of the contact open between these addresses; its own if none is."""
        between = (contact.customer.address, contact.to)
        for external_id, known in self.contacts.items():
            if contact.customer.address and (known.customer.address, known.to) == between:
                return external_id
        return contact.external_id

    async def _note(self, call: str, of: str, *args: Any) -> None:
        self.calls.append(Said(call, of, args))
        self.signal.notify()
        await asyncio.sleep(0)  # as the real one: never at once
        if call in self.gates:
            await self.gates[call].wait()
        if self._errors[call]:
            raise self._errors[call].popleft()


class Harness(ABC):
    """A running adapter with customers that can be told what to do."""

    channel: Channel
    router: RouterDouble
    signal: Signal

    @abstractmethod
    async def arrive(self, who: str, text: str = "hello", *, again: bool = False) -> str:
        """A customer begins a contact; `again`: the backend says the same thing once more.

        Returns what the customer is told when it was not taken, and empty when it was.
        """

    @abstractmethod
    async def write(self, who: str, text: str, message_id: str) -> str:
        """The customer writes in the open contact; returns as `arrive`."""

    @abstractmethod
    async def leave(self, who: str) -> None:
        """The customer goes while waiting."""

    @abstractmethod
    def read(self, who: str) -> list[str]:
        """What the customer was told, by agents and by the router, oldest first."""

    @abstractmethod
    async def stop(self) -> None:
        """Cancel `run` and wait for its end."""

    @abstractmethod
    async def start(self) -> None:
        """Run (again), on the same object; returns when it serves."""

    @abstractmethod
    async def stall(self) -> int:
        """From now on the backend takes nothing; returns how many effects the adapter may hold."""

    @abstractmethod
    def held(self) -> int:
        """How many effects the adapter holds now."""

    def external_id(self, who: str) -> str:
        """The external id under which this customer's contact came last."""
        said = [s for s in self.router.calls if s.call in ("submit", "message")]
        ids: list[str] = [s.of for s in said if self.is_of(who, s.args[0].customer)]
        return ids[-1]

    def is_of(self, who: str, customer: Address) -> bool:
        """Whether the router's customer is this one."""
        return customer.address == who

    def task(self, who: str, effect: Effect, *, id_: str = "e1", epoch: int = 1, text: str = "",
             first_attempt: bool = True) -> Task:  # fmt: skip
        """An effect for this customer's contact."""
        said = [s for s in self.router.calls if s.call in ("submit", "message")]
        external_id = self.external_id(who)
        contact: NewContact = next(s.args[0] for s in said if s.of == external_id)
        return Task(
            id=id_, epoch=epoch, workspace="main", effect=effect, external_id=external_id,
            customer=contact.customer, our_address=contact.to, text=text,
            first_attempt=first_attempt,
        )  # fmt: skip


class ThreadHarness(Harness):
    """A harness whose customers see again what was said."""

    @abstractmethod
    async def renew(self) -> None:
        """The process was started again: the adapter remembers nothing."""

    @abstractmethod
    async def reread(self, who: str) -> list[str]:
        """The customer is back; the texts of their conversation, oldest first."""


class AskingHarness(Harness):
    """A harness whose customers can be asked something."""

    @abstractmethod
    def asked(self, who: str) -> list[str]:
        """The prompts that this customer was shown, oldest first."""

    @abstractmethod
    async def answer(self, who: str, value: str) -> None:
        """The customer chooses, presses or picks; returns when the adapter has taken it."""


class TypingHarness(Harness):
    """A harness whose customers see that the agent types."""

    @abstractmethod
    def typed(self, who: str) -> int:
        """How often this customer was shown it; `signal` is notified when that changes."""


class FailingHarness(Harness):
    """A harness whose customers and endpoints provoke failures."""

    @abstractmethod
    def troubled(self, word: str) -> str:
        """An address (and endpoint) that provokes ``fail``, ``unknown``, ``lost`` or ``busy``."""

    @abstractmethod
    async def back(self) -> None:
        """After ``lost``: the supervisor has run it again and it serves."""


class LiveHarness(Harness):
    """A harness whose backend can lose its connection and come back."""

    @abstractmethod
    async def break_connection(self) -> None:
        """The connection to the backend breaks."""

    @abstractmethod
    async def vanish(self, who: str) -> None:
        """While it is broken: this customer goes, and nobody hears of it."""

    @abstractmethod
    async def restore(self) -> None:
        """The connection is back."""
