"""A reload is a difference: what changed, in words, and what only a restart can change.

A file that is wrong, or that asks for what needs a restart, changes nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, NamedTuple

import msgspec

from router.config.document import Config, WorkspaceSettings, load
from router.config.reader import dotted
from router.core.policy import Policy
from router.core.rules.book import Rule, RuleBook, Segment
from router.core.rules.cases import RuleTest
from router.errors import ConfigError


class Change(NamedTuple):
    """One thing that is not as it was."""

    workspace: str
    kind: str
    """``queue``, ``entry point``, ``hours``, ``profile``, ``channel``, ``condition``, ``segment``,
    ``rule``, ``template``, ``setting``, ``test`` or ``agent``."""
    id: str
    what: str
    """``added``, ``removed``, ``changed``, or for agents ``ignored``."""


@dataclass(frozen=True, slots=True)
class Diff:
    """From one configuration to the next."""

    changes: tuple[Change, ...]
    restart: tuple[str, ...]
    """One line for each difference that only a restart can bring, with file:line:column."""

    def touched(self) -> list[str]:
        """The workspaces whose policy is another one now."""
        names = {
            change.workspace: None
            for change in self.changes
            if change.what != "ignored" and change.kind != "test"
        }
        return list(names)

    def lines(self) -> list[str]:
        """In words, for the log and for whoever asked."""
        lines = []
        for change in self.changes:
            text = f"{change.workspace}: {change.kind} {change.id!r} {change.what}"
            if change.what == "ignored":
                text += ": agents belong to the API, the file made them at the first start only"
            lines.append(text)
        return lines or ["nothing changed"]


def reload(old: Config, path: FilePath) -> tuple[Config, Diff]:
    """The file as it is now. Raises ConfigError if it is wrong or asks for a restart."""
    new = load(path)
    diff = compare(old, new)
    if diff.restart:
        raise ConfigError(list(diff.restart))
    return new, diff


def compare(old: Config, new: Config) -> Diff:
    """Everything that differs."""
    restart = [_restart(new, path) for path in _differing(old.server, new.server, ("server",))]
    for name in {**old.workspaces, **new.workspaces}:
        if name not in new.workspaces:
            restart.append(
                f"{new.where('workspaces')}: workspace {name!r} removed: needs a restart"
            )
        elif name not in old.workspaces:
            place = new.where("workspaces", name)
            restart.append(f"{place}: workspace {name!r} added: needs a restart")
    changes: list[Change] = []
    for name, before in old.workspaces.items():
        if name in new.workspaces:
            after = new.workspaces[name]
            changes += _policy_changes(name, before.policy, after.policy)
            changes += _rule_changes(name, before.policy.rules, after.policy.rules)
            tests = _named(_by_name(before.tests), _by_name(after.tests))
            changes += [Change(name, "test", test, what) for test, what in tests]
            changes += [Change(name, "agent", agent, "ignored") for agent in _agents(before, after)]
            for section in ("adapters", "webhooks"):
                differing = _named(getattr(before, section), getattr(after, section))
                for id_, _ in differing:
                    restart.append(_restart(new, (*new.root(name), section, id_)))
    return Diff(tuple(changes), tuple(restart))


def _restart(new: Config, path: tuple[str | int, ...]) -> str:
    return f"{new.where(*path)}: {dotted(path)}: changed: needs a restart"


def _differing(old: Any, new: Any, path: tuple[str | int, ...]) -> list[tuple[str | int, ...]]:
    """The paths of all settings that differ between two records."""
    if isinstance(old, msgspec.Struct) and type(old) is type(new):
        found = []
        for name in old.__struct_fields__:
            found += _differing(getattr(old, name), getattr(new, name), (*path, name))
        return found
    return [] if old == new else [path]


def _policy_changes(workspace: str, old: Policy, new: Policy) -> list[Change]:
    changes: list[Change] = []
    for section, kind in _SECTIONS.items():
        for id_, what in _named(getattr(old, section), getattr(new, section)):
            changes.append(Change(workspace, kind, id_, what))
    changes += [
        Change(workspace, "setting", name, "changed")
        for name in old.__struct_fields__
        if name not in (*_SECTIONS, "rules", "version") and getattr(old, name) != getattr(new, name)
    ]
    return changes


_SECTIONS = {
    "channels": "channel",
    "hours": "hours",
    "queues": "queue",
    "entry_points": "entry point",
    "profiles": "profile",
    "templates": "template",
}


def _rule_changes(workspace: str, old: RuleBook, new: RuleBook) -> list[Change]:
    """By name, and whether those that stayed stand in another order."""
    changes = [
        Change(workspace, "condition", name, what)
        for name, what in _named(old.conditions, new.conditions)
    ]
    for kind, before, after in (
        ("segment", _by_name(old.segments), _by_name(new.segments)),
        ("rule", _by_name(old.rules), _by_name(new.rules)),
    ):
        changes += [Change(workspace, kind, name, what) for name, what in _named(before, after)]
        if [name for name in before if name in after] != [name for name in after if name in before]:
            changes.append(Change(workspace, "setting", f"order of {kind}s", "changed"))
    if old.match is not new.match:
        changes.append(Change(workspace, "setting", "rule_match", "changed"))
    return changes


def _by_name(things: Iterable[Rule | Segment | RuleTest]) -> dict[str, Rule | Segment | RuleTest]:
    """Wherever they stand: a comment above a rule does not change it."""
    return {thing.name: msgspec.structs.replace(thing, place="") for thing in things}


def _named(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for name in {**old, **new}:
        if name not in new:
            found.append((name, "removed"))
        elif name not in old:
            found.append((name, "added"))
        elif old[name] != new[name]:
            found.append((name, "changed"))
    return found


def _agents(old: WorkspaceSettings, new: WorkspaceSettings) -> list[str]:
    before = {agent.id: agent for agent in old.agents}
    after = {agent.id: agent for agent in new.agents}
    return [name for name, _ in _named(before, after)]
