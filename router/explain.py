"""`contact-router explain`: what would happen to a contact, and why, for people.

Asked of a running server, or worked out from a configuration file alone. Offline nobody waits, the
file's agents are not signed in, and a customer is what the JSON says under `facts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec

from router import config as configuration
from router.api.bodies import EvaluateBody
from router.api.explaining import evaluation_view
from router.api.routes.rules import places_of, submission
from router.api.wire import check_attributes, typed
from router.core.commands import PutAgent
from router.core.engine import Engine
from router.core.facts import CustomerFacts, Facts, LearnedWindow, Permission, PreferenceFacts
from router.core.model import AgentId
from router.core.policy import EntryPoint, Policy
from router.core.rules.place import closest
from router.errors import Invalid, RouterError
from router.offline import workspace_of
from router.remote.server import RunningServer

SECOND_US = 1_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INDENT = "  "
_FACTS: dict[str, type[msgspec.Struct]] = {
    "customer": CustomerFacts,
    "preference": PreferenceFacts,
    "permission": Permission,
}
_SKIPPED, _ERROR = "skipped", "error"


def read_contact(text: bytes, name: str) -> dict[str, Any]:
    """The contact in a JSON file. Raises RouterError."""
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise RouterError(f"{name}: expected JSON: {error}") from None
    if not isinstance(found, dict):
        shown = text[:40].decode(errors="replace")
        raise RouterError(f'{name}: expected a contact ({{"channel": ...}}), got {shown}')
    return found


async def ask(server: RunningServer, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The evaluation of a running server. Raises RouterError."""
    for name in ("facts", "at"):
        if name in asked:
            raise RouterError(f"{name!r} is for --config: a server has its own")
    found: dict[str, Any] = await server.post("/v1/rules:evaluate", asked)
    return found


# --- from a file alone ----------------------------------------------------------------------------


def offline(path: Path, workspace: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The evaluation by a configuration file. Raises ConfigError and RouterError."""
    config = configuration.load(path)
    settings = config.workspaces[workspace_of(config, workspace)]
    policy = settings.policy
    given = dict(asked)
    now_us = _moment_us(given.pop("at", None))
    facts = _facts(given.pop("facts", {}))
    body = typed(given, EvaluateBody)
    check_attributes(body.attributes)
    if body.contact or not body.channel:
        raise Invalid("invalid", "expected `channel`; a live contact is asked of a server")
    engine = Engine(policy, now_us=now_us)
    for seed in settings.agents:
        engine.handle(
            PutAgent(agent=AgentId(seed.id), skills=dict(seed.skills), profile=seed.profile), now_us
        )
    command = submission(body, _entry_point(policy, body))
    found = engine.evaluate(msgspec.structs.replace(command, facts=facts), now_us)
    view = evaluation_view(found, policy.rules.match, places_of(policy.rules))
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(view))
    return plain


def _entry_point(policy: Policy, body: EvaluateBody) -> EntryPoint | None:
    """Named, by our address, or the channel's only one, as an arrival finds it."""
    points = [point for point in policy.entry_points.values() if point.channel == body.channel]
    if body.entry_point:
        for point in points:
            if point.id == body.entry_point:
                return point
        raise Invalid(
            "unknown_entry_point", f"no entry point {body.entry_point!r} on {body.channel}"
        )
    by_address = [point for point in points if body.peer.to and point.address == body.peer.to]
    if by_address:
        return by_address[0]
    return points[0] if len(points) == 1 and not body.queue else None


def _moment_us(at: object) -> int:
    if at is None:
        moment = datetime.now(UTC)
    else:
        try:
            moment = datetime.fromisoformat(str(at))
            if moment.tzinfo is None:
                raise ValueError("no zone")
        except ValueError:
            message = f"at: expected a moment like 2026-11-24T09:30+01:00, got {at!r}"
            raise RouterError(message) from None
    return (moment - EPOCH) // timedelta(microseconds=1)


def _facts(given: object) -> Facts:
    """What is known of the customer. Raises RouterError for what cannot be."""
    names = (*_FACTS, "windows")
    if not isinstance(given, dict):
        raise RouterError(f"facts: expected {', '.join(names)}, got {given!r}")
    for name, value in given.items():
        if name not in names:
            raise RouterError(f"facts: unknown {name!r}{closest(name, names)}")
        type_ = _FACTS.get(name, LearnedWindow)
        for one in value if isinstance(value, list) else [value]:
            fields = type_.__struct_fields__
            for field in one if isinstance(one, dict) else ():
                if field not in fields:
                    raise RouterError(f"facts.{name}: unknown {field!r}{closest(field, fields)}")
    if "customer" in given and isinstance(given["customer"], dict):
        given = {**given, "customer": {"known": True, **given["customer"]}}
    try:
        return msgspec.convert(given, Facts)
    except msgspec.ValidationError as error:
        raise RouterError(f"facts: {error}") from None


# --- for people -----------------------------------------------------------------------------------


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The evaluation as lines; the colours go where the output is no terminal."""
    yield click.style(found["text"], bold=True)
    segment, rules = found["segment"], found["rules"]
    yield from _heading("Segment", f"{segment.get('name') or 'none'} ({segment['reason']})")
    yield from _verdicts(segment.get("verdicts", ()))
    how = "the first that matches decides" if rules["match"] == "first" else "all that match"
    yield from _heading("Rules", how)
    yield from _verdicts(rules.get("verdicts", ()))
    for error in rules.get("errors", ()):
        yield INDENT + click.style(error, fg="red")
    if rules.get("verbs"):
        yield from _heading("What they say")
        for verb in rules["verbs"]:
            value = msgspec.json.encode(verb["value"]).decode()
            yield f"{INDENT}{verb['verb']} = {value}  ({verb['rule']})"
    yield from _heading("Place")
    yield from _place(found["place"])
    if found.get("attributes"):
        shown = msgspec.json.encode(found["attributes"]).decode()
        yield f"{INDENT}attributes {shown}"
    yield from _heading("Agents")
    yield from _agents(found.get("agents"))
    if len(found.get("steps", ())) > 1:
        yield from _heading("Relaxation, as it would be now")
        for step in found["steps"]:
            yield INDENT + _step(step)
    if found.get("going"):
        yield from _heading("Going out")
        yield from _going(found["going"])


def _heading(title: str, text: str = "") -> Iterator[str]:
    yield ""
    yield click.style(title, bold=True) + (f": {text}" if text else "")


def _verdicts(verdicts: Any) -> Iterator[str]:
    if not verdicts:
        yield f"{INDENT}there are none"
    for verdict in verdicts:
        looked_at = verdict.get("looked_at", True)
        error = verdict.get("error")
        colour = "red" if error else "green" if verdict.get("matched") else None
        name = click.style(verdict["name"], fg=colour, bold=bool(colour), dim=not looked_at)
        place = f"  [{verdict['place']}]" if verdict.get("place") else ""
        yield f"{INDENT}{name}: {verdict['text']}{place}"
        if verdict.get("condition"):
            yield from _condition(verdict["condition"], 2)


def _condition(condition: Mapping[str, Any], depth: int) -> Iterator[str]:
    outcome, came = condition["outcome"], condition.get("came", "")
    if outcome == _SKIPPED:
        told = click.style("not looked at", dim=True)
    elif outcome == _ERROR:
        told = click.style(f"error: {came}", fg="red")
    else:
        told = click.style(came, fg={"true": "green", "false": "yellow"}.get(came))
    reads = condition.get("reads", {})
    seen = ", ".join(f"{p} = {value}" for p, value in reads.items() if p != condition["text"])
    text = " ".join(condition["text"].split())
    yield f"{INDENT * depth}{text} -> {told}{f' ({seen})' if seen else ''}"
    for part in condition.get("parts", ()):
        yield from _condition(part, depth + 1)


def _place(place: Mapping[str, Any]) -> Iterator[str]:
    is_open = "open" if place["open"] else "closed"
    yield f"{INDENT}queue {place['queue']} ({is_open}), position {place['position']}"
    wait_us = place.get("wait_us", -1)
    if wait_us >= 0:
        yield f"{INDENT}estimated wait {wait_us / SECOND_US:.0f} s"
    head_start = place.get("head_start_us", 0)
    yield f"{INDENT}tier {place.get('tier', 0)}, head start {_length(head_start)}"
    yield f"{INDENT}asks for {_levels(place.get('requirements'))}"
    if place.get("hold_agent"):
        yield f"{INDENT}held for {place['hold_agent']}, {_length(place['hold_us'])}"
    limit = place.get("limit")
    if limit:
        target = f" {limit['queue']}" if limit.get("queue") else ""
        yield f"{INDENT}{limit['reason']}: {limit['action']}{target}"


def _agents(choice: Mapping[str, Any] | None) -> Iterator[str]:
    if choice is None:
        yield f"{INDENT}nobody could take it now"
        return
    more = " or more" if choice.get("eligible_more") else ""
    yield f"{INDENT}{choice['eligible']}{more} could take it; {choice['strategy']} chooses"
    for place, one in enumerate([choice["agent"], *choice.get("runners_up", ())]):
        terms = ", ".join(f"{name} {value}" for name, value in one["terms"])
        name = click.style(one["agent"], fg="green" if not place else None, bold=not place)
        yield f"{INDENT}{place + 1}. {name} ({terms})"


def _step(step: Mapping[str, Any]) -> str:
    after = f" after {_length(step['after_us'])}" if step.get("after_us") else ""
    taken = ", taken" if step.get("taken") else ""
    reached = f"{step.get('available', 0)} free of {step.get('ready', 0)} ready"
    queues = ", ".join(step.get("queues", ()))
    return (
        f"{step['step']}{after}{taken}: {reached}; "
        f"asks for {_levels(step.get('requirements'))} in {queues}"
    )


def _going(going: Mapping[str, Any]) -> Iterator[str]:
    terms, permission = going["terms"], going["permission"]
    told = "allowed" if permission["allowed"] else "not allowed"
    why = permission.get("text") or permission.get("reason", "")
    yield f"{INDENT}{terms['mode']}, purpose {terms.get('purpose', '')}: {going['reason']}"
    yield f"{INDENT}{told} now{f': {why}' if why else ''}"
    if going.get("at_us"):
        until = f" until {_moment(going['until_us'])}" if going.get("until_us") else ""
        yield f"{INDENT}from {_moment(going['at_us'])}{until}"
    for window in going.get("windows", ()):
        mark = "*" if window == going.get("window") else "-"
        likely = f"{window['probability']:.0%}"
        text = f": {window['text']}" if window.get("text") else ""
        yield f"{INDENT}{mark} {_moment(window['start_us'])} {window['channel']} {likely}{text}"


def _levels(requirements: Mapping[str, int] | None) -> str:
    return ", ".join(f"{name} {level}" for name, level in (requirements or {}).items()) or "nothing"


def _moment(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us // SECOND_US, UTC):%a %d %b %H:%M} UTC"


def _length(us: int) -> str:
    return f"{us / SECOND_US:g} s"
