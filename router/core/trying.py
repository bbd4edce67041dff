"""A rule that is tried: how it would have treated contacts that have come.

The rules' decision alone is made again, with the rule book in force and with the changed one, from
what the event of the arrival has kept; nothing is matched, and segments stay what they were.
Numbers of queues and agents are not kept: a rule that asks for them counts as it came out then,
where that is known, and a contact that hangs on it where it is not known is not judged.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec.structs import replace

from router.core import commands as c
from router.core.contact_events import ContactReceived
from router.core.edges import Edges
from router.core.facts import Facts, PreferenceFacts
from router.core.model import Contact, ContactId, Direction, QueueId, Requirements
from router.core.rules.book import Match, Moment, Plan, Rule, RuleBook, SegmentVerdict
from router.core.rules.compile import Expression
from router.core.rules.context import Context
from router.core.rules.moments import seconds
from router.core.rules.operations import Fault
from router.core.rules.place import EvaluationError, closest
from router.core.rules.verbs import plain
from router.core.ruling import (
    EngineLook,
    Ruled,
    as_planned,
    contact_to_be,
    reads_preference,
)
from router.core.state import State
from router.errors import Invalid

ATTRIBUTES = "contact.attributes"
NOTHING_LEARNED = PreferenceFacts()
ALWAYS_KNOWN = ("queue.id", "queue.open")
_SHARED = tuple(
    name for name in c.SubmitContact.__struct_fields__ if name in ContactReceived.__struct_fields__
)


class Change(NamedTuple):
    """One thing that is said of a contact by only one of two rule books, or otherwise by each."""

    verb: str
    """As in rules; ``set.topic`` of an attribute."""
    before: Any
    """As the configuration writes it; None: nothing is said."""
    after: Any


class Judged(NamedTuple):
    """How a contact would have been treated."""

    before: tuple[str, ...]
    """The rules that match in the book in force."""
    after: tuple[str, ...]
    """Those that match in the changed one."""
    changes: tuple[Change, ...]


class NotJudged(NamedTuple):
    """Why nothing can be said of a contact."""

    reason: str
    """``erased``, ``gone``, ``not_recorded``, ``overwritten``."""
    about: str = ""
    """The field that a rule reads, or the queue or channel that is no more."""


WHERE = ("reject", "deflect", "queue")
"""All that is told of somebody who is not taken at all."""
ERASED = NotJudged("erased")


def asked_for(event: ContactReceived) -> c.SubmitContact:
    """What was submitted, as it was before the rules, with what its entry point had added.

    A value that a rule has overwritten in an attribute is lost.
    """
    command = c.SubmitContact(**{name: getattr(event, name) for name in _SHARED})
    asked = event.asked
    if asked is None:
        return command
    return replace(
        command,
        queue=asked.queue,
        requirements=asked.requirements,
        attributes={n: value for n, value in event.attributes.items() if n not in asked.set},
        tier=asked.tier,
        head_start_us=asked.head_start_us,
        not_before_us=asked.not_before_us,
        segment=asked.segment,
        watched=asked.watched,
        prefer_agent=asked.prefer_agent,
        prefer_us=asked.prefer_us,
        outbound=asked.outbound,
        rule="",
    )


def placed(book: RuleBook, rule: Rule, before: str = "", instead_of: str = "") -> RuleBook:
    """The book with one more rule, before another one or at the end, or with one replaced.

    Raises Invalid for a name that the book does not have, or has already.
    """
    names = [known.name for known in book.rules]
    for key, name in (("before", before), ("instead_of", instead_of)):
        if name and name not in names:
            told = closest(name, names) or f": there are {', '.join(names[:12])}"
            raise Invalid("invalid", f"no rule {name!r}{told} - at `{key}`")
    if rule.name in names and rule.name != instead_of:
        raise Invalid("invalid", f"there is a rule {rule.name!r} already: give it another name")
    place = names.index(before or instead_of) if before or instead_of else len(names)
    if instead_of and book.rules[place].on is not rule.on:
        on = book.rules[place].on
        raise Invalid("invalid", f"rule {instead_of!r} is asked on {on}, the new one on {rule.on}")
    rest = book.rules[place + 1 :] if instead_of else book.rules[place:]
    return replace(book, rules=(*book.rules[:place], rule, *rest))


class Trial:
    """One rule, tried on contacts one after the other."""

    def __init__(self, state: State, rule: Rule, before: str = "", instead_of: str = "") -> None:
        """Raises as `placed`."""
        self._d = Edges(state)  # of its own: what it looks up and notes decides nothing
        self._now = self._d.policy.rules
        self._changed = placed(self._now, rule, before, instead_of)
        self._learned = reads_preference(self._d.policy)
        self._rule = rule
        replaced = [known for known in self._now.rules if known.name == instead_of]
        self._same = rule if replaced and replaced[0].when == rule.when else None
        """The tried rule, if it asks what the one asks in whose place it stands."""
        self._instead_of = instead_of
        rules = (*self._now.rules, rule)
        self._unsure = [each for each in rules if _reads_numbers(each)]
        """Rules that ask what arrivals do not keep."""
        self._attributes = [(each, names) for each in rules if (names := _attributes_read(each))]

    def judge(self, event: ContactReceived, *, as_now: bool) -> Judged | NotJudged:
        """What becomes of one contact; `as_now`: the settings in force were in force then."""
        if event.erased:
            return ERASED
        d, command = self._d, asked_for(event)
        d.now_us = event.at_us
        queue = d.policy.queues.get(command.queue)
        if queue is None:
            return NotJudged("gone", command.queue)
        if command.channel not in d.policy.channels:
            return NotJudged("gone", command.channel)
        contact = contact_to_be(d, command, queue, command.requirements, command.attributes)
        look = _Past(d, contact)
        context = Context(contact, command.facts, look, d.now_us, d.calendar_us)
        context.segment = event.segment
        settled, unknown = self._settled(event, context, look, as_now=as_now)
        plans: list[Plan] = []
        for book in (self._now, self._changed):
            known = self._with(book, settled) if settled else book
            plan = known.decide(context, Moment.RECEIVED)
            for name in plan.rules:
                if name in unknown:
                    return unknown[name]
            plans.append(plan)
        was, would = (self._treatment(command, event, plan) for plan in plans)
        is_rejected = "reject" in was or "reject" in would
        verbs = WHERE if is_rejected else tuple(dict.fromkeys((*was, *would)))
        return Judged(
            plans[0].rules,
            plans[1].rules,
            tuple(
                Change(verb, was.get(verb), would.get(verb))
                for verb in verbs
                if was.get(verb) != would.get(verb)
            ),
        )

    # --- what was not kept --------------------------------------------------------------------

    def _settled(
        self, event: ContactReceived, context: Context, look: _Past, *, as_now: bool
    ) -> tuple[dict[str, Rule | None], dict[str, NotJudged]]:
        """Rules that ask what is not kept, by `_key`: as they came out (None: no match).

        One of which that is not known stands there as if it matched always, and is named with the
        reason: a plan that names it is none.
        """
        asked: dict[str, tuple[Rule, NotJudged | None]] = {
            self._key(rule): (rule, None) for rule in self._unsure
        }
        lost = event.asked.set if event.asked is not None else ()
        if lost:
            for rule, names in self._attributes:
                hit = lost[0] if "" in names else next((n for n in lost if n in names), "")
                if hit:
                    asked[self._key(rule)] = (rule, NotJudged("overwritten", f"{ATTRIBUTES}.{hit}"))
        settled: dict[str, Rule | None] = {}
        unknown: dict[str, NotJudged] = {}
        told = self._told(event) if asked and as_now else {}
        for key, (rule, reason) in asked.items():
            name = self._instead_of if rule is self._same else rule.name
            if name in told and (rule is not self._rule or rule is self._same):
                settled[key] = replace(rule, when=None) if told[name] else None
                continue
            if reason is None:
                reason = self._asks(rule, event.facts, context, look, as_now=as_now)
            if reason is not None:
                settled[key] = replace(rule, when=None)
                unknown[rule.name] = reason
        return settled, unknown

    def _told(self, event: ContactReceived) -> dict[str, bool]:
        """Which rules matched and which did not, as far as the event says so."""
        matched = set(event.rule.split(","))
        told: dict[str, bool] = {}
        for rule in self._now.rules:
            if rule.on is Moment.RECEIVED and event.asked is not None:
                told[rule.name] = rule.name in matched
                if told[rule.name] and self._now.match is Match.FIRST:
                    break  # those after it were not asked
        return told

    def _asks(
        self, rule: Rule, facts: Facts, context: Context, look: _Past, *, as_now: bool
    ) -> NotJudged | None:
        """What is missing to say whether the rule matches; None: nothing."""
        assert rule.when is not None, "one without a condition asks nothing"
        if (
            facts.customer.known
            and facts.preference == NOTHING_LEARNED
            and not (as_now and self._learned)
        ):
            for path in rule.when.reads:
                if path.split(".")[0] == "preference":
                    return NotJudged("not_recorded", path)
        look.missing = ""
        try:
            rule.when.evaluate(context)
        except EvaluationError:
            return NotJudged("not_recorded", look.missing) if look.missing else None
        return None  # it has a value whatever the number was

    def _with(self, book: RuleBook, settled: dict[str, Rule | None]) -> RuleBook:
        """The book with some of its rules as they came out."""
        rules = (settled.get(self._key(rule), rule) for rule in book.rules)
        return replace(book, rules=tuple(rule for rule in rules if rule is not None))

    def _key(self, rule: Rule) -> str:
        """The tried rule may have the name of the one that it replaces: its key is empty."""
        return "" if rule is self._rule else rule.name

    # --- what comes of a plan -----------------------------------------------------------------

    def _treatment(
        self, command: c.SubmitContact, event: ContactReceived, plan: Plan
    ) -> dict[str, Any]:
        """What is done with the contact, by verb, as the configuration writes it."""
        d, then = self._d, plan.then
        is_callback = bool(event.callback_of)  # it is neither rejected nor deflected
        if then.reject and not is_callback:
            return {"reject": then.reject}
        segment = SegmentVerdict(segment=event.segment)
        ruled = as_planned(
            d, command, command.attributes, d.policy.queues[command.queue],
            command.requirements, segment, False, plan,
        )  # fmt: skip
        goes = then.deflect and not is_callback
        found: dict[str, Any] = {"deflect": then.deflect} if goes else _where(ruled)
        tier = ruled.command.tier
        found["require"] = dict(ruled.requirements)
        found["tier"] = d.tier_of(ruled.queue, command.channel) if tier is None else tier
        found["head_start"] = seconds(ruled.command.head_start_us)
        found["watch"] = ruled.command.watched
        for name, value in (*then.set.items(), *plan.attributes.items()):
            found[f"set.{name}"] = plan.attributes.get(name, _written(value))
        return found


def _where(ruled: Ruled) -> dict[str, Any]:
    """Verbs that say where, for whom and how it waits, or goes out."""
    command, then = ruled.command, ruled.plan.then
    found: dict[str, Any] = {"queue": ruled.queue.id}
    if command.prefer_agent:
        found["prefer_agent"] = {"agent": command.prefer_agent, "for": seconds(command.prefer_us)}
    if command.direction is Direction.INBOUND:
        if then.message:
            found["message"] = then.message
        if then.switch_channel:
            found["switch_channel"] = then.switch_channel
    elif command.outbound is not None:
        terms = command.outbound
        found["schedule"] = {
            "at": "learned_window" if terms.learned else "now",
            "not_before_us": command.not_before_us,
            "mode": terms.mode,
            "template": terms.template,
            "purpose": terms.purpose,
            "channels": list(terms.channels),
            "explore": terms.explore,
            "latest_at_us": terms.latest_at_us,
            "give_up": terms.give_up,
        }
    return found


def _written(value: Any) -> Any:
    """A value; of an expression that has none here, its text."""
    return plain(value) if isinstance(value, Expression) else value


def _reads_numbers(rule: Rule) -> bool:
    """Whether its condition asks for something of that moment that an arrival does not keep."""
    return rule.when is not None and any(
        path in ("contact.position", "contact.estimated_wait")
        or (path.split(".")[0] in ("queue", "queues", "preference") and path not in ALWAYS_KNOWN)
        for path in rule.when.reads
    )


def _attributes_read(rule: Rule) -> frozenset[str]:
    """The contact's attributes that its condition asks for; an empty name: any of them."""
    reads = rule.when.reads if rule.when is not None else ()
    return frozenset(
        path.removeprefix(ATTRIBUTES).removeprefix(".").split(".")[0]
        for path in reads
        if path == ATTRIBUTES or path.startswith(f"{ATTRIBUTES}.")
    )


class _Past(EngineLook):
    """What can be said of queues at a moment that is over: their hours, and no numbers."""

    __slots__ = ("missing",)

    def __init__(self, d: Edges, contact: Contact) -> None:
        super().__init__(d, contact)
        self.missing = ""
        """The field that was asked for last and is not kept."""

    def is_open(self, queue: str) -> bool:
        """By the hours in force now."""
        return self._d.state.hours[QueueId(queue)].is_open(self._d.calendar_us)

    def _none(self, path: str) -> Fault:
        self.missing = path
        return Fault(f"{path} was not recorded")

    def waiting(self, queue: str) -> int:
        """Not kept."""
        raise self._none("queue.waiting")

    def position(self, contact: ContactId, queue: str) -> int:
        """Not kept."""
        raise self._none("contact.position")

    def longest_wait_us(self, queue: str) -> int:
        """Not kept."""
        raise self._none("queue.longest_wait")

    def wait_us(self, queue: str, channel: str) -> int:
        """Not kept."""
        raise self._none("queue.estimated_wait")

    def own_wait_us(self, contact: ContactId, queue: str, channel: str) -> int:
        """Not kept."""
        raise self._none("contact.estimated_wait")

    def ready(self, queue: str) -> int:
        """Not kept."""
        raise self._none("queue.ready")

    def available(self, queue: str, channel: str) -> int:
        """Not kept."""
        raise self._none("queue.available")

    def eligible(self, queue: str, requirements: Requirements) -> int:
        """Not kept."""
        raise self._none("queue.eligible")
