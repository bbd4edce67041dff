"""Counts every allocation of a server: a short day under an allocator that counts.

Python keeps small objects in arenas of its own, where nothing outside sees them. In that day it is
told not to (PYTHONMALLOC=malloc), so that each object is one call of malloc, and a library of forty
lines (counting.c), loaded before all others, counts the calls. Such a day is slower than others:
only its counts are used.
"""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

SOURCE = Path(__file__).with_name("counting.c")
COMPILE_S = 60.0
IDLE_S = 3.0
"""So long the server is watched before anybody comes: what that costs is taken off."""
DAY_S = 10.0
DRAIN_S = 30.0
LEAST_SERVED = 20
"""Fewer contacts say nothing about one."""


class NotCounted(Exception):
    """Allocations cannot be counted here; the text says why."""


class Counter:
    """The library, and the numbers of the process that was started with it."""

    def __init__(self, library: Path, counts: Path) -> None:
        self.environment = {
            "LD_PRELOAD": str(library), "LOADTEST_COUNTS": str(counts), "PYTHONMALLOC": "malloc",
        }  # fmt: skip
        self._counts = counts

    def read(self) -> tuple[int, int]:
        """Calls and bytes so far."""
        calls, asked = struct.unpack("=QQ", self._counts.read_bytes())
        return int(calls), int(asked)


async def counter(place: Path) -> Counter:
    """Compile the library into `place`. Raises NotCounted."""
    library = place / "counting.so"
    try:
        process = await asyncio.create_subprocess_exec(
            "cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError:
        raise NotCounted("needs a C compiler: apt-get install gcc libc6-dev") from None
    async with asyncio.timeout(COMPILE_S):
        _, error = await process.communicate()
    if process.returncode != 0:
        lines = error.decode("utf-8", "replace").strip().splitlines()
        raise NotCounted(f"cc cannot make the library: {lines[-1] if lines else 'no word'}")
    return Counter(library, place / "counts")
