"""A real Kannel (bearerbox and smsbox) on free ports, its fake SMS centre, and the harness.

What Kannel sent is counted at the SMS centre's end of the line: by `Line` here, or by Kannel's own
`fakesmsc`. Neither shares anything with the adapter.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import aiohttp
import pytest
from aiohttp import web

from adapters.kannel import Kannel, routes
from loadtest.server import free_port
from router.channel import Address, ChannelError, ChannelLost, Task, UnknownOutcome
from router.testing.adapter_harness import AskingHarness, FailingHarness, RouterDouble, Signal
from router.testing.conformance import CUSTOMER, deliver
from router.testing.fault_proxy import FaultProxy

BEARERBOX, SMSBOX = "/usr/sbin/bearerbox", "/usr/sbin/smsbox"
FAKESMSC = "/usr/lib/kannel/test/fakesmsc"
OURS = "+4930555300"
TROUBLED = {"fail": "+4930900901", "unknown": "+4930900902", "lost": "+4930900903", "busy": "?"}
MISSING = [path for path in (BEARERBOX, SMSBOX, FAKESMSC) if not os.access(path, os.X_OK)]
needs_kannel = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {', '.join(MISSING)}: sh .ci/servers"
)

CONFIG = r"""
group = core
admin-port = {admin}
admin-password = admin
admin-interface = 127.0.0.1
smsbox-port = {box}
smsbox-interface = 127.0.0.1
box-allow-ip = "127.0.0.1"
store-type = spool
store-location = {folder}/spool
sms-outgoing-queue-limit = {most}
log-level = 2

{centre}

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
sendsms-interface = 127.0.0.1
http-request-retry = 1000
http-queue-delay = 1
log-level = 2
access-log = {folder}/access.log

group = sendsms-user
username = router
password = secret
max-messages = 10
concatenation = yes
black-list-regex = "^\+4930900901$"

group = sms-service
keyword = default
catch-all = yes
max-messages = 0
post-url = "{hook}/incoming?id=%I&from=%p&to=%P&coding=%c&charset=%C"
"""

FAKE = """
group = smsc
smsc = fake
smsc-id = FAKE
port = {line}
connect-allow-ip = 127.0.0.1
"""
SMPP = """
group = smsc
smsc = smpp
smsc-id = CENTRE
host = 127.0.0.1
port = {centre}
transceiver-mode = true
smsc-username = router
smsc-password = secret
system-type = ""
source-addr-autodetect = yes
max-pending-submits = 1
reconnect-delay = 1
"""


class Boxes:
    """bearerbox and smsbox as processes of their own, on ports that stay the same."""

    def __init__(self, folder: Path, hook: str, centre: int = 0) -> None:
        self.folder = folder
        self.centre = SMPP.format(centre=centre) if centre else ""
        self.ports = {name: free_port() for name in ("admin", "box", "line", "sendsms")}
        self.most = 100_000
        """Messages that bearerbox holds for the SMS centre; then it has no room."""
        self.send_url = f"http://127.0.0.1:{self.ports['sendsms']}/cgi-bin/sendsms"
        self.hook = hook
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, *only: str) -> None:
        (self.folder / "spool").mkdir(parents=True, exist_ok=True)
        config = self.folder / "kannel.conf"
        centre = self.centre or FAKE.format(**self.ports)
        config.write_text(
            CONFIG.format(
                **self.ports, folder=self.folder, hook=self.hook, centre=centre, most=self.most
            )
        )
        for name, path, port in (
            ("bearerbox", BEARERBOX, "box"), ("smsbox", SMSBOX, "sendsms"),
        ):  # fmt: skip
            if only and name not in only:
                continue
            with (self.folder / f"{name}.log").open("ab") as log:
                self._running[name] = await asyncio.create_subprocess_exec(
                    path, str(config), stdout=log, stderr=log, cwd=self.folder
                )
            await self._until_open(self.ports[port])
        await self._until_joined()

    async def _until_joined(self) -> None:
        """Until bearerbox says that smsbox is there."""
        url = f"http://127.0.0.1:{self.ports['admin']}/status.txt?password=admin"
        async with asyncio.timeout(20), aiohttp.ClientSession() as session:
            while True:
                with suppress(aiohttp.ClientError):
                    async with session.get(url) as answer:
                        if "smsbox:" in await answer.text():
                            return
                await asyncio.sleep(0.05)  # another process: only asking tells

    async def kill(self, *only: str) -> None:
        """SIGKILL."""
        for name in only or ("smsbox", "bearerbox"):
            process = self._running.pop(name, None)
            if process is not None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    def taken(self) -> list[str]:
        """The texts of all sendsms requests that were taken, from smsbox's own log."""
        log = (self.folder / "access.log").read_text("utf-8")
        return re.findall(r"send-SMS request added .* request: '(.*)'", log)

    def ended(self, name: str) -> bool:
        return self._running[name].returncode is not None

    async def _until_open(self, port: int) -> None:
        async with asyncio.timeout(30):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)  # another process: only asking tells


class Line:
    """The SMS centre's end of Kannel's fake protocol: a line for each message, both ways."""

    def __init__(self, port: int, signal: Signal) -> None:
        self.port = port
        self.signal = signal
        self.got: list[tuple[str, str, bytes, str]] = []
        """(customer, our address, user data header, text) of what Kannel sent."""
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._reading = asyncio.get_running_loop().create_task(self._read(reader))

    async def close(self) -> None:
        if self._writer is not None and self._reading is not None:
            self._writer.close()
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
            self._writer = None

    def write(self, customer: str, text: str, *, to: str = OURS) -> None:
        """A customer writes."""
        assert self._writer is not None
        if text.isascii() and text.isprintable() and text:
            kind, data = "text", text.encode()
        else:
            kind, data = "ucs2", quote_from_bytes(text.encode("utf-16-be"), safe="").encode()
        self._writer.write(f"{customer} {to} {kind} ".encode() + data + b"\n")

    def texts(self, customer: str) -> list[str]:
        return [text for who, _, _, text in self.got if who == customer]

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while line := await reader.readline():
                if not line.startswith(OURS.encode()) and self.got:
                    # Kannel's fake protocol does not escape line ends in a text.
                    before = self.got.pop()
                    text = before[3] + "\n" + line.rstrip(b"\n").decode()
                    self.got.append((*before[:3], text))
                    continue
                ours, customer, kind, rest = line.rstrip(b"\n").split(b" ", 3)
                header = b""
                if kind == b"udh":
                    raw, kind, rest = rest.split(b" ", 2)
                    header = unquote_to_bytes(raw.replace(b"+", b" "))
                data = unquote_to_bytes(rest.replace(b"+", b" ")) if kind != b"text" else rest
                # Parts in UCS-2 are told as "data", as all with a header are.
                is_wide = b"ucs" in kind or (header and any(byte < 10 for byte in data))
                text = data.decode("utf-16-be" if is_wide else "utf-8", "replace")
                self.got.append((customer.decode(), ours.decode(), header, text))
                self.signal.notify()


class KannelHarness(FailingHarness, AskingHarness):
    """The adapter, run again as the supervisor does, its routes on a real server, a real Kannel."""

    def __init__(self, folder: Path, *, centre: int = 0, **settings: Any) -> None:
        self.signal = Signal()
        self.router = RouterDouble(self.signal)
        self.centre = centre
        """An SMS centre that Kannel binds to; without one `line` is."""
        self.folder = folder
        self.settings = settings
        self._run: asyncio.Task[None] | None = None
        self._told: dict[str, int] = {}

    async def __aenter__(self) -> KannelHarness:
        port = free_port()
        self.hook = f"http://127.0.0.1:{port}/v1/kannel/texts"
        self.boxes = Boxes(self.folder / "kannel", self.hook, self.centre)
        await self.boxes.start()
        self.line = Line(self.boxes.ports["line"], self.signal)
        if not self.centre:
            await self.line.connect()
        self.proxy = FaultProxy("127.0.0.1", self.boxes.ports["sendsms"])
        await self.proxy.open_door()
        password = self.folder / "password"
        password.write_text("secret\n")
        password.chmod(0o600)
        settings = {
            "send_url": f"http://127.0.0.1:{self.proxy.port}/cgi-bin/sendsms",
            "username": "router", "password_file": str(password), "public_url": self.hook,
            "timeout_s": 2.5, "patience_s": 3.0, "waiting": 30, "probe_s": 0.5, **self.settings,
        }  # fmt: skip
        self.channel = self.kannel = Kannel("texts", settings, self.router)
        app, inner = web.Application(), web.Application()
        inner.add_routes(routes(self.kannel))
        app.add_subapp("/v1/kannel/texts", inner)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.session = aiohttp.ClientSession()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self.session.close()
        await self.line.close()
        await self.boxes.kill()
        await self.proxy.__aexit__()
        await self._runner.cleanup()

    async def start(self) -> None:
        before = len(self.router.states)
        self._run = asyncio.get_running_loop().create_task(self._supervise())
        await self.signal.until(lambda: "up" in self.router.states[before:])

    async def stop(self) -> None:
        assert self._run is not None
        self._run.cancel()
        with suppress(asyncio.CancelledError):
            await self._run
        await self.kannel.out.close()  # the supervisor may have been between two runs

    async def _supervise(self) -> None:
        while True:
            with suppress(ChannelLost):
                await self.kannel.run()
            await asyncio.sleep(0.02)  # as the supervisor, but sooner

    async def fetch(self, customer: str, text: str, id_: str, **more: str) -> int:
        """What smsbox does for a message, with an id of ours: the status it is answered with."""
        params = {"id": id_, "from": customer, "to": OURS, "coding": "2", "charset": "UTF-16BE"}
        body = text.encode("utf-16-be")
        async with self.session.post(
            f"{self.hook}/incoming", params={**params, **more}, data=body
        ) as answer:
            assert await answer.read() == b"", "Kannel would send it to the customer"
            return answer.status

    async def arrive(self, who: str, text: str = "hello", *, again: bool = False) -> str:
        return await self.write(who, text, "first")

    async def write(self, who: str, text: str, message_id: str) -> str:
        status = await self.fetch(who, text, f"{who}-{message_id}")
        if who == TROUBLED["lost"]:
            await self.boxes.kill("smsbox")
        elif who == TROUBLED["unknown"]:
            self.proxy.answers.hang()
        return f"status {status}" if status != 200 else ""

    async def send(self, number: int, text: str, who: str = CUSTOMER) -> str:
        """The agent writes: how `perform` ended."""
        task = Task(
            id=f"e{number}", epoch=1, workspace="main", effect=deliver(number), external_id="x",
            customer=Address(address=who), our_address=OURS, text=text,
        )  # fmt: skip
        try:
            await self.kannel.perform(task)
        except UnknownOutcome:
            return "unknown"
        except ChannelError:
            return "failed"
        return "sent"

    async def leave(self, who: str) -> None:
        raise NotImplementedError("a text message cannot leave")

    def read(self, who: str) -> list[str]:
        return self.line.texts(who)

    def external_id(self, who: str) -> str:
        contacts = self.router.contacts.items()
        return next(id_ for id_, contact in contacts if contact.customer.address == who)

    def troubled(self, word: str) -> str:
        return TROUBLED[word]

    async def back(self) -> None:
        before = len(self.router.states)
        await self.signal.until(lambda: "down" in self.router.states)
        await self.boxes.start("smsbox")
        await self.signal.until(lambda: "up" in self.router.states[before:])

    async def stall(self) -> int:
        self.proxy.answers.hang()
        return 30

    def held(self) -> int:
        return self.kannel.sender.held

    def asked(self, who: str) -> list[str]:
        lines = [text.partition("\n") for text in self.read(who)]
        return [prompt for prompt, menu, _ in lines if menu]

    async def answer(self, who: str, value: str) -> None:
        assert await self.write(who, value, f"answer-{value}") == ""


def parts(got: list[tuple[str, str, bytes, str]]) -> str:
    """One text from its parts, by their headers."""
    found = {header[-1]: text for _, _, header, text in got}
    assert sorted(found) == list(range(1, got[0][2][-2] + 1)), json.dumps(sorted(found))
    return "".join(found[number] for number in sorted(found))
