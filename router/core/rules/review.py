"""What can be said against a rule book without a single contact.

*Errors* cannot be meant: verbs that exclude each other, names of nothing. *Warnings* may be meant:
a rule that no contact ever reaches, one that says nothing. Found rules are named with the rule that
stands before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from router.core.rules.book import Match, Moment, Rule, RuleBook, Segment
from router.core.rules.checked import Node
from router.core.rules.compile import compile_expression
from router.core.rules.context import Known, schema
from router.core.rules.place import closest
from router.core.rules.reasoning import Premise
from router.core.rules.verbs import At, Mode, Then

STRATEGY_VERBS = ("head_start", "tier", "watch", "prefer_agent", "require")
_WHERE = ("queue", "schedule", "switch_channel", "callback")
_TEMPLATE_NAME = re.compile(r"[A-Za-z0-9_.-]+")


class Finding(NamedTuple):
    """One thing about a rule or a segment."""

    place: str
    name: str
    message: str
    is_error: bool

    def __str__(self) -> str:
        return f"{self.place}: {self.name}: {self.message}"


def findings(book: RuleBook, known: Known) -> list[Finding]:
    """Everything about the book, in its order."""
    found = [*_reached("segment", book.segments, is_first=True)]
    for segment in book.segments:
        found += _strategy(segment, known)
    for moment in dict.fromkeys(rule.on for rule in book.rules):
        asked = [rule for rule in book.rules if rule.on is moment]
        found += _reached("rule", asked, is_first=book.match is Match.FIRST)
    for rule in book.rules:
        found += [_about(rule, text, is_error) for text, is_error in _verbs(rule, known)]
    found += _scheduled(book, known)
    return found


def findings_of(rule: Rule, book: RuleBook, known: Known) -> list[Finding]:
    """What `findings` has about one rule of the book, and about those after it on its account."""
    asked = [each for each in book.rules if each.on is rule.on]
    place = next(n for n, each in enumerate(asked) if each is rule)
    is_first = book.match is Match.FIRST
    found = [*_one_reached("rule", rule, asked[:place] if is_first else ())]
    for later in asked[place + 1 :] if is_first else ():
        if later.when is None or later.when.constant is not False:
            found += _one_reached("rule", later, (rule,))
    found += [_about(rule, text, is_error) for text, is_error in _verbs(rule, known)]
    return [*found, *_scheduled(book, known, rule)]


def _about(one: Rule | Segment, message: str, is_error: bool) -> Finding:
    return Finding(one.place, one.name, message, is_error)


def _reached(what: str, asked: Sequence[Rule | Segment], *, is_first: bool) -> Iterator[Finding]:
    """Those that no contact comes to, or that never match."""
    for place, one in enumerate(asked):
        yield from _one_reached(what, one, asked[:place] if is_first else ())


def _one_reached(
    what: str, one: Rule | Segment, before: Sequence[Rule | Segment]
) -> Iterator[Finding]:
    """Why no contact comes to this one, if so; `before`: those of which one alone decides."""
    if one.when is not None and one.when.constant is False:
        yield _about(one, "never matches: its condition is true for no contact", False)
        return
    premise = Premise(one.when.root) if one.when is not None and before else None
    for earlier in before:
        if earlier.when is None or earlier.when.constant is True:
            message = f"is never reached: {what} {earlier.name!r} before it always matches"
        elif premise is not None and premise.implies(earlier.when.root):
            message = (
                f"is never reached: whenever it would match, {what} {earlier.name!r} "
                f"before it does ({earlier.when.source})"
            )
        else:
            continue
        yield _about(one, message, False)
        return


def _strategy(segment: Segment, known: Known) -> Iterator[Finding]:
    for verb in segment.strategy.then.verbs():
        if verb not in STRATEGY_VERBS:
            message = f"{verb!r} is for rules: a strategy has {', '.join(STRATEGY_VERBS)}"
            yield _about(segment, message, True)
    for channel in segment.strategy.channels:
        if known.channels and channel not in known.channels:
            yield _about(segment, _unknown("channel", channel, known.channels), True)


def _verbs(rule: Rule, known: Known) -> Iterator[tuple[str, bool]]:
    """What is wrong with the verbs of one rule."""
    then = rule.then
    verbs = then.verbs()
    if then.callback and rule.on is not Moment.INPUT:
        yield "'callback' is for rules on input: who arrives has not been asked yet", True
    if not verbs:
        yield "does nothing: it has no verb", False
    for strong in ("reject", "deflect"):
        if strong in verbs:
            weak = [v for v in verbs if v in (*_WHERE, "deflect", "prefer_agent") and v != strong]
            if weak:
                yield f"{strong!r} and {weak[0]!r} exclude each other", True
            break
    if then.queue and known.queues and then.queue not in known.queues:
        yield _unknown("queue", then.queue, tuple(known.queues)), True
    if then.callback and known.channels and then.callback not in known.channels:
        yield _unknown("channel", then.callback, known.channels), True
    if then.switch_channel and known.channels and then.switch_channel not in known.channels:
        yield _unknown("channel", then.switch_channel, known.channels), True
    for one in then.experiment:
        if not one.arms or min(one.arms.values()) < 0 or not sum(one.arms.values()):
            yield f"experiment {one.name!r} has no arm that anybody would be in", True
    yield from _schedule(then, known)


def _schedule(then: Then, known: Known) -> Iterator[tuple[str, bool]]:
    schedule = then.schedule
    if schedule is None:
        return
    if (schedule.at is At.MOMENT) is not (schedule.moment is not None):
        yield "'schedule' with a moment needs an expression, and nothing else does", True
    if schedule.mode is Mode.MESSAGE_FIRST and not schedule.template:
        yield "'schedule' with message_first needs a template", True
    if schedule.mode is Mode.AGENT_FIRST and schedule.template:
        yield "'schedule': a template has no effect without message_first", False
    # A template that is a whole text is written out in the rule itself.
    is_name = _TEMPLATE_NAME.fullmatch(schedule.template) is not None
    if is_name and known.templates and schedule.template not in known.templates:
        yield _unknown("template", schedule.template, known.templates), True


def _scheduled(book: RuleBook, known: Known, only: Rule | None = None) -> Iterator[Finding]:
    """Rules that would schedule who has come by themselves: for those `schedule` does nothing."""
    names = schema(known)
    inbound = compile_expression('contact.direction == "inbound"', names).root
    ours = compile_expression('contact.direction != "inbound"', names).root
    is_first = book.match is Match.FIRST
    for place, rule in enumerate(book.rules):
        if rule.then.schedule is None or (only is not None and rule is not only):
            continue
        if rule.on is Moment.INPUT:
            message = "'schedule' has no effect on input: who answers a question is there already"
            yield _about(rule, message, False)
            continue
        premise = Premise(rule.when.root) if rule.when is not None else None
        before = [earlier for earlier in book.rules[:place] if earlier.on is rule.on]
        if premise is not None and premise.implies(ours):
            continue
        if is_first and any(_takes(earlier, inbound) for earlier in before):
            continue
        if premise is not None and premise.implies(inbound):
            message = "'schedule' has no effect: its condition holds for inbound contacts only"
        else:
            message = (
                "'schedule' has no effect on inbound contacts, which its condition lets in: "
                'add contact.direction != "inbound", or give those a rule of their own before it'
            )
        yield _about(rule, message, False)


def _takes(rule: Rule, contacts: Node) -> bool:
    """Whether the rule matches for every one of these contacts."""
    return rule.when is None or Premise(contacts).implies(rule.when.root)


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    hint = closest(name, known) or f": there are {', '.join(known[:8])}"
    return f"unknown {what} {name!r}{hint}"
