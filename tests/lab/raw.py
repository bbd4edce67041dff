"""Raw logs: what a robot saw, one JSON object a line, written before anything follows from it.

Moments are those of the monotonic clock, which all processes of one machine share.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

Line = dict[str, Any]


class Raw:
    """A log that a kill -9 of its writer leaves whole."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def write(self, kind: str, **fields: Any) -> None:
        line = {"t": round(monotonic(), 4), "k": kind, **fields}
        self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> Iterator[Line]:
    """The lines of a log; the last one may be cut off by its writer's death."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)
