"""Runs the lab: `make lab SEED=1 MINUTES=3`, or `python -m tests.lab --help`. See docs/lab.md."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
from pathlib import Path
from time import monotonic

from tests.lab.auditor import Verdict, audit, in_words
from tests.lab.faults import Fault, drawn
from tests.lab.network import LabError, why_no_namespaces
from tests.lab.world import ROOT, Plan, World, world

CALM_S = (1.0, 3.0)
"""Traffic without a fault before the next one."""


async def torment(made: World, rng: random.Random, until: float, only: str, most: int) -> int:
    """One fault after another until the moment; how many there were."""
    number = 0
    round_: list[Fault] = []
    while monotonic() < until and number < most:
        round_ = round_ or drawn(made, rng, only)
        fault = round_.pop(0)
        number += 1
        await asyncio.sleep(rng.uniform(*CALM_S))  # the moment is meant to be any
        await made.look()
        made.raw.write("fault", number=number, name=fault.name, where=[], phase="begin")
        print(f"{number:>3} {fault.name} ...", end="", flush=True)
        began = monotonic()
        where = await fault.run(made, rng)
        made.raw.write("fault", number=number, name=fault.name, where=where, phase="over")
        settled_s = await made.settle()
        made.raw.write("fault", number=number, name=fault.name, where=where, phase="settled")
        lasted_s = monotonic() - began - settled_s
        print(f" {', '.join(where)}: {lasted_s:.1f} s, settled after {settled_s:.1f} s", flush=True)
    return number


async def run(plan: Plan, directory: Path, minutes: float, only: str, most: int,
              *, namespaces: bool) -> Verdict:  # fmt: skip
    """One run, judged. Raises LabError when the lab itself could not go on."""
    rng = random.Random(plan.seed)
    async with world(plan, directory, namespaces=namespaces) as made:
        print(f"everything serves; owner {made.last_owner}, logs in {directory}", flush=True)
        try:
            await torment(made, rng, monotonic() + minutes * 60, only, most)
        except LabError as error:
            made.net.heal()
            made.raw.write("odd", text=f"not healed: {error}")
            print(f" {error}")
        print("healed; everything has to come to its end", flush=True)
        await made.drain()
        try:
            await made.collect()
        except LabError as error:
            made.raw.write("odd", text=f"not all was there at the end: {error}")
        codes = await made.stop_routers()
        for name, code in codes.items():
            if code != 0:
                made.raw.write("odd", text=f"{name} stopped with exit code {code}")
    return audit(directory)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of faults and robots")
    parser.add_argument("--minutes", type=float, default=3.0, help="so long faults begin")
    parser.add_argument("--faults", type=int, default=10_000, help="at most so many")
    parser.add_argument("--only", default="", help="faults whose name has this pattern")
    parser.add_argument("--rate", type=float, default=20.0, help="contacts a second by HTTP")
    parser.add_argument("--replicas", type=int, default=1, help="that confirm; 0 plants a loss")
    parser.add_argument("--min-replicas", type=int, default=1, help="min-replicas-to-write")
    parser.add_argument("--cluster", action="store_true", help="a Redis Cluster, one master killed")
    parser.add_argument("--loopback", action="store_true", help="no namespaces, hence no cuts")
    parser.add_argument("--directory", type=Path, default=None, help="default: var/lab/SEED")
    return parser.parse_args()


def main() -> int:
    said = arguments()
    if shutil.which("redis-server") is None:
        sys.exit("the lab needs redis-server")
    reason = "" if said.loopback else why_no_namespaces()
    if reason:
        print(f"{reason}: on addresses of 127.0.0.0/8, without cuts")
    directory: Path = said.directory or ROOT / "var/lab" / str(said.seed)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    plan = Plan(
        seed=said.seed, rate=said.rate, replicas=said.replicas,
        min_replicas=said.min_replicas, is_cluster=said.cluster,
    )  # fmt: skip
    namespaces = not said.loopback and not reason
    verdict = asyncio.run(
        run(plan, directory, said.minutes, said.only, said.faults, namespaces=namespaces)
    )
    print(in_words(verdict))
    return 1 if verdict.broken() else 0


if __name__ == "__main__":
    sys.exit(main())
