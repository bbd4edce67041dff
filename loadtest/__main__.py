"""`python -m loadtest`: what the project promises about speed, measured on this machine."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from loadtest.report import Report, progress
from loadtest.server import ROOT


def main(words: Sequence[str] | None = None, prog: str = "python -m loadtest") -> int:
    """Run one load test; 0 when no target was missed."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", type=Path, default=None, help="write the figures to this file")
    served = argparse.ArgumentParser(add_help=False, parents=[common])
    served.add_argument(
        "--tree", type=Path, default=ROOT, help="the build to serve, such as build/compiled"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "throughput", parents=[served], help="contacts a second against the stack's own ceiling"
    )
    command.add_argument("--seconds", type=float, default=3.0, help="length of one measurement")
    command.add_argument("--rounds", type=int, default=3)
    command = commands.add_parser(
        "latency", parents=[served], help="submit to offer seen at a desk, at half load"
    )
    command.add_argument("--seconds", type=float, default=10.0)
    command = commands.add_parser(
        "distributed", parents=[served], help="the journal in replicated Redis, and embedded"
    )
    command.add_argument("--seconds", type=float, default=4.0, help="length of one measurement")
    command.add_argument("--rounds", type=int, default=2, help="each is A B B A")
    command = commands.add_parser(
        "restart", parents=[served], help="ready again after kill -9, with many live contacts"
    )
    command.add_argument("--live", type=int, default=100_000)
    command.add_argument("--kills", type=int, default=3)
    command = commands.add_parser(
        "takeover", parents=[served], help="silence while a workspace changes its node"
    )
    command.add_argument("--live", type=int, default=10_000)
    command.add_argument("--times", type=int, default=3, help="each way to lose the owner")
    command = commands.add_parser(
        "matching", parents=[common], help="a decision, and a whole command, in floors"
    )
    command.add_argument("--cycles", type=int, default=20_000)
    _add_worlds(commands, common)
    _add_days(commands, common)
    arguments = parser.parse_args(words)
    if arguments.command == "run":
        from loadtest.runs import run

        return run.command(
            arguments.profile, arguments.out, seconds=arguments.seconds,
            clients=arguments.clients, flame=arguments.flame, keep=arguments.keep,
            counting=not arguments.no_allocations,
        )  # fmt: skip
    if arguments.command == "trace":
        return _trace(arguments)
    report = RUN[arguments.command](arguments)
    report.machine = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
    }
    report.show(arguments.json)
    return 0 if report.passed else 1


def _add_worlds(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """The commands that need something else: rules, a population, a browser, a PBX."""
    command = commands.add_parser(
        "rules", parents=[common], help="a condition against a hand-written lambda"
    )
    command.add_argument("--rounds", type=int, default=300)
    command = commands.add_parser(
        "preference", parents=[common], help="the learned preference on a synthetic population"
    )
    command.add_argument("--population", type=Path, default=POPULATION, help="its parameters")
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--worlds", type=int, default=12)
    command.add_argument("--people", type=int, default=150, help="customers in each world")
    command.add_argument("--tasks", type=int, default=50, help="of each customer")
    command = commands.add_parser(
        "pages", parents=[common], help="one update of the wallboard with 2,000 rows, in a browser"
    )
    command.add_argument("--rounds", type=int, default=8)
    command = commands.add_parser(
        "customers", parents=[common], help="many customers: look-up, change, bytes"
    )
    command.add_argument("--count", type=int, default=100_000)
    command = commands.add_parser(
        "pbx", parents=[common], help="calls on a real Asterisk, against its own app_queue"
    )
    command.add_argument("--calls", type=int, default=150, help="to idle agents, each way")
    command.add_argument("--seconds", type=float, default=10.0, help="of each other measurement")


def _add_days(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Days by a profile: one, larger and larger ones, the same under two builds."""
    command = commands.add_parser(
        "run", help="a day by a profile: robots, legs, a verdict, a report"
    )
    command.add_argument("profile", help="a file, or the name of one in loadtest/profiles")
    command.add_argument("--seconds", type=float, default=0.0, help="squeeze the day into so long")
    command.add_argument("--clients", type=int, default=0, help="processes of robots")
    command.add_argument("--out", type=Path, default=Path("var/loadtest"), help="for the report")
    command.add_argument("--flame", action="store_true", help="a flame graph too (py-spy)")
    command.add_argument("--keep", type=Path, help="a folder for the page and a small JSON")
    command.add_argument(
        "--no-allocations", action="store_true", help="leave out the short day that counts them"
    )
    command = commands.add_parser(
        "knee", parents=[common], help="how large a centre of a profile the server carries"
    )
    command.add_argument("profile", nargs="?", default="mixed-channels")
    command.add_argument("--seconds", type=float, default=12.0, help="length of each day")
    command.add_argument("--out", type=Path, default=Path("var/loadtest"), help="for the report")
    command = commands.add_parser(
        "trace", help="record when contacts came to a running server, for a profile"
    )
    command.add_argument("url", help="of the server")
    command.add_argument("--token-file", type=Path, required=True, help="a token that may read")
    command.add_argument("--from-seq", type=int, default=1, help="the first event to look at")
    command.add_argument("--out", type=Path, default=Path("var/loadtest/trace.csv"))
    command = commands.add_parser(
        "model", parents=[common], help="what one more contact, agent, rule, tenant costs"
    )
    command.add_argument("--seconds", type=float, default=10.0, help="length of each day")
    command.add_argument("--out", type=Path, default=Path("var/loadtest"), help="for the figures")
    command = commands.add_parser(
        "compare", parents=[common], help="two builds under the same day, in turn"
    )
    command.add_argument("a", help="a directory or a git reference: how it was")
    command.add_argument("b", help="how it is")
    command.add_argument("--profile", default="mixed-channels")
    command.add_argument("--seconds", type=float, default=12.0, help="length of each day")
    command.add_argument("--pairs", type=int, default=3)
    command.add_argument("--most", type=float, default=1.1, help="processor time, B against A")


def _trace(arguments: argparse.Namespace) -> int:
    from loadtest.runs import trace

    token = arguments.token_file.read_text().strip()
    found = uvloop.run(trace.arrivals(arguments.url, token, arguments.from_seq))
    print(f"{arguments.out}: {trace.write(arguments.out, found):,} contacts")
    return 0


def _throughput(arguments: argparse.Namespace) -> Report:
    from loadtest import throughput

    return uvloop.run(throughput.run(arguments.seconds, arguments.rounds, arguments.tree))


def _latency(arguments: argparse.Namespace) -> Report:
    from loadtest import latency

    return uvloop.run(latency.run(arguments.seconds, arguments.tree))


def _distributed(arguments: argparse.Namespace) -> Report:
    from loadtest import distributed

    return uvloop.run(distributed.run(arguments.seconds, arguments.rounds, arguments.tree))


def _restart(arguments: argparse.Namespace) -> Report:
    from loadtest import restart

    return uvloop.run(restart.run(arguments.live, arguments.kills, arguments.tree))


def _takeover(arguments: argparse.Namespace) -> Report:
    from loadtest import takeover

    return uvloop.run(takeover.run(arguments.live, arguments.times, arguments.tree))


def _pages(arguments: argparse.Namespace) -> Report:
    from loadtest import pages

    return uvloop.run(pages.run(arguments.rounds))


def _customers(arguments: argparse.Namespace) -> Report:
    from loadtest import customers

    return uvloop.run(customers.run(arguments.count))


def _pbx(arguments: argparse.Namespace) -> Report:
    from loadtest import pbx

    return uvloop.run(pbx.run(arguments.calls, arguments.seconds))


def _knee(arguments: argparse.Namespace) -> Report:
    from loadtest.runs import knee

    return knee.find(arguments.profile, arguments.seconds, arguments.out)


def _model(arguments: argparse.Namespace) -> Report:
    from loadtest.runs import model

    return model.fit(arguments.seconds, arguments.out)


def _compare(arguments: argparse.Namespace) -> Report:
    from loadtest.runs import compare

    wants = arguments
    return compare.pairs(
        wants.profile, wants.a, wants.b,
        seconds=wants.seconds, count=wants.pairs, most=wants.most,
    )  # fmt: skip


def _matching(arguments: argparse.Namespace) -> Report:
    from loadtest import command, matching

    report = Report("Matching, in floors (heappush, dict set, heappop, dict delete)")
    for shape in matching.SHAPES:
        progress(shape.name)
        result = matching.run(shape, arguments.cycles)
        report.add(
            shape.name,
            result.floors,
            "floors",
            most=shape.limit or None,
            note=f"floor {result.floor_us:.2f} µs, decision {result.decision_us:.2f} µs",
        )
        if shape.limit_p99:
            worst = result.percentile(result.release_us, 0.99)
            report.add("  release, p99", worst, "floors", most=shape.limit_p99)
    progress("whole command")
    floor_us, floors = command.run(matching.SHAPES[0], min(arguments.cycles, 5_000))
    for name, value in floors.items():
        note = f"floor {floor_us:.2f} µs, command {value * floor_us:.1f} µs"
        report.add(f"whole {name}", value, "floors", note=note)
    mean = sum(floors.values()) / len(floors)
    report.add("whole command, mean", mean, "floors", most=WHOLE_COMMAND)
    return report


def _rules(arguments: argparse.Namespace) -> Report:
    from loadtest import rules

    report = Report("Conditions, as a multiple of the same lambda by hand")
    for figure in rules.run(arguments.rounds):
        note = (
            f"{figure.condition_ns:.0f} ns, by hand {figure.lambda_ns:.0f} ns, "
            f"compiled in {figure.compile_us:.0f} µs"
        )
        report.add(figure.name, figure.ratio, "lambdas", most=rules.TARGET, note=note)
    return report


def _preference(arguments: argparse.Namespace) -> Report:
    from loadtest import preference

    wants = arguments
    return preference.benchmark(
        wants.population, wants.seed, wants.worlds, wants.people, wants.tasks
    )


POPULATION = Path(__file__).parent / "populations" / "contactpop-1.yaml"
WHOLE_COMMAND = 20
RUN = {
    "throughput": _throughput,
    "latency": _latency,
    "distributed": _distributed,
    "knee": _knee,
    "model": _model,
    "compare": _compare,
    "restart": _restart,
    "takeover": _takeover,
    "matching": _matching,
    "customers": _customers,
    "pages": _pages,
    "pbx": _pbx,
    "preference": _preference,
    "rules": _rules,
}


if __name__ == "__main__":
    sys.exit(main())
