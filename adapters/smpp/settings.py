"""Settings of an SMPP adapter: one or several SMS centres, and what is odd about them."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from adapters.smpp.alphabets import Default
from adapters.smpp.parts import Way
from router.core.record import Value

ReceiptIds = Literal["same", "decimal", "hex"]


class Smsc(Value, kw_only=True):
    """One SMS centre, and the account there."""

    host: str
    port: int = 2775
    tls: bool = False
    """SMPP itself hides nothing: without TLS it belongs on loopback or into a VPN."""
    ca_file: str = ""
    """Certificates that the centre's own must descend from; empty: those of this machine."""
    system_id: str
    password_file: str
    """The password stands in its first line."""
    system_type: str = ""
    binds: int = 1
    """Connections at once; each with a window of its own."""
    window: int = 10
    """Most messages of ours that wait for their answer on one connection."""
    per_s: float = 0.0
    """Messages a second of one connection; 0 = as fast as the centre answers."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.host or not self.system_id or not 1 <= self.port <= 65_535:
            raise ValueError("host and system_id must not be empty, port 1 to 65535")
        if not 1 <= self.binds <= 50 or not 1 <= self.window <= 1_000 or self.per_s < 0:
            raise ValueError("binds must be 1 to 50, window 1 to 1000, per_s >= 0")


class Centre(NamedTuple):
    """An SMS centre with all that it takes to bind there."""

    name: str
    """Tells its message ids from another centre's."""
    smsc: Smsc
    password: str


class Settings(Value, kw_only=True):
    """Settings of an SMPP adapter."""

    smscs: dict[str, dict[str, Any]]
    """The SMS centres (`Smsc`) by a name of your choice. A message goes to whichever has room."""
    sender: str = ""
    """Our address where a contact has none."""
    entry_point: str = ""
    """Names the entry point; empty: the address that was written to picks it."""
    state_file: str = ""
    """What must outlive a restart: parts of long messages, what was sent, whose receipt is whose.
    Empty: in memory; then a restart loses parts that wait, and receipts find nothing."""
    long_messages: Way = "udh8"
    """Long texts: ``udh8``, ``udh16`` (header in the text), ``sar`` (the centre makes the header)
    or ``payload`` (whole, in message_payload)."""
    coding_0: Default = "gsm"
    """The centre's default alphabet."""
    coding_1: Default = "ascii"
    """What comes with data_coding 1: ASCII by the standard, GSM octets from some."""
    receipts: bool = True
    """Ask for delivery receipts."""
    receipt_ids: ReceiptIds = "same"
    """A receipt's message id against the one in the answer to our message: the ``same``, or that
    one is hexadecimal and the receipt's ``decimal``, or the other way round, ``hex``."""
    international: bool = False
    """Addresses of unknown type that have only digits are E.164 without a plus sign."""
    plain_ton: int = 0
    plain_npi: int = 1
    """Type and plan of our addresses without a plus sign: short codes, national numbers."""
    response_s: float = 10.0
    """So long may the centre take for an answer; then nobody knows whether it has the message."""
    turn_s: float = 6.0
    """So long a message waits for room in a window; then it has failed, and was not sent."""
    enquire_s: float = 20.0
    """So often the centre is asked whether it is there; it is not without an answer in time."""
    connect_s: float = 10.0
    """So long may connecting and binding take."""
    long_wait_s: float = 600.0
    """So long the parts of a long message wait for the rest; then it is delivered with marks."""
    long_most: int = 10_000
    """Most long messages that wait; one more, and the oldest is delivered with marks."""
    repeat_s: float = 3_600.0
    """So long a message whose answer may be lost is known again when the centre repeats it."""
    inbound: int = 200
    """Most customers' messages on their way to the router; one more is told to come later."""
    outbound: int = 1_000
    """Most messages of ours on their way; one more fails at once."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.smscs:
            raise ValueError("smscs must name one SMS centre at least")
        if min(self.response_s, self.turn_s, self.enquire_s, self.connect_s) <= 0:
            raise ValueError("response_s, turn_s, enquire_s and connect_s must be > 0")
        if self.response_s + self.turn_s > 18:
            raise ValueError("response_s + turn_s must be <= 18: the router waits for 20 seconds")
        if min(self.long_wait_s, self.repeat_s) < 0:
            raise ValueError("long_wait_s and repeat_s must be >= 0")
        if min(self.long_most, self.inbound, self.outbound) < 1:
            raise ValueError("long_most, inbound and outbound must be > 0")
        if not 0 <= self.plain_ton <= 6 or not 0 <= self.plain_npi <= 18:
            raise ValueError("plain_ton must be 0 to 6, plain_npi 0 to 18")
