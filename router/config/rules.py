"""Settings of rules, segments and their tests: what may be written in the file.

What the words mean: `core/rules/verbs.py` and `core/rules/book.py`. Compiled in `book.py`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from router.config.convert import (
    INVALID,
    NAME,
    Between,
    Invalid,
    Name,
    Own,
    Reading,
    came,
    convert,
    record,
)
from router.config.expressions import Source, expression
from router.config.kinds import ChannelName, Length, Levels, QueueName, Some, Text, Tier
from router.config.reader import Mapping, Node, Path, Scalar, Sequence, Unknown, shown
from router.core.model import DAY_US
from router.core.record import Value
from router.core.rules.book import Moment
from router.core.rules.verbs import At, GiveUp, Mode

WHEN = [str(At.NOW), str(At.LEARNED_WINDOW)]
_WORD = re.compile(r"[A-Za-z_]\w*")


# --- settings of several forms --------------------------------------------------------------------


def constant_or_expression(node: Node, path: Path, reading: Reading) -> Any:
    """A value of any kind, or ``{cel: ...}``: an expression that gives it."""
    if isinstance(node, Mapping) and "cel" in node.entries:
        mark, inner = node.entries["cel"]
        if len(node.entries) > 1:
            count = len(node.entries)
            reading.findings.add(mark, path, f"expected {{cel: ...}} alone, got {count} keys")
        reading.places[(*path, "cel")] = mark
        return expression(inner, (*path, "cel"), reading)
    return convert(Any, node, path, reading)


def moment(node: Node, path: Path, reading: Reading) -> At | Source | Invalid:
    """``now``, ``learned_window``, or an expression that gives a timestamp."""
    if isinstance(node, Scalar) and node.text in WHEN:
        return At(node.text)
    if isinstance(node, Scalar) and _WORD.fullmatch(node.text):
        # One word can only be one of these: no field is a moment but `now`.
        message = f"expected {', '.join(WHEN)} or an expression of a moment, got {shown(node.text)}"
        reading.findings.unknown(node.mark, path, Unknown(message, node.text, WHEN))
        return INVALID
    return expression(node, path, reading)


def template(node: Node, path: Path, reading: Reading) -> str | Invalid:
    """The name of a template, or a whole text."""
    text = convert(Text, node, path, reading)
    known = reading.names["templates"]
    if isinstance(text, str) and NAME.fullmatch(text) and text not in known:
        otherwise = f": there are {', '.join(list(known)[:12])}" if known else ": there are none"
        error = Unknown(f"unknown template {shown(text)}", text, known, otherwise)
        reading.findings.unknown(node.mark, path, error)
        return INVALID
    return text if isinstance(text, str) else INVALID


def experiments(node: Node, path: Path, reading: Reading) -> tuple[ExperimentSettings, ...]:
    """One experiment, or a list of them."""
    nodes = node.items if isinstance(node, Sequence) else [node]
    found = []
    for index, inner in enumerate(nodes):
        place = (*path, index) if isinstance(node, Sequence) else path
        one = record(ExperimentSettings, inner, place, reading)
        if not isinstance(one, Invalid):
            found.append(one)
    return tuple(found)


def condition_name(text: str) -> str:
    """A name that expressions can use. Raises ValueError."""
    if not _WORD.fullmatch(text) or len(text) > 64:
        raise ValueError(
            "expected a name of letters, digits and '_' that begins with no digit, "
            f"got {shown(text)}"
        )
    return text


def given(node: Node, path: Path, reading: Reading) -> dict[str, Any] | Invalid:
    """What a test gives or expects; its names are checked when it runs."""
    if not isinstance(node, Mapping):
        reading.findings.add(node.mark, path, f"expected a mapping, got {came(node)}")
        return INVALID
    for key, (mark, _) in node.entries.items():
        reading.places[(*path, key)] = mark
    value: dict[str, Any] = convert(Any, node, path, reading)
    return value


# --- verbs ----------------------------------------------------------------------------------------


class PreferAgentSettings(Value, kw_only=True, rename={"for_": "for"}):
    """Hold the contact for one agent, if they are ready or wrapping up."""

    last: Some | None = None
    """So long for the agent who served this customer last."""
    agent: Annotated[str, Name()] = ""
    """For this agent instead."""
    for_: Some | None = None
    """So long for that agent."""


class ExperimentSettings(Value, kw_only=True):
    """The same customer is always in the same arm; it becomes the attribute experiment.<name>."""

    name: Annotated[str, Name()]
    """Of the experiment."""
    arms: Annotated[
        dict[Annotated[str, Name()], Annotated[int, Between(0, 10_000)]], Between(1, 20)
    ]
    """Each with its weight, such as {a: 50, b: 50}."""


class ScheduleSettings(Value, kw_only=True):
    """When and how a contact goes out. Short form: `at` alone.

    It never goes out against consent, quiet hours or the limits of `contacting`.
    """

    SHORT: ClassVar[str] = "at"
    at: Annotated[At | Source, Own(moment)] = At.LEARNED_WINDOW
    """now, learned_window (in the windows learned for this customer, best first), or an expression
    that gives a moment, such as `now + duration("2h")`."""
    mode: Mode | None = None
    """agent_first (it is queued then, and begun when an agent accepts), message_first (the template
    goes out, and the reply queues it). Default: agent_first."""
    template: Annotated[str, Own(template)] = ""
    """message_first: name of the template that goes out, or the text itself."""
    purpose: Annotated[str, Name()] = "service"
    """Consent and limits go by it."""
    within: Some = 7 * DAY_US
    """How far ahead a learned window may lie."""
    latest: Length = 0
    """After so long it is given up, as `give_up` says; 0 = never."""
    give_up: GiveUp = GiveUp.EXPIRE
    """expire, or send (outside a learned window, if permitted)."""
    explore: bool = True
    """Now and then a window is chosen to learn from it."""


class ThenSettings(Value, kw_only=True):
    """Verbs: what a rule does. What is not given stays as it is."""

    queue: QueueName = ""
    """It waits in this queue."""
    require: Levels = {}
    """Skills with their least level, besides those that are asked for already."""
    prefer_agent: PreferAgentSettings | None = None
    """Hold it for an agent."""
    tier: Tier | None = None
    """Smaller tiers are served first."""
    head_start: Some | None = None
    """Counts as having waited this much longer."""
    set: Annotated[
        dict[Annotated[str, Between(1, 64)], Annotated[Any, Own(constant_or_expression)]],
        Between(1, 64),
    ] = {}
    """Attributes of the contact: constants, or {cel: an expression}."""
    schedule: ScheduleSettings | None = None
    """Of a contact to the customer: when it goes out, and how."""
    mode: Mode | None = None
    """The same as in `schedule`, to go with its short form."""
    template: Annotated[str, Own(template)] = ""
    """The same as in `schedule`, to go with its short form."""
    switch_channel: ChannelName = ""
    """It goes on on this channel."""
    callback: ChannelName = ""
    """On input: we call back on this channel; the place in the line is kept."""
    message: Text = ""
    """Tell the customer."""
    watch: bool | None = None
    """It stands on the supervisor's page."""
    deflect: Text = ""
    """Out of the system, with these words."""
    reject: Text = ""
    """Not taken at all, for this reason."""
    experiment: Annotated[tuple[ExperimentSettings, ...], Own(experiments)] = ()
    """A named choice between arms; a list for several."""


# --- sections -------------------------------------------------------------------------------------


class StrategySettings(Value, kw_only=True):
    """How a segment is served; a rule's verb wins over the same one here."""

    head_start: Some | None = None
    """Counts as having waited this much longer."""
    tier: Tier | None = None
    """Smaller tiers are served first."""
    watch: bool | None = None
    """Its contacts stand on the supervisor's page."""
    prefer_agent: PreferAgentSettings | None = None
    """Hold its contacts for an agent."""
    require: Levels = {}
    """Skills with their least level, besides those that are asked for already."""
    channels: tuple[ChannelName, ...] = ()
    """Contacts to its customers go out on these only, the cheapest first; default: on any."""
    explore: bool = True
    """Now and then a window is chosen to learn from it."""


class SegmentSettings(Value, kw_only=True):
    """A group of customers, and how they are served."""

    when: Annotated[Source | None, Own(expression)] = None
    """Condition; default: everybody. It cannot read `segment`."""
    strategy: StrategySettings = StrategySettings()
    """How its contacts are served."""


class RuleSettings(Value, kw_only=True):
    """If this, then that."""

    FILLED: ClassVar[tuple[str, ...]] = ("path",)
    PATH: ClassVar[str] = "path"
    name: Annotated[str, Name()]
    """Stands in decision records and counters."""
    on: Moment = Moment.RECEIVED
    """When it is asked: received (the contact arrives or is to be begun), input (the customer has
    answered a question)."""
    when: Annotated[Source | None, Own(expression)] = None
    """Condition; default: always."""
    then: ThenSettings
    """What it does."""
    path: Path = ()


class RuleTestSettings(Value, kw_only=True):
    """Given this contact, expect that. What is not given is unknown, empty or 0."""

    FILLED: ClassVar[tuple[str, ...]] = ("path",)
    PATH: ClassVar[str] = "path"
    name: Text
    """What is tested, in words."""
    given: Annotated[dict[str, Any], Own(given)] = {}
    """`at` (a moment with its zone), `on`, and what conditions see: contact, customer, preference,
    queues ..."""
    expect: Annotated[dict[str, Any], Own(given)]
    """`segment`, `rules` (the names of those that matched, in order), and verbs. Only what is named
    is compared."""
    path: Path = ()
