"""Questions between nodes that nobody answers: a node that is gone is told from a slow one."""

from __future__ import annotations

import asyncio
import socket

import pytest

from router.api.hops import Hops
from router.api.peers import PeerFailed, Peers, PeerSlow
from router.runtime.clock import SystemClock


async def test_a_node_that_is_gone_is_told_from_one_that_takes_its_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        there = f"http://127.0.0.1:{listening.getsockname()[1]}"
        peers = Peers(Hops(b"s" * 32, SystemClock(), "a"))
        try:
            with pytest.raises(PeerSlow):
                await peers.call("POST", there, "/nodes/warm?workspace=w", 0.3)
            listening.close()
            with pytest.raises(PeerFailed) as caught:
                await peers.call("POST", there, "/nodes/warm?workspace=w", 30)
            assert not isinstance(caught.value, PeerSlow)
        finally:
            await peers.close()


async def test_a_node_that_stops_or_answers_nonsense_is_not_taken_for_a_slow_one() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0))
        writer.close()

    head = b"Content-Type: application/json\r\nConnection: close\r\nContent-Length: "
    answers = [
        b"HTTP/1.1 503 Service Unavailable\r\n" + head + b"2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + head + b"1\r\n\r\n{",
        b"",
    ]
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    peers = Peers(Hops(b"s" * 32, SystemClock(), "a"))
    try:
        for _ in range(3):
            with pytest.raises(PeerFailed) as caught:
                await peers.call("POST", f"http://127.0.0.1:{port}", "/nodes/warm", 30)
            assert not isinstance(caught.value, PeerSlow)
        assert not answers
    finally:
        await peers.close()
        server.close()
