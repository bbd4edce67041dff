"""What a phone sends and hears: each party speaks in one tone, and knows the others by theirs.

RTP (RFC 3550) with G.711 µ-law and digits (RFC 4733) on a socket of its own. So who hears whom is
found out at the ear, not asked of the PBX.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable

import numpy as np

RATE_HZ = 8000
FRAME = 160
"""Samples of 20 ms."""
WINDOW = 4 * FRAME
LOUD = 8000.0
HEARD = 0.3
"""A tone counts from this share of its full strength on: that much of the last 80 ms."""
LATE_S = 0.2
SILENT_S = 0.1
"""Nothing came for so long: nothing is heard."""
MUSIC_HZ = 440
FIRST_HZ, STEP_HZ, MOST = 600, 60, 48
PCMU, DIGITS = 0, 101
DIGIT_FRAMES = 8
GAP_FRAMES = 4
KEYS = "0123456789*#ABCD"


class Tones:
    """Which tone belongs to whom. ``music`` is fixed, everybody else gets the next one."""

    def __init__(self) -> None:
        self.hertz: dict[str, int] = {"music": MUSIC_HZ}
        self._waves = np.zeros((0, WINDOW), dtype=np.complex128)
        self._names: list[str] = []
        """Whose tones the waves are."""

    def has_room(self, name: str) -> bool:
        """Does this one have a tone, or can have one?"""
        return name in self.hertz or len(self.hertz) <= MOST

    def forget(self, name: str) -> None:
        """Its tone is free for somebody else."""
        self.hertz.pop(name, None)

    def of(self, name: str) -> int:
        """Its tone. Raises ValueError for more than there are."""
        if name not in self.hertz:
            if not self.has_room(name):
                raise ValueError(f"no more than {MOST} tones")
            taken = set(self.hertz.values())
            steps = (FIRST_HZ + STEP_HZ * step for step in range(MOST))
            self.hertz[name] = next(hertz for hertz in steps if hertz not in taken)
        return self.hertz[name]

    def in_(self, samples: np.ndarray) -> set[str]:
        """Whose tones are in the last 80 ms (WINDOW samples)."""
        names = list(self.hertz)
        if self._names != names:
            self._names = names
            at_s = np.arange(WINDOW) / RATE_HZ
            hann = np.hanning(WINDOW) * 2
            self._waves = np.array(
                [hann * np.exp(-2j * np.pi * hz * at_s) for hz in self.hertz.values()]
            )
        strength = np.abs(self._waves @ samples) * 2 / WINDOW
        return {names[int(i)] for i in np.flatnonzero(strength > HEARD * LOUD)}


class Sound:
    """One leg's sound, both ways."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tones: Tones, party: str) -> None:
        self.port = 0
        self.muted = False
        self.frames = 0
        """Received so far."""
        self.heard: list[str] = []
        """Every tone that began, oldest first."""
        self.on_heard: Callable[[], None] = _nothing
        """Called when a tone begins."""
        self._loop = loop
        self._tones = tones
        self._party = party
        self._now: set[str] = set()
        self._last_s = -1.0
        self._samples = np.zeros(WINDOW)
        self._fresh = 0
        self._towards = 0
        self._sequence = 0
        self._stamp = 0
        self._digits: deque[str] = deque()
        self._digit_frame = 0
        self._speech = _encoded(tones.of(party))
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        loop.add_reader(self._socket, self._readable)
        self._next_s = loop.time()
        self._timer = loop.call_soon(self._tick)

    def towards(self, port: int) -> None:
        """Where to send to; 0 is nowhere."""
        self._towards = port

    def press(self, digits: str) -> None:
        """Send digits, one after the other."""
        self._digits.extend(digits)

    def hears(self) -> set[str]:
        """Whose tones reach this ear now."""
        if self._loop.time() - self._last_s > SILENT_S:
            return set()
        return set(self._now)

    def close(self) -> None:
        """Nothing is sent or heard any more."""
        self._timer.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._now = set()

    def _readable(self) -> None:
        for _ in range(32):
            try:
                data = self._socket.recv(2048)
            except (BlockingIOError, ConnectionRefusedError):
                return
            if len(data) < 12 + FRAME or data[1] & 0x7F != PCMU:
                continue  # digits and comfort noise are not listened to
            self.frames += 1
            self._last_s = self._loop.time()
            frame = np.frombuffer(data, dtype=np.uint8, count=FRAME, offset=12)
            self._samples = np.concatenate((self._samples[FRAME:], _DECODED[frame]))
            self._fresh += 1
            if self._fresh >= 2:  # every 40 ms
                self._fresh = 0
                found = self._tones.in_(self._samples)
                begun = sorted(found - self._now)
                self.heard += begun
                self._now = found
                if begun:
                    self.on_heard()

    def _tick(self) -> None:
        """Send what is due by now, 20 ms in each packet.

        Late ones are made up for at once, as a phone's own clock would have it, at most 200 ms: one
        a turn of a starved loop would be a stammer in which nobody hears a tone.
        """
        now_s = self._loop.time()
        self._next_s = max(self._next_s, now_s - LATE_S)
        while self._next_s <= now_s:
            if self._towards:
                if self._digits:
                    self._send_digit()
                elif not self.muted:
                    start = self._stamp % RATE_HZ
                    self._send(PCMU, self._stamp, self._speech[start : start + FRAME])
            self._stamp = (self._stamp + FRAME) & 0xFFFFFFFF
            self._next_s += FRAME / RATE_HZ
        self._timer = self._loop.call_at(self._next_s, self._tick)

    def _send_digit(self) -> None:
        """RFC 4733 2.3: one time stamp for the whole digit, its end said three times."""
        n = self._digit_frame
        if n < DIGIT_FRAMES:
            if n == 0:
                self._digit_stamp = self._stamp
            end = 0x80 if n >= DIGIT_FRAMES - 3 else 0
            length = FRAME * min(n + 1, DIGIT_FRAMES - 2)
            payload = struct.pack("!BBH", KEYS.index(self._digits[0]), end | 10, length)
            self._send(DIGITS, self._digit_stamp, payload, marker=n == 0)
        self._digit_frame += 1
        if self._digit_frame >= DIGIT_FRAMES + GAP_FRAMES:
            self._digit_frame = 0
            self._digits.popleft()

    def _send(self, kind: int, stamp: int, payload: bytes, *, marker: bool = False) -> None:
        self._sequence = (self._sequence + 1) & 0xFFFF
        head = struct.pack(
            "!BBHII", 0x80, kind | (0x80 if marker else 0), self._sequence, stamp, self.port
        )
        try:
            self._socket.sendto(head + payload, ("127.0.0.1", self._towards))
        except (BlockingIOError, ConnectionRefusedError):
            return  # lost on the way, as sound is


def _nothing() -> None:
    """Nobody wants to know."""


def _decode(byte: int) -> int:
    """ITU-T G.711 µ-law."""
    byte = ~byte & 0xFF
    value = (((byte & 0x0F) << 3) + 0x84) << ((byte & 0x70) >> 4)
    return 0x84 - value if byte & 0x80 else value - 0x84


_DECODED = np.array([_decode(byte) for byte in range(256)], dtype=np.float64)


def _encoded(hertz: int) -> bytes:
    """One second of a tone as µ-law, and a little more, so that it can be cut anywhere."""
    wave = LOUD * np.sin(2 * np.pi * hertz * np.arange(RATE_HZ + FRAME) / RATE_HZ)
    order = np.argsort(_DECODED, kind="stable")
    places = np.searchsorted(_DECODED[order], wave)
    return bytes(order[np.clip(places, 0, 255)].astype(np.uint8))
