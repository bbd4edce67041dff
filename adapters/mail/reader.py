"""Has mails read in a process apart (`worker.py`): one at a time, with a deadline for each."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

import msgspec

from adapters.mail.mime import MAIL_BYTES, Mail
from adapters.mail.worker import FRAME, Read

log = logging.getLogger(__name__)

READ_S = 20.0
"""For one mail, from handing it over to its answer; the worker's processor time is less."""
ANSWER_BYTES = 2 * MAIL_BYTES
MAILS = 500
"""After so many mails the process is replaced: what they have left behind goes with it."""
_decode = msgspec.msgpack.Decoder(Read).decode


class Unreadable(Exception):
    """A mail that cannot be taken, and why; nothing personal is in the text."""


class Reader:
    """Reads mails; safe to use from several tasks."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._read = 0

    async def read(self, data: bytes) -> Mail:
        """Read a mail. Raises Unreadable: it is too much, broken, or has killed its reader."""
        if len(data) > MAIL_BYTES:
            raise Unreadable(f"{len(data)} bytes")
        async with self._turn:
            process = self._process or await self._start()
            try:
                async with asyncio.timeout(READ_S):
                    answer = await self._ask(process, data)
            except TimeoutError:
                await self._end()
                raise Unreadable(f"not read within {READ_S:g} s") from None
            except (OSError, asyncio.IncompleteReadError):
                code = await self._end()
                raise Unreadable(f"its reader died (exit status {code})") from None
            except BaseException:
                await self._end()  # in the middle of an answer: nobody can read the rest
                raise
            self._read += 1
            if self._read >= MAILS:
                await self._end()
        if answer.mail is None:
            raise Unreadable(answer.refused)
        return answer.mail

    async def stop(self) -> None:
        """End the process."""
        await self._end()

    async def _start(self) -> asyncio.subprocess.Process:
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "adapters.mail.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
            env={"PATH": os.environ.get("PATH", ""), "PYTHONHASHSEED": "0"},
        )  # fmt: skip
        self._read = 0
        return process

    async def _ask(self, process: asyncio.subprocess.Process, data: bytes) -> Read:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(FRAME.pack(len(data)) + data)
        await process.stdin.drain()
        (size,) = FRAME.unpack(await process.stdout.readexactly(FRAME.size))
        if size > ANSWER_BYTES:
            raise OSError("the answer is too long")
        return _decode(await process.stdout.readexactly(size))

    async def _end(self) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.returncode is None:
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        return await process.wait()
