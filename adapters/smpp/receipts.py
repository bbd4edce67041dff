"""Delivery receipts: what a deliver_sm says of a message of ours (SMPP 3.4, 5.2.12, Appendix B)."""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal, NamedTuple

from adapters.smpp.pdu import (
    MESSAGE_STATE,
    MESSAGE_TYPE,
    RECEIPT_TYPES,
    RECEIPTED_MESSAGE_ID,
    Message,
    read_tlv_number,
)

Outcome = Literal["delivered", "undelivered", ""]
"""Empty: it is still on its way, or nobody knows."""

# 5.2.28: message_state, and the words of Appendix B.
_STATES: Final[dict[int, str]] = {
    1: "ENROUTE", 2: "DELIVRD", 3: "EXPIRED", 4: "DELETED", 5: "UNDELIV", 6: "ACCEPTD",
    7: "UNKNOWN", 8: "REJECTD",
}  # fmt: skip
_OUTCOMES: Final[dict[str, Outcome]] = {
    "DELIVRD": "delivered", "EXPIRED": "undelivered", "DELETED": "undelivered",
    "UNDELIV": "undelivered", "REJECTD": "undelivered",
}  # fmt: skip

# Each field once, at a word's beginning; values have no spaces. Bounded: a text has 64 KB at most.
_FIELD: Final = re.compile(rb"(?:^|[ \0])(id|stat|err):([^ \0]{0,80})", re.IGNORECASE)
_LOOKED_AT: Final = 512
_TOLD_APART: Final = 7


class Receipt(NamedTuple):
    """What a receipt says."""

    id: str
    outcome: Outcome
    detail: str
    """Why it was not delivered, in the centre's words: ``UNDELIV 006``."""


def is_receipt(message: Message) -> bool:
    """Whether it is about a message of ours, and not from a customer."""
    return message.esm_class & MESSAGE_TYPE in RECEIPT_TYPES


def read_receipt(message: Message) -> Receipt | None:
    """What it says; None: nothing that can be understood. The parameters count before the text."""
    fields: dict[bytes, str] = {}
    for name, value in _FIELD.findall(message.payload[:_LOOKED_AT]):
        fields.setdefault(name.lower(), value.decode("latin-1"))
    given = message.tlvs.get(RECEIPTED_MESSAGE_ID, b"").rstrip(b"\0").decode("latin-1")
    id_ = given or fields.get(b"id", "")
    number = read_tlv_number(message.tlvs, MESSAGE_STATE)
    state = _STATES.get(number, "") if number is not None else ""
    state = state or fields.get(b"stat", "").upper()
    if not id_:
        return None
    outcome = _OUTCOMES.get(state, "")
    error = fields.get(b"err", "")
    detail = f"{state} {error}".strip() if outcome == "undelivered" else ""
    return Receipt(id_, outcome, detail)


def comparable(id_: str) -> str:
    """A message id without what centres write differently: leading zeros, capitals."""
    return id_.strip().lower().lstrip("0") or "0"


def trace(address: str) -> str:
    """What tells most numbers apart and names none; empty for what is too short, or no number.

    Of the last digits only: the same number comes with a plus sign, zeros or a prefix of the
    network before it.
    """
    digits = "".join(letter for letter in address if letter.isascii() and letter.isdigit())
    if len(digits) < _TOLD_APART or any(letter.isalpha() for letter in address):
        return ""
    return hashlib.blake2b(digits[-_TOLD_APART:].encode(), digest_size=2).hexdigest()[:3]


def as_answered(id_: str, ids: str) -> str:
    """A receipt's id as the answer to our message has given it; `ids` is the setting."""
    try:
        if ids == "decimal":
            return f"{int(id_, 10):x}"
        if ids == "hex":
            return str(int(id_, 16))
    except ValueError:
        pass  # this centre does not do what the setting says, at least here
    return comparable(id_)
