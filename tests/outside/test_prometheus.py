"""A real Prometheus scrapes a real server, and evaluates what dashboards and alerts ask."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import runpy
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml

from loadtest.server import ROOT, free_port

RARE = {
    "router_contacts_total", "router_handle_seconds",  # the demo's conversations take their time
    # Who is written to, and when, is drawn.
    "router_outbound_attempts_total", "router_outbound_expected_reached_total",
    "router_outbound_explored_total", "router_outbound_outcomes_total",
    "router_trace_spans_total", "router_trace_events_dropped_total",  # with `tracing` only
}  # fmt: skip
"""What the demo need not have counted while Prometheus looked."""
GIVEN = {"business"}
"""Labels that whoever runs it gives a target (`alerts.yml` says so)."""
PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not PROMETHEUS or not PROMTOOL, reason="prometheus is not installed"),
]
CONFIG = ROOT / "config/prometheus"
BOARDS = sorted((ROOT / "config/grafana").glob("*.json"))
SCRAPES = 24
"""Twice a second: enough for rates over ten seconds."""
ALWAYS = {
    "Agents", "Channels", "Adapters", "Desks", "Commit", "Events", "Events per commit", "HTTP, p99",
    "HTTP answers", "Inbox", "Loop lag", "Memory", "Processor", "Must stay at 0", "Nobody knows",
    "Received by channel", "Received", "Effects waiting", "Live", "Being served",
    "Offers",
}  # fmt: skip
"""Panels that show something in any run with people in it."""


async def promtool(*words: str) -> None:
    assert PROMTOOL is not None
    process = await asyncio.create_subprocess_exec(
        PROMTOOL,
        *words,
        cwd=CONFIG,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()


async def test_rules_and_alerts_are_what_prometheus_takes() -> None:
    await promtool("check", "rules", "rules.yml", "alerts.yml")
    await promtool("check", "config", "--syntax-only", "prometheus.yml")


async def test_alerts_fire_when_they_should_and_only_then() -> None:
    await promtool("test", "rules", "alerts_test.yml")


def test_every_alert_is_seen_to_fire_in_its_unit_test() -> None:
    alerts = yaml.safe_load((CONFIG / "alerts.yml").read_text())
    tests = yaml.safe_load((CONFIG / "alerts_test.yml").read_text())
    named = {rule["alert"] for group in alerts["groups"] for rule in group["rules"]}
    fired = {
        one["alertname"]
        for test in tests["tests"]
        for one in test.get("alert_rule_test", [])
        if one["exp_alerts"]
    }
    assert named == fired


def test_the_dashboards_are_those_of_their_table() -> None:
    written = runpy.run_path(str(ROOT / ".ci/dashboards"))["files"]()
    assert {path.name: path.read_text() for path in BOARDS} == {
        path.name: text for path, text in written.items()
    }, "run .ci/dashboards and commit what it writes"


def expressions() -> Iterator[tuple[str, str]]:
    """(panel or rule, expression), with Grafana's variables filled in."""
    for path in BOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                text = target["expr"].replace("$__rate_interval", "10s")
                yield panel["title"], text.replace("$workspace", "main").replace("$queue", ".*")
    for name in ("rules.yml", "alerts.yml"):
        for group in yaml.safe_load((CONFIG / name).read_text())["groups"]:
            for rule in group["rules"]:
                yield rule.get("record") or rule["alert"], rule["expr"]


def alerts() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load((CONFIG / "alerts.yml").read_text())["groups"]:
        yield from group["rules"]


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric of the server's that is named, and the labels by which it is selected."""
    for name, braces in re.findall(r"\b(router_[a-z0-9_]+)(?:\{([^}]*)\})?", expression):
        yield name, set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", braces))


def stem(name: str) -> str:
    """A metric without what a histogram's series end with."""
    return re.sub(r"_(bucket|count|sum)$", "", name)


def of_several_nodes() -> set[str]:
    """What only nodes with a replicated store have: the names in the code that counts it."""
    found: set[str] = set()
    for name in ("node_metrics", "store_metrics", "store_audit"):
        text = (ROOT / "router/runtime" / f"{name}.py").read_text(encoding="utf-8")
        found.update(re.findall(r'"(router_[a-z_]+)"', text))
    assert len(found) >= 9
    return found | {f"{name}_total" for name in found}


class Watched:
    """A demo with people in it, and the Prometheus that scrapes it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, self.own_port = free_port(), free_port()
        self._session: aiohttp.ClientSession | None = None
        self._processes: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        demo = await self._spawn(
            sys.executable, "-m", "router", "demo", "--port", str(self.port),
            "--data", str(self.directory / "data"), out=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert demo.stdout is not None
        async with asyncio.timeout(60):
            async for line in demo.stdout:
                found = re.search(rb"crt_\S+", line)
                if found:
                    break
        assert found, "the demo printed no token"
        (self.directory / "contact-router.token").write_bytes(found[0])
        for name in ("rules.yml", "alerts.yml"):
            text = (CONFIG / name).read_text()
            (self.directory / name).write_text(text)
        await self._call_in_vain()
        config = (CONFIG / "prometheus.yml").read_text()
        config = config.replace("localhost:8080", f"127.0.0.1:{self.port}").replace("15s", "500ms")
        (self.directory / "prometheus.yml").write_text(config)
        assert PROMETHEUS is not None
        await self._spawn(
            PROMETHEUS, f"--config.file={self.directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.directory / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.own_port}", "--log.level=warn",
        )  # fmt: skip
        self._session = aiohttp.ClientSession(f"http://127.0.0.1:{self.own_port}")
        async with asyncio.timeout(60):
            while not await self._has_scraped():  # noqa: ASYNC110 - only asking tells
                await asyncio.sleep(0.5)

    @property
    def session(self) -> aiohttp.ClientSession:
        assert self._session is not None
        return self._session

    async def _spawn(self, *words: str, out: int = asyncio.subprocess.DEVNULL) -> Any:
        process = await asyncio.create_subprocess_exec(
            *words, cwd=ROOT, stdout=out, stderr=asyncio.subprocess.DEVNULL
        )
        self._processes.append(process)
        return process

    async def _has_scraped(self) -> bool:
        try:
            found = await self.ask("count_over_time(router_journal_seq[5m])")
        except aiohttp.ClientError:
            return False
        return bool(found) and float(found[0]["value"][1]) >= SCRAPES

    async def ask(self, expression: str) -> list[Any]:
        """The instant vector. Raises AssertionError with what Prometheus says is wrong."""
        async with self.session.post("/api/v1/query", data={"query": expression}) as answer:
            found = await answer.json()
        assert found["status"] == "success", f"{expression}: {found.get('error')}"
        result = found["data"]["result"]
        return result if isinstance(result, list) else [result]

    async def answers(self, expression: str) -> bool:
        """Whether it has a sample, now or within a minute: a rate needs two scrapes in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                while not await self.ask(expression):  # noqa: ASYNC110 - only asking tells
                    await asyncio.sleep(0.5)
                return True
        return False

    async def labels_by_metric(self) -> dict[str, set[str]]:
        """The labels of each metric that was scraped."""
        found: dict[str, set[str]] = {}
        query = {"match[]": '{__name__=~"router_.+"}'}
        async with self.session.get("/api/v1/series", params=query) as answer:
            for series in (await answer.json())["data"]:
                found.setdefault(series["__name__"], set()).update(series)
        return found

    async def until_shown(self, wanted: set[str]) -> dict[str, set[str]]:
        """The labels of each metric, once all of these have a sample, or after a minute."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                while not wanted <= (await self.labels_by_metric()).keys():  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
        return await self.labels_by_metric()

    async def _call_in_vain(self) -> None:
        """An answer over HTTP and a refused sign-in: with the simulation nobody asks for them."""
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.port}") as session:
            body = {"ticket": "crk_wrong"}
            async with session.post("/v1/session", json=body) as answer:
                assert answer.status == 401, await answer.text()

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()
        for process in self._processes:
            if process.returncode is None:
                process.terminate()
            await process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    found = Watched(tmp_path_factory.mktemp("prometheus"))
    try:
        await found.start()
        yield found
    finally:
        await found.stop()


@pytest.mark.asyncio(loop_scope="module")
async def test_each_expression_names_what_there_is_and_is_evaluated(watched: Watched) -> None:
    elsewhere, missing, empty = of_several_nodes(), [], []
    asked = list(expressions())
    assert len(asked) > 70
    named = {name for _, expression in asked for name, _ in selectors(expression)}
    shown = await watched.until_shown(
        {name for name in named if not {name, stem(name)} & (elsewhere | RARE)}
    )
    async with watched.session.get("/api/v1/metadata", params={"limit": "10000"}) as answer:
        declared = set((await answer.json())["data"])
    for title, expression in asked:
        for name, labels in selectors(expression):
            plain = stem(name)
            if name in shown:
                missing += [
                    f"{title}: {name} has no label {x}" for x in labels - shown[name] - GIVEN
                ]
            elif not {name, plain} & elsewhere:
                assert {name, plain} & declared, f"{title}: the server has no {name}"
                if plain not in RARE:
                    missing.append(f"{title}: {name} has no sample")
        found = await watched.ask(expression)
        if not found and title in ALWAYS and not await watched.answers(expression):
            empty.append(f"{title}: {expression}")
    assert not missing, "\n".join(missing)
    assert not empty, "\n".join(empty)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_an_alert_counts_begins_with_zero(watched: Watched) -> None:
    """Of a counter whose first sample is 1, `increase` sees nothing: the first time is missed."""
    shown, elsewhere = await watched.labels_by_metric(), of_several_nodes()
    counted = {
        name
        for rule in alerts()
        for name in re.findall(r"increase\((router_[a-z_]+)", rule["expr"])
        if not {name, stem(name)} & elsewhere
    }
    assert len(counted) >= 5
    assert not counted - {*shown} - RARE


@pytest.mark.asyncio(loop_scope="module")
async def test_a_healthy_server_raises_no_alert(watched: Watched) -> None:
    async with watched.session.get("/api/v1/alerts") as answer:
        alerts = (await answer.json())["data"]["alerts"]
    firing = [alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"]
    assert not firing


@pytest.mark.asyncio(loop_scope="module")
async def test_there_are_not_too_many_series_and_none_names_a_person(watched: Watched) -> None:
    found = await watched.ask('count({job="contact-router", __name__=~"router_.*"})')
    assert 100 < int(found[0]["value"][1]) < 5_000
    async with watched.session.get("/api/v1/labels") as answer:
        labels = set((await answer.json())["data"])
    assert not labels & {"contact", "customer", "agent", "reservation", "address", "id"}
