"""The process that reads mails: little memory, little time, no files, no network in its code.

``python -m adapters.mail.worker``: on its input frames of four bytes of length and a mail; on its
output frames of four bytes of length and msgpack of `Read`. Whatever a mail does to it, the adapter
notices, puts the mail aside and starts another one.
"""

from __future__ import annotations

import resource
import struct
import sys
from typing import BinaryIO

import msgspec

from adapters.mail.mime import MAIL_BYTES, Mail, TooMuch, read

MEMORY_BYTES = 768 * 1024 * 1024
CPU_S = 8
"""For one mail; a mail of 25 MB takes less than one."""
FRAME = struct.Struct(">I")


class Read(msgspec.Struct):
    """What came of a mail."""

    mail: Mail | None = None
    refused: str = ""
    """Why it is not taken, without anything personal."""


def limit() -> None:
    """From here on this process cannot grow beyond its bounds, nor write a file."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))


def more_time() -> None:
    """The time for the next mail: the system counts all that this process has used so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + CPU_S
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Read mails until the input ends."""
    encode = msgspec.msgpack.Encoder().encode
    while head := requests.read(FRAME.size):
        (size,) = FRAME.unpack(head)
        if size > MAIL_BYTES:
            return
        data = requests.read(size)
        more_time()
        try:
            answer = Read(mail=read(data))
        except TooMuch as error:
            answer = Read(refused=str(error))
        except MemoryError:
            return  # nothing can be trusted any more
        except Exception as error:  # the parser of the standard library broke: not our mail
            answer = Read(refused=f"cannot be read: {type(error).__name__}")
        out = encode(answer)
        answers.write(FRAME.pack(len(out)))
        answers.write(out)
        answers.flush()


if __name__ == "__main__":
    limit()
    serve(sys.stdin.buffer, sys.stdout.buffer)
