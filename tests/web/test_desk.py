"""The agent's desk in a real browser, against a server that speaks the protocol from a script."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Page, expect

from tests.web.conftest import OpenPage
from tests.web.fake_server import FakeServer
from tests.web.fake_world import World

pytestmark = [pytest.mark.slow, pytest.mark.peer]


async def sign_in(open_page: OpenPage, server: FakeServer, **more: str | int) -> Page:
    page = await open_page(f"{server.url}/desk#ticket=crk_ana", **more)
    await page.wait_for_selector(".desk")
    return page


async def offered(page: Page, world: World, channel: str, name: str, text: str = "") -> str:
    """An offer that is on the screen; gives its contact."""
    reservation = world.offer(channel, name, text=text)
    await page.wait_for_selector(f"[data-reservation={reservation}]")
    return str(world.reservations[reservation]["contact"])


async def test_a_contact_lives_on_the_desk_from_offer_to_the_end_of_wrap_up(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server)
    assert "ticket" not in page.url
    await expect(page.get_by_text("Nothing to do.")).to_be_visible()
    contact = await offered(page, world, "chat", "Maria Sandoval", "My invoice is wrong.")
    await page.get_by_role("button", name="Accept").click()
    await expect(page.locator(".conversation .name")).to_have_text("Maria Sandoval")
    await expect(page.locator(f"[data-group=mine] [data-contact={contact}]")).to_be_visible()

    await page.locator("#composer").fill("Good morning, I am looking at it.")
    await page.get_by_role("button", name="Send").click()
    assert (await server.got("typing"))["contact"] == contact
    await server.got("send")
    await expect(page.locator(".message.from-agent:not(.unsent)")).to_contain_text("Good morning")
    await expect(page.locator(".unsent")).to_have_count(0)
    await expect(page.locator(f"[data-group=theirs] [data-contact={contact}]")).to_be_visible()
    world.customer_writes(contact, "Thank you!")
    await expect(page.locator(f"[data-group=mine] [data-contact={contact}]")).to_contain_text(
        "Thank you!"
    )

    await page.get_by_role("button", name="Complete").click()
    await page.get_by_role("radio", name="solved").click()
    await page.locator("[data-sheet=complete]").get_by_role("button", name="Complete").click()
    assert (await server.got("complete"))["disposition"] == "solved"
    await expect(page.locator(".wrap-up")).to_contain_text("ends in 0:")
    await page.get_by_role("button", name="+1 min").click()
    await server.got("extend_wrap_up")
    await expect(page.locator(".wrap-up")).to_contain_text("ends in 1:")
    await page.get_by_role("button", name="Finish").click()
    await expect(page.get_by_text("Nothing to do.")).to_be_visible()


async def test_a_customer_who_types_is_seen_until_the_message_is_there(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server)
    contact = await offered(page, world, "chat", "Maria Sandoval", "Hello?")
    await page.get_by_role("button", name="Accept").click()
    await expect(page.locator(".conversation .name")).to_have_text("Maria Sandoval")
    await expect(page.locator(".typing")).to_have_count(0)
    server.tell("agent", {"type": "typing", "contact": contact})
    await expect(page.locator(".typing")).to_have_text("The customer is typing …")
    world.customer_writes(contact, "Are you there?")
    await expect(page.locator(".typing")).to_have_count(0)


async def test_everything_goes_by_keyboard_alone(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server)
    keys = page.keyboard
    await keys.press("?")
    await expect(page.get_by_role("dialog")).to_contain_text("Accept the first offer")
    await keys.press("Escape")
    await keys.press("r")
    assert (await server.got("presence"))["reason"] == "break"
    await expect(page.get_by_text("You are not ready, so nothing")).to_be_visible()
    await keys.press("r")
    await server.got("presence", 2)

    contact = await offered(page, world, "voice", "Jonas Weber")
    await keys.press("a")
    await expect(page.locator(".call-state")).to_have_text("Connected")
    await keys.press("h")
    await expect(page.locator(".call-state")).to_have_text("On hold")
    await keys.press("h")
    await expect(page.locator(".call-state")).to_have_text("Connected")
    await keys.press("o")
    await keys.type("cleo")
    await keys.press("Enter")
    assert (await server.got("consult"))["target_agent"] == "cleo"
    await expect(page.get_by_text("You are consulting")).to_be_visible()

    chat = await offered(page, world, "chat", "Priya", "Hello")
    await keys.press("a")
    await expect(page.locator(".conversation .name")).to_have_text("Priya")
    await keys.press("m")
    await keys.type("Hi Priya")
    await keys.press("Enter")
    assert (await server.got("send"))["text"] == "Hi Priya"
    await keys.press("Escape")
    # A loaded machine draws late: keys mean what is on the screen.
    await expect(page.locator("#composer")).not_to_be_focused()
    await expect(page.get_by_role("button", name="Transfer")).to_be_visible()
    await keys.press("t")
    await page.wait_for_selector("[data-sheet=transfer]")
    await keys.type("bill")
    await expect(page.get_by_role("option").filter(has_text="billing")).to_be_visible()
    await keys.press("Enter")
    moved = await server.got("transfer")
    assert (moved["contact"], moved["queue"]) == (chat, "billing")
    await expect(page.locator(f"[data-contact={chat}]")).to_have_count(0)

    await expect(page.locator(f"[data-contact={contact}][aria-current=true]")).to_be_visible()
    await keys.press("e")
    await page.wait_for_selector("[data-sheet=complete]")
    await keys.press("2")
    await keys.press("Enter")
    assert (await server.got("complete"))["disposition"] == "callback_promised"
    await page.wait_for_selector("#finish-wrap-up")
    await keys.press("w")
    await server.got("finish_wrap_up")


async def test_wrap_up_asks_for_the_disposition_that_its_queue_wants(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server)
    reservation = world.offer("chat", "Maria Sandoval", text="Where is it?", queue="billing")
    await page.wait_for_selector(f"[data-reservation={reservation}]")
    await page.keyboard.press("a")
    await page.wait_for_selector(".controls")
    await page.keyboard.press("e")
    complete = page.locator("[data-sheet=complete]").get_by_role("button", name="Complete")
    await expect(complete).to_be_disabled()
    await expect(page.locator(".dispositions")).to_contain_text("Choose one to finish.")
    await expect(page.get_by_role("radio")).to_have_count(2)
    await page.keyboard.press("Escape")

    world.customer_ends(reservation)
    await page.wait_for_selector(".wrap-up")
    finish = page.locator("#finish-wrap-up")
    await expect(finish).to_be_disabled()
    await page.keyboard.press("d")
    await expect(page.get_by_role("radio", name="credit note")).to_be_focused()
    await page.keyboard.press("2")
    await expect(page.get_by_role("radio", name="complaint")).to_be_checked()
    await page.keyboard.press("ArrowLeft")
    await expect(page.get_by_role("radio", name="credit note")).to_be_checked()
    await expect(finish).to_be_enabled()
    await page.keyboard.press("w")
    assert (await server.got("finish_wrap_up"))["disposition"] == "credit_note"


async def test_a_second_offer_does_not_touch_what_is_being_typed(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server)
    first = await offered(page, world, "chat", "Maria", "Hello")
    await page.keyboard.press("a")
    await page.wait_for_selector("#composer")
    await page.keyboard.press("m")
    await page.keyboard.type("I am half way th")
    before = await page.locator("#composer").bounding_box()
    second = await offered(page, world, "chat", "Jonas", "Hi")
    await page.keyboard.type("rough a")  # letters that would accept or reject
    assert await page.locator("#composer").input_value() == "I am half way through a"
    assert await page.locator("#composer").bounding_box() == before
    await page.keyboard.press("Alt+a")
    await expect(page.locator(f"[data-contact={second}]")).to_be_visible()
    await expect(page.locator(f"[data-contact={first}][aria-current=true]")).to_be_visible()
    await page.keyboard.type(" word")
    assert await page.locator("#composer").input_value() == "I am half way through a word"


async def test_a_contact_that_ends_while_typing_keeps_the_draft_and_obeys_no_stray_letters(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server)
    contact = await offered(page, world, "chat", "Maria", "Hello")
    await page.keyboard.press("a")
    await page.wait_for_selector("#composer")
    await page.keyboard.press("m")
    await page.keyboard.type("We will ")
    world.carry_out({"type": "complete", "contact": contact})  # the customer closed the chat
    while not await page.locator("#finish-wrap-up").count():  # and the agent types on
        await page.keyboard.type("w")
    await page.keyboard.type("write rest")  # w would finish the wrap-up, r change the presence
    await expect(page.locator(".wrap-up")).to_contain_text("We will")
    assert not [each for each in server.commands if each["type"] in {"finish_wrap_up", "presence"}]


async def test_after_a_cut_the_page_resumes_says_what_happened_and_sends_once(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server)
    contact = await offered(page, world, "chat", "Maria", "Hello")
    await page.keyboard.press("a")
    await page.wait_for_selector("#composer")
    server.silent = True  # the next message is taken by the server, but its answer is lost
    await page.locator("#composer").fill("Sent just before the cut")
    await page.keyboard.press("Enter")
    first = await server.got("send")
    world.carry_out(first)
    server.answers[first["cid"]] = {"ok": True, "seq": world.seq, "message": first["message"]}
    server.closed_for = 1000
    await server.cut()
    await expect(page.locator(".connection")).to_have_attribute("data-state", "disconnected")
    await page.locator("#composer").fill("Typed while away")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("goes out when the connection is back")).to_have_count(2)
    world.customer_writes(contact, "Are you there?")
    server.silent = False
    server.closed_for = 0
    await expect(page.locator(".connection")).to_have_attribute("data-state", "live")
    await expect(page.locator(".notice")).to_contain_text("message came in")
    await expect(page.locator(".message.from-customer").last).to_contain_text("Are you there?")
    await expect(page.locator(".unsent")).to_have_count(0)
    await expect(page.locator(".message.from-agent")).to_have_text(
        [re.compile("Sent just before the cut"), re.compile("Typed while away")]
    )


async def test_a_draft_and_the_session_survive_a_reload(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server)
    await offered(page, world, "email", "Priya", "Dear team")
    await page.keyboard.press("a")
    await page.locator("#composer").fill("Dear Priya,\nthe missing page is")
    await page.reload()
    await page.wait_for_selector(".desk")
    await expect(page.locator("#composer")).to_have_value("Dear Priya,\nthe missing page is")
    await expect(page.locator(".row")).to_contain_text("Draft")


async def test_a_message_that_was_never_confirmed_is_shown_after_a_reload_and_can_be_sent_again(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server)
    await offered(page, world, "chat", "Maria", "Hello")
    await page.keyboard.press("a")
    await page.locator("#composer").fill("Lost on the way")
    server.silent = True
    await page.keyboard.press("Enter")
    first = await server.got("send")
    server.silent = False
    await page.reload()
    await expect(page.locator(".unsent")).to_contain_text("not confirmed")
    await page.get_by_role("button", name="Send again").click()
    again = await server.got("send", 2)
    assert again["message"] == first["message"]
    await expect(page.locator(".unsent")).to_have_count(0)
    await expect(page.locator(".message.from-agent")).to_have_count(1)


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "</textarea><svg onload=alert(1)>",
    "javascript:alert(1)",
    "[x](javascript:alert(1)) data:text/html,<script>alert(1)</script>",
    "${alert(1)} {{7*7}} `x`",
    "\u202egnp.exe\u2066 \u0000-less",
    'https://evil.example/"onmouseover=alert(1)//',
]


async def test_hostile_strings_are_shown_as_text_wherever_they_come_from(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server)
    for number, nasty in enumerate(HOSTILE):
        nasty = nasty.replace("\u0000", "")
        reservation = world.offer(
            "chat", nasty, text=nasty, queue=nasty, segment=nasty, customer=nasty,
            address=nasty, attributes={nasty: nasty, "topic": {"deep": nasty}},
        )  # fmt: skip
        await page.wait_for_selector(".offer")
        contact = world.reservations[reservation]["contact"]
        world.carry_out({"type": "accept", "reservation": reservation})
        await page.locator(f"[data-contact={contact}]").click()
        world.customer_writes(contact, nasty, subject=nasty)
        await expect(page.locator(".message.from-customer .plain")).to_have_count(2)
        assert await page.locator(".message .plain").first.text_content() == nasty, number
        assert (await page.locator(".aside").text_content() or "").count(nasty) >= 4
    dangerous = await page.evaluate(
        """() => {
          const wrong = "img, script:not([src]), iframe, object, svg[onload]";
          const made = document.querySelectorAll(wrong);
          const links = [...document.querySelectorAll("a[href]")];
          return made.length + links.filter((a) => !/^(https?|mailto|tel):/.test(a.href)).length;
        }"""
    )
    assert dangerous == 0
    links = page.locator(".message a")
    assert await links.count() > 0
    for place in range(await links.count()):
        assert "noopener" in (await links.nth(place).get_attribute("rel") or "")


async def test_a_refused_command_is_said_in_words(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server)
    await offered(page, world, "voice", "Jonas")
    server.refuse["accept"] = {"code": "gone", "text": "reservation 'r1' is rescinded"}
    await page.keyboard.press("a")
    await expect(page.locator(".notice")).to_contain_text(
        "Accept: not done. It is no longer yours."
    )


async def test_an_unanswered_offer_is_explained_and_one_key_makes_ready_again(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server)
    contact = await offered(page, world, "voice", "Jonas")
    reservation = next(iter(world.reservations))
    world.end_offer(reservation, "expired", "OfferExpired")
    world.carry_out({"type": "presence", "presence": "not_ready", "reason": "rona"})
    await expect(page.locator(f"[data-contact={contact}], .offer")).to_have_count(0)
    await expect(page.locator(".notice")).to_contain_text("You did not answer an offer in time")
    await expect(page.locator("#presence option:checked")).to_have_text("Missed an offer")
    await page.keyboard.press("r")
    assert (await server.got("presence"))["presence"] == "ready"
    await expect(page.locator(".notice")).to_have_count(0)


async def test_a_parked_contact_is_folded_away_and_comes_back_when_the_customer_writes(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server)
    contact = await offered(page, world, "sms", "Sam", "Is it there?")
    await page.keyboard.press("a")
    await page.wait_for_selector("#composer")
    await page.keyboard.press("p")
    await expect(page.locator("details.parked")).to_contain_text("Parked 1")
    await expect(page.locator("#composer")).to_have_count(0)
    world.offer_again(contact, "Hello again")
    await expect(page.locator(".offer")).to_contain_text("Sam")
    await page.keyboard.press("a")
    await expect(page.locator(f"[data-group=mine] [data-contact={contact}]")).to_be_visible()
    await expect(page.locator(".message.from-customer")).to_have_count(2)


async def test_a_consult_says_how_far_it_is_and_ends_in_handing_over(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server)
    contact = await offered(page, world, "chat", "Maria", "Hello")
    await page.keyboard.press("a")
    await page.wait_for_selector("#composer")
    await page.keyboard.press("o")
    await page.keyboard.type("ben")
    await page.keyboard.press("Enter")
    await expect(page.locator(".strip")).to_contain_text("You are consulting a colleague: Waiting")
    world.consult_state(contact, "active")
    await expect(page.locator(".strip")).to_contain_text("You are consulting a colleague: Active")
    await expect(page.locator(".row")).to_have_count(1)  # the consult is no row of its own
    await page.get_by_role("button", name="Hand over").click()
    assert (await server.got("end_consult"))["hand_over"] is True
    await expect(page.get_by_text("Nothing to do.")).to_be_visible()


async def test_a_sheet_stays_open_when_the_answer_to_the_acceptance_comes_after_it(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server)
    server.late["accept"] = asyncio.Event()
    await offered(page, world, "chat", "Maria", "Hello")
    await page.keyboard.press("a")
    await page.wait_for_selector("#composer")
    await page.keyboard.press("o")
    await page.keyboard.type("be")
    server.late["accept"].set()
    # The answer to a later command comes after that of the acceptance, and draws.
    await page.keyboard.press("Alt+r")
    await expect(page.locator("#presence")).to_have_value("not_ready/break")
    await page.keyboard.type("n")
    await page.keyboard.press("Enter")
    await expect(page.locator(".strip")).to_contain_text("You are consulting a colleague")


async def test_the_reason_for_a_contact_is_told_in_words(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server)
    await offered(page, world, "chat", "Maria", "Hello")
    await page.keyboard.press("a")
    await page.wait_for_selector("#composer")
    await page.keyboard.press("y")
    why = page.locator(".decision")
    await expect(why).to_contain_text("3 could take it")
    await expect(why).to_contain_text("idle longest")
    await expect(why).to_contain_text("idle 4 min 12 s, against idle 1 min 1 s (Ben Okafor)")


async def test_the_desk_of_somebody_who_is_not_signed_in_asks_for_a_link(
    open_page: OpenPage, server: FakeServer
) -> None:
    page = await open_page(f"{server.url}/desk#ticket=crk_wrong")
    await expect(page.get_by_text("no longer valid")).to_be_visible()
    assert "ticket" not in page.url
    await page.get_by_label("Sign-in link").fill(f"{server.url}/desk#ticket=crk_ana")
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_selector(".desk")


async def test_the_desk_speaks_german(
    open_page: OpenPage, server: FakeServer, world: World
) -> None:
    page = await sign_in(open_page, server, locale="de-DE")
    await expect(page.get_by_text("Nichts zu tun.")).to_be_visible()
    await offered(page, world, "voice", "Jonas")
    await expect(page.locator(".offer")).to_contain_text("Annehmen")
