"""The desk socket: docs/desk-protocol.md, agent and supervisor mode."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from router.api import bodies as b
from router.api.actions import (
    BY_NAME,
    Action,
    Asked,
    audited_as,
    check_owner,
    is_audited,
    perform,
    subject,
)
from router.api.audit import AuditRow, audit_write
from router.api.auth import Principal, Role
from router.api.board import Board
from router.api.channel_views import pause_views
from router.api.hub import OVER, event_view
from router.api.problems import ApiError, socket_error
from router.api.tenant import Tenant
from router.api.views import ContactView, reservation_view
from router.api.websocket import (
    BAD_FRAME,
    FORBIDDEN,
    NO_TOKEN,
    NOT_SERVED,
    REPLACED,
    TOO_SLOW,
    Link,
)
from router.api.wire import Malformed, typed
from router.core.model import AgentId, ContactId, ContactState
from router.core.statistics import FORMULAS
from router.errors import Invalid, NotFound, RouterError, StoreFull
from router.journal import ArchiveWrite
from router.runtime.clock import Timer
from router.runtime.desks import DeskSession, Typing
from router.runtime.tasks import TaskSet

if TYPE_CHECKING:
    from router.api.http import Api

CIDS = 256
IN_FLIGHT = 64
MEMORIES = 20_000
MEMORY_US = 600 * 1_000_000
SIGNED_US = 12 * 3600 * 1_000_000
"""So long after its welcome a desk may go on with its session at another node."""
NUMBERS_US = 1_000_000
"""So long after the end of an offer or a reservation its agent's numbers are told anew."""
TYPING_US = 2 * 1_000_000
"""Typing in a contact is passed on so often at most."""
SUPERVISOR_ONLY = frozenset(
    ["cancel", "move", "reprioritize", "require", "reschedule", "monitor", "stop_monitor",
     "pause_channel", "resume_channel"]
)  # fmt: skip
AGENT_ONLY = frozenset({"accept", "reject", "consult", "end_consult", "conference"})
NOT_AT_DESKS = frozenset(
    ["connected", "failed", "hung_up", "abandon", "collect", "input", "recording_ended"]
)


class Memory:
    """What is kept of a session between its connections."""

    __slots__ = ("answers", "link", "resume", "session", "token", "used_at_us")

    def __init__(self, token: str, now_us: int) -> None:
        self.session = "s" + secrets.token_hex(8)
        self.resume = secrets.token_urlsafe(24)
        self.token = token
        self.answers: OrderedDict[str, dict[str, Any] | None] = OrderedDict()
        """By cid; None = under way."""
        self.link: Link | None = None
        self.used_at_us = now_us


class Memories:
    """Sessions that may be resumed: for ten minutes after their connection broke.

    With several nodes what a desk resumes by is signed, and good on each of them: another node
    knows nothing of the session but that it was one, and that is enough to go on as the same.
    """

    def __init__(self, secret: bytes = b"") -> None:
        """`secret` is what nodes have in common; empty = there is one only."""
        self._by_resume: OrderedDict[str, Memory] = OrderedDict()
        self._key = hmac.digest(secret, b"desks resume", "sha256") if secret else b""

    def take(self, resume: str, token: str, now_us: int) -> tuple[Memory, bool]:
        """The session to go on with, or a new one. A session belongs to its token."""
        known = self._by_resume.get(resume) if resume else None
        if known is not None and known.token == token:
            self._by_resume.move_to_end(resume)
            known.used_at_us = now_us
            return known, True
        memory = Memory(token, now_us)
        session = self._signed_for(resume, token, now_us)
        if self._key:
            memory.session = session or memory.session
            memory.resume = self._sign(memory.session, token, now_us)
        self._keep(memory, now_us)
        return memory, bool(session)

    def _sign(self, session: str, token: str, at_us: int) -> str:
        mac = hmac.digest(self._key, f"{session} {token} {at_us}".encode(), "sha256").hex()
        return f"{session}.{at_us}.{mac}"

    def _signed_for(self, resume: str, token: str, now_us: int) -> str:
        """The session that another node has signed for this token lately; empty = none."""
        session, _, rest = resume.partition(".")
        at, _, _ = rest.partition(".")
        if not self._key or not resume.isascii() or not at.isdecimal() or len(at) > 18:
            return ""
        is_good = hmac.compare_digest(self._sign(session, token, int(at)), resume)
        return session if is_good and int(at) > now_us - SIGNED_US else ""

    def _keep(self, memory: Memory, now_us: int) -> None:
        while self._by_resume:
            oldest = next(iter(self._by_resume.values()))
            old = oldest.link is None and oldest.used_at_us < now_us - MEMORY_US
            if not old and len(self._by_resume) < MEMORIES:
                break
            self._by_resume.popitem(last=False)
        self._by_resume[memory.resume] = memory


async def serve_desk(
    api: Api,
    request: web.Request,
    socket: web.WebSocketResponse,
    link: Link,
    hello: b.HelloBody,
    who: Principal,
) -> None:
    """One connection, after its hello. Raises ApiError and RouterError before the welcome."""
    mode = hello.mode or ("agent" if who.role is Role.AGENT else "supervisor")
    allowed = {Role.AGENT} if mode == "agent" else {Role.SUPERVISOR, Role.ADMIN}
    if who.role not in allowed:
        link.close(FORBIDDEN, f"role {who.role} has no {mode} mode")
        return
    tenant = api.tenant_of(who)
    try:
        await tenant.workspace.settled()
        memory, resumed = api.memories.take(hello.resume, who.token, api.clock.now_us())
        if memory.link is not None:
            memory.link.close(REPLACED, "a newer connection of this session")
        memory.link = link
        desk = Desk(api, tenant, who, link, memory, mode, api.address(request))
        link.on_tick = desk.tick
        try:
            if mode == "agent":
                await desk.open_agent(hello, resumed)
            else:
                await desk.open_board(resumed)
            tenant.hub.pauses.join(link)
            tenant.hub.store.join(link)
            await desk.converse(socket)
        finally:
            await desk.shut()
    except StoreFull:  # memory is ahead of the store: nobody may see it, but why can be said
        link.tell(tenant.hub.store.frame())
        raise


class Desk:
    """One connection of an agent or a supervisor."""

    def __init__(
        self,
        api: Api,
        tenant: Tenant,
        who: Principal,
        link: Link,
        memory: Memory,
        mode: str,
        address: str,
    ) -> None:
        self._api = api
        self._address = address
        """Where the connection comes from, for the audit."""
        self._tenant = tenant
        self._who = who
        self._link = link
        self._memory = memory
        self._mode = mode
        self._agent = AgentId(who.agent)
        self._session: DeskSession | None = None
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._tasks = TaskSet("desk")
        self._directory = 0
        """The version that this desk has."""
        self._typed: tuple[str, int] = ("", 0)
        """The contact for which typing was passed on last, and when."""
        self._numbers: Timer | None = None
        """When the agent's numbers are told next, besides every ten seconds."""

    # --- coming and going -----------------------------------------------------------------------

    async def open_agent(self, hello: b.HelloBody, resumed: bool) -> None:
        """Sign the screen in and send the full state. Raises NotFound for a removed agent."""
        tenant = self._tenant
        self._session = await tenant.desks.open(self._agent)
        self._tasks.spawn(self._watch(self._session), "session")
        contacts = await self._contacts()
        missed: list[dict[str, Any]] = []
        more = False
        if resumed and hello.epoch == tenant.workspace.epoch and hello.last_seq > 0:
            missed, more = self._missed(hello.last_seq)
        elif resumed:
            more = True  # it was at another node: what happened there meanwhile is not known here
        # From here to `join` nothing waits, so that no event falls between welcome and pushes.
        row = tenant.state.agents.get(self._agent)
        reservations = tenant.reservations_of(self._agent)
        ids = self._mine()
        views = [contacts[id_] if id_ in contacts else self._view(id_) for id_ in ids]
        welcome = self._welcome(resumed) | {
            "agent": tenant.agent(row) if row is not None else {"id": self._agent},
            "reservations": [reservation_view(r) for r in reservations],
            "contacts": [view for view in views if view is not None],
            "shift": self._shift(),
            "missed": missed,
            "missed_more": more,
        }
        self._greet(welcome)
        tenant.hub.join(self._agent, self, ids)

    async def open_board(self, resumed: bool) -> None:
        """Send the snapshot; deltas follow."""
        board = self._tenant.board()
        self._greet(self._welcome(resumed) | {"board": board.snapshot(), "formulas": FORMULAS})
        board.join(self._link)

    async def shut(self) -> None:
        """The connection is gone."""
        if self._memory.link is self._link:
            self._memory.link = None
        self._memory.used_at_us = self._api.clock.now_us()
        self._tenant.hub.leave(self._agent, self)
        self._tenant.hub.pauses.leave(self._link)
        self._tenant.hub.store.leave(self._link)
        board: Board | None = self._tenant.hub.board
        if board is not None:
            board.leave(self._link)
        await self._tasks.stop()
        if self._session is not None:
            await self._tenant.desks.shut(self._session)
        if self._numbers is not None:
            self._numbers.cancel()

    async def _watch(self, session: DeskSession) -> None:
        while items := await session.pull():
            for item in items:  # offers reach the screen as events
                if isinstance(item, Typing):
                    self._link.tell({"type": "typing", "contact": item.contact})
        # When the server stops, all sockets are told and closed together.
        if session.closed not in {"", "gone", "stopping"}:
            codes = {"full": TOO_SLOW, "replaced": REPLACED}
            self._link.close(codes.get(session.closed, NOT_SERVED), session.closed)

    def push(self, frame: dict[str, Any]) -> None:
        """Show an event."""
        self._link.tell(frame)
        if self._numbers is None and isinstance(frame["event"], OVER):
            clock = self._api.clock
            self._numbers = clock.call_at(clock.now_us() + NUMBERS_US, self._tell_time)

    def tick(self) -> None:
        """Every ten seconds: alive, still allowed, directory still right."""
        workspace = self._tenant.workspace
        if not self._api.tokens.is_current(self._who, self._api.clock.now_us()):
            self._link.close(NO_TOKEN, "this token has expired or was revoked")
            return
        if workspace.stopped:
            self._link.close(NOT_SERVED, workspace.stopped)
            return
        self._tell_time()
        directory = self._tenant.hub.directory
        if directory.look() != self._directory:
            self._link.send(directory.since(self._directory, self._link.is_msgpack))
            self._directory = directory.version

    def _tell_time(self) -> None:
        """How far this connection is; and to an agent, the numbers of the shift."""
        if self._numbers is not None:
            self._numbers.cancel()
            self._numbers = None
        workspace = self._tenant.workspace
        frame = {"type": "tick", "epoch": workspace.epoch, "seq": workspace.seq}
        if self._mode == "agent":
            frame["shift"] = self._shift()
        self._link.tell(frame | {"now_us": workspace.now_us()})

    def _shift(self) -> dict[str, object]:
        tenant = self._tenant
        return tenant.measures.shift(self._agent, tenant.workspace.now_us())

    # --- the welcome ----------------------------------------------------------------------------

    def _greet(self, welcome: dict[str, Any]) -> None:
        """A large directory follows as a frame of its own: one piece of memory for all desks."""
        directory, link = self._tenant.hub.directory, self._link
        if not directory.is_large:
            welcome["directory"] = directory.whole(link.is_msgpack)
        link.tell(welcome)
        if directory.is_large:
            link.send(directory.since(0, link.is_msgpack))

    def _welcome(self, resumed: bool) -> dict[str, Any]:
        workspace = self._tenant.workspace
        self._directory = self._tenant.hub.directory.look()
        return {
            "type": "welcome",
            "version": 1,
            "mode": self._mode,
            "workspace": workspace.name,
            "session": self._memory.session,
            "resume": self._memory.resume,
            "resumed": resumed,
            "epoch": workspace.epoch,
            "seq": workspace.seq,
            "now_us": workspace.now_us(),
            "ping_s": 10,
            "dead_s": 25,
            "paused": pause_views(self._tenant),
        }

    def _mine(self) -> list[ContactId]:
        tenant = self._tenant
        ids: dict[ContactId, None] = {}
        for reservation in tenant.reservations_of(self._agent):
            ids[reservation.contact] = None
            row = tenant.state.contacts.get(reservation.contact)
            if row is not None and row.consult:
                ids[row.consult] = None
        ids.update(dict.fromkeys(tenant.parked_of(self._agent)))
        return list(ids)

    def _view(self, id_: ContactId) -> ContactView | None:
        row = self._tenant.state.contacts.get(id_)
        return None if row is None else self._tenant.contact(row, clear=True)

    async def _contacts(self) -> dict[ContactId, ContactView]:
        """This agent's contacts with their messages, and closed ones that are wrapped up."""
        tenant = self._tenant
        await tenant.workspace.settled()
        histories: dict[ContactId, Any] = {}
        closed: dict[ContactId, ContactView] = {}
        for id_ in self._mine():
            histories[id_] = await tenant.history(id_)
            if id_ not in tenant.state.contacts:
                row = await tenant.intake.contact(id_)
                if row is not None and row.state is ContactState.CLOSED:
                    closed[id_] = tenant.contact(row, clear=True, messages=histories[id_])
        await tenant.workspace.settled()
        views = dict(closed)
        for id_ in self._mine():
            view = self._view(id_)
            if view is not None:
                view.messages = histories.get(id_, [])
                views[id_] = view
        return views

    def _missed(self, last_seq: int) -> tuple[list[dict[str, Any]], bool]:
        """What happened to this agent since `last_seq`, for telling; the state is elsewhere."""
        found, more = self._tenant.hub.trail.since(self._agent, last_seq)
        epoch = self._tenant.workspace.epoch
        return [
            {"type": "event", "epoch": epoch, "seq": seq, "event": event_view(event)}
            for seq, event in found
        ], more

    # --- commands -------------------------------------------------------------------------------

    async def converse(self, socket: web.WebSocketResponse) -> None:
        """Take commands until the socket closes."""
        async for message in socket:
            if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                return
            try:
                frame = self._link.decode(message.data)
                if type(frame) is not dict:
                    raise Malformed("expected an object")
            except RouterError as error:
                self._link.close(BAD_FRAME, str(error))
                return
            if frame.get("type") == "typing":
                self._agent_types(frame.get("contact"))
                continue
            cid = frame.pop("cid", None)
            if type(cid) is not str or not 1 <= len(cid) <= 64:
                self._link.close(BAD_FRAME, "expected `cid`: text of 1 to 64 characters")
                return
            if cid in self._memory.answers:
                known = self._memory.answers[cid]
                if known is not None:
                    self._link.tell(known)
                continue
            self._remember(cid, None)
            await self._room.acquire()
            self._tasks.spawn(self._command(cid, frame), "command")

    def _agent_types(self, contact: Any) -> None:
        """The customer sees it; no answer, no trace. Too often, or not theirs: passed over."""
        now_us = self._api.clock.now_us()
        last, at_us = self._typed
        if type(contact) is not str or (last == contact and now_us - at_us < TYPING_US):
            return
        self._typed = (contact, now_us)
        self._api.limits.charge(self._who.token, now_us)
        self._tenant.channels.agent_typing(ContactId(contact), self._agent)

    def _remember(self, cid: str, answer: dict[str, Any] | None) -> None:
        answers = self._memory.answers
        answers[cid] = answer
        while len(answers) > CIDS:
            answers.popitem(last=False)

    async def _command(self, cid: str, frame: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"type": "answer", "cid": cid}
        try:
            self._api.limits.charge(self._who.token, self._api.clock.now_us())
            action, asked, body = self._asked(frame)
            done, extra = await perform(action, asked, body, self._audit(action, asked, body))
            answer |= {"ok": True, "seq": done.seq, **extra}
        except asyncio.CancelledError:
            self._memory.answers.pop(cid, None)
            raise
        except NotFound as error:
            answer |= {"ok": False, "error": socket_error(self._api.unsure() or error)}
        except (ApiError, RouterError) as error:
            answer |= {"ok": False, "error": socket_error(error)}
        except Exception as error:  # the edge: log once, show an id
            answer |= {"ok": False, "error": socket_error(error)}
        finally:
            self._room.release()
        if answer.get("error", {}).get("code") in UNDECIDED:
            self._memory.answers.pop(cid, None)  # may be sent again under the same cid
        else:
            self._remember(cid, answer)
        link = self._memory.link or self._link  # resumed meanwhile: the newer one hears it
        link.tell(answer)

    def _audit(self, action: Action, asked: Asked, body: b.Body) -> tuple[ArchiveWrite, ...]:
        """As over HTTP: what a supervisor does leaves a row."""
        if self._mode == "agent" or not is_audited(asked, action):
            return ()
        row = AuditRow(
            at_us=asked.now_us,
            action=audited_as(action),
            by=self._who.by,
            subject=subject(asked, action, body),
            address=self._address,
        )
        return (audit_write(row),)

    def _asked(self, frame: dict[str, Any]) -> tuple[Action, Asked, Any]:
        """The action that a frame means. Raises Invalid, ApiError, NotFound."""
        name = frame.pop("type", None)
        action = BY_NAME.get(name) if type(name) is str else None
        if action is None or action.name in NOT_AT_DESKS:
            raise Invalid("invalid", f"no command {name!r:.40} at a desk")
        agent_mode = self._mode == "agent"
        if action.name in (SUPERVISOR_ONLY if agent_mode else AGENT_ONLY):
            raise ApiError(403, "forbidden", f"{action.name} is not for {self._mode} mode")
        if action.target == "agent":
            named = frame.pop("agent", self._agent)
            id_ = named if not agent_mode else self._agent
        else:
            id_ = frame.pop(action.target, None)
        if type(id_) is not str or not 1 <= len(id_) <= 200:
            raise Invalid("invalid", f"expected `{action.target}`: an id")
        asked = Asked(self._tenant, self._who, id_, self._api.clock.now_us())
        body = typed(frame, action.body)
        check_owner(asked, action)
        return action, asked, body


UNDECIDED = frozenset(
    {"overloaded", "outcome_unknown", "store_full", "rate_limited", "unavailable"}
)
"""Answers that are not kept under their cid: the command may be sent again."""
