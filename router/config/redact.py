"""The configuration as it is in force, for `config dump`: no secret, and no file's contents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from router.config.document import Config
from router.config.secret_files import is_secret
from router.core.rules.compile import Expression

HIDDEN = "(hidden)"


def redact(config: Config) -> dict[str, Any]:
    """Plain values, ready for JSON or YAML."""
    return {
        "server": _plain(config.server),
        "workspaces": {
            name: {
                "policy": _plain(settings.policy),
                "agents": _plain(settings.agents),
                "adapters": _plain(settings.adapters),
                "webhooks": _plain(settings.webhooks),
            }
            for name, settings in config.workspaces.items()
        },
    }


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        # By hand, not `to_builtins`: what is at its default belongs into a dump.
        return {name: _shown(name, getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Expression):
        return value.source
    if isinstance(value, Mapping):
        return {str(key): _shown(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return msgspec.to_builtins(value)


def _shown(key: str, value: Any) -> Any:
    if is_secret(key) and value:
        return HIDDEN
    if isinstance(value, str) and (key == "url" or key.endswith("_url")) and "://" in value:
        return _bare(value)
    return _plain(value)


def _bare(url: str) -> str:
    """Without user and query: both are where tokens are put."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, place, parts.path, HIDDEN if parts.query else "", ""))
