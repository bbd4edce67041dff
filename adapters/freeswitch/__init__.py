"""FreeSWITCH: calls over its event socket, inbound (we connect) and outbound (it connects)."""

from adapters.freeswitch.channel import FreeSwitch
from adapters.freeswitch.check import check
from adapters.freeswitch.settings import Settings

CHANNEL = FreeSwitch
SETTINGS = Settings

__all__ = ["CHANNEL", "SETTINGS", "FreeSwitch", "check"]
