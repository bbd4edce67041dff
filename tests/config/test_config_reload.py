"""A reload is a difference; what it cannot do it says, and then it does nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from router.config import Config, load
from router.config.diff import Change, compare, reload
from router.errors import ConfigError

Good = Callable[[str], Config]


def changed(good: Good, text: str, *edits: tuple[str, str]) -> tuple[Config, Config]:
    after = text
    for old, new in edits:
        assert old in after
        after = after.replace(old, new, 1)
    return good(text), good(after)


def test_the_same_file_changes_nothing(good: Good, good_text: str) -> None:
    diff = compare(*changed(good, good_text))
    assert (diff.changes, diff.restart, diff.touched()) == ((), (), [])
    assert diff.lines() == ["nothing changed"]
    commented = compare(good(good_text), good("# hello\n" + good_text))
    assert (commented.changes, commented.restart) == ((), ())


def test_each_changed_thing_is_named(good: Good, good_text: str) -> None:
    diff = compare(
        *changed(
            good,
            good_text,
            ("        recheck: 5s", "        recheck: 6s"),
            ("      night:\n        strategy: ordered", "      night: {}\n      day: {}"),
            ("        night:\n          rank: 2\n          delay: 20s", "        day: 2"),
            ("        target: 15s", "        target: 16s"),
            ("      hotline:", "      phone:"),
            ("          sat,sun:", "          sat:"),
            ("    capacity: 120", "    capacity: 130"),
            ("          billing: 8", "          billing: 9"),
        )
    )
    assert diff.restart == ()
    assert sorted(diff.changes) == [
        Change("north", "agent", "ana", "ignored"),
        Change("north", "channel", "voice", "changed"),
        Change("north", "entry point", "hotline", "removed"),
        Change("north", "entry point", "phone", "added"),
        Change("north", "hours", "office", "changed"),
        Change("north", "profile", "care", "changed"),
        Change("north", "queue", "care", "changed"),
        Change("north", "queue", "day", "added"),
        Change("north", "queue", "night", "changed"),
        Change("north", "setting", "capacity", "changed"),
    ]
    assert diff.touched() == ["north"]
    assert "north: queue 'day' added" in diff.lines()
    assert any("agent 'ana' ignored: agents belong to the API" in line for line in diff.lines())


def test_a_changed_seed_alone_touches_no_policy(good: Good, good_text: str) -> None:
    diff = compare(*changed(good, good_text, ("billing: 8", "billing: 9")))
    assert diff.touched() == []


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("port: 8080", "port: 8081", "good.yaml:3:3: server.port: changed: needs a restart"),
        ("requests_burst: 100", "requests_burst: 9", "server.limits.requests_burst: changed"),
        ("type: loopback", "type: remote", "adapters.phones: changed: needs a restart"),
        ("      phones:", "      pbx:", "adapters.pbx: changed: needs a restart"),
        ("com/hook", "com/hook2", "webhooks.crm: changed: needs a restart"),
        ("  south:", "  east:", "workspace 'south' removed: needs a restart"),
        ("  south:", "  east:", ": workspace 'east' added: needs a restart"),
    ],
)
def test_what_needs_a_restart_says_so(
    good: Good, good_text: str, old: str, new: str, finding: str
) -> None:
    diff = compare(*changed(good, good_text, (old, new)))
    assert any(finding in line for line in diff.restart), diff.restart


def test_a_bad_file_or_one_for_a_restart_is_refused_whole(directory: Path, good_text: str) -> None:
    path = directory / "good.yaml"
    path.write_text(good_text, encoding="utf-8")
    running = load(path)

    path.write_text(good_text.replace("recheck: 5s", "recheck: 5"), encoding="utf-8")
    with pytest.raises(ConfigError, match="without a unit"):
        reload(running, path)

    both = good_text.replace("recheck: 5s", "recheck: 6s").replace("port: 8080", "port: 8081")
    path.write_text(both, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"server\.port: changed: needs a restart"):
        reload(running, path)

    path.write_text(good_text.replace("recheck: 5s", "recheck: 6s"), encoding="utf-8")
    after, diff = reload(running, path)
    assert diff.lines() == ["north: queue 'care' changed"]
    versions = [c.workspaces["north"].policy.version for c in (running, after)]
    assert versions[0] != versions[1]
