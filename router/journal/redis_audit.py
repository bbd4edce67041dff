"""Whether the Redis servers are set up so that they keep what they have taken.

Each check says what is wrong, what may come of it, and the line that mends it. It runs when a
server starts and in `contact-router doctor`; docs/runbook.md lists the checks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from router.journal import Finding
from router.journal.redis_audit_server import Audit, Audited, server_facts
from router.journal.redis_checksums import check_workspace
from router.journal.redis_keyspace import Line

__all__ = [
    "Audited", "Layout", "OpenLine", "Place", "audit_layout", "audit_server", "audit_workspace",
    "failed_checks", "refusals", "server_facts",
]  # fmt: skip

BACKLOG_BYTES = 64 * 1024 * 1024
"""What a replica may miss and still need no full copy."""
OUTPUT_BYTES = 256 * 1024 * 1024
LAG_MAX_S = 3
DOWN_AFTER_MS = (1_000, 5_000)
FAILOVER_MS_MAX = 30_000
CLUSTER_TIMEOUT_MS = 5_000


class OpenLine(Line, Protocol):
    """A connection that the audit opened by itself."""

    async def close(self) -> None:
        """Safe to repeat."""


class Place(NamedTuple):
    """A server's address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Layout:
    """A store as the configuration describes it."""

    master: Place
    connect: Callable[[Place], OpenLine]
    """To a data node, with the journal's own user and password."""
    replicas: int = 0
    """On so many replicas a commit is before it is acknowledged."""
    sentinels: Mapping[Place, OpenLine] = field(default_factory=dict)
    """Connections to them; the audit leaves them open."""
    master_name: str = ""
    """As the Sentinels call it."""


async def audit_workspace(line: Line, workspace: str) -> list[Finding]:
    """The one server that `line` leads to, and all that it has of a workspace."""
    findings = await audit_server(line)
    if any(finding.check == "unreachable" for finding in findings):
        return [*findings]
    return [*findings, *await check_workspace(line, workspace)]


async def audit_server(line: Line) -> list[Audited]:
    """A server that stands alone. Never raises for what it finds."""
    audit = Audit()
    async with audit.looking_at("Redis"):
        await audit.node(line, "", is_alone=True)
        config = await audit.config(line)
        audit.power(config, "")
    return audit.findings


async def audit_layout(layout: Layout) -> list[Audited]:
    """Everything about a store of one or more servers. Never raises for what it finds."""
    audit = Audit()
    async with (
        audit.looking_at(f"Redis at {layout.master}"),
        _opened(layout.connect, layout.master) as line,
    ):
        facts = await server_facts(line, "cluster")
        await audit.rights(line)
        if facts.get("cluster_enabled") == "1":
            await _cluster(audit, layout, line)
        else:
            await _master(audit, layout, layout.master, line)
    if layout.sentinels:
        await _sentinels(audit, layout)
    return audit.findings


def refusals(findings: Iterable[Finding], *, is_strict: bool) -> list[str]:
    """What a server must not start with: errors, and in the strict mode warnings, too."""
    levels = ("error", "warning") if is_strict else ("error",)
    return [finding.text for finding in findings if finding.level in levels]


def failed_checks(findings: Iterable[Finding]) -> dict[str, int]:
    """Of each check that found something: how often. For the gauge."""
    counts: dict[str, int] = {}
    for finding in findings:
        if isinstance(finding, Audited) and finding.level != "ok":
            counts[finding.check] = counts.get(finding.check, 0) + 1
    return counts


@asynccontextmanager
async def _opened(connect: Callable[[Place], OpenLine], place: Place) -> AsyncIterator[OpenLine]:
    line = connect(place)
    try:
        yield line
    finally:
        await line.close()


# --- a master and its replicas ----------------------------------------------------------------


async def _master(audit: Audit, layout: Layout, place: Place, line: Line) -> None:
    facts = await server_facts(line, "replication")
    at = f" at {place}"
    if facts.get("role") != "master":
        audit.say(
            "error",
            "role",
            f"{place} is a replica: nothing can be written there. Name its master or the Sentinels",
        )
        return
    attached = [_replica(value) for name, value in facts.items() if _is_replica(name)]
    is_alone = not (layout.replicas or layout.sentinels or attached)
    await audit.node(line, at, is_alone=is_alone)
    config = await audit.config(line, at)
    audit.power(config, at, is_alone=is_alone)
    if is_alone:
        return
    _attached(audit, layout, at, [state for _, state in attached])
    _replication(audit, config, int(facts.get("repl_backlog_size", BACKLOG_BYTES)), at)
    priorities: dict[Place, str] = {}
    for replica, _ in attached:
        async with (
            audit.looking_at(f"replica {replica}"),
            _opened(layout.connect, replica) as there,
        ):
            await audit.node(there, f" at {replica}", is_alone=False)
            audit.power(
                await audit.config(there, f" at {replica}"), f" at {replica}", is_alone=False
            )
            known = await server_facts(there, "replication")
            priorities[replica] = known.get("slave_priority", "100")
    _priorities(audit, priorities)


def _is_replica(name: str) -> bool:
    return name.startswith("slave") and name[5:].isdigit()


def _replica(value: str) -> tuple[Place, str]:
    facts = dict(pair.split("=", 1) for pair in value.split(","))
    return Place(facts["ip"], int(facts["port"])), facts["state"]


def _attached(audit: Audit, layout: Layout, at: str, states: list[str]) -> None:
    online = states.count("online")
    needed = max(layout.replicas, 1) + 1
    if online >= needed:
        audit.say("ok", "replicas", f"{online} replicas are connected{at}")
        return
    now = (
        f"commits wait for {layout.replicas}, so nothing is acknowledged"
        if online < layout.replicas
        else "when one is lost, nothing is acknowledged until it is back"
        if layout.replicas
        else "when one is lost, there is no copy any more"
    )
    audit.say(
        "warning",
        "replicas",
        f"{online} replicas are connected{at}, expected {needed} or more: {now}. "
        "Start the missing ones (replicaof, see config/redis)",
    )


def _priorities(audit: Audit, found: Mapping[Place, str]) -> None:
    if len(set(found.values())) > 1:
        said = ", ".join(f"{place} has {priority}" for place, priority in found.items())
        audit.say(
            "warning",
            "priority",
            f"replica-priority differs ({said}): the lowest becomes master even if it is behind, "
            "and what only the others have is lost. Set the same everywhere: replica-priority 100",
        )


def _replication(audit: Audit, config: dict[str, str], backlog: int, at: str) -> None:
    if backlog < BACKLOG_BYTES:
        audit.say(
            "warning",
            "backlog",
            f"repl-backlog-size is {backlog} bytes{at}: a replica that was away for a moment needs "
            "a full copy, and counts for nothing meanwhile. Set: repl-backlog-size 64mb",
        )
    if not config:
        return
    lag = int(config["min-replicas-max-lag"])
    if int(config["min-replicas-to-write"]) < 1 or not 0 < lag <= LAG_MAX_S:
        audit.say(
            "warning",
            "min_replicas",
            f"min-replicas-to-write is {config['min-replicas-to-write']} with {lag} s of lag{at}: "
            "a master that was cut off goes on taking writes of others. "
            f"Set: min-replicas-to-write 1, min-replicas-max-lag {LAG_MAX_S}",
        )
    delay = int(config["repl-diskless-sync-delay"])
    if config["repl-diskless-sync"] == "yes" and delay > 0:
        audit.say(
            "warning",
            "sync_delay",
            f"repl-diskless-sync-delay is {delay} s{at}: a replica comes back so much later. "
            "Set: repl-diskless-sync-delay 0",
        )
    words = config["client-output-buffer-limit"].split()
    buffers = dict(zip(words[::4], (int(word) for word in words[1::4]), strict=True))
    limit = buffers.get("slave", buffers.get("replica", 0))
    if 0 < limit < OUTPUT_BYTES:
        audit.say(
            "warning",
            "output_buffer",
            f"client-output-buffer-limit replica is {limit} bytes{at}: a replica that is slow for "
            "a moment is cut off and starts anew. "
            "Set: client-output-buffer-limit replica 256mb 64mb 60",
        )


# --- Sentinels --------------------------------------------------------------------------------


async def _sentinels(audit: Audit, layout: Layout) -> None:
    masters: dict[Place, list[str]] = {}
    for place, line in layout.sentinels.items():
        async with audit.looking_at(f"Sentinel {place}"):
            flat = [
                word.decode() for word in await line.ask("SENTINEL", "MASTER", layout.master_name)
            ]
            facts = dict(zip(flat[::2], flat[1::2], strict=True))
            named = Place(facts["ip"], int(facts["port"]))
            masters.setdefault(named, []).append(str(place))
            _sentinel(audit, f" at Sentinel {place}", facts)
    if len(masters) > 1:
        said = "; ".join(f"{master} by {', '.join(by)}" for master, by in masters.items())
        audit.say(
            "warning",
            "sentinel_votes",
            f"the Sentinels name different masters: {said}. A failover is under way, or one "
            "of them is cut off",
        )
    if len(layout.sentinels) < 3:
        audit.say(
            "warning",
            "sentinels",
            f"{len(layout.sentinels)} Sentinels are configured: with fewer than three on machines "
            "of their own, the loss of one machine may leave nobody who decides. Name three",
        )


def _sentinel(audit: Audit, at: str, facts: dict[str, str]) -> None:
    low, high = DOWN_AFTER_MS
    down_after = int(facts["down-after-milliseconds"])
    if not low <= down_after <= high:
        audit.say(
            "warning",
            "down_after",
            f"down-after-milliseconds is {down_after}{at}: expected {low} to {high}; less takes a "
            "pause for a death, more keeps callers waiting. Set: down-after-milliseconds 2000",
        )
    failover = int(facts["failover-timeout"])
    if not 2 * down_after <= failover <= FAILOVER_MS_MAX:
        audit.say(
            "warning",
            "failover_timeout",
            f"failover-timeout is {failover}{at}: a failover that did not succeed is tried again "
            f"after twice that. Set: failover-timeout 10000 (and not above {FAILOVER_MS_MAX})",
        )
    count = int(facts["num-other-sentinels"]) + 1
    quorum = int(facts["quorum"])
    if quorum > count or quorum < count // 2 + 1:
        may = (
            "no failover can ever begin"
            if quorum > count
            else "a minority may call the master dead and begin failovers that go nowhere"
        )
        audit.say(
            "warning",
            "quorum",
            f"the quorum is {quorum} of {count} Sentinels{at}: {may}. "
            f"Set: SENTINEL SET <name> quorum {count // 2 + 1}",
        )


# --- Redis Cluster ----------------------------------------------------------------------------


async def _cluster(audit: Audit, layout: Layout, line: Line) -> None:
    facts = _pairs((await line.ask("CLUSTER", "INFO")).decode())
    if facts.get("cluster_state") != "ok" or facts.get("cluster_slots_assigned") != "16384":
        audit.say(
            "warning",
            "cluster_state",
            f"the cluster is {facts.get('cluster_state')}, {facts.get('cluster_slots_assigned')} "
            "of 16384 slots assigned: workspaces in the others cannot be served. "
            "Look: redis-cli --cluster check",
        )
    nodes = [row.split() for row in (await line.ask("CLUSTER", "NODES")).decode().splitlines()]
    masters = [node for node in nodes if "master" in node[2].split(",") and len(node) > 8]
    for node in masters:
        place = _node_place(node, layout.master)
        async with (
            audit.looking_at(f"cluster node {place}"),
            _opened(layout.connect, place) as there,
        ):
            await _shard(audit, layout, nodes, node, there)


async def _shard(
    audit: Audit, layout: Layout, nodes: list[list[str]], node: list[str], line: Line
) -> None:
    place = _node_place(node, layout.master)
    followers = [other for other in nodes if other[3] == node[0]]
    if not any("fail" not in other[2] and other[7] == "connected" for other in followers):
        audit.say(
            "error",
            "cluster_replica",
            f"cluster node {place} has no replica: with it, its workspaces are gone. "
            "Add one: redis-cli --cluster add-node --cluster-slave",
        )
    await _master(audit, layout, place, line)
    config = await _quiet_config(line)
    if config.get("cluster-require-full-coverage", "no") != "no":
        audit.say(
            "warning",
            "full_coverage",
            f"cluster-require-full-coverage is on at {place}: the loss of one shard stops all "
            "workspaces. Set: cluster-require-full-coverage no",
        )
    timeout = int(config.get("cluster-node-timeout", CLUSTER_TIMEOUT_MS))
    if timeout > CLUSTER_TIMEOUT_MS:
        audit.say(
            "warning",
            "node_timeout",
            f"cluster-node-timeout is {timeout} at {place}: so long nobody takes over. "
            f"Set: cluster-node-timeout {CLUSTER_TIMEOUT_MS}",
        )


async def _quiet_config(line: Line) -> dict[str, str]:
    return await Audit().config(line)


def _node_place(node: list[str], ours: Place) -> Place:
    """Of a line of CLUSTER NODES; a node that was never reached by an address names none."""
    host, _, port = node[1].partition("@")[0].rpartition(":")
    return Place(host or ours.host, int(port))


def _pairs(text: str) -> dict[str, str]:
    rows = (row.partition(":") for row in text.splitlines() if ":" in row)
    return {name: value.strip() for name, _, value in rows}
