"""What rules may know of a customer when a contact arrives or is about to go out.

The runtime gathers these facts before the command is decided and gives them along; the engine
computes none of them. They are journaled with the contact, so that past traffic can be tried
against other rules. Moments are calendar microseconds.
"""

from __future__ import annotations

from typing import Any

from router.core.record import Value


class CustomerFacts(Value, kw_only=True):
    """The customer's profile as far as rules see it; all empty for somebody unknown."""

    known: bool = False
    """There is a profile: something was learned or said about them before."""
    attributes: dict[str, Any] = {}
    segment: str = ""
    """Given by hand or by the API: wins over the segment rules."""
    language: str = ""
    zone: str = ""
    """IANA time zone; empty = not known."""
    contacts: int = 0
    """Contacts closed so far."""
    last_contact_at_us: int = 0
    last_channel: str = ""
    last_agent: str = ""
    do_not_contact: bool = False
    watched: bool = False


class LearnedWindow(Value, kw_only=True):
    """One permitted span in which an attempt is worth making, best first in its list."""

    channel: str
    address: str
    """Keyed hash of the customer's address: which one, without telling it."""
    start_us: int
    end_us: int
    probability: float
    raw: float = 0.0
    """The same before it was held against outcomes; calibration learns from it."""
    low: float
    high: float
    """80 % interval of the probability."""
    attempts: int = 0
    successes: int = 0
    last_success_at_us: int = 0
    explore: bool = False
    """Chosen to learn, not because it is best."""
    propensity: float = 1.0
    """Probability with which this choice was made, for unbiased reports."""
    candidates: int = 1
    text: str = ""
    """The evidence in words."""


class PreferenceFacts(Value, kw_only=True):
    """What was learned about when and how this customer is reached; `channel` empty = nothing."""

    channel: str = ""
    address: str = ""
    weekday: int = -1
    """0 = Monday ... 6, of the best window in the customer's own time."""
    hour: int = -1
    probability: float = 0.0
    low: float = 0.0
    high: float = 0.0
    confidence: float = 0.0
    """0 (nothing known) to 1 (certain): one minus the width of the 80 % interval."""
    attempts: int = 0
    successes: int = 0
    last_success_at_us: int = 0
    by_channel: dict[str, float] = {}
    """Probability of success at this moment, per channel."""
    text: str = ""
    """The evidence in words, as the desk shows it."""


class Permission(Value, kw_only=True):
    """Whether the customer may be contacted now; see `permission.py`."""

    allowed: bool = True
    reason: str = ""
    text: str = ""
    until_us: int = 0
    """Allowed: the moment at which it ends; 0 = no end is known."""
    next_at_us: int = 0
    """Refused: the next permitted moment; 0 = none is known."""


class Outbound(Value, kw_only=True):
    """How a contact goes out to the customer: by whom first, when, and until when it is tried."""

    mode: str = "agent_first"
    """``message_first``: the template goes out, the reply queues the contact. ``agent_first``: it
    is queued in its window and begun when an agent accepts."""
    template: str = ""
    """Name of the text that goes out first."""
    purpose: str = "service"
    """Consent and the frequency ledger go by it."""
    learned: bool = False
    """Waits for learned windows, one after the other."""
    explore: bool = True
    channels: tuple[str, ...] = ()
    """Only on these; empty = on any."""
    within_us: int = 0
    """How far ahead a learned window may lie; 0 = as the workspace has it."""
    latest_at_us: int = 0
    """The last moment; 0 = none."""
    give_up: str = "expire"
    """At the last moment: ``send`` it outside a learned window, if permitted, or ``expire``."""
    window: LearnedWindow | None = None
    """The one it waits for, or went out in."""
    tries: int = 0
    """Attempts so far, the reserved one included."""
    attempt: str = ""
    """The attempt that the ledger holds a place for, or that went out last."""
    is_reserved: bool = False
    reserved_at_us: int = 0
    """The moment it is reserved for."""
    sent_at_us: int = 0
    """When that attempt went out; 0 = not yet."""
    message: str = ""
    """The message that it was; empty for a call."""
    is_settled: bool = False
    """What became of it is known."""


class Facts(Value, kw_only=True):
    """Everything given along with one contact."""

    customer: CustomerFacts = CustomerFacts()
    preference: PreferenceFacts = PreferenceFacts()
    permission: Permission = Permission()
    windows: tuple[LearnedWindow, ...] = ()
    """Ranked, permitted; gathered only where a rule may ask for the learned window."""


NO_FACTS = Facts()
