"""One Asterisk: connects, reconciles, hears events, carries out effects; see `__init__.py`."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

import aiohttp

from adapters import Crew, Facts, Fence, Remembered, is_cancelled, read_settings, watch_store
from adapters.asterisk import ari
from adapters.asterisk.conversation import Conversation
from adapters.asterisk.effects import Effects
from adapters.asterisk.events import Events
from adapters.asterisk.reconcile import Reconciler
from adapters.asterisk.rest import AriRefused, Rest
from adapters.asterisk.settings import Settings, read_password, tls_context
from adapters.asterisk.switchboard import Switchboard
from router.channel import Channel, ChannelError, ChannelLost, Router, Task

log = logging.getLogger(__name__)

BACKLOG = 50_000
"""Most events that wait while channels are listed after a connect."""
STOP_S = 0.5
"""What is being said to the PBX when the router stops, too: that a phone has rung, above all."""
GRACE_S = 2.0
"""What is being told to the router when the PBX is lost may be finished."""
TASKS = 20
"""So many tasks at once for each call that is allowed."""


class Asterisk(Channel):
    """Callers and agents' phones on one side, the router on the other."""

    def __init__(self, name: str, settings: dict[str, Any], router: Router) -> None:
        super().__init__(name, settings, router)
        where = f"adapters.{name}"
        self.config = read_settings(Settings, settings, where)
        password, tls = read_password(self.config, where), tls_context(self.config, where)
        self.rest = Rest(self.config, password, tls, self._tell_state)
        self.crew = Crew(name, most=TASKS * self.config.calls)
        self.board = Switchboard(self.config, self.rest, self.crew)
        self.facts = Facts(name, most=8 * self.config.calls)
        self.talk = Conversation(self.board, router, self.facts)
        self.effects = Effects(self.board, router, self.talk)
        self.events = Events(self.board, router, self.talk)
        self.up = False
        self.garbage = 0
        """Messages of the event socket that were no events."""
        self._backlog: deque[ari.Event] | None = None
        self._fence = Fence()
        self._done: Remembered[str, None] = Remembered()

    def _tell_state(self, state: str, detail: str) -> None:
        if self.up:
            self.router.state(state, detail)

    # -- what the supervisor calls ---------------------------------------------------------------

    async def run(self) -> None:
        """Serve until the event socket is lost. Raises ChannelLost."""
        self.router.state("starting")
        self.facts.go_on()
        await self.rest.open()
        grace_s = STOP_S
        try:
            socket = await self.rest.events()
            try:
                await self._serve(socket)
            finally:
                self.up = False
                await socket.close()
        except ChannelError as error:
            grace_s = GRACE_S
            if isinstance(error, ChannelLost):
                raise
            raise ChannelLost(str(error)) from error  # while channels were being listed
        finally:
            self.up = False
            self.router.state("down")
            await self.crew.stop(grace_s)
            if is_cancelled():  # not only the PBX is lost: facts need none
                await self.facts.stop()
            await self.rest.close()

    async def _serve(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Events are taken from the first moment on, and heard once the book is right."""
        self.events.replaced.clear()
        self._backlog = deque()
        reader = self.crew.start(self._read(socket), "events")
        await self._filter()
        await self.board.ensure_hold()
        await Reconciler(self.board, self.router, self.events).run()
        for event in self._backlog:
            self._hear(event)
        self._backlog = None
        # Who is there when it is said: callers have come since the channels were listed.
        await self.talk.say_who_is_there()
        if not reader.done():
            self.up = True
            self.router.state("up")
        watch = self.crew.start(self._watch_store(), "store")
        try:
            await reader
        finally:
            watch.cancel()
        if self.events.replaced.is_set():
            # It has the calls now: whoever fights back takes the events away from it again.
            self.up = False
            self.router.state("down", "another router has taken the application over")
            log.error("%s: another router uses the application %s", self.name, self.config.app)
            await asyncio.sleep(self.config.replaced_pause_s)
            raise ChannelLost("another router has taken the application over")
        raise ChannelLost("the event socket is closed")

    async def _watch_store(self) -> None:
        await watch_store(
            self.router,
            after_s=self.config.fallback_after_s,
            away=self.talk.fall_back,
            back=self.talk.say_who_is_there,
        )

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                continue
            try:
                event = ari.event_of(message.data)
            except ari.Garbage:
                self.garbage += 1
                log.warning("%s: %d messages that are no events", self.name, self.garbage)
                continue
            if self._backlog is None:
                self._hear(event)
            elif len(self._backlog) < BACKLOG:
                self._backlog.append(event)
            else:
                return  # it cannot be caught up with: connect and list again
            if self.events.replaced.is_set():
                return

    def _hear(self, event: ari.Event) -> None:
        try:
            self.events.hear(event)
        except Exception:  # one event must not end the others
            log.exception("%s: event %s", self.name, event.type)

    async def _filter(self) -> None:
        """Less to read; a PBX that cannot is fine."""
        try:
            await self.rest.ask(ari.filter_events(self.config.app))
        except AriRefused as refused:
            log.info("%s: events are not filtered: %s", self.name, refused.status)

    async def perform(self, task: Task) -> None:
        """Carry out one effect at the PBX."""
        self._fence.check(task.epoch)
        if not self.up:
            raise ChannelLost(f"{self.name} is not connected")
        if task.id in self._done:
            return
        await self.effects.carry_out(task)
        self._done[task.id] = None

    async def find(self, task: Task) -> bool:
        """Whether the PBX has what this effect asked for; its consequence is told again."""
        if not self.up:
            raise ChannelLost(f"{self.name} is not connected")
        return self.effects.find(task)
