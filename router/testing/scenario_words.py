"""The words of a scenario: how a line is read, how settings are written, how an event is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar, overload

from router.core import events as e
from router.core.model import DAY_US, FOR_EVER_US, MINUTE_US, SECOND_US, QueueId, Requirements
from router.core.policy import (
    Action,
    ActionKind,
    Asking,
    Channel,
    Decline,
    Full,
    Holiday,
    Hours,
    HoursSpan,
    Limit,
    MissAction,
    Policy,
    Profile,
    ProfileQueue,
    Queue,
    Step,
    Strategy,
    Treatment,
    default_channels,
)

T = TypeVar("T")
UNITS = {"ms": 1000, "s": SECOND_US, "m": MINUTE_US, "h": 60 * MINUTE_US, "d": DAY_US}
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def length_us(text: str) -> int:
    """``20s``, ``1.5m``, ``500ms`` as microseconds. Raises ValueError."""
    found = re.fullmatch(r"([0-9.]+)(ms|s|m|h|d)", text)
    if found is None:
        raise ValueError(f"expected a length like 20s, got {text!r}")
    return round(float(found[1]) * UNITS[found[2]])


class Words:
    """The words of one line, taken one after another; what is left over is an error."""

    def __init__(self, words: Iterable[str]) -> None:
        self._plain: list[str] = []
        self._pairs: dict[str, str] = {}
        self._asked: dict[str, int] = {}
        for word in words:
            if (asked := re.fullmatch(r"(\w+)>=(\d+)", word)) is not None:
                self._asked[asked[1]] = int(asked[2])
            elif (pair := re.fullmatch(r"([\w.]+)=(.*)", word)) is not None:
                self._pairs[pair[1]] = pair[2]
            else:
                self._plain.append(word)

    def name(self, what: str) -> str:
        """The next plain word."""
        if not self._plain:
            raise ValueError(f"expected {what}")
        return self._plain.pop(0)

    def flag(self, word: str) -> bool:
        """Whether the word is there."""
        if word in self._plain:
            self._plain.remove(word)
            return True
        return False

    def one_of(self, words: Iterable[str], default: str) -> str:
        """The next plain word if it is one of these."""
        if self._plain and self._plain[0] in words:
            return self._plain.pop(0)
        if not default:
            raise ValueError(f"expected one of {', '.join(words)}")
        return default

    def text(self, key: str, default: str) -> str:
        """``key=text``; underscores stand for spaces."""
        return self._pairs.pop(key, default)

    @overload
    def number(self, key: str, default: int) -> int: ...
    @overload
    def number(self, key: str, default: None) -> int | None: ...
    def number(self, key: str, default: int | None) -> int | None:
        """``key=3``."""
        return int(self._pairs.pop(key)) if key in self._pairs else default

    @overload
    def length(self, key: str, default: int) -> int: ...
    @overload
    def length(self, key: str, default: None) -> int | None: ...
    def length(self, key: str, default: int | None) -> int | None:
        """``key=20s``."""
        return length_us(self._pairs.pop(key)) if key in self._pairs else default

    def yes(self, key: str, default: bool) -> bool:
        """``key=yes``."""
        return self._pairs.pop(key, "yes" if default else "no") == "yes"

    def group(self, key: str, read: Callable[[str], T]) -> dict[str, T]:
        """``key.voice=3 key.chat=4`` as a dictionary."""
        found = [pair for pair in self._pairs if pair.startswith(f"{key}.")]
        return {pair.removeprefix(f"{key}."): read(self._pairs.pop(pair)) for pair in found}

    def levels(self) -> dict[str, int]:
        """What is left of ``en=3 de=1``."""
        levels = {key: int(value) for key, value in self._pairs.items()}
        self._pairs.clear()
        return levels

    def requirements(self) -> Requirements:
        """``en>=3 de>=1``."""
        asked, self._asked = self._asked, {}
        return tuple(sorted(asked.items()))

    def rest(self) -> str:
        """All plain words that are left."""
        rest, self._plain = " ".join(self._plain), []
        return rest

    def finish(self) -> None:
        """Raises ValueError for words that nobody took."""
        left = [*self._plain, *self._pairs, *self._asked]
        if left:
            raise ValueError(f"not understood: {', '.join(left)}")


class Settings:
    """The policy of a story: four channels and one queue until it says otherwise."""

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = default_channels()
        self.queues: dict[QueueId, Queue] = {QueueId("help"): Queue(id=QueueId("help"))}
        self.profiles: dict[str, Profile] = {}
        self.hours: dict[str, Hours] = {}
        self.steps: dict[str, list[Step]] = {}
        self.general: dict[str, int | None] = {}
        self.show_effects = False
        self._own_queues = False
        self._version = 0

    def policy(self) -> Policy:
        """The settings as they stand; each time a new version."""
        self._version += 1
        every = tuple(ProfileQueue(queue=queue) for queue in self.queues)
        general = {key: value for key, value in self.general.items() if value is not None}
        return Policy(
            version=f"v{self._version}",
            channels=dict(self.channels),
            queues={
                name: _with(queue, steps=tuple(self.steps.get(name, ())))
                for name, queue in self.queues.items()
            },
            profiles={"all": Profile(id="all", queues=every), **self.profiles},
            hours=dict(self.hours),
            **general,  # type: ignore[arg-type]
        )

    def channel(self, words: Words) -> None:
        """``channel chat maximum=2 park_after=60s``."""
        name = words.name("channel")
        old = self.channels.get(name) or Channel(name=name, cost=100, maximum=1)
        self.channels[name] = Channel(
            name=name,
            cost=words.number("cost", old.cost),
            maximum=words.number("maximum", old.maximum),
            tier=words.number("tier", old.tier),
            target_us=words.length("target", old.target_us),
            media=words.yes("media", old.media),
            connect_timeout_us=words.length("connect", old.connect_timeout_us),
            parks=words.yes("parks", old.parks),
            park_after_us=words.length("park_after", old.park_after_us),
            close_after_us=words.length("close_after", old.close_after_us),
            prefer_last_us=words.length("prefer_last", old.prefer_last_us),
            interrupts=_list(words.text("interrupts", "+".join(old.interrupts))),
            ramp_us=words.length("ramp", old.ramp_us),
            auto_accept=words.yes("auto", old.auto_accept),
        )

    def queue(self, words: Words) -> None:
        """``queue sales hours=office offer=15s wrap.voice=30s full=overflow:help en>=1``."""
        if not self._own_queues:
            self._own_queues = True
            self.queues = {}
        name = QueueId(words.name("queue"))
        self.queues[name] = Queue(
            id=name,
            hours=words.text("hours", ""),
            targets_us=words.group("target", length_us),
            tiers=words.group("tier", int),
            strategy=Strategy(words.text("strategy", "longest_idle")),
            fit_weights=words.group("weight", float),
            rank_first=words.yes("rank_first", True),
            requirements=words.requirements(),
            recheck_us=words.length("recheck", 10 * SECOND_US),
            offer_timeout_us=words.length("offer", 20 * SECOND_US),
            parallel=words.number("parallel", 1),
            decline=Decline(
                on_miss=MissAction(words.text("miss", "not_ready")),
                cool_down_us=words.length("cool_down", 30 * SECOND_US),
                exclude_after=words.number("exclude_after", Decline().exclude_after),
                bonus_us=words.length("bonus", 0),
                offers=words.number("offers", 50),
                exhausted=_limit(words.text("exhausted", "deflect")),
            ),
            wrap_up_us=words.group("wrap", length_us),
            most_waiting=words.number("most", None),
            on_full=_limit(words.text("full", "deflect")),
            longest_wait_us=words.length("longest", 0),
            on_late=_limit(words.text("late", "deflect")),
            on_closed=_limit(words.text("closed", "queue")),
            transfer_head_start_us=words.length("transfer_head", 0),
            prefer_last_us=words.length("prefer_last", 0),
            record=words.yes("record", False),
            treatment=Treatment(
                greeting=words.text("greeting", "").replace("_", " "),
                every_us=words.length("tell_every", 0),
                text=words.text("tell", "").replace("_", " "),
            ),
        )

    def step(self, words: Words) -> None:
        """``step help after=30s lower=en:1 drop=de add=fr:1 add_queue=sales tier=0 head=60s``."""
        queue = words.name("queue")
        steps = self.steps.setdefault(queue, [])
        after_us = words.length("after", 0)
        name = words.text("name", "")
        wait_over_us = words.length("wait_over", -1)
        eligible_below = words.number("eligible_below", -1)
        position_over = words.number("position_over", -1)
        skip = words.flag("skip")
        steps.append(
            Step(
                name=name.replace("_", " "),
                after_us=after_us,
                wait_over_us=wait_over_us,
                eligible_below=eligible_below,
                position_over=position_over,
                otherwise_skip=skip,
                actions=tuple(_actions(words)),
            )
        )

    def unstep(self, words: Words) -> None:
        """``unstep help``: the queue has no steps any more."""
        self.steps.pop(words.name("queue"), None)

    def profile(self, words: Words) -> None:
        """``profile second sales:1 help:2+30s``: queue, rank, delay."""
        name = words.name("profile")
        served = []
        for word in words.rest().split():
            queue, _, place = word.partition(":")
            rank, _, delay = place.partition("+")
            delay_us = length_us(delay) if delay else 0
            served.append(
                ProfileQueue(queue=QueueId(queue), rank=int(rank or 1), delay_us=delay_us)
            )
        self.profiles[name] = Profile(id=name, queues=tuple(served))

    def opening(self, words: Words) -> None:
        """``hours office zone=Europe/Berlin mon-fri=9:00-17:00 holiday=2026-04-03``."""
        name = words.name("hours")
        zone, holiday = words.text("zone", "UTC"), words.text("holiday", "")
        spans = []
        for word in words.rest().split():
            days, _, span = word.partition("@")
            start, _, end = span.partition("-")
            first, _, last = days.partition("-")
            numbers = tuple(range(DAYS.index(first), DAYS.index(last or first) + 1))
            spans.append(HoursSpan(numbers, _minute(start), _minute(end)))
        holidays = tuple(Holiday(date=date) for date in _list(holiday))
        self.hours[name] = Hours(id=name, zone=zone, spans=tuple(spans), holidays=holidays)

    def overall(self, words: Words) -> None:
        """``policy waiting_places=3 lost_after=30s``."""
        self.general["waiting_places"] = words.number(
            "waiting_places", self.general.get("waiting_places")
        )
        for key in ("lost_after", "callback_retry", "grace"):
            field = f"{key}_us"
            self.general[field] = words.length(key, self.general.get(field))
        for key in ("capacity", "hops", "callback_attempts", "turn"):
            self.general[key] = words.number(key, self.general.get(key))

    def show(self, words: Words) -> None:
        """``show effects``: the transcript has what the channels are told, too."""
        self.show_effects = words.flag("effects")


SETTINGS: dict[str, Callable[[Settings, Words], None]] = {
    "channel": Settings.channel,
    "queue": Settings.queue,
    "step": Settings.step,
    "unstep": Settings.unstep,
    "profile": Settings.profile,
    "hours": Settings.opening,
    "policy": Settings.overall,
    "show": Settings.show,
}
"""Lines that set the scene; after the first person they are a reload."""


def _with(queue: Queue, *, steps: tuple[Step, ...]) -> Queue:
    fields = {name: getattr(queue, name) for name in Queue.__struct_fields__}
    return Queue(**{**fields, "steps": steps})


def _list(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split("+") if part)


def _minute(text: str) -> int:
    hour, _, minute = text.partition(":")
    return int(hour) * 60 + int(minute or 0)


def _limit(text: str) -> Limit:
    action, _, queue = text.partition(":")
    return Limit(action=Full(action), queue=QueueId(queue))


def _actions(words: Words) -> Iterable[Action]:
    for kind in ActionKind:
        value = words.text(kind.value, "")
        if not value:
            continue
        skill, _, level = value.partition(":")
        match kind:
            case ActionKind.LOWER | ActionKind.ADD:
                yield Action(kind=kind, skill=skill, level=int(level))
            case ActionKind.DROP:
                yield Action(kind=kind, skill=value)
            case ActionKind.ADD_QUEUE | ActionKind.OVERFLOW:
                yield Action(kind=kind, queue=QueueId(value))
            case ActionKind.TIER:
                yield Action(kind=kind, tier=int(value))
            case ActionKind.HEAD_START:
                yield Action(kind=kind, head_start_us=length_us(value))
            case ActionKind.ASK:  # ``ask=offer:1+2``: the prompt is the name
                question = Asking(
                    name=skill, prompt=skill, choices={key: key for key in _list(level)}
                )
                yield Action(kind=kind, question=question)
            case ActionKind.SWITCH_CHANNEL:
                yield Action(kind=kind, channel=value)
            case ActionKind.MESSAGE | ActionKind.OFFER_CALLBACK | ActionKind.DEFLECT:
                yield Action(kind=kind, text=value.replace("_", " "))


# Telling.

IDS = (
    "reservation", "contact", "agent", "message", "callback", "consult", "monitor", "recording",
    "request", "effect",
)  # fmt: skip
SKIPPED = (
    "type", "at_us", "decision", "arrival_no", "visit_no", "visit_at_us", "promised_wait_us",
    "order", "units", "rank", "version", "attributes", "size", "sealed", "seal_key", "entry_point",
    "profile", "resets_idle", "facts", "outbound", "customer_facts", "propensity", "candidates",
    "probability", "sent_at_us", "attempted_at_us",
)  # fmt: skip
RENAMED = {"hold_agent": "held for", "target_agent": "only", "requirements": "asks", "by": "by"}


def event_line(event: e.Event, start_us: int) -> str:
    """One event as a line: moment, what happened, to whom, and what matters of the rest."""
    name = type(event).__name__
    ids, details = [], []
    for field in event.__struct_fields__:
        value = getattr(event, field)
        if field == "taken" and value is False:
            details.append("skipped")
        if field in SKIPPED or value in ("", (), 0, None, False, {}, "inbound"):
            continue
        if field == "name" and value == getattr(event, "agent", ""):
            continue
        if field in IDS:
            ids.append((IDS.index(field), str(value)))
        elif field.endswith("_at_us") or field in ("hold_until_us", "until_us"):
            moment = "for ever" if value == FOR_EVER_US else _clock(value - start_us)
            details.append(f"{field.removesuffix('_us').replace('_at', '')} {moment}")
        elif field in ("not_before_us", "not_after_us"):
            details.append(
                f"{field.removesuffix('_us').replace('_', ' ')} {_clock(value - start_us)}"
            )
        elif value == -1 and field == "wait_us":
            details.append("wait unknown")
        elif field.endswith("_us"):
            details.append(f"{field.removesuffix('_us').replace('_', ' ')} {value / 1e6:g}s")
        elif field == "requirements":
            details.append("asks " + " ".join(f"{skill}>={level}" for skill, level in value))
        elif field == "skills":
            details.append(" ".join(f"{skill}={level}" for skill, level in value.items()))
        elif field in ("queue", "channel", "presence", "outcome", "taken", "name"):
            details.append("" if value is True else str(value))
        elif value is True:
            details.append(field.replace("_", " "))
        else:
            label = RENAMED.get(field, field.replace("_", " "))
            told = "+".join(value) if isinstance(value, tuple) else value
            details.append(f"{label} {told}")
    who = " ".join(id_ for _, id_ in sorted(ids))
    text = ", ".join(detail.replace("_", " ") for detail in details if detail)
    return f"{_clock(event.at_us - start_us):>11} {name:<21} {who:<12} {text}".rstrip()


def _clock(since_us: int) -> str:
    seconds, micros = divmod(since_us, SECOND_US)
    if -3600 < seconds < 3600:
        return f"{since_us / SECOND_US:.3f}"
    days, rest = divmod(seconds, 86400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}.{micros // 1000:03}"
    return f"{days}d {clock}" if days else clock
