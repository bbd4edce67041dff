"""Offers and reservations: both edges of matching turned into events, and the ends of serving."""

from __future__ import annotations

from collections.abc import Container
from operator import attrgetter

from router.core import events as e
from router.core.attempts import LIVE_US, goes_out, sent, settle
from router.core.capacity import to_suspend, total_units
from router.core.edges import Edges
from router.core.effects import (
    ConnectAgent,
    DisconnectAgent,
    EndContact,
    OfferContact,
    RescindOffer,
    StartContact,
)
from router.core.legs import hold_for_consult, let_go, record_from_start
from router.core.lifecycle import SERVING
from router.core.matching import ContactChoice
from router.core.model import (
    AgentId,
    Contact,
    ContactId,
    ContactState,
    Decision,
    Direction,
    Reservation,
    ReservationId,
    ReservationState,
)
from router.core.queues import Entry, key_of
from router.core.roster import Seat

_INTERLEAVED = 10_000
"""Contacts times agents up to which both edges are settled in turn."""


class Reservations(Edges):
    """What agents and contacts do to each other."""

    def match(self) -> None:
        """Match whatever became matchable, until nothing does.

        Interrupted work goes on first. Then agents who got room take contacts that waited already,
        so that nobody is passed over by a contact that has just come back; a contact that has just
        become reachable looks for its best agent, in the order of keys.
        """
        seats = self.state.roster.seats
        if len(self._contacts) == 1 and not self._agents:  # an arrival, the common case
            (only,) = self._contacts
            self._contacts = {}
            contact = self.state.contacts.get(only)
            if contact is not None and contact.state is ContactState.QUEUED:
                self.try_contact(contact)
        while self._contacts or self._agents:
            fresh, self._contacts = self._contacts, {}
            agents, self._agents = self._agents, {}
            freed = [seats[agent] for agent in sorted(agents) if agent in seats]
            for seat in freed:
                self.resume_suspended(seat)
            if fresh:
                self._settle_contacts(fresh, freed)
            for seat in freed:
                self.fill(seat, fresh)

    def _settle_contacts(self, fresh: dict[ContactId, None], freed: list[Seat]) -> None:
        waiting = self._waiting
        entries = [waiting[id_] for id_ in fresh if id_ in waiting]
        if len(entries) > 1:
            entries.sort(key=attrgetter("key"))
        due = [entry.contact for entry in entries]
        # A reload makes everybody fresh at once: the order of keys is enough then.
        first = freed if len(due) * len(freed) <= _INTERLEAVED else []
        claims: dict[AgentId, ContactChoice | None] = {}
        for contact in due:
            if not first and not self.state.roster.open:
                break  # nobody has room, and nobody will get some by what happens here
            for seat in first:
                self.fill(seat, fresh)
            kept = self._kept(contact, fresh, first, claims) if len(due) > 1 else []
            for seat in kept:
                self.state.roster.unshelve(seat)
            del fresh[contact.id]
            if contact.state is ContactState.QUEUED:
                self.try_contact(contact)
            for seat in kept:
                self.state.shelve(seat, self.now_us)
        fresh.clear()

    def _kept(
        self,
        contact: Contact,
        fresh: dict[ContactId, None],
        freed: list[Seat],
        claims: dict[AgentId, ContactChoice | None],
    ) -> list[Seat]:
        """Freed agents whom this fresh contact must not take.

        An agent who would like another fresh contact best waits until that one has looked around;
        if it goes elsewhere, somebody who has waited may still come before this contact.
        """
        kept = []
        for seat in freed:
            best = self._best_for(seat)
            if best is None or best.contact is contact or best.contact.id not in fresh:
                continue
            claim = claims.get(seat.agent.id)
            if seat.agent.id not in claims or (claim and claim.contact.id not in self._waiting):
                claim = claims[seat.agent.id] = self._claim(seat, fresh)
            if claim is None:
                continue
            rank = self.matcher.rank_of(seat, contact, self.now_us)
            if (claim.rank, key_of(claim.contact)) < (rank, key_of(contact)):
                kept.append(seat)
        return kept

    def _claim(self, seat: Seat, fresh: dict[ContactId, None]) -> ContactChoice | None:
        """What the agent would like best of the contacts that are not fresh."""
        aside = [self._waiting[id_].contact for id_ in fresh if id_ in self._waiting]
        for contact in aside:
            self.state.leave_line(contact)
        claim = self._best_for(seat)
        for contact in aside:
            self.state.stand(contact, self.now_us)
        return claim

    def _best_for(self, seat: Seat) -> ContactChoice | None:
        """The contact that this agent should have next, or None."""
        self.state.lay_out_lines()
        return self.matcher.select_contact(seat, self.now_us)

    @property
    def _waiting(self) -> dict[ContactId, Entry]:
        return self.state.waiting.entries

    def try_contact(self, contact: Contact) -> None:
        """A contact looks for its agents."""
        count = self.queue_of(contact).parallel
        selection = self.matcher.select_agents(contact, self.now_us, count)
        if selection is None:
            return
        decisions = [
            self.matcher.agent_decision(selection, i, contact) for i in range(len(selection.chosen))
        ]
        for choice, decision in zip(selection.chosen, decisions, strict=True):
            if contact.state is ContactState.ACTIVE:
                break  # the first one accepted by itself
            self.offer(contact, choice.seat, choice.rank, decision)

    def resume_suspended(self, seat: Seat) -> None:
        """Interrupted work goes on as far as there is room, the earliest interrupted first."""
        for reservation in seat.load.suspended():
            if seat.load.units + reservation.cost > total_units(seat.agent, self.policy):
                break
            self.emit(
                e.ReservationResumed(
                    at_us=self.now_us,
                    reservation=reservation.id,
                    units=reservation.cost,
                    contact=reservation.contact,
                    agent=reservation.agent,
                )
            )

    def fill(self, seat: Seat, fresh: Container[ContactId]) -> None:
        """An agent takes contacts while there is room, up to one that is still to look around."""
        while True:
            choice = self._best_for(seat)
            if choice is None or choice.contact.id in fresh:
                return
            decision = self.matcher.contact_decision(seat, choice)
            self.offer(choice.contact, seat, choice.rank, decision)

    def offer(
        self, contact: Contact, seat: Seat, rank: int, decision: Decision, *, auto: bool = False
    ) -> ReservationId:
        """Hold the agent's capacity and ask; interrupts what must make room."""
        agent = seat.agent
        channel = self.policy.channels[contact.channel]
        reservation = ReservationId(f"r{self.state.totals.reservation_no + 1}")
        for interrupted in to_suspend(agent, seat.load, channel, self.policy, self.now_us):
            self.emit(
                e.ReservationSuspended(
                    at_us=self.now_us,
                    reservation=interrupted.id,
                    by=reservation,
                    contact=interrupted.contact,
                    agent=agent.id,
                )
            )
        auto = auto or channel.auto_accept or channel.name in agent.auto_accept
        deadline_at_us = self.now_us + self.queue_of(contact).offer_timeout_us
        if contact.not_after_us and contact.outbound is not None:
            window_us = contact.not_after_us - self.state.totals.clock_offset_us
            deadline_at_us = min(deadline_at_us, max(window_us, self.now_us))
        self.emit(
            e.ContactOffered(
                at_us=self.now_us,
                reservation=reservation,
                contact=contact.id,
                agent=agent.id,
                queue=contact.queue,
                channel=contact.channel,
                units=channel.cost,
                rank=rank,
                deadline_at_us=deadline_at_us,
                decision=decision,
                auto_accept=auto,
            )
        )
        self.effects.append(
            OfferContact(
                channel=contact.channel,
                contact=contact.id,
                reservation=reservation,
                agent=agent.id,
                endpoint=agent.endpoints.get(contact.channel, ""),
                deadline_at_us=deadline_at_us,
                auto_accept=auto,
            )
        )
        if auto:
            self.accept(self.state.reservations[reservation])
        return reservation

    def accept(self, reservation: Reservation, *, connected: bool = False) -> None:
        """The contact is this agent's alone. `connected`: the media leg is up already."""
        contact = self.state.contacts[reservation.contact]
        channel = self.policy.channels[contact.channel]
        self.emit(
            e.OfferAccepted(
                at_us=self.now_us,
                reservation=reservation.id,
                contact=contact.id,
                agent=reservation.agent,
            )
        )
        self.rescind_offers(contact, "accepted_by_another", keep=reservation.id)
        if contact.consult_of:
            hold_for_consult(self, contact)
        is_ours = contact.begins or contact.direction is not Direction.INBOUND
        begins = is_ours and not contact.external_id
        if connected or not channel.media:
            self.connected(reservation)
        if begins or (channel.media and not connected):
            self.bring_up(reservation, begins=begins)

    def bring_up(self, reservation: Reservation, *, begins: bool) -> None:
        """Have the adapter join agent and customer; `begins`: reach the customer first."""
        contact = self.state.contacts[reservation.contact]
        channel = self.policy.channels[contact.channel]
        if channel.media:
            self.emit(
                e.ReservationConnecting(
                    at_us=self.now_us,
                    reservation=reservation.id,
                    deadline_at_us=self.now_us + channel.connect_timeout_us,
                    contact=contact.id,
                    agent=reservation.agent,
                    begins=begins,
                )
            )
        endpoint = self.state.agents[reservation.agent].endpoints.get(channel.name, "")
        if begins:
            if goes_out(contact):
                sent(self, contact)
            self.effects.append(
                StartContact(
                    channel=channel.name,
                    contact=contact.id,
                    reservation=reservation.id,
                    agent=reservation.agent,
                    endpoint=endpoint,
                    not_after_us=contact.not_after_us,
                    attempt=contact.outbound.attempt if contact.outbound else "",
                )
            )
        else:
            self.effects.append(
                ConnectAgent(
                    channel=channel.name,
                    contact=contact.id,
                    reservation=reservation.id,
                    agent=reservation.agent,
                    endpoint=endpoint,
                    deadline_at_us=reservation.deadline_at_us,
                )
            )

    def connected(self, reservation: Reservation) -> None:
        """Agent and customer are together."""
        self.emit(
            e.ReservationConnected(
                at_us=self.now_us,
                reservation=reservation.id,
                contact=reservation.contact,
                agent=reservation.agent,
            )
        )
        record_from_start(self, reservation)

    def rescind_offers(
        self, contact: Contact, reason: str, keep: ReservationId | None = None, until_us: int = 0
    ) -> None:
        """Take open offers of a contact back, all but one."""
        for id_ in contact.reservations:
            reservation = self.state.reservations[id_]
            if id_ != keep and reservation.state is ReservationState.OFFERED:
                self.rescind(reservation, reason, until_us)

    def rescind(self, reservation: Reservation, reason: str, until_us: int = 0) -> None:
        """Take one offer back."""
        self.emit(
            e.OfferRescinded(
                at_us=self.now_us,
                reservation=reservation.id,
                contact=reservation.contact,
                agent=reservation.agent,
                reason=reason,
                until_us=until_us,
            )
        )
        self.effects.append(
            RescindOffer(
                channel=reservation.channel,
                contact=reservation.contact,
                reservation=reservation.id,
                agent=reservation.agent,
                reason=reason,
            )
        )

    def stop_ringing(self, reservation: Reservation, reason: str) -> None:
        """An offer that came to nothing: its phone must not ring on."""
        if self.policy.channels[reservation.channel].media:
            self.effects.append(
                RescindOffer(
                    channel=reservation.channel,
                    contact=reservation.contact,
                    reservation=reservation.id,
                    agent=reservation.agent,
                    reason=reason,
                )
            )

    def end_serving(
        self,
        contact: Contact,
        reason: str,
        *,
        wrap_up: bool,
        disposition: str = "",
        asks_disposition: bool = False,
    ) -> None:
        """The agent has the contact no more: wrap-up, or free at once."""
        for id_ in contact.reservations:
            reservation = self.state.reservations[id_]
            if reservation.state not in SERVING:
                continue
            let_go(self, contact, reservation, reason)
            wrap_us = self.queue_settings(reservation.queue).wrap_up_us.get(reservation.channel, 0)
            if contact.outbound is not None and reservation.connected_at_us:
                talked_us = self.now_us - reservation.connected_at_us
                settle(self, contact, "answered" if talked_us >= LIVE_US else "short")
            if wrap_up and wrap_us and reservation.state is ReservationState.CONNECTED:
                self.emit(
                    e.WrapUpStarted(
                        at_us=self.now_us,
                        reservation=id_,
                        deadline_at_us=self.now_us + wrap_us,
                        disposition=disposition,
                        asks_disposition=asks_disposition,
                        contact=contact.id,
                        agent=reservation.agent,
                    )
                )
            else:
                self.end_reservation(reservation, reason, disposition)

    def end_reservation(self, reservation: Reservation, reason: str, disposition: str = "") -> None:
        """Done: the capacity is free."""
        self.emit(
            e.ReservationEnded(
                at_us=self.now_us,
                reservation=reservation.id,
                reason=reason,
                disposition=disposition or reservation.disposition,
                contact=reservation.contact,
                agent=reservation.agent,
            )
        )

    def end_there(self, contact: Contact, reason: str) -> None:
        """It goes on by another channel, or later: its backend lets go of what it has of it."""
        if contact.external_id:
            self.effects.append(
                EndContact(
                    channel=contact.channel,
                    contact=contact.id,
                    outcome="",
                    reason=reason,
                    external_id=contact.external_id,
                )
            )

    def disconnect(self, contact: Contact) -> None:
        """Take the serving agent's leg away; the customer stays."""
        if not self.policy.channels[contact.channel].media:
            return
        for id_ in contact.reservations:
            reservation = self.state.reservations[id_]
            if reservation.state in SERVING:
                self.effects.append(
                    DisconnectAgent(
                        channel=contact.channel,
                        contact=contact.id,
                        reservation=id_,
                        agent=reservation.agent,
                    )
                )
