"""`python -m loadtest`: what the project promises about speed, measured on this machine."""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path

import uvloop

from loadtest.report import Report


def main() -> int:
    """Run one load test; 0 when no target was missed."""
    parser = argparse.ArgumentParser(prog="python -m loadtest", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", type=Path, default=None, help="write the figures to this file")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "throughput", parents=[common], help="contacts a second against the stack's own ceiling"
    )
    command.add_argument("--seconds", type=float, default=3.0, help="length of one measurement")
    command.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    report = RUN[arguments.command](arguments)
    report.machine = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": len(__import__("os").sched_getaffinity(0)),
    }
    report.show(arguments.json)
    return 0 if report.passed else 1


def _throughput(arguments: argparse.Namespace) -> Report:
    from loadtest import throughput

    return uvloop.run(throughput.run(arguments.seconds, arguments.rounds))


RUN = {"throughput": _throughput}


if __name__ == "__main__":
    sys.exit(main())
