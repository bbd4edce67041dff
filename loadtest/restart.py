"""How soon a server that was killed serves again, with many live contacts."""

from __future__ import annotations

from pathlib import Path

from loadtest import contacts
from loadtest.drivers import http
from loadtest.report import Report, progress
from loadtest.server import ROOT, installation
from loadtest.throughput import CONFIG, add_agents, created, post

BATCH = 500
LIMIT_S = 4.0


async def run(live: int = 100_000, kills: int = 3, tree: Path = ROOT) -> Report:
    """Submit, kill -9, restart, count."""
    report = Report(f"Restart after kill -9 with {live:,} live contacts")
    async with installation(CONFIG) as server:
        server.root = tree
        await server.start()
        await add_agents(server, "care", 50)
        for first in range(0, live, 20 * BATCH):
            last = min(live, first + 20 * BATCH)
            bodies = [
                contacts.batch_body(range(at, min(at + BATCH, last)), "live")
                for at in range(first, last, BATCH)
            ]
            requests = [http.request("/v1/contacts:batch", b, server.admin) for b in bodies]
            await post(server.port, requests, "200", connections=4, window=1, needle=created(BATCH))
            progress(f"{last:,} of {live:,} contacts")
        for number in range(1, kills + 1):
            await server.kill()
            took_s = await server.start()
            health = await server.good("GET", "/v1/health")
            found = next(iter(health["workspaces"].values()))["live"]
            note = f"{server.cpu_s():.1f} s of processor time"
            report.add(f"ready after kill {number}", took_s, "s", most=LIMIT_S, note=note)
            report.add("live contacts found", found, "", least=live)
        size = sum(file.stat().st_size for file in server.data.rglob("*") if file.is_file())
        report.add("on disk", size / 1e6, "MB")
    return report
