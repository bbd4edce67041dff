"""A process on a machine of the lab: started, killed, stopped for a while, its log kept."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.lab.network import LabError, Loopback, Namespaces

Net = Namespaces | Loopback


class Process:
    """One program on one machine; it may be started again after its end."""

    def __init__(
        self,
        net: Net,
        machine: str,
        argv: list[str],
        log: Path,
        *,
        cwd: Path | None = None,
        has_input: bool = False,
    ) -> None:
        """`has_input`: it reads commands from us, which `say` writes."""
        self.machine = machine
        self.log = log
        self._argv = [*net.command(machine), *argv]
        self._cwd = cwd
        self._has_input = has_input
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._running is not None, "not started"
        return self._running.pid

    @property
    def is_up(self) -> bool:
        """It runs (or is stopped by a signal, and not ended)."""
        return self._running is not None and self._running.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._running is None else self._running.poll()

    def start(self, **environment: str) -> None:
        """Raises LabError when it is up already."""
        if self.is_up:
            raise LabError(f"{self._argv[-1]} is up already")
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE if self._has_input else subprocess.DEVNULL,
                stdout=log, stderr=log, cwd=self._cwd, env={**os.environ, **environment},
            )  # fmt: skip

    def say(self, line: str) -> None:
        """One line to its standard input."""
        assert self._running is not None, "not started"
        assert self._running.stdin is not None, "made without has_input"
        self._running.stdin.write(line.encode() + b"\n")
        self._running.stdin.flush()

    def signal(self, which: signal.Signals) -> None:
        if self._running is not None and self._running.poll() is None:
            self._running.send_signal(which)

    def kill(self) -> None:
        """Kill -9, and wait for its end."""
        self.signal(signal.SIGKILL)
        if self._running is not None:
            self._running.wait(30)
            if self._running.stdin is not None:
                self._running.stdin.close()

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def log_end(self, lines: int = 15) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
