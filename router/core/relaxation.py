"""Relaxation steps: when they are taken, what they do, and whom each would reach now."""

from __future__ import annotations

from typing import NamedTuple

from router.core import commands as c
from router.core import events as e
from router.core.asking import collect_input
from router.core.decide import Decider
from router.core.model import (
    Contact,
    ContactOutcome,
    ContactState,
    Direction,
    QueueId,
    Requirements,
)
from router.core.moves import switch_channel
from router.core.policy import Action, ActionKind, Asking, Queue, Step
from router.core.ruling import count_available, count_reached, holds
from router.core.skills import dropped, lowered, merged, signature
from router.errors import Refused


def check_step(d: Decider, contact: Contact) -> None:
    """The contact's next step is due: take it, skip it, or look again later."""
    queue = d.queue_of(contact)
    if contact.step >= len(queue.steps):
        return  # the settings have fewer steps by now
    step = queue.steps[contact.step]
    first_us = contact.visit_at_us + step.after_us
    if d.now_us < first_us:
        d.state.push_step(contact, first_us)  # the settings have moved the step since
        return
    holds = _holds(d, contact, step)
    if holds or step.otherwise_skip:
        _take(d, contact, step, taken=holds)
        return
    # A grid from the step's moment: a contact that was offered meanwhile is not checked twice.
    turn = (d.now_us - first_us) // queue.recheck_us + 1
    d.state.push_step(contact, first_us + turn * queue.recheck_us)


def _holds(d: Decider, contact: Contact, step: Step) -> bool:
    if step.position_over >= 0 or step.wait_over_us >= 0:
        position = d.position(contact)
        if step.position_over >= 0 and position <= step.position_over:
            return False
        if step.wait_over_us >= 0:
            wait_us = d.wait_us(contact.queue, contact.channel, position)
            if 0 <= wait_us <= step.wait_over_us:
                return False
    if step.eligible_below >= 0:
        queues = (contact.queue, *contact.extra_queues)
        if count_reached(d, queues, contact.requirements) >= step.eligible_below:
            return False
    return holds(d, contact, step.condition)


def _take(d: Decider, contact: Contact, step: Step, *, taken: bool) -> None:
    requirements, extra = contact.requirements, contact.extra_queues
    tier, head_start_us = contact.tier, contact.head_start_us
    for action in step.actions if taken else ():
        requirements = relaxed(requirements, action)
        if action.kind is ActionKind.ADD_QUEUE and action.queue not in (contact.queue, *extra):
            extra = (*extra, action.queue)
        elif action.kind is ActionKind.TIER:
            tier = action.tier
        elif action.kind is ActionKind.HEAD_START:
            head_start_us += action.head_start_us
    d.emit(
        e.ContactRelaxed(
            at_us=d.now_us,
            contact=contact.id,
            step=contact.step + 1,
            name=step.name,
            requirements=requirements,
            extra_queues=extra,
            tier=tier,
            head_start_us=head_start_us,
            taken=taken,
        )
    )
    for action in step.actions if taken else ():
        if contact.state is ContactState.QUEUED:
            _act(d, contact, action)


def _act(d: Decider, contact: Contact, action: Action) -> None:
    """What a step does beyond the requirements."""
    match action.kind:
        case ActionKind.MESSAGE:
            d.treat(contact, "text", action.text)
        case ActionKind.OFFER_CALLBACK:
            d.emit(e.CallbackOffered(at_us=d.now_us, contact=contact.id))
            d.treat(contact, "callback_offer", action.text)
        case ActionKind.ASK if action.question is not None:
            _ask(d, contact, action.question)
        case ActionKind.OVERFLOW:
            d.overflow(contact, action.queue, "relaxed")
        case ActionKind.DEFLECT if contact.direction is not Direction.CALLBACK:
            d.close(contact, ContactOutcome.DEFLECTED, "relaxed", text=action.text)
        case ActionKind.SWITCH_CHANNEL if not contact.consult_of:
            if contact.channel != action.channel and contact.hops < d.policy.hops:
                switch_channel(
                    d, c.SwitchChannel(contact=contact.id, channel=action.channel, by="step")
                )
        case _:
            return  # requirements, queues and key were changed by the event


def _ask(d: Decider, contact: Contact, question: Asking) -> None:
    """Ask, unless something else is being asked, or there was too much asking already."""
    try:
        collect_input(
            d,
            c.CollectInput(
                contact=contact.id,
                name=question.name,
                prompt=question.prompt,
                choices=question.choices,
                digits=question.digits,
                timeout_us=question.timeout_us,
                by="step",
            ),
        )
    except Refused:
        return


def relaxed(requirements: Requirements, action: Action) -> Requirements:
    """The requirements after one action of a step."""
    match action.kind:
        case ActionKind.LOWER:
            return lowered(requirements, action.skill, action.level)
        case ActionKind.DROP:
            return dropped(requirements, action.skill)
        case ActionKind.ADD:
            return signature((*requirements, (action.skill, action.level)))
        case _:
            return requirements


class Reach(NamedTuple):
    """Whom a contact reaches after a step."""

    step: str
    after_us: int
    requirements: Requirements
    queues: tuple[QueueId, ...]
    ready: int
    available: int


def preview(d: Decider, queue: Queue, channel: str, asked: Requirements) -> list[Reach]:
    """Whom each relaxation step of a queue would reach at this moment, conditions not asked."""
    requirements = merged(queue.requirements, asked)
    queues: tuple[QueueId, ...] = (queue.id,)
    found = [_reach(d, "asked", 0, queues, requirements, channel)]
    for step in queue.steps:
        for action in step.actions:
            requirements = relaxed(requirements, action)
            if action.kind is ActionKind.ADD_QUEUE and action.queue not in queues:
                queues = (*queues, action.queue)
        found.append(_reach(d, step.name, step.after_us, queues, requirements, channel))
    return found


def _reach(
    d: Decider,
    name: str,
    after_us: int,
    queues: tuple[QueueId, ...],
    requirements: Requirements,
    channel: str,
) -> Reach:
    available = count_available(d, queues, requirements, channel)
    ready = count_reached(d, queues, requirements)
    return Reach(name, after_us, requirements, queues, ready, available)
