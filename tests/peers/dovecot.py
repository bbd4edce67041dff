"""A real Dovecot for one test: own configuration, free ports, no privileges, ended by its pid.

Mailboxes are maildirs below one directory; what is in them is read from the disk, by code that
shares nothing with the adapter. Customers have mailboxes here, too: mail is brought by LMTP.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import datetime
import ipaddress
import os
import pwd
import re
import shutil
import signal
import smtplib
import subprocess
import tempfile
from collections.abc import Iterable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from loadtest.server import free_port

BINARY = shutil.which("dovecot", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
PASSWORD = "correct horse"
WHY_NOT = "needs Dovecot (apt-get install dovecot-imapd dovecot-lmtpd)"

CONFIG = """
base_dir = {base}/run
state_dir = {base}/run/state
log_path = {base}/log
protocols = imap lmtp
ssl = yes
ssl_cert = <{base}/cert.pem
ssl_key = <{base}/key.pem
disable_plaintext_auth = no
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
first_valid_uid = 1
listen = 127.0.0.1
mail_location = maildir:{base}/mail/%u
passdb {{
  driver = passwd-file
  args = {base}/users
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={base}/home/%u
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
    port = {imaps}
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
TOKENS = """
auth_mechanisms = xoauth2 oauthbearer
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {base}/oauth2
}}
"""


class Dovecot:
    """Used as `async with`; `kill` and `start` in between."""

    def __init__(
        self, users: Iterable[str], capabilities: str = "", introspection: str = ""
    ) -> None:
        """`capabilities`: what it says it can do, where that is less than it can.

        `introspection`: where tokens are asked about (RFC 7662); only tokens let in then.
        """
        # Not pytest's directory: a socket's path has at most 107 bytes, and it is not for root.
        self.base = base = Path(tempfile.mkdtemp(prefix="dovecot-"))
        self.users = list(users)
        self.capabilities = capabilities
        self.introspection = introspection
        self.imap, self.imaps, self.lmtp = free_port(), free_port(), free_port()
        self.ca_file = base / "cert.pem"
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Dovecot:
        assert BINARY is not None, WHY_NOT
        await asyncio.to_thread(self._make)
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await asyncio.to_thread(shutil.rmtree, self.base, ignore_errors=True)

    def _make(self) -> None:
        for name in ("run", "mail", "home"):
            (self.base / name).mkdir(parents=True)
        user, group = _who()
        self._write_users()
        _certificate(self.base)
        config = CONFIG.format(base=self.base, user=user, group=group, imap=self.imap,
                               imaps=self.imaps, lmtp=self.lmtp)  # fmt: skip
        if self.capabilities:
            config += f"imap_capability = {self.capabilities}\n"
        if self.introspection:
            config += TOKENS.format(base=self.base)
            (self.base / "oauth2").write_text(
                f"introspection_mode = post\nintrospection_url = {self.introspection}\n"
                "username_attribute = username\nactive_attribute = active\nactive_value = true\n"
            )
        (self.base / "dovecot.conf").write_text(config)
        if os.geteuid() == 0:
            entry = pwd.getpwnam(user)
            for path in (self.base, *self.base.rglob("*")):
                os.chown(path, entry.pw_uid, entry.pw_gid)

    async def start(self) -> None:
        """Start; returns when mail can be read and delivered."""
        assert BINARY is not None, WHY_NOT
        command = [BINARY, "-F", "-c", str(self.base / "dovecot.conf")]
        extra = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam(_who()[0])
            extra = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self._process = subprocess.Popen(  # noqa: ASYNC220 - a fork, no waiting
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **extra
        )
        for port in (self.imap, self.lmtp):
            await until_listening(port, self._process)

    async def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, and everything it has started."""
        process, self._process = self._process, None
        if process is None:
            return
        children = await asyncio.to_thread(_children, process.pid)
        process.send_signal(number)
        await asyncio.to_thread(process.wait, 10)
        for pid in children:  # after a SIGKILL of the master they live on for a while
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(FileNotFoundError):
            (self.base / "run" / "master.pid").unlink()

    async def kill(self) -> None:
        """As a power failure would: nobody says goodbye."""
        await self.stop(signal.SIGKILL)

    async def deliver(self, user: str, data: bytes, sender: str = "kim@customer.example") -> None:
        """Mail for one of our users, by LMTP (RFC 2033)."""
        await asyncio.to_thread(self._deliver, user, data, sender)

    def _deliver(self, user: str, data: bytes, sender: str) -> None:
        for attempt in range(3):  # two deliveries to one mailbox may get in each other's way: 451
            try:
                with smtplib.LMTP("127.0.0.1", self.lmtp) as client:
                    client.sendmail(sender, [user], data)
            except smtplib.SMTPRecipientsRefused as error:
                code, _ = error.recipients[user]
                if code != 451 or attempt == 2:
                    raise
            else:
                return

    def mails(self, user: str, folder: str = "") -> list[EmailMessage]:
        """What is in a mailbox or one of its folders, oldest first."""
        place = self.base / "mail" / user / (f".{folder}" if folder else "")
        paths = [path for sub in ("new", "cur") for path in (place / sub).glob("*")]
        # <seconds>.M<microseconds>P<process>...: numbers without leading zeros.
        paths.sort(key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)[:2]])
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]  # type: ignore[misc]

    def subjects(self, user: str, folder: str = "") -> list[str]:
        """Their subjects."""
        return [str(mail["Subject"]) for mail in self.mails(user, folder)]

    def empty(self, users: list[str]) -> None:
        """Only these users, and no mail."""
        self.users = users
        self._write_users()
        for path in (*(self.base / "mail").glob("*"), *(self.base / "home").glob("*")):
            shutil.rmtree(path)

    def _write_users(self) -> None:
        lines = [f"{name}:{{PLAIN}}{PASSWORD}" for name in self.users]
        (self.base / "users").write_text("\n".join(lines) + "\n")

    def forget_uids(self, user: str) -> None:
        """The mailbox gets new UIDs and another UIDVALIDITY, as after a restore."""
        for path in (self.base / "mail" / user).glob("dovecot*"):
            if path.name != "dovecot-keywords":
                path.unlink()


_shared: list[Dovecot] = []


async def shared(users: Iterable[str]) -> Dovecot:
    """One Dovecot for the tests of this process that are content with it, its mailboxes empty.

    It ends with the process; a test that has killed it starts it again.
    """
    if not _shared:
        dovecot = Dovecot([])
        _shared.append(dovecot)
        atexit.register(_end_shared)
        await asyncio.to_thread(dovecot._make)
        await dovecot.start()
    (dovecot,) = _shared
    await asyncio.to_thread(dovecot.empty, list(users))
    return dovecot


def _end_shared() -> None:
    (dovecot,) = _shared
    if dovecot._process is not None:
        dovecot._process.terminate()
        dovecot._process.wait(10)
    shutil.rmtree(dovecot.base, ignore_errors=True)


async def until_listening(port: int, process: subprocess.Popen[bytes] | None = None) -> None:
    """Until somebody answers on the port. Raises TimeoutError, or AssertionError: it ended."""
    async with asyncio.timeout(30):
        while True:
            assert process is None or process.poll() is None, f"ended with {process.returncode}"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.02)  # no signal tells that another process listens
            else:
                writer.close()
                return


def _who() -> tuple[str, str]:
    """Whom it runs as: never root."""
    if os.geteuid() == 0:
        return "nobody", "nogroup"
    entry = pwd.getpwuid(os.geteuid())
    import grp

    return entry.pw_name, grp.getgrgid(entry.pw_gid).gr_name


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                found.append(int(path.parent.name))
    return found


def _certificate(base: Path) -> None:
    """A certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (base / "cert.pem").write_bytes(made.public_bytes(pem))
    (base / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
