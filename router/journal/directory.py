"""The data directory: one process at a time, copies are known, names survive a power cut."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from router.errors import JournalBusy

_MACHINE = Path("/etc/machine-id")


class DirectoryLock:
    """An advisory lock (`flock`) that ends with the process, however it ends.

    Raises JournalBusy if another one holds it, naming its process.
    """

    def __init__(self, directory: Path, name: str) -> None:
        path = directory / name
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip()
            self.release()
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise JournalBusy(
                f"{directory} is in use by another contact-router (process {holder or 'unknown'}): "
                "stop that one, or give this one a directory of its own"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go. Safe to repeat."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Place:
    """Where a data directory was when it was last used: the machine, and its inode there.

    A lock cannot tell a directory from its copy. Whoever finds that they are elsewhere begins as a
    copy does, with an epoch far above the original's: adapters that both speak to believe the copy
    and refuse the original. A directory that was moved to another machine pays nothing for that.
    A cloned machine is not noticed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = directory / "place"
        try:
            machine = _MACHINE.read_text().strip()
        except OSError:
            machine = ""
        self._here = f"{machine} {directory.stat().st_ino}\n"

    def is_elsewhere(self) -> bool:
        """Has it been copied or moved since `settle`? False where that never was."""
        try:
            return self._file.read_text() != self._here
        except FileNotFoundError:
            return False

    def settle(self) -> None:
        """Here it is now, durably."""
        partial = self._file.with_suffix(".new")
        with partial.open("w") as out:
            out.write(self._here)
            out.flush()
            os.fsync(out.fileno())
        partial.rename(self._file)
        sync_directory(self._directory)


def sync_directory(directory: Path) -> None:
    """Make new and renamed files of a directory durable (fsync(2): theirs is not enough)."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
