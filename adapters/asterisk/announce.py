"""What the customer is to hear, as media that ARI plays. No I/O."""

from __future__ import annotations

from adapters.asterisk.ari import PLAYABLE
from adapters.asterisk.settings import Settings
from router.channel import TreatContact

MINUTE_US = 60_000_000


def media_of(text: str, settings: Settings) -> str:
    """Media for a text of the configuration; empty when there is none.

    Asterisk has no voice of its own: a text is media itself, or `announcements` says which.
    """
    known = settings.announcements.get(text, "")
    return known or (text if text.startswith(PLAYABLE) else "")


def treatment(effect: TreatContact, settings: Settings) -> str:
    """Media for a treatment, comma-separated; empty when nothing is to be played."""
    named = media_of(effect.text, settings)
    if named or effect.kind != "position":
        return named
    parts = []
    if effect.position == 1:
        parts.append(settings.say_next)
    elif effect.position > 1:
        parts.append(settings.say_position.replace("{position}", str(effect.position)))
    minutes = -(-effect.wait_us // MINUTE_US)
    if effect.wait_us > 0:
        parts.append(settings.say_wait.replace("{wait_minutes}", str(minutes)))
    return ",".join(part for part in parts if part)
