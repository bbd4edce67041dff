"""Rules at work: what conditions see of this engine, and what follows from what they decide.

The book itself (`rules/book.py`) only says what should be done; here it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from msgspec.structs import replace

from router.core import commands as c
from router.core.contact_events import Asked, ContactReceived
from router.core.edges import Edges
from router.core.facts import Facts, Outbound
from router.core.model import (
    FOR_EVER_US,
    SECOND_US,
    AgentId,
    Contact,
    ContactId,
    Direction,
    Presence,
    QueueId,
)
from router.core.model import Requirements as Required
from router.core.policy import EntryPoint, Limit, Policy, Queue
from router.core.roster import Seat
from router.core.rules.book import Moment, Plan, RuleBook, SegmentVerdict, asks_preference
from router.core.rules.compile import Expression
from router.core.rules.context import Context
from router.core.rules.place import EvaluationError
from router.core.rules.verbs import At, Schedule, Then
from router.core.skills import meets, merged
from router.errors import Refused

GIVEN = "given with the contact"
NO_CONTACT = ContactId("")
CUSTOMER = "customer"


class EngineLook:
    """Numbers of queues and agents as they are now, for one contact; see `rules.context.Look`."""

    __slots__ = ("_contact", "_d")

    def __init__(self, d: Edges, contact: Contact) -> None:
        self._d = d
        self._contact = contact

    def is_queue(self, queue: str) -> bool:
        """Whether there is such a queue."""
        return queue in self._d.policy.queues

    def waiting(self, queue: str) -> int:
        """Contacts that wait in it."""
        return self._d.state.positions.count_all(QueueId(queue))

    def position(self, contact: ContactId, queue: str) -> int:
        """Where the contact stands in its channel's line, or would by its key."""
        return standing(self._d, self._contact)

    def longest_wait_us(self, queue: str) -> int:
        """How long its longest waiting contact has waited; looked up once a second."""
        d = self._d
        second = d.now_us // SECOND_US
        known = d.oldest.get(QueueId(queue))
        if known is None or known[0] != second:
            visits = (
                entry.contact.visit_at_us
                for entry in d.state.waiting.entries.values()
                if entry.contact.queue == queue
            )
            known = d.oldest[QueueId(queue)] = (second, min(visits, default=FOR_EVER_US))
        return max(0, d.now_us - known[1])

    def wait_us(self, queue: str, channel: str) -> int:
        """Estimated wait of one more contact; for ever if nobody serves the queue, or nothing was
        answered there yet."""
        d = self._d
        return self._wait_us(queue, channel, d.state.positions.count(QueueId(queue), channel) + 1)

    def own_wait_us(self, contact: ContactId, queue: str, channel: str) -> int:
        """Estimated wait of the contact, from its place; for ever as in `wait_us`."""
        return self._wait_us(queue, channel, self.position(contact, queue))

    def _wait_us(self, queue: str, channel: str, position: int) -> int:
        wait_us = self._d.wait_us(QueueId(queue), channel, position)
        return wait_us if wait_us >= 0 else NEVER_US

    def ready(self, queue: str) -> int:
        """Agents who serve it and are ready."""
        return sum(pool.ready for pool in self._d.matcher.pools(QueueId(queue)))

    def available(self, queue: str, channel: str) -> int:
        """Those of them with room for one more contact of this channel; none while it is paused."""
        d = self._d
        pools = d.matcher.pools(QueueId(queue))
        classes = d.state.roster.available(pools, d.state.roster.live[channel]) or ()
        return sum(len(shelf.order) for shelves in classes for shelf in shelves)

    def eligible(self, queue: str, requirements: Required) -> int:
        """Those who are ready and meet the requirements, room not asked.

        Elsewhere than in the contact's own queue, what that queue asks comes to them.
        """
        d = self._d
        settings = d.policy.queues.get(QueueId(queue))
        if settings is not None and queue != self._contact.queue:
            requirements = merged(settings.requirements, requirements)
        return count_reached(d, (QueueId(queue),), requirements)

    def is_open(self, queue: str) -> bool:
        """Whether its hours say open."""
        return QueueId(queue) not in self._d.matcher.closed

    def zone(self, queue: str) -> str:
        """Time zone of its hours."""
        settings = self._d.policy.queues.get(QueueId(queue))
        hours = self._d.policy.hours.get(settings.hours) if settings is not None else None
        return hours.zone if hours is not None else "UTC"


NEVER_US = 1 << 50
"""A wait that does not end, as conditions see it: 35 years."""


def count_reached(d: Edges, queues: tuple[QueueId, ...], requirements: Required) -> int:
    """Ready agents who serve one of these queues and meet the requirements, room not asked."""
    return _count(
        d,
        queues,
        requirements,
        lambda seat: seat.agent.presence is Presence.READY and not seat.agent.lost_at_us,
    )


def count_available(
    d: Edges, queues: tuple[QueueId, ...], requirements: Required, channel: str
) -> int:
    """Those of them with room for one more contact of the channel, interrupted ones included.

    Nobody, while the channel is paused.
    """
    bit = d.state.roster.live[channel]
    return _count(d, queues, requirements, lambda seat: bool((seat.room | seat.interrupted) & bit))


def _count(
    d: Edges,
    queues: tuple[QueueId, ...],
    requirements: Required,
    counts: Callable[[Seat], bool],
) -> int:
    """One look at everybody: who counts, serves one of these queues and meets the requirements."""
    serving = {pool.profile for queue in queues for pool in d.matcher.pools(queue)}
    return sum(
        1
        for seat in d.state.roster.seats.values()
        if counts(seat) and seat.agent.profile in serving and meets(seat.agent.skills, requirements)
    )


class Ruled(NamedTuple):
    """An arrival after the rules: the command as it is carried out, and what they said."""

    command: c.SubmitContact
    queue: Queue
    requirements: Required
    """Without those of the queue."""
    segment: SegmentVerdict
    segment_matched: bool
    """Its condition held: it was not given."""
    plan: Plan
    is_scheduled: bool
    """A rule says when it goes out: the runtime is asked on its terms."""
    asked: Asked
    """What was asked for before."""


def holds(d: Edges, contact: Contact, condition: Expression | None) -> bool:
    """Whether a condition holds for a contact now; one without a value does not."""
    if condition is None:
        return True
    try:
        return condition.evaluate(context_of(d, contact, contact.facts)) is True
    except EvaluationError:
        return False


def reads_preference(policy: Policy) -> bool:
    """Whether anything in the settings asks what was learned of a customer: rules, or queues."""
    return policy.rules.reads_preference or any(
        asks_preference(condition)
        for queue in policy.queues.values()
        for condition in (
            *(step.condition for step in queue.steps),
            *_conditions(queue.on_full),
            *_conditions(queue.on_late),
            *_conditions(queue.on_closed),
            *_conditions(queue.decline.exhausted),
        )
    )


def _conditions(limit: Limit | None) -> Iterator[Expression | None]:
    while limit is not None:
        yield limit.condition
        limit = limit.otherwise


def limit_for(d: Edges, contact: Contact, limit: Limit) -> Limit | None:
    """Of what a limit may do the first whose condition holds; None = nothing."""
    asked: Limit | None = limit
    while asked is not None and not holds(d, contact, asked.condition):
        asked = asked.otherwise
    return asked


def context_of(d: Edges, contact: Contact, facts: Facts) -> Context:
    """What conditions see of a contact."""
    return Context(contact, facts, EngineLook(d, contact), d.now_us, d.calendar_us)


def standing(d: Edges, contact: Contact) -> int:
    """Where the contact stands in its channel's line; where its key would put it, if it does not
    wait."""
    if contact.id in d.state.waiting.entries:
        return d.position(contact)
    queue = d.queue_settings(contact.queue)
    due_us = contact.due_at_us or d.due_at_us(queue, contact.channel, contact.visit_at_us)
    key = (contact.tier, due_us - contact.head_start_us, d.state.totals.arrival_no + 1)
    return d.state.positions.of(contact.queue, contact.channel, key)


def preferred(d: Edges, then: Then, facts: Facts) -> tuple[AgentId, int] | None:
    """For whom a contact is held, and how long; None if no rule says so, or nobody is known."""
    if then.prefer_agent is None:
        return None
    agent = AgentId(then.prefer_agent.agent or facts.customer.last_agent)
    return (agent, then.prefer_agent.for_us) if agent in d.state.agents else None


def arrival(
    d: Edges,
    command: c.SubmitContact,
    entry_point: EntryPoint | None,
    queue: Queue,
    requirements: Required,
    *,
    trace: bool = False,
    may_reject: bool = True,
) -> Ruled:
    """Ask the rules about a contact that arrives or is to be begun. Raises Refused if they reject.

    `trace`: each condition and its parts are told as well, and nothing is refused.
    """
    book: RuleBook = d.policy.rules
    if entry_point is not None and entry_point.attributes:
        attributes = {**entry_point.attributes, **command.attributes}
    else:
        attributes = command.attributes
    contact = contact_to_be(d, command, queue, requirements, attributes)
    context = context_of(d, contact, command.facts)
    verdict = book.segment_of(context, trace=trace)
    if command.segment and command.segment != context.given_segment:
        verdict = replace(verdict, segment=command.segment, reason=GIVEN)
    context.segment = verdict.segment
    plan = book.decide(context, Moment.RECEIVED, trace=trace)
    if plan.then.reject and may_reject and not trace:
        raise Refused("rejected", plan.then.reject)
    matched = bool(verdict.segment) and verdict.reason != GIVEN and not context.given_segment
    return as_planned(d, command, attributes, queue, requirements, verdict, matched, plan)


def as_planned(
    d: Edges,
    command: c.SubmitContact,
    attributes: dict[str, Any],
    queue: Queue,
    requirements: Required,
    segment: SegmentVerdict,
    segment_matched: bool,
    plan: Plan,
) -> Ruled:
    """The command as a plan changes it; `attributes`: with those of its entry point."""
    then = plan.then
    agent, hold_us = preferred(d, then, command.facts) or (command.prefer_agent, command.prefer_us)
    changed = replace(
        command,
        segment=segment.segment,
        attributes={**attributes, **plan.attributes},
        tier=command.tier if then.tier is None else then.tier,
        head_start_us=command.head_start_us + (then.head_start_us or 0),
        watched=command.watched if then.watch is None else then.watch,
        prefer_agent=agent,
        prefer_us=hold_us,
        rule=",".join(plan.rules),
    )
    is_scheduled = then.schedule is not None and command.direction is not Direction.INBOUND
    if command.direction is not Direction.INBOUND:
        changed = _terms(d, changed, plan)
    target = d.policy.queues.get(QueueId(then.queue)) if then.queue else None
    return Ruled(
        changed,
        target or queue,
        merged(requirements, then.require) if then.require else requirements,
        segment,
        segment_matched,
        plan,
        is_scheduled,
        _asked(command, queue, requirements, plan),
    )


def received(
    command: c.SubmitContact,
    queue: Queue,
    requirements: Required,
    ruled: Ruled | None,
    now_us: int,
    *,
    entry_point: str = "",
    callback_of: ContactId = NO_CONTACT,
    visit_at_us: int = 0,
) -> ContactReceived:
    """A contact has come, or its callback has begun, as the rules left the command.

    `ruled`: what they said; None = there were none to ask. The rest stands beside the command:
    the entry point of a callback is that of the contact it continues, and so is its age.
    """
    return ContactReceived(
        at_us=now_us,
        contact=command.contact,
        channel=command.channel,
        direction=command.direction,
        entry_point=entry_point,
        queue=queue.id,
        customer=command.customer,
        segment=command.segment,
        attributes=command.attributes,
        requirements=requirements,
        external_id=command.external_id,
        conversation=command.conversation,
        peer_key=command.peer_key,
        sealed=command.sealed,
        seal_key=command.seal_key,
        tier=command.tier,
        head_start_us=command.head_start_us,
        not_before_us=command.not_before_us,
        not_after_us=command.not_after_us,
        target_agent=command.target_agent,
        prefer_agent=command.prefer_agent,
        prefer_us=command.prefer_us,
        callback_of=callback_of,
        visit_at_us=visit_at_us,
        watched=command.watched,
        watched_for=_watched_for(command, ruled),
        rule=command.rule,
        segment_reason=ruled.segment.reason if ruled is not None else "",
        segment_matched=ruled is not None and ruled.segment_matched,
        facts=command.facts,
        outbound=command.outbound,
        asked=ruled.asked if ruled is not None else None,
        by=command.by,
    )


def _watched_for(command: c.SubmitContact, ruled: Ruled | None) -> str:
    """What made it stand before the supervisor; see `Contact.watched_for`."""
    if not command.watched:
        return ""
    if command.facts.customer.watched:
        return CUSTOMER
    source = ruled.plan.sources.get("watch", "") if ruled is not None else ""
    return source_of_watch(source) or command.by


def source_of_watch(source: str) -> str:
    """A plan's source of a verb (a rule's name, or ``segment loyal``) as `watched_for` has it."""
    return f"rule {source}" if source and not source.startswith("segment ") else source


def _asked(command: c.SubmitContact, queue: Queue, requirements: Required, plan: Plan) -> Asked:
    return Asked(
        queue=queue.id,
        requirements=requirements,
        tier=command.tier,
        head_start_us=command.head_start_us,
        not_before_us=command.not_before_us,
        segment=command.segment,
        watched=command.watched,
        prefer_agent=command.prefer_agent,
        prefer_us=command.prefer_us,
        outbound=command.outbound,
        set=tuple(plan.attributes),
    )


def contact_after(d: Edges, ruled: Ruled) -> Contact:
    """The contact as it would wait in its queue, did it arrive now."""
    command, queue = ruled.command, ruled.queue
    contact = contact_to_be(d, command, queue, ruled.requirements, command.attributes)
    contact.due_at_us = d.due_at_us(queue, command.channel, d.now_us)
    contact.segment_reason = ruled.segment.reason
    contact.rule = command.rule
    contact.target_agent = command.target_agent
    contact.facts = command.facts
    return contact


def answered(d: Edges, contact: Contact) -> Plan:
    """Ask the rules for input about a contact whose customer has answered a question."""
    context = context_of(d, contact, contact.facts)
    return d.policy.rules.decide(context, Moment.INPUT)


def contact_to_be(
    d: Edges,
    command: c.SubmitContact,
    queue: Queue,
    requirements: Required,
    attributes: dict[str, Any],
) -> Contact:
    """The row that it will have in this queue, rules not asked yet."""
    return Contact(
        id=command.contact,
        channel=command.channel,
        direction=command.direction,
        entry_point=command.entry_point,
        queue=queue.id,
        customer=command.customer,
        segment=command.segment,
        attributes=attributes,
        requirements=merged(queue.requirements, requirements),
        requirements_asked=requirements,
        conversation=command.conversation,
        peer_key=command.peer_key,
        tier=d.tier_of(queue, command.channel) if command.tier is None else command.tier,
        head_start_us=command.head_start_us,
        not_after_us=command.not_after_us,
        created_at_us=d.now_us,
        visit_at_us=d.now_us,
        visit_no=1,
        outbound=command.outbound,
    )


def _terms(d: Edges, command: c.SubmitContact, plan: Plan) -> c.SubmitContact:
    """On which terms it goes out: a rule's, else the caller's."""
    schedule: Schedule | None = plan.then.schedule
    latest_us = command.not_after_us
    if schedule is None:
        terms = command.outbound
        if terms is None:
            return command
        terms = replace(
            terms,
            channels=terms.channels or plan.channels,
            explore=terms.explore and plan.explore,
            latest_at_us=terms.latest_at_us or latest_us,
        )
        return replace(command, outbound=terms)
    if schedule.latest_us:
        of_rule_us = d.calendar_us + schedule.latest_us
        latest_us = min(latest_us, of_rule_us) if latest_us else of_rule_us
    terms = Outbound(
        mode=schedule.mode.value,
        template=schedule.template,
        purpose=schedule.purpose,
        learned=schedule.at is At.LEARNED_WINDOW,
        explore=plan.explore,
        channels=plan.channels,
        within_us=schedule.within_us,
        latest_at_us=latest_us,
        give_up=schedule.give_up.value,
    )
    moment_us = plan.moment_us if schedule.at is At.MOMENT else None
    return replace(
        command,
        outbound=terms,
        not_before_us=max(command.not_before_us, moment_us or 0),
    )
