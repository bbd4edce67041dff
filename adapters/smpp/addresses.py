"""Numbers as the router writes them, and as SMPP does: type of number and numbering plan beside."""

from __future__ import annotations

from typing import Final, NamedTuple

from router.channel import ChannelError

# SMPP 3.4 5.2.5 and 5.2.6.
INTERNATIONAL: Final = 1
UNKNOWN: Final = 0
ALPHANUMERIC: Final = 5
ISDN: Final = 1
NO_PLAN: Final = 0

DIGITS_MOST: Final = 20
LETTERS_MOST: Final = 11
"""Of a sender that is a name (3GPP TS 23.040 9.1.2.5)."""
_SPACING: Final = str.maketrans("", "", " -()./\u00a0")


class Place(NamedTuple):
    """An address in a packet."""

    digits: str
    ton: int
    npi: int


def written(digits: str, ton: int, *, unknown_is_international: bool) -> str:
    """E.164 with a plus sign where the packet says so; everything else as it is."""
    is_number = digits.isascii() and digits.isdigit()
    if is_number and (ton == INTERNATIONAL or (ton == UNKNOWN and unknown_is_international)):
        return f"+{digits}"
    return digits


def placed(address: str, plain: tuple[int, int], *, is_sender: bool = False) -> Place:
    """For a packet; `plain` is type and plan of numbers without a plus sign.

    Raises ChannelError for what no phone has; only a sender may be a name.
    """
    number = address.translate(_SPACING)
    digits = number.removeprefix("+")
    if digits.isascii() and digits.isdigit() and len(digits) <= DIGITS_MOST:
        if number.startswith("+"):
            return Place(digits, INTERNATIONAL, ISDN)
        return Place(digits, *plain)
    if is_sender and address.isascii() and address.isprintable() and address.strip():
        return Place(address.strip()[:LETTERS_MOST], ALPHANUMERIC, NO_PLAN)
    raise ChannelError("our address is none" if is_sender else "the customer has no phone number")
