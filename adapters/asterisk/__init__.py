"""Calls through an Asterisk: the PBX holds the legs, the router says who talks to whom.

Callers enter the Stasis application ``contact-router`` from the dialplan, unanswered; the adapter
submits and answers them, keeps them in a holding bridge, rings agents' endpoints and joins the legs
in a bridge of the contact's own. Everything that it makes has an id that can be told from the
contact and the reservation, so nothing is made twice and a restart finds it again.

``config/asterisk`` has what the PBX needs, ``docs/channels/asterisk.md`` the settings.
"""

from __future__ import annotations

from adapters.asterisk.channel import Asterisk
from adapters.asterisk.check import check
from adapters.asterisk.settings import Settings

__all__ = ["CHANNEL", "SETTINGS", "Asterisk", "Settings", "check"]

CHANNEL = Asterisk
SETTINGS = Settings
