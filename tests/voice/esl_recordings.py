"""What was recorded on a real FreeSWITCH 1.11.1: chunks as they were sent and received."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent.parent / "data" / "recordings" / "freeswitch"
NAMES = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


class Chunk(NamedTuple):
    """One line of a recording."""

    at_ms: float
    what: str
    """``sent``, ``received``, ``closed`` or ``note``"""
    data: bytes


def chunks(name: str) -> list[Chunk]:
    """A recording's lines."""
    lines = (FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines()
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [
        Chunk(row["t_ms"], row["dir"], row.get("data", row.get("text", "")).encode())
        for row in rows
    ]


def received(name: str) -> bytes:
    """All that FreeSWITCH sent."""
    return b"".join(chunk.data for chunk in chunks(name) if chunk.what == "received")
