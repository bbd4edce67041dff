"""The composition root: the one file that knows every piece of a server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import random
import secrets
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from router import config as configuration
from router.api import http
from router.api.auth import Tokens
from router.api.express import Express
from router.config import ClusterSettings, Config, Store, StoreAudit
from router.config.diff import reload as reload_file
from router.errors import (
    ConfigError,
    Fenced,
    JournalDamaged,
    OutcomeUnknown,
    RouterError,
    StoreFull,
)
from router.hosts import Hosts
from router.journal import Journal, KeyStore
from router.journal.keys import BlockKeys, Blocks
from router.journal.keys_file import SqliteBlocks
from router.journal.redis_blocks import RedisBlocks
from router.journal.redis_store import RedisJournal
from router.journal.shared import NodeEntry, SharedJournal
from router.journal.sqlite import SWITCH_INTERVAL_S, SqliteJournal
from router.runtime.clock import Clock, SystemClock
from router.runtime.cluster import Cluster
from router.runtime.context import AppContext
from router.runtime.health import Health
from router.runtime.host import Host
from router.runtime.metrics import CONTENT_TYPE, Metrics
from router.runtime.node_metrics import NodeMetrics
from router.runtime.store_audit import audit_at_start
from router.runtime.store_metrics import StoreMetrics
from router.runtime.tasks import FATAL, spawn
from router.runtime.tracing import tracing_of
from router.runtime.upkeep import Upkeep
from router.runtime.writer import Stopped
from router.secret import secret_of, write_secret
from router.store_settings import redis_settings

log = logging.getLogger("router.app")

SHUTDOWN_S = 1.0
"""How long requests under way may take at the end; aiohttp waits so long twice."""


class Server:
    """A server: made from a configuration, started, stopped."""

    def __init__(
        self,
        config: Config,
        path: Path | None = None,
        *,
        data: Path | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """`path` is what reload reads again; `data` overrides the configured data directory."""
        self.path = path
        self.data = (data or Path(config.server.data_dir)).absolute()
        self.clock = clock or SystemClock()
        self.metrics = Metrics()
        self.health = Health()
        self.hosts: dict[str, Host] = {}
        self.port = 0
        """The port it listens on, once started (the configured one may be 0)."""
        self._rng = rng or random.Random(secrets.randbits(64))
        self._config = config
        self._journal: Journal | None = None
        self._keys: KeyStore | None = None
        self._runners: list[web.AppRunner] = []
        self._slow: http.SlowClients | None = None
        self._express: Express | None = None
        self._listener: asyncio.Server | None = None
        self._upkeep: Upkeep | None = None
        self._reloading = asyncio.Lock()
        self._behind: list[str] = []
        """Workspaces that have not said whether they took their latest settings."""
        self._warned: dict[str, str] = {}
        self.context: AppContext | None = None
        self.before_stop: list[Callable[[], Awaitable[None]]] = []
        """What else must end before the server does (the demo's people)."""
        self._api: http.Api | None = None
        self._cluster: Cluster | None = None
        self.ended = asyncio.Event()
        """Set when this server must end."""

    def tokens(self) -> Tokens:
        """The tokens of the running server."""
        assert self._api is not None, "the server is not listening"
        return self._api.tokens

    # --- starting -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Serve. Raises ConfigError, JournalBusy, JournalDamaged (when no workspace can be served)
        and OSError (the port is taken)."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        FATAL.append(self._task_failed)
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        config, secret = self._config, secret_of(self._config, self.data)
        await audit_store_of(config, self.metrics)
        self._journal, self._keys = await open_store(config, self.data)
        StoreMetrics(self._journal, self.metrics.registry)
        cluster = config.server.cluster
        self.context = context = AppContext(
            config=config,
            clock=self.clock,
            metrics=self.metrics,
            health=self.health,
            reload=self.reload,
            data=self.data,
            secret=secret,
            node="" if cluster is None else node_name(cluster),
            tracing=tracing_of(config, self.metrics),
        )
        self._hosts = hosts = Hosts(
            context, self._journal, self._keys, self._rng, attachments_of(config, self.data)
        )
        self.hosts = hosts.all
        self.metrics.before_render(hosts.refresh_gauges)
        if cluster is None:
            await self._start_hosts(hosts)
        self._warn()
        for host in self.hosts.values():
            hosts.serve(host)
        self._upkeep = hosts.upkeep = Upkeep(
            [host.workspace for host in self.hosts.values()],
            self.clock,
            self.metrics,
            self.health,
            files={name: host.messages.files for name, host in self.hosts.items()},
            dump_stacks=True,
        )
        self._upkeep.start()
        await self._listen(context)
        hosts.api = self._api
        if cluster is not None:
            await self._join(context, cluster, hosts)
        self.health.watch(context.workspaces, context.channels, context.cluster)

    async def _start_hosts(self, hosts: Hosts) -> None:
        """All workspaces; a damaged one is refused and the others are served."""
        gc.disable()  # 100,000 rows come in: nothing of them is garbage
        try:
            for name in self._config.workspaces:
                try:
                    await hosts.start(name)
                except (JournalDamaged, Fenced, Stopped) as error:
                    log.error(  # noqa: TRY400 - the finding says it all
                        "workspace refused", extra={"workspace": name, "why": str(error)}
                    )
                    self.health.refuse(name, str(error))
        finally:
            settle_gc()  # first: once enabled, it would walk over all that has come in
            gc.enable()
        if not self.hosts:
            raise JournalDamaged("\n".join(self.health.degraded()))

    async def _join(self, context: AppContext, settings: ClusterSettings, hosts: Hosts) -> None:
        """Become one of several nodes. Raises JournalBusy: one of this name is there."""
        settle_gc()
        for name in self._config.workspaces:
            hosts.make(name)  # what is wrong with an adapter is said now, not at a takeover
        if not isinstance(self._journal, SharedJournal):
            raise ConfigError(["server.cluster needs a journal that nodes can share: store: redis"])
        if not settings.attachments_dir:
            log.warning("customers' files stay on this node: no server.cluster.attachments_dir")
        boot = f"{time.time_ns() // 1000:016d}-{secrets.token_hex(4)}"
        url = settings.url or os.environ.get("CONTACT_ROUTER_NODE_URL", "")
        me = NodeEntry(context.node, boot, url or f"http://{context.node}:{self.port}", 0)
        self._cluster = context.cluster = Cluster(
            self._journal,
            self.clock,
            hosts,
            me,
            list(self._config.workspaces),
            lease_us=int(settings.lease_s * 1e6),
            metrics=NodeMetrics(self.metrics.registry),
        )
        hosts.on_usurped = self.ended.set
        await self._cluster.start()

    async def _listen(self, context: AppContext) -> None:
        settings = self._config.server
        application = http.build(context)
        self._api = application[http.API]
        runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=SHUTDOWN_S,
            keepalive_timeout=75,
        )
        await runner.setup()
        self._runners.append(runner)
        assert runner.server is not None, "the runner was set up"
        self._slow = http.SlowClients(runner.server)
        self._slow.start()
        self._express = Express(self._api, runner.server)
        self._express.start()
        self._listener = await asyncio.get_running_loop().create_server(
            self._express.connection, settings.address, settings.port, backlog=1024
        )
        self.port = self._listener.sockets[0].getsockname()[1]
        if settings.metrics is not None:
            await self._listen_metrics(settings.metrics.address, settings.metrics.port)

    async def _listen_metrics(self, address: str, port: int) -> None:
        async def render(_request: web.Request) -> web.Response:
            return web.Response(
                body=await self.metrics.render(), headers={"Content-Type": CONTENT_TYPE}
            )

        app = web.Application()
        app.router.add_get("/metrics", render)
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, address, port).start()

    def _task_failed(self, _name: str, _error: BaseException) -> None:
        self.metrics.task_failures.inc()

    # --- while it runs ------------------------------------------------------------------------

    async def reload(self, by: str) -> list[str]:
        """Read the file again; what changed, in words. ConfigError: nothing has changed.

        Each workspace commits for itself. Where some cannot, the others have the new settings:
        StoreFull or OutcomeUnknown says which ones, and the next reload brings the rest.
        """
        if self.path is None:
            raise ConfigError(["this server was not started from a file"])
        async with self._reloading:
            new, diff = await asyncio.to_thread(reload_file, self._config, self.path)
            names = dict.fromkeys((*diff.touched(), *self._behind))
            hosts = [self.hosts[name] for name in names if name in self.hosts]
            for host in hosts:
                host.workspace.admit(0)  # who takes nothing now is known before anybody does
            failed: dict[str, RouterError] = {}
            for host in hosts:
                try:
                    await host.apply(new.workspaces[host.name].policy, by)
                except RouterError as error:
                    failed[host.name] = error
            self._config, self._behind = in_force(new, self._config, failed), list(failed)
            if self.context is not None:
                self.context.config = self._config
            self._warn()
        if failed:
            raise taken_in_part([host.name for host in hosts if host.name not in failed], failed)
        lines = diff.lines()
        lines += [line for host in hosts for line in host.left_out()]
        log.info("configuration read", extra={"by": by, "changes": lines})
        return lines

    def _warn(self) -> None:
        """What can hardly be meant by the rules, once for as long as the file says it."""
        said = {
            warning: name
            for name, settings in self._config.workspaces.items()
            for warning in settings.warnings
        }
        for warning, name in said.items():
            if warning not in self._warned:
                log.warning("rule book", extra={"workspace": name, "warning": warning})
        self._warned = said

    async def backup(self) -> list[Path]:
        """Copy journal and keys into a new directory under <data>/backup, while serving."""
        assert self._journal is not None
        assert self._keys is not None
        moment = datetime.fromtimestamp(self.clock.now_us() / 1e6, UTC)
        directory = self.data / "backup" / moment.strftime("%Y%m%dT%H%M%SZ")
        secret = secret_of(self._config, self.data)
        files = await copy_store(self._journal, self._keys, secret, directory)
        log.info("backup written", extra={"directory": str(directory), "files": len(files)})
        return files

    async def stop(self) -> None:
        """Accept nothing new, tell clients, finish what is under way. Safe to repeat."""
        self.health.stopping = True
        if self.context is not None and self._cluster is None:
            self.context.stopping = True
        for end in self.before_stop:
            await end()
        self.before_stop.clear()
        if self._cluster is not None:  # while clients are still passed on to the new owners
            await self._cluster.stop()
        if self.context is not None:
            self.context.stopping = True
        if self._slow is not None:
            self._slow.stop()
        # While sockets live: agents are not lost by a stop, and adapters say goodbye to visitors.
        await asyncio.gather(*(host.say_goodbye() for host in self.hosts.values()))
        if self._listener is not None:
            self._listener.close()
        if self._express is not None:
            await self._express.stop(SHUTDOWN_S)
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        if self._upkeep is not None:
            await self._upkeep.stop()
        for host in self.hosts.values():
            await host.stop()
        self.hosts.clear()
        if self._journal is not None:
            await self._journal.close()
        if self._keys is not None:
            await self._keys.close()
        if self.context is not None and self.context.tracing is not None:
            await asyncio.to_thread(self.context.tracing.stop)
        if self._task_failed in FATAL:
            FATAL.remove(self._task_failed)


async def serve(server: Server, ready: asyncio.Event | None = None) -> None:
    """Run a server until SIGTERM or SIGINT; SIGHUP reads the configuration again."""
    loop = asyncio.get_running_loop()
    ended = server.ended
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: spawn(_reload(server), "reload"))
    loop.add_signal_handler(signal.SIGUSR1, lambda: spawn(server.backup(), "backup"))
    await server.start()
    try:
        notify("READY=1")
        log.info("serving", extra={"port": server.port, "workspaces": list(server.hosts)})
        if ready is not None:
            ready.set()
        await ended.wait()
        log.info("stopping")
    finally:
        notify("STOPPING=1")
        await server.stop()


def in_force(new: Config, old: Config, failed: Collection[str]) -> Config:
    """The new configuration, with the settings before of those who have not taken theirs."""
    kept = {name: old.workspaces[name] for name in failed}
    return replace(new, workspaces={**new.workspaces, **kept})


def taken_in_part(has: list[str], failed: dict[str, RouterError]) -> RouterError:
    """Which workspaces have the new settings and which have not; the error itself if none has."""
    first = next(iter(failed.values()))
    if not has:
        return first
    log.error("configuration taken in part", extra={"has": has, "has_not": list(failed)})
    reasons = "; ".join(str(error) for error in failed.values())
    text = (
        f"{', '.join(has)}: in force; {', '.join(failed)}: as before, or not known yet "
        f"({reasons}). Reload again to bring the rest"
    )
    return StoreFull(text) if isinstance(first, StoreFull) else OutcomeUnknown(text)


async def _reload(server: Server) -> None:
    try:
        await server.reload("SIGHUP")
    except ConfigError as error:
        log.error(  # noqa: TRY400 - the findings say it all
            "configuration not taken", extra={"findings": error.findings}
        )
    except RouterError as error:  # the store takes nothing now: not a fault of the file
        log.error("configuration not taken", extra={"why": str(error)})  # noqa: TRY400


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3)); nothing happens elsewhere."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        name = "\0" + address[1:] if address.startswith("@") else address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out, contextlib.suppress(OSError):
            out.sendto(state.encode(), name)


async def open_store(config: Config, data: Path) -> tuple[Journal, KeyStore]:
    """The journal and the key store that the configuration names. Raises JournalBusy ..."""
    settings = config.server.journal
    secret_of(config, data)  # belongs to the data from the first moment on
    journal = journal_of(config, data)
    try:
        if settings.store is Store.REDIS:
            blocks: Blocks = RedisBlocks(redis_settings(settings, keys=True))
        else:
            blocks = SqliteBlocks(data)
        return journal, await BlockKeys.open(blocks)
    except BaseException:
        await journal.close()
        raise


async def audit_store_of(config: Config, metrics: Metrics) -> None:
    """Look at the settings of the configured Redis servers. Raises ConfigError, JournalFailed."""
    settings = config.server.journal
    if settings.store is Store.REDIS:
        stores = [redis_settings(settings)]
        if settings.keys_url:
            stores.append(redis_settings(settings, keys=True))
        is_strict = settings.audit is StoreAudit.STRICT
        await audit_at_start(stores, metrics.registry, is_strict=is_strict)


def journal_of(config: Config, data: Path) -> Journal:
    """The journal that the configuration names, not opened yet."""
    settings = config.server.journal
    if settings.store is Store.REDIS:
        return RedisJournal(redis_settings(settings))
    return SqliteJournal(data, durability=config.server.durability.value)


async def restore_redis(config: Config, copies: list[Path], keys: Path) -> list[str]:
    """Bring copied workspaces and keys into Redis. Raises JournalBusy, JournalDamaged."""
    settings = config.server.journal
    blocks = RedisBlocks(redis_settings(settings, keys=True))
    try:
        # Keys first: workspaces without them would be contacts that nobody can read.
        count = await asyncio.to_thread(blocks.restore, keys)
    finally:
        blocks.close()
    journal = RedisJournal(redis_settings(settings))
    try:
        names = [await journal.restore(copy) for copy in copies]
    finally:
        await journal.close()
    return [f"{count} blocks of keys", *(f"workspace {name}" for name in names)]


async def copy_store(
    journal: Journal, keys: KeyStore, secret: bytes, directory: Path
) -> list[Path]:
    """A consistent copy: the journal by itself, and what opens it (keys, secret) by itself."""
    return [
        *await journal.backup(directory / "journal"),
        *await keys.backup(directory / "keys"),
        write_secret(directory / "keys", secret),
    ]


def node_name(settings: ClusterSettings) -> str:
    """What this node is called."""
    return settings.node or os.environ.get("CONTACT_ROUTER_NODE", "") or socket.gethostname()


def attachments_of(config: Config, data: Path) -> Path:
    """Where customers' files lie, a directory for each workspace."""
    cluster = config.server.cluster
    shared = cluster.attachments_dir if cluster is not None else ""
    return Path(shared).absolute() if shared else data / "attachments"


def settle_gc() -> None:
    """What is there now stays; young objects in small portions, so that no pause is over 2 ms.

    All of them (a pause of 0.3 s with 100,000 contacts) only after so many allocations as half an
    hour takes.
    """
    gc.freeze()
    gc.set_threshold(2_000, 5, 10_000)


def load_config(path: Path) -> Config:
    """Read a configuration file. Raises ConfigError with everything that is wrong with it."""
    return configuration.load(path)
