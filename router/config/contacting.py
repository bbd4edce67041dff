"""Settings about contacting customers: consent, hours, frequency, keywords. Compiled here, too.

What they mean, and the laws behind the defaults: `core/permission_policy.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from router.config.convert import Between, Name, Reading, Ref, Written
from router.config.forms import day, days, length_over_zero, spans, zone
from router.config.reader import Path, Unknown, shown
from router.core.consent import Listener
from router.core.permission_policy import (
    SERVICE_REPLY,
    ConsentMode,
    ConsentRule,
    ContactPolicy,
    ContactWindow,
    DaySpan,
    FrequencyLimit,
    Keywords,
    LimitScope,
    SpecialDay,
)
from router.core.policy import KeywordReplies
from router.core.record import Value

DAY_MINUTES = 1440
Channels = tuple[Annotated[str, Ref("channels")], ...]
Purposes = tuple[Annotated[str, Name()], ...]
Word = Annotated[str, Between(1, 40)]
Reply = Annotated[str, Between(0, 1000)]


def country(text: str) -> str:
    """``DE``: an ISO 3166 code of two letters."""
    # Imported late: it takes a moment, and most files name no country.
    from phonenumbers import SUPPORTED_REGIONS

    known = sorted(SUPPORTED_REGIONS)
    if text.upper() not in known:
        raise Unknown(f"expected a country such as DE or US, got {shown(text)}", text, known)
    return text.upper()


class SpecialDaySettings(Value, kw_only=True):
    """A date that differs from its weekday. Short form: just the times, or `closed`."""

    SHORT: ClassVar[str] = "open"
    open: Annotated[tuple[tuple[int, int], ...], Written(spans)] = ()
    """Times such as `09:00-12:00`, or `closed`."""
    name: Annotated[str, Between(1, 200)] = ""
    """What the day is called."""


class ConsentRuleSettings(Value, kw_only=True):
    """What silence means somewhere. Of several rules that apply the first counts."""

    mode: ConsentMode
    """opt_in (nothing goes out before consent was given), opt_out (until the customer objects)."""
    channels: Channels = ()
    """Only on these channels; default: all."""
    purposes: Purposes = ()
    """Only for these purposes; default: all."""


class ContactWindowSettings(Value, kw_only=True):
    """When customers may be contacted, by the clock where they are. All that apply must be open."""

    open: dict[
        Annotated[tuple[int, ...], Written(days)],
        Annotated[tuple[tuple[int, int], ...], Written(spans)],
    ]
    """Times for each group of days."""
    channels: Channels = ()
    """Only on these channels; default: all."""
    purposes: Purposes = ()
    """Only for these purposes; default: all that are not exempt."""
    holidays: dict[Annotated[str, Written(day)], SpecialDaySettings] = {}
    """Dates that differ."""


class FrequencySettings(Value, kw_only=True):
    """At most so many contacts in any stretch of time; all limits that apply must hold."""

    most: Annotated[int, Between(1, 10_000)]
    """So many."""
    per: Annotated[int, Written(length_over_zero)]
    """In any stretch of this length."""
    channels: Channels = ()
    """Counted together on these channels; default: all."""
    purposes: Purposes = ()
    """Only for these purposes; default: all that are not exempt."""
    scope: LimitScope = LimitScope.CUSTOMER
    """Counted per customer, or per address."""


class ReplySettings(Value, kw_only=True):
    """What is answered to a keyword; an entry point's text of this name goes first."""

    stop: Reply = KeywordReplies().stop
    """To a keyword that ends messages from here."""
    stop_all: Reply = KeywordReplies().stop_all
    """To a keyword that ends all contact."""
    start: Reply = KeywordReplies().start
    """To a keyword that takes it back."""


class KeywordSettings(Value, kw_only=True):
    """Words that, sent alone, end or begin messages, at once and before anything else."""

    stop: Annotated[tuple[Word, ...], Between(1, 100)] = Keywords().stop
    """End contact with this address on this channel."""
    stop_all: Annotated[tuple[Word, ...], Between(0, 100)] = Keywords().stop_all
    """End all contact with the customer."""
    start: Annotated[tuple[Word, ...], Between(0, 100)] = Keywords().start
    """Take back what a keyword from the same address has ended."""
    channels: Channels = Keywords().channels
    """Where they are listened for. In a chat "end" may be an answer."""
    replies: ReplySettings = ReplySettings()
    """The one message that says what was understood."""


class ContactingSettings(Value, kw_only=True):
    """Whether and when customers may be contacted by us. The defaults are no legal advice."""

    consent: Annotated[tuple[ConsentRuleSettings, ...], Between(0, 100)] | None = None
    """What silence means. Default: opt_out for service_reply, callback and service."""
    consent_otherwise: ConsentMode = ConsentMode.OPT_IN
    """What silence means where no rule applies."""
    windows: dict[Annotated[str, Name()], ContactWindowSettings] | None = None
    """When customers may be contacted. Default: voice and sms from 08:00 to 21:00, every day."""
    limits: dict[Annotated[str, Name()], FrequencySettings] | None = None
    """How often. Default: 7 calls in 7 days, 3 contacts a day to an address, 2 for marketing in 7
    days."""
    exempt: Purposes = (SERVICE_REPLY,)
    """Purposes that only windows and limits that name them hold."""
    unknown_zones: tuple[Annotated[str, Written(zone)], ...] = ()
    """A customer whose time zone nobody knows may be in any of these; none: not contacted where
    hours matter."""
    keywords: KeywordSettings = KeywordSettings()
    """Keywords such as STOP."""


def contact_policy(settings: ContactingSettings) -> ContactPolicy:
    """The policy that permission is decided by."""
    default = ContactPolicy()
    return ContactPolicy(
        consent=default.consent
        if settings.consent is None
        else tuple(
            ConsentRule(mode=rule.mode, channels=rule.channels, purposes=rule.purposes)
            for rule in settings.consent
        ),
        consent_otherwise=settings.consent_otherwise,
        windows=default.windows
        if settings.windows is None
        else tuple(_window(name, each) for name, each in settings.windows.items()),
        limits=default.limits
        if settings.limits is None
        else tuple(_limit(name, each) for name, each in settings.limits.items()),
        exempt=settings.exempt,
        unknown_zones=settings.unknown_zones,
        keywords=Keywords(
            stop=settings.keywords.stop,
            stop_all=settings.keywords.stop_all,
            start=settings.keywords.start,
            channels=settings.keywords.channels,
        ),
    )


def keyword_replies(settings: ContactingSettings) -> KeywordReplies:
    """What is answered to keywords."""
    replies = settings.keywords.replies
    return KeywordReplies(stop=replies.stop, stop_all=replies.stop_all, start=replies.start)


def check_contacting(settings: ContactingSettings, at: Path, reading: Reading) -> None:
    """Add a finding for each thing that is wrong."""
    for finding in Listener(contact_policy(settings).keywords).findings:
        reading.add((*at, "keywords"), finding)
    for name, window in (settings.windows or {}).items():
        path = (*at, "windows", name)
        if not any(window.open.values()):
            reading.add(path, "never opens: give the times of at least one day")
        for date, special in window.holidays.items():
            if any(end <= start for start, end in special.open):
                place = (*path, "holidays", date)
                reading.add(place, "times of a single date cannot go past midnight")


def _window(name: str, settings: ContactWindowSettings) -> ContactWindow:
    return ContactWindow(
        name=name,
        channels=settings.channels,
        purposes=settings.purposes,
        spans=tuple(_spans(settings.open)),
        holidays=tuple(
            SpecialDay(date=date, spans=special.open, name=special.name)
            for date, special in sorted(settings.holidays.items())
        ),
    )


def _spans(given: Mapping[tuple[int, ...], tuple[tuple[int, int], ...]]) -> list[DaySpan]:
    """One for each span; two where it ends on the next day."""
    found: list[DaySpan] = []
    for weekdays, times in given.items():
        for start, end in times:
            if end > start:
                found.append(DaySpan(weekdays, start, end))
                continue
            found.append(DaySpan(weekdays, start, DAY_MINUTES))
            if end:
                found.append(DaySpan(tuple((d + 1) % 7 for d in weekdays), 0, end))
    return found


def _limit(name: str, settings: FrequencySettings) -> FrequencyLimit:
    return FrequencyLimit(
        name=name,
        most=settings.most,
        per_us=settings.per,
        channels=settings.channels,
        purposes=settings.purposes,
        scope=settings.scope,
    )
