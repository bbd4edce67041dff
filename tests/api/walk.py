"""Signing in at an identity provider as a browser does: cookies, forms, redirects, step by step."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
import msgspec

from loadtest.server import free_port
from router.app import Server
from router.config import loads
from tests.api.site import CONFIG, Site, api_of
from tests.peers.identity import SECRET, Identity, provider


class Person:
    """Somebody's browser."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def step(self, url: str, form: dict[str, str] | None = None) -> tuple[str, str]:
        """(where it leads, the page that is shown): one of them is empty."""
        method = "GET" if form is None else "POST"
        async with self.session.request(method, url, data=form, allow_redirects=False) as answer:
            if 300 <= answer.status < 400:
                return urljoin(url, answer.headers["Location"]), ""
            assert answer.status == 200, (answer.status, await answer.text())
            return "", await answer.text()

    async def go(self, login: str, page: str = "desk") -> str:
        """Sign in at the provider; the address that it sends the browser back to."""
        where, _ = await self.step(f"{self.base}/v1/oidc/start?page={page}")
        return await self.at_provider(where, login)

    async def at_provider(self, where: str, login: str) -> str:
        for _ in range(12):
            if where.startswith(self.base):
                return where
            before = where
            where, shown = await self.step(where)
            if shown:
                [action] = re.findall(r'action="([^"]+)"', shown)
                [prompt] = re.findall(r'name="prompt" value="(\w+)"', shown)
                form = {"prompt": prompt, "login": login, "password": "any"}
                where, _ = await self.step(urljoin(before, html.unescape(action)), form)
        raise AssertionError(f"the provider leads nowhere: {where}")

    async def arrive(self, back: str) -> str:
        """Where our server leads who comes back: a page and what stands behind its #."""
        where, _ = await self.step(back)
        return where.removeprefix(self.base)

    async def sign_in(self, login: str, page: str = "desk") -> str:
        return await self.arrive(await self.go(login, page))


async def serve(folder: Path, section: str, port: int, workspaces: str = CONFIG) -> Server:
    """A server whose `server` section has `section` (indented by two) too."""
    secret = folder / "oidc.secret"
    secret.write_text(SECRET, encoding="utf-8")
    secret.chmod(0o600)
    rest = workspaces[workspaces.index("workspaces:") :]
    head = f"server:\n  durability: process\n  public_url: http://localhost:{port}\n"
    config = loads(f"{head}{section}{rest}", str(folder / "x.yaml"))
    settings = msgspec.structs.replace(config.server, port=port)
    server = Server(dataclasses.replace(config, server=settings), data=folder / "data")
    await server.start()
    return server


@asynccontextmanager
async def company(folder: Path, **how: object) -> AsyncIterator[tuple[Site, Identity, Person]]:
    """A provider, a server that signs people in there, and a browser."""
    ours, theirs = free_port(), free_port()
    base = f"http://localhost:{ours}"
    async with provider(base, theirs, **how) as identity:
        file = "" if how.get("auth") == "none" else "oidc.secret"
        workspace = identity.settings(file).replace("role:", "workspace: oak, role:")
        server = await serve(folder, workspace, ours)
        person = Person(base)
        try:
            async with aiohttp.ClientSession() as session:
                yield Site(server, api_of(server), session), identity, person
        finally:
            await person.session.close()
            await server.stop()
