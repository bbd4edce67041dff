"""An adapter's settings and secrets, read with every error told; what its `check` finds."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from router.core.record import Value
from router.errors import ConfigError

S = TypeVar("S", bound=Value)


def read_settings(record: type[S], raw: dict[str, Any], where: str) -> S:
    """The settings of an adapter as its record; raises ConfigError with every unknown key.

    `where` stands before each finding (``adapters.pbx``).
    """
    known = [field.encode_name for field in msgspec.structs.fields(record)]
    findings = []
    for key in raw:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
            findings.append(f"{where}.{key}: unknown setting{hint}")
    if findings:
        raise ConfigError(findings)
    try:
        return msgspec.convert(raw, record)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        raise ConfigError([f"{where}{path.rstrip('`')}: {text}"]) from None


def read_secret(path: str, where: str) -> str:
    """The first line of a secret's file. Raises ConfigError: not there, empty, or others may read.

    `where` is the setting that names it (``adapters.pbx.token_file``).
    """
    file = Path(path)
    try:
        if file.stat().st_mode & 0o006:
            raise ConfigError([f"{where}: {path} may be read by others: chmod 600"])
        secret = file.read_text("utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", "") or "is not UTF-8"
        raise ConfigError([f"{where}: {path}: {why}"]) from None
    if not secret:
        raise ConfigError([f"{where}: {path} is empty"])
    return secret


class Finding(Value, kw_only=True):
    """One thing that an adapter's `check` has to say about its backend.

    ``async def check(name, settings, endpoints) -> list[Finding]`` in an adapter's module asks the
    backend what is wrong; `contact-router doctor --adapters` calls it.
    """

    level: str
    """``ok``, ``warning`` or ``error``"""
    text: str
    """In plain words, without personal data."""
