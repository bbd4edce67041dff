"""A conformance FreeSWITCH: an event socket that behaves as the recordings of a real one.

For tests of whoever speaks ESL: it shares no code with `adapters/freeswitch`. Answers and the order
of events follow ``tests/data/recordings/freeswitch`` (FreeSWITCH 1.11.1); each answer names its
recording, and what is on none of them says "after the documentation". Callers and phones are driven
by methods; `Switch` (pbx_esl_switch.py) is its inside.

    pbx = EslPbx(password="...")
    await pbx.start()
    channel = await pbx.call("+4930900100", "7000")
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid as uuids
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from router.testing.pbx_esl_channel import Channel, Task, fields, row
from router.testing.pbx_esl_switch import Switch

GOODBYE = "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
MODULES = ("mod_commands", "mod_dptools", "mod_event_socket", "mod_conference", "mod_local_stream")


class _Session:
    """One connection to the event socket."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.events: set[str] = set()
        self.is_in = False

    def frame(self, headers: Mapping[str, str], body: str = "") -> None:
        """Send one; a body brings its length."""
        lines = [f"{name}: {value}" for name, value in headers.items()]
        data = body.encode()
        if body:
            lines.append(f"Content-Length: {len(data)}")
        if not self.writer.is_closing():
            self.writer.write(("\n".join(lines) + "\n\n").encode() + data)

    def reply(self, text: str, **more: str) -> None:
        """The answer to a command."""
        self.frame({"Content-Type": "command/reply", "Reply-Text": text, **more})

    def output(self, text: str) -> None:
        """The answer to an api call."""
        self.frame({"Content-Type": "api/response"}, text)

    def event(self, event: dict[str, Any]) -> None:
        """An event, if it is wanted."""
        if event["Event-Name"] in self.events:
            data = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
            # In the recordings an event's length stands before its type.
            length = str(len(data.encode()))
            if not self.writer.is_closing():
                head = f"Content-Length: {length}\nContent-Type: text/event-json\n\n"
                self.writer.write(head.encode() + data.encode())


class EslPbx:
    """The server, and the edge of the PBX that tests hold."""

    def __init__(self, password: str = "esl-secret", tick_s: float = 0.02) -> None:
        self.password = password
        self.port = 0
        self.version = "1.11.1-release"
        self.modules = list(MODULES)
        self.connections = 0
        """How often somebody has logged in."""
        self.commands: list[str] = []
        """All that was asked of it, in order."""
        self.answers: dict[str, str] = {}
        """Output of api calls about the configuration, by their line; after the documentation."""
        self.answer_delay_s = 0.0
        """A slow peer: each answer is so late."""
        self.is_silent = False
        """A hung peer: nothing is answered any more."""
        self.dialplan = ""
        """``host:port``: callers go to an outbound socket there instead of being parked."""
        self.on_change: Callable[[], None] = lambda: None
        self._sessions: set[_Session] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.switch = Switch(self._publish, lambda: self.on_change(), tick_s)

    # -- its life ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen; the second time at the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, end all connections."""
        self.switch.vanish()
        await self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cut(self) -> None:
        """The event socket is gone and takes nobody; calls stay (socket-lost)."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for session in list(self._sessions):
            session.writer.transport.abort()
        self._sessions.clear()

    async def kill(self) -> None:
        """kill -9."""
        self.switch.vanish()
        await self.cut()

    def disconnect(self) -> None:
        """FreeSWITCH says goodbye to all (errors: the notice after ``exit``)."""
        for session in list(self._sessions):
            self._say_goodbye(session)

    # -- the edge ------------------------------------------------------------------------------

    async def call(self, customer: str, to: str) -> Channel:
        """A customer dials a number."""
        channel = self.switch.new_call(customer, to)
        if self.dialplan:
            self._spawn(self._outbound(channel))
        else:
            self.switch.enter_dialplan(channel)
        return channel

    # -- sessions ------------------------------------------------------------------------------

    def _publish(self, event: dict[str, Any]) -> None:
        for session in list(self._sessions):
            session.event(event)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        session = _Session(writer)
        self._sessions.add(session)
        session.frame({"Content-Type": "auth/request"})
        try:
            await self._listen(session, reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._sessions.discard(session)
            writer.close()

    async def _listen(self, session: _Session, reader: asyncio.StreamReader) -> None:
        while True:
            block = (await reader.readuntil(b"\n\n")).decode().strip("\n")
            line, *rest = block.split("\n")
            headers = dict(each.split(": ", 1) for each in rest if ": " in each)
            if self.is_silent:
                continue
            if self.answer_delay_s:
                await asyncio.sleep(self.answer_delay_s)
            self.commands.append(line)
            self._command(session, line, headers)
            await session.writer.drain()

    def _command(self, session: _Session, line: str, headers: dict[str, str]) -> None:
        verb, _, rest = line.partition(" ")
        if verb == "auth":
            self._auth(session, rest)
        elif not session.is_in:
            session.reply("-ERR command not found")
        elif verb == "event":
            session.events |= set(rest.split()[1:])
            session.reply("+OK event listener enabled json")  # every recording
        elif verb == "noevents":
            session.events.clear()
            session.reply("+OK no longer listening for events")  # errors
        elif verb == "filter":
            name, _, value = rest.partition(" ")
            session.reply(f"+OK filter added. [{name}]=[{value}]")  # errors
        elif verb == "api":
            name, _, words = rest.partition(" ")
            # What prints nothing has this answer; after the documentation.
            session.output(self.api(name, words) or "-ERR no reply\n")
        elif verb == "bgapi":
            self._bgapi(session, rest, headers)
        elif verb == "sendmsg":
            self._sendmsg(session, rest, headers)
        elif verb == "exit":
            session.reply("+OK bye")  # errors
            self._say_goodbye(session)
        else:
            session.reply("-ERR command not found")  # errors

    def _auth(self, session: _Session, password: str) -> None:
        if password == self.password:
            session.is_in = True
            self.connections += 1
            session.reply("+OK accepted")
        else:
            session.reply("-ERR invalid")  # wrong-password
            self._say_goodbye(session)

    def _say_goodbye(self, session: _Session) -> None:
        session.frame({"Content-Type": "text/disconnect-notice"}, GOODBYE)
        session.writer.close()

    def _bgapi(self, session: _Session, line: str, headers: dict[str, str]) -> None:
        job = headers.get("Job-UUID") or str(uuids.uuid4())
        session.reply(f"+OK Job-UUID: {job}", **{"Job-UUID": job})
        found = re.fullmatch(r"originate (?:\{(.*?)\})?(\S+) &(\w+)(?:\((.*)\))?", line)
        if found is None:
            self.switch.job_done(job, "-ERR INVALID\n")
            return
        values = _pairs(found[1] or "")
        self.switch.originate(values, found[2], Task(found[3], found[4] or ""), job)

    def _sendmsg(self, session: _Session, uuid: str, headers: dict[str, str]) -> None:
        """After the documentation."""
        channel = self.switch.channels.get(uuid)
        if channel is None:
            session.reply(f"-ERR invalid session id [{uuid}]")
            return
        session.reply("+OK")
        task = Task(
            headers["execute-app-name"],
            headers.get("execute-app-arg", ""),
            headers.get("event-uuid", ""),
        )
        self.switch.run(channel, task)

    # -- api -----------------------------------------------------------------------------------

    def api(self, name: str, words: str) -> str:
        """The output of an api call."""
        if name.startswith("uuid_"):
            return self._uuid_api(name, words.split(" "))
        match name:
            case "status":  # errors
                return (
                    "UP 0 years, 0 days, 0 hours, 2 minutes, 16 seconds, 701 milliseconds,"
                    f" 78 microseconds\nFreeSWITCH (Version {self.version}  64bit) is ready\n"
                    f"{len(self.switch.channels)} session(s) since startup\n"
                )
            case "show":  # errors, socket-lost
                rows = [row(channel) for channel in self.switch.channels.values()]
                found = {"row_count": len(rows), **({"rows": rows} if rows else {})}
                return json.dumps(found, separators=(",", ":"))
            case "version":  # from here on after the documentation
                return f"FreeSWITCH Version {self.version} (64bit)\n"
            case "module_exists":
                return "true" if words in self.modules else "false"
            case "global_setvar":
                key, _, value = words.partition("=")
                self.switch.global_variables[key] = value
                return "+OK"
            case "global_getvar":
                return self.switch.global_variables.get(words, "")
            case "sofia":
                return self.answers.get(
                    "sofia", "internal\tprofile\tsip:mod_sofia@127.0.0.1:5080\tRUNNING (0)\n"
                )
            case _:
                known = self.answers.get(f"{name} {words}".strip())
                return known if known is not None else f"-ERR {name} Command not found!\n"  # errors

    def _uuid_api(self, name: str, words: list[str]) -> str:
        switch = self.switch
        if name == "uuid_hold" and words[0] == "off":
            return "+OK Success\n"  # hold-refused-by-phone: also for one that is gone
        channel = switch.channels.get(words[0])
        if channel is not None and channel.is_gone and name != "uuid_dump":
            channel = None
        if channel is None:
            if name == "uuid_answer":
                return "-ERROR\n"  # errors
            if name == "uuid_bridge":
                return "-ERR Invalid uuid\n"  # hold-refused-by-phone
            if name == "uuid_exists":
                return "false"
            return "-ERR No such channel!\n"  # errors
        match name:
            case "uuid_answer":
                self._soon(lambda: switch.answer(channel))
            case "uuid_kill":
                cause = words[1] if len(words) > 1 else "NORMAL_CLEARING"
                self._soon(lambda: switch.hang_up(channel, cause))
            case "uuid_setvar":
                channel.variables[words[1]] = " ".join(words[2:])
            case "uuid_broadcast":
                switch.run(channel, Task("playback", words[1]))
                return "+OK Message sent\n"
            case "uuid_bridge":
                other = switch.channels.get(words[1])
                if other is None or other.is_gone:
                    return "-ERR Invalid uuid\n"
                switch.bridge(channel, other)
                return f"+OK {other.uuid}\n"
            case "uuid_hold":
                self._soon(lambda: switch.hold(channel))
                return "+OK Success\n"
            case "uuid_dump":  # socket-lost
                return json.dumps(
                    fields("CHANNEL_DATA", channel), separators=(",", ":"), ensure_ascii=False
                )
            case _:
                return self._more_uuid_api(name, channel, words[1:])
        return "+OK\n"

    def _more_uuid_api(self, name: str, channel: Channel, words: list[str]) -> str:
        """All but ``uuid_transfer ... park inline`` is after the documentation."""
        switch = self.switch
        match name:
            case "uuid_transfer":
                which = words.pop(0) if words[0].startswith("-") else ""
                if len(words) > 1 and words[1] == "inline":
                    switch.transfer(channel, _inline(words[0]), which)
                else:
                    context = words[2] if len(words) > 2 else "default"
                    channel.phone.went_on_to = f"{context}/{words[0]}"
                    switch.transfer(channel, [Task("dialplan")], which)
            case "uuid_break":
                switch.stop_playing(channel, all_="all" in words)
                return ""
            case "uuid_exists":
                return "true"
            case "uuid_getvar":
                return channel.variables.get(words[0], "_undef_")
            case "uuid_record":
                return self._record(channel, words[0], words[1])
            case _:
                return f"-ERR {name} Command not found!\n"
        return "+OK\n"

    def _record(self, channel: Channel, action: str, path: str) -> str:
        state = self.switch.recordings.get(path)
        if action == "start":
            if "/refused/" in path:
                return "-ERR Cannot record session!\n"
            channel.variables["record"] = path
            self.switch.recordings[path] = "on"
        elif state not in ("on", "paused"):
            return "-ERR Cannot mask recording session!\n"
        else:
            self.switch.recordings[path] = {"mask": "paused", "unmask": "on"}.get(action, "done")
        self.on_change()
        return "+OK Success\n"

    def _soon(self, step: Callable[[], None]) -> None:
        """The answer first, then the events (answered-and-bridged: uuid_answer)."""
        asyncio.get_running_loop().call_soon(step)

    # -- the outbound socket, after the documentation --------------------------------------------

    async def _outbound(self, channel: Channel) -> None:
        """The dialplan's ``socket`` application: connect, offer the channel, park."""
        host, _, port = self.dialplan.partition(":")
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            channel.phone.went_on_to = "default/fallback"  # the next action of the dialplan
            self.on_change()
            return
        session = _Session(writer)
        self._sessions.add(session)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while not channel.is_gone:
                line = (await reader.readuntil(b"\n\n")).decode().strip("\n")
                verb = line.split(" ")[0]
                if verb == "connect":
                    found = {k: quote(str(v)) for k, v in fields("CHANNEL_DATA", channel).items()}
                    session.frame({"Content-Type": "command/reply", "Reply-Text": "+OK", **found})
                    self.switch.enter_dialplan(channel)
                elif verb == "myevents":
                    session.events |= {"CHANNEL_HANGUP"}
                    session.reply("+OK Events Enabled")
                elif verb == "linger":
                    session.reply("+OK will linger")
                else:
                    session.reply("-ERR command not found")
        if not channel.is_gone and not channel.is_up:
            channel.phone.went_on_to = "default/fallback"
        self._sessions.discard(session)
        writer.close()


def _pairs(text: str) -> dict[str, str]:
    """``a=b,c='d, e'``"""
    found = re.findall(r"(\w+)=(?:'([^']*)'|([^,]*))(?:,|$)", text)
    return {name: quoted or plain for name, quoted, plain in found}


def _inline(text: str) -> list[Task]:
    """``playback:a.wav,hangup:NORMAL_CLEARING``"""
    return [Task(*each.split(":", 1)) for each in text.strip("'").split(",")]
