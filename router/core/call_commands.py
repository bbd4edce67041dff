"""Commands about calls: hold, consult, conference, listening in, recording. Part of `commands.py`.

Hold and consult serve every channel; the rest needs one with media.
"""

from __future__ import annotations

from router.core.model import AgentId, ContactId, MonitorMode, QueueId, Requirements, ReservationId
from router.core.record import Record


class HoldCustomer(Record, kw_only=True):
    """Put the customer on hold."""

    contact: ContactId
    agent: AgentId = AgentId("")


class ResumeCustomer(Record, kw_only=True):
    """Take the customer off hold."""

    contact: ContactId
    agent: AgentId = AgentId("")


class StartConsult(Record, kw_only=True):
    """Ask another agent about this contact, through the same queue model, before a transfer."""

    contact: ContactId
    consult: ContactId
    """Id of the consult, a contact of its own."""
    queue: QueueId = QueueId("")
    target_agent: AgentId = AgentId("")
    requirements: Requirements = ()
    agent: AgentId = AgentId("")


class EndConsult(Record, kw_only=True):
    """End a consult: hand the contact over to the consulted agent, or go on alone."""

    contact: ContactId
    hand_over: bool = False
    agent: AgentId = AgentId("")


class SetConference(Record, kw_only=True):
    """Customer, serving agent and consulted agent together, or apart: the customer on hold."""

    contact: ContactId
    together: bool = True
    agent: AgentId = AgentId("")


class StartMonitor(Record, kw_only=True):
    """A supervisor listens to what is being served, whispers to the agent, or barges in."""

    contact: ContactId
    monitor: str
    """Made by the caller's side; one that is open already gets the new mode."""
    agent: AgentId
    """Who listens: the one whose endpoint on this channel is rung."""
    mode: MonitorMode = "listen"
    by: str = ""


class EndMonitor(Record, kw_only=True):
    """Nobody listens any more: somebody ended it, or the backend says so."""

    monitor: str
    contact: ContactId = ContactId("")
    """When given, must be the monitored contact."""
    reason: str = ""
    by: str = ""


class RecordCall(Record, kw_only=True):
    """Record what is being served, pause, or go on."""

    contact: ContactId
    on: bool = True
    agent: AgentId = AgentId("")
    by: str = ""


class FailRecording(Record, kw_only=True):
    """The backend does not record (any more)."""

    recording: str
    contact: ContactId = ContactId("")
    """When given, must be the recorded contact."""
    reason: str = ""


class AgentHungUp(Record, kw_only=True):
    """The agent's leg was up, and the agent hung up."""

    reservation: ReservationId
    reason: str = ""


CallCommand = (
    HoldCustomer
    | ResumeCustomer
    | StartConsult
    | EndConsult
    | SetConference
    | StartMonitor
    | EndMonitor
    | RecordCall
    | FailRecording
    | AgentHungUp
)
