"""`contact-router demo`: a server with people in it, and links that sign you in."""

from __future__ import annotations

import asyncio
import random
import sys
from dataclasses import replace
from pathlib import Path

import click
import msgspec

from router import app
from router.api.auth import Role, Use, make_token
from router.config import AdapterSettings, Config
from router.offline import LINK_US, public_url
from router.runtime import logs
from router.runtime.demo import Demo
from router.runtime.tasks import spawn

VISITORS = "visitors"
"""Simulated customers of the chat; the web widget is for real ones."""


async def run(path: Path, data: Path, *, port: int | None, seed: int | None, people: bool) -> None:
    """Serve until Ctrl-C."""
    config = app.load_config(path)
    logs.set_up("warning", for_people=True)
    if port is not None:
        config = _on_port(config, port)
    name, settings = next(iter(config.workspaces.items()))
    if people and VISITORS not in settings.adapters:
        settings.adapters[VISITORS] = AdapterSettings(type="loopback", channel="chat")
    server = app.Server(config, path, data=data)
    rng = random.Random(seed) if seed is not None else random.SystemRandom()
    ready = asyncio.Event()
    greeting = spawn(_greet(server, config, name, ready, rng if people else None), "greeting")
    try:
        await app.serve(server, ready)
        click.echo(f"\nStopped. The contacts wait in {server.data}.")
    finally:
        greeting.cancel()


async def _greet(
    server: app.Server,
    config: Config,
    name: str,
    ready: asyncio.Event,
    rng: random.Random | None,
) -> None:
    """Print the links once the server is up, and let the people in."""
    await ready.wait()
    host = server.hosts[name]
    agents = sorted(host.workspace.engine.state.agents.values(), key=lambda agent: agent.order)
    base = public_url(config, server.port)
    agent = agents[0].id if agents else ""
    lines = ["", f"contact-router demo, {server.data}"]
    if agent:
        link = await _link(server, name, Role.AGENT, agent=agent)
        lines.append(f"  desk of {agents[0].name or agent:<10} {base}/desk#ticket={link}")
    link = await _link(server, name, Role.ADMIN)
    lines.append(f"  wallboard          {base}/wallboard#ticket={link}")
    lines.append(f"  be a customer      {base}/")
    text, row = make_token(
        Role.ADMIN, now_us=server.clock.now_us(), name="demo", length_us=LINK_US, by="demo"
    )
    await server.tokens().add(name, row)
    lines += [f"  token for the API  {text}", "", "Ctrl-C stops it; started again, it goes on.", ""]
    click.echo("\n".join(lines))
    sys.stdout.flush()
    if rng is not None:
        demo = Demo(host, server.clock, rng)
        server.before_stop.append(demo.stop)
        demo.start()


async def _link(server: app.Server, name: str, role: Role, *, agent: str = "") -> str:
    text, row = make_token(
        role,
        now_us=server.clock.now_us(),
        name="demo",
        use=Use.TICKET,
        agent=agent,
        length_us=LINK_US,
        by="demo",
    )
    await server.tokens().add(name, row)
    return text


def _on_port(config: Config, port: int) -> Config:
    return replace(config, server=msgspec.structs.replace(config.server, port=port))
