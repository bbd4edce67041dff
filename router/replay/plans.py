"""What is still to come in a stage, and when: the given inputs, armed anew at each turn.

A turn is the beginning of a leg, an interruption, or its end. While the agent is interrupted the
clock of talk stands still, except for what came in the interruption itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from router.core import commands as c
from router.replay.recording import Given, Passed
from router.replay.stages import Kind, Stage

FLOATING = (
    c.ReceiveMessage,
    c.SendMessage,
    c.CollectInput,
    c.ReportInput,
    c.UpdateContact,
    c.WatchContact,
    c.LinkContact,
    c.SettleEffect,
)
"""Come at their time wherever the contact stands by then."""
BY_HAND = (
    c.ReprioritizeContact,
    c.MoveContact,
    c.RequireSkills,
    c.PullContact,
    c.CancelContact,
    c.RescheduleContact,
)
"""What supervisors did to a contact that nobody served."""
ENDS_SERVICE = (
    c.CompleteContact,
    c.AbandonContact,
    c.TransferContact,
    c.ParkContact,
    c.FailReservation,
    c.RequestCallback,
)


class Armed(NamedTuple):
    """An input and its moment."""

    at_us: int
    given: Given


class Plan:
    """The rest of one stage."""

    __slots__ = ("left", "passed", "stage", "turn")

    def __init__(self, stage: Stage, given: list[Given], passed: Passed | None) -> None:
        self.stage = stage
        self.left = list(given)
        self.passed = passed
        self.turn = 0

    def arm(self, now_us: int) -> Iterator[Armed]:
        """Moments of what is due in this leg; what was armed before is void."""
        self.turn += 1
        for given in self.left:
            if given.place.leg == self.stage.leg:
                at_us = self._moment(given)
                if at_us is not None:
                    yield Armed(max(at_us, now_us), given)

    def release(self, now_us: int, *, leg: int | None = None) -> Iterator[Armed]:
        """Take out what comes all the same when the leg (None: the stage) has ended too early."""
        self.turn += 1
        out = [g for g in self.left if isinstance(g.command, FLOATING)]
        if leg is not None:
            out = [given for given in out if given.place.leg <= leg]
        for given in out:
            self.left.remove(given)
            yield Armed(max(self._expected(given, now_us), now_us), given)

    def ends_itself(self) -> bool:
        """An input is to come in this leg or a later one that ends the service."""
        leg = self.stage.leg
        return any(
            given.place.leg >= leg
            and (
                isinstance(given.command, ENDS_SERVICE)
                or (isinstance(given.command, c.EndConsult) and given.command.hand_over)
            )
            for given in self.left
        )

    def connects_itself(self) -> bool:
        """An input is to come in this leg that brings the media up, or says that it failed."""
        wanted = (c.ConnectReservation, *ENDS_SERVICE)
        leg = self.stage.leg
        return any(g.place.leg == leg and isinstance(g.command, wanted) for g in self.left)

    def _moment(self, given: Given) -> int | None:
        """When it is due as things stand; None: not before the interruption is over."""
        stage, place = self.stage, given.place
        if not stage.since_us:
            return stage.leg_us + stage.paused_us + place.after_us
        talked_us = stage.since_us - stage.leg_us - stage.paused_us
        if place.after_us > talked_us or place.pause > stage.pauses:
            return None
        if place.after_us == talked_us and place.pause == stage.pauses:
            return stage.since_us + place.paused_us
        return stage.since_us

    def _expected(self, given: Given, now_us: int) -> int:
        """When a message comes that the stage did not last for."""
        stage, place = self.stage, given.place
        if stage.kind is not Kind.SERVE:
            return stage.began_us + place.after_us
        if place.leg > stage.leg:
            return now_us + place.after_us
        at = stage.place(now_us)
        return now_us + max(place.after_us - at.after_us, 0)
