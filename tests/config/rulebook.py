"""A rule book that says everything, and ways to read texts like it."""

import pytest

from router.config import WorkspaceSettings, loads
from router.errors import ConfigError

BOOK = """\
queues:
  care: {hours: office}
  billing: {require: {billing: 3}}
hours: {office: {zone: Europe/Berlin, open: {mon-fri: 08:00-18:00}}}
entry_points: {hotline: {channel: voice, queue: care}}
profiles: {all: {care: 1, billing: 1}}
agents: {ana: {profile: all}, ben: {profile: all}}
conditions:
  works_late: in_office && local.hour >= 17
  in_office: local.weekday <= 5
segments:
  loyal:
    when: customer.contacts >= 5 && in_office
    strategy:
      head_start: 1m
      tier: 0
      watch: true
      prefer_agent: {last: 20s}
      require: {english: 3}
      channels: [sms, voice]
      explore: false
  others: {}
rule_match: all
rules:
  - name: sms-people
    when: contact.direction == "outbound" && preference.channel == "sms"
    then:
      queue: care
      schedule:
        at: learned_window
        mode: message_first
        template: offer
        purpose: offers
        within: 3d
        latest: 4d
        give_up: send
        explore: false
  - name: answered
    on: input
    when: contact.attributes.digit == "1"
    then:
      queue: billing
      require: {billing: 6}
      prefer_agent: {agent: ana, for: 30s}
      tier: 1
      head_start: 90s
      set: {topic: billing, list: [1, true], late: {cel: "local.hour >= 17"}}
      switch_channel: chat
      message: One moment please.
      watch: false
      experiment:
        - {name: greeting, arms: {short: 60, long: 40}}
        - {name: music, arms: {none: 1}}
  - name: never
    when: contact.channel == "voice" && works_late
    then: {deflect: Please write to us.}
  - name: spam
    when: contact.attributes.spam == true
    then: {reject: spam}
  - name: later
    when: contact.direction == "callback"
    then: {schedule: {at: now + duration("2h")}, watch: true}
tests:
  - name: a loyal customer
    given: {at: 2026-11-24T09:30+01:00, customer: {contacts: 7}}
    expect: {segment: loyal, head_start: 60s, rules: []}
templates: {offer: "Hello {name}"}
"""


def settings(text: str) -> WorkspaceSettings:
    return loads(text, "f.yaml").workspaces["main"]


def errors(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, "f.yaml")
    return caught.value.findings


def edited(*edits: tuple[str, str]) -> str:
    text = BOOK
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def rules(text: str, *, rest: str = "") -> str:
    return f"queues: {{care: {{}}, billing: {{}}}}\n{rest}rules:\n{text}"
