"""Real Redis servers on loopback: a master with replicas and Sentinels, and a Redis Cluster.

What is true of them is asked of themselves until it holds or a deadline ends: Sentinels learn of
replicas and of each other when they please.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import redis

from router.journal.redis_line import Access, Endpoint
from router.journal.redis_servers import RedisSettings
from tests.journal.conftest import RedisServer

WITHIN_S = 30.0
DOWN_AFTER_MS = 2500
REPLICATED = (
    "--appendonly", "yes", "--appendfsync", "everysec", "--repl-diskless-sync-delay", "0",
    "--repl-timeout", "5", "--aof-use-rdb-preamble", "no",
)  # fmt: skip
NAME = "router"


def until(what: str, check: Callable[[], bool]) -> None:
    """Ask other processes until it holds."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            if check():
                return
        except redis.exceptions.RedisError:
            pass
        assert time.monotonic() < deadline, f"{what}: not within {WITHIN_S} s"
        time.sleep(0.02)


class Node(RedisServer):
    """A server that may also be paused."""

    @property
    def at(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.port)

    def pause(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def facts(self, section: str) -> dict[str, object]:
        facts: dict[str, object] = self.client.info(section)
        return facts

    def is_master(self) -> bool:
        return bool(self.client.role()[0] == b"master")

    def online(self) -> int:
        """Replicas that follow without having to catch up."""
        facts = self.facts("replication")
        replicas = [value for name, value in facts.items() if name.startswith("slave")]
        return sum(isinstance(r, dict) and r.get("state") == "online" for r in replicas)

    def events(self, workspace: str) -> list[bytes]:
        """What the log holds, read without the journal's code: its frames, oldest first."""
        entries = self.client.xrange(f"{{{workspace}}}:log")
        return [fields[b"f"] for _, fields in entries]


class Replicated:
    """One master, two replicas, and three Sentinels unless there shall be none."""

    def __init__(
        self,
        directory: Path,
        *,
        has_sentinels: bool = True,
        down_after_ms: int = DOWN_AFTER_MS,
        options: tuple[str, ...] = REPLICATED,
        first_choice: int = 0,
    ) -> None:
        """`first_choice`: number of the replica that Sentinels prefer, however far behind."""
        self.nodes: list[Node] = []
        self.sentinels: list[Sentinel] = []
        try:
            for number in range(3):
                place = directory / f"data{number}"
                place.mkdir()
                follow = ("--replicaof", f"127.0.0.1 {self.nodes[0].port}") if number else ()
                prefer = ("--replica-priority", "1") if number and number == first_choice else ()
                self.nodes.append(Node(place, *options, *follow, *prefer))
            self.settle()
            if has_sentinels:
                for number in range(3):
                    place = directory / f"sentinel{number}"
                    place.mkdir()
                    self.sentinels.append(Sentinel(place, self.nodes[0].port, down_after_ms))
                until("Sentinels know each other", self._are_acquainted)
        except BaseException:
            self.close()
            raise

    def settle(self) -> None:
        """Wait until both replicas follow the master."""
        until("two replicas online", lambda: self.master().online() == 2)

    def _are_acquainted(self) -> bool:
        known = [sentinel.client.sentinel_master(NAME) for sentinel in self.sentinels]
        return all(m["num-other-sentinels"] == 2 and m["num-slaves"] == 2 for m in known)

    def master(self) -> Node:
        """The one that says so and has not been stopped."""
        alive = [node for node in self.nodes if node.process.poll() is None]
        masters = [node for node in alive if node.is_master()]
        if len(masters) != 1:  # a failover is under way
            raise redis.exceptions.RedisError(f"{len(masters)} masters")
        return masters[0]

    def failed_over(self, old: Node) -> Node:
        """Wait until the Sentinels agree on a master other than `old`, and it is one."""

        def agree() -> bool:
            named = {s.client.sentinel_get_master_addr_by_name(NAME)[1] for s in self.sentinels}
            return len(named) == 1 and old.port not in named and self.node(named.pop()).is_master()

        until("a failover", agree)
        (port,) = {s.client.sentinel_get_master_addr_by_name(NAME)[1] for s in self.sentinels}
        return self.node(port)

    def node(self, port: int) -> Node:
        (node,) = [node for node in self.nodes if node.port == port]
        return node

    def settings(
        self,
        replicas: int = 1,
        degrade_after_s: float | None = None,
        timeout_s: float = 10.0,
    ) -> RedisSettings:
        return RedisSettings(
            sentinels=tuple(Endpoint("127.0.0.1", s.port) for s in self.sentinels),
            master=NAME if self.sentinels else "",
            url="" if self.sentinels else self.nodes[0].url,
            access=Access(timeout_s=timeout_s),
            replicas=replicas,
            degrade_after_s=degrade_after_s,
        )

    def empty(self) -> None:
        self.nodes[0].client.flushall()
        self.nodes[0].client.wait(2, 5000)

    def close(self) -> None:
        for process in (*self.sentinels, *self.nodes):
            process.close()


class Sentinel(RedisServer):
    """A Sentinel; its file is its own to rewrite."""

    def __init__(self, directory: Path, master_port: int, down_after_ms: int) -> None:
        self._lines = [
            f"sentinel monitor {NAME} 127.0.0.1 {master_port} 2",
            f"sentinel down-after-milliseconds {NAME} {down_after_ms}",
            f"sentinel failover-timeout {NAME} 3000",
            f"sentinel parallel-syncs {NAME} 2",
        ]
        super().__init__(directory)

    def command(self) -> list[str]:
        file = self.directory / "sentinel.conf"
        if not file.exists():
            lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.directory}", *self._lines]
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return ["redis-server", str(file), "--sentinel"]


class Clustered:
    """A Redis Cluster of three masters with one replica each."""

    def __init__(self, directory: Path, *, node_timeout_ms: int = 1_500) -> None:
        self.nodes: list[Node] = []
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout_ms))
        try:
            for number in range(6):
                place = directory / f"node{number}"
                place.mkdir()
                self.nodes.append(Node(place, *REPLICATED, *options))
            self._join()
        except BaseException:
            self.close()
            raise

    def _join(self) -> None:
        addresses = [f"127.0.0.1:{node.port}" for node in self.nodes]
        create = ["redis-cli", "--cluster", "create", *addresses]
        subprocess.run(
            [*create, "--cluster-replicas", "1", "--cluster-yes"],
            check=True,
            capture_output=True,
            timeout=WITHIN_S,
        )
        until("the cluster works", self._works)

    def _works(self) -> bool:
        facts = [node.client.cluster("info") for node in self.nodes]
        masters = self.masters()
        return (
            all(f["cluster_state"] == "ok" and f["cluster_known_nodes"] == "6" for f in facts)
            and len(masters) == 3
            and all(node.online() == 1 for node in masters)
        )

    def masters(self) -> list[Node]:
        alive = [node for node in self.nodes if node.process.poll() is None]
        return [node for node in alive if node.is_master()]

    def master_of(self, workspace: str) -> Node:
        """The master that has the slot of this workspace, as the other masters see it."""
        slot = self.nodes[-1].client.cluster("keyslot", f"{{{workspace}}}:own")
        for node in self.masters():
            for first, last, (_, port, *_), *_ in node.client.execute_command("CLUSTER SLOTS"):
                if first <= int(slot) <= last and port == node.port:
                    return node
        raise redis.exceptions.RedisError(f"slot {slot} has no master")

    def settings(self, timeout_s: float = 10.0) -> RedisSettings:
        return RedisSettings(
            cluster=tuple(node.at for node in self.nodes[:3]),
            access=Access(timeout_s=timeout_s),
            replicas=1,
        )

    def empty(self) -> None:
        for node in self.masters():
            node.client.flushall()

    def close(self) -> None:
        for node in self.nodes:
            node.close()
