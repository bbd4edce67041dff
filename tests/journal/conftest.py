"""A real redis-server on a free port, with a directory of its own."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from loadtest.server import free_port
from router.journal.redis_line import Access
from router.journal.redis_servers import RedisSettings

WITHIN_S = 30


class RedisServer:
    """A redis-server process that a test may stop, start and fill."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.options = options
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis(port=self.port, socket_timeout=WITHIN_S, protocol=2)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + WITHIN_S
        while True:
            assert self.process.poll() is None, "redis-server ended"
            try:
                if self.client.ping():
                    return
            except redis.exceptions.RedisError:
                assert time.monotonic() < deadline, f"redis-server did not answer for {WITHIN_S} s"
                # a poll of another process, which has no signal to wait for
                time.sleep(0.02)

    @property
    def patient(self) -> RedisSettings:
        """For a journal that waits as long as a busy disk takes."""
        return RedisSettings(self.url, access=Access(timeout_s=WITHIN_S))

    def command(self) -> list[str]:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        return [*command, "--dir", str(self.directory), "--save", "", *self.options]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(WITHIN_S)

    def close(self) -> None:
        self.stop()
        self.client.close()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests that only need an empty one."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    server = RedisServer(
        tmp_path_factory.mktemp("redis"), "--appendonly", "yes", "--appendfsync", "always"
    )
    yield server
    server.close()


@pytest.fixture
def empty_redis(redis_server: RedisServer) -> RedisServer:
    redis_server.client.flushall()
    return redis_server
