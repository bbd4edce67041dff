"""A raw WebSocket client (RFC 6455): frames are bytes made beforehand, or made without copying.

Client frames are masked with a mask of zeros (§5.3 asks for a mask, the text stays readable to us).
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A whole message as it goes over the wire from a client (RFC 6455 §5.2)."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65_536:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + b"\0\0\0\0" + payload


class Socket(asyncio.Protocol):
    """One connection; messages go to `on_message`, its end to `on_close` (code, 0 = broken off)."""

    def __init__(self, path: str, protocol: str = "") -> None:
        self.on_message: Callable[[bytes], None] = _nothing
        self.on_close: Callable[[int], None] = _nothing
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.code = 0
        self.is_open = False
        self._path = path
        self._protocol = protocol
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected: shake hands (§4.1)."""
        self._transport = transport  # type: ignore[assignment]  # always a stream here
        key = base64.b64encode(os.urandom(16)).decode()
        offered = f"Sec-WebSocket-Protocol: {self._protocol}\r\n" if self._protocol else ""
        self._write(
            f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Version: 13\r\n{offered}\r\n".encode()
        )

    def send(self, payload: bytes, opcode: int = TEXT) -> None:
        """Send a message; nothing when the connection is gone."""
        self._write(frame(payload, opcode))

    def send_raw(self, data: bytes) -> None:
        """Send frames made beforehand."""
        self._write(data)

    def close(self) -> None:
        """Drop the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Cut the stream into messages."""
        self._buffer += data
        if not self.is_open and not self._shake():
            return
        buffer, at = self._buffer, 0
        while True:
            end = self._one(buffer, at)
            if end < 0:
                break
            at = end
        self._buffer = buffer[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone."""
        self.is_open = False
        self._transport = None
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(f"{self._path}: no handshake: {exc}"))
        self.on_close(self.code)

    def _one(self, buffer: bytes, at: int) -> int:
        """Take one frame from `at` on; where the next begins, or -1 when it is not whole."""
        if len(buffer) < at + 2:
            return -1
        opcode, size, begin = buffer[at] & 15, buffer[at + 1] & 127, at + 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size, begin = int.from_bytes(buffer[begin : begin + width], "big"), begin + width
        end = begin + size
        if len(buffer) < end:
            return -1
        payload = buffer[begin:end]
        if opcode in {TEXT, BINARY}:
            self.on_message(payload)
        elif opcode == PING:
            self.send(payload, PONG)
        elif opcode == CLOSE:
            self.code = int.from_bytes(payload[:2], "big")
            self.send(payload[:2], CLOSE)
        return end

    def _shake(self) -> bool:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return False
        if b" 101 " not in head.split(b"\r\n")[0]:
            text = self._buffer[:300].decode("utf-8", "replace")
            if not self.opened.done():
                self.opened.set_exception(ConnectionError(f"{self._path}: {text}"))
            self.close()
            return False
        self._buffer = rest
        if self.opened.done():  # too late: nobody waits any more
            self.close()
            return False
        self.is_open = True
        self.opened.set_result(None)
        return True

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


async def connect(port: int, path: str, protocol: str = "") -> Socket:
    """A connected socket. Raises ConnectionError and OSError."""
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_connection(lambda: Socket(path, protocol), "127.0.0.1", port)
    try:
        async with asyncio.timeout(10):
            await socket.opened
    except TimeoutError:
        socket.close()
        raise
    return socket


def _nothing(_: object) -> None:
    pass
