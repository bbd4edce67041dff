"""The component behind a line that cuts, resets, hangs and garbles: nothing arrives twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from adapters.xmpp import Xmpp
from router.channel import Address, ChannelError, ChannelLost, Task
from router.testing.adapter_harness import RouterDouble, Signal
from router.testing.conformance import deliver
from router.testing.fault_proxy import FaultProxy
from tests.adapters.prosody import DOMAIN, PROSODY, SECRET, Client, Prosody

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.skipif(PROSODY is None, reason="prosody is not installed"),
]

FAULTS = ("cut_at", "reset_at", "hang_at", "flip_at")
PLACES = (0, 150, 330, 420, 520, 700)
"""In the stream's head, in the handshake, in the first echo, in messages and their echoes."""


def message(number: int) -> Task:
    return Task(id=f"e{number}", epoch=1, workspace="main", effect=deliver(number), external_id="x",
                customer=Address(address="ada@localhost"), our_address=f"support@{DOMAIN}",
                text=f"text {number}")  # fmt: skip


async def one_run(xmpp: Xmpp, number: int) -> str:
    """Run until the line fails, and send one message if it comes up; what was said of it."""
    router = xmpp.router
    assert isinstance(router, RouterDouble)
    before = len(router.states)
    run = asyncio.get_running_loop().create_task(xmpp.run())
    try:
        async with asyncio.timeout(30):
            await router.signal.until(lambda: set(router.states[before:]) & {"up", "down"} != set())
            if "up" not in router.states[before:]:
                return "not up"
            try:
                await xmpp.perform(message(number))
            except ChannelError as error:
                return type(error).__name__
            return "done"
    finally:
        run.cancel()
        with suppress(asyncio.CancelledError, ChannelLost):
            await run


async def test_a_component_behind_a_bad_line(tmp_path: Path) -> None:
    prosody = Prosody(tmp_path)
    prosody.add("ada")
    await prosody.start()
    signal = Signal()
    client = Client("ada", prosody.c2s, signal)
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    said: Counter[str] = Counter()
    try:
        await client.open()
        async with FaultProxy("127.0.0.1", prosody.component) as proxy:
            settings = {"jid": DOMAIN, "secret_file": str(secret), "port": proxy.port,
                        "connect_s": 0.4, "answer_s": 0.3, "patience_s": 0.3}  # fmt: skip
            xmpp = Xmpp("jabber", settings, RouterDouble(signal))
            number = 0
            for way in (proxy.requests, proxy.answers):
                for fault in FAULTS:
                    for place in PLACES:
                        number += 1
                        setattr(way, fault, place)
                        said[await one_run(xmpp, number)] += 1
                        setattr(way, fault, -1)
                        way.flow()
                        await proxy.reset()
            # The server drops the last session when it sees the reset; until then: conflict.
            async with asyncio.timeout(30):
                while await one_run(xmpp, 99) != "done":
                    pass
            await signal.until(lambda: "text 99" in [text for _, text in client.got])
        got = Counter(text for _, text in client.got)
        assert set(got.values()) == {1}, got.most_common(3)
        assert got.total() - 1 >= said["done"]
        assert said["UnknownOutcome"] > 3, said
        assert said["not up"] > 10, said
    finally:
        await client.close()
        prosody.kill()
