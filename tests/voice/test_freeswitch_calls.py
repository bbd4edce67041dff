"""What agents and supervisors do in a call, seen at the conformance FreeSWITCH."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.core import commands as c
from router.core.model import AgentId, ContactId, QueueId
from tests.voice.centre import LINE, Centre
from tests.voice.freeswitch_edge import FreeSwitchEdge
from tests.voice.stories import KIM, LEE


@pytest.fixture
def pbx() -> FreeSwitchEdge:
    return FreeSwitchEdge()


async def talking(centre: Centre, agent: str = "ana", customer: str = KIM) -> ContactId:
    """A customer and an agent in conversation."""
    await centre.ready(agent)
    await centre.pbx.call(customer, LINE)
    await centre.rings(agent)
    await centre.pbx.answer(agent)
    await centre.together(customer, agent)
    await centre.until(centre.has, agent, "connected")
    return (await centre.reservation(agent)).contact


async def consulting(centre: Centre, expert: str = "cem") -> ContactId:
    """Ana has Kim on hold and talks to an expert."""
    contact = await talking(centre)
    await centre.ready(expert)
    await centre.consult("ana", to=expert)
    await centre.rings(expert)
    await centre.hears_music(KIM)
    await centre.pbx.answer(expert)
    await centre.together("ana", expert)
    await centre.until(centre.has, expert, "connected")
    return contact


async def test_a_held_customer_hears_music_and_nobody_is_sent_a_reinvite(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await talking(centre)
        for _ in range(2):
            await centre.hold("ana")
            await centre.hears_music(KIM)
            assert not await pbx.hears("ana")
            await centre.hold("ana", on=False)
            await centre.together(KIM, "ana")
        assert not [line for line in pbx.pbx.commands if "uuid_hold" in line]
        await pbx.hang_up(KIM)
        await centre.all_is_over()


async def test_a_customer_who_hangs_up_on_hold_ends_the_call(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await talking(centre)
        await centre.hold("ana")
        await centre.hears_music(KIM)
        await pbx.hang_up(KIM)
        await centre.all_is_over()
        await centre.until(pbx.is_up, "ana", is_=False)


async def test_a_consult_leaves_the_customer_with_music_and_ends_without_them_noticing(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await consulting(centre)
        assert await pbx.plays(KIM) == "music"
        await centre.end_consult("ana", hand_over=False)
        await centre.together(KIM, "ana")
        await centre.until(pbx.is_up, "cem", is_=False)
        await centre.hold("ana")
        await centre.hears_music(KIM)
        await pbx.hang_up("ana")
        await centre.until(centre.is_in, KIM, "queued")  # nobody hangs up on a held customer
        await pbx.hang_up(KIM)
        await centre.all_is_over()


async def test_a_consulted_agent_who_hangs_up_gives_the_asking_one_back(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await consulting(centre)
        await pbx.hang_up("cem")
        await centre.together(KIM, "ana")
        await pbx.hang_up(KIM)
        await centre.all_is_over()


async def test_a_hand_over_brings_the_consulted_agent_to_the_customer(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await consulting(centre)
        await centre.end_consult("ana", hand_over=True)
        await centre.together(KIM, "cem")
        await centre.until(pbx.is_up, "ana", is_=False)
        assert await pbx.rung("cem") == 1
        await centre.hold("cem")
        await centre.hears_music(KIM)
        await centre.hold("cem", on=False)
        await centre.together(KIM, "cem")
        await pbx.hang_up("cem")
        await centre.all_is_over()
        assert await centre.outcome() == "completed"


async def test_an_asking_agent_who_hangs_up_leaves_the_customer_to_the_consulted_one(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await consulting(centre)
        await pbx.hang_up("ana")
        await centre.together(KIM, "cem")
        await pbx.hang_up(KIM)
        await centre.all_is_over()
        assert await centre.outcome() == "completed"


async def test_a_conference_is_three_people_and_apart_again(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        contact = await consulting(centre)
        await centre.ask(c.SetConference(contact=contact, agent=AgentId("ana")))
        await centre.together(KIM, "ana", "cem")
        await centre.ask(c.SetConference(contact=contact, together=False, agent=AgentId("ana")))
        await centre.together("ana", "cem")
        await centre.hears_music(KIM)
        await centre.ask(c.SetConference(contact=contact, agent=AgentId("ana")))
        await centre.together(KIM, "ana", "cem")
        await pbx.hang_up("cem")
        await centre.together(KIM, "ana")
        await pbx.hang_up(KIM)
        await centre.all_is_over()


async def test_a_customer_who_leaves_a_conference_ends_it(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        contact = await consulting(centre)
        await centre.ask(c.SetConference(contact=contact, agent=AgentId("ana")))
        await centre.together(KIM, "ana", "cem")
        await pbx.hang_up(KIM)
        await centre.all_is_over()
        await centre.until(pbx.is_up, "ana", is_=False)
        await centre.until(pbx.is_up, "cem", is_=False)


async def test_a_blind_transfer_rings_the_other_agent_while_the_customer_hears_music(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await talking(centre)
        await centre.ready("cem")
        await centre.transfer("ana", queue="second")
        await centre.rings("cem")
        await centre.hears_music(KIM)
        await centre.until(pbx.is_up, "ana", is_=False)
        await pbx.answer("cem")
        await centre.together(KIM, "cem")
        await pbx.hang_up(KIM)
        await centre.all_is_over()


async def test_an_agent_whose_phone_breaks_loses_the_customer_to_the_next_one(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await talking(centre)
        await centre.ready("bo")
        pbx.will("ana", "unknown")
        pbx.switch.hang_up(pbx.channel("ana"), "RECOVERY_ON_TIMER_EXPIRE", by_phone=True)
        await centre.rings("bo")
        await centre.hears_music(KIM)
        await pbx.answer("bo")
        await centre.together(KIM, "bo")
        await pbx.hang_up(KIM)
        await centre.all_is_over()


async def test_a_supervisor_listens_whispers_and_barges_in(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        contact = await talking(centre)

        async def hear(mode: str, ana: set[str], kim: set[str]) -> None:
            await centre.ask(
                c.StartMonitor(
                    contact=contact, monitor="m1", agent=AgentId("sue"),
                    mode=mode, by="sue",  # type: ignore[arg-type]
                )
            )  # fmt: skip

            async def heard() -> bool:
                return await pbx.hears("ana") == ana and await pbx.hears(KIM) == kim

            await centre.until(heard)

        await hear("listen", {KIM}, {"ana"})
        await centre.rings("sue")
        await pbx.answer("sue")

        async def sue_hears() -> bool:
            return await pbx.hears("sue") == {KIM, "ana"}

        await centre.until(sue_hears)
        await pbx.press("sue", "3")  # no key of the listener's changes what was allowed
        assert await pbx.hears("ana") == {KIM}
        await hear("whisper", {KIM, "sue"}, {"ana"})
        await hear("barge", {KIM, "sue"}, {"ana", "sue"})
        await hear("listen", {KIM}, {"ana"})
        assert await pbx.rung("sue") == 1
        await pbx.hang_up("sue")

        async def told() -> bool:
            return any(type(event).__name__ == "MonitorEnded" for event in centre.events)

        await centre.until(told)
        await centre.together(KIM, "ana")
        await pbx.hang_up(KIM)
        await centre.all_is_over()


async def test_a_recording_is_paused_and_goes_on_in_the_same_file(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        contact = await talking(centre)
        for on, state in ((True, "on"), (False, "paused"), (True, "on")):
            await centre.ask(c.RecordCall(contact=contact, on=on, agent=AgentId("ana")))

            async def is_so(state: str = state) -> bool:
                return list((await pbx.recordings()).values()) == [state]

            await centre.until(is_so)
        await centre.hold("ana")
        await centre.hears_music(KIM)
        assert list((await pbx.recordings()).values()) == ["on"]
        await pbx.hang_up(KIM)
        await centre.all_is_over()
        assert list((await pbx.recordings()).values()) == ["done"]


async def test_a_recording_that_is_refused_is_not_believed(
    tmp_path: Path,
) -> None:
    pbx = FreeSwitchEdge(recordings="/refused")
    async with Centre(pbx, tmp_path) as centre:
        contact = await talking(centre)
        await centre.ask(c.RecordCall(contact=contact, on=True, agent=AgentId("ana")))

        async def ended() -> bool:
            return any(type(event).__name__ == "RecordingEnded" for event in centre.events)

        await centre.until(ended)
        await centre.together(KIM, "ana")


async def test_a_caller_is_asked_and_the_digit_comes_back(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await pbx.call(KIM, LINE)
        await centre.hears_music(KIM)
        contact = centre.contacts()[0].id
        await centre.ask(
            c.CollectInput(
                contact=contact, name="text", prompt="1 or 2?", choices={"1": "a", "2": "b"},
                digits=1, timeout_us=5_000_000,
            )
        )  # fmt: skip

        async def asked() -> bool:
            return await pbx.plays(KIM) == "text"

        await centre.until(asked)
        await pbx.press(KIM, "9")  # no choice: asked again

        async def asked_again() -> bool:
            return await pbx.played(KIM) == ["text", "text"]

        await centre.until(asked_again)
        await centre.until(asked)
        await pbx.press(KIM, "2")

        async def answered() -> bool:
            return centre.contacts()[0].attributes.get("input.text") == "2"

        await centre.until(answered)
        await centre.hears_music(KIM)
        await pbx.hang_up(KIM)
        await centre.all_is_over()


async def test_a_greeting_is_played_before_the_music_and_an_agent_breaks_it_off(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path, treatment={"greeting": "Welcome"}) as centre:
        await pbx.call(KIM, LINE)

        async def greeted() -> bool:
            return await pbx.played(KIM) == ["welcome"]

        await centre.until(greeted)
        await centre.hears_music(KIM)
        pbx.switch.play_ticks = 10_000
        await centre.ready("ana")
        pbx.will("ana", "answers")
        await pbx.call(LEE, LINE)
        await centre.together(KIM, "ana")
        await pbx.hang_up(KIM)
        await pbx.hang_up(LEE)
        await centre.all_is_over()


async def test_a_deflected_caller_goes_on_in_the_dialplan(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await pbx.call(KIM, LINE)
        await centre.hears_music(KIM)
        contact = centre.contacts()[0].id
        await centre.ask(
            c.RequestCallback(
                contact=contact, callback=ContactId("later"), not_before_us=2**60,
            )
        )  # fmt: skip

        async def sent_on() -> bool:
            return await pbx.went_on_to(KIM) == "voicemail/0"

        await centre.until(sent_on)
        assert await pbx.is_up(KIM)


@pytest.mark.parametrize("first", ["agent", "customer"])
async def test_a_callback_joins_agent_and_customer_whoever_is_dialled_first(
    first: str, tmp_path: Path
) -> None:
    pbx = FreeSwitchEdge(dial_first=first)
    async with Centre(pbx, tmp_path) as centre:
        await pbx.call(KIM, LINE)
        await centre.hears_music(KIM)
        contact = centre.contacts()[0].id
        await centre.ask(c.RequestCallback(contact=contact, callback=ContactId("later")))
        await centre.until(pbx.is_up, KIM)
        pbx.switch.phone(KIM).channel = None  # in the dialplan's voicemail by now
        await centre.ready("ana")
        if first == "agent":
            await centre.rings("ana")
            await pbx.answer("ana")
            await centre.rings(KIM)
            await pbx.answer(KIM)
        else:
            await centre.accept("ana")
            await centre.rings(KIM)
            await centre.until(pbx.is_ringing, "ana", is_=False)
            await pbx.answer(KIM)
            await centre.rings("ana")
            await pbx.answer("ana")
        await centre.together(KIM, "ana")
        await centre.until(centre.has, "ana", "connected")
        assert await pbx.rung(KIM) == await pbx.rung("ana") == 1
        await pbx.hang_up(KIM)
        await centre.until(centre.has, "ana", "nothing")


async def test_a_customer_who_is_busy_when_called_back_is_tried_later(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await pbx.call(KIM, LINE)
        await centre.hears_music(KIM)
        contact = centre.contacts()[0].id
        await centre.ask(c.RequestCallback(contact=contact, callback=ContactId("later")))
        await centre.until(pbx.is_up, KIM)  # in voicemail: busy
        await centre.ready("ana")
        await centre.rings("ana")
        await pbx.answer("ana")
        await centre.until(centre.has, "ana", "nothing")
        await centre.until(pbx.is_up, "ana", is_=False)
        assert centre.contacts()[0].state.value == "scheduled"
        assert await pbx.rung(KIM) == 1


async def test_a_queue_without_anybody_moves_its_callers(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await pbx.call(KIM, LINE)
        await centre.hears_music(KIM)
        await centre.ready("cem")
        contact = centre.contacts()[0].id
        await centre.ask(c.MoveContact(contact=contact, queue=QueueId("second")))
        await centre.rings("cem")
        await pbx.answer("cem")
        await centre.together(KIM, "cem")
        await centre.complete("cem")
        await centre.all_is_over()
