"""ARI's requests on a conformance Asterisk: what each is answered, by recording.

404 "Channel not found", 400 and 404 of bridges, 500 "Allocation failed": errors.jsonl. 409 "Channel
not in Stasis application": dial-too-early-409. 409 of an id that is taken, 422, and all of
``/asterisk``, ``/endpoints``, ``/sounds``, snoop, moh and recordings: after ARI's description.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from router.testing.pbx_ari_parts import (
    CAUSES,
    NOT_IN_STASIS,
    Bridge,
    Channel,
    Json,
    Problem,
    now,
)
from router.testing.pbx_ari_switch import Switch

VARIABLES = web.RequestKey("variables", dict[str, str])
VERSION = "20.11.0"
MODULES = ("res_ari.so", "res_stasis.so", "res_stasis_answer.so", "res_stasis_playback.so",
           "res_stasis_recording.so", "res_stasis_snoop.so", "res_musiconhold.so",
           "bridge_holding.so", "bridge_softmix.so", "chan_pjsip.so", "app_stasis.so",
           "res_http_websocket.so", "chan_bridge_media.so",
           "res_pjsip_rfc3326.so")  # fmt: skip


class Rest:
    """The requests, as aiohttp handlers over one switch."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self.modules = list(MODULES)
        self.version = VERSION

    def add_to(self, app: web.Application, base: str) -> None:
        """Mount all of them."""
        channel, bridge = f"{base}/channels/{{id}}", f"{base}/bridges/{{id}}"
        table: list[tuple[str, str, Callable[[web.Request], web.Response]]] = [
            ("GET", f"{base}/channels", self.list_channels),
            ("POST", f"{base}/channels", self.originate),
            ("POST", f"{base}/channels/create", self.create),
            ("GET", channel, self.get_channel),
            ("DELETE", channel, self.delete_channel),
            ("POST", f"{channel}/answer", self.answer),
            ("POST", f"{channel}/ring", self.nothing),
            ("POST", f"{channel}/dial", self.dial),
            ("POST", f"{channel}/continue", self.go_on),
            ("POST", f"{channel}/play", self.play),
            ("POST", f"{channel}/play/{{playback}}", self.play),
            ("POST", f"{channel}/moh", self.music),
            ("DELETE", f"{channel}/moh", self.no_music),
            ("GET", f"{channel}/variable", self.get_variable),
            ("POST", f"{channel}/variable", self.set_variable),
            ("POST", f"{channel}/snoop/{{snoop}}", self.snoop),
            ("DELETE", f"{base}/playbacks/{{id}}", self.stop_playing),
            ("GET", f"{base}/bridges", self.list_bridges),
            ("POST", f"{base}/bridges", self.create_bridge),
            ("GET", bridge, self.get_bridge),
            ("DELETE", bridge, self.delete_bridge),
            ("POST", f"{bridge}/addChannel", self.add_channel),
            ("POST", f"{bridge}/removeChannel", self.remove_channel),
            ("POST", f"{bridge}/record", self.record),
            ("POST", f"{base}/recordings/live/{{id}}/pause", self.pause),
            ("DELETE", f"{base}/recordings/live/{{id}}/pause", self.unpause),
            ("POST", f"{base}/recordings/live/{{id}}/stop", self.stop_recording),
            ("GET", f"{base}/applications/{{id}}", self.application),
            ("PUT", f"{base}/applications/{{id}}/eventFilter", self.filter),
            ("GET", f"{base}/asterisk/info", self.info),
            ("GET", f"{base}/asterisk/ping", self.ping),
            ("GET", f"{base}/asterisk/modules/{{id}}", self.module),
            ("GET", f"{base}/endpoints/{{tech}}/{{id}}", self.endpoint),
            ("GET", f"{base}/sounds/{{id:.+}}", self.sound),
        ]
        for method, path, handler in table:
            app.router.add_route(method, path, _as_coroutine(handler))

    # -- channels ------------------------------------------------------------------------------

    def list_channels(self, request: web.Request) -> web.Response:
        """event-socket-lost"""
        return web.json_response([c.json() for c in self.switch.channels.values()])

    def get_channel(self, request: web.Request) -> web.Response:
        """announce-and-continue"""
        return web.json_response(self._channel(request).json())

    def _new(self, request: web.Request, variables: dict[str, str]) -> Channel:
        query = request.query
        tech, _, resource = query["endpoint"].partition("/")
        name = resource.partition("@")[0] if tech == "PJSIP" else resource
        party = self.switch.party(name)
        if party.will == "unknown":
            raise Problem(500, {"error": "Allocation failed"})  # errors
        serial = self.switch.number()
        channel = Channel(
            id=query.get("channelId", f"ast-{serial}"), name=f"{tech}/{resource}-{serial:08x}",
            state="Down", party=party, app=query.get("app", ""), args=query.get("appArgs", ""),
            is_originated=True, variables=variables,
        )  # fmt: skip
        return self.switch.add(channel)

    def create(self, request: web.Request) -> web.Response:
        """answered-and-bridged"""
        channel = self._new(request, request[VARIABLES])
        late_s = self.switch.races.late_start_s
        shown = channel.json()
        if late_s:
            asyncio.get_running_loop().call_later(late_s, self.switch.enter_stasis, channel)
        else:
            self.switch.enter_stasis(channel)
        return web.json_response(shown)

    def originate(self, request: web.Request) -> web.Response:
        """originate-and-bridged: StasisStart comes when it is answered"""
        channel = self._new(request, request[VARIABLES])
        channel.enters_when_up = True
        shown = channel.json()
        self.switch.dial(channel, float(request.query.get("timeout", "30")))
        return web.json_response(shown)

    def dial(self, request: web.Request) -> web.Response:
        """answered-and-bridged, no-answer-and-cancel, busy-then-next-agent"""
        channel = self._channel(request)
        if not channel.is_in_stasis:
            raise NOT_IN_STASIS
        timeout_s = float(request.query.get("timeout", "0"))
        caller = self.switch.channels.get(request.query.get("caller", ""))
        self.switch.dial(channel, timeout_s, caller)
        return web.Response(status=204)

    def delete_channel(self, request: web.Request) -> web.Response:
        """no-answer-and-cancel; `reason`: parallel-ringing; `reason_code`: errors"""
        channel = self._channel(request)
        reason = request.query.get("reason", "normal")
        if reason not in CAUSES:
            raise Problem(400, {"message": "Invalid Reason"})
        cause = int(request.query.get("reason_code", CAUSES[reason]))
        self.switch.delete(channel, cause)
        return web.Response(status=204)

    def answer(self, request: web.Request) -> web.Response:
        """answered-and-bridged"""
        self.switch.answer(self._in_stasis(request))
        return web.Response(status=204)

    def nothing(self, request: web.Request) -> web.Response:
        """Taken, without any event"""
        self._in_stasis(request)
        return web.Response(status=204)

    def go_on(self, request: web.Request) -> web.Response:
        """announce-and-continue"""
        channel = self._in_stasis(request)
        query = request.query
        context = query.get("context", channel.context)
        extension = query.get("extension", channel.exten)
        self.switch.go_on(channel, f"{context}/{extension}")
        return web.Response(status=204)

    def play(self, request: web.Request) -> web.Response:
        """announce-and-continue: 201, also for a sound that does not exist"""
        channel = self._in_stasis(request)
        id_ = request.match_info.get("playback") or request.query.get("playbackId", "")
        if not id_:
            id_ = f"playback-{self.switch.number()}"
        playback = self.switch.play(channel, request.query["media"], id_)
        return web.json_response(playback.json(), status=201)

    def music(self, request: web.Request) -> web.Response:
        """After ARI's description"""
        self._in_stasis(request).music = request.query.get("mohClass", "default")
        self.switch.on_change()
        return web.Response(status=204)

    def no_music(self, request: web.Request) -> web.Response:
        """After ARI's description"""
        self._in_stasis(request).music = ""
        self.switch.on_change()
        return web.Response(status=204)

    def get_variable(self, request: web.Request) -> web.Response:
        """announce-and-continue"""
        channel = self._channel(request)
        name = request.query.get("variable", "")
        if name not in channel.variables:
            raise Problem(404, {"message": "Provided variable was not found"})
        return web.json_response({"value": channel.variables[name]})

    def set_variable(self, request: web.Request) -> web.Response:
        """announce-and-continue"""
        channel = self._in_stasis(request)
        self.switch.varset(channel, request.query["variable"], request.query.get("value", ""))
        return web.Response(status=204)

    def snoop(self, request: web.Request) -> web.Response:
        """After ARI's description: a channel that listens to, and speaks into, another"""
        target = self._channel(request)
        query = request.query
        serial = self.switch.number()
        channel = self.switch.add(
            Channel(
                id=request.match_info["snoop"], name=f"Snoop/{target.id}-{serial:08x}",
                state="Up", app=query["app"], args=query.get("appArgs", ""), is_originated=True,
                snoops=target, spy=query.get("spy", "none"), whisper=query.get("whisper", "none"),
            )
        )  # fmt: skip
        shown = channel.json()
        self.switch.enter_stasis(channel)
        return web.json_response(shown)

    def stop_playing(self, request: web.Request) -> web.Response:
        """digits-collected"""
        self.switch.stop_playing(request.match_info["id"])
        return web.Response(status=204)

    # -- bridges -------------------------------------------------------------------------------

    def list_bridges(self, request: web.Request) -> web.Response:
        """event-socket-lost"""
        return web.json_response([b.json() for b in self.switch.bridges.values()])

    def create_bridge(self, request: web.Request) -> web.Response:
        """answered-and-bridged: 200, and no BridgeCreated for who is not subscribed"""
        query = request.query
        id_ = query.get("bridgeId") or f"bridge-{self.switch.number()}"
        if id_ in self.switch.bridges:
            raise Problem(409, {"message": "Bridge with the same bridgeId already exists"})
        type_ = "holding" if "holding" in query.get("type", "mixing") else "mixing"
        bridge = Bridge(id_, type_, query.get("name", ""), created=now())
        bridge.settle()
        self.switch.bridges[id_] = bridge
        return web.json_response(bridge.json())

    def get_bridge(self, request: web.Request) -> web.Response:
        """One of event-socket-lost's list"""
        return web.json_response(self._bridge(request).json())

    def delete_bridge(self, request: web.Request) -> web.Response:
        """answered-and-bridged"""
        self.switch.destroy(self._bridge(request))
        return web.Response(status=204)

    def add_channel(self, request: web.Request) -> web.Response:
        """answered-and-bridged, errors"""
        bridge = self._bridge(request)
        found = self._members(request)
        self.switch.join(bridge, found, request.query.get("role", ""))
        return web.Response(status=204)

    def remove_channel(self, request: web.Request) -> web.Response:
        """After ARI's description"""
        bridge = self._bridge(request)
        for channel in self._members(request):
            if channel.bridge is not bridge:
                raise Problem(422, {"message": "Channel not in this bridge"})
            self.switch.leave_bridge(channel, by_moving=True)
        return web.Response(status=204)

    def _members(self, request: web.Request) -> list[Channel]:
        found = []
        for id_ in request.query["channel"].split(","):
            channel = self.switch.channels.get(id_)
            if channel is None:
                raise Problem(400, {"message": "Channel not found"})
            if not channel.is_in_stasis:
                raise Problem(422, {"message": "Channel not in Stasis application"})
            found.append(channel)
        return found

    # -- recordings ----------------------------------------------------------------------------

    def record(self, request: web.Request) -> web.Response:
        """After ARI's description"""
        bridge = self._bridge(request)
        recording = self.switch.record(bridge, request.query["name"], request.query["format"])
        return web.json_response(recording.json(), status=201)

    def pause(self, request: web.Request) -> web.Response:
        """After ARI's description"""
        return self._set_recording(request, "paused")

    def unpause(self, request: web.Request) -> web.Response:
        """After ARI's description"""
        return self._set_recording(request, "recording")

    def _set_recording(self, request: web.Request, state: str) -> web.Response:
        recording = self.switch.recordings.get(request.match_info["id"])
        if recording is None or recording.state == "done":
            raise Problem(404, {"message": "Recording not found"})
        recording.state = state
        self.switch.on_change()
        return web.Response(status=204)

    def stop_recording(self, request: web.Request) -> web.Response:
        """After ARI's description"""
        recording = self.switch.recordings.get(request.match_info["id"])
        if recording is None or recording.state == "done":
            raise Problem(404, {"message": "Recording not found"})
        self.switch.stop_recording(recording)
        return web.Response(status=204)

    # -- the PBX itself ------------------------------------------------------------------------

    def application(self, request: web.Request) -> web.Response:
        """event-socket-lost: an application stays listed while its socket is lost"""
        name = request.match_info["id"]
        if name not in self.switch.active:
            raise Problem(404, {"message": "Application not found"})
        channels = [c.id for c in self.switch.channels.values() if c.app == name]
        bridges = [b.id for b in self.switch.bridges.values() if name in b.apps]
        found: Json = {"name": name, "channel_ids": channels, "bridge_ids": bridges,
                       "endpoint_ids": [], "device_names": [], "events_allowed": [],
                       "events_disallowed": []}  # fmt: skip
        return web.json_response(found)

    def filter(self, request: web.Request) -> web.Response:
        """After ARI's description; what is filtered is told all the same"""
        return self.application(request)

    def info(self, request: web.Request) -> web.Response:
        """After ARI's description"""
        return web.json_response(
            {"system": {"version": self.version, "entity_id": "02:00:00:00:00:01"}}
        )

    def ping(self, request: web.Request) -> web.Response:
        """After ARI's description"""
        return web.json_response({"ping": "pong", "timestamp": now(), "asterisk_id": "02:00"})

    def module(self, request: web.Request) -> web.Response:
        """After ARI's description"""
        name = request.match_info["id"]
        if name not in self.modules:
            raise Problem(404, {"message": "Module could not be found in running modules"})
        return web.json_response({"name": name, "description": "", "use_count": 0,
                                  "status": "Running", "support_level": "core"})  # fmt: skip

    def endpoint(self, request: web.Request) -> web.Response:
        """After ARI's description: fields as in phone-hold-and-digits"""
        name = request.match_info["id"]
        party = self.switch.parties.get(name)
        if party is None or party.will == "unknown":
            raise Problem(404, {"message": "Endpoint not found"})
        ids = [party.channel.id] if party.channel else []
        return web.json_response({"technology": request.match_info["tech"], "resource": name,
                                  "state": "online", "channel_ids": ids})  # fmt: skip

    def sound(self, request: web.Request) -> web.Response:
        """After ARI's description"""
        name = request.match_info["id"]
        if name in self.switch.sounds:
            raise Problem(404, {"message": "Sound not found"})
        return web.json_response({"id": name, "text": "", "formats": []})

    # -- finding -------------------------------------------------------------------------------

    def _channel(self, request: web.Request) -> Channel:
        channel = self.switch.channels.get(request.match_info["id"])
        if channel is None:
            raise Problem(404, {"message": "Channel not found"})
        return channel

    def _in_stasis(self, request: web.Request) -> Channel:
        channel = self._channel(request)
        if not channel.is_in_stasis:
            raise NOT_IN_STASIS
        return channel

    def _bridge(self, request: web.Request) -> Bridge:
        bridge = self.switch.bridges.get(request.match_info["id"])
        if bridge is None:
            raise Problem(404, {"message": "Bridge not found"})
        return bridge


def _as_coroutine(
    handler: Callable[[web.Request], web.Response],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else {}
        request[VARIABLES] = dict(body.get("variables") or {})
        return handler(request)

    return handle
