"""What the command line does to a stopped server's store, and to a running server from outside."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import aiohttp
import msgspec

from router import app
from router.api.auth import (
    KIND,
    Role,
    TokenRow,
    Use,
    decode_token,
    make_token,
    token_commit,
)
from router.config import Config, Store
from router.core.model import DAY_US
from router.errors import (
    ConfigError,
    JournalBusy,
    JournalFailed,
    NotFound,
    RouterError,
)
from router.journal import (
    AppendResult,
    Commit,
    Finding,
    Journal,
    KeyStore,
    Ownership,
    erasures,
    redis_copy,
)
from router.journal.directory import sync_directory
from router.journal.redis_audit import audit_store
from router.journal.seal import Opener
from router.journal.shared import SharedJournal
from router.journal.workspace_file import open_read_only, read_own
from router.runtime.veil import Reader
from router.runtime.webhooks import public
from router.secret import secret_of, write_secret
from router.store_settings import redis_settings

LINK_US = 12 * 3600 * 1_000_000
"""How long a link made on the command line can be used."""
FRAMES = 200
NAMES_SHOWN = 10
"""Of the names that there are, in a complaint about one that is not."""
WATCHED_LEASES = 5
"""So long a command watches for a sign of life before it takes what several nodes serve."""
LOOKS_PER_LEASE = 4


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token as asked for on the command line."""

    role: str
    name: str = ""
    agent: str = ""
    adapter: str = ""
    days: int = 0
    is_link: bool = False


class StoppedStore(NamedTuple):
    """What a stopped server has of a workspace."""

    journal: Journal
    own: Ownership
    keys: KeyStore


@asynccontextmanager
async def stopped_store(
    config: Config, data: Path | None, workspace: str
) -> AsyncIterator[StoppedStore]:
    """The journal of a workspace, owned. Raises JournalBusy when a server has it."""
    name = workspace_of(config, workspace)
    directory = (data or Path(config.server.data_dir)).absolute()
    try:
        journal, keys = await app.open_store(config, directory)
    except JournalBusy as error:
        raise JournalBusy(
            f"{error}\nA server runs on it: use its API, or stop it first."
        ) from error
    try:
        await _refuse_owned(journal, name, config)
        own = await journal.acquire(name)
        try:
            yield StoppedStore(journal, own, keys)
        finally:
            await journal.release(own)
    finally:
        await journal.close()
        await keys.close()


async def _refuse_owned(journal: Journal, name: str, config: Config) -> None:
    """Raises JournalBusy if one of several nodes serves the workspace: it would lose it."""
    cluster = config.server.cluster
    if cluster is None or not isinstance(journal, SharedJournal):
        return
    before = await journal.standing(name)
    if before.is_free and not before.heir:
        return
    # Nodes count one lease. A command can wait longer, so that no owner that only stood still for
    # a moment loses its workspace to it.
    for _ in range(WATCHED_LEASES * LOOKS_PER_LEASE):
        await asyncio.sleep(cluster.lease_s / LOOKS_PER_LEASE)
        if await journal.standing(name) != before:
            raise JournalBusy(
                f"workspace {name} is served by node {before.heir or before.node}: "
                "use the API of any node"
            )


def workspace_of(config: Config, asked: str) -> str:
    """The workspace meant. Raises ConfigError if that is not clear."""
    names = list(config.workspaces)
    if asked:
        if asked not in names:
            raise ConfigError([f"no workspace {asked!r}; there are: {', '.join(names)}"])
        return asked
    if len(names) > 1:
        raise ConfigError([f"which workspace? --workspace {' | '.join(names)}"])
    return names[0]


# --- tokens -----------------------------------------------------------------------------------


async def create_token(
    path: Path, data: Path | None, workspace: str, wanted: NewToken
) -> list[str]:
    """Make a token, or a link that signs a page in; what to print.

    Raises ConfigError for an agent or an adapter that the workspace does not have.
    """
    config = app.load_config(path)
    settings = config.workspaces[workspace_of(config, workspace)]
    if wanted.adapter and wanted.adapter not in settings.adapters:
        raise ConfigError([_unknown("adapter", wanted.adapter, settings.adapters)])
    now_us = time.time_ns() // 1000
    text, row = make_token(
        Role(wanted.role),
        now_us=now_us,
        name=wanted.name,
        use=Use.TICKET if wanted.is_link else Use.TOKEN,
        agent=wanted.agent,
        channel=wanted.adapter,
        length_us=wanted.days * DAY_US or (LINK_US if wanted.is_link else 0),
        by="cli",
    )
    async with stopped_store(config, data, workspace) as (journal, own, _):
        if wanted.agent:
            known = await _agents(journal, own, [agent.id for agent in settings.agents])
            if wanted.agent not in known:
                raise ConfigError([_unknown("agent", wanted.agent, known)])
        await _write(journal, own, token_commit(own, now_us, add=[row]))
    if wanted.is_link:
        page = "desk" if row.role is Role.AGENT else "wallboard"
        return [f"{public_url(config)}/{page}#ticket={text}"]
    return [text]


async def list_tokens(path: Path, data: Path | None, workspace: str) -> list[str]:
    """The tokens of a workspace as lines."""
    async with stopped_store(app.load_config(path), data, workspace) as (journal, own, _):
        rows = await _tokens(journal, own)
    return [_line(row) for row in rows] or ["no tokens"]


async def revoke_token(path: Path, data: Path | None, workspace: str, id_: str) -> list[str]:
    """End a token. Raises NotFound."""
    async with stopped_store(app.load_config(path), data, workspace) as (journal, own, _):
        if id_ not in {row.id for row in await _tokens(journal, own)}:
            raise NotFound("token", id_)
        await _write(journal, own, token_commit(own, time.time_ns() // 1000, remove=[id_]))
    return [f"{id_} is revoked"]


async def _tokens(journal: Journal, own: Ownership) -> list[TokenRow]:
    rows = [row async for chunk in journal.load(own) for row in chunk if row.kind == KIND]
    return sorted((decode_token(row.data) for row in rows), key=lambda row: row.created_at_us)


async def _agents(journal: Journal, own: Ownership, seeds: list[str]) -> set[str]:
    """The agents that are stored, and those that the file makes at the next start."""
    made = await journal.fetch(own, "seed", seeds)  # once: a deleted one does not come back
    stored = {row.id async for chunk in journal.load(own) for row in chunk if row.kind == "agent"}
    return stored | {id_ for id_ in seeds if id_ not in made}


def _unknown(kind: str, name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, known, 1)
    if close:
        return f"no {kind} {name!r}, did you mean {close[0]!r}?"
    if not known:
        return f"no {kind} {name!r}: this workspace has none"
    shown = ", ".join(sorted(known)[:NAMES_SHOWN])
    return f"no {kind} {name!r}; there are: {shown}{' …' * (len(known) > NAMES_SHOWN)}"


async def _write(journal: Journal, own: Ownership, commit: Commit) -> None:
    result = await journal.append(own, commit)
    if result not in (AppendResult.OK, AppendResult.DUP):
        raise JournalFailed(f"the store did not take it: {result}")


def _line(row: TokenRow) -> str:
    ends = "never"
    if row.expires_at_us:
        ends = datetime.fromtimestamp(row.expires_at_us / 1e6, UTC).isoformat(timespec="seconds")
    bound = row.agent or row.channel or "-"
    return f"{row.id}  {row.role:10} {row.use:8} {bound:12} expires {ends:25} {row.name}"


def public_url(config: Config, port: int = 0) -> str:
    """How browsers reach the server."""
    settings = config.server
    if settings.public_url:
        return settings.public_url.rstrip("/")
    address = "127.0.0.1" if settings.address in ("0.0.0.0", "::") else settings.address
    if ":" in address:
        address = f"[{address}]"
    return f"http://{address}:{port or settings.port}"


# --- events -----------------------------------------------------------------------------------


async def tail_store(
    path: Path, data: Path | None, workspace: str, from_seq: int, show: Callable[[str], object]
) -> None:
    """Show the stored events of a stopped server."""
    async with stopped_store(app.load_config(path), data, workspace) as (journal, own, keys):
        decode = Reader(Opener(keys)).event
        next_seq = from_seq
        while frames := await journal.frames(own, next_seq, FRAMES):
            for frame in frames:
                for seq, event in enumerate(frame.events, frame.first_seq):
                    if seq >= from_seq:
                        shown = {"seq": seq, **public(decode(event))}
                        show(msgspec.json.encode(shown).decode())
                next_seq = frame.first_seq + len(frame.events)


async def tail_server(
    url: str, token: str, from_seq: int | None, show: Callable[[str], object]
) -> None:
    """Show a running server's events as they come. Raises RouterError with its answer."""
    headers = {"Accept": "text/event-stream"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if from_seq is not None:
        headers["Last-Event-ID"] = str(from_seq - 1)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        try:
            async with session.get(f"{url.rstrip('/')}/v1/events", headers=headers) as answer:
                if answer.status != 200:
                    raise RouterError(
                        f"{url} answered {answer.status}: {_why(await answer.text())}"
                    )
                async for raw in answer.content:
                    line = raw.decode().rstrip("\r\n")
                    if line.startswith("data:"):
                        show(line[5:].strip())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RouterError(f"{url}: {type(error).__name__}: {error}") from error


def _why(body: str) -> str:
    try:
        return str(json.loads(body).get("detail", body[:200]))
    except (ValueError, AttributeError):
        return body[:200]


# --- looking and copying ----------------------------------------------------------------------


async def diagnose(config: Config, data: Path | None) -> list[Finding]:
    """What `doctor` has to say."""
    directory = (data or Path(config.server.data_dir)).absolute()
    findings = [
        Finding("ok", f"Python {platform.python_version()}, {platform.platform()}"),
        Finding("ok", f"{config.name}: {len(config.workspaces)} workspaces"),
    ]
    if not directory.exists():
        findings.append(Finding("warning", f"{directory} is not there yet: nothing is stored"))
        return findings
    secret = directory / "secret"
    if config.server.cluster is not None:
        secret = Path(config.server.cluster.secret_file)
    if not secret.exists():
        findings.append(Finding("error", f"{secret} is missing: sealed addresses cannot be opened"))
    elif secret.stat().st_mode & 0o077:
        findings.append(Finding("error", f"{secret} is open to others: chmod 600 {secret}"))
    findings += await _diagnose_servers(config)
    journal = app.journal_of(config, directory)
    try:
        for name in config.workspaces:
            # What it says of the servers was said above, of all of them and once.
            findings += [
                finding for finding in await journal.check(name) if type(finding) is Finding
            ]
    finally:
        await journal.close()
    return findings


async def _diagnose_servers(config: Config) -> list[Finding]:
    """The settings of the Redis servers, if the journal is there."""
    settings = config.server.journal
    if settings.store is not Store.REDIS:
        return []
    findings = [*await audit_store(redis_settings(settings))]
    if settings.keys_url:
        findings += await audit_store(redis_settings(settings, keys=True))
    return [*findings]


async def backup(config: Config, data: Path | None, directory: Path) -> list[Path]:
    """Copy journal, keys and secret. Raises JournalBusy when a server has them."""
    source = (data or Path(config.server.data_dir)).absolute()
    try:
        journal, keys = await app.open_store(config, source)
    except JournalBusy as error:
        raise JournalBusy(f"{error}\nA server runs on it: send it SIGUSR1 instead.") from error
    try:
        return await app.copy_store(journal, keys, secret_of(config, source), directory)
    finally:
        await journal.close()
        await keys.close()


async def restore(config: Config, data: Path | None, journals: Path, keys: Path) -> list[str]:
    """Bring a backup into the configured store, which must be empty; what was done, as lines.

    Whoever was erased since stays erased, as far as a newer copy of the keys is found: in the data
    directories, and beside the backup. Raises ConfigError for a backup that is not whole,
    JournalBusy for a store that has something, JournalDamaged.
    """
    target, configured = _directories(config, data)
    copies = _whole_backup(journals, keys)
    _refuse_what_is_there(target)
    await _refuse_running_nodes(config)
    since = await asyncio.to_thread(_erased_since, journals.parent, keys, target, configured)
    target.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".keys-", dir=target) as partial:
        source = keys
        if since.places:
            source = Path(partial)
            await asyncio.to_thread(erasures.without, keys, since.places, source)
        if config.server.journal.store is Store.REDIS:
            lines = await app.restore_redis(config, copies, source)
        else:
            lines = await asyncio.to_thread(_restore_files, [*copies, source / "keys.db"], target)
    write_secret(target, (keys / "secret").read_bytes())
    moments = await asyncio.to_thread(_moments, copies)
    return [*lines, f"{target / 'secret'}", *moments, *_said_of(since)]


async def _refuse_running_nodes(config: Config) -> None:
    """Raises JournalBusy while nodes run on the store, after watching it for five leases.

    An owner that lives writes its workspace into an emptied store again, beside what is restored.
    One that cannot be seen (frozen, cut off) is deposed by the backup's epoch when it comes back.
    """
    cluster = config.server.cluster
    if cluster is None or config.server.journal.store is not Store.REDIS:
        return
    journal = app.journal_of(config, Path())
    assert isinstance(journal, SharedJournal), "Redis is shared"
    alive: list[str] = []
    try:
        before = {*await journal.nodes()}
        for _ in range(WATCHED_LEASES):
            await asyncio.sleep(cluster.lease_s)
            alive = sorted({entry.name for entry in await journal.nodes() if entry not in before})
            if alive:
                break
    finally:
        await journal.close()
    if alive:
        raise JournalBusy(
            f"nodes run on this store: {', '.join(alive)}. Stop all of them, empty the store, and "
            "restore again: nothing has been written"
        )


def _moments(copies: list[Path]) -> list[str]:
    """What each restored workspace does not know, in words."""
    lines = []
    for copy in copies:
        with closing(open_read_only(copy)) as db:
            own = read_own(db, redis_copy.workspace_of(copy))
        moment = datetime.fromtimestamp(own.at_us / 1e6, UTC)
        lines.append(
            f"workspace {own.workspace} is as of {moment:%Y-%m-%d %H:%M:%S} UTC: what was "
            "acknowledged later is not in it. Send it again with the same external ids"
        )
    return lines


def _directories(config: Config, data: Path | None) -> tuple[Path, Path]:
    """Where to, and what the file names."""
    configured = Path(config.server.data_dir).absolute()
    return (data or configured).absolute(), configured


def _erased_since(backup: Path, keys: Path, *data: Path) -> erasures.Erasures:
    """By the live keys in the data directories, and by copies beside the backup and its keys."""
    backup, keys = backup.absolute(), keys.absolute()
    live = [*data, backup.parent.parent]  # a server copies into <data>/backup
    beside = [backup.parent, keys.parent, *(directory / "backup" for directory in data)]
    copies = [copy for place in beside if place.is_dir() for copy in sorted(place.iterdir())]
    return erasures.since(keys, live, [*copies, *(copy / "keys" for copy in copies)])


def _said_of(since: erasures.Erasures) -> list[str]:
    lines = [
        *(f"passed over: {reason}" for reason in since.passed_over),
        *(f"erasures read: {source}" for source in since.sources),
    ]
    if since.sources:
        return [*lines, f"{len(since.places)} keys of the backup were erased since, and stay so"]
    return [
        *lines,
        "no newer copy of the keys was found: whoever was erased after the backup is back in it. "
        "Restore again with the newest copy of the keys beside it, or erase these people again",
    ]


def _whole_backup(journals: Path, keys: Path) -> list[Path]:
    """The journals of a backup. Raises ConfigError if something of it is missing."""
    copies = sorted(journals.glob("ws-*.db"))
    missing = [str(keys / name) for name in ("keys.db", "secret") if not (keys / name).is_file()]
    if not copies:
        missing.append(f"{journals}/ws-*.db")
    if missing:
        raise ConfigError([f"{place}: is not there; a backup has it" for place in missing])
    return copies


def _refuse_what_is_there(target: Path) -> None:
    for place in (target / "secret", target / "keys.db", *target.glob("ws-*.db")):
        if place.exists():
            raise JournalBusy(f"{place} is there: a restore never overwrites. Name an empty --data")


def _restore_files(files: list[Path], target: Path) -> list[str]:
    """Copy them all, then give them their names: broken off, nothing of it can be started."""
    target.mkdir(parents=True, exist_ok=True)
    partials = []
    for file in files:
        partial = target / f"{file.name}.partial"
        shutil.copyfile(file, partial)
        partial.chmod(0o600)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partials.append((partial, target / file.name))
    for partial, place in partials:
        partial.rename(place)
    sync_directory(target)
    return [str(place) for _, place in partials]
