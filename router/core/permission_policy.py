"""What a workspace allows itself towards customers: consent, hours, frequency, keywords.

The defaults are what is lawful in most places for a contact centre that has thought about nothing
yet. They are no legal advice, and each can be changed:

- **Consent**: replies, callbacks and service messages may go out until the customer objects; any
  other purpose needs consent that was given.
- **Hours**: voice and SMS from 08:00 to 21:00 where the customer is (12 CFR 1006.6(b)(1)(i),
  47 CFR 64.1200(c)(1)). An unknown time zone is refused unless `unknown_zones` names candidates.
- **Frequency**: 7 calls in 7 days (12 CFR 1006.14(b)(2)(i)(A)), 3 contacts a day to one address,
  2 marketing contacts a week on all channels together.
- **Replies** in a conversation that the customer began (`service_reply`) solicit nothing: neither
  hours nor frequency forbid them, unless a window or limit names them. Do-not-contact, STOP and a
  withdrawn consent do. Whoever asks is told so; of what an agent writes in a conversation only
  what goes where a keyword stands is held back (`runtime/keywords.py`).

Empty `channels` or `purposes` mean "every one", with the exception just made.
"""

from __future__ import annotations

from enum import StrEnum

from router.core.model import DAY_US
from router.core.record import Value

EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)
SERVICE_REPLY = "service_reply"
CALLBACK = "callback"
SERVICE = "service"
MARKETING = "marketing"


class ConsentMode(StrEnum):
    """What silence means."""

    OPT_IN = "opt_in"
    """Nothing may go out before consent was given."""
    OPT_OUT = "opt_out"
    """It may go out until the customer objects."""


class ConsentRule(Value, kw_only=True):
    """Which mode holds where. Of several rules that apply, the first counts."""

    mode: ConsentMode
    channels: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()


class DaySpan(Value):
    """From minute `start` to minute `end` of the customer's local day, half open."""

    days: tuple[int, ...]
    """0 = Monday ... 6."""
    start_minute: int
    end_minute: int


class SpecialDay(Value):
    """One local date (ISO) that differs: nothing, or these spans of minutes."""

    date: str
    spans: tuple[tuple[int, int], ...] = ()
    name: str = ""


class ContactWindow(Value, kw_only=True):
    """When customers may be contacted, in their own local time. All that apply must be open."""

    name: str
    channels: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    spans: tuple[DaySpan, ...] = ()
    """None = never."""
    holidays: tuple[SpecialDay, ...] = ()


class LimitScope(StrEnum):
    """Whose contacts a limit counts together."""

    CUSTOMER = "customer"
    ADDRESS = "address"


class FrequencyLimit(Value, kw_only=True):
    """At most `most` contacts in any stretch of `per_us`; all limits that apply must hold."""

    name: str
    most: int
    per_us: int
    channels: tuple[str, ...] = ()
    """Counted together: a limit for each of two channels is two limits."""
    purposes: tuple[str, ...] = ()
    scope: LimitScope = LimitScope.CUSTOMER


class Keywords(Value, kw_only=True):
    """Words that, sent alone, end or begin messages. Translations are added to the lists."""

    stop: tuple[str, ...] = ("STOP", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPT OUT")
    """Ends contact with this address on this channel. Seven words of 47 CFR 64.1200(a)(10)."""
    stop_all: tuple[str, ...] = ("STOPALL",)
    """Ends all contact with the customer."""
    start: tuple[str, ...] = ("START", "UNSTOP")
    """Takes back what a keyword from the same address ended. Gives no consent."""
    channels: tuple[str, ...] = ("sms",)
    """Where they are listened for. In a chat "end" or "cancel" may be an answer."""


class ContactPolicy(Value, kw_only=True):
    """Everything by which `permission.py` decides, for one workspace."""

    consent: tuple[ConsentRule, ...] = (
        ConsentRule(mode=ConsentMode.OPT_OUT, purposes=(SERVICE_REPLY, CALLBACK, SERVICE)),
    )
    consent_otherwise: ConsentMode = ConsentMode.OPT_IN
    windows: tuple[ContactWindow, ...] = (
        ContactWindow(
            name="daytime",
            channels=("voice", "sms"),
            spans=(DaySpan(EVERY_DAY, 8 * 60, 21 * 60),),
        ),
    )
    limits: tuple[FrequencyLimit, ...] = (
        FrequencyLimit(name="calls in a week", most=7, per_us=7 * DAY_US, channels=("voice",)),
        FrequencyLimit(name="address in a day", most=3, per_us=DAY_US, scope=LimitScope.ADDRESS),
        FrequencyLimit(
            name="marketing in a week", most=2, per_us=7 * DAY_US, purposes=(MARKETING,)
        ),
    )
    exempt: tuple[str, ...] = (SERVICE_REPLY,)
    """Purposes that only windows and limits that name them hold."""
    unknown_zones: tuple[str, ...] = ()
    """A customer of unknown zone may be in any of these; none = refused where hours matter."""
    keywords: Keywords = Keywords()


def applies(
    channels: tuple[str, ...],
    purposes: tuple[str, ...],
    channel: str,
    purpose: str,
    exempt: tuple[str, ...] = (),
) -> bool:
    """Whether what names these channels and purposes holds for this channel and purpose."""
    if channels and channel not in channels:
        return False
    return purpose in purposes if purposes else purpose not in exempt
