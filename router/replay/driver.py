"""Gives a recording to an engine again, on a virtual clock.

Time first, as in the server: a deadline that has passed is fired before an input of its moment. At
one moment given inputs come in the order of the log, drawn ones after them.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from router.core import commands as c
from router.core import effects as f
from router.core import events as e
from router.core.attempts import terms_of
from router.core.engine import Engine, Outcome
from router.core.facts import NO_FACTS, Facts
from router.core.model import AgentId, ContactId, Presence, ReservationId, ReservationState
from router.core.outbound import MESSAGE_FIRST, window_for
from router.core.policy import Policy
from router.core.restart import lay_out
from router.core.state import State
from router.errors import Refused
from router.replay.people import DRAWN_SEQ, People, Service
from router.replay.plans import BY_HAND, ENDS_SERVICE, Plan
from router.replay.recording import (
    ClockInput,
    Given,
    LiveReport,
    PolicyMark,
    Reaction,
    Recording,
    StageKey,
)
from router.replay.stages import Kind, Life, Place, Stage, Stages, Wrap

Make = Callable[..., c.Command | None]
"""The command as of now; None: nobody is there any more to give it."""
MOMENTS = 1000
"""Moments between two reports of progress."""
TURNS = 10_000
"""`advance` calls at one moment; more is an engine that turns in a circle."""


class Driver:
    """One replay: a policy, a recording, one seed's people."""

    def __init__(
        self,
        recording: Recording,
        policy: Policy,
        people: People,
        *,
        see: Callable[[e.Event], None],
        progress: Callable[[int], None] = lambda _at_us: None,
    ) -> None:
        """`see` takes every event as it happens; `progress` the moment reached, now and then."""
        self.engine = Engine(policy)
        self.refused: Counter[str] = Counter()
        """Given inputs that the engine did not take, by command and reason."""
        self.dropped: Counter[str] = Counter()
        """Interventions by hand whose moment did not come."""
        self._recording = recording
        self._policy = policy
        self._people = people
        self._see = see
        self._progress = progress
        self._stages = Stages()
        self._stages.began, self._stages.turned = self._began, self._turned
        self._stages.ended, self._stages.wrapping = self._ended, self._wrapping
        self._plans: dict[StageKey, Plan] = {}
        self._reached: dict[StageKey, None] = {}
        self._borrowed: dict[tuple[ContactId, int], Service] = {}
        self._offered: Counter[tuple[ContactId, AgentId]] = Counter()
        self._facts: dict[ContactId, Facts] = {}
        self._now_us = 0
        self._number = 0
        self._heap: list[tuple[int, int, int, Make, tuple[Any, ...]]] = []
        for at_us, seq, given in recording.clock:
            self._push(at_us, seq, self._at_moment, given)

    # --- running ------------------------------------------------------------------------------

    def begin(self, state: State, before: Iterable[tuple[int, e.Event]], old: Policy) -> None:
        """Start in the middle: what happened until now is given, whatever policy is tried.

        `before` are the log's events up to here, `old` the policy they were decided by; `state`
        is empty, or holds what was there before the first of them.
        """
        last_seq, now_us = 0, 0
        for seq, event in before:
            if not now_us:
                state.use(old, event.at_us)
            now_us = self._now_us = event.at_us
            state.apply(event)
            self._observe(event)
            last_seq = seq
        state.drain()
        self._heap = [
            entry
            for entry in self._heap
            if (entry[1] > last_seq if entry[1] < DRAWN_SEQ else entry[0] >= now_us)
        ]
        heapq.heapify(self._heap)
        for plan in self._plans.values():
            plan.left = [given for given in plan.left if given.seq > last_seq]
        self.dropped.clear()
        self.refused.clear()
        self.engine = Engine(old, state, now_us)
        if self._policy is not old:
            self._take(self.engine.handle(c.ApplyPolicy(policy=self._policy, by="replay"), now_us))

    def warm(self, state: State, old: Policy, at_us: int) -> None:
        """Start where the log begins, with these agents and nobody waiting."""
        state.use(old, at_us)
        lay_out(state, at_us, 0)
        state.drain()
        self._now_us = at_us
        self.engine = Engine(old, state, at_us)
        if self._policy is not old:
            self._take(self.engine.handle(c.ApplyPolicy(policy=self._policy, by="replay"), at_us))

    def run(self, until_us: int) -> None:
        """Play everything up to this moment, it included."""
        for count in range(1 << 62):
            heap = self._heap
            while heap and heap[0][3](*heap[0][4]) is None:
                heapq.heappop(heap)  # before time passes for it
            due_us = self.engine.next_deadline()
            at_us = heap[0][0] if heap else until_us + 1
            if due_us is not None:
                fires_us = self._recording.fires_at(max(due_us, self._now_us), at_us)
                if fires_us <= min(at_us, until_us):
                    self._advance(fires_us)
                    continue
            if at_us > until_us:
                break
            self._give(heapq.heappop(heap))
            if not count % MOMENTS:
                self._progress(at_us)
        self._count_unplayed()

    def _give(self, entry: tuple[int, int, int, Make, tuple[Any, ...]]) -> None:
        """An input at its moment, unless what was due before it has made it pointless."""
        at_us, _, _, make, words = entry
        self._advance(at_us)
        command = make(*words)
        if command is None:
            return
        plan = words[0] if isinstance(words[0], Plan) else None
        if plan is not None:
            given: Given = words[-1]
            plan.left.remove(given)
            if given.seq == DRAWN_SEQ and isinstance(given.command, c.AbandonContact):
                self._people.drawn["customers whose drawn patience ended"] += 1
        if not self._ask(command) and plan is not None:
            self._refused(plan.stage, command)
        self.engine.state.drain()  # as after a commit: external ids of the closed are free

    def _advance(self, now_us: int) -> None:
        """Whatever is due by now happens."""
        self._now_us = max(self._now_us, now_us)
        for _ in range(TURNS):
            due_us = self.engine.next_deadline()
            if due_us is None or due_us > self._now_us:
                return
            self._take(self.engine.advance(self._now_us))
        raise AssertionError(f"deadlines do not end at {self._now_us}")

    def _take(self, outcome: Outcome) -> None:
        for event in outcome.events:
            self._observe(event)
            self._see(event)
        for effect in outcome.effects:
            if isinstance(effect, f.LoadCustomer):
                self._load_customer(effect)

    def _ask(self, command: c.Command) -> bool:
        """Give the engine a command; whether it took it."""
        try:
            outcome = self.engine.handle(command, self._now_us)
        except Refused as refusal:
            self.refused[f"{type(command).__name__}: {refusal.code}"] += 1
            return False
        self._take(outcome)
        return True

    def _push(self, at_us: int, seq: int, make: Make, *words: Any) -> None:
        self._number += 1
        heapq.heappush(self._heap, (at_us, seq, self._number, make, words))

    def _observe(self, event: e.Event) -> None:
        """What follows from an event for the people outside."""
        self._stages.apply(event)
        if isinstance(event, e.ContactOffered):
            self._offer(event)
        elif isinstance(event, e.PresenceChanged) and event.reason == "rona":
            self._missed(event)

    # --- at their moment ----------------------------------------------------------------------

    def _at_moment(self, given: ClockInput) -> c.Command:
        match given:
            case PolicyMark():
                return c.ApplyPolicy(policy=self._policy, by=given.by)
            case LiveReport():
                return self._report_live(given)
            case c.PutAgent():
                return self._fitting(given)
            case c.SubmitContact():
                self._facts[given.contact] = given.facts
            case c.ReceiveMessage() | c.HearKeyword():
                self._facts[given.contact.contact] = given.contact.facts
            case _:
                pass
        return given

    def _fitting(self, given: c.PutAgent) -> c.PutAgent:
        """An agent without the channels and the profile that this policy does not have."""
        channels = self.engine.policy.channels
        profile = given.profile if given.profile in self.engine.policy.profiles else ""
        if profile != given.profile:
            self.dropped[f"profile {given.profile} of agents, which this policy does not have"] += 1
        return replace(
            given,
            profile=profile,
            maximum={name: most for name, most in given.maximum.items() if name in channels},
            endpoints={name: at for name, at in given.endpoints.items() if name in channels},
            auto_accept=tuple(name for name in given.auto_accept if name in channels),
        )

    def _report_live(self, report: LiveReport) -> c.ReportLive:
        gone = dict.fromkeys(report.gone)
        live = [
            contact.external_id
            for contact in self.engine.state.contacts.values()
            if contact.channel == report.channel and contact.external_id and contact.id not in gone
        ]
        return c.ReportLive(channel=report.channel, external_ids=tuple(live))

    # --- in their stage -----------------------------------------------------------------------

    def _began(self, stage: Stage, at_us: int) -> None:
        key = stage.key
        self._reached[key] = None
        passed = self._recording.stages.get(key)
        plan = self._plans[key] = Plan(stage, self._recording.given(key), passed)
        if stage.kind is Kind.WAIT:
            self._be_patient(plan, at_us)
        elif stage.kind is Kind.SERVE:
            self._see_served(plan, at_us)
        self._arm(plan, at_us)

    def _turned(self, stage: Stage, at_us: int) -> None:
        plan = self._plans.get(stage.key)
        if plan is None:
            return
        if stage.leg_us == at_us and not stage.since_us:
            for armed in plan.release(at_us, leg=stage.leg - 1):
                self._push(armed.at_us, armed.given.seq, self._float, stage.contact, armed.given)
            self._see_served(plan, at_us)
        self._arm(plan, at_us)

    def _ended(self, stage: Stage, at_us: int) -> None:
        plan = self._plans.pop(stage.key, None)
        if plan is None:
            return
        for armed in plan.release(at_us):
            self._push(armed.at_us, armed.given.seq, self._float, stage.contact, armed.given)
        self._drop(plan.left)

    def _drop(self, left: Iterable[Given]) -> None:
        for given in left:
            if isinstance(given.command, BY_HAND):
                self.dropped[type(given.command).__name__] += 1

    def _count_unplayed(self) -> None:
        """Interventions in stages that never came."""
        for key, given in self._recording.inputs.items():
            if key not in self._reached and key[0] in self._facts:
                self._drop(given)

    def _arm(self, plan: Plan, now_us: int) -> None:
        for armed in plan.arm(now_us):
            self._push(armed.at_us, armed.given.seq, self._fire, plan, plan.turn, armed.given)

    def _fire(self, plan: Plan, turn: int, given: Given) -> c.Command | None:
        if plan.turn != turn or given not in plan.left:
            return None
        return self._bound(given.command, plan.stage)

    def _refused(self, stage: Stage, command: c.Command) -> None:
        """Nobody is served for ever because a transfer leads nowhere any more."""
        leads_on = isinstance(command, (*ENDS_SERVICE, c.SwitchChannel))
        ends = leads_on and stage.kind is Kind.SERVE
        if ends and self._stages.stage(stage.contact.id) is stage:
            self._ask(c.CompleteContact(contact=stage.contact.id))

    def _float(self, life: Life, given: Given) -> c.Command | None:
        stage = self._stages.stage(life.id)
        return None if stage is None else self._bound(given.command, stage)

    def _bound(self, command: c.Command, stage: Stage) -> c.Command:
        """The command with who serves now in the place of who served then."""
        changes: dict[str, Any] = {}
        if stage.kind is Kind.SERVE:
            if getattr(command, "reservation", ""):
                changes["reservation"] = stage.reservation
            if getattr(command, "agent", "") and not isinstance(command, c.PullContact):
                changes["agent"] = stage.agent
        elif isinstance(command, c.SendMessage):
            changes["agent"] = AgentId("")
        if isinstance(command, c.UpdateContact):
            known = self.engine.state.contacts[stage.contact.id].attributes
            gone = {name: None for name in known if name not in command.attributes}
            changes["attributes"] = {**command.attributes, **gone}
        return replace(command, **changes) if changes else command

    # --- drawn --------------------------------------------------------------------------------

    def _be_patient(self, plan: Plan, at_us: int) -> None:
        """When the customer leaves if nothing happens."""
        stage, passed = plan.stage, plan.passed
        if not stage.contact.has_patience:
            return
        if any(isinstance(given.command, c.AbandonContact) for given in plan.left):
            return
        beyond_us = passed.length_us if passed else 0
        place = (stage.queue, stage.contact.channel)
        length_us = self._people.patience_us(stage.contact.id, stage.no, *place, beyond_us)
        if length_us is not None:
            self._add(plan, Place(0, length_us, 0), c.AbandonContact(contact=stage.contact.id))

    def _see_served(self, plan: Plan, at_us: int) -> None:
        """A leg begins: if the record does not say how it ends, draw that."""
        stage, passed = plan.stage, plan.passed
        life = stage.contact
        place = (stage.queue, life.channel)
        if not stage.leg % 2:
            ended_here = passed is not None and passed.by != "open" and passed.end.leg == stage.leg
            if life.consult_of or ended_here or plan.connects_itself():
                return
            service = self._service(stage)
            connect = c.ConnectReservation(reservation=stage.reservation)
            self._add(plan, Place(stage.leg, service.connect_us, 0), connect)
            return
        goes_on = passed is not None and passed.end.leg > stage.leg
        if not life.consult_of and not goes_on and not plan.ends_itself():
            self._draw_end(plan, place)

    def _draw_end(self, plan: Plan, place: tuple[str, str]) -> None:
        stage, passed = plan.stage, plan.passed
        id_, leg = stage.contact.id, stage.leg
        if passed is not None and passed.end.leg == leg:
            if passed.by == "silence":
                park = c.ParkContact(contact=id_, reason="silence")
                self._add(plan, passed.end, park)
                return
            talk_us = self._people.rest_us(id_, stage.no, *place, passed.end.after_us)
            self._add(plan, Place(leg, talk_us, 0), c.CompleteContact(contact=id_))
            return
        service = self._service(stage)
        self._add(plan, Place(leg, service.talk_us, 0), replace(service.end, contact=id_))

    def _service(self, stage: Stage) -> Service:
        key = (stage.contact.id, stage.no)
        found = self._borrowed.get(key)
        if found is None:
            place = (stage.queue, stage.contact.channel)
            found = self._borrowed[key] = self._people.service(*key, *place)
        return found

    def _add(self, plan: Plan, place: Place, command: c.Command) -> None:
        plan.left.append(Given(DRAWN_SEQ, place, command))

    # --- agents -------------------------------------------------------------------------------

    def _offer(self, event: e.ContactOffered) -> None:
        """How the agent takes it."""
        pair = (event.contact, event.agent)
        number = self._offered[pair]
        self._offered[pair] += 1
        if event.auto_accept:
            return
        known = self._recording.offers.get(pair, ())
        reaction = known[number] if number < len(known) else None
        if reaction is None:
            reaction = self._people.reaction(*pair, number, event.channel, -1)
        elif reaction.kind == "rescinded":
            beyond_us = reaction.after_us
            reaction = self._people.reaction(*pair, number, event.channel, beyond_us)
        if reaction.kind != "miss":
            at_us = event.at_us + reaction.after_us
            self._push(at_us, reaction.seq, self._react, event.reservation, reaction)

    def _react(self, reservation: ReservationId, reaction: Reaction) -> c.Command | None:
        row = self.engine.state.reservations.get(reservation)
        if row is None or row.state is not ReservationState.OFFERED:
            return None
        match reaction.kind:
            case "accept" if reaction.is_direct and self._policy.channels[row.channel].media:
                return c.ConnectReservation(reservation=reservation)
            case "accept":
                return c.AcceptOffer(reservation=reservation)
            case "reject":
                return c.RejectOffer(reservation=reservation, reason=reaction.reason)
            case _:
                return c.FailReservation(
                    reservation=reservation, reason=reaction.reason, busy=reaction.busy
                )

    def _missed(self, event: e.PresenceChanged) -> None:
        """The agent did not answer: when are they back?"""
        key = (event.agent, event.at_us)
        if key in self._recording.returns:
            back = self._recording.returns[key]
            if back is None:
                return
            seq, after_us, by = back
        else:
            seq, after_us, by = DRAWN_SEQ, self._people.back_us(*key), ""
        self._push(event.at_us + after_us, seq, self._come_back, event.agent, by)

    def _come_back(self, id_: AgentId, by: str) -> c.Command | None:
        agent = self.engine.state.agents.get(id_)
        if agent is None or agent.presence is not Presence.NOT_READY or agent.reason != "rona":
            return None
        return c.SetPresence(agent=id_, presence=Presence.READY, by=by)

    def _wrapping(self, wrap: Wrap) -> None:
        given = self._recording.wraps.get((wrap.contact, wrap.service), [])
        for one in given:
            at_us = wrap.began_us + one.place.after_us
            self._push(at_us, one.seq, self._in_wrap, wrap.reservation, one.command)
        service = self._borrowed.get((wrap.contact, wrap.service))
        if not given and service is not None and service.wrap_us is not None:
            finish = c.FinishWrapUp(reservation=wrap.reservation)
            at_us = wrap.began_us + service.wrap_us
            self._push(at_us, DRAWN_SEQ, self._in_wrap, wrap.reservation, finish)

    def _in_wrap(
        self, reservation: ReservationId, command: c.FinishWrapUp | c.ExtendWrapUp
    ) -> c.Command | None:
        row = self.engine.state.reservations.get(reservation)
        if row is None or row.state is not ReservationState.WRAPPING:
            return None
        return replace(command, reservation=reservation)

    # --- customers that the engine asks for ---------------------------------------------------

    def _load_customer(self, effect: f.LoadCustomer) -> None:
        stage = self._stages.stage(effect.contact)
        plan = self._plans.get(stage.key) if stage is not None else None
        if plan is not None and plan.passed is not None:
            known = self._recording.given(plan.stage.key)
            answers = [g for g in known if isinstance(g.command, c.ProvideCustomer)]
            if not answers or answers[0] in plan.left:
                return  # to come, or never came
        self._push(self._now_us, DRAWN_SEQ, self._provide, effect.contact)

    def _provide(self, id_: ContactId) -> c.Command | None:
        """As the runtime would answer, with the windows that are on record for the contact."""
        contact = self.engine.state.contacts.get(id_)
        if contact is None:
            return None
        terms = terms_of(contact)
        now_us = self._now_us + self.engine.state.totals.clock_offset_us
        facts = self._facts.get(id_, NO_FACTS)
        facts = replace(facts, windows=(*facts.windows, *self._recording.windows(id_)))
        command = c.ProvideCustomer(
            contact=id_, customer=contact.customer, found=False, facts=facts
        )
        window, _ = window_for(contact, terms, facts, now_us) if terms.learned else (None, False)
        if window is not None and (window.channel, window.address) != (
            contact.channel,
            contact.address,
        ):
            peer_key = f"{window.address}/{window.channel}"
            command = replace(command, channel=window.channel, peer_key=peer_key)
        if terms.mode == MESSAGE_FIRST:
            command = replace(command, message=f"{id_}/{terms.tries}")
        return command
