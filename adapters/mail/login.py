"""How a mail server lets us in: a password, or an OAuth 2.0 token that another program renews.

Tokens live for an hour, and how one is had differs with each provider; a timer of the operator's
writes it into a file, which is read anew for each login. XOAUTH2 is how the two large providers
take it (Google's and Microsoft's description); RFC 7628's OAUTHBEARER says the same in other words.
"""

from __future__ import annotations

import imaplib

from imap_tools import MailboxLoginError

from adapters import read_secret
from adapters.mail.settings import Mailbox, Smtp
from router.errors import ConfigError


class NoToken(Exception):
    """The token's file cannot be read now."""


class Login:
    """A user, and what proves it."""

    def __init__(self, config: Mailbox | Smtp, where: str) -> None:
        """`where` names the server in the configuration. Raises ConfigError: no such secret."""
        self.user = config.user
        self._token_file = config.token_file
        self._where = f"{where}.token_file"
        self._password = ""
        if config.token_file:
            read_secret(config.token_file, self._where)
        elif config.password_file:
            self._password = read_secret(config.password_file, f"{where}.password_file")

    @property
    def has_token(self) -> bool:
        """A token, and no password?"""
        return bool(self._token_file)

    def secret(self) -> str:
        """The password, or the token as it stands in its file now. Raises NoToken."""
        if not self._token_file:
            return self._password
        try:
            token = read_secret(self._token_file, self._where)
        except ConfigError:
            raise NoToken("the token's file cannot be read") from None
        if not token.isascii() or not token.isprintable() or " " in token:
            raise NoToken("what stands in the token's file is no token")
        return token


def xoauth2(client: imaplib.IMAP4, user: str, token: str) -> None:
    """Log in over IMAP. Raises MailboxLoginError, and what a lost connection raises."""
    words = [f"user={user}\1auth=Bearer {token}\1\1".encode()]
    try:
        # A refusal comes as one more challenge, with the reason; an empty answer ends it.
        client.authenticate("XOAUTH2", lambda _: words.pop() if words else b"")
    except imaplib.IMAP4.abort:
        raise
    except imaplib.IMAP4.error:
        raise MailboxLoginError(("NO", []), "OK") from None
