"""What happened to calls: conference, listening in, recording. All events together: `events.py`.

All of it hangs on a reservation and ends before it does.
"""

from __future__ import annotations

from router.core.model import AgentId, ContactId, MonitorMode, ReservationId
from router.core.record import Personal, Record


class ConferenceStarted(Record, kw_only=True):
    """The consulted agent hears the customer, too."""

    at_us: int
    contact: ContactId
    consult: ContactId
    reservation: ReservationId
    agent: AgentId


class ConferenceEnded(Record, kw_only=True):
    """Not all three together any more."""

    at_us: int
    contact: ContactId
    consult: ContactId
    reservation: ReservationId
    agent: AgentId


class MonitorStarted(Record, kw_only=True):
    """Somebody listens in."""

    at_us: int
    monitor: str
    contact: ContactId
    reservation: ReservationId
    listener: AgentId
    mode: MonitorMode
    by: str = ""


class MonitorChanged(Record, kw_only=True):
    """Is heard by others than before."""

    at_us: int
    monitor: str
    contact: ContactId
    reservation: ReservationId
    listener: AgentId
    mode: MonitorMode
    by: str = ""


class MonitorEnded(Personal, kw_only=True):
    """Nobody listens by this any more."""

    at_us: int
    monitor: str
    contact: ContactId
    reservation: ReservationId
    listener: AgentId
    reason: str = ""
    by: str = ""


class RecordingStarted(Record, kw_only=True):
    """It is being recorded from now on."""

    at_us: int
    recording: str
    contact: ContactId
    reservation: ReservationId
    agent: AgentId
    by: str = ""
    """``queue``: because the queue says so."""


class RecordingPaused(Record, kw_only=True):
    """Not recorded until it goes on."""

    at_us: int
    recording: str
    contact: ContactId
    reservation: ReservationId
    agent: AgentId
    by: str = ""


class RecordingResumed(Record, kw_only=True):
    """Goes on in the same recording."""

    at_us: int
    recording: str
    contact: ContactId
    reservation: ReservationId
    agent: AgentId
    by: str = ""


class RecordingEnded(Personal, kw_only=True):
    """It is over with the conversation, or the backend does not record (any more): `reason`."""

    at_us: int
    recording: str
    contact: ContactId
    reservation: ReservationId
    agent: AgentId
    reason: str = ""
