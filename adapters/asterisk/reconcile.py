"""After a connect: what the PBX has, what the router has, and what follows from the difference.

The event socket tells nothing again (event-socket-lost), so channels and bridges are listed. Ours
say in their arguments what they were made for, callers are told by their ids; where each stands
tells whether it is waiting, talking or on hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from adapters import insist
from adapters.asterisk import ari
from adapters.asterisk.ari import Bridge, Channel
from adapters.asterisk.calls import (
    Call,
    Leg,
    Monitor,
    Origin,
    State,
    channel_of,
    origin_of,
    state_of,
)
from adapters.asterisk.events import Events
from adapters.asterisk.rest import AriRefused
from adapters.asterisk.switchboard import Switchboard
from router.channel import Router

ORPHAN_S = 30.0
"""A customer whom we were calling before a restart, and whom no effect asks about by then."""


class Reconciler:
    """Makes the book say what the PBX has."""

    def __init__(self, board: Switchboard, router: Router, events: Events) -> None:
        self.board = board
        self.book = board.book
        self.router = router
        self.events = events
        self._places: dict[str, str] = {}

    async def run(self) -> None:
        """Raises ChannelError."""
        channels = ari.channels_of(await self.board.ask(ari.list_channels()))
        bridges = ari.bridges_of(await self.board.ask(ari.list_bridges()))
        states = dict(await insist(self.router.open))
        known = {channel_of(external_id): external_id for external_id in states}
        self._places = {id_: bridge.id for bridge in bridges for id_ in bridge.channels}
        found = {channel.id: channel for channel in channels}
        ours = [(c, o) for c in channels if (o := origin_of(c, self.board.settings.app))]
        self._note_gone(found)
        for kind in ("customer", "agent", "monitor", "snoop"):  # each needs the ones before it
            for channel, origin in ours:
                if origin.kind == kind:
                    self._adopt(channel, origin, known)
        self._adopt_bridges(bridges)
        self._note_holds()
        for call in self.book.calls():
            state = states.get(call.external_id, "")
            if state in ("offered", "active") and not call.rung:
                await self._recall_rung(call)
            is_alone = state == "active" and not call.agents
            self.board.crew.start(self._settle(call, is_alone=is_alone), "settle")

    def _note_gone(self, found: dict[str, Channel]) -> None:
        """Legs that ended unheard; of customers `live` tells, of agents we do."""
        for leg in list(self.book.legs.values()):
            if leg.id in found:
                continue
            if leg.kind == "customer" and leg.call is not None and leg.call.starting is None:
                self.book.drop_leg(leg)
                self.board.clear(leg.call)
            elif leg.state is not State.MADE:
                leg.cause = leg.cause or 16
                self.events.gone(leg)

    def _adopt(self, channel: Channel, origin: Origin, known: Mapping[str, str]) -> None:
        """`known`: external ids that the router has open, by channel."""
        leg = self.book.legs.get(channel.id)
        if leg is not None:
            self._renew(leg, channel)
            return
        match origin.kind, origin.words:
            case "customer", (contact, _reservation, *_):
                self._adopt_customer(channel, contact, known.get(channel.id))
            case "customer", _ if channel.id in known:
                self._adopt_customer(channel, "", known[channel.id])
            case "customer", _:
                self.events.arrive(channel, channel.app_and_args()[1])  # submitted, or not yet
            case "agent", (contact, reservation, external_id, *_):
                self._adopt_agent(channel, contact, reservation, external_id)
            case "monitor", (monitor, external_id, reservation, mode, *_):
                self._adopt_monitor(channel, monitor, external_id, reservation, mode)
            case "snoop", (monitor, *_):
                self._adopt_snoop(channel, monitor)
            case _:
                pass

    def _renew(self, leg: Leg, channel: Channel) -> None:
        """A leg that was known before the connection broke; what was under way then goes on."""
        leg.place = self._places.get(channel.id, "")
        call = leg.call
        if leg.is_unwanted or call is None or call.is_over:
            self.board.hang_up_soon(leg)
        elif leg.kind == "customer" and call.starting is None and not leg.is_joined:
            self.events.submit(call, leg, channel, channel.app_and_args()[1])
        elif channel.state == "Up" and leg.state is not State.UP:
            self.events.up(leg)
        elif leg.kind == "agent" and leg.is_up and not leg.is_joined:
            self.events.talk.say_connected(leg)

    def _adopt_customer(self, channel: Channel, contact: str, known: str | None) -> None:
        external_id = known or channel.id
        call = self.book.find("", contact) if contact else None
        if call is None:
            call = self.book.begin(external_id, contact)
        else:
            self.book.link(call, external_id)
        leg = self.book.add(call, Leg(channel.id, "customer", contact))
        self._take_over(leg, channel)
        leg.is_joined = known is not None and leg.state is State.UP
        if contact and known is None:
            self.board.crew.start(self._watch_orphan(call), "orphan")

    def _adopt_agent(
        self, channel: Channel, contact: str, reservation: str, external_id: str
    ) -> None:
        call = self.book.find(external_id, contact)
        if call is None and not external_id:
            call = self.book.begin(contact=contact)  # its customer is not dialled yet
        leg = Leg(channel.id, "agent", contact, reservation)
        if call is None:
            self.board.hang_up_soon(leg)  # the customer has gone meanwhile
            return
        self.book.add(call, leg)
        place = self._places.get(channel.id, "")
        # Moved by us once: the router has agreed to it. Only `talk` of its own contact's call.
        leg.is_joined = bool(place)
        if leg.is_joined and not self._is_consult(call, leg) and not call.contact:
            self.book.name(call, contact)
        self._take_over(leg, channel)

    def _is_consult(self, call: Call, leg: Leg) -> bool:
        """An agent's leg for another contact than the customer's: its arguments name both."""
        return bool(call.contact) and call.contact != leg.contact

    def _adopt_monitor(
        self, channel: Channel, id_: str, external_id: str, reservation: str, mode: str
    ) -> None:
        leg = Leg(channel.id, "monitor", monitor=id_)
        call = self.book.find(external_id)
        if call is None:
            self.board.hang_up_soon(leg)
            return
        self.book.add(call, leg)
        call.monitors[id_] = Monitor(id_, reservation, mode, leg)
        self._take_over(leg, channel, tell=False)

    def _adopt_snoop(self, channel: Channel, id_: str) -> None:
        leg = Leg(channel.id, "snoop", monitor=id_)
        for call in self.book.calls():
            monitor = call.monitors.get(id_)
            if monitor is not None:
                self.book.add(call, leg)
                self._take_over(leg, channel, tell=False)
                monitor.snoop = leg
                monitor.mode = "whisper" if "-whisper-" in leg.id else "listen"
                monitor.snoops = int(leg.id.rpartition("-")[2])
                return
        self.board.hang_up_soon(leg)

    def _take_over(self, leg: Leg, channel: Channel, *, tell: bool = True) -> None:
        leg.there.set()
        leg.is_dialled = channel.state != "Down"
        leg.place = self._places.get(channel.id, "")
        state = state_of(channel)
        if state is State.UP and tell and leg.kind == "agent" and not leg.is_joined:
            self.events.up(leg)  # picked up while nobody listened
        else:
            leg.state = state
            if state is State.UP:
                leg.settled.set()

    def _adopt_bridges(self, bridges: list[Bridge]) -> None:
        """Bridges of calls that are known; what is left of others goes."""
        wanted: dict[str, Call] = {}
        for call in self.book.calls():
            wanted[self.board.names.talk(call)] = call
            for monitor in call.monitors:
                wanted[self.board.names.listen(monitor)] = call
        for bridge in bridges:
            owner = wanted.get(bridge.id)
            if owner is not None:
                owner.bridges[bridge.id] = None
            elif self.board.names.is_ours(bridge.id) and bridge.id != self.board.names.hold:
                self._delete(bridge.id)

    def _delete(self, bridge: str) -> None:
        self.board.soon(lambda: self.board.try_(ari.delete_bridge(bridge), 404), "bridge of nobody")

    def _note_holds(self) -> None:
        """A customer in the holding bridge whose agent is in the conversation's is on hold."""
        for call in self.book.calls():
            customer, serving = call.customer, call.serving()
            if customer is None or serving is None or not customer.is_up:
                continue
            talk = self.board.names.talk(call)
            call.held = customer.place == self.board.names.hold and serving.place == talk
            others = [leg for leg in call.agents.values() if leg.contact != call.contact]
            call.conference = customer.place == talk and any(leg.place == talk for leg in others)

    async def _settle(self, call: Call, *, is_alone: bool) -> None:
        self.board.settle(call)
        if is_alone and call.customer is not None and call.customer.is_up:
            self._tell_who_left(call)

    async def _recall_rung(self, call: Call) -> None:
        """Whose phones have rung before a restart: the customer's channel says it."""
        if call.customer is None or call.customer.state is State.GONE:
            return
        try:
            mark = ari.get_variable(call.customer.id, self.board.names.rung)
            body = await self.board.ask(mark)
        except AriRefused:
            return  # none has, or the customer has just gone
        call.rung = dict.fromkeys(word for word in ari.value_of(body).split(",") if word)

    def _tell_who_left(self, call: Call) -> None:
        """The agent hung up while nobody listened, and before a restart."""
        for reservation in call.rung:  # of those that are over the router knows
            self.events.talk.tell(call.contact, self.router.hung_up, reservation, "hung up")
        if not call.rung:
            self.events.talk.tell(call.contact, self.router.ended, call.external_id, "agent gone")

    async def _watch_orphan(self, call: Call) -> None:
        await asyncio.sleep(ORPHAN_S)
        if call.starting is None and call.customer is not None and not call.customer.is_joined:
            self.board.clear(call)
