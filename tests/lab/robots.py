"""One robot process of the lab: `python -m tests.lab.robots ROLE SETTING`, commands on stdin."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.lab.backend import Backend
from tests.lab.customers import Customers
from tests.lab.desks import Desks
from tests.lab.nodes import Setting
from tests.lab.streams import Streams

ROLES = {"customers": Customers, "desks": Desks, "backend": Backend, "streams": Streams}


async def live(role: str, setting: Setting) -> None:
    robot = ROLES[role](setting)
    listening = asyncio.get_running_loop().create_task(robot.listen())
    running = asyncio.get_running_loop().create_task(robot.run())
    done, _ = await asyncio.wait({listening, running}, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    running.cancel()
    listening.cancel()


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], Setting(Path(sys.argv[2]))))
