"""The IVR in Node.js drives a real server; what happened is asked over HTTP."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.documented import sample, serving
from tests.runtime.server import ROOT, Served

IVR = ROOT / "adapters" / "examples" / "ivr"
NODE = shutil.which("node")
HAS_WS = (IVR / "node_modules" / "ws" / "package.json").exists()

pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.timeout(200),
    pytest.mark.skipif(NODE is None, reason="node is not installed"),
    pytest.mark.skipif(not HAS_WS, reason="npm install was not run in adapters/examples/ivr"),
]

ADA = "+4915550001"


class Ivr:
    """The Node process: commands in, events out."""

    def __init__(self, served: Served, token_file: Path, menu: Path) -> None:
        self.served = served
        self.events: list[dict[str, Any]] = []
        self._token_file = token_file
        self._menu = menu
        self._changed = asyncio.Event()
        self.process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self, until: str = "connected") -> None:
        assert NODE is not None
        url = f"ws://127.0.0.1:{self.served.port}/v1/channels/ivr"
        self.process = await asyncio.create_subprocess_exec(
            NODE, str(IVR / "ivr.js"), "--url", url, "--token-file", str(self._token_file),
            "--menu", str(self._menu),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._reader = asyncio.get_running_loop().create_task(self._read())
        await self.until(until)

    async def _read(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.events.append(json.loads(line))
            self._changed.set()

    async def stop(self, *, kill: bool = False) -> int:
        process, reader = self.process, self._reader
        assert process is not None
        assert process.stdin is not None
        assert reader is not None
        if kill and process.returncode is None:
            process.kill()
        process.stdin.close()
        async with asyncio.timeout(30):
            code = await process.wait()
            await reader
        return code

    async def do(self, what: str, **fields: Any) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": what, **fields}).encode() + b"\n")
        await self.process.stdin.drain()

    def of(self, event: str, **wanted: Any) -> list[dict[str, Any]]:
        wanted["event"] = event
        return [e for e in self.events if all(e.get(k) == v for k, v in wanted.items())]

    async def until(self, event: str, count: int = 1, **wanted: Any) -> dict[str, Any]:
        # The longer the server was away, the longer the IVR waits before it tries again.
        async with asyncio.timeout(75):
            while len(self.of(event, **wanted)) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.of(event, **wanted)[count - 1]

    def heard(self, call: str) -> list[str]:
        return [e["text"] for e in self.of("heard", call=call)]

    async def bring(self, call: str, key: str = "2", caller: str = ADA) -> None:
        """A call that has chosen."""
        await self.do("call", call=call, **{"from": caller}, to="+4930555000")
        await self.do("press", call=call, key=key)

    async def contact(self, call: str) -> dict[str, Any]:
        """The router's contact of a call, once it has it."""
        found: list[dict[str, Any]] = []

        async def look() -> bool:
            page = await self.served.good("GET", "/v1/contacts?limit=100")
            found[:] = [c for c in page["contacts"] if c.get("external_id") == call]
            return bool(found)

        await poll(look)
        return found[0]


async def poll(holds: Callable[[], Any]) -> None:
    """Another process: only asking tells."""
    async with asyncio.timeout(30):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.03)


@pytest.fixture
async def ivr(tmp_path: Path) -> AsyncIterator[Ivr]:
    menu = json.loads((IVR / "menu.json").read_text("utf-8"))
    (tmp_path / "menu.json").write_text(json.dumps({**menu, "timeout_ms": 4_000}))
    async with serving(tmp_path, sample("ivr"), {}) as served:
        token = await served.good("POST", "/v1/tokens", {"role": "adapter", "channel": "ivr"})
        (tmp_path / "ivr.token").write_text(token["token"])
        made = Ivr(served, tmp_path / "ivr.token", tmp_path / "menu.json")
        await made.start()
        yield made
        await made.stop(kill=True)


async def ready(ivr: Ivr, *agents: str) -> None:
    for agent in agents:
        await ivr.served.good("POST", f"/v1/agents/{agent}:presence", {"presence": "ready"})


async def test_a_call_goes_through_menu_question_phone_and_hang_up(ivr: Ivr) -> None:
    served = ivr.served
    await ivr.bring("c1", "2")
    contact = await ivr.contact("c1")
    assert contact["queue"] == "repairs"
    assert contact["attributes"] == {"menu": "2"}
    await ivr.until("heard", call="c1")
    assert ivr.heard("c1")[0].startswith("Welcome")

    # The router asks something while the caller waits.
    body = {"name": "kind", "prompt": "What is broken?", "choices": {"1": "chair", "2": "table"},
            "timeout_us": 20_000_000}  # fmt: skip
    await served.good("POST", f"/v1/contacts/{contact['id']}:collect", body)
    await ivr.until("heard", call="c1", text="What is broken?. 1: chair. 2: table")
    await ivr.do("press", call="c1", key="9")
    await ivr.do("press", call="c1", key="2")

    async def answered() -> bool:
        found = await served.good("GET", f"/v1/contacts/{contact['id']}")
        return bool(found["attributes"].get("input.kind") == "2")

    await poll(answered)
    await ready(ivr, "ana")
    rings = await ivr.until("rings", phone="phone/ana")
    await ivr.do("pick_up", phone="phone/ana")
    found = await served.until(f"/v1/contacts/{contact['id']}", state="active")
    assert found["reservations"] == [rings["reservation"]]
    await served.until(f"/v1/reservations/{rings['reservation']}", state="connected")
    await ivr.do("hang_up", call="c1")
    found = await served.until(f"/v1/contacts/{contact['id']}", state="closed")
    assert found["outcome"] == "completed"
    assert ivr.of("error") == []


async def test_who_hangs_up_while_waiting_has_left_and_who_chooses_nothing_is_brought_in(
    ivr: Ivr,
) -> None:
    await ivr.bring("c1", "1")
    first = await ivr.contact("c1")
    assert first["queue"] == "sales"
    await ivr.do("hang_up", call="c1")
    found = await ivr.served.until(f"/v1/contacts/{first['id']}", state="closed")
    assert found["outcome"] == "abandoned"
    await ivr.do("call", call="c2", **{"from": ADA}, to="+4930555000")
    second = await ivr.contact("c2")
    assert (second["queue"], second["attributes"]) == ("repairs", {"menu": "none"})
    await ivr.do("call", call="c3", **{"from": ADA}, to="+4930555000")
    await ivr.do("hang_up", call="c3")
    await ivr.until("over", call="c3")
    page = await ivr.served.good("GET", "/v1/contacts?limit=100")
    assert "c3" not in [c.get("external_id") for c in page["contacts"]]


async def test_a_phone_that_declines_passes_the_call_on_and_the_agent_may_hang_up(
    ivr: Ivr,
) -> None:
    await ready(ivr, "ana")
    await ivr.bring("c1")
    await ivr.until("rings", phone="phone/ana")
    await ready(ivr, "ben")
    await ivr.do("decline", phone="phone/ana")
    await ivr.until("rings", phone="phone/ben")
    await ivr.do("pick_up", phone="phone/ben")
    contact = await ivr.contact("c1")
    await ivr.served.until(f"/v1/contacts/{contact['id']}", state="active")
    await ivr.do("put_down", phone="phone/ben")
    found = await ivr.served.until(f"/v1/contacts/{contact['id']}", state="closed")
    assert found["outcome"] == "completed"
    await ivr.until("over", call="c1", by="us")


async def test_a_connection_that_is_lost_is_resumed_and_loses_no_call(ivr: Ivr) -> None:
    served = ivr.served
    await ready(ivr, "ana")
    await ivr.bring("talks", "1")
    await ivr.until("rings", phone="phone/ana")
    await ivr.do("pick_up", phone="phone/ana")
    talks = await ivr.contact("talks")
    await served.until(f"/v1/contacts/{talks['id']}", state="active")
    await ivr.bring("waits")
    await ivr.bring("goes")
    waits, goes = await ivr.contact("waits"), await ivr.contact("goes")

    await ivr.do("cut", for_ms=400)
    await ivr.until("lost")
    await ivr.do("hang_up", call="goes")
    await ivr.bring("meanwhile")
    await ivr.until("connected", 2)
    await served.until(f"/v1/contacts/{goes['id']}", state="closed")
    meanwhile = await ivr.contact("meanwhile")
    assert meanwhile["state"] == "queued"

    await served.kill()
    await ivr.do("call", call="late", **{"from": ADA}, to="+4930555000")
    await ivr.do("press", call="late", key="1")
    await served.start()
    await ivr.until("connected", 3)
    late = await ivr.contact("late")
    for contact, state in ((talks, "active"), (waits, "queued"), (meanwhile, "queued")):
        found = await served.good("GET", f"/v1/contacts/{contact['id']}")
        assert found["state"] == state, found
    await ivr.do("hang_up", call="talks")
    found = await served.until(f"/v1/contacts/{talks['id']}", state="closed")
    assert found["outcome"] == "completed"
    assert late["queue"] == "sales"
    page = await served.good("GET", "/v1/contacts?limit=100")
    ids = [contact.get("external_id") for contact in page["contacts"]]
    assert len(ids) == len(set(ids)), "a call came twice"


async def test_calls_of_an_ivr_that_died_are_over_when_it_is_back(ivr: Ivr) -> None:
    await ivr.bring("c1")
    contact = await ivr.contact("c1")
    await ivr.stop(kill=True)
    ivr.events.clear()
    await ivr.start()
    found = await ivr.served.until(f"/v1/contacts/{contact['id']}", state="closed")
    assert found["outcome"] == "abandoned"


async def test_a_token_of_another_adapter_is_refused_for_good(ivr: Ivr, tmp_path: Path) -> None:
    (tmp_path / "ivr.token").write_text(ivr.served.token)
    await ivr.stop()
    ivr.events.clear()
    await ivr.start(until="refused")
    assert await ivr.stop() == 1
    assert ivr.of("connected") == ivr.of("lost") == []
