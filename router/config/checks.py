"""What must hold between settings: everything an engine could not run, or nobody can have meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path as FilePath

from router.config.compile import channel, overnight, step_name
from router.config.contacting import check_contacting
from router.config.convert import Reading
from router.config.forms import DAYS
from router.config.learning import check_learning
from router.config.reader import Path
from router.config.schema import (
    ChannelSettings,
    HoursSettings,
    Instead,
    QueueSettings,
    StepSettings,
    WhenSettings,
    WorkspaceSection,
)
from router.config.secret_files import adapter_files, problem
from router.core.asking import ANSWER_US, QUESTION_NAME
from router.core.model import SECOND_US
from router.core.policy import Channel, Full, default_channels


def check(section: WorkspaceSection, at: Path, reading: Reading, directory: FilePath) -> None:
    """Add a finding for each thing that is wrong; `at` is where the workspace begins."""
    channels = _check_channels(section, at, reading)
    for name, hours in section.hours.items():
        _check_hours(hours, (*at, "hours", name), reading)
    for name, queue in section.queues.items():
        _check_queue(name, queue, (*at, "queues", name), reading)
    _check_circles(section, at, reading)
    _check_entry_points(section, at, reading)
    _check_agents(section, at, reading, channels)
    _check_files(section, at, reading, directory)
    check_contacting(section.contacting, (*at, "contacting"), reading)
    _check_rules(section, at, reading)
    check_learning(section.learning, _dispositions(section), (*at, "learning"), reading)


def _check_channels(section: WorkspaceSection, at: Path, reading: Reading) -> dict[str, Channel]:
    channels = default_channels()
    for name, settings in section.channels.items():
        path = (*at, "channels", name)
        missing = [key for key in ("cost", "maximum") if getattr(settings, key) is None]
        if name in channels or not missing:
            channels[name] = channel(name, settings)
            _check_parking(settings, channels[name], path, reading)
        else:
            # A wrong value has its own finding already; the key stands there.
            for key in missing:
                if (*path, key) not in reading.places:
                    reading.add(path, f"{key!r} is missing: {name} is no built-in channel")
    for name, each in channels.items():
        path = (*at, "channels", name, "cost")
        if each.cost > section.capacity:
            place = path if path in reading.places else (*at, "capacity")
            reading.add(
                place, f"{name} costs {each.cost} units, but an agent has {section.capacity}"
            )
    _check_interrupts(channels, at, reading)
    return channels


def _check_parking(
    settings: ChannelSettings, compiled: Channel, path: Path, reading: Reading
) -> None:
    for key in ("park_after", "close_after"):
        if getattr(settings, key) and not compiled.parks:
            reading.add((*path, key), "needs parks: true")


def _check_interrupts(channels: Mapping[str, Channel], at: Path, reading: Reading) -> None:
    for name, each in channels.items():
        path = (*at, "channels", name, "interrupts")
        seen: list[str] = []
        for index, other in enumerate(each.interrupts):
            if other == name or other in seen:
                reading.add((*path, index), f"{other!r} cannot stand here (itself, or twice)")
            elif other not in channels:
                continue  # it has a finding of its own
            elif name in channels[other].interrupts and path in reading.places:
                reading.add((*path, index), f"{name} and {other} interrupt each other")
            seen.append(other)


def _check_hours(hours: HoursSettings, path: Path, reading: Reading) -> None:
    week: list[list[tuple[int, int]]] = [[] for _ in range(7)]
    for days, times in hours.open.items():
        for start, end in times:
            for span in overnight(days, start, end):
                for weekday in span.days:
                    week[weekday].append((span.start_minute, span.end_minute))
    for weekday, spans in enumerate(week):
        _check_overlap(spans, f"on {DAYS[weekday]}", (*path, "open"), reading)
    if not any(week) and not any(day.open for day in hours.holidays.values()):
        reading.add((*path, "open"), "never opens: give the times of at least one day")
    for date, day in hours.holidays.items():
        place = (*path, "holidays", date)
        if any(end <= start for start, end in day.open):
            reading.add(place, "times of a single date cannot go past midnight")
        _check_overlap(list(day.open), "here", place, reading)


def _check_overlap(spans: list[tuple[int, int]], where: str, path: Path, reading: Reading) -> None:
    ordered = sorted(spans)
    for (_, end), (start, _) in pairwise(ordered):
        if start < end:
            clock = f"{start // 60:02}:{start % 60:02}"
            reading.add(path, f"two times {where} overlap at {clock}")
            return


def _check_queue(name: str, queue: QueueSettings, path: Path, reading: Reading) -> None:
    for key, needs, given in (
        ("on_full", "most_waiting", queue.most_waiting is not None),
        ("on_late", "longest_wait", queue.longest_wait > 0),
        ("on_closed", "hours", bool(queue.hours)),
    ):
        if getattr(queue, key) and not given and (*path, needs) not in reading.places:
            reading.add((*path, key), f"has no effect without {needs}")
    _check_insteads(queue, path, reading)
    if queue.fit_weights and queue.strategy != "best_fit":
        reading.add((*path, "fit_weights"), "has no effect without strategy: best_fit")
    is_listed = queue.dispositions or (*path, "dispositions") in reading.places
    if queue.require_disposition and not is_listed:
        reading.add((*path, "require_disposition"), "has no effect without dispositions")
    for place, disposition in enumerate(queue.dispositions):
        if disposition in queue.dispositions[:place]:
            reading.add((*path, "dispositions", place), f"{disposition!r} is there twice")
    if queue.treatment.text and not queue.treatment.every:
        reading.add((*path, "treatment", "text"), "has no effect without every")
    if queue.treatment.every and not queue.treatment.text:
        reading.add((*path, "treatment", "every"), "has no effect without text")
    if 0 < queue.treatment.every < 1_000_000:
        reading.add((*path, "treatment", "every"), "must be at least 1s")
    _check_placeholders(queue.treatment.text, (*path, "treatment", "text"), reading)
    _check_steps(name, queue, path, reading)


def _insteads(queue: QueueSettings, path: Path, reading: Reading) -> Iterator[Where]:
    """Everything that may happen to a contact, and where it stands: one, or one of a list."""
    for where, insteads in (
        (("on_full",), queue.on_full),
        (("on_late",), queue.on_late),
        (("on_closed",), queue.on_closed),
        (("decline", "exhausted"), queue.decline.exhausted),
    ):
        is_list = (*path, *where, 0) in reading.places
        for index, instead in enumerate(insteads):
            yield (*where, index) if is_list else where, instead


Where = tuple[Path, Instead]


def _check_insteads(queue: QueueSettings, path: Path, reading: Reading) -> None:
    always: Path = ()
    for where, instead in _insteads(queue, path, reading):
        _check_instead(where, instead, (*path, *where), reading)
        if len(where) > 1 and where[:-1] == always:
            reading.add((*path, *where), "is never reached: the one before it has no condition")
        always = where[:-1] if instead.when is None else ()


def _check_instead(where: Path, instead: Instead, path: Path, reading: Reading) -> None:
    if instead.action is Full.OVERFLOW and not instead.queue:
        if (*path, "queue") not in reading.places:
            reading.add(path, "overflow needs a queue: {action: overflow, queue: ...}")
    elif instead.queue and instead.action is not Full.OVERFLOW:
        reading.add((*path, "queue"), f"has no effect with action: {instead.action}")
    if instead.action is Full.QUEUE and where[0] != "on_closed" and instead.when is None:
        reading.add(path, "queue (let it wait) is for on_closed only, or needs a condition")


def _check_placeholders(text: str, path: Path, reading: Reading) -> None:
    for found in re.findall(r"\{[^{}]*\}|[{}]", text):
        if found not in ("{position}", "{wait_minutes}"):
            reading.add(path, f"expected {{position}} or {{wait_minutes}}, got {found!r}")


def _check_steps(name: str, queue: QueueSettings, path: Path, reading: Reading) -> None:
    levels = dict(queue.require)
    names: list[str] = []
    after_us = 0
    ended = False
    for index, step in enumerate(queue.steps):
        place = (*path, "steps", index)
        if step.after < after_us:
            reading.add((*place, "after"), "steps must stand in the order of their times")
        after_us = max(after_us, step.after)
        if ended:
            reading.add(place, "is never reached: the step before it always moves the contact away")
        # With conditions it may be passed over.
        ended = bool(step.overflow or step.deflect) and step.when == WhenSettings()
        if step_name(index + 1, step) in names:
            reading.add((*place, "name"), f"{step_name(index + 1, step)!r} is given twice")
        names.append(step_name(index + 1, step))
        _check_step(name, step, place, reading)
        _check_levels(step, levels, place, reading)


def _check_step(name: str, step: StepSettings, place: Path, reading: Reading) -> None:
    ends = [key for key in ("switch_channel", "overflow", "deflect") if getattr(step, key)]
    if len(ends) > 1:
        reading.add((*place, ends[1]), f"cannot be in one step with {ends[0]}")
    changes = (step.lower, step.drop, step.add, step.add_queues, step.message, step.offer_callback,
        step.ask)  # fmt: skip
    does_something = any(changes) or step.tier is not None or step.head_start is not None
    written = [key for key in ACTIONS if (*place, key) in reading.places]
    if not ends and not does_something and not written:
        reading.add(place, f"does nothing: give one of {', '.join(ACTIONS)}")
    if step.ask is not None:
        if not QUESTION_NAME.fullmatch(step.ask.name):
            reading.add((*place, "ask", "name"), "expected letters, digits and _")
        if not SECOND_US <= step.ask.timeout <= ANSWER_US:
            reading.add((*place, "ask", "timeout"), "expected 1s to 5m")
    for index, other in enumerate(step.add_queues):
        if other == name:
            reading.add((*place, "add_queues", index), "is this queue itself")


ACTIONS = (
    "lower",
    "drop",
    "add",
    "add_queues",
    "tier",
    "head_start",
    "message",
    "offer_callback",
    "ask",
    "switch_channel",
    "overflow",
    "deflect",
)


def _check_levels(
    step: StepSettings, levels: dict[str, int], place: Path, reading: Reading
) -> None:
    """`levels` is what the queue itself asks at this point; contacts may ask for more."""
    for skill, level in step.lower.items():
        if skill in levels and level >= levels[skill]:
            reading.add(
                (*place, "lower", skill), f"expected less than {levels[skill]}, got {level}"
            )
        if skill in levels:
            levels[skill] = min(level, levels[skill])
        if skill in step.drop:
            reading.add((*place, "lower", skill), "the same step drops this skill")
        if skill in step.add:
            reading.add((*place, "lower", skill), "the same step adds this skill")
    for skill in step.drop:
        levels.pop(skill, None)
        if skill in step.add:
            reading.add((*place, "add", skill), "the same step drops this skill")
    for skill, level in step.add.items():
        levels[skill] = max(level, levels.get(skill, 0))


def _check_circles(section: WorkspaceSection, at: Path, reading: Reading) -> None:
    """Overflow goes one way: a contact never comes back to a queue it has left."""
    ways: dict[str, list[tuple[str, Path]]] = {name: [] for name in section.queues}
    for name, queue in section.queues.items():
        path = (*at, "queues", name)
        for where, instead in _insteads(queue, path, reading):
            if instead.action is Full.OVERFLOW and instead.queue in ways:
                ways[name].append((instead.queue, (*path, *where, "queue")))
        for index, step in enumerate(queue.steps):
            if step.overflow in ways:
                ways[name].append((step.overflow, (*path, "steps", index, "overflow")))
    done: dict[str, None] = {}
    for start in ways:
        _walk(start, ways, done, reading)


def _walk(
    start: str, ways: Mapping[str, list[tuple[str, Path]]], done: dict[str, None], reading: Reading
) -> None:
    """Depth first, without recursion: a file may name thousands of queues."""
    line: dict[str, None] = {start: None}
    rest = [iter(ways[start] if start not in done else ())]
    while rest:
        step = next(rest[-1], None)
        if step is None:
            rest.pop()
            done[line.popitem()[0]] = None
            continue
        queue, path = step
        if queue in line:
            reading.add(path, f"overflow goes in a circle: {_circle(line, queue)}")
        elif queue not in done:
            line[queue] = None
            rest.append(iter(ways[queue]))


def _circle(line: dict[str, None], queue: str) -> str:
    """``a -> b -> a``; of a long one the end."""
    names = [queue]
    for name in reversed(line):
        names.append(name)
        if name == queue:
            break
        if len(names) > 8:
            names += ["...", queue]
            break
    return " -> ".join(reversed(names))


def _check_entry_points(section: WorkspaceSection, at: Path, reading: Reading) -> None:
    seen: dict[tuple[str, str], str] = {}
    for name, entry in section.entry_points.items():
        if not entry.address:
            continue
        key = (entry.channel, entry.address)
        if key in seen:
            reading.add(
                (*at, "entry_points", name, "address"),
                f"{entry.channel} {entry.address!r} is entry point {seen[key]!r} already",
            )
        seen.setdefault(key, name)


def _check_agents(
    section: WorkspaceSection, at: Path, reading: Reading, channels: Mapping[str, Channel]
) -> None:
    for name, agent in section.agents.items():
        for key in agent.endpoints:
            if key in channels and not channels[key].media:
                reading.add(
                    (*at, "agents", name, "endpoints", key), f"{key} has no media (media: true)"
                )


def _check_files(
    section: WorkspaceSection, at: Path, reading: Reading, directory: FilePath
) -> None:
    for name, hook in section.webhooks.items():
        wrong = problem(directory / hook.secret_file)
        if wrong:
            reading.add((*at, "webhooks", name, "secret_file"), wrong)
    for name, adapter in section.adapters.items():
        path = (*at, "adapters", name)
        unnamed = not adapter.channel and name not in reading.names["channels"]
        if unnamed and (*path, "channel") not in reading.places:
            reading.add(path, f"'channel' is missing: no channel is called {name!r}")
        for key, wrong in adapter_files(adapter.settings, directory):
            reading.add((*path, *key), wrong)


def _check_rules(section: WorkspaceSection, at: Path, reading: Reading) -> None:
    """Rules and tests are named where they stand in a list: by hand, and so maybe twice."""
    for kind, each in (("rules", section.rules), ("tests", section.tests)):
        seen: dict[str, Path] = {}
        for one in each:
            if one.name in seen:
                line = reading.at(seen[one.name]).line
                reading.add(one.path, f"{one.name!r} is given twice, first in line {line}")
            seen.setdefault(one.name, one.path)
            reading.places[(*at, kind, one.name)] = reading.at(one.path)


def _dispositions(section: WorkspaceSection) -> dict[str, None] | None:
    """All that agents can choose from; None: in some queue any word is taken."""
    queues = section.queues.values()
    if not all(queue.dispositions for queue in queues):
        return None
    return dict.fromkeys(word for queue in queues for word in queue.dispositions)
