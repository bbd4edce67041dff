"""`contact-router explain`: of a configuration file, and against a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from router.__main__ import main
from router.core import commands as c
from router.core.model import AgentId, ContactId, Presence, QueueId
from router.explain import lines
from tests.api.site import Site

CONFIG = """
channels: {voice: {}, sms: {}}
entry_points:
  line: {channel: voice, address: "+4930555100", queue: front}
queues:
  front: {}
  billing: {require: {billing: 6}, steps: [{after: 20s, lower: {billing: 3}}]}
profiles: {all: {front: 1, billing: 2}}
agents: {ana: {name: Ana, profile: all, skills: {billing: 3}}}
segments:
  loyal: {when: 'customer.attributes.plan == "gold"', strategy: {head_start: 60s}}
  others: {}
rules:
  - name: hour
    when: contact.direction == "outbound" && preference.channel == "sms"
    then: {schedule: learned_window}
  - name: bills
    when: contact.attributes.topic == "bill" && segment == "loyal"
    then: {queue: billing, require: {english: 4}, set: {list: short}}
  - name: evening
    when: local.hour >= 18
    then: {deflect: We are asleep}
"""
GOLD = {"customer": {"attributes": {"plan": "gold"}}}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(CONFIG)
    return path


def explain(config: Path, contact: dict[str, Any] | str, *words: str, **options: Any) -> Result:
    text = contact if isinstance(contact, str) else json.dumps(contact)
    given = ["explain", "-", "--config", str(config), *words]
    return CliRunner().invoke(main, given, input=text, **options)


def contact(**fields: Any) -> dict[str, Any]:
    return {"channel": "voice", "queue": "front", "at": "2026-11-24T10:00+01:00", **fields}


def test_a_files_rules_are_tried_on_a_contact_with_facts(config: Path) -> None:
    asked = contact(customer="kim", attributes={"topic": "bill"}, facts=GOLD)
    result = explain(config, asked)
    assert result.exit_code == 0, result.output
    found = result.output.splitlines()
    assert found[0] == "It would wait in queue billing at position 1, for an unknown time."
    assert 'Segment: loyal (customer.attributes.plan == "gold")' in found
    assert f"  bills: match  [{config}:17]" in found
    assert '      segment == "loyal" -> true (segment = "loyal")' in found
    assert '    contact.direction == "outbound" && preference.channel == "sms" -> false' in found
    assert '      preference.channel == "sms" -> not looked at' in found
    assert '  head_start = "60s"  (segment loyal)' in found
    assert "  asks for billing 6, english 4" in found
    assert (
        "  1-after-20s after 20 s: 0 free of 0 ready; asks for billing 3, english 4 in billing"
        in (found)
    )
    assert "\x1b" not in result.output, "no colours where nobody sees them"


def test_colours_are_for_terminals(config: Path) -> None:
    result = explain(config, contact(), color=True)
    assert "\x1b[" in result.output


def test_the_moment_decides_too(config: Path) -> None:
    late = explain(config, contact(at="2026-11-24T19:00+00:00"))
    assert late.output.startswith("It would be deflected by evening: We are asleep\n")
    assert "local.hour >= 18 -> true (local.hour = 19)" in late.output


def test_an_entry_point_is_found_as_for_an_arrival(config: Path) -> None:
    for fields in ({"entry_point": "line"}, {"peer": {"to": "+4930555100"}}, {}):
        result = explain(config, {"channel": "voice", **fields}, "--json")
        assert json.loads(result.output)["place"]["queue"] == "front"
    missing = explain(config, {"channel": "voice", "entry_point": "none"})
    assert (missing.exit_code, missing.output) == (1, "no entry point 'none' on voice\n")


def test_what_goes_out_is_told_with_its_windows(config: Path) -> None:
    start_us = 1_795_600_800_000_000
    window = {
        "channel": "sms", "address": "h", "start_us": start_us, "end_us": start_us + 3_600_000_000,
        "probability": 0.8, "low": 0.7, "high": 0.9, "text": "8 of 10 reached",
    }  # fmt: skip
    asked = contact(
        channel="sms",
        customer="kim",
        direction="outbound",
        facts={"preference": {"channel": "sms"}, "windows": [window]},
    )
    found = explain(config, asked).output
    assert "It would go out from 2026-11-25 10:00 UTC until 2026-11-25 11:00 UTC" in found
    assert "  * Wed 25 Nov 10:00 UTC sms 80%: 8 of 10 reached" in found


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("{", "<stdin>: expected JSON"),
        ("[]", "expected a contact"),
        ({"queue": "front"}, "expected `channel`"),
        ({"channel": "fax", "queue": "front"}, "no channel 'fax'"),
        ({"channel": "voice", "colour": 1}, "unknown field"),
        (contact(at="tomorrow"), "at: expected a moment like"),
        (contact(at="2026-11-24T09:30"), "at: expected a moment like"),
        (contact(facts=1), "facts: expected customer, preference, permission, windows"),
        (contact(facts={"custmer": {}}), "facts: unknown 'custmer', did you mean 'customer'"),
        (contact(facts={"customer": {"langage": "de"}}), "did you mean 'language'"),
        (contact(facts={"customer": {"contacts": "x"}}), "facts: Expected `int`"),
        (contact(facts={"windows": [{"chanel": "sms"}]}), "did you mean 'channel'"),
    ],
)
def test_what_cannot_be_tried_is_a_sentence(
    config: Path, asked: dict[str, Any] | str, words: str
) -> None:
    result = explain(config, asked)
    assert result.exit_code == 1
    assert words in result.output


def test_one_contact_is_named_once(config: Path) -> None:
    assert "expected CONTACT.json, or --contact" in CliRunner().invoke(main, ["explain"]).output
    live = CliRunner().invoke(main, ["explain", "--contact", "c1", "--config", str(config)])
    assert "is asked of a server" in live.output


# --- a running server -----------------------------------------------------------------------------

Command = Callable[..., Awaitable[Result]]


@pytest.fixture
async def command(site: Site, tmp_path: Path) -> Command:
    """Run `explain` beside the server, with the token of a supervisor."""
    file = tmp_path / "token"
    file.write_text(await site.token("supervisor") + "\n")

    async def run(*words: str, text: str | None = None) -> Result:
        given = ["explain", *words, "--server", site.base, "--token-file", str(file)]
        return await asyncio.to_thread(CliRunner().invoke, main, given, text)

    return run


async def test_a_server_says_who_would_get_it(site: Site, command: Command) -> None:
    workspace = site.server.hosts["oak"].workspace
    for agent in ("ana", "ben"):
        await workspace.ask(c.SetPresence(agent=AgentId(agent), presence=Presence.READY))
    result = await command("-", text='{"channel": "voice", "queue": "front"}')
    assert result.exit_code == 0, result.output
    assert result.output.startswith("It would be offered to ana at once, in queue front.\n")
    assert "  1. ana (rank 1, idle_since_us " in result.output
    assert "  2. ben (rank 1, idle_since_us " in result.output
    assert "  there are none" in result.output
    assert workspace.engine.state.contacts == {}


async def test_a_live_contact_is_named_by_its_id(site: Site, command: Command) -> None:
    workspace = site.server.hosts["oak"].workspace
    asked = c.SubmitContact(contact=ContactId("c1"), channel="voice", queue=QueueId("billing"))
    await workspace.ask(asked)
    found = json.loads((await command("--contact", "c1", "--json")).output)
    assert (found["contact"], found["outcome"]) == ("c1", "queued")
    assert list(lines(found))[-1].startswith("  1-after-20s after 20 s: 0 free of 0 ready")
    missing = await command("--contact", "c9")
    assert (missing.exit_code, "no contact 'c9'" in missing.output) == (1, True)


async def test_facts_are_the_servers_own(command: Command) -> None:
    result = await command("-", text='{"channel": "voice", "facts": {}}')
    assert (result.exit_code, "'facts' is for --config" in result.output) == (1, True)
