"""Names and passwords that people sign in with, for who has no link and no other sign-on.

A password is kept as scrypt (RFC 7914) with N = 2^15, r = 8, p = 3: the parameters that OWASP's
password storage cheat sheet gives for 32 MiB; about 0.2 s of a core, in a thread, two at a time.
Guessing is slowed per name and address, per name from anywhere, and per address for any names: an
attempt costs us more than whoever makes it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import unicodedata

import msgspec

from router.api.auth import Role
from router.api.limits import Buckets, place_of
from router.api.problems import ApiError
from router.core.commands import RecordAudit
from router.errors import Invalid, NotFound
from router.journal import ArchiveWrite, RowWrite
from router.runtime.loop import Workspace

KIND = "login"
MOST_LOGINS = 20_000
SHORTEST, LONGEST = 10, 200
"""Characters of a password."""
_N, _R, _P, _KEY_BYTES = 1 << 15, 8, 3, 32
_MEMORY = 128 * _N * _R * 2
AT_ONCE = 2
"""Passwords that are checked at a time: each takes 32 MiB."""
WAITING = 60
"""Most who wait for that; some 15 seconds."""


class LoginRow(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What is kept of a name and its password."""

    name: str
    role: Role
    agent: str = ""
    """For role agent: who they are."""
    salt: bytes
    key: bytes
    n: int = _N
    r: int = _R
    p: int = _P
    changed_at_us: int = 0
    by: str = ""

    @property
    def mark(self) -> str:
        """Who has opened the sessions of this name."""
        return f"login:{self.name}"


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(LoginRow).decode
_NOBODY = LoginRow(name="", role=Role.METRICS, salt=bytes(16), key=bytes(_KEY_BYTES))
"""Checked in place of a name that is not there: an answer must not tell which names are."""


class Logins:
    """The names and passwords of all workspaces that this process serves."""

    def __init__(self) -> None:
        self._workspaces: dict[str, Workspace] = {}
        self._rows: dict[tuple[str, str], LoginRow] = {}
        self._near = Buckets(1 / 12, 5)
        """Tries per name and address: five, then one every twelve seconds."""
        self._far = Buckets(1.0, 20)
        """Tries per name, from anywhere."""
        self._wrong = Buckets(1.0, 30)
        """Tries per address, of any names, that were wrong or are not decided yet."""
        self._waiting = 0
        self._room = asyncio.Semaphore(AT_ONCE)

    def load(self, workspace: Workspace) -> None:
        """Take over the names of a workspace that has just been opened."""
        self._workspaces[workspace.name] = workspace
        for data in workspace.rows_of(KIND).values():
            row = _decode(data)
            self._rows[workspace.name, row.name] = row

    def unload(self, workspace: str) -> None:
        """A workspace is not served here any more."""
        self._workspaces.pop(workspace, None)
        for row in self.of(workspace):
            del self._rows[workspace, row.name]

    def has(self, name: str) -> str:
        """A workspace served here that knows this name; empty: none."""
        return next((workspace for workspace, known in self._rows if known == name), "")

    def of(self, workspace: str) -> list[LoginRow]:
        """All names of a workspace, in order."""
        rows = [row for (name, _), row in self._rows.items() if name == workspace]
        return sorted(rows, key=lambda row: row.name)

    def any(self) -> bool:
        """Has anybody, in any workspace, a password?"""
        return bool(self._rows)

    async def put(
        self, workspace: str, row: LoginRow, password: str, archive: ArchiveWrite
    ) -> LoginRow:
        """Set a password; durable when it returns. Raises Invalid for one that is too easy."""
        check_password(password, row.name)
        if (workspace, row.name) not in self._rows and len(self.of(workspace)) >= MOST_LOGINS:
            raise Invalid("too_many", f"at most {MOST_LOGINS} names in one workspace")
        async with self._room:
            key = await asyncio.to_thread(_derive, password, row)
        kept = msgspec.structs.replace(row, key=key)
        write = RowWrite(KIND, row.name, _encode(kept))
        command = RecordAudit(action="login.put", subject=row.name, by=row.by)
        await self._workspaces[workspace].ask(command, (archive,), rows=[write])
        self._rows[workspace, row.name] = kept
        return kept

    async def remove(self, workspace: str, name: str, by: str, archive: ArchiveWrite) -> LoginRow:
        """A name is gone. Raises NotFound."""
        row = self._rows.pop((workspace, name), None)
        if row is None:
            raise NotFound("login", name)
        served = self._workspaces[workspace]
        served.forget(KIND, name)
        await served.ask(RecordAudit(action="login.remove", subject=name, by=by), (archive,))
        return row

    async def check(
        self, workspace: str, name: str, password: str, address: str, now_us: int
    ) -> tuple[str, LoginRow]:
        """The workspace and row of who signs in. Raises ApiError 401, and 429 for who guesses.

        `workspace` may be empty where the name is known in one only.
        """
        place = place_of(address)
        # First: whoever makes up names must not push out of the tables those that are guessed at.
        wait_s = self._wrong.take(place, now_us)
        if not wait_s:
            wait_s = (
                self._near.take(f"{name}\n{place}", now_us)
                # Who is slowed there must not use up the tries of everybody else.
                or self._far.take(name, now_us)
            )
            if wait_s:  # nothing was tried
                self._wrong.give_back(place, now_us)
        if wait_s:
            raise ApiError(
                429, "rate_limited", "too many tries: wait a little", retry_after_s=round(wait_s, 1)
            )
        found = [w for w in self._workspaces if workspace in ("", w) and (w, name) in self._rows]
        row = self._rows[found[0], name] if len(found) == 1 else _NOBODY
        key = await self._derived(password[:LONGEST], row)
        if row is _NOBODY or not hmac.compare_digest(key, row.key):
            raise ApiError(401, "wrong_login", "this name and password do not fit")
        self._wrong.give_back(place, now_us)
        return found[0], row

    def is_current(self, workspace: str, row: LoginRow) -> bool:
        """Is this still the name's password? It may have changed while it was checked."""
        return self._rows.get((workspace, row.name)) is row

    async def _derived(self, password: str, row: LoginRow) -> bytes:
        if self._waiting >= WAITING:
            raise ApiError(
                503, "overloaded", "too many sign in at once: wait a little", retry_after_s=5.0
            )
        self._waiting += 1
        try:
            async with self._room:
                return await asyncio.to_thread(_derive, password, row)
        finally:
            self._waiting -= 1


def make_login(name: str, role: Role, agent: str, now_us: int, by: str) -> LoginRow:
    """A row without its key yet. Raises Invalid when role and agent do not fit."""
    if role not in (Role.ADMIN, Role.SUPERVISOR, Role.AGENT):
        raise Invalid("invalid", f"people are admin, supervisor or agent, not {role}")
    if (role is Role.AGENT) != bool(agent):
        raise Invalid(
            "invalid", f"role {role}: expected {'an' if role is Role.AGENT else 'no'} agent"
        )
    salt = secrets.token_bytes(16)
    return LoginRow(
        name=name, role=role, agent=agent, salt=salt, key=b"", changed_at_us=now_us, by=by
    )


def check_password(password: str, name: str) -> None:
    """Raises Invalid: too short, too long, or the name itself (NIST SP 800-63B section 5.1.1.2)."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Invalid(
            "weak_password", f"a password has {SHORTEST} to {LONGEST} characters - at `$.password`"
        )
    plain = password.casefold()
    if len(set(plain)) < 4 or (name.casefold() in plain and len(plain) < len(name) + 6):
        raise Invalid("weak_password", "this password is guessed at once - at `$.password`")


def _derive(password: str, row: LoginRow) -> bytes:
    # RFC 8265 section 4.2.2: the same letters, however they were composed, are the same password.
    text = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(
        text, salt=row.salt, n=row.n, r=row.r, p=row.p, maxmem=_MEMORY, dklen=_KEY_BYTES
    )
