"""What a load profile may say. Read strictly: an unknown key is refused with its place.

A profile is one YAML file: the router's configuration, the phases of the day, who comes, who
works, what befalls them, and what is expected. Rates are contacts a second; lengths are seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
NotNegative = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Over = Literal["api", "smpp", "mail", "sip"]
CHANNEL = {"smpp": "sms", "mail": "email", "sip": "voice"}
"""Which channel each real protocol is."""


class Form(msgspec.Struct, forbid_unknown_fields=True):
    """A mapping of the file."""


class Burst(Form, kw_only=True):
    """Arrivals that come together, besides the others."""

    every_s: Positive
    size: Positive
    """In units of the rate's: with `calibrate_s` a share of the peak's second."""
    within_s: NotNegative = 0.0


class Phase(Form, kw_only=True):
    """A part of the day."""

    name: str
    seconds: Positive
    rate: NotNegative = 0.0
    """Contacts a second at its beginning; with `calibrate_s`: times the peak."""
    to: NotNegative | None = None
    """And at its end: the rate changes evenly."""
    burst: Burst | None = None
    measured: bool = True
    """False: warm-up; its contacts count for the audit alone."""


class Span(Form, kw_only=True):
    """A length drawn anew each time."""

    mean_s: NotNegative
    spread: NotNegative = 0.0
    """Sigma of a log-normal of this mean; 0: always the mean."""


class Customers(Form, kw_only=True):
    """One kind of contact."""

    name: str
    channel: str
    entry_point: str
    share: Positive = 1.0
    """Of all contacts, against the other kinds' shares."""
    workspace: str = ""
    over: Over = "api"
    """How they come: submitted by HTTP, or over a real protocol with a real peer (`lines`)."""
    patience: Span | None = None
    """How long they wait for an agent, then give up; default: for ever."""
    requirements: dict[str, int] = {}
    one_skill_of: list[str] = []
    """Each asks for one of these, drawn."""
    attributes: dict[str, Any] = {}
    connect: Span = msgspec.field(default_factory=lambda: Span(mean_s=0.05))
    """How long the exchange takes to put a call through to the agent who took it."""
    messages: Count = 0
    """How often they write while they are served."""
    reply: Span = msgspec.field(default_factory=lambda: Span(mean_s=1.0))
    """How long they take to write."""


class Agents(Form, kw_only=True):
    """Agents alike."""

    name: str
    profile: str
    count: Annotated[int, Meta(ge=1)]
    workspace: str = ""
    skills: dict[str, int] = {}
    one_skill_of: list[str] = []
    """Each has one of these besides, in turn."""
    login_at_s: NotNegative | None = None
    """When they begin to come; default: all are there before the first contact."""
    login_over_s: Positive = 1.0
    """Evenly within so long."""
    accept: Span = msgspec.field(default_factory=lambda: Span(mean_s=0.2, spread=0.5))
    reject: Share = 0.0
    ignore: Share = 0.0
    """Of the offers; the router takes them back when their time is over."""
    talk: Span = msgspec.field(default_factory=lambda: Span(mean_s=1.0, spread=0.5))
    """How long a contact takes; with customers who write over a real protocol: each answer."""
    phone: bool = False
    """They have one at the PBX, where calls over ``sip`` ring; they pick up there."""
    wrap: Span = msgspec.field(default_factory=lambda: Span(mean_s=0.0))


class Cut(Form, kw_only=True):
    """Desks lose their connections, all at one moment."""

    at_s: NotNegative
    agents: str = ""
    """The name of those whom it befalls; default: all."""
    share: Share = 1.0
    back_within_s: Positive = 2.0
    """They try again after a random time up to this, as the desk protocol asks."""


class Expected(Form, kw_only=True):
    """One bound, or two."""

    least: float | None = None
    most: float | None = None


class Profile(Form, kw_only=True):
    """The whole file."""

    title: str
    about: str = ""
    router: dict[str, Any]
    """The configuration, without `server`."""
    durability: Literal["disk", "process"] = "disk"
    phases: Annotated[list[Phase], Meta(min_length=1)]
    customers: Annotated[list[Customers], Meta(min_length=1)]
    agents: Annotated[list[Agents], Meta(min_length=1)]
    cuts: list[Cut] = []
    calibrate_s: NotNegative = 0.0
    """> 0: a closed loop of so long finds the peak first; rates are then times it."""
    at_once: Annotated[int, Meta(ge=1)] = 200
    """Contacts alive at a time in that closed loop."""
    trace: str = ""
    """A file of recorded moments beside this one, instead of the phases' rates (see `trace.py`)."""
    trace_speed: Positive = 1.0
    """How many times as fast it is played."""
    drain_s: NotNegative = 10.0
    """How long those who are there at the end may still be served."""
    clients: Annotated[int, Meta(ge=1)] = 2
    seed: int = 1
    expect: dict[str, Expected]

    @property
    def seconds(self) -> float:
        """From the first phase's beginning to the last one's end."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def lines(self) -> list[str]:
        """The real protocols over which customers come."""
        return sorted({kind.over for kind in self.customers} - {"api"})

    @property
    def channels(self) -> list[str]:
        """Their channels."""
        return [CHANNEL[over] for over in self.lines]


class ProfileError(Exception):
    """The file cannot be used; the text begins with the place."""


def read(file: Path) -> Profile:
    """The profile in `file`. Raises ProfileError."""
    try:
        text = file.read_text()
        root = yaml.compose(text, yaml.SafeLoader)
        plain = yaml.safe_load(text)
    except OSError as error:
        raise ProfileError(f"{file}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ProfileError(f"{file}:{line}: {error.problem}") from None
    if root is not None:
        _refuse_doubles(file, root)
    try:
        profile = msgspec.convert(plain, Profile)
    except msgspec.ValidationError as error:
        raise ProfileError(f"{_place(file, root, str(error))}: {error}") from None
    names = [phase.name for phase in profile.phases]
    if len(set(names)) < len(names):
        raise ProfileError(f"{file}: two phases have one name")
    if profile.trace and not (file.parent / profile.trace).exists():
        raise ProfileError(f"{file}: there is no {profile.trace} beside it")
    groups = {agents.name for agents in profile.agents}
    for cut in profile.cuts:
        if cut.agents and cut.agents not in groups:
            raise ProfileError(f"{file}: cuts: no agents are called {cut.agents!r}")
    for words in impossible(profile):
        raise ProfileError(f"{file}: {words}")
    return profile


def impossible(profile: Profile) -> Iterator[str]:
    """What cannot be where customers come over real protocols."""
    if profile.lines and (profile.calibrate_s or profile.trace):
        yield "customers over a real protocol come by rates: no calibrate_s, no trace"
    if "sip" in profile.lines and not any(agents.phone for agents in profile.agents):
        yield "calls over sip need agents with `phone: true`"
    ways: dict[str, str] = {}
    for kind in profile.customers:
        place = f"customers {kind.name!r} over {kind.over}"
        if ways.setdefault(kind.channel, kind.over) != kind.over:
            yield f"{place}: others of channel {kind.channel} come over {ways[kind.channel]}"
        if kind.over == "api":
            continue
        if kind.channel != CHANNEL[kind.over]:
            yield f"{place}: their channel is {CHANNEL[kind.over]}"
        if kind.workspace:
            yield f"{place}: they have no workspace"
        if kind.requirements or kind.one_skill_of or kind.attributes:
            yield f"{place}: nothing there says requirements or attributes"
        if kind.over == "sip" and kind.messages:
            yield f"{place}: a caller writes nothing"
        if kind.over != "sip" and kind.patience is not None:
            yield f"{place}: whoever writes cannot take it back: no patience"
        if "address" not in profile.router.get("entry_points", {}).get(kind.entry_point, {}):
            yield f"{place}: entry point {kind.entry_point!r} needs an address"


def _refuse_doubles(file: Path, node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise ProfileError(f"{file}:{line}: `{key.value}` stands here twice")
            seen.add(key.value)
            _refuse_doubles(file, value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_doubles(file, item)


def _place(file: Path, root: yaml.Node | None, text: str) -> str:
    """The line of what an error of msgspec speaks about."""
    node = root
    path = re.search(r"at `\$([^`]*)`", text)
    steps = re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", path[1]) if path else []
    if unknown := re.search(r"unknown field `([^`]*)`", text):
        steps.append((unknown[1], ""))
    at = node
    for key, number in steps:
        if isinstance(node, yaml.MappingNode):
            pairs = [(k, v) for k, v in node.value if k.value == key]
            if not pairs:
                break
            at, node = pairs[0]
        elif isinstance(node, yaml.SequenceNode) and number and int(number) < len(node.value):
            at = node = node.value[int(number)]
    return f"{file}:{at.start_mark.line + 1}" if at is not None else str(file)
