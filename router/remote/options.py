"""The options by which a command finds a running server and its token, alike for all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def server_option(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--server`` and ``--token-file``; a token is never an argument, which `ps` would show."""
    url = click.option(
        "--server",
        default=default,
        show_default=bool(default),
        envvar="CONTACT_ROUTER_SERVER",
        help="A running server" + ("." if default else ", such as http://127.0.0.1:8080."),
    )
    token = click.option(
        "--token-file",
        type=click.Path(path_type=Path, dir_okay=False),
        default=None,
        help="The file that holds the token; default: the variable CONTACT_ROUTER_TOKEN.",
    )
    return lambda command: url(token(command))
