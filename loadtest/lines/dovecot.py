"""A Dovecot for a run: mailboxes for everybody who is written to, on free ports, without rights.

Mail is laid into them by LMTP (RFC 2033) and lies in maildirs on the disk, where it is counted at
the end by code that shares nothing with the adapter.
"""

from __future__ import annotations

import asyncio
import getpass
import grp
import os
import pwd
import shutil
import signal
import smtplib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from loadtest.lines.kinds import dovecot
from loadtest.server import free_port

PASSWORD = "correct-horse"
READY_S = 30.0
LMTP_S = 20.0
AT_ONCE = 6
"""Deliveries under way."""
TRIES = 5
PAUSE_S = 0.05
CONFIG = """
base_dir = {base}/run
state_dir = {base}/run/state
log_path = {base}/log
protocols = imap lmtp
ssl = no
disable_plaintext_auth = no
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
first_valid_uid = 1
listen = 127.0.0.1
mail_location = maildir:{base}/mail/%u
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={base}/home/%u allow_all_users=yes
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
protocol imap {{
  mail_max_userip_connections = 50
  # What comes between a look and IDLE is not told at once; 30 s is its default.
  mailbox_idle_check_interval = 2s
}}
"""


class Dovecot:
    """One server in a directory of its own."""

    def __init__(self) -> None:
        # Not below the run's: a socket's path has at most 107 bytes, and that one is not for all.
        self.base = Path(tempfile.mkdtemp(prefix="dovecot-"))
        self.imap, self.lmtp = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._pool = ThreadPoolExecutor(AT_ONCE, "lmtp")

    async def start(self) -> None:
        """Start; returns when mail can be read and laid in. Raises RuntimeError."""
        user = "nobody" if os.geteuid() == 0 else getpass.getuser()
        entry = pwd.getpwnam(user)
        group = grp.getgrgid(entry.pw_gid).gr_name
        for name in ("run", "mail", "home"):
            (self.base / name).mkdir()
        config = CONFIG.format(base=self.base, user=user, group=group, password=PASSWORD,
                               imap=self.imap, lmtp=self.lmtp)  # fmt: skip
        (self.base / "dovecot.conf").write_text(config)
        rights: dict[str, object] = {}
        if os.geteuid() == 0:  # never as root
            for path in (self.base, *self.base.rglob("*")):
                os.chown(path, entry.pw_uid, entry.pw_gid)
            rights = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self._process = subprocess.Popen(  # noqa: ASYNC220 - a fork, no waiting
            [dovecot(), "-F", "-c", str(self.base / "dovecot.conf")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            **rights,  # type: ignore[call-overload]
        )  # fmt: skip
        try:
            async with asyncio.timeout(READY_S):
                for port in (self.imap, self.lmtp):
                    await self._listens(port, self._process)
        except TimeoutError:
            raise RuntimeError(f"Dovecot does not listen: {self.log_end()}") from None

    async def _listens(self, port: int, process: subprocess.Popen[bytes]) -> None:
        while True:
            if process.poll() is not None:
                raise RuntimeError(f"Dovecot ended: {self.log_end()}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.02)  # another process: only asking tells
            else:
                writer.close()
                return

    def log_end(self) -> str:
        """The last lines of its log."""
        file = self.base / "log"
        return "\n".join(file.read_text().splitlines()[-8:]) if file.exists() else "no log"

    async def deliver(self, to: str, data: bytes, sender: str) -> None:
        """Lay a mail into a mailbox; it lies there when this returns. Raises SMTPException."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, self._deliver, to, data, sender)

    def _deliver(self, to: str, data: bytes, sender: str) -> None:
        for attempt in range(1, TRIES + 1):  # two for one mailbox get in each other's way: 451
            with smtplib.LMTP(
                "127.0.0.1", self.lmtp, local_hostname="loadtest", timeout=LMTP_S
            ) as client:
                try:
                    client.sendmail(sender, [to], data)
                except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError) as error:
                    code = (
                        error.smtp_code
                        if isinstance(error, smtplib.SMTPDataError)
                        else error.recipients[to][0]
                    )
                    if not 400 <= code < 500 or attempt == TRIES:
                        raise
                else:
                    return
            time.sleep(PAUSE_S * attempt)  # in a thread

    def mails(self, besides: str) -> Iterator[bytes]:
        """Every mail in every mailbox but this one."""
        for box in sorted((self.base / "mail").iterdir()):
            if box.name != besides:
                for part in ("new", "cur"):
                    for path in (box / part).glob("*"):
                        yield path.read_bytes()

    async def close(self) -> None:
        """It and its processes end, and its mailboxes are gone."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(process.wait, 10)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)
        await asyncio.to_thread(self._pool.shutdown)
        await asyncio.to_thread(shutil.rmtree, self.base, ignore_errors=True)
