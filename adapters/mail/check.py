"""What is wrong with the mail servers, in plain words: asked by `contact-router doctor`."""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import Any

from adapters import Finding, read_settings
from adapters.mail.imap import LOST, MailboxReader, keeps_keywords, words_of
from adapters.mail.login import Login
from adapters.mail.settings import Mailbox, Settings, tls_context
from adapters.mail.smtp import Smtps
from router.channel import ChannelError


async def check(name: str, settings: dict[str, Any], endpoints: list[str]) -> list[Finding]:
    """Findings about the servers behind these settings; nothing in a mailbox is changed.

    Raises ConfigError for settings that cannot be read.
    """
    del endpoints  # a mailbox rings nobody
    where = f"adapters.{name}"
    config = read_settings(Settings, settings, where)
    tls = tls_context(config.ca_file, where)
    findings: list[Finding] = []
    for number, box in enumerate(config.mailboxes):
        login = Login(box, f"{where}.mailboxes[{number}]")
        findings += await asyncio.to_thread(_mailbox, name, number, box, config, login, tls)
    smtp = Smtps(config.smtp, Login(config.smtp, f"{where}.smtp"), tls, "localhost")
    try:
        await smtp.probe()
    except ChannelError as error:
        findings.append(Finding(level="error", text=f"{name}: {error}"))
    else:
        findings.append(Finding(level="ok", text=f"{name}: the sending server lets us in"))
    finally:
        await smtp.close()
    return findings


def _mailbox(
    name: str, number: int, box: Mailbox, config: Settings, login: Login, tls: ssl.SSLContext
) -> list[Finding]:
    place = f"{name}: mailbox {number + 1} at {box.host}"

    def judge(data: bytes) -> Any:
        raise AssertionError("nothing is taken by a check")

    reader = MailboxReader(box, config, login, tls, judge, lambda *_: None, random.Random(0))
    try:
        opened = reader.connect()
    except LOST as error:
        return [Finding(level="error", text=f"{place}: {words_of(error)}")]
    finally:
        reader.close()
    found = [Finding(level="ok", text=f"{place}: can be read")]
    can = opened.client.capabilities
    if "IDLE" not in can:
        text = f"{place}: no IDLE: new mail is seen only every {config.poll_s} s"
        found.append(Finding(level="warning", text=text))
    if not keeps_keywords(opened) and not (box.done_folder and box.first == "all"):
        text = f"{place}: keeps no keywords: set done_folder, and first: all"
        found.append(Finding(level="error", text=text))
    if box.done_folder and "MOVE" not in can and "UIDPLUS" not in can:
        text = f"{place}: neither MOVE nor UIDPLUS: done mails stay there too, marked as deleted"
        found.append(Finding(level="warning", text=text))
    opened.client.shutdown()
    return found
