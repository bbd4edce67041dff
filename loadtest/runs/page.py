"""The report of a run: one HTML file that needs nothing else, and the same figures as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from itertools import pairwise
from typing import Any

from loadtest.lines.compare import OF_CHANNEL
from loadtest.runs import plot, theory
from loadtest.runs.conduct import Outcome
from loadtest.runs.judge import OF_PHASE, OF_RUN, SHARES, Verdict, seconds_of
from loadtest.runs.measures import LEGS, REAL_LEGS, Measures
from loadtest.runs.profile import CHANNEL

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.6rem 0}td,th{padding:.15rem .7rem;text-align:right;
border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}
.pass{color:#2e7d4f}.miss{color:#b4431f;font-weight:600}figure{margin:1.2rem 0}svg{width:100%}
figcaption{font-weight:600}.grid{stroke:#ddd}.small{font-size:11px;fill:#666}.name{font-size:12px}
.band0{fill:#f5f5f2}.band1{fill:#ebeef2}.mark{stroke:#222;stroke-dasharray:4 3}
pre{white-space:pre-wrap;background:#f5f5f2;padding:.6rem}
"""
OVER_TIME = ("offer", "durable", "accept", "connected", "complete", "freed", "refused", "login",
             "reconnect")  # fmt: skip


def plain(
    outcome: Outcome, found: dict[str, float], verdicts: list[Verdict], machine: dict[str, Any]
) -> dict[str, Any]:
    """As JSON: figures, verdicts, every second of every leg as a histogram."""
    return {
        "title": outcome.profile.title,
        "passed": all(verdict.passed for verdict in verdicts),
        "machine": machine,
        "left_out": outcome.left_out,
        "expectations": [asdict(v) | {"passed": v.passed} for v in verdicts],
        "figures": {name: round(value, 4) for name, value in found.items()},
        "theory": [asdict(row) for row in theory.rows(outcome)],
        "audit": {name: asdict(one) for name, one in outcome.audits.items()},
        "samples": [asdict(sample) for sample in outcome.samples],
        **outcome.measures.plain(),
    }


def html(
    outcome: Outcome, found: dict[str, float], verdicts: list[Verdict], machine: dict[str, Any]
) -> str:
    """The page."""
    profile = outcome.profile
    passed = all(verdict.passed for verdict in verdicts)
    about = ", ".join(f"{name} {value}" for name, value in machine.items())
    faults = [f"{name or 'main'}: {text}" for name, one in outcome.audits.items()
              for text in one.wrong]  # fmt: skip
    return "".join(
        (
            '<!doctype html><html lang="en"><meta charset="utf-8">',
            f"<title>{escape(profile.title)}</title><style>{STYLE}</style>",
            f"<h1>{escape(profile.title)}: {_word(passed)}</h1><p>{escape(profile.about)}</p>",
            f"<p class=small>{escape(about)}</p>",
            *(f"<p class=miss>Left out: {CHANNEL[over]} over {over}: {escape(reason)}</p>"
              for over, reason in outcome.left_out.items()),
            "<h2>Expected</h2>", _expected(verdicts),
            "<h2>Contradictions</h2><pre>" + escape("\n".join(faults[:50])) + "</pre>"
            if faults else "",
            "<h2>Over time</h2>", *_figures(outcome),
            "<h2>Legs</h2><p>All from the intended start, in milliseconds.</p>", _legs(found),
            _channels(outcome, found),
            "<h2>Phases</h2>", _phases(outcome, found),
            _theory(outcome),
            "<h2>The whole run</h2>", _run(found), "</html>",
        )
    )  # fmt: skip


def _figures(outcome: Outcome) -> list[str]:
    profile, measures, samples = outcome.profile, outcome.measures, outcome.samples
    places = seconds_of(profile)
    bands = {name: (float(r.start), float(r.stop)) for name, r in places.items()}
    last = int(profile.seconds + outcome.drained_s) + 1
    rates = {
        name: _counted(measures, name, last)
        for name in ("due", "taken", "served", "shed", "gave_up")
        if measures.total(name)
    }
    found = [plot.lines("Throughput against offered load", "contacts a second", rates, bands=bands)]
    groups: dict[str, Sequence[str]] = {"": OVER_TIME}
    for channel in profile.channels:
        groups[f" of {channel}"] = [leg for leg in REAL_LEGS if leg.endswith(f".{channel}")]
    for place, legs in groups.items():
        for share, word in ((0.5, "p50"), (0.99, "p99")):
            series = {
                leg: [(float(s), measures.leg(leg, [s]).percentile(share) * 1e3)
                      for s in range(last) if s in measures.legs.get(leg, {})]
                for leg in legs
            }  # fmt: skip
            title = f"Latency by leg{place}, {word} of each second (by intended start)"
            found.append(plot.lines(title, "ms", series, logarithmic=True, bands=bands))
    lag = {
        "server asked, worst": _worst(measures, "probe", last),
        "its own part": _worst(measures, "lag", last),
        "clients' own, worst": _worst(measures, "client_lag", last),
        "server's gauge": [(s.at_s, s.loop_lag_s * 1e3) for s in samples if s.at_s >= 0],
    }
    found.append(plot.lines("Lag of the event loops", "ms", lag, logarithmic=True, bands=bands))
    people = {
        "live": [(s.at_s, s.live) for s in samples if s.at_s >= 0],
        "waiting": [(s.at_s, s.waiting) for s in samples if s.at_s >= 0],
    }
    found.append(plot.lines("Contacts in the server", "", people, bands=bands))
    pairs = list(pairwise(samples))
    busy = [(b.at_s, (b.cpu_s - a.cpu_s) / (b.at_s - a.at_s) * 100) for a, b in pairs]
    found.append(plot.lines("Processor", "% of a core", {"server": busy}, bands=bands))
    memory = [(s.at_s, s.rss / 1e6) for s in samples]
    found.append(plot.lines("Memory", "MB", {"server": memory}, bands=bands))
    things = {
        name: [(s.at_s, float(getattr(s, name))) for s in samples]
        for name in ("files", "threads", "tasks", "timers")
    }
    title = "Descriptors, threads, tasks, deadlines"
    found.append(plot.lines(title, "", things, logarithmic=True, bands=bands))
    return found


def _counted(measures: Measures, name: str, last: int) -> list[tuple[float, float]]:
    return [(float(s), float(measures.total(name, [s]))) for s in range(last)]


def _worst(measures: Measures, leg: str, last: int) -> list[tuple[float, float]]:
    found = measures.legs.get(leg, {})
    return [(float(s), found[s].most_us / 1e3) for s in range(last) if s in found]


def _expected(verdicts: list[Verdict]) -> str:
    rows = [
        (
            escape(v.name),
            "not there" if v.value is None else figure(v.value),
            escape(v.bound),
            _word(v.passed),
        )
        for v in verdicts
    ]
    return _table(("figure", "found", "expected", ""), rows)


def _legs(found: dict[str, float]) -> str:
    rows = []
    for leg, words in {**LEGS, "probe": "server asked whether it is ready",
                       "lag": "the same without what the machine let it wait: the loop's own",
                       "client_lag": "clients: their own loops"}.items():  # fmt: skip
        values = [found.get(f"{leg}_{name}_ms") for name in SHARES]
        if values[0] is not None:
            rows.append((escape(f"{leg}: {words}"), *(figure(v or 0.0) for v in values)))
    return _table(("leg", *SHARES), rows)


def _channels(outcome: Outcome, found: dict[str, float]) -> str:
    """Customers over real protocols: legs and counts, by channel."""
    parts = []
    for channel in outcome.profile.channels:
        legs = [leg for leg in REAL_LEGS if leg.endswith(f".{channel}")]
        rows = [
            (escape(f"{leg}: {REAL_LEGS[leg]}"),
             *(figure(found[f"{leg}_{name}_ms"]) for name in SHARES))
            for leg in legs
            if f"{leg}_p50_ms" in found
        ]  # fmt: skip
        counts = [
            (escape(words), figure(found[f"{channel}: {name}"]))
            for name, words in OF_CHANNEL.items()
            if f"{channel}: {name}" in found
        ]
        if counts:
            parts += [f"<h3>{channel}</h3>", _table(("leg", *SHARES), rows),
                      _table(("counted at the peer", ""), counts)]  # fmt: skip
    about = "<h2>By channel, over real protocols</h2><p>Taken at the peers' ends.</p>"
    return about + "".join(parts) if parts else ""


def _phases(outcome: Outcome, found: dict[str, float]) -> str:
    rows = []
    for phase in outcome.profile.phases:
        values = [found.get(f"{phase.name}: {name}") for name in OF_PHASE]
        rows.append((escape(phase.name), *("" if v is None else figure(v) for v in values)))
    return _table(("phase", *(name.replace("_", " ") for name in OF_PHASE)), rows)


def _theory(outcome: Outcome) -> str:
    found = theory.rows(outcome)
    if not found:
        return ""
    heads = (
        "phase",
        "agents",
        "busy",
        "mean wait, theory (s)",
        "seen",
        "gave up, theory (%)",
        "seen",
    )
    rows = [
        (escape(r.phase), *(figure(v) for v in (r.agents, r.load, r.wait_s, r.seen_wait_s,
                                                r.gave_up * 100, r.seen_gave_up * 100)))
        for r in found
    ]  # fmt: skip
    about = "Erlang C, with customers who give up Erlang A; lengths are taken as exponential."
    return f"<h2>Waits against theory</h2><p>{about}</p>{_table(heads, rows)}"


def _run(found: dict[str, float]) -> str:
    rows = [(escape(words), figure(found[name])) for name, words in OF_RUN.items() if name in found]
    return _table(("figure", "value"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{head}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _word(passed: bool) -> str:
    return '<span class="pass">pass</span>' if passed else '<span class="miss">MISS</span>'


def figure(value: float) -> str:
    """For people."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"
