"""`contact-router nodes` and `contact-router drain`: asked of the node that a configuration is for.

Signed with the installation's secret, as nodes ask each other; no token is needed.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from router.errors import ConfigError

Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
DRAIN_S = 120.0


def add_to(main: click.Group, run: Run) -> None:
    """Add the commands. `run` carries a coroutine out and tells errors as sentences."""
    config = click.option(
        "-c",
        "--config",
        "path",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path("config/contact-router.yaml"),
        show_default=True,
        envvar="CONTACT_ROUTER_CONFIG",
        help="The node's configuration file.",
    )

    @config
    def nodes(path: Path) -> None:
        """Show the nodes, which of them are alive, and which workspaces each one owns."""
        run(lambda: _nodes(path))

    @config
    def drain(path: Path) -> None:
        """Hand over all workspaces of this node, which goes on as a way in and claims nothing.

        It takes workspaces again once it has been started anew.
        """
        run(lambda: _drain(path))

    main.command("nodes")(nodes)
    main.command("drain")(drain)


async def _nodes(path: Path) -> None:
    said = await _ask(path, "GET", "/nodes/state", 5.0)
    for node in said["nodes"]:
        words = "alive " if node["alive"] else "silent"
        owns = ", ".join(node["owns"]) or "-"
        mark = " (this node)" if node["name"] == said["node"] else ""
        click.echo(f"{node['name']}{mark}  {words}  {node['address']}  owns: {owns}")
    if said["unowned"]:
        click.echo(f"owned by nobody: {', '.join(said['unowned'])}")
    if said["draining"]:
        click.echo("this node is drained: it claims nothing until it is started anew")


async def _drain(path: Path) -> None:
    said = await _ask(path, "POST", "/nodes/drain", DRAIN_S)
    click.echo(f"handed over: {', '.join(said['handed_over']) or 'nothing'}")
    if said["kept"]:
        click.echo(f"kept, for want of another node: {', '.join(said['kept'])}")
        sys.exit(1)


async def _ask(file: Path, method: str, path: str, wait_s: float) -> Any:
    """What the node says. Raises ConfigError."""
    from router.api.hops import Hops
    from router.api.peers import PeerFailed, Peers
    from router.config import load
    from router.runtime.clock import SystemClock
    from router.secret import secret_of

    config = load(file)
    server, cluster = config.server, config.server.cluster
    if cluster is None:
        raise ConfigError(["server.cluster is not set: this server is the only node"])
    here = "127.0.0.1" if server.address in ("0.0.0.0", "::", "") else server.address
    secret = secret_of(config, Path(server.data_dir))
    peers = Peers(Hops(secret, SystemClock(), f"cli@{socket.gethostname()}-{os.getpid()}"))
    try:
        host = f"[{here}]" if ":" in here else here
        return await peers.call(method, f"http://{host}:{server.port}", path, wait_s)
    except PeerFailed as error:
        raise ConfigError([f"the node does not answer: {error}"]) from error
    finally:
        await peers.close()
