"""What the types of the process's settings cannot say: sign-in, tracing, several nodes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path as FilePath
from urllib.parse import urlsplit

from msgspec.structs import replace

from router.config.convert import Reading, fields
from router.config.forms import LOOPBACK
from router.config.reader import Path, shown
from router.config.secret_files import problem, read_secret
from router.config.server import (
    ClusterSettings,
    JournalSettings,
    OidcSettings,
    ServerSettings,
    Store,
)


def check_server(
    server: ServerSettings, workspaces: Sequence[str], reading: Reading, directory: FilePath
) -> None:
    """Add what is wrong to the findings."""
    _check_journal(server.journal, reading, directory)
    if server.oidc is not None:
        _check_sign_in(server.oidc, server.public_url, workspaces, reading)
        at: Path = ("server", "oidc", "client_secret_file")
        _check_file(server.oidc.client_secret_file, at, reading, directory)
    if server.tracing is not None:
        at = ("server", "tracing", "headers_file")
        _check_file(server.tracing.headers_file, at, reading, directory)
    if server.cluster is not None:
        _check_cluster(server, server.cluster, reading, directory)


def with_files(server: ServerSettings, directory: FilePath) -> ServerSettings:
    """The settings with the paths of files made absolute."""
    oidc, tracing = server.oidc, server.tracing
    if oidc is not None and oidc.client_secret_file:
        oidc = replace(oidc, client_secret_file=str(directory / oidc.client_secret_file))
    if tracing is not None and tracing.headers_file:
        tracing = replace(tracing, headers_file=str(directory / tracing.headers_file))
    cluster = server.cluster
    if cluster is not None:
        cluster = replace(cluster, secret_file=str(directory / cluster.secret_file))
    files = {name: str(directory / file) for name, file in _journal_files(server.journal)}
    journal = replace(server.journal, **files)
    return replace(server, oidc=oidc, tracing=tracing, cluster=cluster, journal=journal)


def _journal_files(journal: JournalSettings) -> list[tuple[str, str]]:
    names = (
        "password_file",
        "sentinel_password_file",
        "private_key_file",
        "certificate_file",
        "ca_file",
    )
    return [(name, getattr(journal, name)) for name in names if getattr(journal, name)]


def _check_journal(journal: JournalSettings, reading: Reading, directory: FilePath) -> None:
    at: Path = ("server", "journal")
    if journal.store is not Store.REDIS:
        default = JournalSettings()
        for key in fields(JournalSettings):
            if getattr(journal, key) != getattr(default, key):
                reading.add((*at, key), "has no effect without store: redis")
        return
    if not any((*at, key) in reading.places for key in ("url", "sentinels", "cluster")):
        reading.add(at, "store: redis needs a url, sentinels or a cluster")
    ways = [key for key in ("url", "sentinels", "cluster") if getattr(journal, key)]
    for key in ways[1:]:
        reading.add((*at, key), f"has no effect beside {ways[0]}: give one of them")
    if journal.sentinels and not journal.master:
        reading.add((*at, "sentinels"), "expected master, too: the name by which they know it")
    for key in ("master", "sentinel_user", "sentinel_password_file"):
        if getattr(journal, key) and not journal.sentinels:
            reading.add((*at, key), "has no effect without sentinels")
    if journal.certificate_file and not journal.private_key_file:
        reading.add((*at, "certificate_file"), "has no effect without private_key_file")
    if journal.private_key_file and not journal.certificate_file:
        reading.add((*at, "private_key_file"), "has no effect without certificate_file")
    for name, file in _journal_files(journal):
        if name in ("ca_file", "certificate_file"):
            wrong = "" if (directory / file).is_file() else f"cannot read {directory / file}"
        else:
            wrong = problem(directory / file)
        if wrong:
            reading.add((*at, name), wrong)


def _check_sign_in(
    oidc: OidcSettings, public_url: str, workspaces: Sequence[str], reading: Reading
) -> None:
    at: Path = ("server", "oidc")
    ours = urlsplit(public_url)
    if not public_url:
        reading.add(
            at, "has no effect without server.public_url, where the provider sends people back to"
        )
    elif ours.scheme != "https" and ours.hostname not in LOOPBACK:
        # Whoever reads the way back could take the code, and the session after it.
        reading.add(("server", "public_url"), "oidc needs https")
    elif ours.path.strip("/") or ours.query or ours.fragment:
        reading.add(("server", "public_url"), "oidc needs a URL without a path")
    if "openid" not in oidc.scopes:
        reading.add((*at, "scopes"), "expected openid among them")
    for index, grant in enumerate(oidc.grants):
        path: Path = (*at, "grants", index)
        if bool(grant.claim) != bool(grant.value):
            reading.add(path, "expected claim and value together")
        if not grant.workspace and len(workspaces) > 1:
            reading.add(path, f"expected a workspace: one of {', '.join(workspaces)}")
        elif grant.workspace and grant.workspace not in workspaces:
            reading.add((*path, "workspace"), f"no workspace {shown(grant.workspace)}")


def _check_cluster(
    server: ServerSettings, cluster: ClusterSettings, reading: Reading, directory: FilePath
) -> None:
    at: Path = ("server", "cluster")
    if server.journal.store is not Store.REDIS:
        reading.add(at, "has no effect without journal.store: redis, which nodes can share")
    if urlsplit(cluster.url).path.strip("/"):
        reading.add((*at, "url"), "expected a URL without a path")
    file = directory / cluster.secret_file
    wrong = problem(file)
    if not wrong and not is_cluster_secret(read_secret(file)):
        wrong = f"expected 64 hexadecimal digits in {file}: openssl rand -hex 32"
    if wrong:
        reading.add((*at, "secret_file"), wrong)


def is_cluster_secret(text: bytes) -> bool:
    """Is it 32 bytes, written as hexadecimal digits?"""
    return re.fullmatch(rb"[0-9A-Fa-f]{64}", text) is not None


def _check_file(file: str, at: Path, reading: Reading, directory: FilePath) -> None:
    wrong = problem(directory / file) if file else ""
    if wrong:
        reading.add(at, wrong)
