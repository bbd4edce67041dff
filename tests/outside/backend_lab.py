"""A real server, a real backend that is killed under traffic, and who counts at both ends.

Customers write through the backend and read what it delivers; clerks answer at their desks. Both
sides of the backend are real, nothing of the router's code is used. What must hold in the end:

- what the backend handed over and the router took is there exactly once;
- no answer arrives twice;
- an answer that the router calls done has arrived; one that has not arrived is called failed or
  unknown, never passed over in silence;
- while the backend was away ``/v1/health`` and ``/metrics`` said so, and later that it is back.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from loadtest.server import Server
from tests.outside.clerks import LOST, MARK, Clerk, answer_to

CLERKS = 4
PATIENCE_S = 2.0
"""How long a customer waits for an answer before they write again."""
NOTICE_S = 30.0
"""How soon the server must have seen that its backend went, or is back."""
DRAIN_S = 60.0


class Backend(Protocol):
    """A backend with its customers, as the lab sees it."""

    adapter: str
    """Name of the adapter in the configuration."""

    def config(self, port: int) -> str:
        """YAML: ``adapters``, and ``entry_points`` to queue ``desk``. `port`: the router's."""

    async def start(self) -> None:
        """Start it (again), with what it had kept."""

    async def kill(self) -> None:
        """Kill -9."""

    async def send(self, customer: int, text: str) -> None:
        """A customer writes; returns when the backend has it. Raises one of LOST: it is away."""

    def taken(self) -> Counter[str]:
        """Marks of messages that the router has acknowledged, as counted at the backend."""

    def received(self) -> list[str]:
        """Texts that customers have got, with every repetition."""

    async def close(self) -> None:
        """Nothing is left running."""


CONFIG = """
server:
  port: PORT
  durability: disk
  limits: {requests_per_s: 100000, requests_burst: 1000000, connections_per_token: 100}
queues:
  desk: {offer: {timeout: 5s}, decline: {on_miss: cool_down, cool_down: 200ms}, wrap_up: 0s}
profiles:
  all: {desk: 1}
agents:
""" + "".join(f"  clerk{number}: {{profile: all}}\n" for number in range(CLERKS))


class Lab:
    """One run."""

    def __init__(self, backend: Backend, directory: Path, seed: int) -> None:
        self.backend = backend
        self.wrong: list[str] = []
        self.written: list[str] = []
        """Marks that customers could hand to the backend."""
        self.server = Server(directory, CONFIG)
        config = self.server.config
        config.write_text(config.read_text() + backend.config(self.server.port))
        self._rng = random.Random(seed)
        self._clerks: list[Clerk] = []

    async def run(self, customers: int = 10, each: int = 12) -> str:
        """Traffic, with two deaths of the backend and one of the router in it; a line about it."""
        loop = asyncio.get_running_loop()
        await self.backend.start()
        robots: list[asyncio.Task[None]] = []
        try:
            await self.server.make_admin()
            await self.server.start()
            await self._seen(is_up=True)
            for number in range(CLERKS):
                token = await self.server.token("agent", agent=f"clerk{number}")
                clerk = Clerk(self.server, token, random.Random(self._rng.random()))
                self._clerks.append(clerk)
                robots.append(loop.create_task(clerk.run()))
            writing = [loop.create_task(self._write(c, each)) for c in range(customers)]
            total = customers * each
            await self._until(lambda: len(self.written) >= total // 4, "a quarter is written")
            await self._kill_backend()
            await self._until(lambda: len(self.written) >= total // 2, "half is written")
            await self.server.kill()
            await self.server.start()
            await self._until(lambda: len(self.written) >= total * 3 // 4, "three quarters are")
            await self._kill_backend()
            await asyncio.gather(*writing)
            await self._drain()
            return await self._judge()
        finally:
            for robot in robots:
                robot.cancel()
            await asyncio.gather(*robots, return_exceptions=True)
            await self.server.close()
            await self.backend.close()

    async def _write(self, customer: int, each: int) -> None:
        for number in range(each):
            mark = f"q{customer:03d}x{number:03d}"
            while True:
                try:
                    await self.backend.send(customer, f"Good day, a question: {mark}")
                    break
                except LOST:
                    await asyncio.sleep(0.1)  # another process: only asking tells
            self.written.append(mark)
            answer = answer_to(mark)
            try:
                async with asyncio.timeout(PATIENCE_S * (0.2 + self._rng.random())):
                    while not any(answer in text for text in self.backend.received()):  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
            except TimeoutError:
                continue

    async def _kill_backend(self) -> None:
        await self.backend.kill()
        await self._seen(is_up=False)
        await self.backend.start()
        await self._seen(is_up=True)

    async def _seen(self, is_up: bool) -> None:
        """The server says in its health and its metrics whether the adapter serves."""
        name = self.backend.adapter
        sample = f'adapter="{name}"'
        found: object = None
        try:
            async with asyncio.timeout(NOTICE_S):
                while True:
                    health = await self.server.good("GET", "/v1/health")
                    state = next(
                        a["state"] for a in health["adapters"]["main"] if a["name"] == name
                    )
                    metrics = await self.server.metrics()
                    gauge = [metrics[key] for key in metrics
                             if key.startswith("router_adapter_up") and sample in key]  # fmt: skip
                    found = state, gauge
                    if (state == "up") is is_up and gauge == [float(state in {"up", "degraded"})]:
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            word = "back" if is_up else "gone"
            self.wrong.append(
                f"{NOTICE_S:.0f} s later it is not seen that {name} is {word}: {found}"
            )

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(DRAIN_S):
                while not holds():  # noqa: ASYNC110 - the customers tell
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not within {DRAIN_S:.0f} s: {what}; {self._counts()}") from None

    async def _drain(self) -> None:
        """Nobody waits for an answer, and each answer's fate is known or seen."""
        try:
            async with asyncio.timeout(DRAIN_S):
                while True:
                    # What came in while its clerk completed the contact is never answered.
                    waiting = await self._stored("")
                    settled = await self._settled()
                    got = {m for text in self.backend.received() for m in MARK.findall(text)}
                    sent = self._sent()
                    if set(waiting) <= set(sent) and all(
                        mark in got or settled.get(id_, "done") != "done"
                        for mark, id_ in sent.items()
                    ):
                        return
                    await asyncio.sleep(0.3)
        except TimeoutError:
            pass  # the judge says what is missing

    def _sent(self) -> dict[str, str]:
        return {mark: id_ for clerk in self._clerks for id_, mark in clerk.sent.items()}

    async def _settled(self) -> dict[str, str]:
        """What the event stream says of each message: its last result, receipts aside."""
        headers = {"Authorization": f"Bearer {self.server.admin}", "Last-Event-ID": "0"}
        last = (await self.server.good("GET", "/v1/health"))["workspaces"]["main"]["seq"]
        results: dict[str, str] = {}
        seq = 0
        async with self.server.session.get("/v1/events", headers=headers) as answer:
            async for line in answer.content:
                if line.startswith(b"id: "):
                    seq = int(line[4:])
                elif line.startswith(b"data: ") and seq:
                    event = json.loads(line[6:])
                    if event.get("result") in {"done", "failed", "unknown"}:
                        results[event.get("message", "")] = event["result"]
                    if seq >= last:
                        return results
        return results

    async def _stored(self, only: str) -> Counter[str]:
        """Marks of customers' messages in the contacts that live, or that `only` asks for."""
        found: Counter[str] = Counter()
        following = ""
        while True:
            page = await self.server.good("GET", f"/v1/contacts?limit=500{only}&cursor={following}")
            for contact in page["contacts"]:
                path = f"/v1/contacts/{contact['id']}/messages?limit=500"
                for message in (await self.server.good("GET", path))["messages"]:
                    if message["from"] == "customer":
                        found.update(MARK.findall(message["text"])[:1])
            following = page.get("next", "")
            if not following:
                return found

    async def _judge(self) -> str:
        stored = await self._stored("") + await self._stored("&state=closed")
        for mark in self.backend.taken():
            if stored[mark] != 1:
                self.wrong.append(
                    f"{mark} was taken by the router, and is there {stored[mark]} times"
                )
        self.wrong += [f"{mark} is there {n} times" for mark, n in stored.items() if n > 1]
        settled = await self._settled()
        got = Counter(mark for text in self.backend.received() for mark in MARK.findall(text)[:1])
        results: Counter[str] = Counter()
        for mark, id_ in self._sent().items():
            result, count = settled.get(id_, "nothing"), got[mark]
            results[result] += 1
            if count > 1:
                self.wrong.append(f"the answer {mark} arrived {count} times ({result})")
            if count == 0 and result in {"done", "nothing"}:
                self.wrong.append(f"the answer {mark} never arrived, and the router says {result}")
            if count and result == "failed":
                self.wrong.append(f"the answer {mark} arrived, and the router says it failed")
        for clerk in self._clerks:
            self.wrong += clerk.wrong
        failures = [x for x in self.server.log.read_text().splitlines() if "Traceback" in x]
        self.wrong += failures[:3]
        return f"{self._counts()}, stored {len(stored)}, answers told as {dict(results)}"

    def _counts(self) -> str:
        return (
            f"{len(self.written)} written, {sum(self.backend.taken().values())} taken, "
            f"{len(self._sent())} answered, {len(self.backend.received())} received"
        )


async def examine(backend: Backend, directory: Path, seed: int = 7) -> None:
    """Run the lab and fail with all that is wrong."""
    lab = Lab(backend, directory, seed)
    line = await lab.run()
    print(line)
    assert not lab.wrong, "\n".join([line, *lab.wrong[:20], lab.server.log_end()])
    assert len(lab.backend.received()) >= len(lab.written) // 2, line
