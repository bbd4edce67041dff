"""Customers who text: handsets behind an SMS centre that the server binds to over SMPP.

The centre is npm `smpp` in a Node.js process (tests/peers/smsc). When it took or got a packet is
noted by itself, by the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import Any

from loadtest.lines import marks
from loadtest.lines.kinds import CENTRE
from loadtest.lines.line import Line, Plan
from loadtest.runs.profile import Customers
from loadtest.server import free_port

READY_S = 30.0
END_S = 10.0
PASSWORD = "secret"
"""The centre's own; it listens on loopback alone."""
TAKEN = 0
REPEATED = frozenset({0x14, 0x08})
"""ESME_RMSGQFUL and ESME_RSYSERR (SMPP 3.4 5.1.3): the centre says the text again."""


class Handset:
    """One customer."""

    __slots__ = ("address", "kind", "of", "written")

    def __init__(self, address: str, kind: Customers) -> None:
        self.address = address
        self.kind = kind
        self.written = 0
        self.of = 1 + kind.messages


class Texts(Line):
    """The SMS line."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._directory = Path(tempfile.mkdtemp(prefix="centre-"))
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._listening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._handsets: dict[str, Handset] = {}
        self._taken: set[str] = set()
        self._got = 0

    async def open(self) -> dict[str, Any]:
        """Start the centre. Raises RuntimeError and TimeoutError."""
        port = free_port()
        self._process = await asyncio.create_subprocess_exec(
            "node", str(CENTRE / "smsc.js"), str(port), str(self._directory),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 22,
        )  # fmt: skip
        self._reading = asyncio.get_running_loop().create_task(self._read(self._process))
        self._do("set", receipts="both")
        await asyncio.wait_for(asyncio.shield(self._listening), READY_S)
        secret = Path(self.plan.place) / "centre.secret"
        secret.write_text(PASSWORD + "\n")
        secret.chmod(0o600)
        centre = {"host": "127.0.0.1", "port": port, "system_id": "router", "window": 50,
                  "password_file": str(secret)}  # fmt: skip
        state = Path(self.plan.place) / "texts.state"
        return {"type": "smpp", "channel": "sms", "sender": self.address,
                "state_file": str(state), "smscs": {"main": centre}}  # fmt: skip

    @property
    def got(self) -> int:
        """Texts that handsets have."""
        return self._got

    # --- customers ----------------------------------------------------------------------------

    def come(self, due_s: float, kind: Customers) -> None:
        """Their first text."""
        handset = Handset(f"+49151{self.number:08d}", kind)
        self._handsets[handset.address] = handset
        self.book.due[handset.address] = due_s
        self._write(due_s, handset)

    def _write(self, due_s: float, handset: Handset) -> None:
        handset.written += 1
        mark = marks.make(handset.address[1:], handset.written, due_s)
        self.book.sent[mark] = False
        pdu = {"source_addr": handset.address[1:], "source_addr_ton": 1, "source_addr_npi": 1,
               "destination_addr": self.address.removeprefix("+"), "dest_addr_ton": 1,
               "dest_addr_npi": 1, "data_coding": 0}  # fmt: skip
        text = f"{mark} {handset.written}/{handset.of} my line is dead, what can be done?"
        self._do("write", id=mark, text=text, pdu=pdu)

    def _answered(self, mark: str, status: int, at_s: float) -> None:
        """The server answered the centre's deliver_sm."""
        if mark.startswith("receipt-") or mark in self._taken:
            return
        due_s = int(mark.rpartition("-")[2]) / 1e6
        if status == TAKEN:
            self._taken.add(mark)
            self.book.sent[mark] = True
            if mark.split("-")[2] == "1":
                self.record("taken", due_s, at_s)
                self.count("taken", due_s)
        elif status in REPEATED:
            self.count("again", due_s)
        else:
            self.book.faults.append(f"sms: {mark} was refused with status {status}")

    def _submitted(self, destination: str, text: str, at_s: float) -> None:
        """An agent's answer is at a handset."""
        self._got += 1
        handset = self._handsets.get(f"+{destination}")
        said = marks.read(text)
        if handset is None or said is None:
            self.book.faults.append("sms: a text that nobody wrote, or for nobody")
            return
        self.record("reply", said.due_s, at_s)
        if said.number == handset.written < handset.of:
            self.later(handset.kind.reply, self._write, handset)

    # --- the centre ---------------------------------------------------------------------------

    def _do(self, command: str, **more: Any) -> None:
        assert self._process is not None, "not started"
        assert self._process.stdin is not None, "a pipe was asked for"
        self._process.stdin.write(json.dumps({"do": command, **more}).encode() + b"\n")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None, "a pipe was asked for"
        async for line in process.stdout:
            event = json.loads(line)
            match event["event"]:
                case "answered":
                    self._answered(event["id"], event["status"], event["at_us"] / 1e6)
                case "submitted" if event["status"] == TAKEN:
                    self._submitted(event["destination"], event["text"], event["at_us"] / 1e6)
                case "listening":
                    self._listening.set_result(None)
                case "repeated":  # no answer within ten seconds
                    self.count("unanswered_texts", perf_counter())
                case _:
                    pass
        if not self._listening.done():
            error = RuntimeError("the SMS centre does not listen; its error stands above")
            self._listening.set_exception(error)

    async def finish(self) -> None:
        """The centre's own file says what handsets got: it is written before it answers."""
        file = self._directory / "submits.jsonl"
        lines = file.read_text("utf-8").split("\n")[:-1] if file.exists() else []
        rows = [json.loads(line) for line in lines]
        found = [marks.read(row["text"]) for row in rows if row["status"] == TAKEN]
        self.book.got = dict(Counter(said.mark for said in found if said is not None))

    async def close(self) -> None:
        """The centre ends with its standard input, or is killed."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            try:
                await asyncio.wait_for(self._process.wait(), END_S)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._reading is not None:
            self._reading.cancel()
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
