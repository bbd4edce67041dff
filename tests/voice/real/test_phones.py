"""The phones that measure: two of them call each other, without a PBX, over a bad network too."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from loadtest import pbx_sip as sip
from loadtest.pbx_exchange import Exchange
from loadtest.pbx_tone import WINDOW, Tones

KIM = "+4930900100"


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Exchange, Exchange]]:
    here, there = Exchange(sound=True), Exchange(sound=True)
    here.open()
    there.open()
    there.tones = here.tones
    here.pbx_port, there.pbx_port = there.port, here.port
    yield here, there
    here.close()
    there.close()


async def until(holds: Callable[[], Any], within_s: float = 30.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - sound gives no signal when it changes
            await asyncio.sleep(0.01)


async def test_two_phones_hear_each_other_until_one_hangs_up(
    pair: tuple[Exchange, Exchange],
) -> None:
    here, there = pair
    there.phone("ana").answers_after_s = 0.01
    kim = here.dial(KIM, "ana")
    await until(lambda: there.phone("ana").leg)
    [ana] = there.phone("ana").rings
    await until(lambda: kim.state == ana.state == "up")
    assert kim.sound is not None
    assert ana.sound is not None
    await until(lambda: kim.sound.hears() == {"ana"} and ana.sound.hears() == {KIM})
    assert ana.began >= kim.began, "the kernel's clock and ours are one"
    assert kim.began < kim.answered_at < kim.began + 60
    ana.hang_up()
    await until(lambda: kim.state == "ended")
    assert ana.by_us
    assert not kim.by_us
    assert not here.legs
    assert not there.legs


async def test_an_invite_that_comes_again_is_one_ring(pair: tuple[Exchange, Exchange]) -> None:
    _, there = pair
    with socket.socket(type=socket.SOCK_DGRAM) as raw:
        raw.bind(("127.0.0.1", 0))
        there.pbx_port = raw.getsockname()[1]
        invite = sip.Message(
            "INVITE sip:ana@127.0.0.1 SIP/2.0",
            [("Via", "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1"), ("From", "<sip:x@h>;tag=1"),
             ("To", "<sip:ana@h>"), ("Call-ID", "c1"), ("CSeq", "1 INVITE"),
             ("Contact", "<sip:x@127.0.0.1>")],
            sip.sdp(9, 1),
        ).to_bytes()  # fmt: skip
        for _ in range(3):
            raw.sendto(invite, ("127.0.0.1", there.port))
        await until(lambda: there.phone("ana").rings)
        there.phone("ana").rings[0].refuse()
        raw.sendto(invite, ("127.0.0.1", there.port))
        raw.sendto(b"\x00\xffgarbage\r\n\r\n", ("127.0.0.1", there.port))
        raw.sendto(b"OPTIONS sip:ana@h SIP/2.0\r\nvia: x;branch=o\r\ncseq: 1 OPTIONS\r\n\r\n",
                   ("127.0.0.1", there.port))  # fmt: skip
        raw.setblocking(False)
        statuses = []
        while 200 not in statuses:
            data = await asyncio.wait_for(
                asyncio.get_running_loop().sock_recv(raw, 4096), timeout=30
            )
            statuses.append(sip.parse(data).status)
    assert len(there.phone("ana").rings) == 1
    assert statuses[-3:] == [486, 486, 200], "refused again, not rung again"


async def test_a_call_comes_up_and_ends_although_every_datagram_is_lost_once(
    pair: tuple[Exchange, Exchange],
) -> None:
    here, there = pair
    loop = asyncio.get_running_loop()
    lost: set[bytes] = set()

    class Lossy(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
            if data not in lost:
                lost.add(data)
                return
            other = there.port if address[1] == here.port else here.port
            self.transport.sendto(data, ("127.0.0.1", other))  # type: ignore[attr-defined]

    transport, _ = await loop.create_datagram_endpoint(Lossy, local_addr=("127.0.0.1", 0))
    middle = transport.get_extra_info("sockname")[1]
    here.pbx_port = there.pbx_port = middle
    there.phone("ana").answers_after_s = 0.01
    kim = here.dial(KIM, "ana")
    await until(lambda: there.phone("ana").leg, 30)
    [ana] = there.phone("ana").rings
    await until(lambda: kim.state == "up", 30)
    await until(lambda: ana.timer is None, 30)  # acknowledged
    kim.hang_up()
    await until(lambda: ana.state == "ended", 30)
    assert len(there.phone("ana").rings) == 1
    assert here.resent
    assert there.resent
    transport.close()


def test_tones_are_told_apart_however_they_are_mixed() -> None:
    tones = Tones()
    names = [f"p{n}" for n in range(30)]
    for name in names:
        tones.of(name)
    rng = random.Random(3)
    for _ in range(200):
        chosen = rng.sample([*names, "music"], rng.randrange(4))
        samples = np.zeros(WINDOW)
        for name in chosen:
            at_s = np.arange(WINDOW) / 8000 + rng.random()
            samples += 8000 * np.sin(2 * np.pi * tones.of(name) * at_s)
        samples += np.random.default_rng(1).normal(0, 300, WINDOW)
        assert tones.in_(samples) == set(chosen)
