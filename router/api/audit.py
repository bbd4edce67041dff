"""Who changed what, from where: append-only rows, written in the commit of the change."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

from router.api.views import View
from router.journal import ArchiveWrite

if TYPE_CHECKING:
    from router.api.table import Call

KIND = "audit"


class AuditRow(View):
    """One action of an administrator, or one sign-in."""

    at_us: int
    action: str
    by: str
    subject: str = ""
    address: str = ""
    """Where the request came from."""


_encode = msgspec.msgpack.Encoder().encode
decode_audit = msgspec.msgpack.Decoder(AuditRow).decode


def audit_row(call: Call, action: str, subject: str, by: str = "") -> ArchiveWrite:
    """The row to write along with a change."""
    return audit_write(
        AuditRow(
            at_us=call.now_us,
            action=action,
            by=by or call.who.by,
            subject=subject,
            address=call.api.address(call.request),
        )
    )


def audit_write(row: AuditRow) -> ArchiveWrite:
    """A row as it is written."""
    return ArchiveWrite(KIND, f"{row.at_us:017d}-{secrets.token_hex(4)}", row.at_us, _encode(row))
