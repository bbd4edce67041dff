"""Text messages through Kannel, or a provider with the same HTTP interface.

    customer -> Kannel   GET .../incoming   what `get-url` of its sms-service names; answered with
                                            200 and no text when the message is durable
    us -> Kannel         sendsms            once; without an answer nobody knows
    Kannel -> us         GET .../status     `dlr-url`: what became of it

Kannel splits long texts and puts them together. `codec` does no I/O, `sendsms` is the way out,
`inbound` the way in. The configuration of both sides: docs/channels/kannel.md.
"""

from __future__ import annotations

from adapters.kannel.channel import Kannel
from adapters.kannel.inbound import routes
from adapters.kannel.settings import Settings

__all__ = ["CHANNEL", "SETTINGS", "Kannel", "Settings", "routes"]

CHANNEL = Kannel
SETTINGS = Settings
