"""Whether the Redis servers are set up so that they keep what they have taken.

Each check says what is wrong, what may come of it, and the line that mends it. It runs when a
server starts and in `contact-router doctor`; docs/runbook.md lists the checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from router.journal import Finding
from router.journal.redis_audit_server import Audit, Audited, Server, server_facts
from router.journal.redis_checksums import check_workspace
from router.journal.redis_keyspace import Line
from router.journal.redis_line import Access, Endpoint, endpoint_of_url
from router.journal.redis_servers import RedisSettings

__all__ = [
    "Audited", "audit_server", "audit_store", "audit_workspace", "failed_checks", "refusals",
    "server_facts",
]  # fmt: skip

BACKLOG_BYTES = 64 * 1024 * 1024
"""What a replica may miss and still need no full copy."""
OUTPUT_BYTES = 256 * 1024 * 1024
LAG_MAX_S = 3
DOWN_AFTER_MS = (1_000, 5_000)
FAILOVER_MS_MAX = 30_000
CLUSTER_TIMEOUT_MS = 5_000


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


async def audit_store(settings: RedisSettings) -> list[Audited]:
    """Everything about a store of one or more servers. Never raises for what it finds."""
    audit = Audit()
    access = _access(settings)
    async with audit.looking_at("Redis"):
        masters = await settings.masters().all()
        for at in masters:
            async with audit.looking_at(f"Redis at {at}"), Server(access, at) as line:
                await _master(audit, settings, line)
                if settings.cluster:
                    await _shard(audit, line)
        if settings.cluster:
            async with Server(access, masters[0]) as line:
                await _cluster(audit, line)
    if settings.sentinels:
        await _sentinels(audit, settings)
    return audit.findings


def _access(settings: RedisSettings) -> Access:
    if not settings.url:
        return settings.access
    _, is_tls, database = endpoint_of_url(settings.url)
    return replace(settings.access, is_tls=is_tls or settings.access.is_tls, database=database)


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


# --- a master and its replicas ----------------------------------------------------------------


async def _master(audit: Audit, settings: RedisSettings, line: Server) -> None:
    facts = await server_facts(line, "replication")
    at = f" at {line.at}"
    if facts.get("role") != "master":
        audit.say(
            "error",
            "role",
            f"{line.at} is a replica: nothing can be written there. "
            "Name its master or the Sentinels",
        )
        return
    attached = [_replica(value) for name, value in facts.items() if _is_replica(name)]
    is_alone = not (settings.replicas or settings.sentinels or settings.cluster or attached)
    await audit.rights(line)
    await audit.node(line, at, is_alone=is_alone)
    config = await audit.config(line, at)
    audit.power(config, at, is_alone=is_alone)
    if is_alone:
        return
    _attached(audit, settings.replicas, at, [state for _, state in attached])
    _replication(audit, config, int(facts.get("repl_backlog_size", BACKLOG_BYTES)), at)
    priorities: dict[Endpoint, str] = {}
    for replica, _ in attached:
        async with (
            audit.looking_at(f"replica {replica}", "warning"),
            Server(_access(settings), replica) as there,
        ):
            await audit.rights(there)
            await audit.node(there, f" at {replica}", is_alone=False)
            known = await audit.config(there, f" at {replica}")
            audit.power(known, f" at {replica}", is_alone=False)
            facts = await server_facts(there, "replication")
            priorities[replica] = facts.get("slave_priority", "100")
    _priorities(audit, priorities)


def _is_replica(name: str) -> bool:
    return name.startswith("slave") and name[5:].isdigit()


def _replica(value: str) -> tuple[Endpoint, str]:
    facts = dict(pair.split("=", 1) for pair in value.split(","))
    return Endpoint(facts["ip"], int(facts["port"])), facts["state"]


def _attached(audit: Audit, wanted: int, at: str, states: list[str]) -> None:
    online = states.count("online")
    needed = max(wanted, 1) + 1
    if online >= needed:
        audit.say("ok", "replicas", f"{online} replicas are connected{at}")
        return
    now = (
        f"commits wait for {wanted}, so nothing is acknowledged"
        if online < wanted
        else "when one is lost, nothing is acknowledged until it is back"
        if wanted
        else "when one is lost, there is no copy any more"
    )
    audit.say(
        "warning",
        "replicas",
        f"{online} replicas are connected{at}, expected {needed} or more: {now}. "
        "Start the missing ones (replicaof, see config/redis)",
    )


def _priorities(audit: Audit, found: Mapping[Endpoint, str]) -> None:
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


async def _sentinels(audit: Audit, settings: RedisSettings) -> None:
    masters: dict[Endpoint, list[str]] = {}
    for at in settings.sentinels:
        async with (
            audit.looking_at(f"Sentinel {at}", "warning"),
            Server(settings.sentinel_access, at) as sentinel,
        ):
            answer = await sentinel.ask("SENTINEL", "MASTER", settings.master)
            flat = [word.decode() for word in answer]
            facts = dict(zip(flat[::2], flat[1::2], strict=True))
            named = Endpoint(facts["ip"], int(facts["port"]))
            masters.setdefault(named, []).append(str(at))
            _sentinel(audit, f" at Sentinel {at}", facts)
    if len(masters) > 1:
        said = "; ".join(f"{master} by {', '.join(by)}" for master, by in masters.items())
        audit.say(
            "warning",
            "sentinel_votes",
            f"the Sentinels name different masters: {said}. A failover is under way, or one "
            "of them is cut off",
        )
    if len(settings.sentinels) < 3:
        audit.say(
            "warning",
            "sentinels",
            f"{len(settings.sentinels)} Sentinels are configured: with fewer than three, on "
            "machines of their own, the loss of one may leave nobody who decides. Name three",
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


async def _cluster(audit: Audit, line: Server) -> None:
    facts = _pairs((await line.ask("CLUSTER", "INFO")).decode())
    if facts.get("cluster_state") != "ok" or facts.get("cluster_slots_assigned") != "16384":
        audit.say(
            "warning",
            "cluster_state",
            f"the cluster is {facts.get('cluster_state')}, {facts.get('cluster_slots_assigned')} "
            "of 16384 slots assigned: workspaces in the others cannot be served. "
            "Look: redis-cli --cluster check",
        )


async def _shard(audit: Audit, line: Server) -> None:
    # id, address, flags, id of the master, ping, pong, epoch, state of the link
    nodes = [row.split() for row in (await line.ask("CLUSTER", "NODES")).decode().splitlines()]
    (own_id,) = (node[0] for node in nodes if "myself" in node[2])
    followers = [node for node in nodes if node[3] == own_id]
    if not any("fail" not in node[2] and node[7] == "connected" for node in followers):
        audit.say(
            "warning",
            "cluster_replica",
            f"cluster node {line.at} has no replica: with it, its workspaces are gone. "
            "Add one: redis-cli --cluster add-node --cluster-slave",
        )
    config = await Audit().config(line)  # what cannot be seen was said before
    if config.get("cluster-require-full-coverage", "no") != "no":
        audit.say(
            "warning",
            "full_coverage",
            f"cluster-require-full-coverage is on at {line.at}: the loss of one shard stops all "
            "workspaces. Set: cluster-require-full-coverage no",
        )
    timeout = int(config.get("cluster-node-timeout", CLUSTER_TIMEOUT_MS))
    if timeout > CLUSTER_TIMEOUT_MS:
        audit.say(
            "warning",
            "node_timeout",
            f"cluster-node-timeout is {timeout} at {line.at}: so long nobody takes over. "
            f"Set: cluster-node-timeout {CLUSTER_TIMEOUT_MS}",
        )


def _pairs(text: str) -> dict[str, str]:
    rows = (row.partition(":") for row in text.splitlines() if ":" in row)
    return {name: value.strip() for name, _, value in rows}
