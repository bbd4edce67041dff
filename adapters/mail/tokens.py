"""Which mail belongs to which contact: Message-IDs of ours that can be read, and names of threads.

What we send has a Message-ID that names contact and message, with a signature. Whoever answers
sends it back (References, In-Reply-To), a bounce brings it back, too, and nobody can make one up.
Nothing has to be remembered for that: not over a restart, and not for years.
"""

from __future__ import annotations

import base64
import hmac
from typing import NamedTuple

MARK = "cr"
THREAD_CHARS = 12
"""60 bits: names of threads are keyed, nobody can look for two with the same one."""
_SIGNATURE_CHARS = 16
_WHO_CHARS = 6
_MARK_CHARS = 8
"""40 bits: each guess costs a mail, and is filed as one."""


class Token(NamedTuple):
    """What a Message-ID of ours says."""

    message: str
    contact: str
    thread: str
    """The contact's id at this adapter; empty where it was not ours."""
    who: str
    """To whom it went: `Signer.who` of the address."""


class Signer:
    """Makes and reads ids, with a secret of the installation."""

    def __init__(self, secret: bytes, name: str) -> None:
        self._key = hmac.digest(secret, b"mail:" + name.encode(), "sha256")

    def thread(self, reference: str, address: str) -> str:
        """The name of a contact that begins with this mail of this customer."""
        return "t" + self._word("thread", f"{reference}\0{address}", THREAD_CHARS - 1)

    def who(self, address: str) -> str:
        """Tells addresses apart, and not what they are."""
        return self._word("who", address, _WHO_CHARS)

    def message_id(self, token: Token, host: str) -> str:
        """Without angle brackets."""
        body = f"{MARK}.{token.message}.{token.contact}.{token.thread}.{token.who}"
        return f"{body}.{self._sign(body)}@{host}"

    def read(self, id_: str) -> Token | None:
        """The token in a Message-ID or envelope id of ours; None for anything else.

        Some servers change the host or the case of letters: neither counts.
        """
        body, dot, signature = id_.partition("@")[0].lower().rpartition(".")
        parts = body.split(".")
        if not dot or len(parts) != 5 or parts[0] != MARK:
            return None
        if not hmac.compare_digest(signature.encode(), self._sign(body).encode()):
            return None
        return Token(*parts[1:])

    def subject_mark(self, thread: str, who: str) -> str:
        """``[#...]``: for customers whose programs send no References.

        It says to whom it was given, so that a mail of anybody else who has seen it is told apart.
        """
        return f"[#{thread}{who}{self._word('subject', f'{thread}.{who}', _MARK_CHARS)}]"

    def in_subject(self, subject: str) -> tuple[str, str]:
        """The thread that a subject names, and to whom the mark was given; empty = none.

        Marks of before did not say to whom: it is empty then, and nobody's address fits.
        """
        for part in subject.split("[#")[1:5]:
            word = part.partition("]")[0].lower()
            thread, rest = word[:THREAD_CHARS], word[THREAD_CHARS:]
            who, check = rest[:-_MARK_CHARS], rest[-_MARK_CHARS:]
            if len(who) not in (0, _WHO_CHARS):
                continue
            expected = self._word("subject", f"{thread}.{who}" if who else thread, _MARK_CHARS)
            if hmac.compare_digest(check.encode("utf-8", "replace"), expected.encode()):
                return thread, who
        return "", ""

    def _sign(self, body: str) -> str:
        return self._word("token", body, _SIGNATURE_CHARS)

    def _word(self, kind: str, text: str, chars: int) -> str:
        digest = hmac.digest(self._key, f"{kind}\0{text}".encode("utf-8", "replace"), "sha256")
        return base64.b32encode(digest).decode().lower()[:chars]


def is_thread(external_id: str) -> bool:
    """Is this an id that `Signer.thread` has made?"""
    return len(external_id) == THREAD_CHARS and external_id[0] == "t" and external_id.isalnum()


def plain(id_: str) -> str:
    """A router's id as it may stand in a Message-ID: they are made of these letters anyway."""
    return "".join(
        mark if mark.isascii() and (mark.isalnum() or mark in "-_") else "-" for mark in id_
    ).lower()
