"""XMPP: a component of a server (XEP-0114), so that anybody on XMPP can write to our addresses.

Customers write to any address under the component's domain (``support@care.example.com``), which
picks the entry point. What they write is acknowledged (XEP-0184) when it is durable, and refused
with an error of type ``wait`` when the router takes nothing. What we write is followed by two
echoes to ourselves through the server: stanzas of one stream are processed in order (RFC 6120
10.1), so when they are back the message has left the server, or its error was there before.

Typing both ways (XEP-0085), to and from clients that show it; receipts of customers' clients become
receipts for the router. `stanzas` builds and reads XML and does no I/O; slixmpp keeps the stream.
"""

from __future__ import annotations

from adapters.xmpp.channel import Xmpp
from adapters.xmpp.check import check
from adapters.xmpp.settings import Settings

__all__ = ["CHANNEL", "SETTINGS", "Settings", "Xmpp", "check"]

CHANNEL = Xmpp
SETTINGS = Settings
