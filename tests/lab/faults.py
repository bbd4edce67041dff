"""What goes wrong in the lab: each fault begins, lasts and is healed, at moments that are drawn.

Names F1, F8 ... are those of docs/lab.md. None takes more than is promised to be survived: one
machine of a kind at a time, or the pairs that docs/nodes.md names. Each returns with everything
healed; the next begins when the store has settled.
"""

from __future__ import annotations

import asyncio
import random
import re
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.lab.processes import Process
from tests.lab.store import DATA, Store
from tests.lab.store_cluster import KEY, ClusterStore
from tests.lab.world import CLIENTS, LAB, World

Run = Callable[[World, random.Random], Awaitable[list[str]]]


@dataclass(frozen=True)
class Fault:
    """A kind of fault."""

    name: str
    run: Run
    """Returns the machines that it happened to."""
    needs_cut: bool = False


async def lasting(seconds: float) -> None:
    """How long a fault lasts is what it is: nothing to wait for."""
    await asyncio.sleep(seconds)


def rest_of(world: World, *machines: str) -> list[str]:
    """All machines but these, and but the one from which the lab looks."""
    return [name for name in world.net.address if name not in {*machines, LAB}]


async def restarted(process: Process, after_s: float) -> None:
    process.kill()
    await lasting(after_s)
    process.start()


# --- routers --------------------------------------------------------------------------------------


async def kill_owner(world: World, rng: random.Random) -> list[str]:
    """F1: the owner dies, and comes back when another has taken over, or before."""
    owner = world.last_owner
    await restarted(world.routers[owner], rng.uniform(0.2, 6.0))
    return [owner]


async def kill_another(world: World, rng: random.Random) -> list[str]:
    """F1: a router dies that owns nothing; its clients go elsewhere."""
    other = rng.choice([name for name in world.routers if name != world.last_owner])
    await restarted(world.routers[other], rng.uniform(0.2, 4.0))
    return [other]


async def pause_owner(world: World, rng: random.Random) -> list[str]:
    """F12: the owner stops for a while, as a virtual machine does, and wakes."""
    owner = world.last_owner
    world.routers[owner].pause()
    await lasting(rng.uniform(1.0, 10.0))
    world.routers[owner].resume()
    return [owner]


async def cut_owner(world: World, rng: random.Random) -> list[str]:
    """F9: the owner reaches neither store nor nodes; clients still reach it."""
    owner = world.last_owner
    world.net.cut([owner], [*DATA, *(name for name in world.routers if name != owner)])
    await lasting(rng.uniform(2.0, 12.0))
    world.net.heal()
    return [owner]


async def lose_owner(world: World, rng: random.Random) -> list[str]:
    """F9: the owner's machine vanishes: no connection is closed, nothing answers."""
    owner = world.last_owner
    world.net.cut([owner], rest_of(world, owner))
    world.routers[owner].kill()
    await lasting(rng.uniform(5.0, 9.0))
    world.net.heal()
    world.routers[owner].start()
    return [owner]


async def half_open(world: World, rng: random.Random) -> list[str]:
    """F14: what a router sends reaches no client for a while; what they send reaches it."""
    router = rng.choice(list(world.routers))
    world.net.cut([router], [CLIENTS], one_way=True)
    await lasting(rng.uniform(3.0, 12.0))
    world.net.heal()
    return [router]


async def hand_over(world: World, rng: random.Random) -> list[str]:
    """Planned: the owner is stopped as for an upgrade, and started again."""
    owner = world.last_owner
    await stop_and_start(world, owner)
    return [owner]


async def rolling_restart(world: World, rng: random.Random) -> list[str]:
    """Planned: each router in turn, the next one when all serve."""
    for name in rng.sample(list(world.routers), len(world.routers)):
        await stop_and_start(world, name)
        await world.until_served()
    return list(world.routers)


async def stop_and_start(world: World, name: str) -> None:
    router = world.routers[name]
    router.signal(signal.SIGTERM)
    for _ in range(300):
        if not router.is_up:
            break
        await asyncio.sleep(0.1)
    else:
        world.raw.write("odd", text=f"{name} did not stop within 30 s of SIGTERM")
        router.kill()
    if router.exit_code != 0:
        world.raw.write("odd", text=f"{name} stopped with exit code {router.exit_code}")
    router.start()


async def herd(world: World, rng: random.Random) -> list[str]:
    """F20: all desks drop their connections at once, and come back."""
    world.robots["desks"].say("herd")
    await lasting(1.0)
    return [CLIENTS]


# --- the store ------------------------------------------------------------------------------------


async def restart_master(world: World, rng: random.Random) -> list[str]:
    """F8: the master's process dies and is started again, before or after it was replaced."""
    master = world.last_master
    await restarted(world.store.data[master], rng.choice((0.05, 0.5, 1.0, 3.0, 5.0)))
    return [master]


async def restart_replica(world: World, rng: random.Random) -> list[str]:
    """F8: a replica's process dies and is started again."""
    replica = rng.choice([name for name in DATA if name != world.last_master])
    await restarted(world.store.data[replica], rng.uniform(0.05, 5.0))
    return [replica]


async def pause_master(world: World, rng: random.Random) -> list[str]:
    """F10: the master stops answering for a while."""
    master = world.last_master
    world.store.data[master].pause()
    await lasting(rng.uniform(0.1, 5.0))
    world.store.data[master].resume()
    return [master]


async def lose_master(world: World, rng: random.Random) -> list[str]:
    """F9: the master's machine loses its power, with what was not yet on its disk."""
    master = world.last_master
    await lose(world, [master], rng.uniform(6.0, 10.0))
    return [master]


async def lose_replica(world: World, rng: random.Random) -> list[str]:
    """F9: a replica's machine loses its power."""
    replica = rng.choice([name for name in DATA if name != world.last_master])
    await lose(world, [replica], rng.uniform(1.0, 8.0))
    return [replica]


async def power_cycle(world: World, rng: random.Random) -> list[str]:
    """F5: the master loses power and is back, older by a second, before anybody has missed it."""
    master = world.last_master
    await lose(world, [master], rng.uniform(0.2, 0.8))
    return [master]


async def cut_master(world: World, rng: random.Random) -> list[str]:
    """F9: the master is cut off from everybody, goes on, and comes back as a second one."""
    master = world.last_master
    world.net.cut([master], rest_of(world, master))
    await lasting(rng.uniform(1.0, 12.0))
    world.net.heal()
    return [master]


async def deafen_master(world: World, rng: random.Random) -> list[str]:
    """F9: what others send does not reach the master's machine; what it sends reaches them."""
    master = world.last_master
    world.net.cut(rest_of(world, master), [master], one_way=True)
    await lasting(rng.uniform(3.0, 12.0))
    world.net.heal()
    return [master]


async def mute_master(world: World, rng: random.Random) -> list[str]:
    """F9: what the master's machine sends reaches nobody; it hears them all."""
    master = world.last_master
    world.net.cut([master], rest_of(world, master), one_way=True)
    await lasting(rng.uniform(3.0, 12.0))
    world.net.heal()
    return [master]


async def cut_master_with_owner(world: World, rng: random.Random) -> list[str]:
    """F9: master and owner are cut off together, with clients that still reach the owner."""
    master, owner = world.last_master, world.last_owner
    world.net.cut([master, owner], [name for name in rest_of(world, master, owner)
                                    if name != CLIENTS])  # fmt: skip
    await lasting(15.0)
    world.net.heal()
    return [master, owner]


async def stalled_then_lost(world: World, rng: random.Random) -> list[str]:
    """F11: replication stands still, then the master's machine loses its power."""
    master = world.last_master
    world.net.cut([master], [name for name in DATA if name != master])
    await lasting(1.5)
    await lose(world, [master], rng.uniform(6.0, 10.0))
    return [master]


# --- two at once ----------------------------------------------------------------------------------


async def lose_master_and_owner(world: World, rng: random.Random) -> list[str]:
    """The master's machine loses its power while the owner dies."""
    master, owner = world.last_master, world.last_owner
    world.routers[owner].kill()
    await lose(world, [master], rng.uniform(6.0, 10.0))
    world.routers[owner].start()
    return [master, owner]


async def lose_two_data_nodes(world: World, rng: random.Random) -> list[str]:
    """Master and a replica lose their power together; the owner lives, and repairs."""
    master = world.last_master
    replica = rng.choice([name for name in DATA if name != master])
    await lose(world, [master, replica], rng.uniform(0.5, 6.0))
    return [master, replica]


async def pause_owner_lose_master(world: World, rng: random.Random) -> list[str]:
    """The owner stops for a while, and the master is cut off meanwhile."""
    master, owner = world.last_master, world.last_owner
    world.routers[owner].pause()
    world.net.cut([master], rest_of(world, master))
    await lasting(rng.uniform(4.0, 8.0))
    world.routers[owner].resume()
    await lasting(rng.uniform(0.0, 2.0))
    world.net.heal()
    return [master, owner]


async def lose(world: World, machines: list[str], for_s: float) -> None:
    """Data machines without power for a while; what was not on their disks is gone."""
    assert isinstance(world.store, Store)
    if world.net.can_cut:  # first, or the kernel says good-bye for the processes
        world.net.cut(machines, rest_of(world, *machines))
    for machine in machines:
        lost = world.store.power_off(machine)
        world.raw.write("power", machine=machine, lost_bytes=lost)
    await lasting(for_s)
    if world.net.can_cut:
        world.net.heal()
    for machine in machines:
        world.store.data[machine].start()
        world.store.sentinels[machine].start()


async def kill_cluster_master(world: World, rng: random.Random) -> list[str]:
    """F8 on a Redis Cluster: the master that has our workspace dies; its only replica follows."""
    assert isinstance(world.store, ClusterStore)
    machine, port = await world.store.owner_of(KEY)
    await restarted(world.store.process_at(machine, port), rng.uniform(0.5, 8.0))
    return [machine]


async def kill_cluster_master_and_owner(world: World, rng: random.Random) -> list[str]:
    """The same, while the router that owns the workspace dies."""
    owner = world.last_owner
    world.routers[owner].kill()
    machines = await kill_cluster_master(world, rng)
    world.routers[owner].start()
    return [*machines, owner]


CLUSTER_FAULTS = (
    Fault("F1 owner killed", kill_owner),
    Fault("F8 cluster's master killed", kill_cluster_master),
    Fault("cluster's master and owner killed", kill_cluster_master_and_owner),
)

FAULTS = (
    Fault("F1 owner killed", kill_owner),
    Fault("F9 master and owner cut off", cut_master_with_owner, needs_cut=True),
    Fault("F8 master restarted", restart_master),
    Fault("F12 owner stopped", pause_owner),
    Fault("F9 master loses power", lose_master),
    Fault("planned hand-over", hand_over),
    Fault("F5 master power-cycled", power_cycle),
    Fault("F9 owner cut off", cut_owner, needs_cut=True),
    Fault("F9 master cut off", cut_master, needs_cut=True),
    Fault("F10 master stopped", pause_master),
    Fault("F11 stalled, then lost", stalled_then_lost, needs_cut=True),
    Fault("master and owner lost", lose_master_and_owner),
    Fault("F20 herd", herd),
    Fault("F9 owner's machine lost", lose_owner, needs_cut=True),
    Fault("F9 master deaf", deafen_master, needs_cut=True),
    Fault("F9 master mute", mute_master, needs_cut=True),
    Fault("two data nodes lost", lose_two_data_nodes),
    Fault("owner stopped, master cut off", pause_owner_lose_master, needs_cut=True),
    Fault("rolling restart", rolling_restart),
    Fault("F1 another router killed", kill_another),
    Fault("F8 replica restarted", restart_replica),
    Fault("F9 replica loses power", lose_replica),
    Fault("F14 answers lost", half_open, needs_cut=True),
)


def drawn(world: World, rng: random.Random, only: str = "") -> list[Fault]:
    """A shuffled round of all faults that can be made here; `only`: whose name has this pattern."""
    there = CLUSTER_FAULTS if isinstance(world.store, ClusterStore) else FAULTS
    can_cut = world.net.can_cut
    possible = [f for f in there if (can_cut or not f.needs_cut) and re.search(only, f.name)]
    return rng.sample(possible, len(possible))
