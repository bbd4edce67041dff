"""What happened: past tense, journaled, never refused. Together they are the whole truth.

The auditor, reports, the event stream and `replay` read these and nothing else, so each event
carries what its reader needs. The journal keeps them for ever: new fields get defaults, a changed
meaning is a new event.
"""

from __future__ import annotations

from router.core.call_events import (
    ConferenceEnded,
    ConferenceStarted,
    MonitorChanged,
    MonitorEnded,
    MonitorStarted,
    RecordingEnded,
    RecordingPaused,
    RecordingResumed,
    RecordingStarted,
)
from router.core.contact_events import (
    Asked,
    CallbackOffered,
    ConsultEnded,
    ConsultStarted,
    ContactClosed,
    ContactLinked,
    ContactOverflowed,
    ContactParked,
    ContactQueued,
    ContactReceived,
    ContactRelaxed,
    ContactReprioritized,
    ContactReturned,
    ContactScheduled,
    ContactSwitched,
    ContactUpdated,
    CoolDownEnded,
    HoldEnded,
    InputAsked,
    InputCollected,
    MessageReceived,
    MessageSent,
    RequirementsChanged,
)
from router.core.customer_events import (
    ConsentChanged,
    CustomerChanged,
    CustomerErased,
    CustomersMerged,
    DoNotContactChanged,
    IdentityAdded,
    IdentityRemoved,
)
from router.core.outbound_events import (
    OutboundReleased,
    OutboundReserved,
    OutboundSent,
    OutcomeRecorded,
)
from router.core.reservation_events import (
    AgentBack,
    AgentLost,
    AgentPut,
    AgentRemoved,
    AuditRecorded,
    ChannelPaused,
    ChannelResumed,
    ClockStepped,
    CommandDeadLettered,
    ContactOffered,
    CustomerHeld,
    CustomerResumed,
    EffectSettled,
    OfferAccepted,
    OfferExpired,
    OfferRejected,
    OfferRescinded,
    PolicyApplied,
    PresenceChanged,
    ReservationConnected,
    ReservationConnecting,
    ReservationEnded,
    ReservationFailed,
    ReservationMoved,
    ReservationResumed,
    ReservationSuspended,
    RouteAnswered,
    WrapUpExtended,
    WrapUpStarted,
)

__all__ = [
    "AgentBack",
    "AgentLost",
    "AgentPut",
    "AgentRemoved",
    "Asked",
    "AuditRecorded",
    "CallbackOffered",
    "ChannelPaused",
    "ChannelResumed",
    "ClockStepped",
    "CommandDeadLettered",
    "ConferenceEnded",
    "ConferenceStarted",
    "ConsentChanged",
    "ConsultEnded",
    "ConsultStarted",
    "ContactClosed",
    "ContactLinked",
    "ContactOffered",
    "ContactOverflowed",
    "ContactParked",
    "ContactQueued",
    "ContactReceived",
    "ContactRelaxed",
    "ContactReprioritized",
    "ContactReturned",
    "ContactScheduled",
    "ContactSwitched",
    "ContactUpdated",
    "CoolDownEnded",
    "CustomerChanged",
    "CustomerErased",
    "CustomerHeld",
    "CustomerResumed",
    "CustomersMerged",
    "DoNotContactChanged",
    "EffectSettled",
    "Event",
    "HoldEnded",
    "IdentityAdded",
    "IdentityRemoved",
    "InputAsked",
    "InputCollected",
    "MessageReceived",
    "MessageSent",
    "MonitorChanged",
    "MonitorEnded",
    "MonitorStarted",
    "OfferAccepted",
    "OfferExpired",
    "OfferRejected",
    "OfferRescinded",
    "OutboundReleased",
    "OutboundReserved",
    "OutboundSent",
    "OutcomeRecorded",
    "PolicyApplied",
    "PresenceChanged",
    "RecordingEnded",
    "RecordingPaused",
    "RecordingResumed",
    "RecordingStarted",
    "RequirementsChanged",
    "ReservationConnected",
    "ReservationConnecting",
    "ReservationEnded",
    "ReservationFailed",
    "ReservationMoved",
    "ReservationResumed",
    "ReservationSuspended",
    "RouteAnswered",
    "WrapUpExtended",
    "WrapUpStarted",
]

Event = (
    ContactReceived
    | ContactScheduled
    | ContactQueued
    | ContactReturned
    | ContactOverflowed
    | ContactRelaxed
    | ContactReprioritized
    | RequirementsChanged
    | HoldEnded
    | CoolDownEnded
    | ContactParked
    | ContactSwitched
    | ContactLinked
    | ContactUpdated
    | ContactClosed
    | CallbackOffered
    | InputAsked
    | InputCollected
    | MessageReceived
    | MessageSent
    | ConsultStarted
    | ConsultEnded
    | ContactOffered
    | OfferAccepted
    | OfferRejected
    | OfferExpired
    | OfferRescinded
    | ReservationConnecting
    | ReservationConnected
    | ReservationFailed
    | ReservationSuspended
    | ReservationResumed
    | CustomerHeld
    | CustomerResumed
    | WrapUpStarted
    | WrapUpExtended
    | ReservationEnded
    | ReservationMoved
    | ConferenceStarted
    | ConferenceEnded
    | MonitorStarted
    | MonitorChanged
    | MonitorEnded
    | RecordingStarted
    | RecordingPaused
    | RecordingResumed
    | RecordingEnded
    | AgentPut
    | AgentRemoved
    | PresenceChanged
    | AgentLost
    | AgentBack
    | ChannelPaused
    | ChannelResumed
    | OutboundReserved
    | OutboundSent
    | OutboundReleased
    | OutcomeRecorded
    | CustomerChanged
    | IdentityAdded
    | IdentityRemoved
    | CustomersMerged
    | ConsentChanged
    | DoNotContactChanged
    | CustomerErased
    | RouteAnswered
    | EffectSettled
    | PolicyApplied
    | ClockStepped
    | AuditRecorded
    | CommandDeadLettered
)
