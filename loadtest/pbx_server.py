"""A real Asterisk in a process of its own: set up in a new directory, started, killed, watched.

It is the one that `.ci/asterisk` unpacks into `var/asterisk-root`, run with its own C library, so
nothing is installed and root is not needed. All its ports are on loopback. Knows nothing of the
router.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import shutil
import signal
import subprocess
import tempfile
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from loadtest.pbx_tone import MUSIC_HZ
from loadtest.server import ROOT, cpu_s, free_port

UNPACKED = ROOT / "var" / "asterisk-root"
SETTINGS = ROOT / "tests" / "peers" / "asterisk"
READY_S = 30.0
USER, PASSWORD = "router", "secret-of-this-test"
WATCHER = {"Authorization": aiohttp.encode_basic_auth("watcher", "watching")}
RATE_HZ = 8000
SORRY_HZ = 520
"""What the voicemail of the dialplan says."""


def missing() -> str:
    """Why there is no Asterisk here; empty when there is one."""
    return "" if (UNPACKED / ".unpacked").exists() else "no var/asterisk-root: run .ci/asterisk"


class Asterisk:
    """One PBX: its directory, its process, its ports."""

    def __init__(
        self,
        directory: Path,
        *,
        phone_port: int,
        phones: Sequence[str],
        members: Mapping[str, Sequence[str]] | None = None,
        ari_port: int = 0,
    ) -> None:
        """`phones` live at `phone_port`; `members` of the PBX's own queues, by the queue's name."""
        self.directory = directory
        self.ari_port = ari_port or free_port()
        self.sip_port = free_port()  # by UDP as well: outside of what the kernel gives away
        self.url = f"http://127.0.0.1:{self.ari_port}/ari/"
        self.process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._again_s = 0.0
        rtp_from = random.Random(self.ari_port).randrange(20_000, 55_000, 2)
        values = {
            "RUN": str(directory),
            "MODULES": str(next(UNPACKED.glob("usr/lib/*/asterisk/modules"))),
            "ARI_PORT": str(self.ari_port),
            "SIP_PORT": str(self.sip_port),
            "PHONE_PORT": str(phone_port),
            "RTP_FROM": str(rtp_from),
            "RTP_TO": str(rtp_from + 9_999),
        }
        for folder in ("etc", "cache", "lib", "log", "spool/recording", "spool/monitor"):
            (directory / folder).mkdir(parents=True, exist_ok=True)
        etc = directory / "etc"
        for file in SETTINGS.glob("*.conf"):
            text = file.read_text()
            for name, value in values.items():
                text = text.replace(f"@{name}@", value)
            (etc / file.name).write_text(text)
        self._phone_port = phone_port
        self._phones = list(phones)
        self._write_phones()
        (etc / "members.conf").write_text(_queues(members or {}))
        self._lay_data()

    def _lay_data(self) -> None:
        """Documentation that modules insist on, and sounds: each a tone of its own."""
        data = self.directory / "data"
        (data / "sounds" / "music").mkdir(parents=True, exist_ok=True)
        # The language of a channel is "en": sounds are looked for there first.
        (data / "sounds" / "en").mkdir(exist_ok=True)
        for shared in ("documentation", "rest-api"):
            if not (data / shared).exists():
                (data / shared).symlink_to(UNPACKED / "usr/share/asterisk" / shared)
        (data / "sounds" / "music" / "tone.sln").write_bytes(tone(MUSIC_HZ, 10))
        (data / "sounds" / "en" / "sorry.sln").write_bytes(tone(SORRY_HZ, 1))

    def sound(self, name: str, hertz: int, seconds: float) -> None:
        """A prompt that can be played as ``sound:<name>``: one tone."""
        path = self.directory / "data" / "sounds" / "en" / f"{name}.sln"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tone(hertz, seconds))

    def _write_phones(self) -> None:
        text = "".join(_endpoint(name, self._phone_port) for name in self._phones)
        (self.directory / "etc" / "phones.conf").write_text(text)

    def forget_phone(self, name: str) -> None:
        """From now on this phone is unknown: its endpoint is gone from the configuration."""
        self._phones.remove(name)
        self._write_phones()
        self.console("module reload res_pjsip.so")

    def console(self, command: str) -> str:
        """What ``asterisk -rx`` answers. Raises CalledProcessError."""
        words = [*_program(), "-C", self.directory / "etc" / "asterisk.conf", "-rx", command]
        done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=10)
        return done.stdout

    # --- the process --------------------------------------------------------------------------

    async def start(self) -> None:
        """Start and wait until calls and REST requests are taken."""
        # Channels are named by the second and a count from 0: within the second of its end the next
        # one would give the names again, and a new call would be taken for one that is over.
        await asyncio.sleep(self._again_s - asyncio.get_running_loop().time())
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "TERM": "dumb"}
        with (self.directory / "console.log").open("ab") as console:
            self.process = await asyncio.create_subprocess_exec(
                # Ends with whoever started it, also if that is killed.
                "setpriv", "--pdeathsig", "KILL", *_program(), "-f", "-n",
                "-C", self.directory / "etc" / "asterisk.conf",
                stdin=asyncio.subprocess.DEVNULL, stdout=console, stderr=console, env=environment,
            )  # fmt: skip
        async with asyncio.timeout(READY_S):
            while True:
                if self.process.returncode is not None:
                    raise RuntimeError(f"Asterisk ended: {self.log_end()}")
                with suppress(aiohttp.ClientError, OSError, TimeoutError):
                    info = await self.ask("asterisk/info?only=status")
                    if info["status"]["startup_time"]:
                        return
                await asyncio.sleep(0.02)  # another process: only asking tells

    async def ask(self, path: str) -> Any:
        """What ``GET /ari/<path>`` answers, asked as a looker-on. Raises ClientError."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=WATCHER, timeout=aiohttp.ClientTimeout(total=5), raise_for_status=True
            )
        async with self._session.get(self.url + path) as answer:
            return await answer.json()

    async def kill(self) -> None:
        """Kill -9."""
        assert self.process is not None, "not started"
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        self._again_s = asyncio.get_running_loop().time() + 1

    async def close(self) -> None:
        """No process and no connection is left."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self.process is not None:
            await self.kill()

    def cpu_s(self) -> float:
        """Processor seconds that it has used."""
        assert self.process is not None, "not started"
        return cpu_s(self.process.pid)

    def log_end(self) -> str:
        """The last lines of what it logged and printed."""
        files = [self.directory / "console.log", self.directory / "log" / "messages.log"]
        lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
        return "\n".join(lines[-15:])


@asynccontextmanager
async def pbx(
    phone_port: int, phones: Sequence[str], members: Mapping[str, Sequence[str]] | None = None
) -> AsyncIterator[Asterisk]:
    """A running Asterisk in a new directory, removed at the end."""
    # Short: the path of its control socket has at most 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="pbx-"))
    asterisk = Asterisk(directory, phone_port=phone_port, phones=phones, members=members)
    try:
        await asterisk.start()
        yield asterisk
    finally:
        await asterisk.close()
        shutil.rmtree(directory, ignore_errors=True)


def _program() -> list[Path | str]:
    """Asterisk by the loader of its own C library."""
    library = next(UNPACKED.glob("usr/lib/*/libc.so.6")).parent
    loader = next(library.glob("ld-linux-*.so.*"))
    return [loader, "--library-path", library, UNPACKED / "usr/sbin/asterisk"]


def tone(hertz: float, seconds: float) -> bytes:
    """Signed linear, 16 bit, 8 kHz, a quarter of full scale."""
    step = 2 * math.pi * hertz / RATE_HZ
    samples = (int(8000 * math.sin(step * n)) for n in range(int(RATE_HZ * seconds)))
    return array("h", samples).tobytes()


def _endpoint(name: str, port: int) -> str:
    return (
        f"[{name}](a-phone)\naors = {name}\n"
        f"[{name}](its-place)\ncontact = sip:{name}@127.0.0.1:{port}\n"
    )


def _queues(members: Mapping[str, Sequence[str]]) -> str:
    lines = []
    for queue, names in members.items():
        lines.append(f"[{queue}](fair)\n")
        lines += [f"member => PJSIP/{name}\n" for name in names]
    return "".join(lines)
