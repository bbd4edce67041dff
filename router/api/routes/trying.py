"""A rule tried over HTTP: whom it would have moved among the contacts that came in."""

from __future__ import annotations

import asyncio
from typing import Any

from router.api import bodies as b
from router.api.table import Call, Reply, Route, roles
from router.api.views import View
from router.config.one_rule import read_rule, remarks
from router.core.model import DAY_US, AgentId, Direction
from router.core.policy import Policy
from router.core.rules.book import Rule
from router.core.trying import Change, placed
from router.errors import Invalid
from router.runtime.trying import Moved, Outcome, day_start, try_rule

SPAN_MOST_US = 32 * DAY_US


class ChangeView(View):
    """What would have been done otherwise."""

    verb: str
    """As in rules; ``set.topic`` of an attribute."""
    before: Any = None
    """As rules write it; null: nothing was said of it."""
    after: Any = None


class MovedView(View, kw_only=True):
    """A contact that would have been treated differently."""

    contact: str
    at_us: int
    channel: str
    direction: Direction = Direction.INBOUND
    customer: str = ""
    segment: str = ""
    before: list[str] = []
    """The rules that match in the book in force."""
    after: list[str] = []
    """Those that would."""
    changes: list[ChangeView]


class NotJudgedView(View, kw_only=True):
    """Contacts of which nothing can be said."""

    reason: str
    """``not_recorded``: the log does not keep what a rule asks. ``overwritten``: a rule has set the
    attribute, and what stood there is not kept. ``gone``: its queue or channel is no more.
    ``erased``: its customer is."""
    about: str = ""
    """The field, queue or channel."""
    contacts: int


class TrialView(View, kw_only=True):
    """Whom a rule would have moved. Nothing has changed."""

    from_us: int
    """Contacts since then were looked at."""
    to_us: int
    judged: int
    matched: int
    """Of these, how many the rule matches."""
    moved: int
    """Of these, how many would have been treated differently."""
    not_judged: list[NotJudgedView] = []
    cut: bool = False
    """There were more contacts than are looked at: these are the newest."""
    trimmed_before_us: int = 0
    """Not 0: what came before is trimmed from the log."""
    warnings: list[str] = []
    """What can hardly be meant."""
    contacts: list[MovedView] = []
    """Those moved, newest first; at most 200."""


async def try_on_contacts(call: Call) -> Reply:
    """Judge the contacts that came in by the rule book with one more or one other rule."""
    await call.tenant.read()
    body: b.TryRuleBody = call.body
    workspace = call.tenant.workspace
    if body.before and body.instead_of:
        raise Invalid("invalid", "expected `before` or `instead_of`, got both")
    now_us = workspace.now_us()
    from_us = body.since_us or day_start(workspace.policy, now_us)
    if not now_us - SPAN_MOST_US <= from_us <= now_us:
        raise Invalid("invalid", "expected a moment of the last 32 days - at `since_us`")
    agents = list(call.tenant.state.agents)
    # Checking compares each rule with those before it: off the loop.
    rule, warnings = await asyncio.to_thread(_checked, body, workspace.policy, agents)
    found = await try_rule(workspace, rule, body.before, body.instead_of, from_us)
    return Reply(200, _view(found, now_us, warnings))


def _checked(body: b.TryRuleBody, policy: Policy, agents: list[AgentId]) -> tuple[Rule, list[str]]:
    """The rule, and what can be said against it in its place. Raises ConfigError and Invalid."""
    rule = read_rule(body.rule, policy)
    changed = placed(policy.rules, rule, body.before, body.instead_of)
    return rule, remarks(policy, changed, rule, agents)


def _view(found: Outcome, to_us: int, warnings: list[str]) -> TrialView:
    return TrialView(
        from_us=found.from_us,
        to_us=to_us,
        judged=found.judged,
        matched=found.matched,
        moved=found.moved,
        not_judged=[
            NotJudgedView(reason=why.reason, about=why.about, contacts=count)
            for why, count in found.not_judged.most_common()
        ],
        cut=found.cut,
        trimmed_before_us=found.trimmed_before_us,
        warnings=warnings,
        contacts=[_moved(each) for each in found.shown],
    )


def _moved(moved: Moved) -> MovedView:
    event, judged = moved
    return MovedView(
        contact=event.contact,
        at_us=event.at_us,
        channel=event.channel,
        direction=event.direction,
        customer=event.customer,
        segment=event.segment,
        before=list(judged.before),
        after=list(judged.after),
        changes=[_change(each) for each in judged.changes],
    )


def _change(change: Change) -> ChangeView:
    return ChangeView(verb=change.verb, before=change.before, after=change.after)


ROUTES: tuple[Route, ...] = (
    Route("tryRule", "POST", "/v1/rules:try", try_on_contacts, roles("admin supervisor"),
          {200: TrialView},
          "Whom a rule would have moved today: the rules' decision of each contact that came in is "
          "made again with the rule in its place, and compared. Changes nothing.",
          body=b.TryRuleBody),
)  # fmt: skip
