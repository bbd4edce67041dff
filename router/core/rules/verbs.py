"""What rules do: the closed set of verbs.

Of the verbs that say where a contact goes, one takes effect: `reject`, else `deflect`, else
`schedule`, else `switch_channel` and `queue`. All others take effect together.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b
from typing import Any

import msgspec

from router.core.model import DAY_US, Requirements
from router.core.record import Value
from router.core.rules.compile import Expression
from router.core.rules.moments import seconds


class At(StrEnum):
    """When a scheduled contact goes out."""

    NOW = "now"
    LEARNED_WINDOW = "learned_window"
    """In the windows learned for this customer, best first."""
    MOMENT = "moment"
    """At the moment that an expression gives."""


class Mode(StrEnum):
    """Who goes first when its time has come."""

    AGENT_FIRST = "agent_first"
    """It is queued, and begun when an agent accepts."""
    MESSAGE_FIRST = "message_first"
    """The template goes out; the reply queues the contact."""


class GiveUp(StrEnum):
    """What happens at the last moment."""

    EXPIRE = "expire"
    SEND = "send"
    """It goes out outside a learned window, if permitted."""


class Schedule(Value, kw_only=True):
    """When and how a contact goes out to the customer."""

    at: At = At.LEARNED_WINDOW
    moment: Expression | None = None
    """With `At.MOMENT`: a timestamp."""
    mode: Mode = Mode.AGENT_FIRST
    template: str = ""
    """With `Mode.MESSAGE_FIRST`: name of the text that goes out."""
    purpose: str = "service"
    """Consent and the frequency ledger go by it."""
    within_us: int = 7 * DAY_US
    """How far ahead a learned window may lie."""
    latest_us: int = 0
    """After so long it is given up, as `give_up` says; 0 = never."""
    give_up: GiveUp = GiveUp.EXPIRE
    explore: bool = True
    """A window may be chosen to learn from it, now and then."""


class PreferAgent(Value, kw_only=True):
    """Hold the contact for one agent for a while."""

    agent: str = ""
    """Empty: whoever served this customer last."""
    for_us: int


class Experiment(Value, kw_only=True):
    """A named choice between arms, in given shares; the same customer is always in the same arm."""

    name: str
    arms: dict[str, int]
    """Arm to weight."""

    def arm(self, subject: str) -> str:
        """The arm of a customer (or, where they are not known, of a contact).

        By a hash of both: independent between experiments, the same in every process. (A CRC is
        linear: two experiments with names of one length would put the same people together.)
        """
        digest = blake2b(f"{self.name}\0{subject}".encode(), digest_size=8).digest()
        place = int.from_bytes(digest, "big") * sum(self.arms.values()) >> 64
        for arm, weight in self.arms.items():
            if place < weight:
                return arm
            place -= weight
        raise AssertionError("the weights add up to more than their sum")


class Then(Value, kw_only=True):
    """What a rule does; what is not given stays as it is."""

    queue: str = ""
    """The contact waits here."""
    require: Requirements = ()
    """Skills with their least level, besides those that are asked for already."""
    prefer_agent: PreferAgent | None = None
    tier: int | None = None
    head_start_us: int | None = None
    """It counts as having waited this much longer."""
    set: dict[str, Any] = {}
    """Attributes of the contact: constants (JSON), or an Expression."""
    schedule: Schedule | None = None
    switch_channel: str = ""
    """It goes on waiting on this channel."""
    callback: str = ""
    """On input: the contact is over, and calls back on this channel, in the same place."""
    message: str = ""
    """What the customer is told."""
    watch: bool | None = None
    """It stands on the supervisor's page."""
    deflect: str = ""
    """Out of the system, with these words."""
    reject: str = ""
    """Not taken at all, for this reason."""
    experiment: tuple[Experiment, ...] = ()
    """The chosen arm becomes the attribute ``experiment.<name>``."""

    def verbs(self) -> tuple[str, ...]:
        """The names of the verbs that are given, as the configuration has them."""
        empty = Then()
        return tuple(
            VERBS[name]
            for name in self.__struct_fields__
            if getattr(self, name) != getattr(empty, name)
        )


def settings_of(then: Then) -> dict[str, Any]:
    """The verbs as the configuration writes them, lengths with their unit."""
    found: dict[str, Any] = {}
    for field, verb in VERBS.items():
        value = getattr(then, field)
        if verb not in then.verbs():
            continue
        match value:
            case Schedule():
                found[verb] = _schedule_settings(value)
            case PreferAgent():
                length = seconds(value.for_us)
                who = {"agent": value.agent, "for": length} if value.agent else {"last": length}
                found[verb] = who
            case _ if field == "require":
                found[verb] = dict(value)
            case _ if field == "experiment":
                found[verb] = [{"name": one.name, "arms": one.arms} for one in value]
            case _ if field == "set":
                found[verb] = {
                    name: plain(inner) if isinstance(inner, Expression) else inner
                    for name, inner in value.items()
                }
            case _:
                found[verb] = seconds(value) if field == "head_start_us" else value
    return found


def _schedule_settings(schedule: Schedule) -> dict[str, Any]:
    at: Any = plain(schedule.moment) if schedule.moment is not None else str(schedule.at)
    return {
        "at": at,
        "mode": str(schedule.mode),
        "template": schedule.template,
        "purpose": schedule.purpose,
        "within": seconds(schedule.within_us),
        "latest": seconds(schedule.latest_us),
        "give_up": str(schedule.give_up),
        "explore": schedule.explore,
    }


VERBS = {name: name.removesuffix("_us") for name in Then.__struct_fields__}
"""Field to verb."""


class SegmentStrategy(Value, kw_only=True):
    """How a segment is served; a rule's verb wins over the same one here."""

    then: Then = Then()
    """Of its verbs: head_start, tier, watch, prefer_agent, require."""
    channels: tuple[str, ...] = ()
    """Outbound contacts and learned windows only on these, the cheapest first; empty = on any."""
    explore: bool = True
    """Windows may be chosen to learn from them."""


def plain(value: object) -> object:
    """What stands for an expression where settings are written out (digests, the API)."""
    if isinstance(value, Expression):
        return {"cel": value.source}
    raise NotImplementedError(f"expected an expression, got {type(value).__name__}")


def written(value: object) -> bytes:
    """Rules or parts of them as JSON, expressions by their source; the same for the same rules."""
    return msgspec.json.encode(value, enc_hook=plain, order="deterministic")
