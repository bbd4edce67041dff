"""Mails that their server lists and does not give, between a real mailbox and its reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.adapters.mail_harness import OURS, MailHarness, mail
from tests.peers.dovecot import BINARY, WHY_NOT

pytestmark = [pytest.mark.peer, pytest.mark.skipif(BINARY is None, reason=WHY_NOT)]

KIM = "kim@customer.example"


@asynccontextmanager
async def answering(
    harness: MailHarness, instead: Callable[[bytes, list[bytes]], bytes | None]
) -> AsyncIterator[None]:
    """An adapter before its mailbox, with somebody between who gives some answers himself."""
    ends: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server, to_it = await asyncio.open_connection("127.0.0.1", harness.dovecot.imap)
        ends.extend((writer, to_it))
        back = asyncio.get_running_loop().create_task(pump(server, writer))
        with suppress(OSError):
            while line := await reader.readline():
                tag, *words = line.split()
                answer = instead(tag, words)
                (to_it if answer is None else writer).write(line if answer is None else answer)
        to_it.close()
        await back

    relay = await asyncio.start_server(between, "127.0.0.1", 0)
    try:
        harness.given["box"] = {"port": relay.sockets[0].getsockname()[1]}
        harness.make()
        yield
    finally:
        await harness.__aexit__()
        relay.close()
        for end in ends:
            end.close()


@pytest.mark.parametrize(
    "answer",
    [b"* 1 FETCH (UID %b BODY[] NIL)\r\n%b OK done\r\n", b"%.0b%b NO [SERVERBUG] broken\r\n"],
)
@pytest.mark.timeout(150)
async def test_a_mail_that_its_server_cannot_give_is_put_aside_and_the_next_is_taken(
    tmp_path: Path, answer: bytes
) -> None:
    harness = MailHarness(tmp_path, [KIM])
    await harness.open()
    broken: list[bytes] = []

    def instead(tag: bytes, words: list[bytes]) -> bytes | None:
        if words[:2] != [b"UID", b"FETCH"] or b"(BODY.PEEK[])" not in words:
            return None
        broken.append(words[2])
        return answer % (words[2], tag) if words[2] == broken[0] else None

    async with answering(harness, instead):
        await harness.dovecot.deliver(OURS, mail(KIM, "broken", subject="Broken"))
        await harness.dovecot.deliver(OURS, mail(KIM, "fine"))
        await harness.start()
        await harness.signal.until(lambda: "fine" in harness.router.messages.values(), 90)
        await harness.stop()
        assert harness.dovecot.subjects(OURS, "Contact-Router Quarantine") == ["Broken"]
        assert list(harness.router.messages.values()) == ["fine"]


async def test_a_mail_that_is_listed_and_that_nothing_is_known_of_is_not_asked_for_without_end(
    tmp_path: Path,
) -> None:
    harness = MailHarness(tmp_path, [KIM])
    await harness.open()
    asked, idle = asyncio.Event(), asyncio.Event()

    def instead(tag: bytes, words: list[bytes]) -> bytes | None:
        if b"(RFC822.SIZE)" in words:
            asked.set()
            return tag + b" OK done\r\n"
        if words[:1] == [b"IDLE"] and asked.is_set():
            idle.set()
        return None

    async with answering(harness, instead):
        await harness.dovecot.deliver(OURS, mail(KIM, "a ghost"))
        await harness.start()
        async with asyncio.timeout(30):
            await idle.wait()
        assert not harness.router.messages
