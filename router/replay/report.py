"""Columns side by side: what happened, the old policy again, the new one; and who moved."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from router.core.model import SECOND_US, ContactId
from router.core.tallies import FORMULAS
from router.replay.fates import Fate, Fates

MOVED_WAIT_US = 10 * SECOND_US
"""A wait that differs by more is another wait."""
SHOWN = (
    ("received", "received", "{:d}"),
    ("answered", "answered", "{:d}"),
    ("service_level", "service level", "{:.1%}"),
    ("wait_mean_s", "wait, mean", "{:.1f} s"),
    ("wait_p50_s", "wait, half up to", "{:.1f} s"),
    ("wait_p90_s", "wait, 90 % up to", "{:.1f} s"),
    ("wait_p99_s", "wait, 99 % up to", "{:.1f} s"),
    ("abandoned", "abandoned", "{:d}"),
    ("abandon_rate", "abandon rate", "{:.1%}"),
    ("deflected", "deflected", "{:d}"),
    ("overflowed", "overflowed", "{:d}"),
    ("offers", "offers", "{:d}"),
    ("missed", "missed (RONA)", "{:d}"),
)
STATED = ("service_level", "abandon_rate", "rona_rate", "occupancy", "received")


def moved(before: Fates, after: Fates) -> list[dict[str, Any]]:
    """Contacts whose fate differs: queue, agent, outcome, or wait by more than `MOVED_WAIT_US`."""
    found = []
    for id_ in dict.fromkeys((*before.contacts, *after.contacts)):
        was, now = before.contacts.get(id_), after.contacts.get(id_)
        changes = _changes(was, now)
        if changes and not (was or now).consult:  # type: ignore[union-attr]
            found.append(_move(id_, was, now, changes))
    return found


def _changes(was: Fate | None, now: Fate | None) -> list[str]:
    if was is None or now is None:
        return ["exists"]
    changes = [
        name for name in ("queue", "agent", "outcome") if getattr(was, name) != getattr(now, name)
    ]
    if abs((was.wait_us or 0) - (now.wait_us or 0)) > MOVED_WAIT_US:
        changes.append("wait")
    return changes


def _move(id_: ContactId, was: Fate | None, now: Fate | None, changes: list[str]) -> dict[str, Any]:
    known = was or now
    assert known is not None
    return {
        "contact": id_,
        "arrived": moment(known.arrived_us),
        "channel": known.channel,
        "changed": changes,
        "before": was.shown() if was else None,
        "after": now.shown() if now else None,
    }


def equality(happened: Fates, control: Fates) -> dict[str, Any]:
    """Contact by contact, every event at the same microsecond with the same agent, or not."""
    ids = [id_ for id_, fate in happened.contacts.items() if not fate.consult]
    differing = []
    for id_ in ids:
        again = control.contacts.get(id_)
        if again is None or again.digest.digest() != happened.contacts[id_].digest.digest():
            differing.append(id_)
    extra = [id_ for id_ in control.contacts if id_ not in happened.contacts]
    return {
        "contacts": len(ids),
        "equal": len(ids) - len(differing),
        "differing": differing[:100],
        "only_in_replay": extra[:100],
    }


def formulas() -> dict[str, str]:
    """What the shown measures mean."""
    return {name: FORMULAS[name] for name in STATED}


def moment(at_us: int) -> str:
    """A moment as people write it, UTC."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="milliseconds")


def table(result: dict[str, Any], most: int) -> list[str]:
    """The report for people, as lines."""
    columns: dict[str, dict[str, Any]] = {
        name: column for name, column in result["columns"].items() if column is not None
    }
    lines = _head(result)
    lines += _block("all", {name: column["all"] for name, column in columns.items()})
    for key in _places(columns):
        rows = {
            name: column["queues"].get(key[0], {}).get(key[1]) for name, column in columns.items()
        }
        target_s = next(row["target_s"] for row in rows.values() if row)
        lines += _block(f"{key[0]} / {key[1]}, T = {target_s:g} s", rows)
    lines.append("")
    lines.append(_line("occupancy", {n: c["occupancy"] for n, c in columns.items()}, "{:.1%}"))
    for outcome in sorted({o for column in columns.values() for o in column["outcomes"]}):
        counts = {name: column["outcomes"].get(outcome, 0) for name, column in columns.items()}
        lines.append(_line(f"contacts {outcome}", counts, "{:d}"))
    lines.append("")
    lines += [f"{name}: {text}" for name, text in result["formulas"].items()]
    return [*lines, "", *_moves(result, most), "", *_limits(result)]


def _head(result: dict[str, Any]) -> list[str]:
    span = result["span"]
    return [
        f"workspace {result['workspace']}, {span['from']} to {span['until']}",
        f"begins: {result['start']}",
    ]


def _places(columns: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    places = {
        (queue, channel): None
        for column in columns.values()
        for queue, channels in column["queues"].items()
        for channel in channels
    }
    return sorted(places)


def _block(title: str, rows: dict[str, dict[str, Any] | None]) -> list[str]:
    lines = ["", f"{title:<24}" + "".join(f"{name:>16}" for name in rows)]
    for key, label, form in SHOWN:
        values = {name: row[key] if row else None for name, row in rows.items()}
        if any(value for value in values.values()):
            lines.append(_line(label, values, form))
    return lines


def _line(label: str, values: dict[str, Any], form: str) -> str:
    cells = ("-" if value is None else form.format(value) for value in values.values())
    return f"  {label:<22}" + "".join(f"{cell:>16}" for cell in cells)


def _moves(result: dict[str, Any], most: int) -> list[str]:
    found = result["moved"]["contacts"]
    kinds = Counter(change for move in found for change in move["changed"])
    told = ", ".join(f"{count} {name}" for name, count in sorted(kinds.items())) or "none"
    lines = [
        f"moved: {len(found)} contacts ({told}); a wait counts from {MOVED_WAIT_US / 1e6:g} s on, "
        f"compared with {result['moved']['compared_with']}"
    ]
    for move in found[:most]:
        lines.append(f"  {move['contact']}  {move['arrived']}  {move['channel']}")
        lines.append(f"    before  {_told(move['before'])}")
        lines.append(f"    after   {_told(move['after'])}")
    if len(found) > most:
        lines.append(f"  ... and {len(found) - most} more (--moved N, --json FILE)")
    return lines


def _told(fate: dict[str, Any] | None) -> str:
    if fate is None:
        return "did not arise"
    wait = "-" if fate["wait_s"] is None else f"{fate['wait_s']:.1f} s"
    return f"{fate['queue']} {fate['agent'] or '-'} {wait} {fate['outcome']} ({fate['why']})"


def _limits(result: dict[str, Any]) -> list[str]:
    lines = []
    same = result["equality"]
    if same is not None:
        lines.append(
            f"the unchanged policy repeats {same['equal']} of {same['contacts']} contacts exactly, "
            "every event at its microsecond"
        )
    lines += [f"note: {text}" for text in result["notes"]]
    for name in ("drawn", "dropped", "refused", "aside"):
        for what, count in sorted(result[name].items()):
            lines.append(f"{name}: {count} {what}")
    return lines
