"""What the customer is to hear, as media that ARI plays. No I/O."""

from __future__ import annotations

import re

from adapters.asterisk.settings import Settings
from router.channel import TreatContact

MINUTE_US = 60_000_000
_MEDIA = r"(sound:(?!.*//)[\w./-]+|(number|digits|characters|tone):[\w.;=/+*#!-]+)"
OPEN_MEDIA = re.compile(rf"{_MEDIA}(,{_MEDIA})*")
"""What any text may play: the PBX's own sounds, spoken digits, tones. Recordings (of others, too)
and URLs (which the PBX would fetch) only by `announcements`: a text may come over the API."""


def media_of(text: str, settings: Settings) -> str:
    """Media for a text of the configuration; empty when there is none.

    Asterisk has no voice of its own: a text is media itself, or `announcements` says which.
    """
    known = settings.announcements.get(text, "")
    return known or (text if OPEN_MEDIA.fullmatch(text) and ".." not in text else "")


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
