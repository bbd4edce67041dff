"""Writes `config/contact-router.yaml`, the manual of the configuration, from the types themselves.

``python -m router.config.reference`` writes it anew; a test fails when it is not current. A line
that begins with ``#`` and no space is a setting that is not given by default, with an example.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import msgspec

from router.config.compile import CHANNEL_FIELDS
from router.config.convert import Field, Written, fields
from router.config.forms import length, length_over_zero, percent, share, written_length
from router.config.schema import ChannelSettings, WorkspaceSection
from router.config.server import ServerSettings
from router.core.policy import default_channels

TARGET = Path(__file__).parents[2] / "config" / "contact-router.yaml"
WIDTH = 100

HEADER = """\
# The configuration of contact-router: every setting, what it means, and its default.
# Made from the types by `make reference`; do not edit. A short file to begin with: demo.yaml.
#
# A line that begins with "#" and no space after it is a setting that is not given by default, with
# an example. Queues, hours, entry points, profiles and agents have names of your choice; those here
# are examples. Lengths of time have a unit: 500ms, 20s, 5m, 4h, 2d, 1h30m.
# Check a file with `contact-router check FILE`. SIGHUP, or POST /v1/config:reload, reads it again
# while running: a file with an error changes nothing. Secrets stand in files of their own (*_file).
# One process may serve several workspaces (tenants) that share nothing: then everything below
# `server` stands under `workspaces:` and the workspace's name.
"""

EXAMPLES = {
    "ServerSettings.public_url": "https://router.example.com",
    "ServerSettings.allowed_origins": '["https://www.example.com"]',
    "ServerSettings.trusted_proxies": "[10.0.0.0/8]",
    "ServerSettings.metrics": "{address: 127.0.0.1, port: 9464}",
    "ServerSettings.oidc": """
  issuer: https://id.example.com/realms/oak
  client_id: contact-router
  client_secret_file: oidc.secret
  grants: [{claim: groups, value: leads, role: supervisor}, {role: agent}]""",
    "ServerSettings.cluster": """
  secret_file: cluster.secret
  node: router-1
  url: http://router-1.internal:8080
  lease_s: 2
  attachments_dir: /mnt/contact-router/attachments""",
    "ServerSettings.tracing": '{url: "http://localhost:4318/v1/traces"}',
    "JournalSettings.url": "redis://localhost:6379/0",
    "JournalSettings.keys_url": "redis://localhost:6380/0",
    "JournalSettings.password_file": "redis.secret",
    "JournalSettings.master": "router",
    "JournalSettings.replicas": "1",
    "JournalSettings.user": "contact-router",
    "JournalSettings.sentinel_user": "contact-router",
    "JournalSettings.sentinel_password_file": "sentinel.secret",
    "JournalSettings.ca_file": "redis-ca.pem",
    "JournalSettings.certificate_file": "redis-client.pem",
    "JournalSettings.private_key_file": "redis-client.secret",
    "HoursSettings.open": "{mon-fri: '08:00-12:00, 13:00-18:00', sat: 09:00-13:00}",
    "HoursSettings.holidays": (
        "{2027-12-25: closed, 2027-12-24: {open: 09:00-12:00, name: Christmas Eve}}"
    ),
    "QueueSettings.dispositions": "[solved, callback_promised, complaint]",
    "QueueSettings.hours": "office",
    "QueueSettings.on_closed": "{action: overflow, queue: night}",
    "QueueSettings.target": "{voice: 20s, email: 4h}",
    "QueueSettings.tier": "{voice: 0, chat: 0, sms: 1, email: 1}",
    "QueueSettings.require": "{billing: 6}",
    "QueueSettings.fit_weights": "{billing: 2, french: 0.5}",
    "QueueSettings.steps": """
  - {after: 30s, lower: {billing: 3}}
  - {after: 1m, when: {wait_over: 2m}, add_queues: [sales], message: We ask more colleagues.}
  - {name: elsewhere, after: 5m, when: {eligible_below: 1}, otherwise: skip, overflow: night}
  - {name: loyal, after: 6m, when: 'segment == "loyal" && queue.eligible < 2', tier: 0}""",
    "QueueSettings.wrap_up": "{voice: 30s, chat: 10s}",
    "QueueSettings.most_waiting": "50",
    "BoundSettings.waiting_places": "5000",
    "QueueSettings.on_full": "{action: deflect, text: Please write to us.}",
    "QueueSettings.on_late": "[{when: contact.channel != 'voice', action: queue}, callback]",
    "DeclineSettings.exhausted": "callback",
    "TreatmentSettings.greeting": "Thank you for calling.",
    "AskSettings.name": "offer",
    "AskSettings.prompt": "Press 1 to go on by text message, 2 to be called back.",
    "AskSettings.choices": '{"1": go on by text, "2": call me back}',
    "TreatmentSettings.text": '"You are number {position}, about {wait_minutes} minutes."',
    "TreatmentSettings.music": "default",
    "EntryPointSettings.channel": "voice",
    "EntryPointSettings.queue": "care",
    "EntryPointSettings.address": '"+4930555100"',
    "EntryPointSettings.require": "{english: 3}",
    "EntryPointSettings.attributes": "{topic: billing, vip: true}",
    "EntryPointSettings.brand": "Oak & Co.",
    "EntryPointSettings.language": "en-GB",
    "EntryPointSettings.greeting": "Welcome to Oak & Co.",
    "EntryPointSettings.music": "oak",
    "EntryPointSettings.texts": "{farewell: Thank you and good-bye.}",
    "AgentSeed.name": "Ana",
    "AgentSeed.skills": "{billing: 8, english: 6}",
    "AgentSeed.profile": "care",
    "AgentSeed.capacity": "150",
    "AgentSeed.maximum": "{chat: 2}",
    "AgentSeed.endpoints": "{voice: PJSIP/ana}",
    "AgentSeed.auto_accept": "[voice]",
    "AdapterSettings.type": "loopback",
    "WorkspaceSection.country": "DE",
    "WorkspaceSection.conditions": """
  office: local.weekday <= 5 && local.hour >= 9 && local.hour < 17
  long_wait: queue.estimated_wait > duration("2m")""",
    "SegmentSettings.when": "customer.contacts >= 10",
    "StrategySettings.head_start": "1m",
    "StrategySettings.tier": "0",
    "StrategySettings.watch": "true",
    "StrategySettings.prefer_agent": "{last: 30s}",
    "StrategySettings.require": "{english: 3}",
    "StrategySettings.channels": "[sms, voice]",
    "WorkspaceSection.rules": """
  - {name: bills, when: contact.attributes.topic == 'bill', then: {require: {billing: 6}}}
  - {name: sms-people, when: preference.channel == 'sms', then: {schedule: learned_window}}""",
    "WorkspaceSection.tests": """
  - {name: Everybody is loyal, given: {customer: {contacts: 12}}, expect: {segment: loyal}}""",
    "WorkspaceSection.templates": """
  offer: Hello {name}, may we call you? Reply YES, or STOP to end messages.""",
    "LearningSettings.reply_within": "{sms: 4h, email: 24h}",
    "LearningSettings.outcomes": "{busy: {target: 30%, weight: 0.5}}",
    "LearningSettings.dispositions": "{wrong_number: wrong_party}",
    "LearningSettings.costs": "{voice: 5%}",
    "ContactingSettings.consent": "[{mode: opt_in, channels: [voice], purposes: [survey]}]",
    "ContactingSettings.windows": """
  daytime: {open: {mon-fri: '09:00-20:00', sat: '10:00-16:00'}, channels: [voice, sms]}""",
    "ContactingSettings.limits": """
  calls-in-a-week: {most: 7, per: 7d, channels: [voice]}
  to-an-address: {most: 3, per: 1d, scope: address}""",
    "ContactingSettings.unknown_zones": "[Europe/Berlin]",
    "AdapterSettings.channel": "voice",
    "WorkspaceSection.profiles": "{care: {care: 1, sales: {rank: 2, delay: 1m}}}",
    "WorkspaceSection.webhooks": """
  crm: {url: "https://crm.example.com/hook", secret_file: crm.secret, events: [ContactClosed]}""",
}
"""For settings without a default. A test fails when one is missing."""

NAMED = {
    "hours": ("office",),
    "queues": ("care", "sales", "night"),
    "entry_points": ("hotline",),
    "segments": ("loyal",),
    "agents": ("ana",),
    "adapters": ("voice",),
}
"""Names of the examples; the first of each shows every setting."""


@cache
def documents(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The docstring under each setting of a record."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found = {}
    for item, below in pairwise(body):
        if (
            isinstance(item, ast.AnnAssign)
            and isinstance(item.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            found[item.target.id.rstrip("_")] = " ".join(str(below.value.value).split())
    return found


def text() -> str:
    """The whole file."""
    lines = [HEADER.rstrip(), "", f"# {_summary(ServerSettings)}", "server:"]
    lines += [f"  {line}" for line in _Writer().settings(ServerSettings)]
    lines.append("")
    lines += _workspace()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _workspace() -> Iterator[str]:
    writer = _Writer()
    for setting in fields(WorkspaceSection).values():
        if setting.name == "channels":
            yield from writer.prose(WorkspaceSection, setting, inner=False)
            yield "channels:"
            yield from (f"  {line}" for line in writer.channels())
        elif setting.name in NAMED:
            kind = _records_in(setting.type)[0]
            yield from writer.prose(WorkspaceSection, setting, inner=False)
            yield f"{setting.name}:"
            first, *others = NAMED[setting.name]
            yield f"  {first}:"
            yield from (f"    {line}" for line in writer.settings(kind))
            yield from (f"  {other}: {{}}" for other in others)
        elif setting.name == "profiles":
            yield from writer.prose(WorkspaceSection, setting)
            yield f"profiles: {EXAMPLES['WorkspaceSection.profiles']}"
        else:
            yield from writer.setting(WorkspaceSection, setting)
        yield ""


class _Writer:
    """Describes the keys of a record once; later ones point back."""

    def __init__(self) -> None:
        self._described: dict[type[msgspec.Struct], str] = {}

    def settings(self, kind: type[msgspec.Struct]) -> Iterator[str]:
        """All settings of a record, as lines without indentation."""
        for setting in fields(kind).values():
            yield from self.setting(kind, setting)

    def setting(self, kind: type[msgspec.Struct], setting: Field) -> Iterator[str]:
        """One setting with its meaning."""
        default = setting.default
        example = EXAMPLES.get(f"{kind.__name__}.{setting.name}", "")
        if isinstance(default, msgspec.Struct) and type(default) not in self._described:
            yield from self.prose(kind, setting, inner=False)
            yield f"{setting.name}:"
            yield from (f"  {line}" for line in self.settings(type(default)))
            return
        yield from self.prose(kind, setting)
        if isinstance(default, msgspec.Struct):
            first = next(iter(fields(type(default)).values()))
            yield f"{setting.name}: {_written(first, first.default)}"
        elif default is msgspec.NODEFAULT:
            yield f"{setting.name}: {example}"
        elif not default and example:
            yield from (f"#{line}" for line in f"{setting.name}: {example}".split("\n"))
        else:
            yield f"{setting.name}: {_written(setting, default)}"

    def channels(self) -> Iterator[str]:
        """The built-in channels with all they have; the first one explains."""
        for number, (name, channel) in enumerate(default_channels().items()):
            yield f"{name}:"
            for setting in fields(ChannelSettings).values():
                if number == 0:
                    yield from (f"  {line}" for line in self.prose(ChannelSettings, setting))
                value = getattr(channel, CHANNEL_FIELDS[setting.name])
                yield f"  {setting.name}: {_written(setting, value)}"

    def prose(
        self, kind: type[msgspec.Struct], setting: Field, *, inner: bool = True
    ) -> Iterator[str]:
        """What a setting means; with `inner`, also the keys of the records in it."""
        yield from _wrapped(documents(kind)[setting.name], "# ")
        if inner:
            for record in _records_in(setting.type):
                yield from self._keys(record, setting.name, "#   ")

    def _keys(self, kind: type[msgspec.Struct], owner: str, indent: str) -> Iterator[str]:
        if kind in self._described:
            yield f"{indent}Keys as in {self._described[kind]} above."
            return
        self._described[kind] = owner
        yield from _wrapped(_summary(kind), indent)
        for setting in fields(kind).values():
            meaning = documents(kind)[setting.name]
            if setting.default not in (None, "", (), {}, msgspec.NODEFAULT) and not isinstance(
                setting.default, msgspec.Struct
            ):
                meaning += f" Default: {_written(setting, setting.default)}."
            yield from _wrapped(f"{setting.name}: {meaning}", f"{indent}- ")
            for record in _records_in(setting.type):
                yield from self._keys(record, setting.name, indent + "  ")


def _summary(kind: type[msgspec.Struct]) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())


def _wrapped(words: str, indent: str) -> list[str]:
    below = indent.replace("-", " ")
    return textwrap.wrap(words, WIDTH - 6, initial_indent=indent, subsequent_indent=below)


def _records_in(kind: Any) -> list[type[msgspec.Struct]]:
    """The records inside a type such as `dict[str, X] | None`."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    if get_origin(kind) is Annotated:
        return _records_in(get_args(kind)[0])
    return [record for arm in get_args(kind) for record in _records_in(arm)]


def _forms(kind: Any) -> list[Any]:
    if get_origin(kind) is Annotated:
        return [extra.read for extra in get_args(kind)[1:] if isinstance(extra, Written)]
    return [form for arm in get_args(kind) for form in _forms(arm)]


def _written(setting: Field, value: Any) -> str:
    if _forms(setting.type) in ([length], [length_over_zero]) and isinstance(value, int):
        return written_length(value)
    if _forms(setting.type) in ([percent], [share]) and isinstance(value, float):
        return f"{100 * value:g}%"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, StrEnum | str):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value).replace('"', "")


def main() -> None:
    """Write the file."""
    TARGET.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{TARGET}\n")


if __name__ == "__main__":
    main()
