"""What must not be said twice although the router states it again after a crash: a short file.

Farewells and questions are safe to repeat for the router; for the customer the second one is a
second message. Each is written down before it is sent. The file has the router's ids and no
personal data.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Final

MOST: Final = 10_000
"""The oldest are forgotten beyond it; they are stated again within minutes, or never."""


class Said:
    """Keys in the order in which they were said; without a path only in memory."""

    def __init__(self, path: str, most: int = MOST) -> None:
        self._path = path
        self._most = most
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._lines = 0

    def load(self) -> None:
        """Read the file, and shorten it. Raises OSError."""
        if not self._path:
            return
        file = Path(self._path)
        file.parent.mkdir(parents=True, exist_ok=True)
        # The last line may be torn, by a crash while it was written: it is a key of nothing.
        lines = file.read_text("utf-8", "replace").splitlines() if file.exists() else []
        self._keys = OrderedDict.fromkeys(lines[-self._most :])
        part = file.with_name(f"{file.name}.new")
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as new:
            new.writelines(f"{key}\n" for key in self._keys)
            new.flush()
            os.fsync(new.fileno())
        part.replace(file)
        self._lines = len(self._keys)

    def add(self, key: str) -> bool:
        """Write it down, durably; False: it was said already. Raises OSError."""
        if key in self._keys:
            return False
        if self._path:
            with Path(self._path).open("a", encoding="utf-8") as file:
                file.write(f"{key}\n")
                file.flush()
                os.fsync(file.fileno())
            self._lines += 1
            if self._lines > 2 * self._most:
                self.load()
        self._keys[key] = None
        while len(self._keys) > self._most:
            self._keys.popitem(last=False)
        return True
