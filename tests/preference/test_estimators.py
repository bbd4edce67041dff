"""The ladder by hand, and the kernel model against the textbook's formulas written out."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from router.preference.archive import averages
from router.preference.evidence import read
from router.preference.expectation import Expectation, ExpectationSettings
from router.preference.gpl import Gpl, GplSettings, _by_place
from router.preference.kernel import HOURS
from router.preference.ladder import PART, Ladder
from router.preference.outcomes import Outcome, OutcomeWeights, Weight
from router.preference.prior import Prior, PriorTables
from router.preference.profile import ATTEMPTS, Endpoint, Profile

NOW = 60_480  # a Monday, 00:00
VOICE, SMS, SECOND = Endpoint(0, 1), Endpoint(1, 1), Endpoint(0, 2, 1)
ELSEWHERE = Endpoint(1, 3, 2)
ALL = np.arange(HOURS)
Hours = tuple[int, ...]
Matrix = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def tables() -> PriorTables:
    prior = Prior(2, 2)
    rng = np.random.default_rng(5)
    for number in range(3000):
        slot = int(rng.integers(HOURS))
        prior.observe(number % 2, slot % 2, number % 3, NOW + slot, float(rng.random() < 0.3))
        prior.observe_inbound(slot % 2, NOW + slot)
    return prior.tables()


TABLES = tables()


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_the_ladder_can_be_followed_by_hand() -> None:
    profile = Profile()
    for day, outcome in ((1, Outcome.ANSWERED), (2, Outcome.IGNORED)):
        profile.record_attempt(VOICE, NOW - 24 * day + 9, outcome)  # Sunday, Saturday at 9
    profile.record_attempt(SMS, NOW - 24 * 3 + 9, Outcome.REPLIED)  # Friday at 9

    def p(endpoint: Endpoint, slot: int) -> float:
        level = TABLES.level[0, endpoint.channel, slot] + TABLES.rank[endpoint.channel, 0]
        return 1 / (1 + math.exp(-level))

    ages = {144 + 9: 15 / 24, 120 + 9: 39 / 24, 96 + 9: 63 / 24}
    fade = {slot: math.exp(-age / 66) for slot, age in ages.items()}
    voice_e = fade[153] * p(VOICE, 153) + fade[129] * p(VOICE, 129)
    sms_e = fade[105] * p(SMS, 105)
    customer = math.log((fade[153] + fade[105] + 19.9) / (voice_e + sms_e + 19.9))
    here = math.log((fade[153] + 1.66) / (voice_e * math.exp(customer) + 1.66))
    part = math.log((fade[153] + 0.72) / (voice_e * math.exp(customer + here) + 0.72))
    wanted = logit(p(VOICE, 154)) + 1.2 * (customer + here + part)
    scores = Ladder().score(profile, TABLES, 0, [VOICE], np.array([154, 20]), NOW)
    assert PART[154] == PART[129] == PART[153] == 4
    assert scores.mean[0, 0] == pytest.approx(wanted)
    part = math.log(0.72 / 0.72)  # Monday at 20: another part of the day, nothing tried
    assert scores.mean[0, 1] == pytest.approx(logit(p(VOICE, 20)) + 1.2 * (customer + here))


def like(scales: tuple[tuple[float, float], ...]) -> Matrix:
    """Likeness of each two hours of the week, one by one."""

    def of(one: int, two: int) -> float:
        chord = 24 / math.pi * abs(math.sin(math.pi * (one - two) / 24))
        days = 0.58 + 0.30 * ((one >= 120) == (two >= 120)) + 0.12 * (one // 24 == two // 24)
        return days * sum(s * math.exp(-(chord**2) / (2 * scale**2)) for s, scale in scales)

    return np.array([[of(one, two) for two in range(HOURS)] for one in range(HOURS)])


LIKE, LIKE_CAME = like(GplSettings().scales_h), like(ExpectationSettings().scales_h)


def slow_start(profile: Profile, asked: list[Endpoint], endpoint: Endpoint, hours: Hours) -> float:
    """The prior and what inbound contacts add to it, by the definition; the mean over hours."""
    wants = ExpectationSettings()
    level = [float(TABLES.level[1, endpoint.channel, hour]) for hour in hours]
    start = sum(level) / len(level) + float(TABLES.rank[endpoint.channel, endpoint.rank])
    came = [
        (visit.endpoint, visit.hour % HOURS, math.exp((visit.hour - NOW) / 24 / wants.fade_days))
        for visit in profile.inbound_events()
    ]
    if not came:
        return start
    total = sum(share for _, _, share in came)
    usual = LIKE_CAME @ TABLES.inbound_hour
    at_hours = [
        wants.hour_pull + sum(f * LIKE_CAME[at, hour] / usual[at] for _, at, f in came)
        for hour in hours
    ]
    shape = [wants.hour * math.log(here / (wants.hour_pull + total)) for here in at_hours]
    by_channel = sum(f for e, _, f in came if e.channel == endpoint.channel)
    share = by_channel / float(TABLES.inbound_channel[endpoint.channel])
    pull = wants.channel_pull
    channel = wants.channel * math.log((pull + share) / (pull + total))
    address = 0.0
    if endpoint in asked:
        beside = sum(e.channel == endpoint.channel for e in asked)
        here = sum(f for e, _, f in came if e[:2] == endpoint[:2])
        pull = wants.address_pull
        address = wants.address * math.log((pull + here * beside) / (pull + by_channel))
    return start + sum(shape) / len(shape) + channel + address


def slow_gpl(
    profile: Profile, weights: OutcomeWeights, asked: list[Endpoint], slot: int
) -> list[tuple[float, float]]:
    """Means and variances by the definition: covariances one by one, inverses of whole matrices."""
    wants = GplSettings()

    def fade(days: float) -> float:
        return sum(share * math.exp(-days / scale) for share, scale in wants.fades_days)

    def covariance(a: Endpoint, s: Hours, b: Endpoint, t: Hours, apart: float) -> float:
        channel, address = a.channel == b.channel, a.address == b.address
        level = wants.everything + wants.channel * channel + wants.address * address
        slope = wants.hour + wants.channel_hour * channel + wants.address_hour * address
        return float(level + slope * LIKE[np.ix_(s, t)].mean()) * fade(apart)

    events = [e for e in profile.events() if weights.weight[e.outcome]]
    age = [(NOW - e.hour) / 24 for e in events]
    where: list[tuple[Endpoint, Hours]] = [(e.endpoint, (e.hour % HOURS,)) for e in events]
    y = [float(weights.target[e.outcome]) for e in events]
    n = [float(weights.weight[e.outcome]) for e in events]
    for of, cell in profile.older_counts():
        age.append((NOW - cell.hour) / 24)
        where.append((of, tuple(h for h in range(HOURS) if averages()[cell.hours - HOURS][h])
                      if cell.hours >= HOURS else (cell.hours,)))  # fmt: skip
        y.append(cell.successes / cell.attempts)
        n.append(cell.attempts)
    k = np.array(
        [
            [covariance(*a, *b, abs(s - t)) for b, t in zip(where, age, strict=True)]
            for a, s in zip(where, age, strict=True)
        ]
    )
    target, weight = np.array(y), np.array(n)
    m = np.array([slow_start(profile, asked, *a) for a in where])
    p = 1 / (1 + np.exp(-m))
    f = k @ (weight * (target - p)) / (1 + k @ (weight * p * (1 - p)))
    p = 1 / (1 + np.exp(-(m + f)))
    v = np.maximum(p * (1 - p), 1e-3)
    inverse = np.linalg.inv(k + np.diag(1 / (weight * v)))
    alpha = np.zeros(len(y))
    for _ in range(2):
        p = 1 / (1 + np.exp(-(m + f)))
        alpha = inverse @ (f + (target - p) / v)
        f = k @ alpha
    here, found = (slot,), []
    for endpoint in asked:
        cross = np.array(
            [covariance(endpoint, here, *b, t) for b, t in zip(where, age, strict=True)]
        )
        total = covariance(endpoint, here, endpoint, here, 0.0)
        mean = slow_start(profile, asked, endpoint, here) + float(cross @ alpha)
        found.append((mean, total - float(cross @ inverse @ cross)))
    return found


@settings(max_examples=12, deadline=None)
@given(st.sampled_from([1, 5, 16, 17, 32, 33, 48, 64, 80, 150]), st.integers(0, 2**32 - 1))
@example(150, 2)
@example(64, 3)
def test_the_kernel_model_is_the_written_out_one(attempts: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    profile, known = Profile(), [VOICE, SMS, SECOND, ELSEWHERE]
    for number in range(attempts):
        outcome = Outcome(int(rng.integers(len(Outcome))))
        hour = NOW - 100 * (attempts - number) + int(rng.integers(80))
        profile.record_attempt(known[rng.integers(4)], hour, outcome)
    for _ in range(int(rng.integers(40))):
        profile.record_inbound(known[rng.integers(4)], NOW - int(rng.integers(1, 5000)))
    assert bool(profile.older) == (attempts > 64)
    assume(len(profile.events()) > sum(e.outcome is Outcome.PENDING for e in profile.events()))
    weights = OutcomeWeights({Outcome.REFUSED: Weight(0.4, 2.5)})
    asked = [VOICE, SMS, SECOND]  # an address that is gone counts for the others
    slots = np.unique(rng.integers(HOURS, size=int(rng.integers(1, 200))))
    scores = Gpl(weights=weights).score(profile, TABLES, 1, asked, slots, NOW)
    for column in rng.integers(len(slots), size=3):
        wanted = slow_gpl(profile, weights, asked, int(slots[column]))
        for row, (mean, variance) in enumerate(wanted):
            assert scores.mean[row, column] == pytest.approx(mean, abs=1e-9)
            assert scores.variance[row, column] == pytest.approx(variance, abs=1e-9)
            p = 1 / (1 + math.exp(-mean / math.sqrt(1 + math.pi / 8 * variance)))
            assert scores.p[row, column] == pytest.approx(p, abs=1e-9)


def test_a_product_too_great_for_one_thread_is_the_same_in_pieces() -> None:
    rng = np.random.default_rng(8)
    count, places, hours = 64, 12, HOURS
    like, turned = rng.random((count, hours)), rng.random((count, count))
    place, slope = np.sort(rng.integers(places, size=count)), rng.random((9, places))
    wanted = np.einsum("js,jk,ej->esk", like, turned, slope[:, place])
    assert _by_place(like, turned, place, slope) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("model", [Gpl(), Ladder()], ids=["gpl", "ladder"])
def test_a_stranger_gets_the_prior(model: Gpl | Ladder) -> None:
    scores = model.score(Profile(), TABLES, 1, [VOICE, SMS], ALL, NOW)
    wanted = TABLES.level[1] + TABLES.rank[:, :1]
    assert scores.mean == pytest.approx(wanted)
    assert scores.variance == pytest.approx(scores.unknown)
    assert scores.effective == 0


@pytest.mark.parametrize("model", [Gpl(), Ladder()], ids=["gpl", "ladder"])
def test_success_at_an_hour_raises_its_neighbours_and_fades_with_age(
    model: Gpl | Ladder,
) -> None:
    def gain(weeks: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        profile = Profile()
        for number in range(4):
            profile.record_attempt(VOICE, NOW - 168 * (weeks + number) + 33, Outcome.ANSWERED)
        stranger = model.score(Profile(), TABLES, 0, [VOICE, SMS], ALL, NOW)
        return np.asarray(
            model.score(profile, TABLES, 0, [VOICE, SMS], ALL, NOW).mean - stranger.mean
        )

    fresh, old = gain(1), gain(60)
    assert fresh[0, 33] > 0.5
    assert fresh[0, 33] > fresh[1, 33] > 0
    assert fresh[0, 33] >= fresh[0, 34] > fresh[0, 44]
    assert fresh[0, 33] > 2 * old[0, 33] > 0


def test_inbound_contacts_bend_the_hour_and_the_channel_and_hardly_the_level() -> None:
    profile = Profile()
    for week in range(1, 9):
        profile.record_inbound(SMS, NOW - 168 * week + 33)
    places = [VOICE, SMS, SECOND]

    def at(settings: ExpectationSettings, profile: Profile) -> Matrix:
        tried, came = read(profile, NOW, OutcomeWeights())
        return np.asarray(Expectation(settings).of(tried, came, TABLES, 0, places).at(ALL))

    plain = at(ExpectationSettings(), Profile())
    shift = at(ExpectationSettings(), profile) - plain
    assert shift[1, 33] > shift[1, 45] + 1
    assert shift[1, 33] > shift[0, 33] + 0.5
    nothing = ExpectationSettings(hour=0, channel=0, address=0)
    assert at(nothing, profile) == pytest.approx(plain)


events = st.tuples(
    st.sampled_from([VOICE, SMS, SECOND]),
    st.integers(NOW - 40, NOW - 1),
    st.sampled_from(Outcome),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(events, min_size=1, max_size=64) | st.lists(events, min_size=65, max_size=120),
    st.randoms(use_true_random=False),
)
def test_the_answer_does_not_depend_on_the_order_of_arrival(
    log: list[tuple[Endpoint, int, Outcome]], random: Random
) -> None:
    """Of all that is remembered one by one; of more, the order within each hour does not matter."""
    shuffled = list(log)
    random.shuffle(shuffled)
    if len(log) > ATTEMPTS:
        log.sort(key=lambda event: event[1])
        shuffled.sort(key=lambda event: event[1])
    for model in (Gpl(), Ladder()):
        answers = []
        for order in (log, shuffled):
            profile = Profile()
            for event in order:
                profile.record_attempt(*event)
            answers.append(model.score(profile, TABLES, 0, [VOICE, SMS, SECOND], ALL, NOW).p)
        assert np.abs(answers[0] - answers[1]).max() <= 1e-9


def test_pending_attempts_say_nothing() -> None:
    profile = Profile()
    profile.record_attempt(VOICE, NOW - 9, Outcome.PENDING)
    scores = Gpl().score(profile, TABLES, 0, [VOICE], ALL, NOW)
    assert (scores.mean == Gpl().score(Profile(), TABLES, 0, [VOICE], ALL, NOW).mean).all()


@pytest.mark.parametrize(
    ("outcome", "weight", "message"),
    [
        (Outcome.BUSY, Weight(1.5, 1.0), "outcome BUSY: target 0 to 1, got 1.5"),
        (Outcome.BUSY, Weight(0.5, 9.0), "outcome BUSY: weight 0 to 4, got 9.0"),
        (Outcome.PENDING, Weight(0.0, 1.0), "outcome PENDING: weight 0"),
    ],
)
def test_weights_that_make_no_sense_are_refused(
    outcome: Outcome, weight: Weight, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        OutcomeWeights({outcome: weight})
