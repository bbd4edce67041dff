"""THE ALGORITHM: who gets what. Start here.

Two directions, both exact, neither polls:

*Agent selection* (`select_agents`): a contact arrives or becomes reachable. Of all eligible agents
those whose profile gives its queue the lowest rank come first (unless the queue says otherwise);
then agents with true room before those who would be interrupted; then the queue's strategy; then
the longest idle; then the id.

*Contact selection* (`select_contact`): an agent gets room. Its queues are walked by rank; among the
queues of equal rank the eligible contact with the smallest key wins:
``(tier, due - head start, arrival)``.

*Eligible*: the profile serves the queue and its delay has passed, the queue is open, the channel is
not paused, the agent is ready with room for it, the requirements are met as they stand now, the
agent is not excluded or cooling down for this contact, nor is it held for another agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple

from router.core.model import (
    Contact,
    Decision,
    Presence,
    QueueId,
    Requirements,
    ReservationState,
)
from router.core.policy import Policy, Queue, Strategy
from router.core.queues import (
    BEHIND_ALL,
    Bucket,
    Entry,
    Group,
    Head,
    Line,
    Reached,
    Waiting,
    packed_key,
)
from router.core.reach import Rank, Reach
from router.core.roster import IdleKey, Pool, Roster, Seat, Shelf
from router.core.scoring import agent_score, agent_terms, contact_terms
from router.core.skills import meets

_RUNNERS_UP = 3
_BEYOND = 8
"""Agents looked at after the winner, for the runners-up of a decision record."""
_SURVEY_HEADS = 4
"""Bucket heads looked at per group for the runners-up of a decision record."""


class AgentChoice(NamedTuple):
    """One chosen agent."""

    seat: Seat
    rank: int
    by_interruption: bool


class AgentSelection(NamedTuple):
    """The agents chosen for a contact, best first, and who came after them."""

    chosen: list[AgentChoice]
    runners_up: list[AgentChoice]
    shelf: Shelf | None = None
    """Where those who came next stand, when they were not needed for the choice ..."""
    few: list[Seat] | None = None
    """... or all who could have been chosen at the winner's rank, present or not."""


class ContactChoice(NamedTuple):
    """The contact chosen for an agent."""

    contact: Contact
    rank: int


class Lines(NamedTuple):
    """The lines an agent reads at one rank."""

    rank: int
    lines: frozenset[Line]
    queues: tuple[QueueId, ...]


def lines_at(rank: int, lines: list[Line]) -> Lines:
    """Lines read together."""
    return Lines(rank, frozenset(lines), tuple(dict.fromkeys(line.queue for line in lines)))


class Matcher:
    """Both selections over the two indexes. Holds no state of its own but caches of the policy."""

    def __init__(self, roster: Roster, waiting: Waiting) -> None:
        self.roster = roster
        self.waiting = waiting
        self.policy = Policy(version="")
        self.closed: dict[QueueId, bool] = {}
        """Queues outside their opening hours."""
        self._serving: dict[QueueId, list[tuple[int, int, Pool]]] = {}
        self._pools: dict[QueueId, list[Pool]] = {}
        self._reach = Reach(roster, waiting)
        self._plain: dict[QueueId, list[Rank]] = {}
        """Pools by rank, for queues that nobody serves with a delay."""
        self._walks: dict[tuple[str, int], list[Lines]] = {}

    def use(self, policy: Policy) -> None:
        """New settings; the roster has taken them already."""
        self.policy = policy
        self._walks = {}
        self._serving = {}
        self._pools = {}
        self._plain = {}
        self._reach.forget()
        for profile in policy.profiles.values():
            pool = self.roster.pools[profile.id]
            for served in profile.queues:
                serving = self._serving.setdefault(served.queue, [])
                serving.append((served.rank, served.delay_us, pool))
                self._pools.setdefault(served.queue, []).append(pool)

    def set_closed(self, queue: QueueId, closed: bool) -> None:
        """The queue's hours began or ended."""
        if closed:
            self.closed[queue] = True
        else:
            self.closed.pop(queue, None)
        self._walks = {}

    # -- agent selection ----------------------------------------------------------------------

    def select_agents(self, contact: Contact, now_us: int, count: int = 1) -> AgentSelection | None:
        """The best `count` eligible agents (and up to three who came after), or None."""
        bit = self.roster.live[contact.channel]
        is_closed = contact.queue in self.closed and not contact.target_agent
        if is_closed or not bit or not self.roster.open:
            return None
        if contact.target_agent or contact.hold_agent:
            return self._only_agent(contact, now_us)
        queue = self.policy.queues[contact.queue]
        simple = count == 1 and queue.strategy in (Strategy.LONGEST_IDLE, Strategy.ORDERED)
        found: list[AgentChoice] = []
        shelf: Shelf | None = None
        among: list[Seat] | None = None
        for rank, pools, few, reached, new in self._ranks(contact, queue, now_us):
            if few is not None and simple:
                best = min(_with_room(few, contact, bit), default=None)
                if best is not None:
                    among = few
                    found = [AgentChoice(best[3], rank, best[0])]
                    break
                continue
            classes = self.roster.available(pools, bit)
            if classes is None:
                continue
            if simple:
                first = _longest_idle(classes, contact, reached, new)
                if first is not None:
                    shelf = first.shelf
                    found = [AgentChoice(first, rank, shelf in classes[2])]
                    break
                continue
            for seat, by_interruption in self._by_strategy(classes, contact, queue, count):
                found.append(AgentChoice(seat, rank, by_interruption))
            if len(found) >= count:
                break
        if not found:
            return None
        if not queue.rank_first:
            found = [c._replace(rank=self.rank_of(c.seat, contact, now_us)) for c in found]
        return AgentSelection(found[:count], found[count : count + _RUNNERS_UP], shelf, among)

    def _only_agent(self, contact: Contact, now_us: int) -> AgentSelection | None:
        seat = self.roster.seats.get(contact.target_agent or contact.hold_agent)
        if seat is None or not self.is_reachable(seat, contact, now_us):
            return None
        by_interruption = not seat.room & self.roster.bits[contact.channel]
        choice = AgentChoice(seat, self.rank_of(seat, contact, now_us), by_interruption)
        return AgentSelection([choice], [])

    def _ranks(self, contact: Contact, queue: Queue, now_us: int) -> list[Rank]:
        """Pools that may serve the contact now, by rank."""
        if not contact.extra_queues:
            plain = self._plain.get(contact.queue)
            if plain is not None:
                if contact.requirements:
                    return self._reach.narrow(plain, contact.queue, contact.requirements)
                return plain
        waited = now_us - contact.visit_at_us
        best: dict[str, tuple[int, Pool]] = {}
        for name in (contact.queue, *contact.extra_queues):
            if name in self.closed:
                continue  # an added queue whose agents are not in service
            for rank, delay_us, pool in self._serving.get(name, ()):
                if waited >= delay_us and (
                    pool.profile not in best or rank < best[pool.profile][0]
                ):
                    best[pool.profile] = (rank, pool)
        if not queue.rank_first and queue.strategy is not Strategy.ORDERED:
            return [Rank(0, [pool for _, pool in best.values()])] if best else []
        ranks: dict[int, list[Pool]] = {}
        for rank, pool in best.values():
            ranks.setdefault(rank, []).append(pool)
        found = [Rank(rank, pools) for rank, pools in sorted(ranks.items())]
        if not contact.extra_queues and not any(
            delay_us for _, delay_us, _ in self._serving.get(contact.queue, ())
        ):
            self._plain[contact.queue] = found
        return found

    def _by_strategy(
        self, classes: list[list[Shelf]], contact: Contact, queue: Queue, count: int
    ) -> Iterator[tuple[Seat, bool]]:
        score = partial(agent_score, contact=contact, queue=queue, policy=self.policy)
        for by_interruption, shelves in ((False, classes[0] + classes[1]), (True, classes[2])):
            seats = [seat for shelf in shelves for seat in shelf.walk(contact)]
            seats.sort(key=score)
            for seat in seats[: count + _RUNNERS_UP]:
                yield seat, by_interruption

    # -- contact selection --------------------------------------------------------------------

    def select_contact(self, seat: Seat, now_us: int) -> ContactChoice | None:
        """The contact that this agent should have next, or None."""
        room = (seat.room | seat.interrupted) & self.roster.running
        if not room:
            return None
        own = self._best_own(seat, now_us) if seat.agent.id in self.waiting.own else None
        if not self.waiting.busy:
            return own
        groups = seat.reader.groups
        for rank, lines, queues in self._walk(seat.agent.profile, room):
            if own is not None and own.rank < rank:
                return own
            if self.waiting.busy.isdisjoint(lines):
                continue
            best = _best_in(groups, lines, queues, seat)
            if best is not None:
                if own is not None and own.rank == rank and packed_key(own.contact) < best.key:
                    return own
                return ContactChoice(best.contact, rank)
        return own

    def _best_own(self, seat: Seat, now_us: int) -> ContactChoice | None:
        """Of the contacts held for this agent, or sent to it, the best by rank and key."""
        found = [
            (self.rank_of(seat, entry.contact, now_us), entry.key, entry.contact)
            for entry in self.waiting.own[seat.agent.id].values()
            if self.is_reachable(seat, entry.contact, now_us)
        ]
        if not found:
            return None
        rank, _, contact = min(found, key=lambda item: item[:2])
        return ContactChoice(contact, rank)

    def _walk(self, profile: str, room: int) -> list[Lines]:
        """An agent's lines by rank, for the channels it has room for."""
        walk = self._walks.get((profile, room))
        if walk is None:
            settings = self.policy.profiles.get(profile)
            ranks: dict[int, list[Line]] = {}
            for served in settings.queues if settings else ():
                if served.queue in self.closed:
                    continue
                lines = ranks.setdefault(served.rank, [])
                for channel, bit in self.roster.bits.items():
                    if room & bit:
                        lines.append(self.waiting.line(served.queue, channel, served.delay_us))
            walk = [lines_at(rank, lines) for rank, lines in sorted(ranks.items())]
            self._walks[profile, room] = walk
        return walk

    # -- shared -------------------------------------------------------------------------------

    def rank_of(self, seat: Seat, contact: Contact, now_us: int) -> int:
        """The rank at which the agent serves the contact; 0 for one sent to this agent."""
        waited = now_us - contact.visit_at_us
        profile = self.policy.profiles.get(seat.agent.profile)
        ranks = [
            served.rank
            for served in (profile.queues if profile else ())
            if (served.queue == contact.queue or served.queue in contact.extra_queues)
            and served.queue not in self.closed
            and waited >= served.delay_us
        ]
        return min(ranks, default=0)

    def is_reachable(self, seat: Seat, contact: Contact, now_us: int) -> bool:
        """Whether this one agent may have this contact now, room included."""
        if not (seat.room | seat.interrupted) & self.roster.live[contact.channel]:
            return False
        return self.may_serve(seat, contact, now_us)

    def may_serve(self, seat: Seat, contact: Contact, now_us: int) -> bool:
        """Whether this one agent may have this contact, room not asked."""
        agent = seat.agent
        if contact.target_agent:
            return contact.target_agent == agent.id and agent.id not in contact.excluded
        if contact.queue in self.closed or agent.id in contact.excluded:
            return False
        if contact.hold_agent and contact.hold_agent != agent.id:
            return False
        if not meets(agent.skills, contact.requirements):
            return False
        waited = now_us - contact.visit_at_us
        profile = self.policy.profiles.get(agent.profile)
        return profile is not None and any(
            (served.queue == contact.queue or served.queue in contact.extra_queues)
            and served.queue not in self.closed
            and waited >= served.delay_us
            for served in profile.queues
        )

    def could_serve(self, seat: Seat, queue: QueueId, requirements: Requirements) -> bool:
        """Whether holding a contact for the agent makes sense: ready or wrapping up."""
        if seat.agent.lost_at_us:
            return False
        if seat.agent.presence is not Presence.READY and not any(
            r.state is ReservationState.WRAPPING for r in seat.load.reservations.values()
        ):
            return False
        profile = self.policy.profiles.get(seat.agent.profile)
        serves = profile is not None and any(served.queue == queue for served in profile.queues)
        return serves and meets(seat.agent.skills, requirements)

    def pools(self, queue: QueueId) -> list[Pool]:
        """Pools whose profile serves the queue, whatever rank and delay."""
        return self._pools.get(queue, [])

    # -- decision records ---------------------------------------------------------------------

    def agent_decision(self, selection: AgentSelection, which: int, contact: Contact) -> Decision:
        """Why the `which`-th chosen agent got the contact."""
        queue = self.policy.queues[contact.queue]
        winner = selection.chosen[which]
        if selection.few is not None:
            bit = self.roster.bits[contact.channel]
            # An agent may serve the contact through two of its queues.
            few = dict.fromkeys(selection.few)
            ready = sorted(_with_room(few, contact, bit))
            eligible = len(ready)
            others = [
                AgentChoice(seat, winner.rank, by_interruption)
                for by_interruption, _, _, seat in ready
                if seat is not winner.seat
            ][:_RUNNERS_UP]
        elif selection.shelf is not None:
            seats = selection.shelf.after(winner.seat, contact, _BEYOND, _RUNNERS_UP)
            eligible = 1 + len(seats)
            others = [AgentChoice(s, winner.rank, winner.by_interruption) for s in seats]
        else:
            listed = selection.chosen[which + 1 :] + selection.runners_up
            eligible = 1 + len(listed)
            others = listed[:_RUNNERS_UP]
        shown = [
            agent_terms(seat, contact, queue, self.policy, rank, by_interruption)
            for seat, rank, by_interruption in (winner, *others)
        ]
        return Decision(
            edge="contact",
            strategy=queue.strategy.value,
            step=contact.step,
            requirements=contact.requirements,
            eligible=eligible,
            eligible_more=contact.target_agent == "" and contact.hold_agent == "",
            winner=shown[0],
            runners_up=tuple(shown[1:]),
            rule=contact.rule,
            policy_version=self.policy.version,
        )

    def contact_decision(self, seat: Seat, choice: ContactChoice) -> Decision:
        """Why this agent got this contact and not the next best ones."""
        others, eligible, more = self._survey(seat, choice)
        return Decision(
            edge="agent",
            strategy="rank_then_key",
            step=choice.contact.step,
            requirements=choice.contact.requirements,
            eligible=eligible,
            eligible_more=more,
            winner=contact_terms(choice.contact, choice.rank),
            rule=choice.contact.rule,
            runners_up=tuple(contact_terms(c, choice.rank) for c in others),
            policy_version=self.policy.version,
        )

    def _survey(self, seat: Seat, choice: ContactChoice) -> tuple[list[Contact], int, bool]:
        """Next best contacts of the winner's rank, and how many there are, looking at few heads."""
        found: dict[int, Contact] = {}
        eligible, more = 1, False
        room = (seat.room | seat.interrupted) & self.roster.running
        for rank, lines, queues in self._walk(seat.agent.profile, room):
            if rank != choice.rank:
                continue
            for heads in _runs(seat.reader.groups, queues):
                more = more or len(heads) > _SURVEY_HEADS
                for _, _, bucket in heads[:_SURVEY_HEADS]:
                    if bucket.line not in lines or not meets(
                        seat.agent.skills, bucket.requirements
                    ):
                        continue
                    eligible += bucket.alive
                    entry = bucket.heap[0][2]
                    if entry.contact is choice.contact:
                        eligible -= 1
                        if bucket.alive == 1:
                            continue
                        entry = next(islice(bucket.in_order(), 1, None))
                    if seat.agent.id not in entry.contact.excluded:
                        found[entry.key] = entry.contact  # it may stand in two lines
        return [found[key] for key in sorted(found)[:_RUNNERS_UP]], eligible, more


def _longest_idle(
    classes: list[list[Shelf]], contact: Contact, reached: Reached | None, new: bool
) -> Seat | None:
    """The first eligible agent of these shelves, true room and unloaded ones before others."""
    for shelves in classes:
        best: Seat | None = None
        for shelf in shelves:
            seat = shelf.first(contact, reached, new)
            if seat is not None and (best is None or seat.idle < best.idle):
                best = seat
        if best is not None:
            return best
    return None


def _with_room(
    seats: Iterable[Seat], contact: Contact, bit: int
) -> Iterator[tuple[bool, bool, IdleKey, Seat]]:
    """Of a few agents those with room, with what `_longest_idle` would compare."""
    excluded = contact.excluded
    for seat in seats:
        true = seat.room & bit
        if (true or seat.interrupted & bit) and seat.agent.id not in excluded:
            yield not true, seat.loaded, seat.idle, seat


def _best_in(
    groups: list[Group], lines: frozenset[Line], queues: tuple[QueueId, ...], seat: Seat
) -> Entry | None:
    """The waiting contact with the smallest key in these lines whose requirements are met."""
    level_of = seat.agent.skills.get
    best: Bucket | None = None
    best_key = BEHIND_ALL
    for group in groups:
        if group.first >= best_key:
            continue
        by_queue = group.heads
        for queue in queues:
            for key, _, bucket in by_queue.get(queue, ()):
                if key >= best_key:
                    break
                if bucket.line not in lines:
                    continue
                for skill, level in bucket.requirements:
                    if level_of(skill, 0) < level:
                        break
                else:
                    best, best_key = bucket, key
                    break
    if best is None:
        return None
    entry = best.heap[0][2]
    if seat.agent.id not in entry.contact.excluded:
        return entry
    return _first_not_excluded(groups, lines, queues, seat)


def _first_not_excluded(
    groups: list[Group], lines: frozenset[Line], queues: tuple[QueueId, ...], seat: Seat
) -> Entry | None:
    """As `_best_in`, where a first contact is not for this agent: looks behind heads, too."""
    best: Entry | None = None
    for heads in _runs(groups, queues):
        for key, _, bucket in heads:
            if best is not None and key >= best.key:
                break
            if bucket.line not in lines or not meets(seat.agent.skills, bucket.requirements):
                continue
            for entry in bucket.in_order():
                if seat.agent.id not in entry.contact.excluded:
                    if best is None or entry.key < best.key:
                        best = entry
                    break
    return best


def _runs(groups: Iterable[Group], queues: tuple[QueueId, ...]) -> Iterator[list[Head]]:
    """Heads in order, by group and queue."""
    for group in groups:
        yield from filter(None, map(group.heads.get, queues))
