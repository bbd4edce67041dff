"""One rule by itself, read and written: what a supervisor sees is what may be tried."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from router.config import load, loads
from router.config.one_rule import read_rule, remarks, written
from router.core.policy import Policy
from router.core.trying import placed
from router.errors import ConfigError

ROOT = Path(__file__).parents[2]
TEXT = """
queues: {front: {hours: day}, billing: {}}
hours: {day: {zone: Europe/Berlin, open: {mon-fri: "08:00-18:00"}}}
profiles: {all: {front: 1}}
templates: {offer: "Hello"}
conditions: {knows: customer.known && customer.contacts > 2}
segments: {loyal: {when: knows}}
agents: {ana: {profile: all}}
rules:
  - name: everything
    when: knows && contact.channel == "sms"   # the rest is a comment
    then: {queue: billing, require: {en: 5, de: 3}, prefer_agent: {last: 30s}, tier: 2,
           head_start: 90s,
           set: {a: 1, b: true, c: "true", d: [1, {e: f}], g: {cel: contact.channel}},
           switch_channel: sms, message: "One moment: # please", watch: false,
           experiment: [{name: x, arms: {a: 1, b: 3}}]}
  - {name: block, when: 'contact.id != "a: b" && customer.id != "a #b"', then: {deflect: "no"}}
  - name: folded
    when: >-
      contact.direction == "outbound"
        && segment == "loyal"
    then: {schedule: learned_window, mode: message_first, template: offer}
  - {name: at, when: contact.direction == "outbound",
     then: {schedule: {at: 'now + duration("2h")', latest: 3h, give_up: send, explore: false}}}
  - {name: named, when: '!customer.known', then: {prefer_agent: {agent: ana, for: 1500ms}}}
  - {name: no, when: contact.tier == 3, then: {reject: "yes"}}
  - {name: input, on: input, when: contact.channel == "voice", then: {callback: voice}}
  - {name: all, then: {head_start: 0.5s}}
"""


def policy() -> Policy:
    return loads(TEXT).workspaces["main"].policy


def shipped() -> list[Path]:
    return [path for path in sorted((ROOT / "config").glob("*.yaml")) if load(path).workspaces]


@pytest.mark.parametrize("name", ["everything", "block", "folded", "at", "named", "no", "all"])
def test_a_rule_as_it_is_written_is_read_as_the_same_rule(name: str) -> None:
    found = policy()
    [rule] = [each for each in found.rules.rules if each.name == name]
    text = written(rule)
    again = read_rule(text, found)
    assert replace(again, place="") == replace(rule, place=""), text
    assert read_rule("- " + text.replace("\n", "\n  ").rstrip(), found) == again


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.name)
def test_so_are_those_of_the_files_that_come_along(path: Path) -> None:
    for settings in load(path).workspaces.values():
        for rule in settings.policy.rules.rules:
            if rule.on == "received":
                again = read_rule(written(rule), settings.policy)
                assert replace(again, place="") == replace(rule, place=""), written(rule)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("name: x\nwhen: contact.chanel == 'a'\nthen: {tier: 1}",
         "rule:2:15: when: contact has no field 'chanel', did you mean 'channel'?\n"
         "    contact.chanel == 'a'\n            ^^^^^^"),
        ("name: x\nwhen: nows\nthen: {tier: 1}",
         "rule:2:7: when: unknown name 'nows', did you mean 'knows'?\n    nows\n    ^^^^"),
        ("name: x\nthen: {queue: biling}",
         "rule:2:15: then.queue: unknown queue 'biling', did you mean 'billing'?"),
        ("name: x\nthen: {que: billing}",
         "rule:2:8: then: unknown key 'que', did you mean 'queue'?"),
        ("name: x\nthen: {template: ofer, schedule: now}",
         "rule:2:18: then.template: unknown template 'ofer', did you mean 'offer'?"),
        ("then: {tier: 1}", "rule:1:1: 'name' is missing"),
        ("name: x\nthen: [", "rule:3:1: not YAML"),
        ("name: x\non: input\nthen: {tier: 1}",
         "rule:2:1: on: only rules that are asked on arrival can be tried"),
        ("", "rule:1:1: expected settings, got an empty file"),
        ("- name: x\n- name: y", "rule:1:1: expected settings, got a list"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(text: str, finding: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        read_rule(text, policy())
    assert wrong.value.findings[0].startswith(finding), wrong.value.findings


def said(text: str, **place: str) -> list[str]:
    found = policy()
    rule = read_rule(text, found)
    return remarks(found, placed(found.rules, rule, **place), rule, ["ana", "ben"])


def test_who_is_never_reached_is_told() -> None:
    assert said("{name: x, then: {tier: 1}}") == [
        "'x' is never reached: rule 'all' before it always matches"
    ]
    [first, *rest] = said("{name: x, then: {tier: 1}}", before="named")
    assert first == "'named' is never reached: rule 'x' before it always matches"
    assert [each.split()[0] for each in rest] == ["'no'", "'all'"]
    assert said("{name: x, when: contact.tier > 3, then: {tier: 1}}", before="no") == []


def test_an_agent_who_is_not_there_is_told() -> None:
    text = "{name: x, when: contact.tier > 3, then: {prefer_agent: {agent: bem, for: 3s}}}"
    assert said(text, before="all") == [
        "'x' prefers 'bem', and there is no such agent, did you mean 'ben'?"
    ]


def test_what_excludes_each_other_is_an_error() -> None:
    with pytest.raises(ConfigError, match="'reject' and 'queue' exclude each other"):
        said("{name: x, then: {queue: billing, reject: no}}")
