"""A real SMS centre as its own process (tests/peers/smsc), and the adapter's harness against it.

What the centre got is read from its own file: that is where losses and duplicates are counted.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from adapters.smpp import Smpp
from loadtest.server import free_port
from router.channel import Address, ChannelError, ChannelLost, Task, UnknownOutcome
from router.testing.adapter_harness import AskingHarness, FailingHarness, RouterDouble, Signal
from router.testing.conformance import CUSTOMER, deliver
from router.testing.fault_proxy import FaultProxy

PEER = Path(__file__).parents[1] / "peers" / "smsc"
OURS = "+4930555300"
TROUBLED = {"fail": "+4930900901", "unknown": "+4930900902", "lost": "+4930900903", "busy": "?"}
MISSING = "" if shutil.which("node") and (PEER / "node_modules" / "smpp").is_dir() else (
    "node or tests/peers/smsc/node_modules is not there: sh .ci/servers"
)  # fmt: skip
needs_smsc = pytest.mark.skipif(bool(MISSING), reason=MISSING or "it is there")


class Smsc:
    """The process, on a port that stays the same over restarts, and what it has seen."""

    def __init__(self, directory: Path, signal: Signal | None = None) -> None:
        self.directory = directory
        self.signal = signal or Signal()
        self.port = free_port()
        self.events: list[dict[str, Any]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._tag = 0

    async def start(self, **how: Any) -> Smsc:
        self.directory.mkdir(exist_ok=True)
        begun = len(self.events)
        self._process = await asyncio.create_subprocess_exec(
            "node", str(PEER / "smsc.js"), str(self.port), str(self.directory),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 22,
        )  # fmt: skip
        self._reading = asyncio.get_running_loop().create_task(self._read(self._process))
        if how:
            await self.do("set", **how)
        await self.signal.until(lambda: bool(self.seen("listening", since=begun)))
        return self

    async def kill(self) -> None:
        """SIGKILL: nothing is written or said any more."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            assert self._reading is not None
            await self._reading
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process = None

    async def do(self, command: str, **more: Any) -> None:
        """Returns when it was done."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._tag += 1
        tag, begun = self._tag, len(self.events)
        line = json.dumps({"do": command, "tag": tag, **more})
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()
        await self.signal.until(
            lambda: any(event.get("tag") == tag for event in self.seen("did", since=begun))
        )

    def seen(self, event: str, *, since: int = 0) -> list[dict[str, Any]]:
        return [one for one in self.events[since:] if one["event"] == event]

    async def write(
        self, id_: str, text: str = "", *, source: str = "4930900100", udh: str = "",
        payload: bool = False, wait: bool = True, **pdu: Any,
    ) -> int:  # fmt: skip
        """A customer's message in one packet; the status with which it was answered."""
        begun = len(self.events)
        fields = {"source_addr": source.removeprefix("+"), "source_addr_ton": 1,
                  "source_addr_npi": 1, "destination_addr": OURS.removeprefix("+"),
                  "dest_addr_ton": 1, "dest_addr_npi": 1, "data_coding": None, **pdu}  # fmt: skip
        if fields["data_coding"] is None:
            fields["data_coding"] = 0 if text.isascii() else 8
        await self.do("write", id=id_, text=text, udh=udh, payload=payload, pdu=fields)
        return await self.answer(id_, since=begun) if wait else 0

    async def answer(self, id_: str, *, since: int = 0) -> int:
        """The status of the next answer to this message."""

        def answers() -> list[int]:
            found = self.seen("answered", since=since)
            return [int(event["status"]) for event in found if event["id"] == id_]

        await self.signal.until(lambda: bool(answers()))
        return answers()[0]

    def submits(self) -> list[dict[str, Any]]:
        """Every submit_sm that it got, accepted or not."""
        file = self.directory / "submits.jsonl"
        if not file.exists():
            return []
        # The last line may be half written when the process was killed: it was not answered.
        lines = file.read_text("utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def got(self, who: str = "") -> list[str]:
        """The texts that it accepted, for one customer or all."""
        digits = who.removeprefix("+")
        return [
            row["text"]
            for row in self.submits()
            if row["status"] == 0 and digits in ("", row["destination"])
        ]

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.events.append(json.loads(line))
            self.signal.notify()


def settings_for(directory: Path, port: int, **more: Any) -> dict[str, Any]:
    """Settings of an adapter for a centre on this port."""
    password = directory / "password"
    password.write_text("secret\n")
    password.chmod(0o600)
    smsc = {"host": "127.0.0.1", "port": port, "system_id": "router",
            "password_file": str(password), **more.pop("smsc", {})}  # fmt: skip
    return {"smscs": {"main": smsc}, "sender": OURS, "response_s": 3.0, "turn_s": 3.0,
            "connect_s": 5.0, **more}  # fmt: skip


class SmppHarness(FailingHarness, AskingHarness):
    """The adapter, run again as the supervisor does, and a real centre."""

    def __init__(self, directory: Path, *, proxied: bool = False, **settings: Any) -> None:
        self.signal = Signal()
        self.router = RouterDouble(self.signal)
        self.smsc = Smsc(directory / "smsc", self.signal)
        self.directory = directory
        self.settings = {"outbound": 30, **settings}
        self.proxy = FaultProxy("127.0.0.1", self.smsc.port) if proxied else None
        self._run: asyncio.Task[None] | None = None
        self._told: dict[str, int] = {}

    async def __aenter__(self) -> SmppHarness:
        trouble = {
            TROUBLED[word].removeprefix("+"): how
            for word, how in (("fail", "refuse"), ("unknown", "silent"), ("lost", "close"))
        }
        await self.smsc.start(retry=3_600_000, trouble=trouble)
        if self.proxy is not None:
            await self.proxy.open_door()
        self.make()
        await self.start()
        return self

    def make(self) -> None:
        """An adapter that remembers only what its state file has."""
        port = self.proxy.port if self.proxy is not None else self.smsc.port
        settings = settings_for(self.directory, port, **self.settings)
        self.channel = self.smpp = Smpp("texts", settings, self.router)

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self.smsc.kill()
        if self.proxy is not None:
            await self.proxy.__aexit__()

    async def send(self, number: int, text: str, who: str = CUSTOMER) -> str:
        """The agent writes: how `perform` ended."""
        task = Task(
            id=f"e{number}", epoch=1, workspace="main", effect=deliver(number),
            external_id="x", customer=Address(address=who), our_address=OURS, text=text,
        )  # fmt: skip
        try:
            await self.smpp.perform(task)
        except UnknownOutcome:
            return "unknown"
        except ChannelError:
            return "failed"
        return "sent"

    async def start(self) -> None:
        before = len(self.router.states)
        self._run = asyncio.get_running_loop().create_task(self._supervise())
        await self.signal.until(lambda: "up" in self.router.states[before:])

    async def stop(self) -> None:
        assert self._run is not None
        self._run.cancel()
        with suppress(asyncio.CancelledError):
            await self._run

    async def _supervise(self) -> None:
        while True:
            with suppress(ChannelLost):
                await self.smpp.run()
            await asyncio.sleep(0.02)  # as the supervisor, but sooner

    async def arrive(self, who: str, text: str = "hello", *, again: bool = False) -> str:
        return await self.write(who, text, "first")

    async def write(self, who: str, text: str, message_id: str) -> str:
        id_ = f"{who}/{message_id}"
        begun = len(self.smsc.events)
        if id_ not in self._told:
            if len(text) > 250:
                return await self._write_long(who, text, id_)
            self._told[id_] = await self.smsc.write(id_, text, source=who)
        else:
            if self._told[id_] == 0:  # taken: it comes again only where the answer was lost
                ups = self.router.states.count("up")
                await self.smsc.do("destroy")
                await self.signal.until(lambda: self.router.states.count("up") > ups)
            await self.smsc.do("again", id=id_)
            self._told[id_] = await self.smsc.answer(id_, since=begun)
        status = self._told[id_]
        return f"status {status}" if status else ""

    async def _write_long(self, who: str, text: str, id_: str) -> str:
        """In message_payload, in as many parts as a packet can hold."""
        pieces = [text[at : at + 60_000] for at in range(0, len(text), 60_000)]
        statuses = [
            await self.smsc.write(
                f"{id_}/{number}", piece, source=who, payload=True, sar_msg_ref_num=7,
                sar_total_segments=len(pieces), sar_segment_seqnum=number,
            )
            for number, piece in enumerate(pieces, 1)
        ]  # fmt: skip
        return "".join(f"status {status} " for status in statuses if status)

    async def leave(self, who: str) -> None:
        raise NotImplementedError("a text message cannot leave")

    def read(self, who: str) -> list[str]:
        return self.smsc.got(who)

    def external_id(self, who: str) -> str:
        """The contact's: a message that joins it has an id of its own."""
        contacts = self.router.contacts.items()
        return next(id_ for id_, contact in contacts if contact.customer.address == who)

    def troubled(self, word: str) -> str:
        return TROUBLED[word]

    async def back(self) -> None:
        await self.signal.until(lambda: self.router.states[-1] == "up")

    async def stall(self) -> int:
        await self.smsc.do("set", silent=1_000_000)
        return 30

    def held(self) -> int:
        return self.smpp.held

    def asked(self, who: str) -> list[str]:
        lines = [text.partition("\n") for text in self.read(who)]
        return [prompt for prompt, menu, _ in lines if menu]

    async def answer(self, who: str, value: str) -> None:
        assert await self.write(who, value, f"answer-{value}") == ""
