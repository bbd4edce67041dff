"""Machines on one switch: network namespaces that are cut apart and put together again.

A cut is made in the sender's neighbour table: packets for the other machine go to a hardware
address that nobody has. So they are lost in silence and in one direction, as on a broken wire, and
connections go on when it heals. That needs no firewall in the kernel.

Where namespaces cannot be made there is `Loopback`: one address of 127.0.0.0/8 for each machine,
and no cuts.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

NOBODY = "02:00:00:00:00:01"
"""A hardware address that no machine of the lab has."""
CLONE_NEWNET = 0x40000000
NAMES = Path("/run/netns")
MARK = "crlab"


class LabError(Exception):
    """The lab itself could not do something: says nothing about what is tested."""


def run(*words: str, text: str = "") -> str:
    """What a command of the system prints. Raises LabError."""
    try:
        done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{' '.join(words)}: {error}") from None
    if done.returncode != 0:
        raise LabError(f"{' '.join(words)} {text!r}: {done.stderr.strip()}")
    return done.stdout


class Loopback:
    """Machines that are addresses of this host: processes can be killed, nothing can be cut."""

    can_cut = False

    def __init__(self, machines: Iterable[str]) -> None:
        part = os.getpid() % 60_000
        self.address = {
            name: f"127.{77 + part // 250}.{part % 250 + 1}.{number}"
            for number, name in enumerate(machines, start=11)
        }

    def command(self, machine: str) -> list[str]:
        """What to write before a command so that it runs on this machine."""
        return ["setpriv", "--pdeathsig", "KILL", "--"]

    def cut(self, one: Iterable[str], other: Iterable[str], *, one_way: bool = False) -> None:
        raise LabError("addresses of one host cannot be cut apart")

    def heal(self) -> None:
        """Nothing was cut."""

    @contextlib.contextmanager
    def inside(self, machine: str) -> Iterator[None]:
        yield

    def close(self) -> None:
        """Nothing was made."""


class Namespaces:
    """Machines in namespaces of their own, on a bridge that is in a namespace, too."""

    can_cut = True

    def __init__(self, machines: Iterable[str]) -> None:
        self.lab = f"{MARK}{os.getpid()}"
        self.address = {name: f"10.77.0.{number}" for number, name in enumerate(machines, start=11)}
        sweep()
        self._janitor = self._hire()
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _hire(self) -> subprocess.Popen[bytes]:
        """A process that takes the namespaces down when this one ends, however it ends."""
        names = " ".join(self._name(machine) for machine in (*self.address, "switch"))
        # Processes die with us (see `command`), but for one that was just being started.
        end = "ip netns pids $n | xargs -r kill -9; ip netns del $n"
        script = f"cat >/dev/null; for n in {names}; do {end}; done"
        return subprocess.Popen(
            ["setsid", "sh", "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _build(self) -> None:
        for machine in ("switch", *self.address):
            run("ip", "netns", "add", self._name(machine))
        switch = self._name("switch")
        _batch(switch, ["link add br0 type bridge", "link set br0 up"])
        for number, (machine, address) in enumerate(self.address.items()):
            there = self._name(machine)
            port = f"port{number}"
            run(
                *f"ip link add {port} netns {switch} type veth peer name eth0 netns {there}".split()
            )
            _batch(switch, [f"link set {port} master br0 up"])
            _batch(
                there,
                [f"addr add {address}/24 dev eth0", "link set eth0 up", "link set lo up"],
            )

    def _name(self, machine: str) -> str:
        return f"{self.lab}-{machine}"

    def command(self, machine: str) -> list[str]:
        """What to write before a command so that it runs on this machine.

        Whatever is started so dies with the lab.
        """
        return ["setpriv", "--pdeathsig", "KILL", "--", "ip", "netns", "exec", self._name(machine)]

    def cut(self, one: Iterable[str], other: Iterable[str], *, one_way: bool = False) -> None:
        """Nothing of `one` reaches `other` any more; nor the other way, unless `one_way`."""
        one, other = list(one), list(other)
        self._deafen(one, other)
        if not one_way:
            self._deafen(other, one)

    def _deafen(self, senders: list[str], receivers: list[str]) -> None:
        for sender in senders:
            _batch(
                self._name(sender),
                [
                    f"neigh replace {self.address[name]} lladdr {NOBODY} nud permanent dev eth0"
                    for name in receivers
                    if name != sender
                ],
            )

    def heal(self) -> None:
        """Everybody reaches everybody again."""
        for machine in self.address:
            _batch(self._name(machine), ["neigh flush dev eth0 nud permanent"])

    @contextlib.contextmanager
    def inside(self, machine: str) -> Iterator[None]:
        """Sockets that this thread opens meanwhile belong to the machine."""
        with Path("/proc/thread-self/ns/net").open() as home:
            with (NAMES / self._name(machine)).open() as there:
                _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def close(self) -> None:
        """Take everything down. Processes in the namespaces must have ended."""
        assert self._janitor.stdin is not None
        self._janitor.stdin.close()
        self._janitor.wait(30)


def _batch(namespace: str, lines: list[str]) -> None:
    if lines:
        run("ip", "-n", namespace, "-batch", "-", text="\n".join(lines) + "\n")


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise LabError(f"setns: {os.strerror(ctypes.get_errno())}")


def sweep() -> None:
    """Take down what labs left that did not come to their own end."""
    for path in NAMES.glob(f"{MARK}*-*") if NAMES.is_dir() else ():
        found = re.match(rf"{MARK}(\d+)-", path.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            with contextlib.suppress(LabError):
                run("ip", "netns", "del", path.name)


def why_no_namespaces() -> str:
    """Why machines cannot be namespaces here; empty: they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        made = Namespaces(["probe", "other"])
    except LabError as error:
        return f"no network namespaces: {error}"
    try:
        made.cut(["probe"], ["other"])
        made.heal()
    except LabError as error:
        return f"no network namespaces: {error}"
    finally:
        made.close()
    return ""
