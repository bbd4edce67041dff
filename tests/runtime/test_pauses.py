"""A paused channel outlives the server that was told so."""

from __future__ import annotations

import pytest

from tests.runtime.server import Served

pytestmark = pytest.mark.slow


async def test_a_pause_outlives_kill_9_and_ends_when_somebody_resumes_it(served: Served) -> None:
    await served.start()
    await served.good("POST", "/v1/agents/ana:presence", {"presence": "ready"})
    paused = await served.good("POST", "/v1/channels/sms:pause", {"reason": "nonsense"})
    contact = (await served.good("POST", "/v1/contacts", served.text("e1")))["contact"]
    await served.kill()

    await served.start()
    (sms,) = (await served.good("GET", "/v1/stats"))["paused"]
    assert sms == paused["channel"]["pause"]
    after = (await served.good("POST", "/v1/contacts", served.text("e2")))["contact"]
    for waiting in (contact, after):
        assert (await served.good("GET", f"/v1/contacts/{waiting}"))["state"] == "queued"
    mail = {"channel": "email", "queue": "care", "external_id": "m1"}
    other = (await served.good("POST", "/v1/contacts", mail))["contact"]
    offered = await served.until(f"/v1/contacts/{other}", state="offered")
    await served.good("POST", "/v1/channels/sms:resume", {})
    await served.kill()

    await served.start()
    assert "paused" not in await served.good("GET", "/v1/stats")
    first = await served.until(f"/v1/contacts/{contact}", state="offered")
    assert first["visit_at_us"] < offered["visit_at_us"], "it kept its age"
    assert await served.stop() == 0


async def test_the_pause_of_a_channel_that_the_file_has_no_more_is_over(
    served: Served,
) -> None:
    plain = served.config.read_text()
    served.config.write_text(plain + "channels:\n  fax: {cost: 50, maximum: 2}\n")
    await served.start()
    await served.good("POST", "/v1/channels/fax:pause", {})
    await served.kill()
    served.config.write_text(plain)
    await served.start()
    assert "paused" not in await served.good("GET", "/v1/stats")
    assert await served.stop() == 0
    events = (await served.command("tail")).splitlines()
    (dropped,) = [line for line in events if '"ChannelResumed"' in line]
    assert '"removed"' in dropped
