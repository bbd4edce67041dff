"""Servers that die, lie, hang and come back: nothing accepted is lost, nothing is there twice.

Counted where it arrives: in the router's messages, and in the customers' maildirs on the disk.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from adapters.mail import MailChannel, check, imap, smtp
from adapters.mail.login import Login
from adapters.mail.settings import Mailbox, Settings, Smtp, tls_context
from router.channel import ChannelError, UnknownOutcome
from router.errors import ConfigError
from router.testing.adapter_harness import RouterDouble, Signal
from router.testing.conformance import CUSTOMER, deliver
from router.testing.fault_proxy import FaultProxy
from tests.adapters.mail_harness import OURS, MailHarness, mail
from tests.peers.dovecot import BINARY, WHY_NOT

pytestmark = [pytest.mark.peer, pytest.mark.skipif(BINARY is None, reason=WHY_NOT)]

KIM = "kim@customer.example"


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[MailHarness]:
    async with MailHarness(tmp_path, [KIM]) as harness:
        yield harness


async def test_a_mailbox_server_killed_under_traffic_loses_nothing_and_doubles_nothing(
    harness: MailHarness,
) -> None:
    written = [f"mail {number}" for number in range(60)]

    async def customers() -> None:
        for text in written:
            same = mail(KIM, text, subject=text)  # by its Message-ID, however often it is tried
            while True:
                try:
                    await harness.dovecot.deliver(OURS, same)
                except OSError:  # their server tries again, too, until it was taken
                    await asyncio.sleep(0.05)
                else:
                    break

    traffic = asyncio.get_running_loop().create_task(customers())
    for taken in (10, 30):
        await harness.signal.until(lambda most=taken: len(harness.router.messages) >= most)  # type: ignore[misc]
        await harness.dovecot.kill()
        await harness.dovecot.start()
    await traffic
    delivered = Counter(harness.dovecot.subjects(OURS))
    await harness.signal.until(lambda: set(harness.router.messages.values()) >= set(written))
    assert set(delivered) == set(written)
    assert Counter(harness.router.messages.values()) == Counter(written)
    assert "degraded" in harness.router.states


async def test_an_adapter_killed_under_traffic_takes_each_mail_once(harness: MailHarness) -> None:
    written = [f"mail {number}" for number in range(30)]
    for text in written:
        await harness.dovecot.deliver(OURS, mail(KIM, text))
    for taken in (5, 15):
        await harness.signal.until(lambda most=taken: len(harness.router.messages) >= most)  # type: ignore[misc]
        await harness.renew()
    await harness.signal.until(lambda: len(harness.router.messages) >= len(written))
    assert Counter(harness.router.messages.values()) == Counter(written)


async def test_a_sending_server_killed_under_traffic_sends_nothing_twice(
    harness: MailHarness,
) -> None:
    """What was reported as sent is in the mailbox, what was reported as not sent is not, and of
    what nobody knows there is at most one."""
    await harness.bring(mail(KIM, "hello"))
    outcomes: dict[str, str] = {}

    async def agent(number: int) -> None:
        text = f"answer {number}"
        task = harness.task(KIM, deliver(number), id_=f"e{number}", text=text)
        try:
            await harness.channel.perform(task)
        except UnknownOutcome:
            outcomes[text] = "unknown"
        except ChannelError:
            outcomes[text] = "failed"
        else:
            outcomes[text] = "sent"

    async def agents(numbers: range) -> None:
        for number in numbers:
            await agent(number)

    loop = asyncio.get_running_loop()
    work = [loop.create_task(agents(range(start, start + 10))) for start in range(0, 40, 10)]
    for sent in (8, 20):
        await harness.relay.signal.until(lambda most=sent: len(harness.relay.taken) >= most)  # type: ignore[misc]
        await harness.relay.close()
        await asyncio.sleep(0)
        await harness.relay.open()
    await asyncio.gather(*work)
    found = Counter(mail.get_content().strip() for mail in harness.dovecot.mails(KIM))
    assert max(found.values()) == 1
    assert len(outcomes) == 40
    assert [
        text for text, outcome in outcomes.items() if outcome == "sent" and not found[text]
    ] == []
    assert [text for text, outcome in outcomes.items() if outcome == "failed" and found[text]] == []
    assert sum(outcome == "sent" for outcome in outcomes.values()) >= 20


async def test_what_cannot_be_sent_is_kept_by_the_router_until_the_server_is_back(
    harness: MailHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`down` is what the router's outbox waits on; the mailbox is read meanwhile."""
    monkeypatch.setattr("adapters.mail.channel.PROBE_S", 0.2)
    await harness.stop()
    harness.make()
    await harness.start()
    await harness.relay.close()
    await harness.signal.until(lambda: harness.router.states[-1] == "down")
    await harness.bring(mail(KIM, "can you read this?"))
    await harness.relay.open()
    await harness.signal.until(lambda: harness.router.states[-1] == "up")
    await harness.channel.perform(harness.task(KIM, deliver(), text="yes"))
    assert [m.get_content().strip() for m in harness.dovecot.mails(KIM)] == ["yes"]


async def test_a_grey_listing_server_is_asked_again_and_told_once(harness: MailHarness) -> None:
    await harness.arrive("grey@customer.example")
    task = harness.task("grey@customer.example", deliver(), text="hello")
    await harness.channel.perform(task)
    assert harness.relay.greylisted["grey@customer.example"] == 3
    assert harness.read("grey@customer.example") == ["hello"]


async def test_what_is_refused_after_the_text_was_not_sent(
    harness: MailHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.arrive("busy@customer.example")
    harness.mail._sender.patience_s = 0.3
    with pytest.raises(ChannelError, match=r"452 4\.2\.2 full") as caught:
        await harness.channel.perform(harness.task("busy@customer.example", deliver(), text="x"))
    assert not isinstance(caught.value, UnknownOutcome)


async def test_a_sending_server_that_says_nothing_any_more_leaves_it_unknown(
    harness: MailHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "DATA_S", 0.3)
    await harness.arrive(CUSTOMER)
    harness.relay.gate.clear()
    with pytest.raises(UnknownOutcome):
        await harness.channel.perform(harness.task(CUSTOMER, deliver(), text="x"))
    harness.relay.gate.set()


ANSWERS = {
    b"EHLO": b"250-wire.example\r\n250-DSN\r\n250-SMTPUTF8\r\n250 SIZE 1000000\r\n",
    b"DATA": b"354 go on\r\n",
}


async def test_what_goes_over_the_wire_is_what_the_standards_say() -> None:
    """A server written from RFC 5321 and 3461, line by line: no library's idea of them."""
    lines: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            writer.write(b"220 wire.example\r\n")
            in_data = False
            while line := await reader.readline():
                lines.append(line)
                if in_data and line != b".\r\n":
                    continue
                in_data = line == b"DATA\r\n"
                writer.write(ANSWERS.get(line[:4], b"250 2.0.0 OK\r\n"))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = Smtp(host="127.0.0.1", port=port, tls="none")
    sender = smtp.Smtps(settings, Login(settings, "smtp"), tls_context("", ""), "ours.example")
    data = b"Subject: x\r\n\r\n.\r\n..two\r\nend"
    await sender.send(OURS, "kim+x=y@customer.example", data, "cr.m1.c1")
    await sender.send("", "j\u00fcrgen@customer.example", data, "cr.m2.c1")
    await sender.close()
    server.close()
    wire = b"".join(lines).decode().split("\r\n")
    assert wire[:9] == [
        "EHLO ours.example",
        f"MAIL FROM:<{OURS}> SIZE={len(data)} RET=HDRS ENVID=cr.m1.c1",
        "RCPT TO:<kim+x=y@customer.example> NOTIFY=FAILURE "
        "ORCPT=rfc822;kim+2Bx+3Dy@customer.example",
        "DATA", "Subject: x", "", "..", "...two", "end",
    ]  # fmt: skip
    assert wire[9:13] == [
        ".", "RSET",
        f"MAIL FROM:<> SIZE={len(data)} RET=HDRS ENVID=cr.m2.c1 SMTPUTF8",
        "RCPT TO:<j\u00fcrgen@customer.example> NOTIFY=NEVER",
    ]  # fmt: skip


class Between:
    """The adapter behind a proxy that can do anything to the connection to the mailbox."""

    def __init__(self, tmp_path: Path) -> None:
        self.harness = MailHarness(tmp_path, [KIM])
        self.proxy: FaultProxy | None = None

    async def __aenter__(self) -> MailHarness:
        await self.harness.open()
        self.proxy = FaultProxy("127.0.0.1", self.harness.dovecot.imap)
        await self.proxy.__aenter__()
        self.harness.given["box"] = {"port": self.proxy.port}
        self.harness.make()
        await self.harness.start()
        return self.harness

    async def __aexit__(self, *_: object) -> None:
        await self.harness.stop()
        assert self.proxy is not None
        await self.proxy.__aexit__()
        await self.harness.__aexit__()


@pytest.mark.parametrize("fault", ["cut_at", "reset_at"])
async def test_a_connection_cut_in_the_middle_of_a_mail_loses_nothing(
    tmp_path: Path, fault: str
) -> None:
    between = Between(tmp_path)
    async with between as harness:
        assert between.proxy is not None
        answers = between.proxy.answers
        text = "all of this " * 2_000
        for extra in (200, 5_000, 20_000):
            before = len(harness.router.states)
            # Within the literal of the next mail, wherever the conversation stands now.
            setattr(answers, fault, answers.passed + extra)
            await harness.dovecot.deliver(OURS, mail(KIM, f"{text} {extra}"))
            await harness.signal.until(lambda n=before: "degraded" in harness.router.states[n:])  # type: ignore[misc]
            setattr(answers, fault, -1)
            await harness.signal.until(lambda: harness.router.states[-1] == "up")
        wanted = {f"{text} {extra}" for extra in (200, 5_000, 20_000)}
        await harness.signal.until(lambda: len(harness.router.messages) == 3)
        assert set(harness.router.messages.values()) == wanted


async def test_a_server_that_hangs_is_left_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "COMMAND_S", 1.0)
    between = Between(tmp_path)
    async with between as harness:
        assert between.proxy is not None
        between.proxy.answers.hang_at = between.proxy.answers.passed + 10
        await harness.dovecot.deliver(OURS, mail(KIM, "hello"))
        await between.proxy.reset()  # the reader connects again, into the silence
        await harness.signal.until(lambda: harness.router.states[-1] == "degraded")
        between.proxy.answers.hang_at = -1
        between.proxy.answers.flow()
        await harness.signal.until(lambda: "hello" in harness.router.messages.values())
        assert len(harness.router.messages) == 1


async def test_a_server_that_talks_nonsense_is_left_in_peace_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Garbage, endless lines, a literal of 2 GB: none of it fills memory or ends the thread."""
    monkeypatch.setattr(imap, "FIRST_PAUSE_S", 0.02)  # the pauses double, up to 0.6 s here
    greetings = [
        b"\x00\xff garbage \xfe\r\n" * 50,
        b"* OK ready\r\n* CAPABILITY IMAP4rev1\r\nx OK\r\n* 1 FETCH (BODY[] {2000000000}\r\n",
        b"* BYE not today\r\n",
        b"* PREAUTH\r\n* OK\r\n" + b"* LIST " * 1_000,
        b"",
    ]
    word = tmp_path / "word"
    word.write_text("x")
    word.chmod(0o600)
    seen = 0

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        with closing(writer):
            writer.write(greetings[seen % len(greetings)])
            seen += 1
            signal.notify()
            await writer.drain()

    signal = Signal()
    server = await asyncio.start_server(lie, "127.0.0.1", 0)
    told: list[tuple[str, str]] = []
    port = server.sockets[0].getsockname()[1]
    box = Mailbox(address=OURS, host="127.0.0.1", port=port, tls="none", password_file=str(word))
    settings = Settings(mailboxes=(box,), smtp=Smtp(host="127.0.0.1", tls="none"), secret_file="x")

    def judge(data: bytes) -> Any:
        raise AssertionError("there was no mail")

    thread = imap.MailboxReader(
        box, settings, Login(box, "box"), tls_context("", ""), judge,
        lambda state, why: told.append((state, why)), random.Random(1),
    )  # fmt: skip
    thread.start()
    await signal.until(lambda: seen >= 6)
    thread.end()
    thread.cut()
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()
    server.close()
    assert {state for state, _ in told} == {"lost"}


@pytest.mark.parametrize("tls", ["tls", "starttls"])
async def test_a_certificate_must_be_trusted(tmp_path: Path, tls: str) -> None:
    harness = MailHarness(tmp_path, [KIM])
    try:
        await harness.open()
        port = harness.dovecot.imaps if tls == "tls" else harness.dovecot.imap
        harness.given["box"] = {"tls": tls, "port": port}
        harness.make()
        told: list[str] = []
        harness.router.state = lambda state, detail="": (
            told.append(f"{state} {detail}") or harness.signal.notify()
        )  # type: ignore[method-assign, func-returns-value]
        harness._run = asyncio.get_running_loop().create_task(harness.mail.run())
        await harness.signal.until(lambda: any("is not trusted" in word for word in told))
        await harness.stop()
        del harness.router.state
        harness.given["ca_file"] = str(harness.dovecot.ca_file)
        harness.make()
        await harness.start()
        await harness.bring(mail(KIM, "sealed"))
        assert list(harness.router.messages.values()) == ["sealed"]
    finally:
        await harness.__aexit__()


def files(maildir: Path) -> list[Path]:
    return [path for sub in ("new", "cur") for path in (maildir / sub).iterdir()]


async def test_the_doctor_says_what_is_wrong_and_touches_nothing(tmp_path: Path) -> None:
    async with MailHarness(tmp_path, capabilities="IMAP4rev1") as harness:
        await harness.stop()
        await harness.dovecot.deliver(OURS, mail(KIM, "hello"))
        settings = dict(harness.mail.settings)
        assert [(f.level, f.text) for f in await check("post", settings, [])] == [
            ("ok", "post: mailbox 1 at 127.0.0.1: can be read"),
            ("warning", "post: mailbox 1 at 127.0.0.1: no IDLE: new mail is seen only every 30 s"),
            ("ok", "post: the sending server lets us in"),
        ]
        (tmp_path / "password").write_text("wrong\n")
        await harness.relay.close()
        assert [(f.level, f.text) for f in await check("post", settings, [])] == [
            ("error", "post: mailbox 1 at 127.0.0.1: the login was refused"),
            ("error", "post: the sending server cannot be reached: SMTPConnectError"),
        ]
        (path,) = files(harness.dovecot.base / "mail" / OURS)
        assert path.name.partition(":2,")[2] == "", "nobody has read it"


async def test_a_wrong_password_is_told_and_nothing_is_lost(harness: MailHarness) -> None:
    await harness.bring(mail(KIM, "before"))
    await harness.stop()
    wrong = harness.base / "other"
    wrong.write_text("not-the-word\n")
    wrong.chmod(0o600)
    harness.given["box"] = {"password_file": str(wrong)}
    harness.make()
    harness._run = asyncio.get_running_loop().create_task(harness.mail.run())
    await harness.signal.until(lambda: harness.router.states[-1] == "degraded")
    assert harness.router.details[-1] == "1 mailboxes: the login was refused"
    # What comes meanwhile stays where it is, unread; what is to go out goes.
    await harness.dovecot.deliver(OURS, mail(KIM, "meanwhile"))
    task = harness.task(KIM, deliver(), text="we are here")
    await harness.channel.perform(task)
    assert harness.relay.texts(KIM) == ["we are here"]
    (path,) = (harness.dovecot.base / "mail" / OURS / "new").iterdir()
    assert "meanwhile" not in harness.router.messages.values()
    # The right password: it is taken then, once, and what was taken before is not taken again.
    harness.given.pop("box")
    await harness.renew()
    await harness.signal.until(lambda: "meanwhile" in harness.router.messages.values())
    await harness.bring(mail(KIM, "after"))  # in order: nothing else comes before it
    brought = [
        s.args[0].message.text for s in harness.router.calls if s.call in ("submit", "message")
    ]
    assert brought == ["before", "meanwhile", "after"]
    assert not path.exists()  # it was read, and the mailbox says so


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"idle_s": 1_800}, "29 minutes"),
        ({"smtp": {"host": "mail.example", "tls": "none"}}, "for this machine only"),
        ({"mailboxes": []}, "must not be empty"),
        ({"mailbox": 1}, "did you mean 'mailboxes'"),
        ({"quarantine_folder": "Contact-Router Automatic"}, "must not be the same"),
        ({"box": {"address": "help"}}, "expected an address"),
        ({"box": {"aliases": [OURS]}}, "stands in two mailboxes"),
        ({"box": {"password_file": "/nowhere/x"}}, "password_file: /nowhere/x"),
        ({"ca_file": "/nowhere/x"}, "ca_file: /nowhere/x"),
    ],
)
def test_wrong_settings_say_what_was_expected(
    tmp_path: Path, change: dict[str, Any], finding: str
) -> None:
    (tmp_path / "password").write_text("x\n")
    (tmp_path / "password").chmod(0o600)
    box = {"address": OURS, "host": "127.0.0.1", "password_file": str(tmp_path / "password"),
           **change.pop("box", {})}  # fmt: skip
    settings = {
        "mailboxes": [box], "smtp": {"host": "127.0.0.1"}, "secret_file": str(tmp_path / "s"),
        **change,
    }  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        MailChannel("mail", settings, RouterDouble(Signal()))
    assert finding in caught.value.findings[0]
