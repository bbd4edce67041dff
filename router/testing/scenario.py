"""Scenarios: small stories that an operations manager can read, with the transcript that must come.

A file holds blocks: lines of input, ``----``, and the events that followed, one a line, up to the
next empty line. ``run(text)`` plays the inputs and returns the text with fresh transcripts, so a
story is right when it comes back unchanged. The words are listed in `INPUTS` and `SETTINGS`
(`scenario_words.py`); lengths are written ``20s``, ``5m``, ``4h``; levels ``en=3`` for an agent and
``en>=3`` for a contact. Every story is also read by the auditor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from router.core import commands as c
from router.core import events as e
from router.core.engine import Engine, Outcome
from router.core.model import (
    SECOND_US,
    AgentId,
    ContactId,
    Direction,
    Presence,
    QueueId,
    ReservationId,
    ReservationState,
)
from router.core.state import ROWS, State
from router.errors import Refused
from router.testing.auditor import Auditor
from router.testing.scenario_calls import CALLS
from router.testing.scenario_outbound import facts, outbound_terms, provided
from router.testing.scenario_words import SETTINGS, Settings, Words, event_line, length_us

START_US = int(datetime(2026, 1, 5, 8, 0, tzinfo=ZoneInfo("UTC")).timestamp()) * SECOND_US
"""A Monday morning, unless a story says ``start``."""
MOST_TURNS = 1000


class ScenarioError(ValueError):
    """The story itself is wrong; says in which line."""


def run(text: str, name: str = "scenario", story: Story | None = None) -> str:
    """Play a story; returns its text with the transcripts as they came out.

    Raises ScenarioError naming file and line for words that are not known, AssertionError when the
    auditor objects to what the engine did. `story`, a fresh one, can be asked questions afterwards.
    """
    story = story or Story()
    out: list[str] = []
    in_transcript = False
    for number, line in enumerate(text.splitlines(), 1):
        if in_transcript:
            if line.strip():
                continue
            in_transcript = False
        out.append(line)
        if line.strip() == "----":
            out.extend(story.transcript())
            in_transcript = True
        elif line.strip() and not line.startswith("#"):
            try:
                story.play(line)
            except (ValueError, KeyError) as error:
                raise ScenarioError(f"{name}:{number}: {line.strip()!r}: {error}") from error
    left = story.transcript()
    assert left == ["   (nothing)"], f"{name}: no ---- after the last input: {left}"
    violations = story.violations()
    assert not violations, f"{name}: " + "\n".join(violations)
    return "\n".join(out) + "\n"


class Story:
    """Settings, an engine once the first person appears, and what was not yet written down."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.zone = ZoneInfo("UTC")
        self.start_us = self.now_us = START_US
        self.commands: list[c.Command] = []
        """All that was asked of the engine."""
        self._engine: Engine | None = None
        self._auditor: Auditor | None = None
        self._rows: dict[tuple[str, str], bytes] = {}
        self._lines: list[str] = []
        self._frame: list[e.Event] = []

    def play(self, line: str) -> None:
        """One line of input."""
        verb, *rest = line.split()
        words = Words(rest)
        if verb in SETTINGS:
            SETTINGS[verb](self.settings, words)
            words.finish()
            if self._engine is not None:
                self._handle(c.ApplyPolicy(policy=self.settings.policy()))
        elif verb in INPUTS:
            for command in INPUTS[verb](self, words):
                words.finish()
                self._handle(command)
        else:
            raise ValueError(f"no such word: {verb!r}")

    def transcript(self) -> list[str]:
        """The events since the last call, in words."""
        lines, self._lines = self._lines, []
        return lines or ["   (nothing)"]

    def violations(self) -> list[str]:
        """What the auditor objects to."""
        return [str(v) for v in self._auditor.violations] if self._auditor else []

    @property
    def engine(self) -> Engine:
        """Built when first needed: settings come before people."""
        if self._engine is None:
            policy = self.settings.policy()
            self._engine, self._auditor = Engine(policy), Auditor(policy)
        return self._engine

    def at(self, text: str) -> int:
        """A moment: ``+10m`` from now."""
        return self.now_us + length_us(text.removeprefix("+"))

    def pass_time(self, until_us: int) -> None:
        """Deadlines on the way come at their moments."""
        while (due_us := self.engine.next_deadline()) is not None and due_us <= until_us:
            self.now_us = max(self.now_us, due_us)
            self._advance()
            self._commit()
        self.now_us = until_us

    def restart(self) -> None:
        """The process dies and starts again from its rows."""
        state = State()
        for (kind, _), data in self._rows.items():
            state.load(kind, msgspec.msgpack.decode(data, type=ROWS[kind]))
        self._engine = Engine(self.settings.policy(), state)
        assert self._auditor is not None
        self._auditor.recovered(self.now_us)
        self._take(self._engine.resume(self.now_us))
        self._advance()
        self._commit()

    def set_start(self, words: Words) -> None:
        """``start 2026-03-27 16:59 Europe/Berlin``."""
        day, time = words.name("date"), words.name("time")
        self.zone = ZoneInfo(words.name("zone"))
        self.start_us = self.now_us = self._moment(day, time)

    def wait(self, words: Words) -> None:
        """``wait 20s`` or ``wait until 2026-03-30 09:00``."""
        first = words.name("length")
        if first == "until":
            self.pass_time(self._moment(words.name("date"), words.name("time")))
        else:
            self.pass_time(self.at(first))

    def served_by(self, contact: str) -> AgentId:
        """The agent who has this contact."""
        for reservation in self.engine.state.reservations.values():
            offered = reservation.state is ReservationState.OFFERED
            if reservation.contact == contact and not offered:
                return reservation.agent
        return AgentId("")

    def _moment(self, day: str, time: str) -> int:
        local = datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=self.zone)
        return int(local.timestamp()) * SECOND_US

    def _handle(self, command: c.Command) -> None:
        engine = self.engine
        assert self._auditor is not None
        self.commands.append(command)
        self._advance()
        if isinstance(command, c.ApplyPolicy):
            self._auditor.expect_policy(command.policy)
        try:
            self._take(engine.handle(command, self.now_us))
        except Refused as refusal:
            self._lines.append(f"   refused ({refusal.code}): {refusal}")
        pulled = command.contact if isinstance(command, c.PullContact) else ""
        self._advance()
        self._commit(pulled)

    def _advance(self) -> None:
        for _ in range(MOST_TURNS):
            due_us = self.engine.next_deadline()
            if due_us is None or due_us > self.now_us:
                return
            self._take(self.engine.advance(self.now_us))
        raise AssertionError(f"a deadline is still due after {MOST_TURNS} turns")

    def _take(self, outcome: Outcome) -> None:
        self._frame += outcome.events
        for event in outcome.events:
            self._lines.append(event_line(event, self.start_us))
        if self.settings.show_effects:
            for effect in outcome.effects:
                shown = {k: v for k, v in msgspec.to_builtins(effect).items() if v not in ("", 0)}
                name = shown.pop("type")
                pairs = ", ".join(f"{k} {v}" for k, v in shown.items() if not k.endswith("_us"))
                self._lines.append(f"             -> {name}: {pairs}")

    def _commit(self, pulled: str = "") -> None:
        assert self._auditor is not None
        frame, self._frame = self._frame, []
        changes = self.engine.state.drain()
        for kind, id_, row in changes.upserts:
            self._rows[kind, id_] = msgspec.msgpack.encode(row)
        for key in changes.deletes:
            self._rows.pop(key, None)
        if frame:
            self._auditor.frame(frame, self.now_us, pulled=pulled)


Play = Callable[[Story, Words], Iterator[c.Command]]


def _agent(_: Story, words: Words) -> Iterator[c.Command]:
    agent = AgentId(words.name("agent"))
    offline = words.flag("offline")
    yield c.PutAgent(
        agent=agent,
        name=agent,
        profile=words.text("profile", "all"),
        capacity=words.number("capacity", 0),
        maximum=words.group("maximum", int),
        endpoints=words.group("endpoint", str),
        auto_accept=tuple(part for part in words.text("auto", "").split("+") if part),
        skills=words.levels(),
    )
    if not offline:
        yield c.SetPresence(agent=agent, presence=Presence.READY)


def _presence(presence: Presence) -> Play:
    def play(_: Story, words: Words) -> Iterator[c.Command]:
        agent = AgentId(words.name("agent"))
        yield c.SetPresence(agent=agent, presence=presence, reason=words.rest())

    return play


def _submit(story: Story, words: Words) -> c.SubmitContact:
    contact = ContactId(words.name("contact"))
    channel = words.one_of(story.settings.channels, "voice")
    prefer, _, hold = words.text("prefer", "").partition(":")
    at, until = words.text("at", ""), words.text("until", "")
    only_queue = next(iter(story.settings.queues))
    return c.SubmitContact(
        contact=contact,
        channel=channel,
        direction=Direction.OUTBOUND if words.flag("outbound") else Direction.INBOUND,
        facts=facts(words, story.at),
        outbound=outbound_terms(words, story.at),
        queue=QueueId(words.text("queue", only_queue)),
        customer=words.text("customer", ""),
        requirements=words.requirements(),
        tier=words.number("tier", None),
        head_start_us=words.length("head", 0),
        not_before_us=story.at(at) if at else 0,
        not_after_us=story.at(until) if until else 0,
        external_id=words.text("external", ""),
        peer_key=words.text("from", ""),
        prefer_agent=AgentId(prefer),
        prefer_us=length_us(hold) if hold else 0,
        target_agent=AgentId(words.text("target", "")),
    )


def _contact(story: Story, words: Words) -> Iterator[c.Command]:
    yield _submit(story, words)


def _message(story: Story, words: Words) -> Iterator[c.Command]:
    """``message m2 c2 sms from=ann``: joins ann's open contact, else begins c2."""
    message = words.name("message")
    yield c.ReceiveMessage(message=message, size=len(message), contact=_submit(story, words))


def _write(story: Story, words: Words) -> Iterator[c.Command]:
    contact = ContactId(words.name("contact"))
    message = words.name("message")
    agent = story.served_by(contact)
    yield c.SendMessage(contact=contact, message=message, size=len(message), agent=agent)


def _of_contact(make: Callable[[ContactId, str], c.Command]) -> Play:
    """A verb, a contact, and what is left of the line as the reason."""

    def play(_: Story, words: Words) -> Iterator[c.Command]:
        yield make(ContactId(words.name("contact")), words.rest())

    return play


def _of_reservation(make: Callable[[ReservationId], c.Command]) -> Play:
    def play(_: Story, words: Words) -> Iterator[c.Command]:
        yield make(ReservationId(words.name("reservation")))

    return play


def _fail(_: Story, words: Words) -> Iterator[c.Command]:
    reservation = ReservationId(words.name("reservation"))
    busy = words.flag("busy")
    yield c.FailReservation(reservation=reservation, reason=words.rest() or "leg failed", busy=busy)


def _extend(_: Story, words: Words) -> Iterator[c.Command]:
    reservation = ReservationId(words.name("reservation"))
    yield c.ExtendWrapUp(reservation=reservation, by_us=length_us(words.name("length")))


def _transfer(_: Story, words: Words) -> Iterator[c.Command]:
    yield c.TransferContact(
        contact=ContactId(words.name("contact")),
        queue=QueueId(words.text("queue", "")),
        target_agent=AgentId(words.text("agent", "")),
        requirements=words.requirements() or None,
    )


def _prioritize(_: Story, words: Words) -> Iterator[c.Command]:
    yield c.ReprioritizeContact(
        contact=ContactId(words.name("contact")),
        tier=words.number("tier", None),
        head_start_us=words.length("head", None),
    )


def _require(_: Story, words: Words) -> Iterator[c.Command]:
    contact = ContactId(words.name("contact"))
    yield c.RequireSkills(contact=contact, requirements=words.requirements())


def _pull(_: Story, words: Words) -> Iterator[c.Command]:
    contact = ContactId(words.name("contact"))
    yield c.PullContact(contact=contact, agent=AgentId(words.name("agent")))


def _callback(story: Story, words: Words) -> Iterator[c.Command]:
    at, until = words.text("at", ""), words.text("until", "")
    yield c.RequestCallback(
        contact=ContactId(words.name("contact")),
        callback=ContactId(words.name("callback")),
        channel=words.one_of(story.settings.channels, "voice"),
        not_before_us=story.at(at) if at else 0,
        not_after_us=story.at(until) if until else 0,
        keep_place=not words.flag("new"),
    )


def _reschedule(story: Story, words: Words) -> Iterator[c.Command]:
    contact = ContactId(words.name("contact"))
    yield c.RescheduleContact(contact=contact, not_before_us=story.at(words.name("length")))


def _switch(story: Story, words: Words) -> Iterator[c.Command]:
    yield c.SwitchChannel(
        contact=ContactId(words.name("contact")),
        channel=words.one_of(story.settings.channels, ""),
        queue=QueueId(words.text("queue", "")),
    )


def _route(story: Story, words: Words) -> Iterator[c.Command]:
    yield c.AskRoute(
        request=words.name("request"),
        channel=words.one_of(story.settings.channels, "voice"),
        queue=QueueId(words.text("queue", next(iter(story.settings.queues)))),
        requirements=words.requirements(),
    )


def _collect(_: Story, words: Words) -> Iterator[c.Command]:
    contact = ContactId(words.name("contact"))
    yield c.CollectInput(contact=contact, name=words.name("name"), prompt=words.rest())


def _input(_: Story, words: Words) -> Iterator[c.Command]:
    contact = ContactId(words.name("contact"))
    yield c.ReportInput(contact=contact, name=words.name("name"), value=words.name("value"))


def _live(_: Story, words: Words) -> Iterator[c.Command]:
    channel = words.name("channel")
    yield c.ReportLive(channel=channel, external_ids=tuple(words.rest().split()))


def _update(_: Story, words: Words) -> Iterator[c.Command]:
    """``update c1 mood=3``: attributes of a contact."""
    contact = ContactId(words.name("contact"))
    yield c.UpdateContact(contact=contact, attributes=dict(words.levels()))


def _provide(story: Story, words: Words) -> Iterator[c.Command]:
    """``provide c1 p1 window=sms:+1d:+25h``: the runtime brings the customer, and what it knows."""
    yield provided(words, story.at)


def _settle(_: Story, words: Words) -> Iterator[c.Command]:
    """``settle c1 failed``: what became of an effect on this contact."""
    contact = ContactId(words.name("contact"))
    result = words.name("result")
    yield c.SettleEffect(
        effect=f"effect-{contact}",
        result=result,
        contact=contact,
        reservation=ReservationId(words.text("reservation", "")),
        message=words.text("message", ""),
        reason=words.rest(),
    )


def _pause(_: Story, words: Words) -> Iterator[c.Command]:
    """``pause-channel sms nonsense comes in``: by a supervisor, for a reason."""
    channel = words.name("channel")
    yield c.PauseChannel(channel=channel, reason=words.rest(), by="sue")


def _step_us(text: str) -> int:
    """``+5m`` or ``-5m``."""
    return length_us(text.lstrip("+-")) * (-1 if text.startswith("-") else 1)


def _off_stage(act: Callable[[Story, Words], None]) -> Play:
    """Inputs that are not commands."""

    def play(story: Story, words: Words) -> Iterator[c.Command]:
        act(story, words)
        words.finish()
        yield from ()

    return play


INPUTS: dict[str, Play] = {
    **CALLS,
    "start": _off_stage(Story.set_start),
    "wait": _off_stage(Story.wait),
    "restart": _off_stage(lambda story, _: story.restart()),
    "agent": _agent,
    "ready": _presence(Presence.READY),
    "away": _presence(Presence.NOT_READY),
    "offline": _presence(Presence.OFFLINE),
    "contact": _contact,
    "message": _message,
    "write": _write,
    "abandon": _of_contact(lambda id_, reason: c.AbandonContact(contact=id_, reason=reason)),
    "cancel": _of_contact(lambda id_, reason: c.CancelContact(contact=id_, reason=reason)),
    "complete": _of_contact(lambda id_, reason: c.CompleteContact(contact=id_, reason=reason)),
    "park": _of_contact(lambda id_, reason: c.ParkContact(contact=id_, reason=reason)),
    "requeue": _of_contact(lambda id_, reason: c.RequeueContact(contact=id_, reason=reason)),
    "watch": _of_contact(lambda id_, _: c.WatchContact(contact=id_)),
    "accept": _of_reservation(lambda id_: c.AcceptOffer(reservation=id_)),
    "reject": _of_reservation(lambda id_: c.RejectOffer(reservation=id_)),
    "connect": _of_reservation(lambda id_: c.ConnectReservation(reservation=id_)),
    "finish": _of_reservation(lambda id_: c.FinishWrapUp(reservation=id_)),
    "fail": _fail,
    "extend": _extend,
    "transfer": _transfer,
    "prioritize": _prioritize,
    "move": _of_contact(lambda id_, to: c.MoveContact(contact=id_, queue=QueueId(to))),
    "require": _require,
    "pull": _pull,
    "callback": _callback,
    "reschedule": _reschedule,
    "switch": _switch,
    "link": _of_contact(lambda id_, there: c.LinkContact(contact=id_, external_id=there)),
    "audit": lambda _, words: iter((c.RecordAudit(action=words.name("action"), by=words.rest()),)),
    "route": _route,
    "collect": _collect,
    "input": _input,
    "live": _live,
    "settle": _settle,
    "update": _update,
    "provide": _provide,
    "clock": lambda _, words: iter((c.StepClock(by_us=_step_us(words.name("length"))),)),
    "pause-channel": _pause,
    "resume-channel": lambda _, words: iter(
        (c.ResumeChannel(channel=words.name("channel"), by="sue"),)
    ),
    "lost": lambda _, words: iter((c.DeskLost(agent=AgentId(words.name("agent"))),)),
    "back": lambda _, words: iter((c.DeskBack(agent=AgentId(words.name("agent"))),)),
    "dismiss": lambda _, words: iter((c.RemoveAgent(agent=AgentId(words.name("agent"))),)),
}
"""What may happen in a story."""
