"""E-mail: mailboxes read over IMAP, answers sent over SMTP. docs/channels/mail.md is its page."""

from __future__ import annotations

from adapters.mail.channel import MailChannel
from adapters.mail.check import check
from adapters.mail.settings import Settings

__all__ = ["CHANNEL", "SETTINGS", "MailChannel", "Settings", "check"]

CHANNEL = MailChannel
SETTINGS = Settings
