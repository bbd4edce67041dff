"""A store of real Redis servers and Sentinels on loopback, made from the files that are shipped."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis

from loadtest.server import ROOT, free_port
from router.journal.redis_line import Access, Endpoint
from router.journal.redis_servers import RedisSettings

SHIPPED = ROOT / "config/redis"
MASTER = "contacts"
WITHIN_S = 60
"""A loaded machine may take its time; what is waited for is asked for, never slept for."""


def password(user: str) -> str:
    return f"the password of {user}"


def until(done: Callable[[], Any], what: str) -> Any:
    """What `done` says as soon as it is true; errors of a server that is not up count as no."""
    deadline = time.monotonic() + WITHIN_S
    said: Any = None
    while time.monotonic() < deadline:
        try:
            said = done()
        except (redis.exceptions.RedisError, OSError) as error:
            said = error
        else:
            if said:
                return said
        time.sleep(0.02)  # another process: only asking tells
    raise AssertionError(f"not within {WITHIN_S} s: {what}; last: {said!r}")


class Node:
    """A redis-server or Sentinel of the test's own."""

    def __init__(self, directory: Path, kind: str) -> None:
        self.directory = directory
        self.kind = kind
        self.port = free_port()
        self.at = Endpoint("127.0.0.1", self.port)
        directory.mkdir()
        self.process: subprocess.Popen[bytes] | None = None
        self.admin = redis.Redis(port=self.port, protocol=2, socket_timeout=5)

    def file(self, name: str, changes: dict[str, str]) -> Path:
        """A shipped file with the places of this machine."""
        text = (SHIPPED / name).read_text()
        for old, new in changes.items():
            assert old in text, (name, old)
            text = text.replace(old, new)
        path = self.directory / name
        path.write_text(text)
        return path

    def run(self, *words: str) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log)
        until(self.is_up, f"{self.kind} on {self.port}: {self.log()}")

    def is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        return bool(self.admin.ping())

    def log(self) -> str:
        return "\n".join((self.directory / "log").read_text().splitlines()[-5:])

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(30)

    def close(self) -> None:
        self.kill()
        self.admin.close()


class DataNode(Node):
    """A data node as redis.conf and users.acl make it."""

    def __init__(self, directory: Path, *options: str) -> None:
        super().__init__(directory, "redis-server")
        self.options = options
        self.admin = redis.Redis(
            port=self.port, username="admin", password=password("admin"), protocol=2,
            socket_timeout=5,
        )  # fmt: skip

    def start(self, master: Endpoint | None = None) -> None:
        sums = {
            f"<{user}>": hashlib.sha256(password(user).encode()).hexdigest()
            for user in ("contact-router", "replica", "sentinel", "admin")
        }
        users = self.file("users.acl", sums)
        secret = self.directory / "secret.conf"
        secret.write_text(f'masterauth "{password("replica")}"\n')
        config = self.file(
            "redis.conf",
            {
                "port 6379\nbind 0.0.0.0": f"port {self.port}\nbind 127.0.0.1",
                "/var/lib/redis": str(self.directory),
                "/etc/redis/users.acl": str(users),
                "/etc/redis/secret.conf": str(secret),
            },
        )
        follow = () if master is None else ("--replicaof", f"{master.host} {master.port}")
        self.run("redis-server", str(config), *follow, *self.options)

    def allow(self, *rules: str) -> None:
        """Change what contact-router's user may do."""
        self.admin.execute_command("ACL", "SETUSER", "contact-router", *rules)

    def facts(self, section: str) -> dict[str, Any]:
        found: dict[str, Any] = self.admin.info(section)
        return found


class Sentinel(Node):
    """A Sentinel as sentinel.conf makes it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "redis-sentinel")

    def start(self, master: Endpoint) -> None:
        config = self.file(
            "sentinel.conf",
            {
                "port 26379\nbind 0.0.0.0": f"port {self.port}\nbind 127.0.0.1",
                "/var/lib/redis": str(self.directory),
                "10.0.0.11 6379": f"{master.host} {master.port}",
                "contacts <sentinel>": f'contacts "{password("sentinel")}"',
            },
        )
        self.run("redis-sentinel", str(config))

    def knows(self) -> dict[str, Any]:
        found: dict[str, Any] = self.admin.sentinel_master(MASTER)
        return found


class Store:
    """One master, replicas, Sentinels."""

    def __init__(self, directory: Path, *, replicas: int = 2, sentinels: int = 3) -> None:
        self.nodes = [DataNode(directory / f"redis-{n}") for n in range(1 + replicas)]
        self.sentinels = [Sentinel(directory / f"sentinel-{n}") for n in range(sentinels)]

    def start(self) -> None:
        master, *others = self.nodes
        master.start()
        for node in others:
            node.start(master.at)
        until(lambda: self.online() == len(others), "all replicas are connected")
        for sentinel in self.sentinels:
            sentinel.start(master.at)
        until(self.all_know_all, "each Sentinel knows the others and the replicas")

    def online(self) -> int:
        facts = self.nodes[0].facts("replication")
        return sum(
            value["state"] == "online" for name, value in facts.items() if name[5:].isdigit()
        )

    def all_know_all(self) -> bool:
        found = [sentinel.knows() for sentinel in self.sentinels]
        return all(
            known["num-other-sentinels"] == len(self.sentinels) - 1
            and known["num-slaves"] == len(self.nodes) - 1
            for known in found
        )

    def settings(self, *, user: str = "contact-router", replicas: int = 1) -> RedisSettings:
        access = Access(user=user, password=password(user))
        if not self.sentinels:
            url = f"redis://127.0.0.1:{self.nodes[0].port}/0"
            return RedisSettings(url=url, access=access, replicas=replicas)
        return RedisSettings(
            sentinels=tuple(sentinel.at for sentinel in self.sentinels),
            master=MASTER,
            access=access,
            replicas=replicas,
        )

    def close(self) -> None:
        for node in (*self.sentinels, *self.nodes):
            node.close()


def missing(programs: Sequence[str]) -> str:
    """Why a test cannot run here; empty if it can."""
    absent = [name for name in programs if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""
