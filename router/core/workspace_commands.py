"""What may be asked of a workspace as a whole. All commands together: `commands.py`."""

from __future__ import annotations

from router.core.policy import Policy
from router.core.record import Record


class ApplyPolicy(Record, kw_only=True):
    """New settings, already validated; live contacts are moved over."""

    policy: Policy
    by: str = ""


class PauseChannel(Record, kw_only=True):
    """Nobody is to be offered a contact of this channel until it is resumed; twice is once."""

    channel: str
    reason: str = ""
    by: str = ""


class ResumeChannel(Record, kw_only=True):
    """Contacts of this channel are offered again; nothing happens if it was not paused."""

    channel: str
    by: str = ""


class StepClock(Record, kw_only=True):
    """The wall clock was set: calendar deadlines move, lengths do not."""

    by_us: int


class RecordAudit(Record, kw_only=True):
    """Somebody did something that no other event tells: a token made, a configuration read."""

    action: str
    subject: str = ""
    by: str = ""


class DeadLetter(Record, kw_only=True):
    """An input broke the engine twice and is put aside."""

    command: str
    reason: str
