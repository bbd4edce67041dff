"""Secrets stand in files of their own, never in the configuration: what is refused, and why.

Works with whatever puts files there: systemd's LoadCredential, Docker and Kubernetes secrets
(`defaultMode: 0400`), or a file made by hand with mode 0600.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from router.errors import ConfigError

SECRET_BYTES_MAX = 16_384
_SECRET = re.compile(r"(?:.*_)?(?:password|passwd|secret|token|api_key|private_key|credentials?)")
_SECRET_FILE = re.compile(_SECRET.pattern + r"_file")


def is_secret(key: str) -> bool:
    """Whether a setting of this name would hold a secret itself."""
    return _SECRET.fullmatch(key) is not None


def problem(path: Path) -> str:
    """Why this file cannot hold a secret; empty = it can."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return f"expected a file, got {path}"
        if status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
            mode = stat.S_IMODE(status.st_mode)
            return f"{path} is open to everybody on this machine (mode {mode:04o}): chmod 600"
        if not path.read_bytes()[: SECRET_BYTES_MAX + 1].strip():
            return f"{path} is empty"
        if status.st_size > SECRET_BYTES_MAX:
            return f"expected at most {SECRET_BYTES_MAX} bytes, got {status.st_size} in {path}"
    except OSError as error:
        return f"cannot read {path}: {error.strerror}"
    except ValueError:
        return "expected the name of a file"
    return ""


def read_secret(path: Path) -> bytes:
    """The secret, without white space around it. Raises ConfigError."""
    wrong = problem(path)
    if wrong:
        raise ConfigError([wrong])
    return path.read_bytes().strip()


def adapter_files(
    settings: Mapping[str, Any], directory: Path, at: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """(key, what is wrong) for an adapter's own settings, which have no types here."""
    for key, value in settings.items():
        path = (*at, key)
        if isinstance(value, Mapping):
            yield from adapter_files(value, directory, path)
        elif is_secret(key) and value:
            yield path, f"secrets stand in files: give {key}_file"
        elif _SECRET_FILE.fullmatch(key) and isinstance(value, str) and value:
            # A file that is not there is the adapter's matter: it may make one.
            file = directory / value
            wrong = problem(file) if os.path.lexists(file) else ""
            if wrong:
                yield path, wrong


def located(settings: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """The settings with the paths in every ``*_file`` made absolute."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found[key] = located(value, directory)
        elif key.endswith("_file") and isinstance(value, str) and value:
            found[key] = str(directory / value)
        else:
            found[key] = value
    return found
