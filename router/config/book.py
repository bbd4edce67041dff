"""From the file's rules, segments and conditions to the rule book, and what its tests say of it.

Every expression is compiled once, here; `compile.py` takes those of queues from the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from router.config.convert import Reading
from router.config.expressions import Expressions, Source
from router.config.reader import Path, Unknown, dotted
from router.config.rules import (
    PreferAgentSettings,
    RuleSettings,
    RuleTestSettings,
    ScheduleSettings,
    SegmentSettings,
    ThenSettings,
)
from router.config.schema import WorkspaceSection
from router.core.rules.book import Rule, RuleBook, Segment
from router.core.rules.cases import Result, RuleTest, run_tests
from router.core.rules.compile import Expression
from router.core.rules.context import Known, schema
from router.core.rules.review import findings
from router.core.rules.schema import Schema
from router.core.rules.types import TIMESTAMP, is_json
from router.core.rules.verbs import (
    VERBS,
    At,
    Experiment,
    Mode,
    PreferAgent,
    Schedule,
    SegmentStrategy,
    Then,
)
from router.core.skills import signature

VERDICTS_MAX = 40
"""Lines of verdicts under a failed test."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The rule book of a workspace, and the expressions of its queues."""

    book: RuleBook
    expressions: Expressions
    known: Known
    tests: tuple[RuleTest, ...] = ()
    warnings: list[str] = field(default_factory=list)
    """What can hardly be meant, each with its place."""


def compile_book(section: WorkspaceSection, at: Path, reading: Reading) -> Compiled:
    """Compile all expressions and run the tests; a finding for each thing that is wrong."""
    compiler = _Compiler(section, at, reading)
    compiler.conditions()
    segments = tuple(compiler.segment(name, each) for name, each in section.segments.items())
    rules = tuple(compiler.rule(each) for each in section.rules)
    compiler.queues()
    tests = tuple(
        RuleTest(
            name=each.name,
            given=each.given,
            expect=each.expect,
            place=compiler.line(each.path),
        )
        for each in section.tests
    )
    book = RuleBook(
        match=section.rule_match, segments=segments, rules=rules, conditions=compiler.named
    )
    compiled = Compiled(book, compiler.expressions, compiler.known, tests, compiler.warnings)
    if not reading.findings:
        compiler.review(book)
        compiler.agents()
    if not reading.findings:
        _run(compiled, section.tests, reading)
    return compiled


def known_names(section: WorkspaceSection, reading: Reading) -> Known:
    """What expressions may name, wrong or not: one error shall not make others."""
    zones = {name: hours.zone for name, hours in section.hours.items()}
    return Known(
        queues={
            name: zones.get(section.queues[name].hours, "UTC") if name in section.queues else "UTC"
            for name in reading.names["queues"]
        },
        channels=tuple(reading.names["channels"]),
        segments=tuple(reading.names["segments"]),
        entry_points=tuple(reading.names["entry_points"]),
        templates=tuple(reading.names["templates"]),
    )


class RuleCompiler:
    """From the settings of rules to rules; findings and warnings say what is wrong."""

    def __init__(self, known: Known, reading: Reading) -> None:
        self._reading = reading
        self.known = known
        self.expressions = Expressions(reading)
        self.schema = schema(known)
        self.warnings: list[str] = []

    def line(self, path: Path) -> str:
        """``file:line``."""
        return f"{self._reading.findings.name}:{self._reading.at(path).line}"

    def rule(self, settings: RuleSettings) -> Rule:
        """A rule."""
        return Rule(
            name=settings.name,
            on=settings.on,
            when=self._expression(settings.when, self.schema),
            then=self._then(settings.then, (*settings.path, "then")),
            place=self.line(settings.path),
        )

    def _expression(self, source: Source | None, names: Schema) -> Expression | None:
        return self.expressions.add(source, names) if source is not None else None

    # --- verbs --------------------------------------------------------------------------------

    def _then(self, settings: ThenSettings, path: Path) -> Then:
        names: list[str] = []
        for index, each in enumerate(settings.experiment):
            if each.name in names:
                self._reading.add((*path, "experiment", index), f"{each.name!r} is given twice")
            names.append(each.name)
        self._check_prefer(settings.prefer_agent, (*path, "prefer_agent"))
        return Then(
            queue=settings.queue,
            require=signature(settings.require),
            prefer_agent=_prefer_agent(settings.prefer_agent),
            tier=settings.tier,
            head_start_us=settings.head_start,
            set=dict(self._attributes(settings.set)),
            schedule=self._schedule(settings, path),
            switch_channel=settings.switch_channel,
            callback=settings.callback,
            message=settings.message,
            watch=settings.watch,
            deflect=settings.deflect,
            reject=settings.reject,
            experiment=tuple(
                # An arm's place decides who is in it: it shall not depend on the order of the keys.
                Experiment(name=each.name, arms=dict(sorted(each.arms.items())))
                for each in settings.experiment
            ),
        )

    def _attributes(self, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, value in given.items():
            if not isinstance(value, Source):
                yield name, value
                continue
            made = self.expressions.add(value, self.schema, expects=None)
            if made is None:
                continue
            if not is_json(made.type):
                message = f"expected a value for an attribute (text, number ...), got {made.type}"
                self._reading.add(value.path, message)
            yield name, made

    def _schedule(self, then: ThenSettings, path: Path) -> Schedule | None:
        settings = then.schedule
        beside = [key for key in ("mode", "template") if getattr(then, key)]
        if settings is None:
            for key in beside:
                self._reading.add((*path, key), "has no effect without schedule")
            return None
        for key in beside:
            if getattr(settings, key):
                self._reading.add((*path, key), f"schedule has a {key} already")
        return _schedule(settings, then, self._moment(settings.at))

    def _moment(self, at: At | Source) -> Expression | None:
        return self.expressions.add(at, self.schema, TIMESTAMP) if isinstance(at, Source) else None

    def _check_prefer(self, settings: PreferAgentSettings | None, path: Path) -> None:
        if settings is None:
            return
        of_last = settings.last is not None
        of_agent = bool(settings.agent) and settings.for_ is not None
        both = of_last and bool(settings.agent or settings.for_)
        # A wrong length has its own finding already; the key stands there.
        is_told = any(
            (*path, key) in self._reading.places and value is None
            for key, value in (("last", settings.last), ("for", settings.for_))
        )
        if (of_last is of_agent or both) and not is_told:
            self._reading.add(path, "expected {last: 30s} or {agent: ana, for: 30s}")

    def _warn(self, path: Path, message: str) -> None:
        mark = self._reading.at(path)
        name = self._reading.findings.name
        self.warnings.append(f"{name}:{mark.line}:{mark.column}: {dotted(path)}: {message}")


class _Compiler(RuleCompiler):
    """One reading of one workspace."""

    def __init__(self, section: WorkspaceSection, at: Path, reading: Reading) -> None:
        super().__init__(known_names(section, reading), reading)
        self._section = section
        self._at = at
        self.named: dict[str, Expression] = {}

    def conditions(self) -> None:
        """Named conditions, which all other expressions may use."""
        path = (*self._at, "conditions")
        self.schema, self.named = self.expressions.add_conditions(
            path, self._section.conditions, self.schema
        )

    def segment(self, name: str, settings: SegmentSettings) -> Segment:
        """A segment."""
        hidden = self.schema.hiding("segment", "it is what is decided here")
        strategy = settings.strategy
        then = Then(
            head_start_us=strategy.head_start,
            tier=strategy.tier,
            watch=strategy.watch,
            require=signature(strategy.require),
            prefer_agent=_prefer_agent(strategy.prefer_agent),
        )
        path = (*self._at, "segments", name)
        self._check_prefer(strategy.prefer_agent, (*path, "strategy", "prefer_agent"))
        return Segment(
            name=name,
            when=self._expression(settings.when, hidden),
            strategy=SegmentStrategy(
                then=then, channels=strategy.channels, explore=strategy.explore
            ),
            place=self.line(path),
        )

    def queues(self) -> None:
        """Conditions of relaxation steps and limits."""
        for queue in self._section.queues.values():
            for step in queue.steps:
                if isinstance(step.when, Source):
                    self._expression(step.when, self.schema)
            for limits in (queue.on_full, queue.on_late, queue.on_closed, queue.decline.exhausted):
                for limit in limits:
                    self._expression(limit.when, self.schema)

    # --- what can be said of the whole ----------------------------------------------------------

    def review(self, book: RuleBook) -> None:
        """Rules that exclude themselves, and those that nobody reaches."""
        paths: dict[tuple[str, str], Path] = {
            **{
                (each.place, each.name): (*self._at, "segments", each.name)
                for each in book.segments
            },
            **{
                (rule.place, rule.name): settings.path
                for rule, settings in zip(book.rules, self._section.rules, strict=True)
            },
        }
        for found in findings(book, self.known):
            path = paths[found.place, found.name]
            message = f"{found.name!r} {found.message}"
            if found.is_error:
                self._reading.add(path, message)
            else:
                self._warn(path, message)
        for name, queue in self._section.queues.items():
            for index, step in enumerate(queue.steps):
                when = self.expressions.get(step.when if isinstance(step.when, Source) else None)
                if when is not None and when.constant is False:
                    path = (*self._at, "queues", name, "steps", index, "when")
                    self._warn(path, "never holds: this step is never done")

    def agents(self) -> None:
        """Agents that rules name, and the file does not make."""
        known = self._reading.names["agents"]
        for path, settings in self._preferred():
            if settings.agent and known and settings.agent not in known:
                error = Unknown(
                    f"no agent {settings.agent!r} is made by this file", settings.agent, known
                )
                hint = self._reading.findings.hint(error)
                self._warn((*path, "agent"), f"{error}{hint}")

    def _preferred(self) -> Iterator[tuple[Path, PreferAgentSettings]]:
        for name, segment in self._section.segments.items():
            if segment.strategy.prefer_agent is not None:
                path = (*self._at, "segments", name, "strategy", "prefer_agent")
                yield path, segment.strategy.prefer_agent
        for rule in self._section.rules:
            if rule.then.prefer_agent is not None:
                yield (*rule.path, "then", "prefer_agent"), rule.then.prefer_agent


def _prefer_agent(settings: PreferAgentSettings | None) -> PreferAgent | None:
    if settings is None:
        return None
    length_us = settings.for_ if settings.agent else settings.last
    return PreferAgent(agent=settings.agent, for_us=length_us or 0)


def _schedule(
    settings: ScheduleSettings, then: ThenSettings, moment: Expression | None
) -> Schedule:
    return Schedule(
        at=settings.at if isinstance(settings.at, At) else At.MOMENT,
        moment=moment,
        mode=settings.mode or then.mode or Mode.AGENT_FIRST,
        template=settings.template or then.template,
        purpose=settings.purpose,
        within_us=settings.within,
        latest_us=settings.latest,
        give_up=settings.give_up,
        explore=settings.explore,
    )


def anywhere(book: RuleBook) -> RuleBook:
    """The same book wherever it stands in its file."""
    return replace(
        book,
        rules=tuple(replace(rule, place="") for rule in book.rules),
        segments=tuple(replace(segment, place="") for segment in book.segments),
    )


# --- tests of the file ----------------------------------------------------------------------------


def _run(compiled: Compiled, tests: tuple[RuleTestSettings, ...], reading: Reading) -> None:
    """A file that is not as its own tests say is not taken."""
    results = run_tests(compiled.book, compiled.known, compiled.tests)
    for settings, result in zip(tests, results, strict=True):
        for index, failure in enumerate(result.failures):
            is_last = index == len(result.failures) - 1
            shown = _verdicts(result) if is_last else ""
            path = _path_of(settings.path, failure)
            reading.add(path, f"{settings.name!r}: {failure}{shown}")


def _path_of(path: Path, failure: str) -> Path:
    """Where the expectation stands that a failure is about."""
    words = failure.split(" ", 2)
    if words[0] == "expected" and len(words) > 1:
        name = words[1].split(".")[0]
        if name in ("segment", "rules", *VERBS.values()):
            return (*path, "expect", name)
    return (*path, "given" if failure.startswith("given:") else "expect")


def _verdicts(result: Result) -> str:
    lines = [line for line in result.verdicts if not line.endswith(": not looked at")]
    if len(lines) > VERDICTS_MAX:
        lines[VERDICTS_MAX:] = [f"... and {len(lines) - VERDICTS_MAX} more lines"]
    return "".join(f"\n    {line}" for line in lines)
