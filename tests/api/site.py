"""A real server on a free port with two workspaces, and a client that speaks for any role."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec

from router.api.auth import Role, make_token
from router.api.http import API, Api
from router.app import Server
from router.config import loads
from router.runtime.clock import Clock

CONFIG = """
server: {durability: process, allowed_origins: ["https://shop.example"],
         limits: {requests_per_s: 100000, requests_burst: 1000000, connections_per_token: 50}}
workspaces:
  oak:
    adapters:
      phones: {type: remote, channel: voice}
      texts: {type: loopback, channel: sms}
    channels:
      chat: {}
    entry_points:
      hotline: {channel: voice, address: "+4930555100", queue: front}
      texting: {channel: sms, address: "+4930555300", queue: front}
    queues:
      front: {target: {voice: 20s}, goal: 95%, wrap_up: 10s, offer: {timeout: 60s},
              dispositions: [solved, complaint]}
      billing:
        require: {billing: 6}
        steps: [{after: 20s, lower: {billing: 3}}]
    profiles:
      all: {front: 1, billing: 2}
    agents:
      ana: {name: Ana, profile: all, skills: {billing: 3, english: 8}}
      ben: {name: Ben, profile: all, skills: {billing: 9}}
  elm:
    queues: {front: {}}
    profiles: {all: {front: 1}}
    agents:
      zoe: {name: Zoe, profile: all}
"""


class Answer(NamedTuple):
    status: int
    body: Any
    headers: Any

    @property
    def code(self) -> str:
        return self.body["code"]


class Client:
    """One caller: a token of a workspace, on a session of its own."""

    def __init__(self, session: aiohttp.ClientSession, base: str, token: str) -> None:
        self.session = session
        self.base = base
        self.token = token

    async def __call__(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str
    ) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        text = raw if raw is not None else None if body is None else json.dumps(body).encode()
        data = None if text is None else io.BytesIO(text)
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(
            method, self.base + path, data=data, headers=sent
        ) as response:
            got = await response.read()
            is_json = "json" in response.headers.get("Content-Type", "")
            return Answer(
                response.status, json.loads(got) if got and is_json else got, response.headers
            )

    def socket(self, path: str, **options: Any) -> Any:
        return self.session.ws_connect(self.base + path, **options)


class Site:
    """The server under test."""

    def __init__(self, server: Server, api: Api, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.api = api
        self.session = session
        self.base = f"http://127.0.0.1:{server.port}"
        self._tokens: dict[tuple[str, str, str], str] = {}

    async def token(self, role: str, workspace: str = "oak", agent: str = "ana") -> str:
        bound = agent if role == "agent" else "phones" if role == "adapter" else ""
        key = (workspace, role, bound)
        if key not in self._tokens:
            text, row = make_token(
                Role(role),
                now_us=self.api.clock.now_us(),
                agent=bound if role == "agent" else "",
                channel=bound if role == "adapter" else "",
                name=role,
            )
            await self.api.tokens.add(workspace, row)
            self._tokens[key] = text
        return self._tokens[key]

    async def client(self, role: str, workspace: str = "oak", agent: str = "ana") -> Client:
        return Client(self.session, self.base, await self.token(role, workspace, agent))

    def anybody(self, token: str = "") -> Client:
        return Client(self.session, self.base, token)


async def start(data: Path, text: str = CONFIG, clock: Clock | None = None) -> Server:
    config = loads(text, "test.yaml")
    free = msgspec.structs.replace(config.server, port=0)
    server = Server(dataclasses.replace(config, server=free), data=data, clock=clock)
    await server.start()
    return server


def api_of(server: Server) -> Api:
    return server._runners[0].app[API]
