"""The reference is current, loads, is the default, and shows every setting there is."""

import re
from pathlib import Path

import msgspec
import pytest

from router.config import contacting, learning, load, loads, rules, schema, server
from router.config.convert import fields
from router.config.reference import TARGET, documents, text
from router.core.model import QueueId
from router.core.policy import Queue, default_channels
from router.errors import ConfigError

RECORDS = [
    kind
    for module in (schema, server, contacting, rules, learning)
    for kind in vars(module).values()
    if isinstance(kind, type)
    and issubclass(kind, msgspec.Struct)
    and kind.__module__ == module.__name__
]
SECRETS = (
    "redis.secret", "sentinel.secret", "redis-ca.pem", "redis-client.pem", "redis-client.secret",
    "crm.secret", "oidc.secret", "cluster.secret",
)  # fmt: skip
DEPENDS = re.compile(r"has no effect without|needs a restart")


def test_the_reference_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == text(), "run: python -m router.config.reference"


def test_the_reference_holds_the_defaults() -> None:
    config = load(TARGET)
    policy = config.workspaces["main"].policy
    assert config.server == loads("queues: {a: {}}").server
    assert policy.channels == default_channels()
    assert policy.queues[QueueId("care")] == Queue(id=QueueId("care"))
    bare = loads("queues: {a: {}}").workspaces["main"].policy
    for name in ("capacity", "waiting_places", "live_contacts", "hops", "turn", "grace_us"):
        assert getattr(policy, name) == getattr(bare, name)
    for name in ("lost_after_us", "callback_attempts", "callback_retry_us", "keep_closed_us"):
        assert getattr(policy, name) == getattr(bare, name)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: str(kind.__name__))
def test_every_setting_is_documented_and_shown(kind: type[msgspec.Struct]) -> None:
    shown = text()
    assert kind.__doc__
    for name in fields(kind):
        assert documents(kind).get(name), f"{kind.__name__}.{name} has no docstring under it"
        assert re.search(rf"^[ #-]*{name}:", shown, re.MULTILINE), f"{kind.__name__}.{name}"


def blocks(lines: list[str]) -> list[range]:
    """Each setting that is given as an example: its first line and those below it."""
    starts = [i for i, line in enumerate(lines) if re.match(r" *#[a-z_]+:", line)]
    found = []
    for start in starts:
        end = start + 1
        while end < len(lines) and re.match(r" *#  (?! )[-a-z]", lines[end]):
            end += 1
        found.append(range(start, end))
    return found


def test_every_example_can_be_uncommented(tmp_path: Path) -> None:
    for name in SECRETS:
        (tmp_path / name).write_text("0f" * 32, encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    lines = text().split("\n")
    found = blocks(lines)
    for block in found:
        changed = [
            line.replace("#", "", 1) if index in block else line for index, line in enumerate(lines)
        ]
        try:
            loads("\n".join(changed), str(tmp_path / "f.yaml"))
        except ConfigError as error:
            wrong = [line for line in error.findings if not DEPENDS.search(line)]
            assert wrong == [], lines[block[0]]
    assert len(found) > 35


def test_all_examples_together_are_a_configuration(tmp_path: Path) -> None:
    for name in SECRETS:
        (tmp_path / name).write_text("0f" * 32, encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    lines = text().split("\n")
    given = {index for block in blocks(lines) for index in block}
    together = "\n".join(
        line.replace("#", "", 1) if index in given else line for index, line in enumerate(lines)
    )
    for old, new in (
        ("store: sqlite", "store: redis"),
        ("    url: redis://localhost:6379/0\n", ""),
        ("sentinels: []", "sentinels: ['10.0.0.1:26379', '[::1]:26379']"),
        ("strategy: longest_idle", "strategy: best_fit"),
        ("longest_wait: 0", "longest_wait: 10m"),
        ("every: 0", "every: 30s"),
    ):
        assert old in together
        together = together.replace(old, new)
    config = loads(together, str(tmp_path / "f.yaml"))
    care = config.workspaces["main"].policy.queues[QueueId("care")]
    assert len(care.steps) == 4
    assert care.on_closed.queue == "night"
    assert config.workspaces["main"].webhooks["crm"].events == ("ContactClosed",)
