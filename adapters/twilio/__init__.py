"""SMS, MMS and WhatsApp through Twilio, or a provider with the same webhooks and REST API.

The provider calls ``/v1/twilio/{name}/incoming`` for each message and ``.../status`` for what
becomes of ours. Both must be signed; what is signed is the configured `public_url`, never what the
request says of its own host. A webhook is answered when it is durable: 503 with Retry-After when
the router takes nothing, so that the provider says it again; the same MessageSid is one message.

Sending asks for state callbacks that carry the ids of the contact, the message and the effect. When
a request to send is not answered, the callback or the list of messages tells whether it was taken;
if neither does, the outcome is unknown, and it is not sent again.

What is lost with the process: which parts of a long message are delivered. Files (MMS) are listed
with their URL and not fetched: the URL needs the account's token. State "sent" is no receipt.
"""

from __future__ import annotations

from adapters.twilio.channel import Twilio
from adapters.twilio.check import check
from adapters.twilio.inbound import routes
from adapters.twilio.settings import Settings

__all__ = ["CHANNEL", "SETTINGS", "Settings", "Twilio", "check", "routes"]

CHANNEL = Twilio
SETTINGS = Settings
