"""Patience is censored by answers: what is drawn must follow the law that made the record."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from router.core import commands as c
from router.core import events as e
from router.core.model import SECOND_US, AgentId, ContactId, Presence
from router.replay.patience import PRESENT_LEAST, Curve, Patience, Wait
from tests.replay.records import Day, again, read, write
from tests.replay.test_changed import CARE, POLICY, care, s

MEAN_S = 60.0


def record(rng: Random, count: int, patience_s: float, answer_s: float) -> list[Wait]:
    """Whichever comes first, leaving or the answer; both exponential."""
    waits = []
    for _ in range(count):
        leaves, answered = rng.expovariate(1 / patience_s), rng.expovariate(1 / answer_s)
        waits.append(Wait(round(min(leaves, answered) * SECOND_US), leaves < answered))
    return waits


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_finds_the_law_behind_the_censoring(seed: int) -> None:
    count = 3000
    curve = Curve(record(Random(seed), count, MEAN_S, 40.0))
    for at_s in (10, 30, 60, 90):
        true = math.exp(-at_s / MEAN_S)
        present = count * math.exp(-at_s * (1 / MEAN_S + 1 / 40.0))
        error = 3.5 * math.sqrt(true * (1 - true) / present)
        assert curve.share(at_s * SECOND_US) == pytest.approx(true, abs=error)


def test_the_estimate_is_the_product_worked_out_by_hand() -> None:
    # Left at 2 and 5, answered at 3 and 6: S(2) = 3/4, S(5) = 3/4 * 1/2.
    four = [Wait(2, True), Wait(3, False), Wait(5, True), Wait(6, False)]
    curve = Curve(four * PRESENT_LEAST)
    assert [curve.share(at) for at in (1, 2, 4, 5, 6)] == [1, 0.75, 0.75, 0.375, 0.375]
    assert curve.rate == pytest.approx(2 / 16)
    assert curve.share(8) == pytest.approx(0.375 * math.exp(-2 * 2 / 16))


@pytest.mark.parametrize("seed", range(5))
def test_who_has_waited_already_waits_on_by_the_law(seed: int) -> None:
    curve = Curve(record(Random(seed), 4000, MEAN_S, 40.0))
    rng = Random(seed + 100)
    for beyond_s in (0, 30, 120):
        beyond_us = beyond_s * SECOND_US
        drawn = [curve.draw(rng, beyond_us) for _ in range(4000)]
        assert all(length is not None and length > beyond_us for length in drawn)
        mean_s = sum((length or 0) - beyond_us for length in drawn) / len(drawn) / SECOND_US
        assert mean_s == pytest.approx(MEAN_S, rel=0.17)  # the exponential has no memory


def test_beyond_the_waits_seen_people_leave_at_the_mean_rate() -> None:
    rng = Random(3)
    waits = [
        Wait(min(length, 30 * SECOND_US), length < 30 * SECOND_US)
        for length in (round(rng.expovariate(1 / MEAN_S) * SECOND_US) for _ in range(5000))
    ]
    curve = Curve(waits)
    drawn = sorted(curve.draw(rng) or 0 for _ in range(5000))
    assert drawn[2500] / SECOND_US == pytest.approx(MEAN_S * math.log(2), rel=0.08)
    assert drawn[4500] / SECOND_US == pytest.approx(MEAN_S * math.log(10), rel=0.08)


def test_where_nobody_left_nobody_leaves_and_few_borrow_their_channels_curve() -> None:
    patience = Patience(
        {
            ("mail", "email"): [Wait(10**9, False)] * 50,
            ("care", "voice"): [Wait(60, True)] * 40 + [Wait(30, False)] * 25,
            ("rare", "voice"): [Wait(30, False)] * 5,
        }
    )
    assert patience.curve("mail", "email")[1].draw(Random(1)) is None
    assert patience.curve("care", "voice")[0] == "care/voice"
    name, curve = patience.curve("rare", "voice")
    assert name == "voice"
    assert curve.draw(Random(1), 30) == 60


@pytest.mark.parametrize("seed", range(3))
async def test_a_replay_in_which_nobody_is_answered_shows_the_patience_behind_the_record(
    tmp_path: Path, seed: int
) -> None:
    rng = Random(seed)
    day = Day(POLICY)
    agent = AgentId("ana")
    day.at(s(0), c.PutAgent(agent=agent, profile="care", capacity=100_000, maximum={"line": 999}))
    day.at(s(0), c.SetPresence(agent=agent, presence=Presence.READY))
    moments: list[tuple[float, int, str]] = []
    for number in range(1200):
        comes = number * 0.5
        leaves, answered = rng.expovariate(1 / MEAN_S), rng.uniform(1, 19)
        moments.append((comes, number, "comes"))
        moments.append((comes + min(leaves, answered), number, "leaves"))
        if answered < leaves:
            moments[-1] = (comes + answered, number, "answered")
            moments.append((comes + answered + 30, number, "done"))
    offers: dict[int, e.ContactOffered] = {}
    for at, number, what in sorted(moments):
        contact = ContactId(f"c{number}")
        if what == "comes":
            submit = c.SubmitContact(contact=contact, channel="line", queue=CARE)
            found = day.at(s(at), submit)
            offers[number] = next(x for x in found if isinstance(x, e.ContactOffered))
        elif what == "answered":
            day.at(s(at), c.AcceptOffer(reservation=offers[number].reservation))
        elif what == "leaves":
            day.at(s(at), c.AbandonContact(contact=contact))
        else:
            day.at(s(at), c.CompleteContact(contact=contact))
    day.at(s(3000), c.RecordAudit(action="end of the day"))
    policy = replace(POLICY, queues=care(offer_timeout_us=3600 * SECOND_US).queues)
    await write(tmp_path, day.frames)
    recording, _ = read(tmp_path, policy)
    changed, _ = again(recording, care(requirements=(("fr", 1),)), seed=seed)
    came = {x.contact: x.at_us for x in changed if isinstance(x, e.ContactReceived)}
    left = sorted(x.at_us - came[x.contact] for x in changed if isinstance(x, e.ContactClosed))
    assert len(left) == 1200
    worst = max(
        abs((rank + 0.5) / len(left) - (1 - math.exp(-length / SECOND_US / MEAN_S)))
        for rank, length in enumerate(left)
    )
    assert worst < 0.08  # Kolmogorov's distance; the rate stands on some 180 who left
