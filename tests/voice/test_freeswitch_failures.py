"""Lost sockets, dead PBXs, restarted routers: what is left of calls, counted at phones."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from adapters.freeswitch import FreeSwitch
from adapters.freeswitch.connection import Connection
from router.channel import ChannelLost
from router.core import commands as c
from router.core.model import AgentId, ContactId
from router.errors import ConfigError
from router.testing.adapter_harness import RouterDouble, Signal
from router.testing.fault_proxy import FaultProxy
from router.testing.pbx_esl import EslPbx
from tests.voice.centre import LINE, Centre
from tests.voice.freeswitch_edge import PASSWORD, FreeSwitchEdge
from tests.voice.stories import KIM, LEE
from tests.voice.test_freeswitch_calls import consulting, talking


@pytest.fixture
def pbx() -> FreeSwitchEdge:
    return FreeSwitchEdge()


async def reconnect(centre: Centre, pbx: FreeSwitchEdge, meanwhile: Any = None) -> None:
    """The event socket is lost, something happens, it is had again."""
    await pbx.cut_events()
    await centre.until(centre.adapter_is, "down")
    if meanwhile is not None:
        await meanwhile
    await pbx.restore_events()
    await centre.until(centre.adapter_is, "up")


async def test_a_lost_socket_changes_nothing_for_those_who_talk_and_wait(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await talking(centre)
        await pbx.call(LEE, LINE)
        await centre.hears_music(LEE)
        await reconnect(centre, pbx)
        await centre.together(KIM, "ana")
        assert await pbx.plays(LEE) == "music"
        await pbx.hang_up(KIM)
        await centre.rings("ana")
        await pbx.answer("ana")
        await centre.together(LEE, "ana")
        assert await pbx.rung("ana") == 2
        await pbx.hang_up(LEE)
        await centre.all_is_over()


async def test_who_went_and_who_came_while_nobody_listened_is_found_out(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await talking(centre)

        async def meanwhile() -> None:
            await pbx.hang_up(KIM)
            await pbx.call(LEE, LINE)

        await reconnect(centre, pbx, meanwhile())
        await centre.until(centre.is_in, KIM, "closed")
        await centre.rings("ana")
        await pbx.answer("ana")
        await centre.together(LEE, "ana")
        await pbx.hang_up(LEE)
        await centre.all_is_over()


async def test_a_caller_whose_name_is_no_utf_8_is_served_and_so_is_everybody_else(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    """mod_event_socket: values stand in its JSON byte for byte, as the caller's phone sent them."""
    await pbx.start()
    open_ends: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data.replace(b'"caller"', b'"c\xe4ller"'))
        except OSError:
            pass
        finally:
            writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ends.append(writer)
        try:
            behind, to_it = await asyncio.open_connection("127.0.0.1", pbx.pbx.port)
        except OSError:
            writer.close()
            return
        open_ends.append(to_it)
        await asyncio.gather(pump(reader, to_it), pump(behind, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    pbx.more["port"] = server.sockets[0].getsockname()[1]
    try:
        async with Centre(pbx, tmp_path) as centre:
            await talking(centre)
            await pbx.call(LEE, LINE)
            await centre.hears_music(LEE)
            await reconnect(centre, pbx)
            await centre.together(KIM, "ana")
            await pbx.hang_up(KIM)
            await centre.rings("ana")
            await pbx.answer("ana")
            await centre.together(LEE, "ana")
            await pbx.hang_up(LEE)
            await centre.all_is_over()
    finally:
        server.close()
        for writer in open_ends:
            writer.close()


async def test_a_phone_answered_while_nobody_listened_has_its_customer_afterwards(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await centre.ready("ana")
        await pbx.call(KIM, LINE)
        await centre.rings("ana")
        await reconnect(centre, pbx, pbx.answer("ana"))
        await centre.together(KIM, "ana")
        await centre.until(centre.has, "ana", "connected")
        assert await pbx.rung("ana") == 1
        await pbx.hang_up(KIM)
        await centre.all_is_over()


@pytest.mark.parametrize("does", ["busy", "rings"])
async def test_a_customer_who_was_dialled_as_the_socket_broke_is_not_dialled_again(
    does: str, pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        pbx.will(KIM, does)  # type: ignore[arg-type]
        carry_out = pbx.pbx._bgapi

        def lossy(session: Any, line: str, headers: dict[str, str]) -> None:
            if f"user/{KIM}@" not in line:
                carry_out(session, line, headers)
                return
            session.reply = lambda *_, **__: None
            carry_out(session, line, headers)
            session.writer.transport.abort()

        pbx.pbx._bgapi = lossy  # type: ignore[method-assign]
        await centre.ready("ana")
        await centre.call_back(KIM)
        await centre.rings("ana")
        await pbx.answer("ana")
        await centre.until(centre.adapter_is, "down")
        await centre.until(centre.adapter_is, "up")

        async def settled() -> bool:
            results = [getattr(event, "result", "") for event in centre.events]
            return ("unknown" if does == "busy" else "done") in results

        await centre.until(settled)
        assert await pbx.rung(KIM) == 1
        if does == "rings":
            await pbx.answer(KIM)
            await centre.together(KIM, "ana")
            assert await pbx.rung(KIM) == await pbx.rung("ana") == 1


async def test_a_killed_pbx_ends_its_calls_and_serves_again(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await talking(centre)
        await pbx.call(LEE, LINE)
        await centre.hears_music(LEE)
        await pbx.kill()
        await centre.until(centre.adapter_is, "down")
        await pbx.restart()
        await centre.until(centre.adapter_is, "up")
        await centre.all_is_over()
        await pbx.call(KIM, LINE)
        await centre.rings("ana")
        await pbx.answer("ana")
        await centre.together(KIM, "ana")
        assert await pbx.rung("ana") == 2
        await pbx.hang_up(KIM)
        await centre.all_is_over()


async def test_a_restarted_router_finds_its_calls_and_rings_nobody_again(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await talking(centre)
        await centre.ready("bo")
        await pbx.call(LEE, LINE)
        await centre.rings("bo")
        await centre.restart()
        await centre.together(KIM, "ana")
        await pbx.answer("bo")
        await centre.together(LEE, "bo")
        assert await pbx.rung("ana") == await pbx.rung("bo") == 1
        await centre.hold("ana")
        await centre.hears_music(KIM)
        await centre.hold("ana", on=False)
        await centre.together(KIM, "ana")
        await pbx.hang_up("ana")
        await pbx.hang_up(LEE)
        await centre.all_is_over()


async def test_a_restarted_router_finds_hold_consult_and_conference(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        contact = await consulting(centre)
        await centre.restart()
        await centre.together("ana", "cem")
        await centre.hears_music(KIM)
        await centre.ask(c.SetConference(contact=contact, agent=AgentId("ana")))
        await centre.together(KIM, "ana", "cem")
        await centre.restart()
        await centre.together(KIM, "ana", "cem")
        await pbx.hang_up("ana")
        await centre.together(KIM, "cem")
        await pbx.hang_up(KIM)
        await centre.all_is_over()
        for phone in ("ana", "cem"):
            assert await pbx.rung(phone) == 1


async def test_another_router_takes_over_and_this_one_does_not_fight(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await talking(centre)
        logins = pbx.pbx.connections
        await pbx.take_events()
        await centre.until(centre.adapter_is, "up", is_=False)
        [name] = pbx.switch.global_variables
        for beat in range(2, 12):  # the other one is alive
            pbx.switch.global_variables[name] = f"another:{beat}"
            looks = looked(pbx)

            async def looked_again(looks: int = looks) -> bool:
                return looked(pbx) > looks

            await centre.until(looked_again)
        assert not await centre.adapter_is("up")
        assert pbx.pbx.connections > logins
        await centre.until(centre.adapter_is, "up")  # its beats have stopped
        await centre.together(KIM, "ana")
        assert await pbx.rung("ana") == 1


def looked(pbx: FreeSwitchEdge) -> int:
    """How often somebody has looked whose the PBX is."""
    return len([line for line in pbx.pbx.commands if "global_getvar" in line])


async def test_a_pbx_that_says_goodbye_is_asked_again(pbx: FreeSwitchEdge, tmp_path: Path) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await talking(centre)
        pbx.pbx.disconnect()
        await centre.until(centre.adapter_is, "down")
        await centre.until(centre.adapter_is, "up")
        await centre.together(KIM, "ana")


async def test_a_silent_pbx_is_given_up_and_had_again(pbx: FreeSwitchEdge, tmp_path: Path) -> None:
    pbx.more["reply_s"] = 0.3
    async with Centre(pbx, tmp_path) as centre:
        await talking(centre)
        pbx.pbx.is_silent = True
        await centre.until(centre.adapter_is, "down")
        pbx.pbx.is_silent = False
        await centre.until(centre.adapter_is, "up")
        await centre.together(KIM, "ana")
        await pbx.hang_up(KIM)
        await centre.all_is_over()


async def test_a_slow_pbx_is_waited_for(pbx: FreeSwitchEdge, tmp_path: Path) -> None:
    async with Centre(pbx, tmp_path) as centre:
        pbx.pbx.answer_delay_s = 0.1
        await talking(centre)
        await pbx.hang_up(KIM)
        await centre.all_is_over()


async def test_a_socket_that_breaks_again_and_again_rings_nobody_twice(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    customers = [f"+49309002{n:02}" for n in range(6)]
    async with Centre(pbx, tmp_path) as centre:
        pbx.will("ana", "answers")
        await centre.ready("ana")
        for number, customer in enumerate(customers):
            await pbx.call(customer, LINE)
            if number in (0, 4):  # the first one while its agent is being rung
                await reconnect(centre, pbx)
        for number in range(len(customers)):

            async def serves(served: int = number + 1) -> bool:
                return bool(await pbx.hears("ana")) and await pbx.rung("ana") == served

            await centre.until(serves)
            [customer] = await pbx.hears("ana")
            await centre.together(customer, "ana")
            if number == 2:
                await reconnect(centre, pbx)
                await centre.together(customer, "ana")
            await pbx.hang_up(customer)
        await centre.all_is_over()
        assert await pbx.rung("ana") == len(customers)


async def test_a_caller_who_went_to_voicemail_is_left_alone_by_the_next_connection(
    pbx: FreeSwitchEdge, tmp_path: Path
) -> None:
    async with Centre(pbx, tmp_path) as centre:
        await pbx.call(KIM, LINE)
        await centre.hears_music(KIM)
        contact = centre.contacts()[0].id
        await centre.ask(
            c.RequestCallback(contact=contact, callback=ContactId("later"), not_before_us=2**60)
        )

        async def sent_on() -> bool:
            return await pbx.went_on_to(KIM) == "voicemail/0"

        await centre.until(sent_on)
        await reconnect(centre, pbx)
        await centre.restart()
        assert await pbx.is_up(KIM)
        assert len(centre.contacts()) == 1


@pytest.mark.parametrize(
    ("fault", "offset"),
    [("cut_at", 700), ("reset_at", 2_500), ("flip_at", 3_100), ("hang_at", 5_000),
     ("cut_at", 9_001), ("flip_at", 12_345)],
)  # fmt: skip
async def test_a_connection_that_breaks_at_any_byte_serves_all_and_rings_nobody_twice(
    fault: str, offset: int, tmp_path: Path
) -> None:
    pbx = FreeSwitchEdge(reply_s=0.3)
    await pbx.start()
    async with FaultProxy("127.0.0.1", pbx.pbx.port) as proxy:
        pbx.more["port"] = proxy.port
        async with Centre(pbx, tmp_path) as centre:
            pbx.will("ana", "answers")
            await centre.ready("ana")
            setattr(proxy.answers, fault, offset)
            for customer in (KIM, LEE):
                await pbx.call(customer, LINE)

            async def serves(number: int = 1) -> bool:
                return bool(await pbx.hears("ana")) and await pbx.rung("ana") == number

            async def is_hit() -> bool:
                return not await centre.adapter_is("up") or await serves()

            await centre.until(is_hit)
            setattr(proxy.answers, fault, -1)
            proxy.answers.flow()
            for served in (1, 2):
                await centre.until(serves, served)
                await centre.until(centre.adapter_is, "up")
                [customer] = await pbx.hears("ana")
                await pbx.hang_up(customer)
            await centre.all_is_over()
            assert await pbx.rung("ana") == 2


async def test_calls_that_freeswitch_brings_are_served_and_go_on_alone_without_a_router(
    tmp_path: Path,
) -> None:
    pbx = FreeSwitchEdge(listen="127.0.0.1:0")
    async with Centre(pbx, tmp_path) as centre:
        assert centre._host is not None
        adapter = centre._host.channels.get("pbx")
        assert isinstance(adapter, FreeSwitch)
        pbx.pbx.dialplan = f"127.0.0.1:{adapter.listening_on}"
        pbx.switch.entry = {}  # no mark: the call is brought
        await talking(centre)
        await pbx.hang_up(KIM)
        await centre.all_is_over()
        await pbx.cut_events()
        await centre.until(centre.adapter_is, "down")
        await pbx.call(LEE, LINE)

        async def goes_on() -> bool:
            return await pbx.went_on_to(LEE) == "default/fallback"

        await centre.until(goes_on)


async def test_who_may_not_bring_calls_is_shown_the_door(tmp_path: Path) -> None:
    pbx = FreeSwitchEdge(listen="127.0.0.1:0", listen_allow=["192.0.2.0/24"])
    async with Centre(pbx, tmp_path) as centre:
        assert centre._host is not None
        adapter = centre._host.channels.get("pbx")
        assert isinstance(adapter, FreeSwitch)
        reader, writer = await asyncio.open_connection("127.0.0.1", adapter.listening_on)
        assert await reader.read() == b""
        writer.close()
        assert not centre.contacts()


# --- the connection alone -------------------------------------------------------------------------


async def opened(port: int, password: str = PASSWORD, reply_s: float = 0.5) -> Connection:
    return await Connection.open("127.0.0.1", port, password, reply_s, lambda frame: None)


async def test_a_wrong_password_is_said() -> None:
    pbx = EslPbx(password=PASSWORD)
    await pbx.start()
    with pytest.raises(ChannelLost, match="refuses the event socket's password"):
        await opened(pbx.port, "wrong")
    await pbx.stop()
    with pytest.raises(ChannelLost, match="no event socket at"):
        await opened(pbx.port)


@pytest.mark.parametrize("offset", [0, 1, 20, 60, 90, 200, 1000])
@pytest.mark.parametrize("fault", ["cut_at", "reset_at", "hang_at", "flip_at"])
async def test_a_lying_network_ends_the_connection_and_nothing_waits_for_ever(
    fault: str, offset: int
) -> None:
    pbx = EslPbx(password=PASSWORD)
    await pbx.start()
    await pbx.call(KIM, LINE)
    async with FaultProxy("127.0.0.1", pbx.port) as proxy:
        setattr(proxy.answers, fault, offset)
        try:
            async with asyncio.timeout(30):
                connection = await opened(proxy.port, reply_s=0.2)
                async with asyncio.TaskGroup() as group:
                    group.create_task(connection.run())
                    for _ in range(40):
                        await connection.ask(b"api status\n\n")
                    connection.close("done")
        except* ChannelLost:
            pass
    await pbx.stop()


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        ("ClueCon\n", "which FreeSWITCH is shipped with and everybody knows"),
        ("", "has no password in its first line"),
        (None, "No such file"),
    ],
)
def test_a_password_that_is_none_is_refused(
    content: str | None, finding: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
        file.chmod(0o600)
    with pytest.raises(ConfigError) as error:
        FreeSwitch("pbx", {"password_file": str(file)}, RouterDouble(Signal()))
    assert finding in error.value.findings[0]


def test_a_name_that_would_be_syntax_is_refused() -> None:
    with pytest.raises(ConfigError, match="the adapter's name"):
        FreeSwitch("pbx; shutdown", {}, RouterDouble(Signal()))


def test_a_password_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        FreeSwitch("pbx", {"password_file": str(file)}, RouterDouble(Signal()))


@pytest.mark.parametrize(
    ("settings", "finding"),
    [
        ({"dial": "sofia/gateway/x/"}, "expected {number}"),
        ({"deflect_to": "voicemail"}, "expected extension@context"),
        ({"fallback_to": "voicemail"}, "expected extension@context"),
        ({"fallback_after_s": -1}, "fallback_after_s must be >= 0"),
        ({"music": "moh;fsctl shutdown"}, "no spaces, quotes or characters"),
        ({"listen": "here:1"}, "here"),
        ({"ring_s": 0}, "must be > 0"),
        ({"pasword": "x"}, "did you mean 'password_file'?"),
    ],
)
def test_wrong_settings_say_what_was_expected(
    settings: dict[str, Any], finding: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("secret")
    file.chmod(0o600)
    with pytest.raises(ConfigError) as error:
        FreeSwitch("pbx", {"password_file": str(file), **settings}, RouterDouble(Signal()))
    assert finding in error.value.findings[0]
