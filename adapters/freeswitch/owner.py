"""Two routers at one PBX: the later one takes over, the earlier one steps back and does not fight.

FreeSWITCH tells every event to every socket and lets everybody command, so routers have to agree:
the owner writes its mark into a global variable of FreeSWITCH and renews it with each beat
(``global_setvar``, ``global_getvar``: after the documentation, not recorded). Whoever finds
another's mark there has been replaced, and comes back only when that one's beats have stopped.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress

from adapters.freeswitch.connection import Connection
from adapters.freeswitch.settings import Settings
from router.channel import ChannelLost

LOOKED = "only looked"
MISSED = 3
"""Beats that an owner may miss."""


class Owner:
    """This router's claim on the PBX."""

    def __init__(self, name: str, mark: str, config: Settings) -> None:
        self.variable = "contact_router_" + re.sub(r"[^A-Za-z0-9_]", "_", name)
        self.mark = mark
        self._config = config
        self._beats = 0
        self._replaced = False

    async def take(self, connection: Connection) -> None:
        """From now on it is ours. Raises ChannelLost, ChannelError."""
        self._replaced = False
        await self._write(connection)

    async def beat(self, connection: Connection) -> None:
        """Still ours? Raises ChannelLost: another router has taken over."""
        seen = await self._read(connection)
        if seen and not seen.startswith(f"{self.mark}:"):
            self._replaced = True
            raise ChannelLost("another router serves this FreeSWITCH now")
        await self._write(connection)

    async def wait_for_turn(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        """After having been replaced: until the other one's beats have stopped."""
        last, same = "", 0
        while self._replaced and same < MISSED:
            await asyncio.sleep(self._config.ping_s)
            seen = await self._look(await connect())
            same = same + 1 if seen == last or not seen else 0
            last = seen
        self._replaced = False

    async def _look(self, connection: Connection) -> str:
        """Read it over a connection made for that, and close it. Raises ChannelLost."""
        found = ""

        async def read() -> None:
            nonlocal found
            found = await self._read(connection)
            connection.close(LOOKED)

        async def listen() -> None:
            try:
                await connection.run()
            except ChannelLost as lost:
                if str(lost) != LOOKED:
                    raise

        with suppress(BaseExceptionGroup):  # nobody is heard: as good as no beat
            async with asyncio.TaskGroup() as group:
                group.create_task(listen())
                group.create_task(read())
        return found

    async def _read(self, connection: Connection) -> str:
        return (await connection.do(f"global_getvar {self.variable}")).strip()

    async def _write(self, connection: Connection) -> None:
        self._beats += 1
        await connection.do(f"global_setvar {self.variable}={self.mark}:{self._beats}")
