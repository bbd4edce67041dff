"""Who may in: TLS with certificates on both sides, the users of config/redis/users.acl, Sentinels
with a password of their own."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from router.config import loads
from router.errors import JournalFailed
from router.journal import AppendResult, ArchiveWrite, RowWrite
from router.journal.keys import BlockKeys
from router.journal.redis_blocks import RedisBlocks
from router.journal.redis_servers import RedisSettings
from router.journal.redis_store import RedisJournal
from router.store_settings import redis_settings
from router.testing.journal_suite import all_events, commit, live_rows
from tests.journal.conftest import RedisServer

pytestmark = [pytest.mark.peer, pytest.mark.usefixtures("redis_server")]
OK = AppendResult.OK
PASSWORDS = {
    name: f"{name}'s password" for name in ("contact-router", "replica", "sentinel", "admin")
}
ACL = Path(__file__).parents[2] / "config" / "redis" / "users.acl"


def openssl(directory: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, certificates by it for a server and a client, and a stranger's authority."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed (Debian: apt-get install openssl)")
    place = tmp_path_factory.mktemp("papers")
    for authority in ("ca", "strange"):
        openssl(
            place, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", f"{authority}.key", "-out", f"{authority}.pem", "-subj", f"/CN={authority}",
            "-days", "2",
        )  # fmt: skip
    (place / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n", encoding="utf-8")
    for name in ("server", "client"):
        openssl(
            place, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}",
        )  # fmt: skip
        openssl(
            place, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", f"{name}.pem", "-days", "2", "-extfile", "names",
        )  # fmt: skip
    for key in place.glob("*.key"):
        key.chmod(0o600)
    return place


class Closed(RedisServer):
    """A server that speaks TLS only, knows the users of the sample, and no default user."""

    def __init__(self, directory: Path, papers: Path, *options: str) -> None:
        self.papers = papers
        acl = ACL.read_text(encoding="utf-8")
        for name, password in PASSWORDS.items():
            acl = acl.replace(f"<{name}>", hashlib.sha256(password.encode()).hexdigest())
        (directory / "users.acl").write_text(acl, encoding="utf-8")
        super().__init__(directory, *options)

    def command(self) -> list[str]:
        tls = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "yes"]
        tls += ["--tls-replication", "yes", "--tls-ca-cert-file", str(self.papers / "ca.pem")]
        tls += ["--tls-cert-file", str(self.papers / "server.pem")]
        tls += ["--tls-key-file", str(self.papers / "server.key")]
        users = ["--aclfile", str(self.directory / "users.acl")]
        users += ["--masteruser", "replica", "--masterauth", PASSWORDS["replica"]]
        return [*super().command(), *tls, *users]

    def start(self) -> None:
        self.client = redis.Redis(
            port=self.port, socket_timeout=5, protocol=2, username="admin",
            password=PASSWORDS["admin"], ssl=True, ssl_ca_certs=str(self.papers / "ca.pem"),
            ssl_certfile=str(self.papers / "client.pem"),
            ssl_keyfile=str(self.papers / "client.key"),
        )  # fmt: skip
        super().start()


@pytest.fixture
def closed(tmp_path: Path, papers: Path) -> Iterator[Closed]:
    server = Closed(tmp_path, papers)
    yield server
    server.close()


@pytest.fixture
def settings(closed: Closed, papers: Path) -> RedisSettings:
    """As a configuration file says it."""
    (papers / "redis.secret").write_text(PASSWORDS["contact-router"], encoding="utf-8")
    (papers / "redis.secret").chmod(0o600)
    text = f"""
server:
  journal:
    store: redis
    url: rediss://127.0.0.1:{closed.port}/0
    user: contact-router
    password_file: redis.secret
    ca_file: ca.pem
    certificate_file: client.pem
    private_key_file: client.key
queues: {{a: {{}}}}
"""
    return redis_settings(loads(text, str(papers / "router.yaml")).server.journal)


async def test_the_sample_users_can_do_all_that_is_needed_and_no_more(
    closed: Closed, settings: RedisSettings
) -> None:
    journal = RedisJournal(settings)
    own = await journal.acquire("w")
    rows, archive = [RowWrite("contact", "c1", b"x")], [ArchiveWrite("message", "m", 1, b"x")]
    assert await journal.append(own, commit(1, upserts=rows, archive=archive)) is OK
    assert await live_rows(journal, own) == {("contact", "c1"): b"x"}
    assert await journal.renew(own)
    gone = commit(2, deletes=[("contact", "c2")], archive_deletes=[("message", "m")])
    assert await journal.append(own, gone) is OK
    closed.client.flushall()
    assert await journal.renew(own), "what was lost is written anew"
    assert journal.stats().extra["seeds"] == 1
    assert await all_events(journal, own) == [b"event 1", b"event 2"]
    assert await journal.expire(own, "message", 5) == 0
    assert await journal.trim(own, 2) == 1
    keys = await BlockKeys.open(RedisBlocks(settings))
    await keys.erase([keys.new_key()[0]])
    await keys.close()
    refused = [line for line in closed.client.acl_log() if line["username"] == "contact-router"]
    assert refused == []
    await journal.close()


async def test_strangers_stay_outside(
    closed: Closed, settings: RedisSettings, papers: Path
) -> None:
    right = settings.access
    for wrong, words in (
        (replace(right, password="guessed"), "invalid username-password"),
        (replace(right, user="", password=None), "(?i)auth"),
        (replace(right, ca_file=str(papers / "strange.pem")), "(?i)certificate verify failed"),
        (
            replace(right, certificate_file="", certificate_key_file=""),
            "(?i)certificate|closed|reset",
        ),
    ):
        journal = RedisJournal(replace(settings, access=wrong))
        with pytest.raises(JournalFailed, match=words):
            await journal.acquire("w")
        await journal.close()
    plain = RedisJournal(f"redis://127.0.0.1:{closed.port}/0")
    with pytest.raises(JournalFailed):
        await plain.acquire("w")
    await plain.close()
    assert closed.client.keys("*") == []
