"""The chat of one web site: conversations, and what the router's effects do to them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from adapters import TRY_AGAIN, Bucket, Crew, Facts, Fence, Remembered, insist, read_settings
from adapters.webchat.codec import (
    AgentTyping,
    Answered,
    Ask,
    Down,
    Ended,
    Hold,
    Joined,
    Message,
    Place,
    Signer,
    Token,
    Visitor,
    Who,
)
from adapters.webchat.conversation import (
    ANSWER,
    TYPING_S,
    Conversation,
    Page,
    Words,
    filled,
    message_of,
    parts_of,
)
from adapters.webchat.door import Door, Entry
from adapters.webchat.files import Held
from adapters.webchat.identity import Notary
from adapters.webchat.settings import Settings, identity_secret, token_secret
from adapters.webchat.uploads import Uploads
from router.channel import (
    Address,
    Channel,
    ChannelError,
    ChannelLost,
    CollectFromContact,
    ConnectAgent,
    DeliverMessage,
    EndContact,
    HoldContact,
    NewContact,
    NewMessage,
    OutcomeUnknown,
    Receipt,
    Refused,
    Router,
    StartContact,
    Task,
    TreatContact,
)

PAGES = 5
"""Most open pages of one visitor; one more closes the oldest."""
CLOSE_S = 2.0
"""How long pages have to hear that the server goes."""


class WebChat(Channel):
    """Visitors on one side, the router on the other."""

    def __init__(self, name: str, settings: dict[str, Any], router: Router) -> None:
        super().__init__(name, settings, router)
        where = f"adapters.{name}"
        self.config = read_settings(Settings, settings, where)
        config = self.config
        self.signer = Signer(token_secret(config.secret_file, where), name, config.token_days)
        notary = Notary(identity_secret(config.identity_secret_file, where))
        self.door = Door(self.signer, notary, config.strangers_per_min)
        self.conversations: OrderedDict[str, Conversation] = OrderedDict()
        self.facts = Facts(name, most=2 * self.config.conversations)
        self.crew = Crew(name, most=self.config.conversations)
        self.uploads = Uploads(config, router, self.crew)
        self.writers = Crew(f"{name} pages", most=PAGES * self.config.conversations)
        """One task for each open page."""
        self.up = False
        self._fence = Fence()
        self._done: Remembered[str, None] = Remembered()
        self._resting: Remembered[str, str] = Remembered()
        """Visitors whose conversation goes on though there was no room for it; its number."""

    # -- what the supervisor calls ---------------------------------------------------------------

    async def run(self) -> None:
        """Serve until cancelled."""
        self.facts.go_on()
        for external_id, state in await insist(self.router.open):
            self._reopen(external_id, state)
        self.up = True
        self.router.state("up")
        for conversation in list(self.conversations.values()):
            # After a restart, or a fault: whoever waits and does not come back has left.
            if not conversation.pages:
                self._watch_absence(conversation)
        try:
            await asyncio.Event().wait()
        finally:
            self.up = False
            self.router.state("down")
            for conversation in self.conversations.values():
                if conversation.away is not None:
                    conversation.away.cancel()
                conversation.files.clear()
                for page in list(conversation.pages):
                    page.close(1012, "the server restarts")
            await self.writers.stop(grace_s=CLOSE_S)
            await self.facts.stop()
            await self.crew.stop(grace_s=CLOSE_S if self.uploads.stop() else 0.0)

    async def perform(self, task: Task) -> None:
        """Show the visitor what the router decided."""
        self._fence.check(task.epoch)
        if not self.up:
            raise ChannelLost(f"{self.name} is not running")
        if task.id in self._done:
            return
        self._carry_out(task)
        self._done[task.id] = None

    def agent_typing(self, external_id: str) -> None:
        """The visitor's open pages show it for a few seconds."""
        conversation = self.conversations.get(external_id.rpartition(".")[0])
        if conversation is not None and conversation.external_id == external_id:
            self._tell(conversation, AgentTyping())

    async def find(self, task: Task) -> bool:
        """Whether this was shown; after a restart nothing is remembered, and showing it is safe."""
        return task.id in self._done

    # -- what visitors do (called by visits.py) --------------------------------------------------

    async def recall(self, visitor: Visitor) -> None:
        """Bring back what this visitor and we said before a restart.

        Raises ChannelError when there is no room for one more visitor.
        """
        conversation = self.conversations.get(visitor.id)
        if conversation is None:
            conversation = self._make(visitor)
            if not conversation.begun:
                # Who is not known here has no open contact: `open` would have said so.
                conversation.phase, conversation.begun = "ended", True
        async with conversation.saying:
            if conversation.recalled:
                return
            try:
                lines = await self.router.history(conversation.external_id, self.config.history)
            except Refused:
                conversation.recalled = True
                if conversation.phase == "ended":
                    conversation.phase, conversation.begun = "idle", False
            except TRY_AGAIN:
                pass  # shown when the next page opens
            else:
                conversation.recall([message_of(conversation, line) for line in lines])

    def enter(self, page: Page, entry: Entry) -> Conversation:
        """A page has opened; raises ChannelError when there is no room for one more visitor."""
        conversation = self.conversations.get(entry.visitor.id) or self._make(entry.visitor)
        conversation.recalled = conversation.recalled or entry.is_new
        conversation.name = entry.name or conversation.name
        if entry.identity is not None:
            conversation.known_as, conversation.facts = entry.identity.id, entry.identity.attributes
        if conversation.away is not None:
            conversation.away.cancel()
            conversation.away = None
        if len(conversation.pages) >= PAGES:
            conversation.pages.pop(0).close(4008, f"more than {PAGES} pages are open")
        conversation.pages.append(page)
        page.send(conversation.welcome(self._token(conversation), self.config))
        return conversation

    def leave(self, page: Page, conversation: Conversation) -> None:
        """A page is gone; the last one starts the clock."""
        if page not in conversation.pages:
            return
        conversation.pages.remove(page)
        if not conversation.pages and self.up:
            self._watch_absence(conversation)

    async def say(self, conversation: Conversation, words: Words) -> None:
        """The visitor writes. Raises NoFile, and what the router raises; returns when durable."""
        async with conversation.saying:
            known = conversation.knows(words.id)
            if known is not None:
                self._tell(conversation, known)
                return
            files = conversation.files.find(words.files, asyncio.get_running_loop().time())
            try:
                receipt = await self._to_router(conversation, words, files)
            except OutcomeUnknown:
                self.uploads.said(words.files)  # the router may have them with the message
                raise
            self.uploads.said(words.files)
            conversation.files.take(words.files)
            names = tuple(file.name for file in files)
            self._show(conversation, words.id, "visitor", words.text, names)
        if conversation.ask is not None and not conversation.ask.choices and words.text.strip():
            # A question without choices is answered by whatever is written next.
            self._answered(conversation, words.text[:ANSWER])
        if receipt.state == "closed":
            self._end(conversation)
        elif receipt.state == "active":
            self._join(conversation)
        elif conversation.phase == "waiting":
            self._show_place(conversation, receipt.position, receipt.wait_us, "")

    def choose(self, conversation: Conversation, name: str, value: str) -> None:
        """The visitor answers a question; anything that was not offered is refused."""
        ask = conversation.ask
        if ask is None or ask.name != name or (ask.choices and value not in ask.choices):
            raise ChannelError(f"nobody asks for {name!r} with such an answer")
        self._answered(conversation, value)

    def typing(self, conversation: Conversation) -> None:
        """The visitor types; told to the agent now and then."""
        now_s = asyncio.get_running_loop().time()
        if conversation.phase == "talking" and now_s - conversation.typed_at_s >= TYPING_S:
            conversation.typed_at_s = now_s
            self.router.typing(conversation.external_id)

    def end(self, conversation: Conversation) -> None:
        """The visitor closes the conversation. Raises ChannelError: too many facts wait."""
        if not conversation.begun or conversation.phase == "ended":
            return
        talking, external_id = conversation.phase == "talking", conversation.external_id
        over = self.router.ended if talking else self.router.left
        self.facts.later(external_id, over, external_id, "closed by the visitor")
        self._end(conversation)

    # -- effects ---------------------------------------------------------------------------------

    def _carry_out(self, task: Task) -> None:
        effect = task.effect
        match effect:
            case DeliverMessage(message=message):
                conversation = self._conversation_of(task)
                self._join(conversation)
                # A visitor's page chooses its ids itself, and cannot put a colon into them.
                if conversation.knows(f"a:{message}") is None:
                    who: Who = "router" if task.author == "router" else "agent"
                    self._show(conversation, f"a:{message}", who, task.text)
            case TreatContact(kind="position"):
                conversation = self._conversation_of(task)
                self._show_place(conversation, effect.position, effect.wait_us, effect.text)
            case TreatContact(text=text):
                if text:
                    self._show(self._conversation_of(task), f"t:{task.id}", "router", text)
            case CollectFromContact():
                self._ask(self._conversation_of(task), effect)
            case HoldContact(held=held):
                conversation = self._conversation_of(task)
                conversation.held = held
                self._tell(conversation, Hold(held))
            case ConnectAgent(reservation=reservation):
                # A chat has no leg that must come up: it is there.
                self._join(self._conversation_of(task))
                self.facts.later(task.external_id, self.router.connected, reservation)
            case StartContact(contact=contact):
                self._start_contact(task, contact)
            case EndContact(text=text):
                # Whoever is not here has nothing to close; that is no failure.
                visitor, _, number = task.external_id.rpartition(".")
                if self._resting.get(visitor) == number:
                    del self._resting[visitor]
                known = self.conversations.get(task.external_id.rpartition(".")[0])
                if known is not None and known.external_id == task.external_id:
                    self._end(known, text)
            case _:
                pass  # offers: the agent answers at the desk

    def _ask(self, conversation: Conversation, effect: CollectFromContact) -> None:
        if conversation.ask is not None and conversation.question == effect.ask:
            return  # restated: it is being asked
        ask = conversation.ask = Ask(effect.name, effect.prompt, effect.choices)
        conversation.question = effect.ask
        self._tell(conversation, ask)

        def give_up() -> None:
            if conversation.ask is ask and self.up:
                self._answered(conversation, "")

        asyncio.get_running_loop().call_later(effect.timeout_us / 1e6, give_up)

    def _answered(self, conversation: Conversation, value: str) -> None:
        """The open question is over; an empty value: nobody answered it."""
        ask, question = conversation.ask, conversation.question
        if ask is None:
            return
        conversation.ask = None
        external_id = conversation.external_id
        self._tell(conversation, Answered(ask.name))
        with suppress(ChannelError):  # too many facts wait: the router ends the question by itself
            self.facts.later(
                external_id, self.router.collected,
                external_id, ask.name, value, ask=question, timed_out=not value,
            )  # fmt: skip

    def _start_contact(self, task: Task, contact: str) -> None:
        address = task.customer.address
        known = self.conversations.get(self.door.visitor_known_as(address))
        conversation = self.conversations.get(address) or known
        if conversation is None or not conversation.pages:
            raise ChannelError("the visitor is not here")
        if conversation.begun:
            self._renew(conversation)
        conversation.begun = True
        self._join(conversation)
        external_id = conversation.external_id
        self.facts.later(external_id, self.router.started, contact, external_id)

    # -- conversations ---------------------------------------------------------------------------

    async def _to_router(
        self, conversation: Conversation, words: Words, files: list[Held]
    ) -> Receipt:
        if conversation.phase == "ended":
            self._renew(conversation)
        if conversation.begun:
            contact = self._contact(conversation, words, files)
            receipt = await self.router.message(contact)
            if receipt.state != "closed" or receipt.created:
                if conversation.phase == "idle":
                    conversation.phase = "waiting"
                return receipt
            # It was closed while we did not look (a restart): this message begins a new one.
            self._renew(conversation)
        while True:
            contact = self._contact(conversation, words, files)
            receipt = await self._begin(conversation, contact)
            if receipt.state != "closed" or receipt.created:
                return receipt
            # A number that another page of this visitor had, before a restart.
            self._renew(conversation)

    async def _begin(self, conversation: Conversation, contact: NewContact) -> Receipt:
        # Before the call: what the router does about it may come before the receipt.
        conversation.phase = "waiting"
        try:
            receipt = await self.router.submit(contact)
        except OutcomeUnknown:
            # It may be there now: whatever is said next must join it.
            conversation.begun = True
            raise
        except BaseException:
            conversation.phase = "idle"
            raise
        conversation.begun = True
        return receipt

    def _contact(self, conversation: Conversation, words: Words, files: list[Held]) -> NewContact:
        # A message without words is called what its files are: the history has nothing else.
        return NewContact(
            external_id=conversation.external_id,
            customer=Address(address=conversation.address, name=conversation.name),
            to=self.config.to or self.name,
            entry_point=self.config.entry_point,
            attributes={**conversation.facts, "site": self.name, "origin": words.origin},
            # The page chose its part of the id: ours keeps one visitor's ids from another's.
            message=NewMessage(
                id=f"{conversation.external_id}/{words.id}",
                text=words.text if words.text.strip() else ", ".join(f.name for f in files),
                attachments=tuple(file.entry for file in files),
            ),
        )

    def _make(self, visitor: Visitor) -> Conversation:
        if len(self.conversations) >= self.config.conversations:
            self._make_room()
        conversation = Conversation(
            visitor.id,
            visitor.number,
            deque(maxlen=self.config.history),
            Bucket(self.config.messages_per_s, self.config.burst),
        )
        if self._resting.pop(visitor.id, "") == str(visitor.number):
            conversation.begun, conversation.phase = True, "talking"
        self.conversations[visitor.id] = conversation
        return conversation

    def _make_room(self) -> None:
        for visitor, conversation in self.conversations.items():
            if not conversation.pages and conversation.phase != "waiting":
                if conversation.phase == "talking":
                    self._resting[visitor] = str(conversation.number)
                self._drop(visitor)
                return
        raise ChannelError(f"{self.name} holds {self.config.conversations} visitors and is full")

    def _reopen(self, external_id: str, state: str) -> None:
        """A contact that the router has from before this process."""
        try:
            visitor = parts_of(external_id)
            if visitor.id in self.conversations:
                return
            conversation = self._make(visitor)
        except ChannelError:
            return  # not of this site, or more than there is room for
        conversation.begun = True
        conversation.phase = "talking" if state in ("active", "parked") else "waiting"

    def _conversation_of(self, task: Task) -> Conversation:
        visitor, number = parts_of(task.external_id)
        conversation = self.conversations.get(visitor)
        if conversation is None:
            conversation = self._make(Visitor(visitor, number))
            conversation.begun = True
            conversation.phase = "waiting"
            self._watch_absence(conversation)
        return conversation

    def _watch_absence(self, conversation: Conversation) -> None:
        if conversation.away is not None:
            conversation.away.cancel()
        if conversation.phase in ("idle", "ended") and not conversation.begun:
            self._drop(conversation.visitor)
            return
        conversation.away = asyncio.get_running_loop().call_later(
            self.config.away_s, self._gone, conversation
        )

    def _gone(self, conversation: Conversation) -> None:
        conversation.away = None
        if conversation.pages or not self.up:
            return
        if conversation.phase == "waiting":
            external_id = conversation.external_id
            self._end(conversation)
            with suppress(ChannelError):  # too many facts wait: the log says so
                self.facts.later(external_id, self.router.left, external_id, "away")
        if conversation.phase in ("idle", "ended"):
            self._drop(conversation.visitor)

    def _drop(self, visitor: str) -> None:
        conversation = self.conversations.pop(visitor, None)
        if conversation is not None and conversation.away is not None:
            conversation.away.cancel()

    def _renew(self, conversation: Conversation) -> None:
        conversation.number += 1
        conversation.begun = False
        conversation.phase = "idle"
        self._tell(conversation, Token(self._token(conversation)))

    def _join(self, conversation: Conversation) -> None:
        if conversation.phase != "talking":
            conversation.phase = "talking"
            self._tell(conversation, Joined())

    def _end(self, conversation: Conversation, text: str = "") -> None:
        if text:
            self._show(conversation, f"f:{conversation.external_id}", "router", text)
        conversation.phase = "ended"
        conversation.ask = None
        conversation.held = False
        conversation.files.clear()
        conversation.place = Place()
        self._tell(conversation, Ended())

    def _show(
        self, conversation: Conversation, id_: str, who: Who, text: str,
        files: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        message = Message(id_, who, text, _now_ms(), files)
        conversation.messages.append(message)
        self._tell(conversation, message)

    def _show_place(
        self, conversation: Conversation, position: int, wait_us: int, text: str
    ) -> None:
        # Rounded up: nobody is promised less than they will wait.
        wait_s = -1 if wait_us < 0 else -(-wait_us // 1_000_000)
        conversation.place = Place(position, wait_s, filled(text, position, wait_s))
        self._tell(conversation, conversation.place)

    def _tell(self, conversation: Conversation, frame: Down) -> None:
        for page in list(conversation.pages):
            page.send(frame)

    def _token(self, conversation: Conversation) -> str:
        visitor = Visitor(conversation.visitor, conversation.number)
        return self.signer.sign(visitor, _now_ms() // 1000)


def _now_ms() -> int:
    # The wall clock: tokens and the times that visitors read outlive this process.
    return int(datetime.now(UTC).timestamp() * 1000)
