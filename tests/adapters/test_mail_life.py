"""What becomes of mails in a real mailbox: threads, marks, folders, machines, bounces, loops."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from adapters.mail import imap
from router.channel import EndContact, Line, OutcomeUnknown, TreatContact
from router.core.model import ContactId
from router.testing.conformance import deliver
from tests.adapters.mail_harness import OURS, MailHarness, contact_of, mail
from tests.peers.dovecot import BINARY, WHY_NOT

pytestmark = [pytest.mark.peer, pytest.mark.skipif(BINARY is None, reason=WHY_NOT)]

KIM = "kim@customer.example"
QUARANTINE = "Contact-Router Quarantine"
AUTOMATIC = "Contact-Router Automatic"


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[MailHarness]:
    async with MailHarness(tmp_path, [KIM]) as harness:
        yield harness


async def answer(harness: MailHarness, text: str = "Please restart it.", number: int = 1) -> None:
    """The agent writes; what was said so far stands in the router's history."""
    task = harness.task(KIM, deliver(number), id_=f"e{number}", text=text)
    await harness.channel.perform(task)
    line = Line(id=f"m{number}", author="agent", at_us=number, text=text)
    harness.router.lines[task.external_id].append(line)


def received(harness: MailHarness, number: int = -1) -> EmailMessage:
    """What Kim has in her mailbox, as it lies on the disk."""
    return harness.dovecot.mails(KIM)[number]


def ids(mail: EmailMessage, field: str) -> list[str]:
    return [word.strip("<>") for word in str(mail[field] or "").split()]


async def test_an_answer_stands_in_the_customers_thread(harness: MailHarness) -> None:
    await harness.bring(mail(KIM, "dead", subject="My line", message_id="<first@customer.example>"))
    line = harness.router.lines[harness.external_id(KIM)][0]
    harness.router.lines[harness.external_id(KIM)][0] = Line(
        id=line.id, author="customer", at_us=1, text="dead", backend_id=line.backend_id,
        subject="My line",
    )  # fmt: skip
    await answer(harness)
    sent = received(harness)
    assert sent["Subject"] == "Re: My line"
    assert ids(sent, "In-Reply-To") == ["first@customer.example"]
    assert ids(sent, "References") == ["first@customer.example"]
    assert (sent["From"], sent["Auto-Submitted"]) == (f"Help <{OURS}>", None)
    assert sent.get_content().strip() == "Please restart it."
    await answer(harness, "And now?", 2)
    assert ids(received(harness), "References") == [
        "first@customer.example", *ids(sent, "Message-ID")
    ]  # fmt: skip


async def test_a_reply_joins_its_contact_and_a_new_subject_is_a_new_one(
    harness: MailHarness,
) -> None:
    await harness.bring(mail(KIM, "dead"))
    await answer(harness)
    first = harness.external_id(KIM)
    (our_id,) = ids(received(harness), "Message-ID")
    await harness.bring(mail(KIM, "still dead", subject="AW: My line", answers=our_id))
    assert harness.router.said("message")[-1].of == first
    await harness.bring(mail(KIM, "something else", subject="My bill"))
    assert harness.router.said("submit")[-1].of != first
    assert len(harness.router.contacts) == 2


async def test_a_reply_after_a_restart_finds_its_contact(harness: MailHarness) -> None:
    await harness.bring(mail(KIM, "dead"))
    await answer(harness)
    first = harness.external_id(KIM)
    (our_id,) = ids(received(harness), "Message-ID")
    await harness.renew()
    await harness.bring(mail(KIM, "still dead", answers=our_id))
    assert harness.router.said("message")[-1].of == first


async def test_a_reply_to_what_is_closed_goes_on_as_a_new_contact(harness: MailHarness) -> None:
    await harness.bring(mail(KIM, "dead", message_id="<first@customer.example>"))
    await answer(harness)
    first = contact_of(harness.router)
    sent = received(harness)
    end = EndContact(channel="email", contact=ContactId("c1"), outcome="completed")
    await harness.channel.perform(harness.task(KIM, end, id_="e8"))
    references = f"<first@customer.example> {sent['Message-ID']}"
    await harness.bring(mail(KIM, "again", References=references))
    second = contact_of(harness.router, 1)
    assert second.external_id != first.external_id
    assert second.conversation == first.conversation


async def test_somebody_else_who_answers_is_named(harness: MailHarness) -> None:
    await harness.bring(mail(KIM, "dead"))
    await answer(harness)
    (our_id,) = ids(received(harness), "Message-ID")
    await harness.bring(mail("boss@customer.example", "please hurry", answers=our_id))
    said = harness.router.said("message")[-1]
    assert said.of == harness.router.said("submit")[0].of
    assert said.args[0].message.text == "From: boss@customer.example\n\nplease hurry"


async def test_nobody_gets_into_a_thread_with_an_id_of_their_own(harness: MailHarness) -> None:
    await harness.bring(mail(KIM, "dead", message_id="<first@customer.example>"))
    await answer(harness)
    (our_id,) = ids(received(harness), "Message-ID")
    forged = our_id.replace(our_id[-25:-20], "aaaaa")
    for number, reference in enumerate([forged, "first@customer.example"]):
        stranger = f"eve{number}@evil.example"
        await harness.bring(mail(stranger, "give me the money", answers=reference))
        assert harness.router.said("message")[-1].of != harness.router.said("submit")[0].of


async def test_a_mark_in_the_subject_leads_to_the_contact(tmp_path: Path) -> None:
    async with MailHarness(tmp_path, [KIM], subject_mark=True) as harness:
        await harness.bring(mail(KIM, "dead"))
        await answer(harness)
        subject = str(received(harness)["Subject"])
        first = harness.router.said("submit")[0].of
        await harness.bring(mail(KIM, "and again", subject=f"AW: {subject}"))
        joined = harness.router.said("message")[-1]
        assert (joined.of, joined.args[0].message.text) == (first, "and again")
        # A mark can be forwarded: whoever has it is heard in the thread, under their own name.
        await harness.bring(mail("kim@private.example", "from home", subject=f"AW: {subject}"))
        joined = harness.router.said("message")[-1]
        assert joined.of == first
        assert joined.args[0].message.text == "From: kim@private.example\n\nfrom home"


async def test_two_mails_with_one_message_id_are_two_messages(harness: MailHarness) -> None:
    for text in ("one", "two", "two"):
        await harness.bring(mail(KIM, text, message_id="<always@broken.example>"))
    assert sorted(harness.router.messages.values()) == ["one", "two"]


async def test_a_mail_is_marked_only_when_the_router_has_it(harness: MailHarness) -> None:
    gate = harness.router.gates["submit"] = asyncio.Event()
    await harness.dovecot.deliver(OURS, mail(KIM, "dead"))
    await harness.signal.until(lambda: bool(harness.router.said("submit")))
    assert flags_of(harness) == [""]
    await harness.stop()  # dies in between
    gate.set()
    assert flags_of(harness) == [""]
    harness.make()
    await harness.start()
    await harness.signal.until(lambda: "done" in harness.verdicts)
    await harness.stop()
    assert "S" in flags_of(harness)[0]
    assert list(harness.router.messages.values()) == ["dead"]


def flags_of(harness: MailHarness, folder: str = "") -> list[str]:
    """The flags of our mails, as Dovecot writes them into file names."""
    place = harness.dovecot.base / "mail" / OURS / (f".{folder}" if folder else "")
    found = [path.name for sub in ("new", "cur") for path in (place / sub).glob("*")]
    return [name.partition(":2,")[2] for name in found]


async def test_new_uids_bring_nothing_twice(harness: MailHarness) -> None:
    await harness.bring(mail(KIM, "one"))
    await harness.bring(mail(KIM, "two"))
    await harness.stop()
    await harness.dovecot.stop()
    harness.dovecot.forget_uids(OURS)
    await harness.dovecot.start()
    harness.make()
    await harness.start()
    await harness.bring(mail(KIM, "three"))
    assert list(harness.router.messages.values()) == ["one", "two", "three"]


async def test_mails_are_moved_where_that_is_wanted(tmp_path: Path) -> None:
    async with MailHarness(tmp_path, box={"done_folder": "Done äöü"}) as harness:
        await harness.bring(mail(KIM, "one", subject="One"))
        await harness.bring(mail(KIM, "two", subject="Two"))
        await harness.stop()
        assert harness.dovecot.subjects(OURS) == []
        assert harness.dovecot.subjects(OURS, "Done &AOQA9gD8-") == ["One", "Two"]


@pytest.mark.parametrize("capabilities", ["IMAP4rev1", "IMAP4rev1 UIDPLUS"])
async def test_an_old_server_is_asked_now_and_then_and_mails_are_copied(
    tmp_path: Path, capabilities: str
) -> None:
    box = {"done_folder": "Done"}
    async with MailHarness(tmp_path, box=box, capabilities=capabilities, poll_s=1) as harness:
        await harness.bring(mail(KIM, "one", subject="One"))
        await harness.bring(mail(KIM, "two", subject="Two"))
        await harness.stop()
        assert harness.dovecot.subjects(OURS, "Done") == ["One", "Two"]
        # Without UIDPLUS nobody may expunge: others' deleted mails would go, too.
        left = ["", ""] if "UIDPLUS" not in capabilities else []
        assert [flags.replace("S", "").strip("Tabc") for flags in flags_of(harness)] == left
        harness.make()
        await harness.start()
        await harness.bring(mail(KIM, "three"))
        assert list(harness.router.messages.values()) == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("first", "taken"), [("unseen", ["fresh"]), ("all", ["fresh", "read"]), ("new", [])]
)
async def test_the_first_start_takes_what_was_asked_for(
    tmp_path: Path, first: str, taken: list[str]
) -> None:
    harness = MailHarness(tmp_path, box={"first": first})
    try:
        await harness.open()
        for text in ("read", "fresh"):
            await harness.dovecot.deliver(OURS, mail(KIM, text))
        place = harness.dovecot.base / "mail" / OURS
        for path in (place / "new").glob("*"):
            if b"cmVhZA" in path.read_bytes():  # "read": somebody has seen it
                path.rename(place / "cur" / f"{path.name}:2,S")
        harness.make()
        await harness.start()
        await harness.dovecot.deliver(OURS, mail(KIM, "later"))
        await harness.signal.until(lambda: "later" in harness.router.messages.values())
        assert sorted(harness.router.messages.values()) == sorted([*taken, "later"])
        # At later starts, what somebody has read meanwhile is taken, too.
        await harness.stop()
        await harness.dovecot.deliver(OURS, mail(KIM, "while away"))
        for path in (place / "new").glob("*"):
            path.rename(place / "cur" / f"{path.name}:2,S")
        harness.make()
        await harness.start()
        await harness.signal.until(lambda: "while away" in harness.router.messages.values())
    finally:
        await harness.__aexit__()


async def test_what_cannot_be_read_is_put_aside_and_the_next_is_taken(
    harness: MailHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = mail(KIM, "x", subject="Bomb").replace(
        b"Subject:", b"X-Boundaries: " + b"boundary=x " * 200 + b"\r\nSubject:"
    )
    assert await harness.bring(bomb) == "quarantine"
    assert await harness.bring(mail("", "nobody", subject="No sender")) == "quarantine"
    monkeypatch.setattr(imap, "MAIL_BYTES", 20_000)
    await harness.dovecot.deliver(OURS, mail(KIM, "x" * 30_000, subject="Too long"))
    assert await harness.bring(mail(KIM, "fine")) == "done"
    await harness.stop()
    assert sorted(harness.dovecot.subjects(OURS, QUARANTINE)) == ["Bomb", "No sender", "Too long"]
    assert list(harness.router.messages.values()) == ["fine"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Auto_Submitted": "auto-generated (away)"},
        {"Precedence": "bulk"},
        {"Precedence": "auto_reply"},
        {"List_Id": "<news.example>"},
        {"List_Unsubscribe": "<https://news.example/u>"},
        {"X_Autoreply": "yes"},
    ],
)
async def test_what_a_machine_has_written_is_filed(
    harness: MailHarness, headers: dict[str, str]
) -> None:
    assert await harness.bring(mail(KIM, "I am away", **headers)) == "automatic"
    assert await harness.bring(mail(KIM, "I am here", Auto_Submitted="no")) == "done"
    await harness.stop()
    assert len(harness.dovecot.mails(OURS, AUTOMATIC)) == 1
    assert list(harness.router.messages.values()) == ["I am here"]


async def test_a_ping_pong_of_machines_ends_after_two_answers(tmp_path: Path) -> None:
    """Each new contact is greeted; a machine answers, and does not say that it is one."""
    async with MailHarness(tmp_path, [KIM], automatic_per_day=2) as harness:
        greeting = TreatContact(
            channel="email", contact=ContactId("c1"), kind="greeting", text="We have your mail."
        )
        for turn in itertools.count(1):
            before = len(harness.relay.taken)
            await harness.bring(mail(KIM, f"I am away ({turn})", subject=f"Away {turn}"))
            task = harness.task(KIM, greeting, id_=f"e{turn}")
            await harness.channel.perform(task)
            if len(harness.relay.taken) == before:
                break
            assert turn < 10
        assert len(harness.dovecot.mails(KIM)) == 2
        for sent in harness.dovecot.mails(KIM):
            assert sent["Auto-Submitted"] == "auto-replied"
        assert [each.mail_from for each in harness.relay.taken] == ["<>", "<>"]
        # A person is answered still.
        await answer(harness, "Hello", 99)
        assert len(harness.dovecot.mails(KIM)) == 3


async def test_our_own_mail_that_comes_back_is_no_customer(harness: MailHarness) -> None:
    await harness.bring(mail(KIM, "dead"))
    await answer(harness)
    ours = received(harness).as_bytes()
    assert await harness.bring(ours) == "automatic"
    assert await harness.bring(mail(OURS, "from us")) == "automatic"
    assert len(harness.router.messages) == 1


def bounce(about: str, action: str = "failed", envelope: str = "") -> bytes:
    """RFC 3464, as postfix writes it."""
    envelope_line = f"Original-Envelope-Id: {envelope}\n" if envelope else ""
    return f"""From: MAILER-DAEMON@mx.customer.example (Mail Delivery System)
To: {OURS}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I'm sorry to have to inform you ...

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.customer.example
{envelope_line}
Final-Recipient: rfc822; kim@customer.example
Original-Recipient: rfc822;kim@customer.example
Action: {action}
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 User unknown

--b
Content-Type: text/rfc822-headers

Subject: Re: My line
Message-ID: {about}

--b--
""".replace("\n", "\r\n").encode()


async def test_a_bounce_is_what_became_of_the_message(harness: MailHarness) -> None:
    await harness.bring(mail(KIM, "dead"))
    await harness.channel.perform(
        harness.task(KIM, deliver_m("m00000000000001abcdef"), text="hello")
    )
    sent = received(harness)
    options = harness.relay.taken[-1].mail_options
    own = str(sent["Message-ID"]).strip("<>")
    assert await harness.bring(bounce(f"<{own}>", "delayed"), "") == "automatic"
    assert harness.router.said("receipt") == []
    assert await harness.bring(bounce(f"<{own}>"), "") == "automatic"
    [said] = harness.router.said("receipt")
    assert (said.of, *said.args) == (
        "c1", "m00000000000001abcdef", "undelivered", "5.1.1 550 5.1.1 User unknown",
    )  # fmt: skip
    envelope = own.partition("@")[0]
    await harness.bring(bounce("<lost@x.example>", "delivered", envelope), "")
    assert harness.router.said("receipt")[-1].args[1] == "delivered"
    for forged in (f"<{own[:-30]}x{own[-29:]}>", "<other@x.example>"):
        assert await harness.bring(bounce(forged), "") == "automatic"
    assert len(harness.router.said("receipt")) == 2
    assert all("ENVID" not in option for option in options)  # aiosmtpd has no DSN


def deliver_m(message: str):  # type: ignore[no-untyped-def]
    effect = deliver()
    return type(effect)(channel=effect.channel, contact=effect.contact, message=message)


async def test_a_bounce_waits_while_the_router_takes_nothing(harness: MailHarness) -> None:
    await harness.bring(mail(KIM, "dead"))
    await harness.channel.perform(
        harness.task(KIM, deliver_m("m00000000000001abcdef"), text="hello")
    )
    own = str(received(harness)["Message-ID"])
    harness.router.fail("receipt", OutcomeUnknown("?"), OutcomeUnknown("?"))
    await harness.bring(bounce(own), "")
    await harness.signal.until(lambda: len(harness.router.said("receipt")) == 3)


async def test_html_and_files_are_handed_over(harness: MailHarness) -> None:
    data = mail(KIM, "see the picture", html="<p>see <script>x</script>the picture</p>")
    await harness.bring(data)
    message = contact_of(harness.router).message
    assert message is not None
    assert message.text == "see the picture"
    (html,) = message.attachments
    assert html["role"] == "html"
    said = harness.router.said("attach")[0]
    assert b"script" not in said.args[0]
