"""A working day on each page, in a real browser: what is kept of eight hours of events.

A wallboard gets a delta a second, in which contacts come and go and agents change; a desk gets
contacts that are offered, talked over and wrapped up. Both are drawn as the day goes. After the
first hour and after the last the collector runs, and the heap is read. Nothing here waits for the
clock: a day takes a minute or two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WALLBOARD = (HERE / "pages_wallboard.js").read_text("utf-8")
DESK = (HERE / "pages_desk.js").read_text("utf-8")
HOURS = 8
DELTAS_AN_HOUR = 3600
CONTACTS_AN_HOUR = 60
"""At one desk; an agent with several chats at once is busy with 15."""


async def grown(page: Any, script: str, an_hour: int, first: list[Any], hours: int) -> float:
    """Megabytes that the heap of this page has grown by between the first hour and the last.

    Raises RuntimeError if the page still knows contacts that have gone.
    """
    session = await page.context.new_cdp_session(page)
    used = []
    for hour in range(hours):
        left = await page.evaluate(script, [*first, hour * an_hour, (hour + 1) * an_hour])
        if left != (len(first[0]["contacts"]) if first else 0):
            raise RuntimeError(f"{left} contacts are still known after hour {hour + 1}")
        if hour in (0, hours - 1):
            await session.send("HeapProfiler.collectGarbage")
            used.append((await session.send("Runtime.getHeapUsage"))["usedSize"])
    return float(used[-1] - used[0]) / 1e6
