"""One rule by itself, read against the settings in force: what a supervisor wants to try."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from router.config.book import RuleCompiler
from router.config.convert import Invalid, Reading, record
from router.config.reader import Findings, Mark, Node, Sequence, read
from router.config.rules import RuleSettings
from router.core.policy import Policy
from router.core.rules.book import Moment, Rule, RuleBook
from router.core.rules.conditions import compile_conditions
from router.core.rules.context import Known
from router.core.rules.place import closest
from router.core.rules.review import findings_of
from router.core.rules.verbs import Schedule, Then, settings_of
from router.errors import ConfigError

_PLAIN_EXPRESSION = re.compile(r"[A-Za-z(][^#\n]*")
_PLAIN_WORD = re.compile(r"[A-Za-z][A-Za-z_]*(-[A-Za-z0-9_]+)*|[0-9]+(ms|s|m|h|d)")
NAME = "rule"
"""Stands for the file's name in messages."""


def read_rule(text: str, policy: Policy) -> Rule:
    """A rule as it is written under ``rules:``, with or without the dash before it.

    Raises ConfigError with everything that is wrong with it, each with line and column.
    """
    wrong = Findings(NAME)
    node = read(text, wrong)
    if node is not None:
        reading = Reading(wrong, _names(policy))
        settings = record(RuleSettings, _alone(node), (), reading)
        if not isinstance(settings, Invalid):
            compiler = RuleCompiler(_known(policy), reading)
            texts = {
                name: (found.source, found.place) for name, found in policy.rules.conditions.items()
            }
            compiler.schema, _, _ = compile_conditions(texts, compiler.schema)
            rule = compiler.rule(settings)
            if rule.on is not Moment.RECEIVED:
                reading.add(("on",), "only rules that are asked on arrival can be tried")
            if not wrong:
                return rule
    raise ConfigError(wrong.lines())


def remarks(policy: Policy, changed: RuleBook, rule: Rule, agents: Iterable[str]) -> list[str]:
    """What can hardly be meant of the rule in its place, and of others because of it.

    Raises ConfigError for what cannot be meant at all.
    """
    found = findings_of(rule, changed, _known(policy))
    wrong = Findings(NAME)
    for each in found:
        if each.is_error:
            wrong.add(Mark(1, 1), (), f"{each.name!r} {each.message}")
    if wrong:
        raise ConfigError(wrong.lines())
    said = [f"{each.name!r} {each.message}" for each in found]
    preferred = rule.then.prefer_agent
    if preferred is not None and preferred.agent and preferred.agent not in (all_ := set(agents)):
        hint = closest(preferred.agent, all_)
        said.append(f"{rule.name!r} prefers {preferred.agent!r}, and there is no such agent{hint}")
    return said


def written(rule: Rule) -> str:
    """The rule as YAML that `read_rule` takes."""
    lines = [f"name: {rule.name}"]
    if rule.on is not Moment.RECEIVED:
        lines.append(f"on: {rule.on}")
    if rule.when is not None:
        lines.append(f"when: {_expression(rule.when.source)}")
    then = settings_of(rule.then)
    if rule.then.schedule is not None:
        then["schedule"] = _schedule(rule.then.schedule)
    lines.append("then:" if then else "then: {}")
    lines += [f"  {verb}: {_value(value)}" for verb, value in then.items()]
    return "\n".join(lines) + "\n"


def _schedule(schedule: Schedule) -> dict[str, Any]:
    """What is not as it would be anyway."""
    usual: dict[str, Any] = settings_of(Then(schedule=Schedule()))["schedule"]
    given: dict[str, Any] = settings_of(Then(schedule=schedule))["schedule"]
    changed = {key: value for key, value in given.items() if value != usual[key]}
    at = schedule.moment.source if schedule.moment is not None else given["at"]
    return {"at": at, **{key: value for key, value in changed.items() if key != "at"}}


def _expression(source: str) -> str:
    """Plain where YAML takes it so, else as a block."""
    source = source.strip()
    if _PLAIN_EXPRESSION.fullmatch(source) and ": " not in source and not source.endswith(":"):
        return source
    return "|-\n" + "\n".join(f"  {line}" for line in source.splitlines())


def _value(value: Any) -> str:
    """JSON, which YAML takes as it is; a word or a length without quotes."""
    if isinstance(value, str) and _PLAIN_WORD.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _alone(node: Node) -> Node:
    """The rule itself, where it was copied from a file with its dash."""
    return node.items[0] if isinstance(node, Sequence) and len(node.items) == 1 else node


def _names(policy: Policy) -> dict[str, dict[str, None]]:
    """What there is, as `Ref` asks for it."""
    return {
        "queues": dict.fromkeys(map(str, policy.queues)),
        "channels": dict.fromkeys(policy.channels),
        "templates": dict.fromkeys(policy.templates),
    }


def _known(policy: Policy) -> Known:
    zones = {name: hours.zone for name, hours in policy.hours.items()}
    return Known(
        queues={str(name): zones.get(each.hours, "UTC") for name, each in policy.queues.items()},
        channels=tuple(policy.channels),
        segments=tuple(segment.name for segment in policy.rules.segments),
        entry_points=tuple(policy.entry_points),
        templates=tuple(policy.templates),
    )
