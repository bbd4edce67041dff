"""One mailbox, read by a thread of its own: RFC 3501, IDLE (RFC 2177), MOVE (RFC 6851).

Nothing is remembered here. What was taken is marked in the mailbox, by its folder or by a keyword,
and only after the router has it durably; a mail that was taken and not marked is taken again, and
the router recognises it. So a restart, a lost connection and new UIDs (UIDVALIDITY) are the same
thing: look for what is not marked. UIDs are used within one connection only.
"""

from __future__ import annotations

import contextlib
import imaplib
import itertools
import logging
import os
import random
import select
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from imap_tools import MailBox, MailBoxStartTls, MailBoxUnencrypted
from imap_tools.errors import ImapToolsError

from adapters.mail.login import Login, NoToken, xoauth2
from adapters.mail.mime import MAIL_BYTES
from adapters.mail.settings import Mailbox, Settings

log = logging.getLogger(__name__)

Verdict = Literal["done", "automatic", "quarantine", "again"]
Judge = Callable[[bytes], "Future[Verdict]"]

KEYWORD = "$ContactRouter"
COMMAND_S = 30.0
"""For each answer of the server; then the connection is lost."""
JUDGE_S = 120.0
"""For the router to take a mail; then it is tried again later."""
TRIES = 3
"""So often is a mail tried that breaks something, here or at its server, before it is put aside."""
CHUNK = 100
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
AGAIN_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses while the router takes nothing."""
LOST = (OSError, EOFError, imaplib.IMAP4.error, ImapToolsError, UnicodeError, NoToken)
_Box = MailBox | MailBoxStartTls | MailBoxUnencrypted


class MailboxReader(threading.Thread):
    """Reads one mailbox until it is stopped; connects again by itself.

    `judge` is called in this thread with a mail's bytes and says later what is to be done with it;
    `told` with ``up``, ``lost`` or ``again``, and why.
    """

    def __init__(self, box: Mailbox, settings: Settings, login: Login, tls: ssl.SSLContext,
                 judge: Judge, told: Callable[[str, str], None],
                 rng: random.Random) -> None:  # fmt: skip
        super().__init__(name=f"mailbox {box.host}", daemon=True)
        self._box = box
        self._settings = settings
        self._login = login
        self._tls = tls
        self._judge = judge
        self._told = told
        self._rng = rng
        self._ends = threading.Event()
        self._wake_r, self._wake_w = socket.socketpair()
        self._client: imaplib.IMAP4 | None = None
        self._judging: Future[Verdict] | None = None
        self._tries: Counter[str] = Counter()
        self._delayed = 0
        """Rounds in a row that ended because the router took nothing."""

    # -- called from the loop --------------------------------------------------------------------

    def end(self) -> None:
        """Begin to end: what is being taken is given up, and taken again at the next start."""
        with contextlib.suppress(OSError):  # it has ended by itself
            self._wake_w.send(b"x")
        self._ends.set()
        if self._judging is not None:
            self._judging.cancel()

    def cut(self) -> None:
        """End now: whatever the server is waited for."""
        client = self._client
        if client is not None:
            with contextlib.suppress(OSError):  # it was gone already
                client.sock.shutdown(socket.SHUT_RDWR)

    # -- the thread ------------------------------------------------------------------------------

    def run(self) -> None:
        """Connect, serve, and again after a pause."""
        pause_s = FIRST_PAUSE_S
        while not self._ends.is_set():
            why = "the connection was lost"
            try:
                box = self.connect()
                try:
                    self._prepare(box)
                    self._told("up", "")
                    pause_s = FIRST_PAUSE_S
                    self._serve(box)
                    box.logout()
                finally:
                    self._client = None
                    _close(box.client)
            except LOST as error:
                why = words_of(error)
            except Exception:  # ours: no mailbox may stay unread for it
                log.exception("a mailbox reader broke")
                why = "internal error"
            if not self._ends.is_set():
                self._told("lost", why)
                self._ends.wait(pause_s * (0.5 + self._rng.random()))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self.close()

    def close(self) -> None:
        """Of what was made with it, the rest."""
        self._wake_r.close()
        self._wake_w.close()

    def connect(self) -> _Box:
        """Logged in, with the folder selected. Raises what `LOST` has."""
        box, at = self._box, (self._box.host, self._box.port)
        made: _Box
        if box.tls == "tls":
            made = MailBox(*at, timeout=COMMAND_S, ssl_context=self._tls)
        elif box.tls == "starttls":
            made = MailBoxStartTls(*at, timeout=COMMAND_S, ssl_context=self._tls)
        else:
            made = MailBoxUnencrypted(*at, timeout=COMMAND_S)
        client = made.client
        self._client = client
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        read = client.read

        def bounded(size: int) -> bytes:
            if size > MAIL_BYTES + 1_000_000:
                raise client.abort(f"a literal of {size} bytes was announced")
            return bytes(read(size))

        client.read = bounded  # type: ignore[method-assign]  # a lying server could fill memory
        try:
            user, secret = box.user or box.address, self._login.secret()
            if self._login.has_token:
                xoauth2(client, user, secret)
            else:
                made.login(user, secret, None)
            client._get_capabilities()  # a server tells all of them only to who is logged in
            made.folder.set(box.folder)
        except BaseException:
            _close(client)
            raise
        return made

    def _prepare(self, box: _Box) -> None:
        """Folders; and what was there before the very first start and is not wanted."""
        settings, wanted = self._settings, self._box
        if not keeps_keywords(box) and not wanted.done_folder:
            raise ImapToolsError("this server keeps no keywords: set done_folder, and first: all")
        names = {folder.name for folder in box.folder.list()}
        if wanted.done_folder and wanted.done_folder not in names:
            box.folder.create(wanted.done_folder)
        if settings.automatic_folder not in names:
            box.folder.create(settings.automatic_folder)
        if settings.quarantine_folder in names:
            return
        # The folder is also the sign that this was done: made last.
        since = datetime.now(UTC) - timedelta(days=wanted.first_days)
        criteria = {
            "all": ["SINCE", _imap_date(since)],
            "unseen": ["UNSEEN", "SINCE", _imap_date(since)],
            "new": [],
        }[wanted.first]
        old = set(self._search(box, "ALL"))
        if criteria:
            old -= set(self._search(box, *criteria))
        uids = sorted(old, key=int)
        if uids and not keeps_keywords(box):
            raise ImapToolsError("this server keeps no keywords: set first: all, first_days: 9999")
        for start in range(0, len(uids), CHUNK):
            self._flag(box, ",".join(uids[start : start + CHUNK]), KEYWORD)
        box.folder.create(settings.quarantine_folder)

    def _serve(self, box: _Box) -> None:
        while not self._ends.is_set():
            taken = self._round(box)
            if taken is not None:
                self._delayed = 0
                self._told("up", "")
                if not taken:  # else mail may have come meanwhile, and IDLE would not tell
                    self._wait_for_mail(box)
            elif not self._ends.is_set():
                pause_s = AGAIN_S[min(self._delayed, len(AGAIN_S) - 1)]
                self._delayed += 1
                self._ends.wait(pause_s)
                _checked(box.client.noop())

    # -- mails -----------------------------------------------------------------------------------

    def _round(self, box: _Box) -> int | None:
        """Take everything that is not marked: how many. None: the router takes nothing now."""
        keyword = ["UNKEYWORD", KEYWORD] if keeps_keywords(box) else []
        uids = self._search(box, "UNDELETED", *keyword)
        taken = 0
        for start in range(0, len(uids), CHUNK):
            sizes = self._sizes(box, uids[start : start + CHUNK])
            for uid, size in sizes.items():
                if self._ends.is_set():
                    return None
                verdict = self._take(box, uid, size)
                if verdict == "again":
                    return None
                self._mark(box, uid, verdict)
                taken += 1
        return taken  # and not all: one that the server lists and knows nothing of comes each time

    def _take(self, box: _Box, uid: str, size: int) -> Verdict:
        if size > MAIL_BYTES:
            self._put_aside(uid, f"{size} bytes")
            return "quarantine"
        try:
            data = self._body(box, uid)
        except ImapToolsError:  # the server has it and cannot give it: all others wait behind it
            self._tries[uid] += 1
            if self._tries[uid] < TRIES:
                raise
            self._put_aside(uid, "the server does not give it")
            return "quarantine"
        if data is None:
            return "done"  # somebody else has removed it
        future = self._judging = self._judge(data)
        try:
            verdict = future.result(JUDGE_S)
        except (CancelledError, TimeoutError):
            future.cancel()
            self._told("again", "the router did not answer")
            return "again"
        except Exception:
            log.exception("a mail broke something")
            self._tries[uid] += 1
            if self._tries[uid] < TRIES:
                self._told("again", "a mail broke something")
                return "again"
            self._put_aside(uid, "internal error")
            return "quarantine"
        finally:
            self._judging = None
        if verdict == "again":
            self._told("again", "the router takes nothing")
        self._tries.pop(uid, None)
        return verdict

    def _put_aside(self, uid: str, why: str) -> None:
        log.warning("mail put aside", extra={"host": self._box.host, "uid": uid, "why": why})

    def _mark(self, box: _Box, uid: str, verdict: Verdict) -> None:
        if verdict == "quarantine":
            self._move(box, uid, self._settings.quarantine_folder)
        elif verdict == "automatic":
            self._move(box, uid, self._settings.automatic_folder)
        elif self._box.done_folder:
            self._move(box, uid, self._box.done_folder)
        else:
            self._flag(box, uid, rf"\Seen {KEYWORD}")

    # -- commands --------------------------------------------------------------------------------

    def _search(self, box: _Box, *criteria: str) -> list[str]:
        data = self._uid(box, "SEARCH", *criteria)
        found = [uid for part in data if isinstance(part, bytes) for uid in part.decode().split()]
        return [uid for uid in found if uid.isdigit()]

    def _sizes(self, box: _Box, uids: list[str]) -> dict[str, int]:
        """RFC822.SIZE by UID, as the server says: before anything is loaded."""
        if not uids:
            return {}
        sizes: dict[str, int] = {}
        for part in self._uid(box, "FETCH", ",".join(uids), "(RFC822.SIZE)"):
            if not isinstance(part, bytes):
                continue
            words = part.decode("ascii", "replace").replace("(", " ").replace(")", " ").split()
            pairs = dict(itertools.pairwise(words))
            uid, size = pairs.get("UID", ""), pairs.get("RFC822.SIZE", "")
            if uid in uids and size.isdigit():
                sizes[uid] = int(size)
        return {uid: sizes[uid] for uid in uids if uid in sizes}

    def _body(self, box: _Box, uid: str) -> bytes | None:
        """None: it is gone. Raises what `LOST` has."""
        for part in self._uid(box, "FETCH", uid, "(BODY.PEEK[])"):
            if isinstance(part, tuple) and b"BODY[]" in part[0]:
                return bytes(part[1])
            if isinstance(part, bytes) and b"BODY[]" in part:  # NIL: there, and cannot be read
                raise ImapToolsError("FETCH brought no mail")
        return None

    def _flag(self, box: _Box, uids: str, flags: str) -> None:
        self._uid(box, "STORE", uids, "+FLAGS.SILENT", f"({flags})")

    def _move(self, box: _Box, uid: str, folder: str) -> None:
        """MOVE; else COPY and a mark. EXPUNGE removes what others have marked, so only UID EXPUNGE
        (RFC 4315) is used; without it the mail stays, marked as deleted."""
        name = _folder(folder)
        capabilities = box.client.capabilities
        if "MOVE" in capabilities:
            self._uid(box, "MOVE", uid, name)
            return
        self._uid(box, "COPY", uid, name)
        keyword = f" {KEYWORD}" if keeps_keywords(box) else ""
        self._flag(box, uid, rf"\Deleted{keyword}")
        if "UIDPLUS" in capabilities:
            self._uid(box, "EXPUNGE", uid)

    def _uid(self, box: _Box, command: str, *args: str) -> list[object]:
        """A UID command; what the server has said by itself before is forgotten (the library would
        keep it for ever, or mix it into the answer). Raises what `LOST` has."""
        client = box.client
        kept = client.untagged_responses.get("PERMANENTFLAGS")
        client.untagged_responses.clear()
        if kept is not None:
            client.untagged_responses["PERMANENTFLAGS"] = kept
        if command == "MOVE" and "MOVE" not in imaplib.Commands:
            imaplib.Commands["MOVE"] = ("SELECTED",)
        kind, data = client.uid(command, *args)
        if kind != "OK":
            raise ImapToolsError(f"{command} was refused")
        return list(data)

    # -- waiting ---------------------------------------------------------------------------------

    def _wait_for_mail(self, box: _Box) -> None:
        """IDLE until the server says something, `idle_s` is over, or we are to end."""
        client = box.client
        if "IDLE" not in client.capabilities:
            self._ends.wait(self._settings.poll_s)
            _checked(client.noop())
            return
        imaplib.Commands.setdefault("IDLE", ("SELECTED",))
        tag = client._command("IDLE")
        is_news = False
        while client._get_response() is not None:  # None: the continuation
            if client.tagged_commands[tag]:
                raise ImapToolsError("IDLE was refused")
            is_news = True  # mail came between the last look and IDLE
        if not is_news and not _has_buffered(client):
            poller = select.poll()
            poller.register(client.sock, select.POLLIN)
            poller.register(self._wake_r, select.POLLIN)
            poller.poll(self._settings.idle_s * 1_000)
        client.send(b"DONE\r\n")
        while not client.tagged_commands[tag]:
            client._get_response()
        kind, _ = client.tagged_commands.pop(tag) or ("BAD", [])
        if kind != "OK":
            raise ImapToolsError("IDLE was refused")


def keeps_keywords(box: _Box) -> bool:
    """Can flags of our own be set in the selected folder (RFC 3501 section 7.1)?"""
    flags = box.client.untagged_responses.get("PERMANENTFLAGS")
    return flags is None or any(b"\\*" in flag for flag in flags)


def _close(client: imaplib.IMAP4) -> None:
    with contextlib.suppress(OSError):  # it is closed already, or was never open
        client.shutdown()


def _has_buffered(client: imaplib.IMAP4) -> bool:
    """Has something been read from the socket already that nobody has looked at? Poll cannot see
    it: an answer that came together with the continuation would wait for the next mail."""
    client.sock.settimeout(0)
    try:
        buffered: Any = vars(client).get("_file") or client.file  # its name changes in 3.14
        return bool(buffered.peek(1))
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    finally:
        client.sock.settimeout(COMMAND_S)


def _checked(result: tuple[object, object]) -> None:
    if result[0] != "OK":
        raise ImapToolsError(f"expected OK, got {result[0]}")


def _folder(name: str) -> str:
    """A folder's name as it goes over the wire: RFC 3501 sections 5.1.3 and 4.3."""
    from imap_tools.imap_utf7 import utf7_encode

    encoded = utf7_encode(name).decode("ascii").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{encoded}"'


def _imap_date(at: datetime) -> str:
    months = "JanFebMarAprMayJunJulAugSepOctNovDec"
    return f"{at.day}-{months[3 * at.month - 3 : 3 * at.month]}-{at.year}"


def words_of(error: BaseException) -> str:
    """Why, without what the server said: that may name the user."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    if type(error).__name__ == "MailboxLoginError":
        return "the login was refused"
    if type(error) in (ImapToolsError, NoToken):
        return str(error)
    return f"the connection was lost ({type(error).__name__})"
