"""The plain reading of a contact policy against a customer's history, with `zoneinfo`.

Shares no code with what it judges (`router/core/permission.py` and below): it knows the facts' and
the policy's records and nothing else, forgets nothing, and counts everything again each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from router.core.model import SECOND_US
from router.core.permission_facts import Consent, ConsentState, QuietSpan
from router.core.permission_policy import (
    ConsentMode,
    ContactPolicy,
    ContactWindow,
    FrequencyLimit,
    LimitScope,
)

NAMES = available_timezones() - {"Factory", "localtime", "posixrules"}


@dataclass(slots=True)
class Meant:
    """A contact as the checker remembers it."""

    at_us: int
    channel: str
    address: str
    purpose: str
    id: str


class Checker:
    """One customer's history, and the plain reading of the policy against it."""

    def __init__(self, policy: ContactPolicy, zones: Sequence[str], quiet: Sequence[QuietSpan]):
        self.policy = policy
        self.quiet = quiet
        self.blocks: list[tuple[str, str, str, int]] = []
        """Channel, address, the address it was written from, the moment."""
        self.statements: list[Consent] = []
        self.meant: list[Meant] = []
        known = [zone for zone in zones if zone in NAMES]
        wrong = len(known) < len(zones) or not zones
        self.zones = [ZoneInfo(zone) for zone in known]
        if wrong:
            self.zones = [*self.zones, *map(ZoneInfo, policy.unknown_zones)]
        self.lost = wrong and not policy.unknown_zones

    def objections(
        self, channel: str, address: str, purpose: str, at_us: int, besides: str = ""
    ) -> list[str]:
        """Everything that speaks against this contact at this moment."""
        against = []
        if any(
            c in ("", channel)
            and a in ("", address)
            and not (a and self._renewed(channel, address, purpose, since_us))
            for c, a, _, since_us in self.blocks
        ):
            against.append("block")
        if not self._consents(channel, address, purpose):
            against.append("consent")
        if not self._hours(channel, purpose, at_us):
            against.append("hours")
        if self._too_often(channel, address, purpose, at_us, besides):
            against.append("often")
        return against

    def message(self, channel: str, address: str, meaning: str, at_us: int) -> None:
        """The customer wrote something whose meaning the table knows."""
        if channel != "sms":
            return
        if meaning == "stop":
            self.blocks.append((channel, address, address, at_us))
        elif meaning == "stop_all":
            self.blocks.append(("", "", address, at_us))
        elif meaning == "start":
            self.blocks = [
                (c, a, origin, since_us)
                for c, a, origin, since_us in self.blocks
                if not (origin == address and c in ("", channel))
            ]

    def _renewed(self, channel: str, address: str, purpose: str, since_us: int) -> bool:
        """Consent for exactly this address, recorded after an objection for it."""
        return any(
            said.state is ConsentState.GIVEN
            and said.address == address
            and said.channel in ("", channel)
            and said.purpose in ("", purpose)
            and said.at_us > since_us
            for said in self.statements
        )

    def _consents(self, channel: str, address: str, purpose: str) -> bool:
        covering = [
            (said.at_us, said.state is ConsentState.WITHDRAWN)
            for said in self.statements
            if said.channel in ("", channel)
            and said.address in ("", address)
            and said.purpose in ("", purpose)
        ]
        if covering:
            return not max(covering)[1]
        for rule in self.policy.consent:
            if self._named(rule.channels, channel) and self._named(rule.purposes, purpose):
                return rule.mode is ConsentMode.OPT_OUT
        return self.policy.consent_otherwise is ConsentMode.OPT_OUT

    def _hours(self, channel: str, purpose: str, at_us: int) -> bool:
        windows = [w for w in self.policy.windows if self._holds(w, channel, purpose)]
        quiet = [
            span
            for span in self.quiet
            if self._named(span.channels, channel) and purpose not in self.policy.exempt
        ]
        if not windows and not quiet:
            return True
        if self.lost:
            return False
        for zone in self.zones:
            wall = datetime.fromtimestamp(at_us // SECOND_US, zone)
            minute = wall.hour * 60 + wall.minute
            for span in quiet:
                if wall.weekday() in span.days and span.start_minute <= minute < span.end_minute:
                    return False
            for window in windows:
                today = [day for day in window.holidays if day.date == wall.date().isoformat()]
                spans = (
                    list(today[0].spans)
                    if today
                    else [
                        (s.start_minute, s.end_minute)
                        for s in window.spans
                        if wall.weekday() in s.days
                    ]
                )
                if not any(start <= minute < end for start, end in spans):
                    return False
        return True

    def _too_often(
        self, channel: str, address: str, purpose: str, at_us: int, besides: str
    ) -> bool:
        for limit in self.policy.limits:
            if not self._holds(limit, channel, purpose):
                continue
            moments = [
                meant.at_us
                for meant in self.meant
                if meant.id != besides
                and self._holds(limit, meant.channel, meant.purpose)
                and (limit.scope is LimitScope.CUSTOMER or meant.address == address)
            ]
            moments.append(at_us)
            for first_us in moments:
                if first_us <= at_us < first_us + limit.per_us:
                    within = [t for t in moments if first_us <= t < first_us + limit.per_us]
                    if len(within) > limit.most:
                        return True
        return False

    @staticmethod
    def _named(names: tuple[str, ...], name: str) -> bool:
        return not names or name in names

    def _holds(self, what: ContactWindow | FrequencyLimit, channel: str, purpose: str) -> bool:
        if not self._named(what.channels, channel):
            return False
        if what.purposes:
            return purpose in what.purposes
        return purpose not in self.policy.exempt
