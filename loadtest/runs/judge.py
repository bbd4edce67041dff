"""Figures of a run by name, and whether what the profile expects of them came true."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from loadtest.lines.compare import OF_CHANNEL
from loadtest.runs.allocations import LEAST_SERVED
from loadtest.runs.conduct import Outcome
from loadtest.runs.measures import LEGS, REAL_LEGS
from loadtest.runs.profile import CHANNEL, Phase, Profile, ProfileError

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
OTHER_LEGS = (*REAL_LEGS, "probe", "lag", "client_lag")
SETTLED_S = 0.25
"""A second is calm when nothing was shed in it and the p99 of submits was below this."""
OF_PHASE = {
    "due_per_s": "contacts that were due, a second",
    "taken_per_s": "acknowledged, a second",
    "served_per_s": "goodput: served to their end, a second",
    "shed_share": "refused with 503, of those due",
    "goodput_share": "goodput against the peak of the closed loop",
    "served_per_cpu_s": "goodput for each second of processor that the server got",
    "cpu_goodput_share": "that, against the closed loop: forgives a machine that is busy",
    "settled_s": "seconds until the phase was calm and stayed so",
}
OF_RUN = {
    "audit_faults": "contradictions on the event stream: lost, doubled, over capacity",
    "unanswered": "requests without an answer at the end",
    "desk_shed": "accepts, completions and other desk commands refused for load: must be none",
    "shed": "submissions refused for load",
    "wrong_answers": "answers that no load explains (4xx, 5xx)",
    "lost_connections": "requests whose connection broke",
    "desks_lost": "desks that the server cut",
    "client_errors": "errors of the robots themselves",
    "due": "contacts that were due",
    "served": "contacts served to their end",
    "served_share": "served, of those taken that did not give up",
    "gave_up_share": "customers who gave up, of those taken",
    "live_at_end": "contacts that nobody served in the time that was given",
    "drained_s": "seconds from the last phase until nobody was left",
    "loop_lag_ms": "worst lag that the server's own gauge showed, sampled each second",
    "peak_per_s": "served a second in the closed loop",
    "cpu_us_per_contact": "processor time of the server for each contact served, in all",
    "allocations_per_contact": "allocations of the server for each contact served, in a day of "
    "their own (see docs/capacity.md)",
    "allocated_kb_per_contact": "what they asked for, in kilobytes",
    "starved_share": "part of the time that the machine let the server wait for a processor",
    "cpu_share": "processor time of the server against the time of the day: 1 = one core",
    "rss_mb": "most memory of the server",
    "rss_grown_mb": "memory that was added in the second half (medians of a tenth of the day each)",
    "files_grown": "open descriptors added in the second half",
    "threads_grown": "threads added in the second half",
    "tasks_grown": "tasks of the event loop added in the second half",
    "timers_grown": "deadlines of the engine added in the second half, of those per live contact",
    "commit_ms": "mean commit",
    "bare_post_per_s": "ceiling: bare aiohttp handlers, requests a second",
    "bare_post_us": "ceiling: processor time of one",
    "bare_socket_per_s": "ceiling: bare WebSocket, frames a second",
    "bare_socket_us": "ceiling: processor time of one",
    "bare_sync_ms": "ceiling: 4 KiB written and synced, median",
    "bare_life_us": "ceiling: a request and two frames, the least of a contact's life",
    "ceiling_share": "processor time of that least, of what a served contact took in all",
    "commit_syncs": "mean commit, in bare syncs",
}


@dataclass
class Verdict:
    """One expectation."""

    name: str
    value: float | None
    least: float | None
    most: float | None

    @property
    def passed(self) -> bool:
        """Held; a figure that is not there did not."""
        if self.value is None:
            return False
        return (self.least is None or self.value >= self.least) and (
            self.most is None or self.value <= self.most
        )

    @property
    def bound(self) -> str:
        """In words."""
        parts = [f">= {self.least:g}"] if self.least is not None else []
        parts += [f"<= {self.most:g}"] if self.most is not None else []
        return " and ".join(parts)


def names(profile: Profile) -> set[str]:
    """All figures that a run of this profile can have."""
    legs = {f"{leg}_{at}_ms" for leg in (*LEGS, *OTHER_LEGS) for at in SHARES}
    found = legs | set(OF_RUN)
    for phase in profile.phases:
        found |= {f"{phase.name}: {name}" for name in (*legs, *OF_PHASE)}
    for over in profile.lines:
        found |= {f"{CHANNEL[over]}: {name}" for name in OF_CHANNEL}
    return found


def check(profile: Profile) -> None:
    """Raises ProfileError if something is expected of a figure that does not exist."""
    unknown = sorted(set(profile.expect) - names(profile))
    if unknown:
        known = ", ".join((*OF_RUN, "LEG_p99_ms", "PHASE: served_per_s"))
        raise ProfileError(f"expect: no figure is called {unknown[0]!r}; there are {known} ...")


def seconds_of(profile: Profile) -> dict[str, range]:
    """The whole seconds of each phase."""
    found, began_s = {}, 0.0
    for phase in profile.phases:
        found[phase.name] = range(round(began_s), max(round(began_s) + 1, _end(began_s, phase)))
        began_s += phase.seconds
    return found


def figures(outcome: Outcome) -> dict[str, float]:
    """All that are there, by name."""
    profile, measures = outcome.profile, outcome.measures
    places = seconds_of(profile)
    measured = [s for phase in profile.phases if phase.measured for s in places[phase.name]]
    found = {
        "audit_faults": float(sum(len(one.wrong) for one in outcome.audits.values())),
        "unanswered": float(outcome.unanswered),
        "peak_per_s": outcome.peak_per_s,
        "drained_s": outcome.drained_s,
        "live_at_end": float(sum(one.live for one in outcome.audits.values())),
        **_totals(outcome),
        **_process(outcome),
        **outcome.ceilings,
        **outcome.channels,
    }
    if outcome.ceilings and found.get("cpu_us_per_contact"):
        found["ceiling_share"] = found["bare_life_us"] / found["cpu_us_per_contact"]
        found["commit_syncs"] = found["commit_ms"] / max(1e-6, found["bare_sync_ms"])
    for leg in (*LEGS, *OTHER_LEGS):
        found |= _percentiles(outcome, leg, "", measured)
    for phase in profile.phases:
        place, seconds = f"{phase.name}: ", places[phase.name]
        due = measures.total("due", seconds)
        served = measures.total("served", seconds) / len(seconds)
        found[f"{place}due_per_s"] = due / len(seconds)
        found[f"{place}taken_per_s"] = measures.total("taken", seconds) / len(seconds)
        found[f"{place}served_per_s"] = served
        found[f"{place}shed_share"] = measures.total("shed", seconds) / due if due else 0.0
        if outcome.peak_per_s:
            found[f"{place}goodput_share"] = served / outcome.peak_per_s
        per_cpu_s = _per_cpu(outcome, seconds)
        if per_cpu_s:
            found[f"{place}served_per_cpu_s"] = per_cpu_s
        if per_cpu_s and outcome.peak_per_cpu_s:
            found[f"{place}cpu_goodput_share"] = per_cpu_s / outcome.peak_per_cpu_s
        found[f"{place}settled_s"] = _settled(outcome, seconds)
        for leg in (*LEGS, *OTHER_LEGS):
            found |= _percentiles(outcome, leg, place, list(seconds))
    return found


def judge(profile: Profile, found: dict[str, float], left_out: Iterable[str] = ()) -> list[Verdict]:
    """What was expected, and what came of it; of channels that were left out nothing is."""
    gone = [CHANNEL[over] for over in left_out]
    return [
        Verdict(name, found.get(name), expected.least, expected.most)
        for name, expected in profile.expect.items()
        if not any(name.startswith(f"{c}: ") or f".{c}_" in name for c in gone)
    ]


def _totals(outcome: Outcome) -> dict[str, float]:
    measures = outcome.measures
    taken, gave_up = measures.total("taken"), measures.total("gave_up")
    served = sum(one.outcomes.get("completed", 0) for one in outcome.audits.values())
    wrong = sum(
        measures.total(name)
        for name in measures.counts
        if name.startswith(
            ("refused.", "abandon_refused", "message_refused", "put_through_refused")
        )
        or name in {"desk_refused.invalid", "desk_refused.internal", "desk_refused.forbidden"}
    )
    return {
        "desk_shed": float(measures.total("desk_refused.overloaded")),
        "shed": float(measures.total("shed")),
        "wrong_answers": float(wrong),
        "lost_connections": float(measures.total("lost_connection")),
        "desks_lost": float(measures.total("desk_lost")),
        "client_errors": float(measures.total("client_errors")),
        "due": float(measures.total("due")),
        "served": float(served),
        "served_share": min(1.0, served / max(1, taken - gave_up)),
        "gave_up_share": gave_up / max(1, taken),
    }


def _process(outcome: Outcome) -> dict[str, float]:
    samples = outcome.samples
    if len(samples) < 2:
        return {}
    grown = {f"{name}_grown": _grown(outcome, name) for name in ("files", "threads", "tasks")}
    first, last = samples[0], samples[-1]
    cpu_s = last.cpu_s - first.cpu_s
    commits = last.commits - first.commits
    served = outcome.measures.total("served")
    return {
        "loop_lag_ms": max(sample.loop_lag_s for sample in samples) * 1e3,
        "cpu_us_per_contact": cpu_s / max(1, served) * 1e6,
        "starved_share": (last.starved_s - first.starved_s) / (last.at_s - first.at_s),
        "cpu_share": cpu_s / (last.at_s - first.at_s),
        "rss_mb": max(sample.rss for sample in samples) / 1e6,
        "rss_grown_mb": _grown(outcome, "rss") / 1e6,
        **grown,
        "timers_grown": _grown(outcome, "timers", by_live=True),
        "commit_ms": (last.commit_s - first.commit_s) / max(1.0, commits) * 1e3,
    }


def allocated(outcome: Outcome) -> dict[str, float]:
    """Allocations for each contact served, without what the idle server makes in that time."""
    samples, served = outcome.samples, outcome.measures.total("served")
    if len(samples) < 2 or not samples[-1].allocations or served < LEAST_SERVED:
        return {}
    first, last = samples[0], samples[-1]
    calls_per_s, bytes_per_s = outcome.idle
    took_s = last.at_s - first.at_s
    calls = last.allocations - first.allocations - calls_per_s * took_s
    asked = last.allocated - first.allocated - bytes_per_s * took_s
    return {
        "allocations_per_contact": calls / served,
        "allocated_kb_per_contact": asked / served / 1e3,
    }


def _grown(outcome: Outcome, name: str, by_live: bool = False) -> float:
    """How much more there was in the last tenth of the day than in the one after its middle."""
    seconds = outcome.profile.seconds
    half: list[list[float]] = [[], []]
    for sample in outcome.samples:
        part = sample.at_s / seconds
        at = 0 if 0.5 <= part < 0.6 else 1 if 0.9 <= part <= 1.0 else -1
        if at >= 0:
            value = float(getattr(sample, name))
            half[at].append(value / max(1.0, sample.live) if by_live else value)
    if not half[0] or not half[1]:
        return 0.0
    return statistics.median(half[1]) - statistics.median(half[0])


def _percentiles(outcome: Outcome, leg: str, place: str, seconds: list[int]) -> dict[str, float]:
    whole = outcome.measures.leg(leg, seconds)
    if not whole.count:
        return {}
    return {
        f"{place}{leg}_{name}_ms": whole.percentile(share) * 1e3 for name, share in SHARES.items()
    }


def _per_cpu(outcome: Outcome, seconds: range) -> float:
    """Served for each second of the server's processor, between the samples of a phase."""
    inside = [s for s in outcome.samples if seconds.start <= s.at_s <= seconds.stop]
    if len(inside) < 3:
        return 0.0
    first, last = inside[0], inside[-1]
    served = outcome.measures.total("served", range(round(first.at_s), round(last.at_s)))
    return served / max(0.01, last.cpu_s - first.cpu_s)


def _settled(outcome: Outcome, seconds: range) -> float:
    """Seconds of the phase before its first calm one after which all were calm."""
    measures, settled = outcome.measures, len(seconds)
    for second in reversed(seconds):
        shed = measures.total("shed", [second])
        if shed or measures.leg("durable", [second]).percentile(0.99) > SETTLED_S:
            break
        settled = second - seconds.start
    return float(settled)


def _end(began_s: float, phase: Phase) -> int:
    return round(began_s + phase.seconds)
