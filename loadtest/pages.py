"""The pages in a real browser: one update of the wallboard, and what a day leaves behind.

The page's modules are served as they are from `router/web`; the board is drawn, not the server's.
"""

from __future__ import annotations

import mimetypes
import random
import shutil
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from loadtest.pages_day import (
    CONTACTS_AN_HOUR,
    DELTAS_AN_HOUR,
    DESK,
    HOURS,
    WALLBOARD,
    grown,
)
from loadtest.report import Report, percentile

WEB = Path(__file__).parents[1] / "router" / "web"
ROWS = 2_000
CHANGED = 100
FRAMES = 40
ROUNDS = 8
FRAME_MS = 16.0
"""One frame of a screen at 60 Hz."""
GROWN_MB = 2.0
"""What a page may keep of seven hours."""
SECOND = 1_000_000
QUEUES = ("care", "billing", "technical", "retention", "sales")
TARGETS = {"voice": 20 * SECOND, "chat": 60 * SECOND, "sms": 300 * SECOND, "email": 14_400 * SECOND}
ARGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
SHELL = """<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="/tokens.css">
<link rel="stylesheet" href="/wallboard.css"><div id="page"></div>"""
MEASURE = """async ([whole, frames, rounds]) => {
  const { html, render } = await import("/page/view.js");
  const { Store, useStore } = await import("/page/store.js");
  const { Board } = await import("/wallboard/board.js");
  const { applyBoardWelcome, applyDelta, emptyBoard } = await import("/wallboard/model.js");
  const board = emptyBoard();
  applyBoardWelcome(board, { board: whole, now_us: Date.now() * 1000 });
  const store = new Store(board);
  const connection = { name: "live", heardAt: Date.now() * 1000, lagUs: 0 };
  const place = { queue: "care" };
  const session = { workspace: "w" };
  const wall = { board, store, connection, session, place, notices: [], go() {} };
  const Page = () => (useStore(store), html`<${Board} wall=${wall} />`);
  render(html`<${Page} />`, document.getElementById("page"));
  const took = frames.map(() => Infinity);
  // Other programs on the machine take turns too: of all rounds the best counts for each frame.
  const all = Array.from({ length: rounds }, () => structuredClone(frames)).flat();
  for (const [turn, frame] of all.entries()) {
    await new Promise((next) => requestAnimationFrame(() => setTimeout(next)));
    const began = performance.now();
    applyDelta(board, frame);
    store.touch();
    // preact draws in a microtask; then the browser lays out
    for (let wait = 0; wait < 4; wait += 1) await Promise.resolve();
    document.body.getBoundingClientRect();
    took[turn % frames.length] = Math.min(took[turn % frames.length], performance.now() - began);
    const drawn = document.querySelectorAll(".tile-value")[1].textContent.trim();
    if (drawn !== String(frame.totals.waiting)) throw new Error(`${drawn} was drawn`);
  }
  return took;
}"""


async def run(rounds: int = ROUNDS, hours: int = HOURS) -> Report:
    """Measure. Raises RuntimeError where there is no Chromium, or a page goes wrong."""
    from playwright.async_api import async_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    chromium = chromium or shutil.which("google-chrome")
    if chromium is None:
        raise RuntimeError("the pages are measured in a Chromium: apt-get install chromium")
    board = whole_board(random.Random(7), time.time_ns() // 1000)
    runner = web.AppRunner(_site(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=ARGS)
            shell = f"http://127.0.0.1:{runner.addresses[0][1]}/shell"

            async def fresh() -> Any:
                page = await browser.new_page(viewport={"width": 1440, "height": 900})
                await page.goto(shell)
                return page

            took = await (await fresh()).evaluate(MEASURE, [board, deltas(board), rounds])
            wall = await grown(await fresh(), WALLBOARD, DELTAS_AN_HOUR, [board], hours)
            desk = await grown(await fresh(), DESK, CONTACTS_AN_HOUR, [], hours)
            await browser.close()
    finally:
        await runner.cleanup()
    report = Report(f"One delta of {CHANGED} agents and {CHANGED} contacts on a board of {ROWS}")
    report.add("wallboard update, p50", percentile(took, 0.50), "ms")
    report.add("wallboard update, p95", percentile(took, 0.95), "ms", most=FRAME_MS)
    report.add(f"wallboard, heap grown from hour 1 to {hours}", wall, "MB", most=GROWN_MB)
    report.add(f"desk, heap grown from hour 1 to {hours}", desk, "MB", most=GROWN_MB)
    return report


def _site() -> web.Application:
    async def shell(_: web.Request) -> web.Response:
        return web.Response(text=SHELL, content_type="text/html")

    async def file(request: web.Request) -> web.StreamResponse:
        path = (WEB / request.path.lstrip("/")).resolve()
        if WEB not in path.parents or not path.is_file():
            raise web.HTTPNotFound
        kind = (
            "text/javascript" if path.suffix in (".js", ".mjs") else mimetypes.guess_type(path)[0]
        )
        return web.FileResponse(path, headers={"Content-Type": kind or "text/plain"})

    app = web.Application()
    app.add_routes([web.get("/shell", shell), web.get("/{path:.*}", file)])
    return app


def whole_board(draw: random.Random, now_us: int) -> dict[str, Any]:
    """A busy morning, as the wallboard gets it in its welcome."""
    agents = [_agent(number, draw, now_us) for number in range(ROWS)]
    contacts = [_contact(number, draw, now_us) for number in range(ROWS)]
    queues = [
        {
            "id": name,
            "open": True,
            "waiting": sum(1 for c in contacts if c["queue"] == name),
            "active": draw.randrange(2, 19),
            "agents_ready": draw.randrange(3, 12),
            "by_channel": {
                channel: {"waiting": 0, "target_us": target, "arrivals": [4, 7, 9, 3]}
                for channel, target in TARGETS.items()
            },
            "ewt_us": 20 * SECOND,
            "service_level": 0.86,
            "goal": 0.8,
        }
        for name in QUEUES
    ]
    totals = {"waiting": ROWS, "active": 40, "parked": 3, "service_level": 0.86, "goal": 0.8,
              "agents": {"ready": ROWS, "not_ready": 0, "offline": 0}}  # fmt: skip
    channels = [{"name": "phones", "channel": "voice", "type": "remote", "state": "up"}]
    return {"queues": queues, "agents": agents, "contacts": contacts, "channels": channels,
            "totals": totals}  # fmt: skip


def deltas(board: dict[str, Any]) -> list[dict[str, Any]]:
    """What changes: loads of some agents, head starts of some contacts, and the totals."""
    frames = []
    for turn in range(FRAMES):
        part = slice(turn * 45, turn * 45 + CHANGED)
        frames.append(
            {
                "now_us": time.time_ns() // 1000,
                "agents": [
                    {**a, "load": (turn * 7 + n) % 100} for n, a in enumerate(board["agents"][part])
                ],
                "contacts": [
                    {**c, "head_start_us": turn * SECOND} for c in board["contacts"][part]
                ],
                "queues": board["queues"],
                "totals": {**board["totals"], "waiting": turn},
            }
        )
    return frames


def _agent(number: int, draw: random.Random, now_us: int) -> dict[str, Any]:
    return {
        "id": f"a{number:04}",
        "name": f"Agent {number}",
        "presence": "ready",
        "presence_at_us": now_us - draw.randrange(5, 1500) * SECOND,
        "profile": "care",
        "capacity": 100,
        "load": draw.randrange(100),
        "by_channel": {"chat": draw.randrange(4)},
        "reservations": [],
    }


def _contact(number: int, draw: random.Random, now_us: int) -> dict[str, Any]:
    channel = draw.choice(list(TARGETS))
    visit_us = now_us - draw.randrange(2, 95) * SECOND
    return {
        "id": f"c{number:04}",
        "channel": channel,
        "state": "queued",
        "queue": draw.choice(QUEUES),
        "tier": 0,
        "visit_at_us": visit_us,
        "created_at_us": visit_us,
        "due_at_us": visit_us + TARGETS[channel],
        "requirements": {"en": draw.randrange(3, 8)},
    }
