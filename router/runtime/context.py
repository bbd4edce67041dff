"""What the API is given: the pieces of a running server, by workspace, and nothing it could misuse.

workspaces[name].ask(command)        the only way in; durable when it returns
workspaces[name].feed                the event stream
desks[name].open(agent)              a desk's connection (-> DeskSession to pull offers from)
channels[name].get(adapter)          an adapter (its `attach`); `.routes()`, `.states()`
intakes[name].submit / message / send   contacts and messages from wherever
messages[name]                       bodies: write with a command, list and open
envelopes: router.runtime.envelope   addresses and names sealed with a contact
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.config import Config
    from router.core.statistics import Measures
    from router.runtime.channels import Channels
    from router.runtime.clock import Clock
    from router.runtime.cluster import Cluster
    from router.runtime.desks import Desks
    from router.runtime.health import Health
    from router.runtime.host import Host
    from router.runtime.intake import Intake
    from router.runtime.loop import Workspace
    from router.runtime.messages import Messages
    from router.runtime.metrics import Metrics
    from router.runtime.tracing import Tracing


@dataclass(slots=True)
class AppContext:
    """A running server, as its interfaces see it."""

    config: Config
    clock: Clock
    metrics: Metrics
    health: Health
    reload: Callable[[str], Awaitable[list[str]]]
    """Read the configuration again, as asked by (who); what changed, in words. Raises ConfigError:
    nothing has changed then. `config` here is replaced when it succeeds."""
    data: Path
    """The data directory."""
    secret: bytes
    """Of this installation, 32 bytes: derive keys from it (HMAC with a purpose), no other use."""
    workspaces: dict[str, Workspace] = field(default_factory=dict)
    desks: dict[str, Desks] = field(default_factory=dict)
    channels: dict[str, Channels] = field(default_factory=dict)
    intakes: dict[str, Intake] = field(default_factory=dict)
    messages: dict[str, Messages] = field(default_factory=dict)
    measures: dict[str, Measures] = field(default_factory=dict)
    """The fold of each workspace's events; lags the last commit by a turn of the loop."""
    node: str = ""
    """The name of this node; empty = it is the only one."""
    cluster: Cluster | None = None
    """This node among the others, once it listens."""
    tracing: Tracing | None = None
    """Traces of all contacts, where the configuration asks for them."""
    stopping: bool = False
    """True once the server is on its way out: refuse new connections, tell the old ones."""

    def admit(self, host: Host) -> None:
        """A workspace is served here from now on."""
        name = host.name
        self.workspaces[name] = host.workspace
        self.desks[name] = host.desks
        self.channels[name] = host.channels
        self.intakes[name] = host.intake
        self.messages[name] = host.messages
        self.measures[name] = host.measures

    def dismiss(self, name: str) -> None:
        """A workspace is not served here any more."""
        for pieces in (self.workspaces, self.desks, self.channels, self.intakes, self.messages):
            pieces.pop(name, None)
        self.measures.pop(name, None)
