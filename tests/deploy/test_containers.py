"""Dockerfile and compose.yaml, as far as they can be tried without Docker: their own commands run.

There is no container here. What the shell lines of compose.yaml make is what the real programs get.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from loadtest.server import ROOT, Server, free_port
from router.config import load
from tests.deploy.running import SMALL, output
from tests.deploy.store import missing, until

COMPOSE = ROOT / "config/compose"
FILE: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
SERVICES: dict[str, Any] = FILE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
REDIS = pytest.mark.skipif(
    bool(missing(["redis-server", "redis-sentinel"])),
    reason=missing(["redis-server", "redis-sentinel"]),
)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What make-secrets draws."""
    directory = tmp_path_factory.mktemp("secrets")
    for _ in range(2):  # the second time it leaves alone what is there
        subprocess.run([COMPOSE / "make-secrets", directory], check=True, capture_output=True)
    return directory


# --- Dockerfile -------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", DOCKERFILE)
    rows = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, words.strip()) for name, _, words in (row.partition(" ") for row in rows)]


def test_the_image_is_built_from_hashed_packages_and_runs_as_nobody() -> None:
    found = instructions()
    installs = [words for name, words in found if name == "RUN" and "pip install" in words]
    assert all("--require-hashes" in words or "--no-deps" in words for words in installs)
    last = max(place for place, (name, _) in enumerate(found) if name == "FROM")
    final = dict(found[last:])
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", final["USER"])
    assert final["STOPSIGNAL"] == "SIGTERM"
    assert "latest" not in DOCKERFILE
    bases = {words.split()[0] for name, words in found if name == "FROM"}
    assert len(bases) == 1  # what is compiled in one runs in the other


def test_what_the_image_copies_is_there_and_let_through() -> None:
    lets = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied: set[str] = set()
    for name, words in instructions():
        if name == "COPY" and not words.startswith("--from"):
            copied.update(words.split()[:-1])
    assert copied == lets
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.slow
async def test_the_health_check_tells_a_living_server_from_a_dead_one(tmp_path: Path) -> None:
    (check,) = re.findall(r"CMD (\[\"python\".*\])", DOCKERFILE)
    words = [sys.executable, *yaml.safe_load(check)[1:]]
    server = Server(tmp_path, SMALL)
    words[-1] = words[-1].replace("8080", str(server.port))
    try:
        await server.start()
        assert (await output(*words))[0] == 0
        await server.kill()
        assert (await output(*words))[0] != 0
    finally:
        await server.close()


# --- compose.yaml -----------------------------------------------------------------------------


def test_every_file_that_compose_mounts_is_there_and_every_name_is_declared(secrets: Path) -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (COMPOSE / source).exists(), (name, source)
            else:
                assert source in FILE["volumes"]
        for secret in service.get("secrets", ()):
            file = FILE["secrets"][secret]["file"]
            assert (secrets / Path(file).name).is_file(), (name, file)
        assert set(service.get("depends_on", ())) <= SERVICES.keys()
    drawn = {str(Path(secret["file"])) for secret in FILE["secrets"].values()}
    assert all(name.startswith("secrets/") for name in drawn)
    assert (ROOT / ".gitignore").read_text().count("/config/compose/secrets/") == 1


def test_every_service_is_closed_pinned_and_has_an_address_of_its_own() -> None:
    addresses = set()
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "latest" not in service["image"], name
        addresses.add(service["networks"]["inside"]["ipv4_address"])
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} is open to the world"
    assert len(addresses) == len(SERVICES)
    nodes = [service for service in SERVICES.values() if service["image"] == "contact-router"]
    assert len(nodes) >= 2
    assert sum("redis-server" in str(service.get("command")) for service in SERVICES.values()) == 3
    assert sum("redis-sentinel" in str(s.get("command")) for s in SERVICES.values()) == 3
    assert {node["stop_grace_period"] for node in nodes} == {"30s"}


def test_secrets_are_nobody_elses_and_drawn_once(secrets: Path) -> None:
    for file in secrets.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
    drawn = (secrets / "contact-router.password").read_text()
    assert re.fullmatch(r"[0-9a-f]{64}", drawn)
    acl = (secrets / "users.acl").read_text()
    assert f"#{hashlib.sha256(drawn.encode()).hexdigest()} " in acl
    assert "<" not in acl


def commands(name: str, secrets: Path, data: Path, *, until_exec: bool = False) -> str:
    """The shell lines of a service, with the places of this machine."""
    _, _, text = SERVICES[name]["command"]
    text = text.replace("$$", "$").replace("sleep 5", ":")
    if until_exec:
        text = text[: text.index("exec")]
    shipped = SERVICES[name]["volumes"][0].partition(":")[0]
    # In sed's expressions and in file names alike. Places of this machine may hold the names that
    # are still to be replaced (/tmp, /data): so those go first.
    text = text.replace("/tmp/", "/data/").replace("/data", str(data))
    text = text.replace("/run/secrets", str(secrets))
    return str(text.replace("/shipped/", f"{(COMPOSE / shipped).resolve()}/"))


@REDIS
@pytest.mark.peer
@pytest.mark.timeout(120)
def test_redis_and_sentinel_start_from_what_their_commands_make(
    secrets: Path, tmp_path: Path
) -> None:
    ports = {name: free_port() for name in ("redis-1", "redis-2", "sentinel-1")}
    started: list[subprocess.Popen[bytes]] = []
    admin = {"username": "admin", "password": (secrets / "admin.password").read_text()}
    try:
        for name, port in ports.items():
            data = tmp_path / name
            data.mkdir()
            environment = {**os.environ, **SERVICES[name].get("environment", {})}
            text = commands(name, secrets, data, until_exec=True)
            subprocess.run(["sh", "-ec", text], env=environment, check=True)
            (file,) = data.iterdir()
            made = file.read_text()
            assert "<" not in re.sub(r"^#.*$", "", made, flags=re.MULTILINE)
            made = re.sub(r"^port \d+$", f"port {port}", made, flags=re.MULTILINE)
            made = made.replace("bind 0.0.0.0", "bind 127.0.0.1")
            file.write_text(made.replace("172.31.250.11 6379", f"127.0.0.1 {ports['redis-1']}"))
            words = shlex.split(commands(name, secrets, data).rpartition("exec ")[2])
            log = (data / "log").open("wb")
            started.append(subprocess.Popen(words, stdout=log, stderr=log))
            log.close()
        master = redis.Redis(port=ports["redis-1"], protocol=2, **admin)
        until(lambda: master.info("replication")["connected_slaves"] == 1, "a replica follows")
        sentinel = redis.Redis(port=ports["sentinel-1"], protocol=2)
        until(lambda: sentinel.sentinel_master("contacts")["num-slaves"] == 1, "Sentinel sees both")
        master.close()
        sentinel.close()
    finally:
        for process in started:
            process.send_signal(signal.SIGKILL)
            process.wait(30)


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
@pytest.mark.peer
async def test_haproxy_takes_what_its_command_makes(secrets: Path, tmp_path: Path) -> None:
    text = commands("haproxy", secrets, tmp_path, until_exec=True)
    assert (await output("sh", "-ec", text))[0] == 0
    made = (tmp_path / "haproxy.cfg").read_text()
    nodes = {service["networks"]["inside"]["ipv4_address"] for name, service in SERVICES.items()
             if name.startswith("node-")}  # fmt: skip
    assert set(re.findall(r"^ +server \S+ ([0-9.]+):8080$", made, re.MULTILINE)) == nodes
    code, said = await output("haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg"))
    assert code == 0, said


def test_the_nodes_configuration_is_good_and_names_the_others_as_they_are(
    secrets: Path, tmp_path: Path
) -> None:
    text = (COMPOSE / "router.yaml").read_text()
    for name, secret in FILE["secrets"].items():
        text = text.replace(f"/run/secrets/{name}", str(secrets / Path(secret["file"]).name))
    (tmp_path / "router.yaml").write_text(text)
    config = load(tmp_path / "router.yaml")
    sentinels = {f"{SERVICES[name]['networks']['inside']['ipv4_address']}:26379"
                 for name in SERVICES if name.startswith("sentinel-")}  # fmt: skip
    assert set(config.server.journal.sentinels) == sentinels
    for name in ("node-1", "node-2"):
        address = SERVICES[name]["networks"]["inside"]["ipv4_address"]
        url = SERVICES[name]["environment"]["CONTACT_ROUTER_NODE_URL"]
        assert url == f"http://{address}:{config.server.port}"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="prometheus is not installed")
@pytest.mark.peer
async def test_prometheus_takes_its_files_and_asks_the_nodes(tmp_path: Path) -> None:
    for volume in SERVICES["prometheus"]["volumes"]:
        source, _, target = volume.partition(":")
        if source.startswith("."):
            shutil.copy(COMPOSE / source, tmp_path / Path(target.partition(":")[0]).name)
    code, said = await output("promtool", "check", "config", str(tmp_path / "prometheus.yml"))
    assert code == 0, said
    asked = yaml.safe_load((tmp_path / "prometheus.yml").read_text())["scrape_configs"][0]
    (targets,) = asked["static_configs"]
    nodes = [SERVICES[name]["networks"]["inside"]["ipv4_address"] for name in ("node-1", "node-2")]
    assert targets["targets"] == [f"{address}:9464" for address in nodes]
