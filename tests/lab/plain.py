"""Shows that the lab finds losses: a plain Redis, written with and without WAIT, cut in two.

No router takes part. Two writers append to one list, each to the master that it finds; then the
master is cut off together with one of them, and healed. What was acknowledged without a replica is
gone afterwards, what WAIT had confirmed is not. `python -m tests.lab.plain` prints both.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.lab.network import Namespaces, why_no_namespaces
from tests.lab.processes import Process
from tests.lab.raw import Raw, read
from tests.lab.store import DATA, MASTER_NAME, SENTINEL_PORT, Store, until

ROOT = Path(__file__).parents[2]
WRITERS = ("writer1", "writer2")
CUT_S = 5.0
BEFORE_S = 1.0
WAIT_MS = 300
PACE_S = 0.002


class Found(NamedTuple):
    """What became of a list that two writers appended to."""

    acknowledged: int
    lost: int
    """Acknowledged and not there at the end."""
    doubled: int
    """Places in the list that were acknowledged for two different marks."""


def connect(address: str, port: int) -> redis.Redis:
    return redis.Redis(
        address, port, decode_responses=True, single_connection_client=True,
        socket_timeout=1, socket_connect_timeout=0.3, retry=Retry(NoBackoff(), 0),
    )  # fmt: skip


def find_master(addresses: list[str]) -> redis.Redis | None:
    """A connection to the node that most Sentinels in reach call master, if it agrees."""
    votes: Counter[tuple[str, int]] = Counter()
    for address in addresses:
        with contextlib.suppress(redis.RedisError, OSError), connect(address, SENTINEL_PORT) as one:
            said = one.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)
            votes[said[0], int(said[1])] += 1
    for (address, port), _ in votes.most_common(1):
        with contextlib.suppress(redis.RedisError, OSError):
            found = connect(address, port)
            if found.execute_command("ROLE")[0] == "master":
                return found
    return None


def write(name: str, key: str, is_waited: bool, addresses: list[str], log: Path) -> None:
    """Append marks to the list until killed."""
    raw = Raw(log)
    number = 0
    master: redis.Redis | None = None
    while True:
        if master is None:
            master = find_master(addresses)
            time.sleep(0 if master else 0.05)
            continue
        number += 1
        mark = f"{name}-{number}"
        try:
            place = master.rpush(key, mark)
            if not is_waited or master.execute_command("WAIT", 1, WAIT_MS) >= 1:
                raw.write("ack", place=place, mark=mark)
        except (redis.RedisError, OSError):
            master.close()
            master = None
        time.sleep(PACE_S)


async def prove(directory: Path) -> dict[str, Found]:
    """Run it in `directory`; what became of both lists."""
    net = Namespaces([*DATA, *WRITERS, "lab"])
    store = Store(net, directory, down_after_s=1.0, min_replicas=0)
    writers: list[Process] = []
    try:
        with net.inside("lab"):
            await store.start()
            for key in ("plain", "waited"):
                for name in WRITERS:
                    log = directory / f"{key}-{name}.jsonl"
                    addresses = [net.address[machine] for machine in DATA]
                    said = json.dumps([f"{key}-{name}", key, key == "waited", addresses, str(log)])
                    argv = [sys.executable, "-m", "tests.lab.plain", said]
                    writer = Process(net, name, argv, directory / f"{key}-{name}.log", cwd=ROOT)
                    writer.start()
                    writers.append(writer)
            await until("all write", lambda: _all_write(directory), 30)
            await asyncio.sleep(BEFORE_S)  # traffic before the fault
            master = await store.master()
            cut_off = [master, WRITERS[0]]
            net.cut(cut_off, [name for name in net.address if name not in [*cut_off, "lab"]])
            await asyncio.sleep(CUT_S)  # the length of the fault
            net.heal()
            await store.settle()
            for writer in writers:
                writer.kill()
            last = await store.master()
            found = {}
            for key in ("plain", "waited"):
                there = await store.ask(last, "LRANGE", key, "0", "-1")
                found[key] = judge(directory, key, there)
            return found
    finally:
        for writer in writers:
            writer.kill()
        await store.close()
        net.close()


async def _all_write(directory: Path) -> bool:
    return await asyncio.to_thread(_have_written, directory)


def _have_written(directory: Path) -> bool:
    logs = list(directory.glob("*.jsonl"))
    return len(logs) == 4 and all(log.stat().st_size > 1000 for log in logs)


def judge(directory: Path, key: str, there: list[str]) -> Found:
    """From the raw logs and the list as it is in the end."""
    acknowledged = [line for name in WRITERS for line in read(directory / f"{key}-{name}.jsonl")]
    kept = set(there)
    meaning: dict[int, str] = {}
    doubled = 0
    for line in acknowledged:
        doubled += meaning.setdefault(line["place"], line["mark"]) != line["mark"]
    lost = sum(line["mark"] not in kept for line in acknowledged)
    return Found(len(acknowledged), lost, doubled)


def main() -> None:
    if len(sys.argv) > 1:
        name, key, is_waited, addresses, log = json.loads(sys.argv[1])
        write(name, key, is_waited, addresses, Path(log))
    if reason := why_no_namespaces():
        sys.exit(reason)
    with tempfile.TemporaryDirectory(prefix="contact-router-lab-") as directory:
        for key, found in asyncio.run(prove(Path(directory))).items():
            print(f"{key}: {found.acknowledged} acknowledged, {found.lost} lost, "
                  f"{found.doubled} places with two meanings")  # fmt: skip


if __name__ == "__main__":
    main()
