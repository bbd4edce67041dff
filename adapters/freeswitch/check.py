"""What is wrong with a FreeSWITCH, in plain words: asked by `contact-router doctor --adapters`.

``status`` is recorded; the other api commands are after the documentation, not recorded.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from contextlib import suppress
from typing import Any

from adapters import Finding, read_settings
from adapters.freeswitch import esl
from adapters.freeswitch.connection import Connection
from adapters.freeswitch.settings import Settings, read_password
from router.channel import ChannelError, ChannelLost

MODULES = {
    "mod_commands": "no call can be commanded",
    "mod_dptools": "calls cannot be parked, played to or bridged",
    "mod_event_socket": "nobody can connect",
    "mod_conference": "no consults and no conferences",
    "mod_local_stream": "no music while waiting",
}
"""Modules and what is missing without them."""
NEEDED = ("mod_commands", "mod_dptools", "mod_event_socket")
OLDEST = (1, 8)
_USER = re.compile(r"user/([^@/]+)@([^@/]+)")


async def check(name: str, settings: dict[str, Any], endpoints: list[str]) -> list[Finding]:
    """Findings about the FreeSWITCH behind these settings; `endpoints` are the agents'.

    Raises ConfigError for settings that cannot be read, the default password among them.
    """
    where = f"adapters.{name}"
    config = read_settings(Settings, settings, where)
    password = read_password(config.password_file, where)
    look = _Check(name, config)
    try:
        connection = await Connection.open(
            config.host, config.port, password, config.reply_s, lambda frame: None
        )
    except ChannelLost as lost:
        look.say("error", f"{lost}; is FreeSWITCH running, event_socket.conf.xml as in the docs?")
        return look.findings
    with suppress(BaseExceptionGroup):  # what broke off stands in the findings
        async with asyncio.TaskGroup() as group:
            group.create_task(connection.run())
            group.create_task(look.run(connection, endpoints))
    return look.findings


class _Check:
    def __init__(self, name: str, config: Settings) -> None:
        self.name = name
        self.config = config
        self.findings: list[Finding] = []

    def say(self, level: str, text: str) -> None:
        self.findings.append(Finding(level=level, text=f"{self.name}: {text}"))

    async def run(self, connection: Connection, endpoints: list[str]) -> None:
        try:
            await self._version(connection)
            await self._modules(connection)
            await self._sip(connection)
            await self._files(connection)
            for endpoint in endpoints:
                await self._endpoint(connection, endpoint)
        except ChannelError as error:
            self.say("error", f"the event socket broke off: {error}")
        finally:
            connection.close("checked")

    async def _ask(self, connection: Connection, line: str) -> str:
        return (await connection.ask(esl.api(line))).reply.strip()

    async def _version(self, connection: Connection) -> None:
        place = f"{self.config.host}:{self.config.port}"
        status = await self._ask(connection, "status")
        found = re.search(r"Version (\d+)\.(\d+)\S*", status)
        if found is None or "is ready" not in status:
            self.say("error", f"{place}: FreeSWITCH does not say that it is ready")
        elif (int(found[1]), int(found[2])) < OLDEST:
            self.say("error", f"{place}: FreeSWITCH {found[1]}.{found[2]}: at least 1.8 is needed")
        else:
            self.say("ok", f"{place}: FreeSWITCH {found[0].removeprefix('Version ')}")
        with suppress(ValueError):  # a name: nobody knows
            if not ipaddress.ip_address(self.config.host).is_loopback:
                self.say("warning", f"{place}: password and calls' data go there unencrypted")

    async def _modules(self, connection: Connection) -> None:
        missing = 0
        for module, without in MODULES.items():
            if await self._ask(connection, f"module_exists {module}") != "true":
                missing += 1
                level = "error" if module in NEEDED else "warning"
                self.say(level, f"{module} is not loaded: {without}")
        if not missing:
            self.say("ok", "all modules are loaded")

    async def _sip(self, connection: Connection) -> None:
        status = await self._ask(connection, "sofia status")
        if "RUNNING" in status:
            self.say("ok", "a SIP profile is running")
        else:
            self.say("error", "no SIP profile is running (sofia status): phones cannot be reached")

    async def _files(self, connection: Connection) -> None:
        scheme, _, stream = self.config.music_url.partition("://")
        if scheme == "local_stream":
            known = await self._ask(connection, "show_local_stream")
            if not re.search(rf"(?m)^{re.escape(stream)}\b", known):
                self.say("warning", f"no music {self.config.music_url} (local_stream.conf.xml)")
        rooms = await self._ask(connection, "xml_locate configuration configuration name"
                                            " conference.conf")  # fmt: skip
        if f'"{self.config.conference}"' not in rooms:
            self.say(
                "warning",
                f"conference.conf.xml has no profile {self.config.conference!r}: consults and"
                " conferences would be hung up",
            )
        if await self._ask(connection, f"file_exists {self.config.recordings}") != "true":
            self.say("warning", f"no folder {self.config.recordings}: calls cannot be recorded")

    async def _endpoint(self, connection: Connection, endpoint: str) -> None:
        try:
            esl.word(endpoint)
        except esl.Unsafe:
            self.say("error", f"endpoint {endpoint!r}: not dialled, it has syntax in it")
            return
        found = _USER.fullmatch(endpoint)
        if found is None:
            return  # a gateway or an address: only dialling tells
        user, domain = found[1], found[2]
        if await self._ask(connection, f"user_exists id {user} {domain}") != "true":
            self.say("error", f"endpoint {endpoint}: there is no such user in the directory")
        elif (await self._ask(connection, f"sofia_contact {user}@{domain}")).startswith("error/"):
            self.say("warning", f"endpoint {endpoint}: no phone is registered")
