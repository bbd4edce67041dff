"""The lab's own machines: cut apart in silence, healed, and gone when the lab is."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.network import NAMES, LabError, Loopback, Namespaces, why_no_namespaces
from tests.lab.store import until

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0
PORT = 15000
MACHINES = ["here", "there", "lab"]


@pytest.fixture
def net() -> Iterator[Namespaces]:
    if reason := why_no_namespaces():
        pytest.skip(reason)
    made = Namespaces(MACHINES)
    yield made
    made.close()


def listener(net: Namespaces, machine: str) -> socket.socket:
    with net.inside(machine):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((net.address[machine], PORT))
    made.settimeout(PATIENCE_S)
    return made


def test_what_is_sent_over_a_cut_is_lost_and_the_other_direction_goes_on(net: Namespaces) -> None:
    here, there = listener(net, "here"), listener(net, "there")
    with here, there:
        here.sendto(b"before", there.getsockname())
        assert there.recv(100) == b"before"
        net.cut(["here"], ["there"], one_way=True)
        here.sendto(b"lost", there.getsockname())
        there.sendto(b"back", here.getsockname())
        assert here.recv(100) == b"back"
        net.heal()
        here.sendto(b"after", there.getsockname())
        assert there.recv(100) == b"after"


def test_a_connection_goes_on_when_a_cut_is_healed(net: Namespaces) -> None:
    with net.inside("there"):
        server = socket.create_server((net.address["there"], PORT))
    with net.inside("here"):
        client = socket.create_connection((net.address["there"], PORT), timeout=PATIENCE_S)
    with server, client:
        accepted, _ = server.accept()
        with accepted:
            net.cut(["here"], ["there"])
            client.sendall(b"hello")
            accepted.settimeout(0.3)
            with pytest.raises(TimeoutError):
                accepted.recv(100)
            net.heal()
            accepted.settimeout(PATIENCE_S)
            assert accepted.recv(100) == b"hello"


def test_nothing_outside_is_reached(net: Namespaces) -> None:
    with net.inside("here"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        with pytest.raises(OSError, match="unreachable"):
            out.sendto(b"x", ("192.0.2.1", 9))
        with pytest.raises(OSError, match="unreachable"):
            out.sendto(b"x", ("10.78.0.1", 9))


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.lab.network import Namespaces
from tests.lab.processes import Process
net = Namespaces(["here", "there"])
process = Process(net, "here", ["sleep", "1000"], Path(sys.argv[1]))
process.start()
# Who is killed between opening a namespace and entering it leaves one that no janitor can see.
while Path(f"/proc/{process.pid}/comm").read_text() != "sleep\\n":
    pass
print(process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_a_killed_lab_leaves_no_namespace_and_no_process(tmp_path: Path) -> None:
    if reason := why_no_namespaces():
        pytest.skip(reason)
    lab = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(tmp_path / "log"), cwd=ROOT, stdout=subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(lab.communicate(), PATIENCE_S)
    assert lab.returncode == -9

    async def gone() -> bool:
        left = list(NAMES.glob(f"*{lab.pid}-*")) if NAMES.is_dir() else []
        return not left and not is_alive(int(out))

    await until("nothing is left", gone, PATIENCE_S)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()


def test_addresses_of_one_host_are_machines_that_cannot_be_cut() -> None:
    net = Loopback(MACHINES)
    assert len(set(net.address.values())) == len(MACHINES)
    with socket.create_server((net.address["here"], 0)):
        pass
    with pytest.raises(LabError, match="cannot be cut"):
        net.cut(["here"], ["there"])
