"""The thin story, on the real server: a contact is posted, offered, accepted, wrapped up, closed,
and the server is killed with kill -9 in the middle, at every named place."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.runtime.server import Served

pytestmark = pytest.mark.slow


async def test_a_contact_lives_through_a_crash_from_post_to_closed(served: Served) -> None:
    await served.start()
    await served.good("POST", "/v1/agents/ana:presence", {"presence": "ready"})
    contact = (await served.good("POST", "/v1/contacts", served.text("e1")))["contact"]
    found = await served.until(f"/v1/contacts/{contact}", state="offered")
    reservation = found["reservations"][0]
    await served.kill()

    await served.start()
    found = await served.until(f"/v1/contacts/{contact}", state="offered")
    assert found["reservations"] == [reservation]
    await served.good("POST", f"/v1/reservations/{reservation}:accept", {})
    await served.until(f"/v1/contacts/{contact}", state="active")
    await served.kill()

    await served.start()
    messages = (await served.good("GET", f"/v1/contacts/{contact}/messages"))["messages"]
    assert [message["text"] for message in messages] == ["hello"]
    await served.good("POST", f"/v1/contacts/{contact}:complete", {})
    await served.until(f"/v1/reservations/{reservation}", state="wrapping")
    await served.kill()

    await served.start()
    await served.good("POST", f"/v1/reservations/{reservation}:finish-wrap-up", {})
    found = await served.until(f"/v1/contacts/{contact}", state="closed")
    assert found["outcome"] == "completed"
    status, again = await served.call("POST", "/v1/contacts", served.text("e1"))
    assert status == 200
    assert again["contact"] == contact
    assert await served.stop() == 0
    log = (served.directory / "log").read_text()
    assert "Traceback" not in log
    assert "4917012345" not in log
    events = (await served.command("tail")).splitlines()
    assert sum('"ContactClosed"' in line for line in events) == 1
    assert sum('"ContactOffered"' in line for line in events) == 1
    assert b"4917012345" not in b"".join(f.read_bytes() for f in served.data.glob("ws-*"))


@pytest.mark.parametrize(
    "point", ["before_commit", "after_commit", "after_effects", "after_answers", "before_effect"]
)
async def test_a_crash_at_a_named_place_loses_nothing_acknowledged(
    served: Served, point: str
) -> None:
    await served.start()
    await served.good("POST", "/v1/agents/ana:presence", {"presence": "ready"})
    kept = (await served.good("POST", "/v1/contacts", served.text("e1")))["contact"]
    await served.kill()
    await served.start(f"{point}:3")
    acknowledged = [kept]
    for number in range(2, 12):
        try:
            status, answer = await served.call("POST", "/v1/contacts", served.text(f"e{number}"))
            assert status == 201, answer
            acknowledged.append(answer["contact"])
            path = f"/v1/contacts/{acknowledged[-1]}/messages"
            await served.call("POST", path, {"text": "hi"})
        except (aiohttp.ClientError, ConnectionError):
            break
    assert served.process is not None
    async with asyncio.timeout(30):  # an effect may come after the last answer
        assert await served.process.wait() == 137, f"it did not crash at {point}"
    await served.start()
    for contact in acknowledged:
        await served.good("GET", f"/v1/contacts/{contact}")
    listed = (await served.good("GET", "/v1/contacts"))["contacts"]
    externals = [found["external_id"] for found in listed]
    assert len(externals) == len(set(externals))
    for number in range(2, 12):  # what was not answered is said again
        status, answer = await served.call("POST", "/v1/contacts", served.text(f"e{number}"))
        assert status in (200, 201), answer
    listed = (await served.good("GET", "/v1/contacts"))["contacts"]
    assert sorted(found["external_id"] for found in listed) == sorted(
        f"e{number}" for number in range(1, 12)
    )
    assert await served.stop() == 0
