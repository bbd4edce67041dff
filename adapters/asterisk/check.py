"""What is wrong with a PBX, in plain words: asked by `contact-router doctor --adapters`."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters import Finding, read_settings
from adapters.asterisk import ari
from adapters.asterisk.announce import media_of
from adapters.asterisk.rest import AriRefused, Rest
from adapters.asterisk.settings import Settings, read_password, tls_context
from router.channel import ChannelError

MODULES = {
    "res_stasis.so": "nothing works without it",
    "app_stasis.so": "callers cannot enter the application",
    "res_stasis_answer.so": "callers cannot be answered",
    "res_stasis_playback.so": "no announcements, no questions",
    "res_stasis_recording.so": "no recordings",
    "chan_bridge_media.so": "no recordings of conversations",
    "res_stasis_snoop.so": "supervisors cannot listen in",
    "bridge_holding.so": "nobody can wait",
    "bridge_softmix.so": "no conferences",
    "res_musiconhold.so": "no music while waiting",
    "chan_pjsip.so": "no SIP phones",
    "res_pjsip_rfc3326.so": "phones show calls as missed that were answered elsewhere",
}
"""Modules and what is missing without them."""
NEEDED = ("res_stasis.so", "app_stasis.so", "res_stasis_answer.so", "bridge_holding.so")
OLDEST = 16


class _System(msgspec.Struct):
    version: str = ""


class _Info(msgspec.Struct):
    system: _System = msgspec.field(default_factory=_System)


async def check(name: str, settings: dict[str, Any], endpoints: list[str]) -> list[Finding]:
    """Findings about the PBX behind these settings; `endpoints` are the agents'.

    Raises ConfigError for settings that cannot be read.
    """
    where = f"adapters.{name}"
    config = read_settings(Settings, settings, where)
    password, tls = read_password(config, where), tls_context(config, where)
    rest = Rest(config, password, tls, lambda *_: None)
    await rest.open()
    try:
        return await _Check(name, config, rest).run(endpoints)
    finally:
        await rest.close()


class _Check:
    def __init__(self, name: str, config: Settings, rest: Rest) -> None:
        self.name = name
        self.config = config
        self.rest = rest
        self.findings: list[Finding] = []

    def say(self, level: str, text: str) -> None:
        self.findings.append(Finding(level=level, text=f"{self.name}: {text}"))

    async def run(self, endpoints: list[str]) -> list[Finding]:
        if await self._reached():
            await self._application()
            await self._modules()
            for endpoint in endpoints:
                await self._endpoint(endpoint)
            await self._sounds()
        return self.findings

    async def _reached(self) -> bool:
        url = self.config.url
        try:
            info = msgspec.json.decode(await self.rest.ask(ari.info()), type=_Info)
        except AriRefused as refused:
            why = {
                401: "user or password is wrong (ari.conf)",
                403: "this user may not (ari.conf: read_only?)",
                404: "HTTP, but no ARI: is ari.conf enabled, res_ari loaded, the path right?",
            }.get(refused.status, f"HTTP {refused.status}")
            self.say("error", f"{url}: {why}")
            return False
        except ChannelError as error:
            self.say("error", f"{url}: {error}; is Asterisk running, http.conf enabled?")
            return False
        except msgspec.DecodeError:
            self.say("error", f"{url}: that is no Asterisk")
            return False
        version = info.system.version
        major = version.partition(".")[0]
        if major.isdigit() and int(major) < OLDEST:
            self.say("error", f"Asterisk {version}: at least {OLDEST} is needed")
        else:
            self.say("ok", f"{url}: Asterisk {version or 'of unknown version'}")
        return True

    async def _application(self) -> None:
        if await self._has(ari.application(self.config.app)):
            self.say("ok", f"application {self.config.app} is known")
        else:
            self.say("warning", f"application {self.config.app}: no router has connected yet")

    async def _modules(self) -> None:
        missing = []
        for module, without in MODULES.items():
            if not await self._has(ari.module(module)):
                missing.append(module)
                level = "error" if module in NEEDED else "warning"
                self.say(level, f"{module} is not loaded: {without}")
        if not missing:
            self.say("ok", "all modules are loaded")

    async def _endpoint(self, endpoint: str) -> None:
        tech, _, resource = endpoint.partition("/")
        resource = resource.partition("@")[2] or resource
        if not resource:
            self.say("error", f"endpoint {endpoint}: expected TECHNOLOGY/NAME")
        elif tech in ("PJSIP", "SIP", "IAX2") and not await self._has(ari.endpoint(tech, resource)):
            self.say("error", f"endpoint {endpoint} is not configured at the PBX")

    async def _sounds(self) -> None:
        wanted = [self.config.say_position, self.config.say_next, self.config.say_wait]
        wanted += self.config.announcements.values()
        for media in wanted:
            for part in media_of(media, self.config).split(","):
                kind, _, sound = part.partition(":")
                if kind == "sound" and not await self._has(ari.sound(sound)):
                    self.say("warning", f"sound {sound} does not exist: it will not be heard")

    async def _has(self, request: ari.Request) -> bool:
        try:
            await self.rest.ask(request)
        except AriRefused as refused:
            if refused.status == 404:
                return False
            raise
        return True
