"""An evaluation as it goes out: what would happen to a contact, why, and in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from router.api.channel_views import PauseView, pause_view
from router.api.views import (
    OutboundView,
    OutboundWindowView,
    View,
    outbound_view,
    window_view,
)
from router.core.evaluation import Evaluation, Going
from router.core.facts import Permission
from router.core.model import Candidate, Direction
from router.core.policy import Full
from router.core.relaxation import Reach
from router.core.rules.book import Match, Plan, Verdict
from router.core.rules.verbs import settings_of
from router.core.rules.walk import Step

SECOND_US = 1_000_000


class ConditionView(View):
    """One condition, or part of one, and what it came to."""

    text: str
    """As written."""
    outcome: str
    """``value``, ``error``, or ``skipped``: nothing depended on it any more."""
    came: str = ""
    """The value as the language writes it, or why there is none."""
    reads: dict[str, str] = {}
    """The fields that were read, and what they held."""
    parts: list[ConditionView] = []


class VerdictView(View):
    """What became of one rule or segment."""

    name: str
    text: str
    """In words."""
    matched: bool = False
    looked_at: bool = True
    """False: an earlier one had decided."""
    error: str = ""
    place: str = ""
    """file:line"""
    condition: ConditionView | None = None
    """None: it has none, or was not looked at."""


class SegmentOfView(View):
    """The customer's segment, and why."""

    name: str = ""
    reason: str = ""
    verdicts: list[VerdictView] = []


class VerbView(View):
    """One thing that rules say, and which of them."""

    verb: str
    value: Any
    rule: str
    """``segment <name>``: its strategy."""


class RulesOfView(View):
    """What the rules say of the contact."""

    match: Match
    matched: list[str] = []
    verbs: list[VerbView] = []
    errors: list[str] = []
    verdicts: list[VerdictView] = []


class LimitView(View):
    """What its queue does with a contact that it cannot take."""

    reason: str
    """``closed`` or ``queue_full``"""
    action: Full
    queue: str = ""
    text: str = ""


class PlaceView(View):
    """Where the contact stands, or would stand."""

    queue: str
    open: bool
    position: int
    wait_us: int = -1
    """Estimated; -1 = unknown."""
    tier: int = 0
    head_start_us: int = 0
    due_at_us: int = 0
    requirements: dict[str, int] = {}
    """With those of the queue."""
    hold_agent: str = ""
    hold_us: int = 0
    limit: LimitView | None = None
    pause: PauseView | None = None
    """Its channel is paused: nobody would be offered it."""


class CandidateView(View):
    """An agent who could have it, and the terms in the order in which they are compared."""

    agent: str
    terms: list[tuple[str, int | float | str]]


class ChoiceView(View):
    """Who would get it now, and why."""

    agent: CandidateView
    strategy: str
    eligible: int
    """Agents who could have it, the chosen one included, as far as counted."""
    eligible_more: bool = False
    """There may be more."""
    runners_up: list[CandidateView] = []


class ReachedView(View):
    """Whom the contact reaches at a relaxation step."""

    step: str
    after_us: int = 0
    taken: bool = False
    requirements: dict[str, int] = {}
    queues: tuple[str, ...] = ()
    ready: int = 0
    """Agents who are ready and meet it."""
    available: int = 0
    """Of these, with room now."""


class PermissionNowView(View):
    """Whether the customer may be contacted."""

    allowed: bool
    reason: str = ""
    text: str = ""
    until_us: int = 0
    next_at_us: int = 0


class GoingView(View, kw_only=True):
    """When the contact goes out to the customer. Moments are of the calendar."""

    terms: OutboundView
    reason: str
    """``now``, ``not_before``, ``learned_window``, why not now, or why never."""
    at_us: int = 0
    """0 = never."""
    until_us: int = 0
    permission: PermissionNowView
    windows: list[OutboundWindowView] = []
    """Learned ones, best first."""
    window: OutboundWindowView | None = None
    """The one it would go out in."""


class EvaluationView(View, kw_only=True):
    """What would happen to a contact now. Nothing has happened."""

    at_us: int
    outcome: str
    """``rejected``, ``deflected``, ``cancelled``, ``expired``, ``scheduled``, ``callback``,
    ``offered`` or ``waits``; of a live contact its state."""
    text: str
    """In words."""
    channel: str
    direction: Direction = Direction.INBOUND
    contact: str = ""
    """Of a live one."""
    customer: str = ""
    told: str = ""
    """What the customer, or whoever submits it, is told then."""
    attributes: dict[str, Any] = {}
    segment: SegmentOfView
    rules: RulesOfView
    place: PlaceView
    agents: ChoiceView | None = None
    """None: nobody could take it now."""
    steps: list[ReachedView] = []
    going: GoingView | None = None
    """Of contacts that we begin."""


def evaluation_view(found: Evaluation, match: Match, places: dict[str, str]) -> EvaluationView:
    """An evaluation as it goes out; `places`: file:line of ``rule/<name>``, ``segment/<name>``."""
    decision = found.agents
    choice = None
    if decision is not None:
        choice = ChoiceView(
            agent=_candidate(decision.winner),
            strategy=decision.strategy,
            eligible=decision.eligible,
            eligible_more=decision.eligible_more,
            runners_up=[_candidate(one) for one in decision.runners_up],
        )
    return EvaluationView(
        at_us=found.at_us,
        contact=found.contact if found.is_live else "",
        outcome=found.outcome,
        text=summary(found),
        told=found.text,
        channel=found.channel,
        direction=found.direction,
        customer=found.customer,
        attributes=found.attributes,
        segment=SegmentOfView(
            name=found.segment.segment,
            reason=found.segment.reason,
            verdicts=[_verdict(one, "segment", places) for one in found.segment.verdicts],
        ),
        rules=RulesOfView(
            match=match,
            matched=list(found.plan.rules),
            verbs=_verbs(found.plan),
            errors=list(found.plan.errors),
            verdicts=[_verdict(one, "rule", places) for one in found.plan.verdicts],
        ),
        place=_place(found),
        agents=choice,
        steps=[_reached(number, reach, found.step) for number, reach in enumerate(found.steps)],
        going=_going(found, found.going) if found.going is not None else None,
    )


def _verdict(verdict: Verdict, kind: str, places: dict[str, str]) -> VerdictView:
    if not verdict.looked_at:
        text = "not looked at: an earlier one had decided"
    elif verdict.error:
        text = f"no match: {verdict.error}"
    elif verdict.step is None and verdict.matched:
        text = "match: it has no condition"
    else:
        text = "match" if verdict.matched else "no match"
    return VerdictView(
        name=verdict.name,
        text=text,
        matched=verdict.matched,
        looked_at=verdict.looked_at,
        error=verdict.error,
        place=places.get(f"{kind}/{verdict.name}", ""),
        condition=_condition(verdict.step) if verdict.step is not None else None,
    )


def _condition(step: Step) -> ConditionView:
    return ConditionView(
        text=step.text,
        outcome=step.outcome,
        came=step.came,
        reads=dict(step.reads),
        parts=[_condition(part) for part in step.parts],
    )


def _verbs(plan: Plan) -> list[VerbView]:
    settings = settings_of(plan.then)
    found = []
    for name, rule in plan.sources.items():
        verb, _, part = name.partition(".")
        if verb == "set":
            if part not in plan.attributes:
                continue  # its expression has no value: it stands under the errors
            value = plan.attributes[part]
        elif verb == "experiment":
            value = plan.attributes[name]
        elif verb not in settings:
            continue
        else:
            value = settings[verb][part] if part else settings[verb]
        found.append(VerbView(verb=name, value=value, rule=rule))
    return found


def _place(found: Evaluation) -> PlaceView:
    turned = found.turned
    limit = None
    if turned is not None:
        limit = LimitView(
            reason=turned.reason, action=turned.action, queue=turned.queue, text=turned.text
        )
    return PlaceView(
        queue=found.queue,
        open=found.is_open,
        position=found.position,
        wait_us=found.wait_us,
        tier=found.tier,
        head_start_us=found.head_start_us,
        due_at_us=found.due_at_us,
        requirements=dict(found.requirements),
        hold_agent=found.hold_agent,
        hold_us=found.hold_us,
        limit=limit,
        pause=pause_view(found.pause) if found.pause is not None else None,
    )


def _candidate(candidate: Candidate) -> CandidateView:
    return CandidateView(
        agent=candidate.id, terms=[(term.name, term.value) for term in candidate.terms]
    )


def _reached(number: int, reach: Reach, taken: int) -> ReachedView:
    return ReachedView(
        step=reach.step,
        after_us=reach.after_us,
        taken=0 < number <= taken,
        requirements=dict(reach.requirements),
        queues=reach.queues,
        ready=reach.ready,
        available=reach.available,
    )


def _going(found: Evaluation, going: Going) -> GoingView:
    return GoingView(
        terms=outbound_view(going.terms),
        reason=going.reason,
        at_us=going.at_us,
        until_us=going.until_us,
        permission=permission_view(found.facts.permission),
        windows=[window_view(window) for window in found.facts.windows],
        window=window_view(going.window) if going.window is not None else None,
    )


def permission_view(permission: Permission) -> PermissionNowView:
    """A permission, without whose it is."""
    return PermissionNowView(
        allowed=permission.allowed,
        reason=permission.reason,
        text=permission.text,
        until_us=permission.until_us,
        next_at_us=permission.next_at_us,
    )


# --- in words -------------------------------------------------------------------------------------


def summary(found: Evaluation) -> str:
    """What would happen, in a sentence or two."""
    return f"{_outcome(found)}{_paused(found)}"


def _paused(found: Evaluation) -> str:
    """Why nobody gets it, if that is so because of a pause."""
    if found.pause is None or found.outcome not in ("queued", "waits", "scheduled"):
        return ""
    pause = found.pause
    by = f" by {pause.by}" if pause.by else ""
    why = f" ({pause.reason})" if pause.reason else ""
    return f" Channel {pause.channel} is paused since {_moment(pause.at_us)}{by}{why}."


def _outcome(found: Evaluation) -> str:
    if found.is_live:
        return f"It is {found.outcome}{_where(found) if found.outcome == 'queued' else ''}."
    by = f" by {', '.join(found.plan.rules)}" if found.plan.rules else ""
    match found.outcome:
        case "rejected" | "deflected" if found.turned is None:
            return f"It would be {found.outcome}{by}: {found.text}"
        case "rejected" | "deflected" | "callback":
            return f"It would be {_turned(found)}."
        case "cancelled" | "expired":
            reason = found.text or (found.going.reason if found.going is not None else "")
            return f"It would never go out ({found.outcome}): {reason}"
        case "scheduled":
            return _scheduled(found)
        case "offered" if found.agents is not None:
            return (
                f"It would be offered to {found.agents.winner.id} at once, in queue {found.queue}."
            )
        case _ if found.turned is not None and found.turned.action is Full.OVERFLOW:
            return f"It would go {_turned(found)}."
        case _:
            return f"It would wait{_where(found)}."


def _where(found: Evaluation) -> str:
    if not found.is_open:
        return f" in queue {found.queue}, which is closed, at position {found.position}"
    wait = f"for about {_length(found.wait_us)}" if found.wait_us >= 0 else "for an unknown time"
    return f" in queue {found.queue} at position {found.position}, {wait}"


def _turned(found: Evaluation) -> str:
    turned = found.turned
    assert turned is not None, "asked only of contacts that are turned away"
    why = "is closed" if turned.reason == "closed" else "is full"
    what = {
        Full.OVERFLOW: f"on to queue {turned.queue}",
        Full.CALLBACK: "called back",
    }.get(turned.action, "deflected")
    words = f" ({turned.text})" if turned.text else ""
    return f"{what}, because queue {found.queue} {why}{words}"


def _scheduled(found: Evaluation) -> str:
    going = found.going
    if going is None:
        return f"It would be scheduled, and come into queue {found.queue} in its window."
    until = f" until {_moment(going.until_us)}" if going.until_us else ""
    text = f"It would go out from {_moment(going.at_us)}{until} ({going.reason})"
    if going.window is not None:
        text += f" by {going.window.channel}: {going.window.text or 'a learned window'}"
    return f"{text}."


def _moment(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // SECOND_US, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _length(us: int) -> str:
    seconds = us // SECOND_US
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
