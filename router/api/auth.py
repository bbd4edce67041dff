"""Who is asking: opaque tokens, what each role may do, and the ticket that signs a page in.

A token is ``crt_`` (a ticket ``crk_``) + 43 characters of 256 random bits + 6 of a checksum. Only
its SHA-256 is stored, as a live row of its workspace, so a token says which workspace its bearer
belongs to: nothing in a path or body can.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from enum import StrEnum

import msgspec

from router.core.commands import RecordAudit
from router.core.events import AuditRecorded
from router.errors import Invalid, NotFound, Overloaded, StoreFull
from router.journal import ArchiveWrite, Commit, Ownership, RowWrite
from router.journal.codec import encode_event
from router.runtime.loop import Workspace

KIND = "token"
MOST_TOKENS = 20_000
MOST_KNOWN = 4_096
SESSION_US = 12 * 3600 * 1_000_000
TICKET_US = 30 * 1_000_000
TEXT_CHARS = 4 + 43 + 6


class Role(StrEnum):
    """What a token may do; the route table says which operations admit which role."""

    ADMIN = "admin"
    SUPERVISOR = "supervisor"
    AGENT = "agent"
    """Bound to one agent."""
    ADAPTER = "adapter"
    """Bound to one adapter."""
    CLIENT = "client"
    """Submits and reads contacts: a web shop, a CRM."""
    METRICS = "metrics"


class Use(StrEnum):
    """What a token is for."""

    TOKEN = "token"
    SESSION = "session"
    TICKET = "ticket"
    """Only to be exchanged for a session."""


class TokenRow(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What is kept of a token."""

    id: str
    digest: bytes
    role: Role
    name: str = ""
    use: Use = Use.TOKEN
    agent: str = ""
    channel: str = ""
    """The adapter's name, for role adapter."""
    once: bool = False
    """A ticket that is used up by its exchange."""
    created_at_us: int = 0
    expires_at_us: int = 0
    """0 = never."""
    by: str = ""
    subject: str = ""
    """Who it is at the identity provider (its `sub`); empty: did not sign in there."""
    provider_session: str = ""
    """That provider's session (its `sid`)."""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking."""

    workspace: str
    token: str
    role: Role
    agent: str = ""
    channel: str = ""
    name: str = ""
    expires_at_us: int = 0
    by: str = ""
    """For the audit: ``agent:ana``, ``token:shop``."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(TokenRow).decode


def make_token(
    role: Role,
    *,
    now_us: int,
    name: str = "",
    use: Use = Use.TOKEN,
    agent: str = "",
    channel: str = "",
    once: bool = False,
    length_us: int = 0,
    by: str = "",
) -> tuple[str, TokenRow]:
    """A new token: its text (shown once) and the row to keep. `length_us` 0 = never expires.

    Raises Invalid when the role and what it is bound to do not fit.
    """
    if (role is Role.AGENT) != bool(agent):
        raise Invalid(
            "invalid", f"role {role}: expected {'an' if role is Role.AGENT else 'no'} agent"
        )
    if (role is Role.ADAPTER) != bool(channel):
        raise Invalid(
            "invalid",
            f"role {role}: expected {'an' if role is Role.ADAPTER else 'no'} adapter's name",
        )
    if length_us < 0:
        raise Invalid("invalid", f"expected a positive lifetime, got {length_us} µs")
    text = _text("crk_" if use is Use.TICKET else "crt_")
    row = TokenRow(
        id="t" + secrets.token_hex(8),
        digest=digest_of(text),
        role=role,
        name=name,
        use=use,
        agent=agent,
        channel=channel,
        once=once,
        created_at_us=now_us,
        expires_at_us=now_us + length_us if length_us else 0,
        by=by,
    )
    return text, row


def digest_of(text: str) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def is_well_formed(text: str) -> bool:
    """Has it the shape and checksum of a token? Tells typing errors from wrong tokens early."""
    if len(text) != TEXT_CHARS or text[:4] not in {"crt_", "crk_"} or not text.isascii():
        return False
    return hmac.compare_digest(_checksum(text[:-6]), text[-6:])


def encode_token(row: TokenRow) -> bytes:
    """A token row as stored."""
    return _encode(row)


def decode_token(data: bytes) -> TokenRow:
    """A stored token row. Raises msgspec.ValidationError."""
    return _decode(data)


def token_commit(
    own: Ownership,
    now_us: int,
    add: Iterable[TokenRow] = (),
    remove: Iterable[str] = (),
    by: str = "cli",
) -> Commit:
    """The commit that changes tokens of a workspace nobody serves now (command line)."""
    rows = list(add)
    gone = list(remove)
    action = "token.create" if rows else "token.revoke"
    subject = " ".join([row.id for row in rows] + gone)
    at_us = max(now_us, own.committed_at_us)
    event = AuditRecorded(at_us=at_us, action=action, subject=subject, by=by)
    return Commit(
        first_seq=own.seq + 1,
        at_us=at_us,
        events=[encode_event(event)],
        upserts=[RowWrite(KIND, row.id, encode_token(row)) for row in rows],
        deletes=[(KIND, id_) for id_ in gone],
    )


class Tokens:
    """The tokens of all workspaces that this process serves."""

    def __init__(self) -> None:
        self._workspaces: dict[str, Workspace] = {}
        self._by_digest: dict[bytes, tuple[str, TokenRow, Principal]] = {}
        self._by_id: dict[tuple[str, str], TokenRow] = {}
        self._known: dict[str, bytes] = {}
        """Digests of tokens that came lately; whether they are good is looked up each time."""

    def load(self, workspace: Workspace) -> None:
        """Take over the tokens of a workspace that has just been opened."""
        self._workspaces[workspace.name] = workspace
        for data in workspace.rows_of(KIND).values():
            self._keep(workspace.name, decode_token(data))

    def unload(self, name: str) -> None:
        """A workspace is not served here any more."""
        self._workspaces.pop(name, None)
        for row in self.of(name):
            self._drop(name, row.id)

    def knows(self, text: str) -> bool:
        """Is it a token or a ticket of a workspace that is served here, expired or not?"""
        return (self._known.get(text) or digest_of(text)) in self._by_digest

    def workspace_of(self, digest: bytes) -> str:
        """The workspace that has a token of this digest; empty: none that is served here."""
        found = self._by_digest.get(digest)
        return found[0] if found is not None else ""

    def find(self, text: str, now_us: int, *, use: Use | None = None) -> Principal | None:
        """Whose token this is; None if nobody's, or expired. Tickets only if asked for."""
        if len(text) != TEXT_CHARS:
            return None
        digest = self._known.get(text) or digest_of(text)
        found = self._by_digest.get(digest)
        if found is None or not hmac.compare_digest(found[1].digest, digest):
            return None
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[text] = digest
        row = found[1]
        if row.expires_at_us and row.expires_at_us <= now_us:
            return None
        if (row.use is Use.TICKET) != (use is Use.TICKET):
            return None
        return found[2]

    def is_current(self, principal: Principal, now_us: int) -> bool:
        """Is the token behind an open connection still good?"""
        if principal.expires_at_us and principal.expires_at_us <= now_us:
            return False
        return (principal.workspace, principal.token) in self._by_id

    def of(self, workspace: str) -> list[TokenRow]:
        """All tokens of a workspace, by id."""
        rows = [row for (name, _), row in self._by_id.items() if name == workspace]
        return sorted(rows, key=lambda row: row.id)

    async def add(
        self, workspace: str, row: TokenRow, archive: tuple[ArchiveWrite, ...] = ()
    ) -> None:
        """Keep a new token; durable when it returns."""
        await self._change(workspace, [row], [], "token.create", row.by, archive)

    async def revoke(
        self, workspace: str, id_: str, by: str, archive: tuple[ArchiveWrite, ...] = ()
    ) -> None:
        """A token ends. Raises NotFound."""
        if (workspace, id_) not in self._by_id:
            raise NotFound("token", id_)
        await self._change(workspace, [], [id_], "token.revoke", by, archive)

    async def exchange(
        self, text: str, now_us: int, audit: Callable[[Principal], ArchiveWrite]
    ) -> tuple[str, TokenRow, Principal] | None:
        """A ticket becomes a session token; None for a wrong, used or expired ticket."""
        principal = self.find(text, now_us, use=Use.TICKET)
        if principal is None:
            return None
        ticket = self._by_id[principal.workspace, principal.token]
        session, row = make_token(
            ticket.role,
            now_us=now_us,
            name=ticket.name,
            use=Use.SESSION,
            agent=ticket.agent,
            channel=ticket.channel,
            length_us=SESSION_US,
            by=principal.by,
        )
        row.subject, row.provider_session = ticket.subject, ticket.provider_session
        used = [ticket.id] if ticket.once else []
        if used:  # out of memory first: a second exchange meanwhile finds nothing
            self._drop(principal.workspace, ticket.id)
        archive = (audit(principal),)
        name = principal.workspace
        try:
            await self._change(name, [row], used, "session.open", principal.by, archive)
        except (Overloaded, StoreFull):  # nothing has happened: it is as good as before
            if used:
                self._workspaces[name].note(KIND, ticket.id, encode_token(ticket))
                self._keep(name, ticket)
            raise
        return session, row, principal

    def _keep(self, workspace: str, row: TokenRow) -> None:
        if row.agent:
            by = f"agent:{row.agent}"
        else:
            by = f"token:{row.name or row.id}"
        principal = Principal(
            workspace=workspace,
            token=row.id,
            role=row.role,
            agent=row.agent,
            channel=row.channel,
            name=row.name,
            expires_at_us=row.expires_at_us,
            by=by,
        )
        self._by_digest[row.digest] = (workspace, row, principal)
        self._by_id[workspace, row.id] = row

    def _drop(self, workspace: str, id_: str) -> None:
        row = self._by_id.pop((workspace, id_), None)
        if row is not None:
            self._by_digest.pop(row.digest, None)

    async def _change(
        self,
        name: str,
        add: list[TokenRow],
        remove: list[str],
        action: str,
        by: str,
        archive: tuple[ArchiveWrite, ...],
    ) -> None:
        workspace = self._workspaces[name]
        now_us = workspace.clock.now_us()
        mine = self.of(name)
        expired = [r.id for r in mine if r.expires_at_us and r.expires_at_us <= now_us]
        if add and len(mine) - len(expired) >= MOST_TOKENS:
            raise Invalid("too_many", f"at most {MOST_TOKENS} tokens in one workspace")
        for id_ in remove + expired:
            workspace.forget(KIND, id_)
            self._drop(name, id_)
        subject = " ".join([row.id for row in add] + remove)
        rows = [RowWrite(KIND, row.id, encode_token(row)) for row in add]
        await workspace.ask(RecordAudit(action=action, subject=subject, by=by), archive, rows=rows)
        for row in add:
            self._keep(name, row)


def _text(prefix: str) -> str:
    body = prefix + urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    return body + _checksum(body)


def _checksum(body: str) -> str:
    crc = zlib.crc32(body.encode()).to_bytes(4, "big")
    return urlsafe_b64encode(crc).rstrip(b"=").decode()
