"""XOAUTH2 against a real Dovecot, which asks about each token, and a server that sends and asks."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from adapters.mail import check
from adapters.mail.login import Login, NoToken
from adapters.mail.settings import Mailbox
from loadtest.server import free_port
from router.errors import ConfigError
from router.testing.conformance import deliver
from tests.adapters.mail_harness import OURS, MailHarness, mail
from tests.peers.dovecot import BINARY, WHY_NOT, Dovecot

pytestmark = [pytest.mark.peer, pytest.mark.skipif(BINARY is None, reason=WHY_NOT)]

KIM = "kim@customer.example"


class Provider:
    """Who gives tokens: knows which are good now, and for whom (RFC 7662)."""

    def __init__(self) -> None:
        self.tokens: dict[str, tuple[str, float]] = {}
        """User and end, by token."""
        self.asked: list[str] = []

    async def __aenter__(self) -> Provider:
        app = web.Application()
        app.router.add_post("/introspect", self._introspect)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        self.port = free_port()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def give(self, file: Path, token: str, user: str = OURS, for_s: float = 3_600) -> None:
        """A new token, written as a timer would: beside, then renamed."""
        self.tokens[token] = (user, time.monotonic() + for_s)
        fresh = file.with_suffix(".new")
        fresh.write_text(f"{token}\n")
        fresh.chmod(0o600)
        fresh.rename(file)

    def is_good(self, token: str, user: str) -> bool:
        known, until_s = self.tokens.get(token, ("", 0.0))
        return bool(known) and known == user and time.monotonic() < until_s

    async def _introspect(self, request: web.Request) -> web.Response:
        token = str((await request.post()).get("token", ""))
        self.asked.append(token)
        user, _ = self.tokens.get(token, ("", 0.0))
        if not self.is_good(token, user):
            return web.json_response({"active": False})
        return web.json_response({"active": True, "username": user, "scope": "mail"})


class TokenRelay:
    """A sending server that takes nothing but XOAUTH2, in the words of its description."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.port = free_port()
        self.logins: list[bytes] = []
        self.sent: list[Envelope] = []

    async def __aenter__(self) -> TokenRelay:
        loop = asyncio.get_running_loop()
        self.open: set[SMTP] = set()

        def protocol() -> SMTP:
            # `auth_required` without TLS is warned of; `handle_MAIL` asks for the login instead.
            made = SMTP(self, auth_require_tls=False, auth_exclude_mechanism=["LOGIN", "PLAIN"],
                        loop=loop)  # fmt: skip
            self.open.add(made)
            return made

        self._server = await loop.create_server(protocol, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for protocol in self.open:
            if protocol.transport is not None:
                protocol.transport.abort()
        await asyncio.sleep(0)

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not session.authenticated:
            return "530 5.7.0 log in first"
        envelope.mail_from = address
        return "250 OK"

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        words = base64.b64decode(args[1], validate=True)
        self.logins.append(words)
        head, _, rest = words.partition(b"\1")
        user, token = head.removeprefix(b"user="), rest.removeprefix(b"auth=Bearer ")
        good = rest.endswith(b"\1\1") and self.provider.is_good(token[:-2].decode(), user.decode())
        if good:
            return AuthResult(success=True)
        # The reason comes as a challenge; the client sends an empty line.
        assert await server.challenge_auth(json.dumps({"status": "400"}).encode()) == b""
        return AuthResult(success=False, handled=False)  # the server says 535

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.sent.append(envelope)
        return "250 2.0.0 taken"


class TokenHarness(MailHarness):
    """The adapter with a token, and no password anywhere."""

    def __init__(self, base: Path, provider: Provider, relay: TokenRelay) -> None:
        self.token = base / "token"
        self.provider, self.token_relay = provider, relay
        login = {"password_file": "", "token_file": str(self.token)}
        smtp = {"host": "127.0.0.1", "port": relay.port, "tls": "none", "user": OURS,
                "token_file": str(self.token)}  # fmt: skip
        super().__init__(base, box=login, smtp=smtp)

    async def open(self) -> None:
        where = f"http://127.0.0.1:{self.provider.port}/introspect"
        self.dovecot = await Dovecot(self.users, introspection=where).__aenter__()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self.dovecot.__aexit__()


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[TokenHarness]:
    async with Provider() as provider, TokenRelay(provider) as relay:
        provider.give(tmp_path / "token", "ya29.first")
        async with TokenHarness(tmp_path, provider, relay) as harness:
            yield harness


async def test_mail_comes_and_goes_with_a_token(harness: TokenHarness) -> None:
    assert await harness.bring(mail(KIM, "hello")) == "done"
    await harness.channel.perform(harness.task(KIM, deliver(), text="hello yourself"))
    (sent,) = harness.token_relay.sent
    assert sent.rcpt_tos == [KIM]
    assert harness.provider.asked  # Dovecot believed nobody
    assert set(harness.token_relay.logins) == {
        b"user=%s\1auth=Bearer ya29.first\1\1" % OURS.encode()
    }


async def test_a_renewed_token_is_used_without_a_restart(harness: TokenHarness) -> None:
    await harness.bring(mail(KIM, "one"))
    harness.provider.give(harness.token, "ya29.second")
    harness.provider.tokens.pop("ya29.first")
    await harness.dovecot.stop()  # the connection ends, as providers end it with the token
    await harness.dovecot.start()
    await harness.bring(mail(KIM, "two"))
    assert sorted(harness.router.messages.values()) == ["one", "two"]
    assert "ya29.second" in harness.provider.asked


@pytest.mark.timeout(200)
async def test_a_token_that_is_not_good_is_told_and_its_renewal_is_noticed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Provider() as provider, TokenRelay(provider) as relay:
        token = tmp_path / "token"
        provider.give(token, "ya29.over", for_s=0)
        harness = TokenHarness(tmp_path, provider, relay)
        await harness.open()
        try:
            harness.make()
            findings = await check("post", dict(harness.mail.settings), [])
            assert [(finding.level, finding.text.partition(": ")[2]) for finding in findings] == [
                ("error", "mailbox 1 at 127.0.0.1: the login was refused"),
                ("error", "the sending server refused the login (535)"),
            ]
            harness._run = asyncio.get_running_loop().create_task(harness.mail.run())
            refused = "sending: the sending server refused the"
            await harness.signal.until(
                lambda: (
                    harness.router.states[-1:] == ["down"]
                    and harness.router.details[-1].startswith(refused)
                )
            )
            provider.give(token, "ya29.fresh")
            # Whoever was refused waits longer each time, and Dovecot is slow with them.
            await harness.signal.until(lambda: harness.router.states[-1] == "up", 90)
            await harness.bring(mail(KIM, "at last"))
            assert list(harness.router.messages.values()) == ["at last"]
            assert relay.sent == []
        finally:
            await harness.__aexit__()
    assert "ya29" not in caplog.text


def test_a_token_is_read_when_it_is_needed(tmp_path: Path) -> None:
    file = tmp_path / "token"
    settings: dict[str, Any] = {"address": OURS, "host": "127.0.0.1", "token_file": str(file)}
    with pytest.raises(ConfigError, match=r"boxes\.token_file: .*No such file"):
        Login(Mailbox(**settings), "boxes")
    file.write_text("one")
    file.chmod(0o600)
    login = Login(Mailbox(**settings), "boxes")
    assert (login.has_token, login.secret()) == (True, "one")
    file.write_text("two\n")
    assert login.secret() == "two"
    for broken in ("", "two words", "a\1auth=Bearer b", "\u00e4"):
        file.write_text(broken)
        with pytest.raises(NoToken):
            login.secret()
    file.write_text("three")
    file.chmod(0o644)
    with pytest.raises(NoToken):
        login.secret()
    os.unlink(file)
    with pytest.raises(NoToken):
        login.secret()
