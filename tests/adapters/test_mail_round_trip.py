"""Customer, mailbox, router, agent, customer's mailbox: the whole way, and what is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.adapters.mail_harness import OURS, Relay, mail
from tests.api.site import Client, Site, api_of, start
from tests.peers.dovecot import BINARY, PASSWORD, WHY_NOT, Dovecot
from tests.web.conftest import OpenPage, browser, open_page  # noqa: F401 - fixtures

pytestmark = [pytest.mark.peer, pytest.mark.skipif(BINARY is None, reason=WHY_NOT)]

KIM = "kim@customer.example"
CONFIG = """
server: {{durability: process, limits: {{requests_per_s: 100000, requests_burst: 1000000}}}}
workspaces:
  oak:
    adapters:
      post:
        type: mail
        channel: email
        mailboxes:
          - {{address: help@ours.example, name: Help, host: 127.0.0.1, port: {imap}, tls: none,
              password_file: {password}}}
        smtp: {{host: 127.0.0.1, port: {smtp}, tls: none}}
        secret_file: {secret}
    entry_points:
      help: {{channel: email, address: help@ours.example, queue: front}}
    queues:
      front: {{treatment: {{greeting: "We have your mail."}}, wrap_up: 0s}}
    profiles:
      all: {{front: 1}}
    agents:
      ana: {{name: Ana, profile: all}}
"""


class Post:
    """A server with a mailbox, and what the test looks at."""

    def __init__(self, dovecot: Dovecot, relay: Relay, config: str, data: Path) -> None:
        self.dovecot, self.relay = dovecot, relay
        self.config, self.data = config, data
        self.site: Site
        self.admin: Client

    async def open(self, session: aiohttp.ClientSession) -> None:
        server = await start(self.data, self.config)
        self.site = Site(server, api_of(server), session)
        self.admin = await self.site.client("admin")
        await self.until(lambda: server.hosts["oak"].channels.states()[0]["state"] == "up")

    async def until(self, holds: Callable[[], Any]) -> None:
        """Mailboxes on a disk give no signal: looked at often, at most 15 seconds."""

        async def look() -> Any:
            return holds()

        await self.found(look)

    async def found(self, look: Callable[[], Awaitable[Any]]) -> Any:
        """What `look` gives, when it gives something."""
        async with asyncio.timeout(30):
            while not (seen := await look()):  # noqa: ASYNC110 - what is there gives no signal
                await asyncio.sleep(0.02)
        return seen

    async def contact(self) -> str:
        """The first contact, when it is there."""

        async def look() -> str:
            page = (await self.admin("GET", "/v1/contacts")).body["contacts"]
            return str(page[-1]["id"]) if page else ""

        return str(await self.found(look))

    async def messages(self, contact: str, count: int) -> list[dict[str, Any]]:
        """The messages of a contact, when there are so many."""

        async def look() -> list[dict[str, Any]]:
            found = (await self.admin("GET", f"/v1/contacts/{contact}/messages")).body
            messages: list[dict[str, Any]] = found.get("messages", [])
            return messages if len(messages) >= count else []

        return list(await self.found(look))

    async def events(self, contact: str, result: str) -> list[dict[str, Any]]:
        """What became of this contact's messages, when this was among it."""

        async def look() -> list[dict[str, Any]]:
            found = (await self.admin("GET", f"/v1/contacts/{contact}/events")).body["events"]
            return [e["event"] for e in found if e["event"].get("result") == result]

        return list(await self.found(look))

    async def accept(self, contact: str) -> None:
        """Ana is there and takes it."""
        await self.admin("POST", "/v1/agents/ana:presence", {"presence": "ready"})

        async def look() -> str:
            offers = (await self.admin("GET", "/v1/reservations")).body.get("reservations", [])
            return next((str(o["id"]) for o in offers if o["contact"] == contact), "")

        await self.admin("POST", f"/v1/reservations/{await self.found(look)}:accept", {})

    async def write(self, contact: str, text: str) -> None:
        """Ana writes."""
        ana = await self.site.client("agent")
        answer = await ana("POST", f"/v1/contacts/{contact}/messages", {"text": text})
        assert answer.status == 200, answer.body


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[Post]:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "password").chmod(0o600)
    async with AsyncExitStack() as stack:
        dovecot = await stack.enter_async_context(Dovecot([OURS, KIM]))
        relay = await stack.enter_async_context(Relay(dovecot))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        config = CONFIG.format(
            imap=dovecot.imap,
            smtp=relay.port,
            password=tmp_path / "password",
            secret=tmp_path / "secret",
        )
        post = Post(dovecot, relay, config, tmp_path / "data")
        await post.open(session)
        yield post
        await post.site.server.stop()


async def test_a_mail_goes_to_an_agent_and_the_answer_into_the_customers_mailbox(
    post: Post,
) -> None:
    first = mail(KIM, "My line is dead.", subject="Störung", name="Kim Example",
                 message_id="<first@customer.example>")  # fmt: skip
    await post.dovecot.deliver(OURS, first, KIM)
    contact = await post.contact()
    (said,) = await post.messages(contact, 1)
    assert (said["text"], said["subject"]) == ("My line is dead.", "Störung")
    await post.until(lambda: len(post.dovecot.mails(KIM)) == 1)
    greeting = post.dovecot.mails(KIM)[0]
    assert greeting["Auto-Submitted"] == "auto-replied"
    assert greeting["Subject"] == "Re: Störung"

    await post.accept(contact)
    await post.write(contact, "We look at it.")
    await post.until(lambda: len(post.dovecot.mails(KIM)) == 2)
    answer = post.dovecot.mails(KIM)[1]
    assert answer.get_content().strip() == "We look at it."
    assert answer["In-Reply-To"] == "<first@customer.example>"
    await post.until(lambda: not post.site.server.hosts["oak"].workspace.rows_of("effect"))

    # Kim answers from her telephone, at the top, with the history below.
    quoted = "Still dead.\n\nOn Mon, Nov 16, 2026, Help <help@ours.example> wrote:\n> We look"
    own = str(answer["Message-ID"]).strip("<>")
    await post.dovecot.deliver(OURS, mail(KIM, quoted, subject="AW: Störung", answers=own), KIM)
    *_, last = await post.messages(contact, 3)
    assert (last["text"], last["from"]) == ("Still dead.", "customer")
    (original,) = last["attachments"]
    assert original["role"] == "original"
    await post.write(contact, "Is it better?")
    await post.until(lambda: len(post.dovecot.mails(KIM)) == 3)
    third = post.dovecot.mails(KIM)[2]
    references = str(third["References"]).split()
    assert references[0] == "<first@customer.example>"
    assert f"<{own}>" in references
    assert len((await post.admin("GET", "/v1/contacts")).body["contacts"]) == 1


async def test_a_restart_of_the_router_keeps_the_thread(post: Post) -> None:
    await post.dovecot.deliver(OURS, mail(KIM, "dead", message_id="<a@customer.example>"), KIM)
    contact = await post.contact()
    await post.accept(contact)
    await post.write(contact, "We look at it.")
    await post.until(lambda: len(post.dovecot.mails(KIM)) == 2)
    own = str(post.dovecot.mails(KIM)[1]["Message-ID"]).strip("<>")
    session = post.site.session
    await post.site.server.stop()
    await post.dovecot.deliver(OURS, mail(KIM, "while you slept", answers=own), KIM)
    await post.open(session)
    *_, last = await post.messages(contact, 3)
    assert last["text"] == "while you slept"
    assert len(post.dovecot.mails(KIM)) == 2, "nothing is sent again after a restart"


async def test_a_bounce_is_told_to_the_agent(post: Post) -> None:
    from tests.adapters.test_mail_life import bounce

    await post.dovecot.deliver(OURS, mail(KIM, "dead"), KIM)
    contact = await post.contact()
    await post.accept(contact)
    await post.write(contact, "We look at it.")
    await post.until(lambda: len(post.dovecot.mails(KIM)) == 2)
    own = str(post.dovecot.mails(KIM)[1]["Message-ID"])
    await post.dovecot.deliver(OURS, bounce(own), "")
    sent = (await post.messages(contact, 2))[1]["id"]
    told = await post.events(contact, "undelivered")
    assert told[0]["message"] == sent
    assert "User unknown" in told[0]["reason"]


HOSTILE = """<html><body><h1>Your invoice</h1><p style="color:red">Please pay.</p>
<script>alert(1)</script><img src="http://127.0.0.1:{port}/track.gif" onerror="alert(2)">
<a href="http://127.0.0.1:{port}/click">pay here</a><iframe src="javascript:alert(3)"></iframe>
<form action="http://127.0.0.1:{port}/form"><input name=pin></form></body></html>"""


@pytest.mark.slow
async def test_html_is_shown_on_demand_in_a_frame_where_nothing_runs_or_loads(
    post: Post,
    open_page: OpenPage,  # noqa: F811
) -> None:
    hits: list[bytes] = []

    async def tracker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            hits.append(await reader.readline())

    server = await asyncio.start_server(tracker, "127.0.0.1", 0)
    html = HOSTILE.format(port=server.sockets[0].getsockname()[1])
    await post.dovecot.deliver(OURS, mail(KIM, "Please pay.", html=html), KIM)
    contact = await post.contact()
    await post.accept(contact)
    wanted = {"role": "agent", "agent": "ana", "use": "ticket"}
    ticket = (await post.admin("POST", "/v1/tokens", wanted)).body["token"]
    page = await open_page(f"{post.site.base}/desk#ticket={ticket}")
    await page.wait_for_selector(".message.from-customer")
    assert await page.locator("iframe").count() == 0, "only when somebody asks for it"
    await page.get_by_role("button", name="Show as it was sent").click()
    frame = page.frame_locator(".mail-frame")
    await frame.get_by_role("heading", name="Your invoice").wait_for()
    inside = page.frames[-1]
    assert await inside.locator("script, iframe, form, input, img[src^=http]").count() == 0
    assert await inside.evaluate("() => self.origin") == "null"
    assert await page.locator(".mail-frame").get_attribute("sandbox") == (
        "allow-popups allow-popups-to-escape-sandbox"
    )
    await page.get_by_role("button", name="Hide").click()
    await page.locator("iframe").wait_for(state="detached")
    server.close()
    assert hits == []
