"""Random bytes in small pieces, asked of the kernel a few hundred at a time.

A question to the kernel for each nonce and each id costs a system call, and lets go of the
interpreter lock, which a busy event loop then has to win back.
"""

from __future__ import annotations

from os import urandom

_AT_ONCE = 256


class Pieces:
    """Random pieces of one size; none is handed out twice, whichever threads ask."""

    __slots__ = ("_left", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._left: list[bytes] = []

    def take(self) -> bytes:
        """The next piece."""
        try:
            return self._left.pop()  # one step of the interpreter: no two threads get the same
        except IndexError:
            size = self._size
            block = urandom(size * _AT_ONCE)
            self._left.extend([block[at : at + size] for at in range(size, len(block), size)])
            return block[:size]
