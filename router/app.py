"""The composition root: the one file that knows every piece of a server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hmac
import logging
import os
import random
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from router import config as configuration
from router.api import http
from router.api.auth import Tokens
from router.api.express import Express
from router.config import Config, Store, WorkspaceSettings, read_secret
from router.config.diff import reload as reload_file
from router.errors import ConfigError, Fenced, JournalDamaged
from router.journal import Journal, KeyStore
from router.journal.directory import sync_directory
from router.journal.keys import BlockKeys, Blocks, SqliteBlocks
from router.journal.redis_blocks import RedisBlocks
from router.journal.redis_store import RedisJournal
from router.journal.sqlite import SWITCH_INTERVAL_S, SqliteJournal
from router.runtime.attachments import Attachments
from router.runtime.clock import Clock, SystemClock
from router.runtime.context import AppContext
from router.runtime.health import Health
from router.runtime.host import Host
from router.runtime.metrics import CONTENT_TYPE, Metrics
from router.runtime.tasks import FATAL, spawn
from router.runtime.upkeep import Upkeep
from router.runtime.webhooks import Webhook
from router.runtime.writer import Stopped
from router.store_settings import redis_settings

log = logging.getLogger("router.app")

SECRET_BYTES = 32
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
        self._warned: dict[str, str] = {}
        self.context: AppContext | None = None
        self.before_stop: list[Callable[[], Awaitable[None]]] = []
        """What else must end before the server does (the demo's people)."""
        self._api: http.Api | None = None

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
        secret = installation_secret(self.data)
        self._journal, self._keys = await open_store(self._config, self.data)
        gc.disable()  # 100,000 rows come in: nothing of them is garbage
        try:
            for name, settings in self._config.workspaces.items():
                await self._start_host(name, settings, secret)
        finally:
            gc.enable()
            gc.freeze()
            # Young objects in small portions, and once more when 10,000 have grown older, so that
            # no pause is longer than 2 ms; all of them (a pause of 0.3 s with 100,000 contacts)
            # only after so many allocations as half an hour takes.
            gc.set_threshold(2_000, 5, 10_000)
        if not self.hosts:
            raise JournalDamaged("\n".join(self.health.degraded()))
        hosts = self.hosts
        self.context = context = AppContext(
            config=self._config,
            clock=self.clock,
            metrics=self.metrics,
            health=self.health,
            reload=self.reload,
            data=self.data,
            secret=secret,
            workspaces={name: host.workspace for name, host in hosts.items()},
            desks={name: host.desks for name, host in hosts.items()},
            channels={name: host.channels for name, host in hosts.items()},
            intakes={name: host.intake for name, host in hosts.items()},
            messages={name: host.messages for name, host in hosts.items()},
            measures={name: host.measures for name, host in hosts.items()},
        )
        self._warn()
        for name, host in hosts.items():
            host.serve(webhooks_of(self._config.workspaces[name]))
        self._upkeep = Upkeep(
            [host.workspace for host in hosts.values()],
            self.clock,
            self.metrics,
            self.health,
            files={name: host.messages.files for name, host in hosts.items()},
            dump_stacks=True,
        )
        self._upkeep.start()
        await self._listen(context)
        self.health.watch(context.workspaces, context.channels)

    async def _start_host(self, name: str, settings: WorkspaceSettings, secret: bytes) -> None:
        """One workspace; a damaged one is refused and the others are served."""
        assert self._journal is not None
        assert self._keys is not None
        host = Host(
            name,
            settings.policy,
            journal=self._journal,
            keys=self._keys,
            secret=hmac.digest(secret, b"workspace:" + name.encode(), "sha256"),
            clock=self.clock,
            metrics=self.metrics.workspace(name),
            inbox=self._config.server.limits.inbox_commands,
            rng=self._rng,
        )
        host.messages.files = Attachments(self.data / "attachments" / name)
        host.load(settings.adapters)
        try:
            await host.start(settings.agents)
        except (JournalDamaged, Fenced, Stopped) as error:
            log.error(  # noqa: TRY400 - the finding says it all
                "workspace refused", extra={"workspace": name, "why": str(error)}
            )
            self.health.refuse(name, str(error))
            return
        self.hosts[name] = host
        self.metrics.before_render(host.refresh_gauges)

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
        """Read the file again; what changed, in words. ConfigError: nothing has changed."""
        if self.path is None:
            raise ConfigError(["this server was not started from a file"])
        async with self._reloading:
            new, diff = await asyncio.to_thread(reload_file, self._config, self.path)
            for name in diff.touched():
                if name in self.hosts:
                    await self.hosts[name].apply(new.workspaces[name].policy, by)
            self._config = new
            if self.context is not None:
                self.context.config = new
            self._warn()
        lines = diff.lines()
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
        files = await copy_store(self._journal, self._keys, self.data, directory)
        log.info("backup written", extra={"directory": str(directory), "files": len(files)})
        return files

    async def stop(self) -> None:
        """Accept nothing new, tell clients, finish what is under way. Safe to repeat."""
        self.health.stopping = True
        if self.context is not None:
            self.context.stopping = True
        for end in self.before_stop:
            await end()
        self.before_stop.clear()
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
        if self._task_failed in FATAL:
            FATAL.remove(self._task_failed)


async def serve(server: Server, ready: asyncio.Event | None = None) -> None:
    """Run a server until SIGTERM or SIGINT; SIGHUP reads the configuration again."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
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


async def _reload(server: Server) -> None:
    try:
        await server.reload("SIGHUP")
    except ConfigError as error:
        log.error(  # noqa: TRY400 - the findings say it all
            "configuration not taken", extra={"findings": error.findings}
        )


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
    installation_secret(data)  # belongs to the data from the first moment on
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


async def copy_store(journal: Journal, keys: KeyStore, data: Path, directory: Path) -> list[Path]:
    """A consistent copy: the journal by itself, and what opens it (keys, secret) by itself."""
    return [
        *await journal.backup(directory / "journal"),
        *await keys.backup(directory / "keys"),
        write_secret(directory / "keys", installation_secret(data)),
    ]


def installation_secret(data: Path) -> bytes:
    """32 random bytes of this installation, made at the first start (file `secret`, mode 0600)."""
    path = data / "secret"
    if path.exists():
        found = path.read_bytes()
        if len(found) != SECRET_BYTES:
            raise ConfigError([f"{path}: expected {SECRET_BYTES} bytes, got {len(found)}"])
        return found
    made = secrets.token_bytes(SECRET_BYTES)
    write_secret(data, made)
    return made


def write_secret(directory: Path, secret: bytes) -> Path:
    """Make the file `secret`, durably; only its owner can read it."""
    path = directory / "secret"
    directory.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".new")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(secret)
        out.flush()
        os.fsync(out.fileno())
    partial.rename(path)
    sync_directory(directory)
    return path


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


def load_config(path: Path) -> Config:
    """Read a configuration file. Raises ConfigError with everything that is wrong with it."""
    return configuration.load(path)
