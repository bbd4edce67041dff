"""The chat widget after a reload or another page of the site, and in the reader's language."""

from __future__ import annotations

import pytest

from router.testing.conformance import deliver
from tests.adapters.test_widget import KEY, Visit, pytestmark, visit  # noqa: F401

LAUNCHER = ".launcher"


async def test_what_is_being_typed_survives_a_reload(visit: Visit) -> None:  # noqa: F811
    await visit.open()
    await visit.page.get_by_label("Your message").fill("my order has the number 20")
    await visit.page.reload()
    await visit.page.locator(LAUNCHER).click()
    box = visit.page.get_by_label("Your message")
    assert await box.input_value() == "my order has the number 20"
    await box.press("Enter")
    await visit.harness.signal.until(lambda: len(visit.harness.router.messages) == 1)
    await visit.page.locator(".visitor[data-state='']").wait_for()
    await visit.page.reload()
    await visit.page.locator(LAUNCHER).click()
    assert await visit.page.get_by_label("Your message").input_value() == ""


async def test_a_message_that_waits_for_the_connection_survives_a_reload(
    visit: Visit,  # noqa: F811
) -> None:
    await visit.open()
    await visit.say("before")
    await visit.harness.signal.until(lambda: len(visit.harness.router.messages) == 1)
    await visit.page.locator(".visitor[data-state='']").wait_for()
    # The network swallows what is said from now on: it is sent, and never arrives.
    await visit.page.evaluate("WebSocket.prototype.send = () => {}")
    await visit.say("on my way")
    await visit.page.locator(".visitor[data-state=sending]").wait_for()
    await visit.page.reload()
    await visit.harness.signal.until(lambda: len(visit.harness.router.messages) == 2)
    await visit.page.locator(LAUNCHER).click()
    await visit.page.get_by_text("on my way").wait_for()
    await visit.page.locator(".visitor[data-state=sending]").wait_for(state="detached")
    assert list(visit.harness.router.messages.values()) == ["before", "on my way"]
    assert (await visit.texts())[1:] == ["before", "on my way"]
    assert len(visit.harness.router.contacts) == 1


async def test_what_could_not_be_sent_for_long_is_there_to_be_sent_or_not(
    visit: Visit,  # noqa: F811
) -> None:
    await visit.open()
    await visit.page.evaluate(
        """sessionStorage.setItem("contact-chat:site", JSON.stringify(
            { pending: [{ id: "a".repeat(32), text: "old" }], at: Date.now() - 3_600_000 }))"""
    )
    await visit.page.reload()
    await visit.page.locator(LAUNCHER).click()
    assert await visit.page.get_by_label("Your message").input_value() == "old"
    assert await visit.page.locator(".visitor").count() == 0


async def test_an_answer_that_came_between_two_pages_is_told_on_the_next(
    visit: Visit,  # noqa: F811
) -> None:
    await visit.open()
    await visit.say("my line is dead")
    await visit.harness.signal.until(lambda: bool(visit.harness.router.said("submit")))
    await visit.perform(deliver(), "e1", "Hello, this is Ana.")
    await visit.page.get_by_text("this is Ana").wait_for()
    await visit.page.goto("about:blank")
    await visit.perform(deliver(2), "e2", "Which number is it?")
    await visit.page.goto(f"{visit.harness.origin}/")
    await visit.page.get_by_role("button", name="Chat, 1 new").click()
    await visit.page.get_by_text("Which number").wait_for()
    await visit.page.reload()
    await visit.page.locator("[role=log]").get_by_text("Which number").wait_for(state="attached")
    assert await visit.page.locator(LAUNCHER).inner_text() == "Chat"


async def test_who_reads_further_up_is_left_there_while_the_agent_types(
    visit: Visit,  # noqa: F811
) -> None:
    await visit.page.clock.install()  # it is forgotten after five seconds, and machines are slow
    await visit.open()
    await visit.say("my line is dead")
    await visit.harness.signal.until(lambda: bool(visit.harness.router.said("submit")))
    for number in range(12):
        await visit.perform(deliver(number), f"e{number}", f"answer {number} " * 12)
    await visit.page.get_by_text("answer 11 ").wait_for()
    log = visit.page.get_by_role("log")
    await log.evaluate(
        """(each) => new Promise((done) => {
            each.addEventListener("scroll", () => done(), { once: true });
            each.scrollTop = 0;
        })"""
    )
    await visit.page.clock.pause_at(await visit.page.evaluate("Date.now() + 60_000"))
    external_id = visit.harness.router.said("submit")[-1].of
    visit.harness.channel.agent_typing(external_id)
    await visit.page.get_by_text("Your agent is writing").wait_for()
    assert await log.evaluate("(each) => each.scrollTop") == 0


@pytest.mark.parametrize("given", ["", "&lang=de"])
async def test_it_speaks_german_with_a_german_reader(
    visit: Visit,  # noqa: F811
    given: str,
) -> None:
    browser = visit.page.context.browser
    page = await browser.new_page(locale="en-GB" if given else "de-AT")
    await page.goto(f"{visit.harness.origin}/widget.html?channel=site&key={KEY}{given}")
    box = page.get_by_label("Ihre Nachricht")
    await box.fill("Mein Anschluss ist tot")
    await box.press("Enter")
    await page.get_by_text("Sie sind Nummer 3 in der Warteschlange.").wait_for()
    assert await page.evaluate("document.documentElement.lang") == "de"
    await page.get_by_role("button", name="Chat-Fenster schließen").click()


async def test_on_a_shops_page_it_speaks_the_language_of_the_page(
    visit: Visit,  # noqa: F811
) -> None:
    page = await visit.page.context.browser.new_page(locale="de-AT")  # the shop is English
    await page.goto(f"{visit.harness.origin}/")
    await page.get_by_role("button", name="Chat").click()
    await page.get_by_label("Your message").wait_for()
