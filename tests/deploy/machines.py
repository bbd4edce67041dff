"""Stands in for `ssh`, `systemctl` and `contact-router` in the runbook's blocks.

`machines.py ssh HOST COMMAND...` runs the command here, with the places of that machine; services
are processes that `machines.json` names. What is done to them is done to the real programs.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LAB = Path(os.environ.get("LAB", "."))
WITHIN_S = 60


def main(role: str, words: list[str]) -> int:
    machines: dict[str, Any] = json.loads((LAB / "machines.json").read_text())
    if role == "ssh":
        host, *command = words
        line = command[0] if len(command) == 1 else " ".join(map(_quoted, command))
        for there, here in machines[host]["places"].items():
            line = line.replace(there, here)
        return subprocess.run(
            ["sh", "-c", line], env={**os.environ, "HOST": host}, check=False
        ).returncode
    if role == "systemctl":
        return systemctl(machines[os.environ["HOST"]]["services"], words)
    raise SystemExit(f"{role}: not known")


def _quoted(word: str) -> str:
    # As ssh sends words: the shell there sees patterns.
    return word if "*" in word else shlex.quote(word)


def systemctl(services: dict[str, Any], words: list[str]) -> int:
    verb, name = words[0], words[-1]
    service = services[name]
    file = LAB / f"{service['name']}.pid"
    if verb == "kill":
        number = next(word.partition("=")[2] for word in words if word.startswith("--signal="))
        os.kill(int(file.read_text()), signal.Signals[number])
        return 0
    if verb in ("stop", "restart") and file.exists():
        stop(file)
    if verb in ("start", "restart"):
        start(service, file)
    return 0


def start(service: dict[str, Any], file: Path) -> None:
    with (LAB / f"{service['name']}.log").open("ab") as log:
        process = subprocess.Popen(
            service["command"], cwd=service.get("cwd"), stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    file.write_text(str(process.pid))


def stop(file: Path) -> None:
    pid = int(file.read_text())
    file.unlink()
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    until = time.monotonic() + WITHIN_S
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.05)  # nobody's child: only asking tells


def is_alive(pid: int) -> bool:
    """A dead one whom nobody has waited for is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
