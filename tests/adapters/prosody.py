"""A prosody of a test's own, and customers who talk to it with a client library.

The server is Debian's, started with its own configuration on free ports and ended by its pid; the
clients connect to it as anybody's would. What customers got is counted in `Client.got`.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import slixmpp

from loadtest.server import free_port
from router.testing.adapter_harness import Signal

PROSODY = shutil.which("prosody")
SECRET = "component-secret"
DOMAIN = "care.localhost"
PASSWORD = "of-everybody"
CONFIG = """
run_as_root = true
daemonize = false
pidfile = "{data}/prosody.pid"
data_path = "{data}"
plugin_paths = {{}}
modules_enabled = {{ "roster", "saslauth", "disco", "ping", "presence", "message", "iq" }}
modules_disabled = {{ "s2s", "offline" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {c2s} }}
component_ports = {{ {component} }}
component_interfaces = {{ "127.0.0.1" }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
storage = "internal"
log = {{ info = "{data}/prosody.log" }}
VirtualHost "localhost"
Component "{domain}"
  component_secret = "{secret}"
"""


class Prosody:
    """The server."""

    def __init__(self, folder: Path, secret: str = SECRET) -> None:
        self.folder = folder / "prosody"
        (self.folder / "localhost" / "accounts").mkdir(parents=True)
        self.c2s, self.component = free_port(), free_port()
        self.config = self.folder / "prosody.cfg.lua"
        self.config.write_text(
            CONFIG.format(
                data=self.folder, c2s=self.c2s, component=self.component, domain=DOMAIN,
                secret=secret,
            )
        )  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def add(self, user: str) -> None:
        accounts = self.folder / "localhost" / "accounts"
        # Names of files are percent-encoded with underscores for percent signs.
        name = "".join(c if c.isalnum() else f"%{ord(c):02x}" for c in user)
        (accounts / f"{name}.dat").write_text(f'return {{ ["password"] = "{PASSWORD}"; }};\n')

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    async def start(self) -> None:
        """Not a child of the loop: one server serves the tests of a module, each with its loop."""
        assert PROSODY is not None
        with (self.folder / "out").open("ab") as out:
            command = [PROSODY, "-F", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stdout=out, stderr=out)  # noqa: ASYNC220
        async with asyncio.timeout(30):
            for port in (self.c2s, self.component):
                while not await _answers(port):  # another process: only asking tells
                    assert self.is_running, (self.folder / "out").read_text()
                    await asyncio.sleep(0.03)

    def kill(self) -> None:
        """As a power cut would; nobody is told."""
        if self.process is not None and self.is_running:
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self.process is not None and self.is_running:
            self.process.send_signal(signal.SIGCONT)


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


class Client(slixmpp.ClientXMPP):  # type: ignore[misc]
    """A customer's client, with receipts and chat states."""

    def __init__(self, user: str, port: int, signal_: Signal, resource: str = "phone") -> None:
        super().__init__(f"{user}@localhost/{resource}", PASSWORD)
        self.port = port
        self.signal = signal_
        self.got: list[tuple[str, str]] = []
        """(id, text) of every message that this client was given."""
        self.froms: list[str] = []
        self.states: list[str] = []
        self.received: list[str] = []
        """Ids of ours that were acknowledged."""
        self.errors: dict[str, str] = {}
        self.presences: list[tuple[str, str]] = []
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0085")
        self.register_plugin("xep_0199")
        self.register_plugin("xep_0184", {"auto_ack": True, "auto_request": True})
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.online = asyncio.Event()
        self.add_event_handler("session_start", self._online)
        self.add_event_handler("disconnected", lambda _: self.online.clear())
        self.add_event_handler("message", self._message)
        self.add_event_handler("message_error", self._error)
        self.add_event_handler("receipt_received", self._receipt)
        self.add_event_handler("presence_available", self._seen)
        self.add_event_handler("presence_subscribed", self._seen)
        for state in ("composing", "paused", "active", "gone"):
            self.add_event_handler(f"chatstate_{state}", self._state)

    async def open(self) -> None:
        async with asyncio.timeout(30):
            self.connect("127.0.0.1", self.port)
            await self.online.wait()

    async def close(self) -> None:
        attempt = self._current_connection_attempt
        self.cancel_connection_attempt()
        if attempt is not None:
            await asyncio.gather(attempt, return_exceptions=True)
        if self.transport is not None:
            await self.disconnect(wait=0.2)
            self.abort()
        await asyncio.sleep(0)  # a socket is closed in the loop's next turn
        if self._run_out_filters is not None:
            self._run_out_filters.cancel()
            await asyncio.gather(self._run_out_filters, return_exceptions=True)

    async def say(self, to: str, text: str, id_: str, *, state: str = "active") -> str:
        """Empty once it is acknowledged, or the error's type and condition."""
        self.errors.pop(id_, None)
        while id_ in self.received:
            self.received.remove(id_)
        message = self.make_message(mto=to, mbody=text, mtype="chat")
        message["id"] = id_
        message["request_receipt"] = True
        if state:
            message["chat_state"] = state
        message.send()
        await self.signal.until(lambda: id_ in self.received or id_ in self.errors)
        return self.errors.get(id_, "")

    def show(self, to: str, state: str) -> None:
        message = self.make_message(mto=to, mtype="chat")
        message["chat_state"] = state
        message.send()

    def raw(self, inner: str, **attributes: str) -> None:
        given = "".join(f' {name}="{value}"' for name, value in attributes.items())
        self.send_raw(f'<message xmlns="jabber:client"{given}>{inner}</message>')

    def _online(self, _: Any) -> None:
        self.send_presence()
        self.online.set()

    def _message(self, message: Any) -> None:
        if message["type"] in ("chat", "normal") and message["body"]:
            self.got.append((message["id"], message["body"]))
            self.froms.append(str(message["from"]))
            self.signal.notify()

    def _error(self, message: Any) -> None:
        self.errors[message["id"]] = f"{message['error']['type']} {message['error']['condition']}"
        self.signal.notify()

    def _receipt(self, message: Any) -> None:
        self.received.append(message["receipt"])
        self.signal.notify()

    def _state(self, message: Any) -> None:
        self.states.append(message["chat_state"])
        self.signal.notify()

    def _seen(self, presence: Any) -> None:
        self.presences.append((presence["type"], str(presence["from"])))
        self.signal.notify()


__all__ = ["DOMAIN", "PROSODY", "SECRET", "Client", "Prosody"]
