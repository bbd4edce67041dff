"""Workspaces come and go: each is made, served and ended here, with all that must know of it.

A server by itself opens all of them at its start. One of several nodes opens what it wins and
closes what it loses (`runtime/cluster.py`), while it serves.
"""

from __future__ import annotations

import asyncio
import gc
import hmac
import logging
import random
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from router.api.http import Api
from router.api.peers import CALL_S, PeerFailed, PeerSlow
from router.config import WorkspaceSettings, read_secret
from router.errors import JournalDamaged, RouterError
from router.journal import Journal, KeyStore, Ownership
from router.journal.keys import BlockKeys
from router.journal.shared import SharedJournal
from router.runtime.attachments import Attachments
from router.runtime.context import AppContext
from router.runtime.host import Host
from router.runtime.lease import Lease
from router.runtime.upkeep import Upkeep
from router.runtime.warm import Warm
from router.runtime.webhooks import Webhook
from router.secret import fingerprint

log = logging.getLogger("router.app")

WARM_S = 10.0
"""An heir that has not read ahead after so long is handed over to as it is."""
WARM_KEPT_US = 30_000_000
"""So long read rows wait for the workspace to come."""


class Hosts:
    """The workspaces that this process serves."""

    def __init__(
        self,
        context: AppContext,
        journal: Journal,
        keys: KeyStore,
        rng: random.Random,
        files: Path,
    ) -> None:
        """`files`: where customers' files lie, a directory for each workspace."""
        self.all: dict[str, Host] = {}
        self.api: Api | None = None
        self.upkeep: Upkeep | None = None
        self.on_usurped: Callable[[], None] | None = None
        self._context = context
        self._journal = journal
        self._keys = keys
        self._rng = rng
        self._files = files
        self._opening = 0
        """Workspaces that are being loaded."""
        self._warm: dict[str, Warm] = {}
        """Workspaces that will be handed over to this node, as they were read ahead."""

    async def start(
        self,
        name: str,
        own: Ownership | None = None,
        lease: Lease | None = None,
        warm: Warm | None = None,
    ) -> Host:
        """Make a host and start it; not served yet. Raises what `Host.start` raises."""
        context, host = self._context, self.make(name)
        settings = context.config.workspaces[name]
        if context.node:
            host.workspace.on_loaded.insert(0, lambda: self._check_secret(host))
        try:
            await host.start(settings.agents, own, lease, warm)
        except BaseException:
            if own is not None:
                host.workspace.release = _keep  # it is the cluster's to give up
                await host.stop()
            raise
        self.all[name] = host
        context.admit(host)
        return host

    def make(self, name: str) -> Host:
        """A host that does nothing yet. Raises ConfigError for an adapter's settings."""
        context = self._context
        settings = context.config.workspaces[name]
        host = Host(
            name,
            settings.policy,
            journal=self._journal,
            keys=self._keys,
            secret=hmac.digest(context.secret, b"workspace:" + name.encode(), "sha256"),
            clock=context.clock,
            metrics=context.metrics.workspace(name),
            inbox=context.config.server.limits.inbox_commands,
            rng=self._rng,
        )
        host.messages.files = Attachments(self._files / name)
        host.load(settings.adapters)
        return host

    def serve(self, host: Host) -> None:
        """Begin: adapters, desks, webhooks, the API, upkeep."""
        settings = self._context.config.workspaces[host.name]
        if self._context.tracing is not None:
            host.trace(self._context.tracing)
        host.serve(webhooks_of(settings))
        if self.upkeep is not None:
            self.upkeep.admit(host.workspace, host.messages.files)
        if self.api is not None:
            self.api.admit(host.name)

    def refresh_gauges(self) -> None:
        """Before metrics are rendered."""
        for host in self.all.values():
            host.refresh_gauges()

    def _check_secret(self, host: Host) -> None:
        """Raises JournalDamaged: what another secret has sealed cannot be opened with ours."""
        ours = fingerprint(self._context.secret).encode()
        written = host.workspace.rows_of("node").get("secret")
        if written is None:
            host.workspace.note("node", "secret", ours)
        elif written != ours:
            raise JournalDamaged(
                f"workspace {host.name} was written with another secret: give every node the same "
                "file as server.cluster.secret_file"
            )

    # --- for the cluster: see `cluster.Hosting` -------------------------------------------------

    async def open_workspace(self, name: str, own: Ownership, lease: Lease) -> None:
        """Load and serve what this node has won."""
        if isinstance(self._keys, BlockKeys):
            await self._keys.reread()
        cluster = self._context.cluster
        assert cluster is not None, "opened by the cluster"
        gc.disable()  # 100,000 rows come in: nothing of them is garbage
        self._opening += 1
        try:
            warm = self._warm.pop(name, None)
            host = await self.start(name, own, lease, warm)
        except RouterError as error:
            self._context.health.refuse(name, str(error))
            raise
        finally:
            self._opening -= 1
            gc.freeze()  # first: once enabled, it would walk over all that has come in
            if not self._opening:
                gc.enable()
        if warm is not None:
            log.info("rows were read ahead", extra={"workspace": name, "rows": warm.used})
        host.on_lost = lambda why: cluster.ended(name, why)
        self._context.health.refuse(name, "")
        self.serve(host)

    async def close_workspace(self, name: str, why: str, heir: str | None) -> None:
        """End it here; a store that does not answer leaves it to the others, a lease later."""
        host = self.all.pop(name, None)
        if host is None:
            return
        host.on_lost = None
        journal = self._journal
        if heir is None:
            host.workspace.end(why)
        elif isinstance(journal, SharedJournal):
            host.workspace.release = lambda own: journal.hand_over(own, heir)
        if self.api is not None:
            self.api.dismiss(name)
        self._context.dismiss(name)
        if self.upkeep is not None:
            self.upkeep.dismiss(host.workspace)
        try:
            await host.stop("moved")
        except (RouterError, OSError) as error:
            log.warning("not given up", extra={"workspace": name, "error": str(error)})
        host.metrics.left()

    async def warm_heir(self, address: str, workspace: str) -> bool:
        """Let the node at this address read ahead; wait until it has, or takes too long.

        False: it would not take the workspace, or is not there (its entry outlives it for a moment:
        what is given to it now would be nobody's for a lease).
        """
        proxy = self.api.proxy if self.api is not None else None
        if proxy is None:
            return True
        path = f"/nodes/warm?workspace={quote(workspace, safe='')}"
        try:
            return bool((await proxy.peers.call("POST", address, path, WARM_S))["takes"])
        except PeerSlow:
            return True  # it may still be reading, and can read again
        except (PeerFailed, KeyError, TypeError) as error:
            log.warning("heir not reached", extra={"path": path, "error": str(error)})
            return False

    async def warm_up(self, workspace: str) -> None:
        """Read ahead what another node will hand over. What fails here costs only time later."""
        if not isinstance(self._journal, SharedJournal) or workspace in self.all:
            return
        warm = Warm(self._keys)
        try:
            async with asyncio.timeout(WARM_S):
                await warm.read(self._journal, workspace)
        except (RouterError, TimeoutError) as error:
            log.warning("not read ahead", extra={"workspace": workspace, "error": str(error)})
            return
        self._warm[workspace] = warm
        clock = self._context.clock
        clock.call_at(clock.now_us() + WARM_KEPT_US, lambda: self._cool(workspace, warm))

    def _cool(self, workspace: str, warm: Warm) -> None:
        """It was not handed over after all: its rows must not lie here for nothing."""
        if self._warm.get(workspace) is warm:
            del self._warm[workspace]

    async def tell_heir(self, address: str, workspace: str) -> None:
        """Say that a workspace waits for it; it looks by itself, if it does not hear this."""
        proxy = self.api.proxy if self.api is not None else None
        if proxy is None:
            return
        path = f"/nodes/take?workspace={quote(workspace, safe='')}"
        try:
            await proxy.peers.call("POST", address, path, CALL_S)
        except PeerFailed as error:
            log.warning("heir not told", extra={"path": path, "error": str(error)})

    def usurped(self, why: str) -> None:
        """Another process has this node's name."""
        log.error("this node ends", extra={"why": why})
        if self.on_usurped is not None:
            self.on_usurped()


async def _keep(_own: Ownership) -> None:
    pass


def webhooks_of(settings: WorkspaceSettings) -> list[Webhook]:
    """The configured webhooks with their secrets. Raises ConfigError."""
    return [
        Webhook(
            name=name,
            url=webhook.url,
            secret=read_secret(Path(webhook.secret_file)),
            events=frozenset(webhook.events),
        )
        for name, webhook in settings.webhooks.items()
    ]
