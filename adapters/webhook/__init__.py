"""A chat backend that speaks JSON over HTTP, described in the configuration: no code of its own.

The backend calls ``/v1/webhook/{name}/in``; the configuration says how such a call is verified,
where in its JSON messages and receipts are, and what a request that sends something looks like.
Samples for the APIs of Telegram and WhatsApp: ``config/webhooks``. The page of this channel
describes each setting: docs/channels.

`paths` (where things are in JSON), `templates` (what is sent), `verify` (who may call) and
`reading` (what a call says) do no I/O.
"""

from __future__ import annotations

from adapters.webhook.channel import Webhook
from adapters.webhook.check import check
from adapters.webhook.inbound import routes
from adapters.webhook.settings import Settings

__all__ = ["CHANNEL", "SETTINGS", "Settings", "Webhook", "check", "routes"]

CHANNEL = Webhook
SETTINGS = Settings
