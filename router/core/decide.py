"""Lines: entering a queue, limits, overflow, return, callbacks, and the end of a contact."""

from __future__ import annotations

from router.core import commands as c
from router.core import events as e
from router.core.attempts import goes_out, release, reserve
from router.core.effects import EndContact, TreatContact
from router.core.model import (
    AgentId,
    Contact,
    ContactId,
    ContactOutcome,
    ContactState,
    Direction,
    QueueId,
    Requirements,
)
from router.core.policy import Full, Limit, Queue, same_address
from router.core.reservations import Reservations
from router.core.rules.book import Plan
from router.core.ruling import Ruled, arrival, limit_for, received
from router.core.skills import merged


class Decider(Reservations):
    """Everything that command handlers build on."""

    def settle(self) -> None:
        """Match whatever became matchable; then whoever found a full queue, and waits, must go."""
        self.match()
        while self._limits:
            limits, self._limits = self._limits, {}
            for contact_id in limits:
                entry = self.state.waiting.entries.get(contact_id)
                if entry is not None:
                    self.enforce_limit(entry.contact)
            self.match()

    def enter_queue(
        self,
        contact: Contact,
        queue: Queue,
        reason: str,
        *,
        requirements: Requirements | None = None,
        tier: int | None = None,
        head_start_us: int = 0,
        visit_at_us: int = 0,
        target_agent: AgentId = AgentId(""),
        prefer: tuple[AgentId, int] = (AgentId(""), 0),
        not_agent: AgentId = AgentId(""),
    ) -> None:
        """A visit to a queue begins; closed and full queues do what they are set to do."""
        channel = contact.channel
        started_us = visit_at_us or self.now_us
        asked = contact.requirements_asked if requirements is None else requirements
        hold_agent, hold_us = self.hold(contact, queue, asked, prefer, target_agent)
        if hold_agent == not_agent:
            hold_agent = AgentId("")  # who has just given it away
        due_at_us = self.due_at_us(queue, channel, started_us)
        arrival_no = self.state.totals.arrival_no + 1
        tier = self.tier_of(queue, channel) if tier is None else tier
        self.emit(
            e.ContactQueued(
                at_us=self.now_us,
                contact=contact.id,
                queue=queue.id,
                tier=tier,
                head_start_us=head_start_us,
                due_at_us=due_at_us,
                arrival_no=arrival_no,
                visit_no=contact.visit_no + 1,
                visit_at_us=started_us,
                requirements=merged(queue.requirements, asked),
                hold_agent=hold_agent,
                hold_until_us=self.now_us + hold_us if hold_agent else 0,
                target_agent=target_agent,
                not_agent=not_agent,
                promised_wait_us=self.promise_us(
                    queue.id, channel, (tier, due_at_us - head_start_us, arrival_no)
                ),
                reason=reason,
            )
        )
        self.check_limits(contact)

    def check_limits(self, contact: Contact) -> None:
        """A contact has just come into its queue: is it open, and is there a place to wait?"""
        queue = self.queue_of(contact)
        if contact.target_agent or contact.holds_no_line:
            return  # a callback was promised already
        if queue.id in self.matcher.closed:
            self.apply_limit(contact, queue.on_closed, "closed")
        elif self._full(queue) is not None:
            self.limit_later(contact.id)

    def enforce_limit(self, contact: Contact) -> None:
        """Nobody took it at once: if its queue is still full, it cannot wait there."""
        limit = self._full(self.queue_of(contact))
        if limit is not None:
            self.apply_limit(contact, limit, "queue_full")

    def _full(self, queue: Queue) -> Limit | None:
        """What to do with one more than the places to wait; None = there are places."""
        most = queue.most_waiting
        if most is not None and self.state.positions.count_all(queue.id) > most:
            return queue.on_full
        places = self.policy.waiting_places
        if places is not None and len(self.state.waiting) > places:
            return Limit()
        return None

    def apply_limit(self, contact: Contact, limit: Limit, reason: str) -> None:
        """What a queue does with a contact that it cannot take or keep."""
        found = limit_for(self, contact, limit) if limit.condition is not None else limit
        if found is None:
            return
        limit = found
        match limit.action:
            case Full.QUEUE:
                return
            case Full.OVERFLOW:
                if not self.overflow(contact, limit.queue, reason):
                    self.close(contact, ContactOutcome.DEFLECTED, reason, text=limit.text)
            case Full.DEFLECT:
                self.close(contact, ContactOutcome.DEFLECTED, reason, text=limit.text)
            case Full.CALLBACK if contact.holds_no_line:
                return  # it is one already
            case Full.CALLBACK:
                opens_us = self.state.hours[contact.queue].next_open(self.calendar_us) or 0
                self.begin_callback(
                    contact,
                    ContactId(f"{contact.id}-callback"),
                    reason,
                    window=(opens_us, 0),
                )

    def overflow(self, contact: Contact, queue_id: QueueId, reason: str, by: str = "") -> bool:
        """To another queue, keeping the start of the wait; false if it has been there already."""
        queue = self.policy.queues[queue_id]
        if queue_id == contact.queue or queue_id in contact.visited:
            return False
        if contact.hops >= self.policy.hops:
            return False
        self.emit(
            e.ContactOverflowed(
                at_us=self.now_us,
                contact=contact.id,
                from_queue=contact.queue,
                queue=queue_id,
                tier=self.tier_of(queue, contact.channel),
                head_start_us=contact.head_start_us,
                due_at_us=self.due_at_us(queue, contact.channel, contact.visit_at_us),
                requirements=merged(queue.requirements, contact.requirements_asked),
                reason=reason,
                by=by,
            )
        )
        self.check_limits(contact)
        return True

    def give_back(self, contact: Contact, reason: str, bonus_us: int = 0) -> None:
        """No offer is open any more: back to its place, unless it was offered too often."""
        self.emit(
            e.ContactReturned(
                at_us=self.now_us,
                contact=contact.id,
                reason=reason,
                head_start_us=contact.head_start_us + bonus_us,
            )
        )
        decline = self.queue_of(contact).decline
        if contact.offers >= decline.offers:
            self.apply_limit(contact, decline.exhausted, "too_many_offers")
        if contact.id in self.state.waiting.entries and contact.hold_agent in contact.excluded:
            self.emit(e.HoldEnded(at_us=self.now_us, contact=contact.id))

    def close(
        self,
        contact: Contact,
        outcome: ContactOutcome,
        reason: str = "",
        *,
        text: str = "",
        by: str = "",
        disposition: str = "",
        is_told: bool = True,
    ) -> None:
        """The end of the matter: open offers are taken back, the adapter is told."""
        self.rescind_offers(contact, f"contact_{outcome.value}")
        if self.effects:  # who is told goodbye in the same moment is not greeted first
            self.effects = [
                effect
                for effect in self.effects
                if not isinstance(effect, TreatContact) or effect.contact != contact.id
            ]
        if contact.consult:
            consult = self.state.contacts[contact.consult]
            self.end_serving(consult, f"contact_{outcome.value}", wrap_up=False)
            self.close(consult, ContactOutcome.CANCELLED, f"contact_{outcome.value}")
        release(self, contact, reason or outcome.value)
        self.emit(
            e.ContactClosed(
                at_us=self.now_us,
                contact=contact.id,
                outcome=outcome,
                reason=reason,
                disposition=disposition,
                by=by,
            )
        )
        if is_told:
            self.effects.append(
                EndContact(
                    channel=contact.channel,
                    contact=contact.id,
                    outcome=outcome.value,
                    reason=reason,
                    text=text,
                )
            )

    def begin_callback(
        self,
        contact: Contact,
        callback: ContactId,
        reason: str,
        *,
        channel: str = "",
        window: tuple[int, int] = (0, 0),
        address: tuple[bytes, str, str] | None = None,
        keep_place: bool = True,
        by: str = "",
    ) -> None:
        """This contact is deflected; a new one calls back, with its age if it keeps its place.

        `window` is (not before, not after); `address` (sealed, key, peer key) where it differs.
        """
        queue = self.queue_of(contact)
        self.close(contact, ContactOutcome.DEFLECTED, reason, by=by)
        place = (channel or contact.channel, address or (contact.sealed, contact.seal_key, ""))
        command = _callback_of(contact, callback, place, window, by)
        ruled: Ruled | None = None
        requirements = command.requirements
        if self.policy.rules.is_asked:
            ruled = arrival(self, command, None, queue, requirements, may_reject=False)
            command, queue, requirements = ruled.command, ruled.queue, ruled.requirements
        self.emit(
            received(
                command,
                queue,
                requirements,
                ruled,
                self.now_us,
                entry_point=contact.entry_point,
                callback_of=contact.id,
                visit_at_us=contact.visit_at_us if keep_place else 0,
            )
        )
        self.begin(self.state.contacts[callback], queue, "callback")

    def begin(self, contact: Contact, queue: Queue, reason: str) -> None:
        """A received contact goes on the shelf until its window opens, or into its queue."""
        if contact.not_before_us > self.calendar_us or goes_out(contact):
            # Whoever is reached by us is asked about first: permission, and the learned window.
            self.emit(
                e.ContactScheduled(
                    at_us=self.now_us,
                    contact=contact.id,
                    not_before_us=max(contact.not_before_us, self.calendar_us),
                    not_after_us=contact.not_after_us,
                    direction=contact.direction,
                    reason=reason,
                )
            )
            if goes_out(contact):
                reserve(self, contact, contact.not_before_us)
            return
        self.enter_queue(
            contact,
            queue,
            reason,
            tier=contact.tier_asked,
            head_start_us=contact.head_start_us,
            visit_at_us=contact.visit_at_us,
            target_agent=contact.target_agent,
            prefer=(contact.prefer_agent, contact.prefer_us),
        )

    def switch(
        self,
        contact: Contact,
        channel: str,
        queue: Queue,
        *,
        due_from_us: int,
        address: tuple[bytes, str, str],
        external_id: str = "",
        by: str = "",
    ) -> None:
        """The same contact goes on by another channel; `address`: sealed, key, peer key there."""
        sealed, seal_key, peer_key = address
        peer_key = peer_key or self._peer_on(contact, channel)
        stays = queue.id == contact.queue
        requirements = merged(queue.requirements, contact.requirements_asked)
        self.end_there(contact, "channel_switched")
        self.emit(
            e.ContactSwitched(
                at_us=self.now_us,
                contact=contact.id,
                from_channel=contact.channel,
                channel=channel,
                queue=queue.id,
                tier=self.tier_of(queue, channel),
                due_at_us=self.due_at_us(queue, channel, due_from_us),
                head_start_us=contact.head_start_us,
                from_external_id=contact.external_id,
                external_id=external_id,
                peer_key=peer_key,
                sealed=sealed or contact.sealed,
                seal_key=seal_key or contact.seal_key,
                requirements=None if stays else requirements,
                by=by,
            )
        )
        if contact.state is ContactState.QUEUED and not stays:
            self.check_limits(contact)
        is_waiting = contact.state is ContactState.QUEUED
        if is_waiting and not external_id and not self.policy.channels[channel].media:
            text = queue.treatment.text
            if text:  # the first thing that is there for the customer to read
                self.treat(contact, "position", text)

    def _peer_on(self, contact: Contact, channel: str) -> str:
        """The keyed hash of the same address on that channel; empty where it means nothing there.

        A phone number is one on voice and on SMS: what the customer writes then finds the contact.
        """
        here, there = self.policy.channels[contact.channel], self.policy.channels[channel]
        if not contact.address or not same_address(here, there):
            return ""
        ours = self.policy.our_address(channel, contact.queue)
        return f"{contact.address}/{channel}/{ours}"

    def tell_and_switch(self, contact: Contact, plan: Plan) -> None:
        """The verbs that reach the customer: words, and another channel to wait on."""
        then = plan.then
        if contact.id not in self.state.waiting.entries:
            return
        if then.message:
            self.treat(contact, "text", then.message)
        channel = then.switch_channel
        is_other = channel in self.policy.channels and channel != contact.channel
        if is_other and contact.hops < self.policy.hops:
            self.switch(
                contact,
                channel,
                self.queue_of(contact),
                due_from_us=contact.visit_at_us,
                address=(b"", "", ""),
                by="rule",
            )

    def treat(self, contact: Contact, kind: str, text: str = "", music: str = "") -> None:
        """Tell or play the waiting customer something."""
        position = wait_us = 0
        if contact.state is ContactState.QUEUED:
            position = self.position(contact)
            wait_us = self.wait_us(contact.queue, contact.channel, position)
        self.effects.append(
            TreatContact(
                channel=contact.channel,
                contact=contact.id,
                kind=kind,
                text=text,
                music=music,
                position=position,
                wait_us=wait_us,
            )
        )

    def hold(
        self,
        contact: Contact,
        queue: Queue,
        requirements: Requirements,
        prefer: tuple[AgentId, int],
        target_agent: AgentId,
    ) -> tuple[AgentId, int]:
        """The preferred agent, if ready or wrapping up and able to serve it; else nobody."""
        if target_agent:
            return AgentId(""), 0  # nobody else may have it anyhow
        agent_id, hold_us = prefer
        if not agent_id and queue.prefer_last_us:
            agent_id = AgentId(contact.last_agent or contact.facts.customer.last_agent)
            hold_us = queue.prefer_last_us
        seat = self.state.roster.seats.get(agent_id) if agent_id and hold_us > 0 else None
        if seat is None or not self.matcher.could_serve(
            seat, queue.id, merged(queue.requirements, requirements)
        ):
            return AgentId(""), 0
        return agent_id, hold_us


def _callback_of(
    contact: Contact,
    callback: ContactId,
    place: tuple[str, tuple[bytes, str, str]],
    window: tuple[int, int],
    by: str,
) -> c.SubmitContact:
    """What a callback asks for: what its contact asked for, at this place and in this window."""
    channel, (sealed, seal_key, peer_key) = place
    return c.SubmitContact(
        contact=callback,
        channel=channel,
        direction=Direction.CALLBACK,
        queue=contact.queue,
        customer=contact.customer,
        segment=contact.segment,
        attributes=contact.attributes,
        requirements=contact.requirements_asked,
        head_start_us=contact.head_start_us,
        not_before_us=window[0],
        not_after_us=window[1],
        peer_key=peer_key,
        sealed=sealed,
        seal_key=seal_key,
        facts=contact.facts,
        by=by,
    )
