"""Programs that tests of deployment run."""

from __future__ import annotations

import asyncio
from pathlib import Path

SMALL = """
server: {port: PORT}
queues: {care: {}}
entry_points: {texts: {channel: sms, address: "+49302", queue: care}}
adapters: {texts: {type: loopback, channel: sms}}
"""


async def output(*words: str, cwd: Path | None = None) -> tuple[int, str]:
    """Exit code and all that a program printed."""
    process = await asyncio.create_subprocess_exec(
        *words, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()
