"""Questions to the waiting customer (play and collect), and what rules make of the answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from router.core import commands as c
from router.core import events as e
from router.core.decide import Decider
from router.core.effects import CollectFromContact
from router.core.model import (
    SECOND_US,
    Contact,
    ContactId,
    ContactOutcome,
    ContactState,
    QueueId,
)
from router.core.moves import back_to_line
from router.core.policy import same_address
from router.core.rules.book import Plan
from router.core.rules.verbs import Then
from router.core.ruling import answered, preferred, source_of_watch
from router.core.skills import merged
from router.errors import Invalid, Refused

QUESTIONS_MOST = 50
"""Most questions to one contact."""
QUESTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
PROMPT_MOST = 4_000
CHOICES_MOST = 20
ANSWER_MOST = 1_000
ANSWER_US = 300 * SECOND_US
"""Most time to answer."""
_WAITS = (ContactState.QUEUED, ContactState.OFFERED)


def collect_input(d: Decider, command: c.CollectInput) -> None:
    """Ask the customer something, by prompt or menu. One question at a time."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    _check_question(command)
    if contact.state in (ContactState.SCHEDULED, ContactState.PARKED):
        raise Refused("not_there", f"contact {contact.id!r} is {contact.state}: nobody to ask")
    if contact.question is not None:
        raise Refused("asking", f"contact {contact.id!r} is being asked {contact.asking!r}")
    if contact.asked >= QUESTIONS_MOST:
        raise Refused("too_many_questions", f"contact {contact.id!r} was asked {contact.asked}")
    d.emit(
        e.InputAsked(
            at_us=d.now_us,
            contact=contact.id,
            name=command.name,
            ask=f"q{contact.asked + 1}",
            prompt=command.prompt,
            choices=command.choices,
            digits=command.digits,
            deadline_at_us=d.now_us + command.timeout_us,
            by=command.by,
        )
    )
    put_question(d, contact)


def put_question(d: Decider, contact: Contact) -> None:
    """Have the adapter ask what is open; after a restart once more, for the time that is left."""
    question = contact.question
    assert question is not None, f"{contact.id} is asked nothing"
    d.effects.append(
        CollectFromContact(
            channel=contact.channel,
            contact=contact.id,
            name=question.name,
            prompt=question.prompt,
            choices=question.choices,
            digits=question.digits,
            timeout_us=max(question.deadline_at_us - d.now_us, SECOND_US),
            ask=question.ask,
        )
    )


def report_input(d: Decider, command: c.ReportInput) -> None:
    """The customer answered, or did not in time. The same answer again changes nothing."""
    contact = d.contact(command.contact)
    d.contact_id = contact.id
    question = contact.question
    is_open = question is not None and command.name == question.name
    if question is None or not is_open or (command.ask and command.ask != question.ask):
        if f"input.{command.name}" in contact.attributes:
            return  # said twice, or too late
        raise Refused("not_asked", f"contact {contact.id!r} is not asked {command.name!r}")
    value = "" if command.timed_out else command.value
    if len(value) > ANSWER_MOST:
        raise Invalid("value", f"an answer has at most {ANSWER_MOST} characters, got {len(value)}")
    if value and question.choices and value not in question.choices:
        known = ", ".join(question.choices)
        raise Invalid("unknown_choice", f"{command.name!r} is one of {known}, got {value!r}")
    d.emit(
        e.InputCollected(
            at_us=d.now_us,
            contact=contact.id,
            name=question.name,
            value=value,
            ask=question.ask,
            timed_out=not value,
        )
    )
    if value and contact.state in _WAITS and d.policy.rules.is_asked:
        _apply_input(d, contact, answered(d, contact))


def _apply_input(d: Decider, contact: Contact, plan: Plan) -> None:
    """What the rules for input say of a waiting contact. When it goes out is not theirs to say."""
    then = plan.then
    if not plan.rules:
        return
    if contact.state is ContactState.OFFERED:
        if not (then.callback or then.switch_channel or then.deflect or then.reject):
            return  # whoever is being rung has it in a moment
        back_to_line(d, contact, "customer_chose")
    d.emit(
        e.ContactUpdated(
            at_us=d.now_us,
            contact=contact.id,
            attributes={**contact.attributes, **plan.attributes} if plan.attributes else None,
            watched=then.watch,
            watched_for=source_of_watch(plan.sources.get("watch", "")),
            rule=",".join(plan.rules),
        )
    )
    if then.deflect or then.reject:
        text = then.deflect or then.reject
        d.close(contact, ContactOutcome.DEFLECTED, "rule", text=text)
        return
    if then.callback and _reaches(d, contact, then.callback):
        callback = ContactId(f"{contact.id}-callback")
        d.begin_callback(contact, callback, "callback", channel=then.callback, by="rule")
        return
    if then.require:
        d.emit(
            e.RequirementsChanged(
                at_us=d.now_us,
                contact=contact.id,
                requirements=merged(contact.requirements, then.require),
                by="rule",
            )
        )
    if then.queue and then.queue != contact.queue:
        d.overflow(contact, QueueId(then.queue), "rule", by="rule")
    _give_place(d, contact, then)
    d.tell_and_switch(contact, plan)


def _reaches(d: Decider, contact: Contact, channel: str) -> bool:
    """Can the customer be called on that channel by the address that is known?"""
    known = d.policy.channels.get(channel)
    here = d.policy.channels[contact.channel]
    return known is not None and (known.name == here.name or same_address(here, known))


def _give_place(d: Decider, contact: Contact, then: Then) -> None:
    """Its key by the rules, and the agent for whom it is held: that begins a visit, of its age."""
    if contact.id not in d.state.waiting.entries:
        return
    tier = contact.tier if then.tier is None else then.tier
    head_start_us = contact.head_start_us + (then.head_start_us or 0)
    prefer = preferred(d, then, contact.facts)
    seat = d.state.roster.seats[prefer[0]] if prefer is not None else None
    is_there = seat is not None and d.matcher.could_serve(seat, contact.queue, contact.requirements)
    if prefer is not None and is_there:
        d.enter_queue(
            contact,
            d.queue_of(contact),
            "rule",
            tier=tier,
            head_start_us=head_start_us,
            visit_at_us=contact.visit_at_us,
            prefer=prefer,
        )
    elif then.tier is not None or then.head_start_us:
        d.emit(
            e.ContactReprioritized(
                at_us=d.now_us,
                contact=contact.id,
                tier=tier,
                head_start_us=head_start_us,
                by="rule",
            )
        )


def give_up_asking(d: Decider, contact: Contact) -> None:
    """Neither an answer nor its absence was told: the question is over."""
    if contact.question is not None:
        report_input(
            d, c.ReportInput(contact=contact.id, name=contact.asking, value="", timed_out=True)
        )


def _check_question(command: c.CollectInput) -> None:
    if not QUESTION_NAME.fullmatch(command.name):
        raise Invalid("name", f"a question's name is letters, digits and _, got {command.name!r}")
    if not 0 < len(command.prompt) <= PROMPT_MOST:
        raise Invalid("prompt", f"a prompt has 1-{PROMPT_MOST} characters")
    if len(command.choices) > CHOICES_MOST or "" in command.choices:
        raise Invalid("choices", f"at most {CHOICES_MOST} choices, none of them empty")
    if not 1 <= command.digits <= 40:
        raise Invalid("digits", f"1-40 digits are collected, got {command.digits}")
    if not SECOND_US <= command.timeout_us <= ANSWER_US:
        raise Invalid("timeout", f"1 s to 5 min to answer, got {command.timeout_us} µs")


HANDLERS: dict[type, Callable[[Decider, Any], None]] = {
    c.CollectInput: collect_input,
    c.ReportInput: report_input,
}
