"""`contact-router replay`: reads, replays, compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from router import config as configuration
from router.core import events as e
from router.core.model import Agent, AgentId, Presence
from router.core.policy import Policy
from router.core.state import State
from router.errors import ConfigError, RouterError
from router.replay import report
from router.replay.driver import Driver
from router.replay.fates import Fates
from router.replay.people import People
from router.replay.reading import Reader
from router.replay.recording import Recording
from router.replay.stored import Past, open_past

Progress = Callable[[str, float], None]
"""What is being done, and how much of it is (0 to 1)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A replay as asked for."""

    config: Path
    against: Path | None = None
    """The policy that was in force, for the control; None: no control."""
    data: Path | None = None
    workspace: str = ""
    since: str = ""
    """ISO 8601; without a zone UTC. Empty: from the oldest moment kept."""
    until: str = ""
    seed: int = 1


def silent(_what: str, _share: float) -> None:
    """Nobody watches."""


def replay(wanted: Wanted, progress: Progress = silent) -> dict[str, Any]:
    """The comparison, ready for JSON; `report.table` makes it readable.

    Raises ConfigError, NotFound, JournalDamaged, JournalFailed, and RouterError for a span that is
    not in the log.
    """
    config = configuration.load(wanted.config)
    name = _workspace(config, wanted.workspace)
    new = config.workspaces[name].policy
    old = _old_policy(wanted, name) or new
    directory = (wanted.data or Path(config.server.data_dir)).absolute()
    with open_past(directory, name) as past:
        return _replay(past, new, old, wanted, progress)


def _replay(
    past: Past, new: Policy, old: Policy, wanted: Wanted, progress: Progress
) -> dict[str, Any]:
    since_us, until_us = _span(past, wanted)
    happened, recording = Fates(old, since_us), _Read(past, old, progress)
    until_us = min(until_us or recording.found.last_us, recording.found.last_us)
    for _, event in past.events(until_us + 1):
        happened.take(event)
    columns: dict[str, Fates | None] = {"happened": happened, "control": None, "new": None}
    counts: dict[str, dict[str, int]] = {}
    patience = {}
    for column, policy in (("control", old), ("new", new)):
        if column == "control" and wanted.against is None:
            continue
        people = People(recording.found, wanted.seed)
        fates = columns[column] = Fates(policy, since_us)
        driver = Driver(
            recording.found,
            policy,
            people,
            see=fates.take,
            progress=_stepwise(progress, column, since_us, until_us),
        )
        _begin(driver, past, recording, old, since_us, fates)
        driver.run(until_us)
        counts = {"drawn": people.drawn, "dropped": driver.dropped, "refused": driver.refused}
        patience = people.patience.table()
    control, after = columns["control"], columns["new"]
    assert after is not None
    is_unchanged = recording.was(new.version)
    compared = control or (after if is_unchanged else None)
    return {
        "workspace": past.workspace,
        "span": {"from": report.moment(since_us), "until": report.moment(until_us)},
        "start": START_WARM if past.is_trimmed else START_FOLDED,
        "policies": {
            "recorded": [version for _, version in recording.found.versions],
            "against": old.version if wanted.against else None,
            "config": new.version,
        },
        "seed": wanted.seed,
        "columns": {
            name: fates.numbers(until_us) if fates else None for name, fates in columns.items()
        },
        "formulas": report.formulas(),
        "equality": report.equality(happened, compared) if compared else None,
        "moved": {
            "compared_with": "the control" if control else "what happened",
            "contacts": report.moved(control or happened, after),
        },
        "patience": patience,
        **{name: dict(counted) for name, counted in counts.items()},
        "aside": dict(recording.found.aside),
        "notes": _notes(recording, old, wanted),
    }


START_FOLDED = "with everybody and every contact as they stood at the first moment"
START_WARM = (
    "with a warm-up from the oldest moment kept: agents as far as they can be told, "
    "without the contacts that were under way then"
)


class _Read:
    """The recording, and what else one pass over the log tells."""

    def __init__(self, past: Past, old: Policy, progress: Progress) -> None:
        reader = Reader(old)
        self.hints: dict[AgentId, bool] = {}
        """Agents who were there before the log begins: whether they were ready."""
        self._put: dict[AgentId, None] = {}
        whole = max(past.last_seq - past.first_seq, 1)
        for seq, event in past.events():
            reader.take(seq, event)
            if past.is_trimmed:
                self._hint(event)
            if not seq % 5000:
                progress("reading", (seq - past.first_seq) / whole)
        self.found: Recording = reader.finish()

    def was(self, version: str) -> bool:
        """Whether this was the policy all along."""
        seen = {found for _, found in self.found.versions}
        return not seen or seen == {version}

    def _hint(self, event: e.Event) -> None:
        agent: AgentId = getattr(event, "agent", AgentId(""))
        if not agent or agent in self.hints or agent in self._put:
            return
        if isinstance(event, e.AgentPut):
            self._put[agent] = None
        elif isinstance(event, e.PresenceChanged):
            self.hints[agent] = event.presence is not Presence.READY
        elif isinstance(event, (e.ContactOffered, e.OfferAccepted)):
            self.hints[agent] = True


def _begin(
    driver: Driver, past: Past, read: _Read, old: Policy, since_us: int, fates: Fates
) -> None:
    """Bring a driver to the beginning of the span."""
    if past.is_trimmed:
        state = State()
        at_us = past.oldest_us
        for agent in past.agents():
            state.load("agent", _as_then(agent, read.hints.get(agent.id), at_us))
        for row in state.agents.values():
            fates.take(e.AgentPut(at_us=at_us, agent=row.id, order=row.order))
            shown = e.PresenceChanged(at_us=at_us, agent=row.id, presence=row.presence)
            fates.take(shown)
        driver.warm(state, old, at_us)
        return
    before = list(past.events(since_us))
    if before:
        for _, event in before:
            fates.take(event)
        driver.begin(State(), before, old)


def _as_then(agent: Agent, was_ready: bool | None, at_us: int) -> Agent:
    """An agent's row, taken back to the beginning of the log as far as the log tells."""
    presence = agent.presence
    if was_ready is not None:
        presence = Presence.READY if was_ready else Presence.OFFLINE
    return Agent(
        id=agent.id,
        order=agent.order,
        name=agent.name,
        skills=agent.skills,
        profile=agent.profile,
        capacity=agent.capacity,
        maximum=agent.maximum,
        endpoints=agent.endpoints,
        auto_accept=agent.auto_accept,
        presence=presence,
        presence_at_us=at_us,
        idle_since_us=at_us,
        ready_at_us=at_us if presence is Presence.READY else 0,
    )


def _span(past: Past, wanted: Wanted) -> tuple[int, int]:
    """First and last moment; 0 = to the end of the log. Raises RouterError."""
    since_us = _moment(wanted.since, "--from") or past.oldest_us
    until_us = _moment(wanted.until, "--until")
    if past.last_seq < past.first_seq:
        raise RouterError(
            f"workspace {past.workspace!r}: its log is empty, nothing can be replayed"
        )
    if past.is_trimmed and since_us < past.oldest_us:
        raise RouterError(
            f"--from {wanted.since}: this part of the log was trimmed; the oldest moment kept is "
            f"{report.moment(past.oldest_us)}"
        )
    if until_us and until_us <= since_us:
        raise RouterError(f"--until {wanted.until}: expected a moment after {wanted.since}")
    return max(since_us, past.oldest_us), until_us


def _moment(text: str, option: str) -> int:
    if not text:
        return 0
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise RouterError(
            f"{option}: expected a moment such as 2026-03-02T08:00, got {text!r}"
        ) from error
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return round(found.timestamp() * 1_000_000)


def _workspace(config: configuration.Config, asked: str) -> str:
    names = list(config.workspaces)
    if asked and asked not in names:
        raise ConfigError([f"no workspace {asked!r}; there are: {', '.join(names)}"])
    if not asked and len(names) > 1:
        raise ConfigError([f"which workspace? --workspace {' | '.join(names)}"])
    return asked or names[0]


def _old_policy(wanted: Wanted, workspace: str) -> Policy | None:
    if wanted.against is None:
        return None
    config = configuration.load(wanted.against)
    if workspace not in config.workspaces:
        raise ConfigError([f"{wanted.against}: it has no workspace {workspace!r}"])
    return config.workspaces[workspace].policy


def _notes(read: _Read, old: Policy, wanted: Wanted) -> list[str]:
    """What an exact repetition would need and does not have."""
    notes = []
    versions = list(dict.fromkeys(version for _, version in read.found.versions))
    if len(versions) > 1:
        notes.append(
            f"the policy was changed {len(versions) - 1} times in the log; the replay uses one"
        )
    if wanted.against and versions and old.version not in versions:
        notes.append(f"--against is version {old.version}; the log was made by {versions[-1]}")
    if not wanted.against:
        notes.append("no --against: no control, and --config tells what entry points had added")
    return notes


def _stepwise(
    progress: Progress, column: str, since_us: int, until_us: int
) -> Callable[[int], None]:
    whole_us = max(until_us - since_us, 1)
    return lambda at_us: progress(f"replaying: {column}", max(at_us - since_us, 0) / whole_us)


def to_json(result: dict[str, Any]) -> bytes:
    """The whole comparison, indented."""
    return msgspec.json.format(msgspec.json.encode(result), indent=2)
