"""Sends mails: RFC 5321, SIZE, DSN (RFC 3461), STARTTLS (RFC 3207), login (RFC 4954).

Until the server is told DATA nothing was sent, and trying again is safe. From there to its answer
nobody knows: a connection that ends in between is an unknown outcome and is not tried again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque

import aiosmtplib
from aiosmtplib import SMTP

from adapters import NotSent, Throttled
from adapters.mail.headers import without_addresses
from adapters.mail.login import Login, NoToken
from adapters.mail.settings import Smtp
from router.channel import ChannelError, UnknownOutcome

BEFORE_S = 4.0
"""For connecting, greeting, login and envelope: all that comes before DATA."""
PATIENCE_S = 4.0
"""So long is a mail that was not taken tried again."""
DATA_S = 11.0
"""For the server to take a mail. RFC 5321 would wait ten minutes; the router waits 20 seconds for
an effect, and these three are less. A server that takes longer needs a queue before it."""
IDLE_S = 20.0
"""A connection that was not used for so long is not used any more."""
REPLY_CHARS = 160


class Smtps:
    """Connections to the sending server, kept for the next mail."""

    def __init__(self, settings: Smtp, login: Login, tls: ssl.SSLContext, helo: str) -> None:
        self._settings = settings
        self._login = login
        self._tls = tls
        self._helo = helo
        self._idle: deque[tuple[SMTP, float]] = deque()

    async def send(self, sender: str, recipient: str, data: bytes, envelope_id: str) -> None:
        """One attempt to hand a mail over; `sender` may be empty (no bounces, please).

        Raises NotSent (try again), Throttled (it said: later), ChannelError (refused for good) and
        UnknownOutcome.
        """
        client: SMTP | None = None
        try:
            async with asyncio.timeout(BEFORE_S):
                client = await self._connected()
                await self._envelope(client, sender, recipient, data, envelope_id)
        except BaseException as error:
            if client is not None:
                client.close()
            if isinstance(error, TimeoutError):
                raise NotSent("the sending server does not answer") from None
            raise
        try:
            await self._data(client, data)
        except BaseException:
            client.close()
            raise
        self._keep(client)

    async def probe(self) -> None:
        """Is the server there and does it let us in? Raises NotSent and ChannelError."""
        try:
            async with asyncio.timeout(BEFORE_S):
                self._keep(await self._connect())
        except TimeoutError:
            raise NotSent("the sending server does not answer") from None

    async def close(self) -> None:
        """Say goodbye on the connections that are not used."""
        while self._idle:
            client, _ = self._idle.pop()
            try:
                async with asyncio.timeout(1.0):
                    await client.quit()
            except (aiosmtplib.SMTPException, OSError, TimeoutError):
                client.close()

    async def _envelope(
        self, client: SMTP, sender: str, recipient: str, data: bytes, envelope_id: str
    ) -> None:
        options, wants = [], []
        if client.supports_extension("size"):
            options.append(f"SIZE={len(data)}")
        if client.supports_extension("dsn"):
            options += ["RET=HDRS", f"ENVID={envelope_id}"]
            wants = (
                ["NOTIFY=FAILURE", f"ORCPT=rfc822;{_xtext(recipient)}"]
                if sender
                else ["NOTIFY=NEVER"]
            )
        needs_utf8 = not (sender + recipient).isascii()
        if needs_utf8:
            if not client.supports_extension("smtputf8"):
                raise ChannelError("the sending server knows no addresses beyond ASCII (SMTPUTF8)")
            options.append("SMTPUTF8")
        encoding = "utf-8" if needs_utf8 else "ascii"
        try:
            await client.mail(sender, options=options, encoding=encoding)
            await client.rcpt(recipient, options=wants, encoding=encoding)
        except aiosmtplib.SMTPResponseException as error:
            raise _refused(error) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise NotSent(f"the connection ended before the mail: {type(error).__name__}") from None

    async def _data(self, client: SMTP, data: bytes) -> None:
        try:
            await client.data(data, timeout=DATA_S)
        except aiosmtplib.SMTPResponseException as error:
            raise _refused(error) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise UnknownOutcome(
                f"the server did not say whether it took the mail ({type(error).__name__})"
            ) from None

    async def _connected(self) -> SMTP:
        now_s = asyncio.get_running_loop().time()
        while self._idle:
            client, used_s = self._idle.pop()
            if client.is_connected and now_s - used_s < IDLE_S:
                try:
                    await client.rset()
                except (aiosmtplib.SMTPException, OSError):
                    client.close()
                else:
                    return client
            client.close()
        return await self._connect()

    async def _connect(self) -> SMTP:
        settings, login = self._settings, self._login
        client = SMTP(
            hostname=settings.host,
            port=settings.port,
            username=settings.user or None,
            password=None if login.has_token else login.secret() or None,
            oauth_token_generator=self._token if login.has_token else None,
            local_hostname=self._helo,
            timeout=BEFORE_S,
            use_tls=settings.tls == "tls",
            start_tls=settings.tls == "starttls",
            tls_context=self._tls if settings.tls != "none" else None,
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:  # to know what it can, before the envelope
                await client.ehlo()
        except NoToken as error:
            client.close()
            raise NotSent(f"the sending server: {error}") from None
        except aiosmtplib.SMTPAuthenticationError as error:
            client.close()
            raise ChannelError(f"the sending server refused the login ({error.code})") from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            client.close()
            raise NotSent(f"the sending server cannot be reached: {type(error).__name__}") from None
        return client

    async def _token(self) -> str:
        return await asyncio.to_thread(self._login.secret)

    def _keep(self, client: SMTP) -> None:
        if len(self._idle) >= self._settings.connections:
            self._idle.popleft()[0].close()
        self._idle.append((client, asyncio.get_running_loop().time()))


def _refused(error: aiosmtplib.SMTPResponseException) -> ChannelError:
    words = without_addresses(f"{error.code} {error.message}")[:REPLY_CHARS]
    if 400 <= error.code < 500:
        return Throttled(f"the sending server says: {words}")
    return ChannelError(f"the sending server refused it: {words}")


def _xtext(address: str) -> str:
    """RFC 3461 section 4: what is not printable ASCII, and + and =, as +XX."""
    return "".join(
        mark if "!" <= mark <= "~" and mark not in "+=" else f"+{ord(mark):02X}" for mark in address
    )
