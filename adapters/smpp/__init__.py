"""Text messages through SMS centres that speak SMPP 3.4: the adapter binds as transceiver.

    customer -> SMSC   deliver_sm    the router has it durably before it is answered
    SMSC -> customer   submit_sm     written once; without an answer nobody knows, and it is not
                                     written again
    SMSC -> us         deliver_sm    with a receipt: told to the router with the message's own id

`pdu` (packets), `alphabets`, `parts` (long texts), `reassembly`, `receipts` and `heard` (what the
SMSC says twice) do no I/O; `bind` is one connection, `store` the file that outlives a restart,
`inbound` what comes in, `channel` the adapter. Its configuration, and what is odd about real
centres: docs/channels/smpp.md.
"""

from __future__ import annotations

from adapters.smpp.channel import Smpp
from adapters.smpp.settings import Settings

__all__ = ["CHANNEL", "SETTINGS", "Settings", "Smpp"]

CHANNEL = Smpp
SETTINGS = Settings
