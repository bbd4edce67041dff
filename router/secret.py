"""The secret of an installation: 32 bytes from which all its other keys are derived.

A server by itself makes its own at the first start. Several nodes are one installation: what one
has sealed the others must open, so all of them are given the same one (`server.cluster`).
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from router.config import Config, read_secret
from router.errors import ConfigError
from router.journal.directory import sync_directory

SECRET_BYTES = 32


def secret_of(config: Config, data: Path) -> bytes:
    """The secret that belongs to what is stored. Raises ConfigError."""
    cluster = config.server.cluster
    if cluster is None:
        return installation_secret(data)
    return bytes.fromhex(read_secret(Path(cluster.secret_file)).decode())


def fingerprint(secret: bytes) -> str:
    """Tells two secrets apart, and nothing about either."""
    return hmac.digest(secret, b"fingerprint", "sha256").hex()[:16]


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
