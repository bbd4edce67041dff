"""How tests are run: what is drawn, in which order, and skips that are said aloud.

`--expected-skips FILE` makes every other skip a failure.
"""

from __future__ import annotations

import gc
import zlib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent

# No drawn test measures speed: a busy machine makes any example slow.
_CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("here", _CALM)
settings.register_profile("examined", _CALM, derandomize=True)  # the same for everybody
settings.load_profile("here")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--expected-skips", metavar="FILE", help="a skip that FILE does not list is a failure"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Who waits for servers and browsers ends by a wait of its own that says what did not come.

    Several workers: these are spread over the run, so that few of them meet.
    """
    for item in items:
        if item.get_closest_marker("timeout") is None and (
            item.get_closest_marker("slow") or item.get_closest_marker("peer")
        ):
            item.add_marker(pytest.mark.timeout(300))
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: zlib.crc32(item.nodeid.partition("::")[0].encode()))


@pytest.fixture(autouse=True, scope="module")
def _thawed() -> Iterator[None]:
    """A server that starts in this process freezes all there is: without this, what tests have left
    behind is kept to the end, gigabytes of it."""
    yield
    if gc.get_freeze_count() > 0:
        gc.unfreeze()
        gc.collect()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if unexpected(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    found = unexpected(terminalreporter.config)
    if found:
        terminalreporter.section("skips that are not expected: a failure")
        for line in found:
            terminalreporter.write_line(line)


def unexpected(config: pytest.Config) -> list[str]:
    """Skips of this run that the file does not list; none when no file is given."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    name = config.getoption("--expected-skips")
    if name is None or reporter is None:
        return []
    expected = list(read_expected((ROOT / name).read_text("utf-8")))
    return [
        f"{report.nodeid}: {reason_of(report)}"
        for report in reporter.stats.get("skipped", ())
        if not any(
            fnmatch(report.nodeid, pattern) and words in reason_of(report)
            for pattern, words in expected
        )
    ]


def read_expected(text: str) -> Iterator[tuple[str, str]]:
    """Lines `pattern of test ids: words of the reason`; "#" begins a comment."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        pattern, colon, words = line.partition(": ")
        if not colon or not words.strip():
            raise ValueError(f'line {number}: expected "pattern: reason", got {line!r}')
        yield pattern.strip(), words.strip()


def reason_of(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    return str(report.longrepr)
