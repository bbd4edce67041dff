"""Every backend keeps the contract: one suite for all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.journal import Journal
from router.journal.memory import MemoryJournal, MemoryWorld
from router.journal.redis_store import RedisJournal
from router.journal.shared import SharedJournal
from router.journal.sqlite import SqliteJournal
from router.testing.journal_suite import JournalSuite, SharedJournalSuite
from tests.journal.conftest import RedisServer


class TestMemory(SharedJournalSuite):
    @pytest.fixture(autouse=True)
    def _world(self) -> None:
        self.world = MemoryWorld()

    @pytest.fixture
    def journal(self) -> Journal:
        return MemoryJournal(self.world)

    @pytest.fixture
    def another(self) -> SharedJournal:
        return MemoryJournal(self.world)


class TestSqliteDisk(JournalSuite):
    @pytest.fixture
    async def journal(self, tmp_path: Path) -> AsyncIterator[Journal]:
        store = SqliteJournal(tmp_path / "data", durability="disk")
        yield store
        await store.close()


class TestSqliteProcess(JournalSuite):
    @pytest.fixture
    async def journal(self, tmp_path: Path) -> AsyncIterator[Journal]:
        store = SqliteJournal(tmp_path / "data", durability="process")
        yield store
        await store.close()


@pytest.mark.peer
class TestRedis(SharedJournalSuite):
    @pytest.fixture
    async def journal(self, empty_redis: RedisServer) -> AsyncIterator[Journal]:
        store = RedisJournal(empty_redis.patient)
        yield store
        await store.close()

    @pytest.fixture
    async def another(self, empty_redis: RedisServer) -> AsyncIterator[SharedJournal]:
        store = RedisJournal(empty_redis.patient)
        yield store
        await store.close()
