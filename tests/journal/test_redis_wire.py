"""What goes over the wire to Redis and comes back, and what ends a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import JournalFailed
from router.journal.redis_line import Access, Endpoint, RedisLine, endpoint_of_url
from router.journal.redis_wire import Refused, Wire, pack
from tests.journal.conftest import RedisServer

peer = pytest.mark.peer
LOCAL = "127.0.0.1"
ANSWERS = b"+OK\r\n:-7\r\n*3\r\n$3\r\na\r\n\r\n$-1\r\n*0\r\n$-1\r\n-ERR not so\r\n"


@asynccontextmanager
async def server(*said: bytes, hangs_up: bool = False) -> AsyncIterator[RedisLine]:
    """A line to a server that answers everything on its nth connection by the nth of these."""
    waiting = list(said)
    joined: list[asyncio.Task[None]] = []

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me is not None
        joined.append(me)
        answer = waiting.pop(0)
        while await reader.read(1 << 16):
            writer.write(answer)
            if hangs_up:
                break
        writer.close()

    listening = await asyncio.start_server(join, LOCAL, 0)
    line = RedisLine(Access(timeout_s=20), Endpoint(LOCAL, listening.sockets[0].getsockname()[1]))
    yield line
    await line.close()
    listening.close()
    await asyncio.gather(*joined)


@given(
    st.lists(
        st.lists(st.text() | st.binary() | st.integers(), min_size=1).map(tuple), min_size=1
    )
)  # fmt: skip
def test_commands_are_packed_as_others_pack_them(commands: list[tuple[str | bytes | int]]) -> None:
    assert pack(commands) == b"".join(hiredis.pack_command(command) for command in commands)


@pytest.mark.parametrize("cut", range(1, len(ANSWERS)))
async def test_answers_arrive_whole_wherever_they_are_cut(cut: int) -> None:
    loop = asyncio.get_running_loop()
    theirs = await loop.create_server(asyncio.Protocol, LOCAL, 0)
    _, wire = await loop.create_connection(Wire, *theirs.sockets[0].getsockname())
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(wire.exchange(b"PING\r\n", 5, loop.time() + 20))
        await asyncio.sleep(0)  # it has asked
        wire.data_received(ANSWERS[:cut])
        wire.data_received(ANSWERS[cut:])
    *answers, refused = asking.result()
    assert answers == [b"OK", -7, [b"a\r\n", None, []], None]
    assert isinstance(refused, Refused)
    assert str(refused) == "ERR not so"
    await wire.close()
    theirs.close()


async def test_bytes_that_are_no_answer_end_the_connection_and_the_next_one_works() -> None:
    async with server(b"?\r\n", b"+OK\r\n") as line:
        with pytest.raises(JournalFailed, match=r"did not answer 'GET' .*Protocol error"):
            await line.call("GET", "x")
        assert await line.call("GET", "x") == b"OK"


async def test_one_answer_too_many_is_never_the_next_command_s() -> None:
    async with server(b"+OK\r\n+of another\r\n", b"+OK\r\n") as line:
        with pytest.raises(JournalFailed, match="an answer that nobody has asked for"):
            await line.call("GET", "x")
        assert await line.call("GET", "x") == b"OK"


async def test_what_a_server_says_before_it_hangs_up_is_why() -> None:
    async with server(b"-ERR not today\r\n", hangs_up=True) as line:
        with pytest.raises(JournalFailed, match="not today"):
            await line.exchange([("GET", "x"), ("GET", "y")])


@peer
async def test_a_server_that_has_ended_is_found_again(empty_redis: RedisServer) -> None:
    line = RedisLine(Access(), Endpoint(LOCAL, empty_redis.port))
    mine = await line.call("CLIENT", "ID")
    empty_redis.client.client_kill_filter(_id=mine)
    answers = [await _or_none(line) for _ in range(2)]
    assert answers[-1] == b"PONG", "at the latest the second command is on a new connection"
    assert await line.call("CLIENT", "ID") != mine
    await line.close()


async def _or_none(line: RedisLine) -> object:
    try:
        return await line.call("PING")
    except JournalFailed:
        return None


@peer
async def test_a_unix_socket_and_a_database_are_used(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    path = tmp_path / "redis.sock"
    own = RedisServer(tmp_path, "--unixsocket", str(path))
    endpoint, is_tls, database = endpoint_of_url(f"unix://{path}?db=3")
    assert (endpoint, is_tls) == (Endpoint(str(path), 0), False)
    line = RedisLine(Access(database=database), endpoint)
    assert await line.call("SET", "x", 1) == b"OK"
    assert own.client.info("keyspace")["db3"]["keys"] == 1
    await line.close()
    own.close()
