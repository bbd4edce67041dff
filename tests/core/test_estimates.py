"""Estimated wait: bounds, memory, and its error in a simulated queue."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.estimates import (
    LONGEST_US,
    UNKNOWN,
    QueueEstimate,
    abandoned,
    answered,
    estimate_wait,
    handled,
    mean_error_us,
    recent_wait_us,
)
from router.core.model import DAY_US, MINUTE_US, SECOND_US

lengths = st.integers(0, DAY_US)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("answered"), lengths, st.integers(-1, DAY_US)),
        st.tuples(st.just("handled"), lengths, st.just(0)),
        st.tuples(st.just("abandoned"), lengths, st.just(0)),
    ),
    max_size=60,
)


def lived(history: list[tuple[str, int, int]]) -> QueueEstimate:
    row = QueueEstimate(id="care/voice")
    at_us = DAY_US
    for kind, length_us, promised_us in history:
        at_us += length_us // 3 + 1
        if kind == "answered":
            answered(row, length_us, promised_us, at_us)
        elif kind == "handled":
            handled(row, length_us)
        else:
            abandoned(row, length_us)
    return row


@given(steps, st.integers(1, 100_000), st.integers(0, 500), st.integers(0, 50))
def test_an_estimate_is_unknown_or_a_length_and_unknown_without_agents(
    history: list[tuple[str, int, int]], position: int, agents: int, room: int
) -> None:
    row = lived(history)
    before = msgspec.msgpack.encode(row)
    wait_us = estimate_wait(row, position, agents, room)
    assert wait_us == UNKNOWN or 0 <= wait_us <= LONGEST_US
    assert msgspec.msgpack.encode(row) == before
    assert estimate_wait(row, position, 0, room) == UNKNOWN
    assert estimate_wait(lived(history), position, agents, room) == wait_us


@given(steps, st.integers(1, 5_000), st.integers(1, 500), st.integers(0, 50), st.integers(1, 90))
def test_further_back_is_never_sooner_and_more_agents_or_room_never_later(
    history: list[tuple[str, int, int]], position: int, agents: int, room: int, more: int
) -> None:
    row = lived(history)
    wait_us = estimate_wait(row, position, agents, room)
    # Blocks of the sum end elsewhere for another position: allow a thousandth.
    slack_us = wait_us // 1000 + 1
    if room == 0 and wait_us != UNKNOWN:
        assert estimate_wait(row, position + more, agents, room) >= wait_us - slack_us
    assert estimate_wait(row, position, agents + more, room) <= wait_us + slack_us
    assert estimate_wait(row, position, agents, room + more) <= max(wait_us, 0) + slack_us


@given(steps)
def test_a_row_stays_below_600_bytes_and_survives_the_journal(
    history: list[tuple[str, int, int]],
) -> None:
    row = lived(history * 3)
    packed = msgspec.msgpack.encode(row)
    assert len(packed) <= 600
    assert msgspec.msgpack.decode(packed, type=QueueEstimate) == row


def test_a_queue_that_never_answered_promises_nothing() -> None:
    row = QueueEstimate(id="care/voice")
    assert estimate_wait(row, 1, 5, 0) == UNKNOWN
    assert recent_wait_us(row) == UNKNOWN
    assert mean_error_us(row) is None


def test_before_enough_answers_the_estimate_is_position_times_aht_by_agents() -> None:
    row = QueueEstimate(id="care/voice")
    handled(row, 300 * SECOND_US)
    assert estimate_wait(row, 4, 6, 0) == 200 * SECOND_US
    assert estimate_wait(row, 4, 6, 3) == 50 * SECOND_US
    assert estimate_wait(row, 4, 6, 4) == 0


def test_without_a_finished_contact_the_recent_median_stands_in() -> None:
    row = QueueEstimate(id="care/email")
    for wait_us in (5, 900, 70, 80, 90):
        answered(row, wait_us * SECOND_US, UNKNOWN, at_us=DAY_US + wait_us * 1000 * SECOND_US)
    assert recent_wait_us(row) == 80 * SECOND_US
    assert estimate_wait(row, 3, 2, 0) == 80 * SECOND_US


def test_the_error_is_promised_against_real() -> None:
    row = QueueEstimate(id="care/voice")
    for _ in range(300):
        answered(row, 40 * SECOND_US, 30 * SECOND_US, at_us=DAY_US)
        answered(row, 20 * SECOND_US, 40 * SECOND_US, at_us=DAY_US)
        answered(row, 99 * SECOND_US, UNKNOWN, at_us=DAY_US)
    errors = mean_error_us(row)
    assert errors is not None
    bias_us, absolute_us = errors
    assert bias_us == pytest.approx(-5 * SECOND_US, rel=0.05)
    assert absolute_us == pytest.approx(15 * SECOND_US, rel=0.05)


def test_the_sum_over_a_long_line_equals_its_terms() -> None:
    row = QueueEstimate(id="care/voice")
    handled(row, 300 * SECOND_US)
    for _ in range(50):
        abandoned(row, 120 * SECOND_US)
    theta = row.abandons / (row.exposure_us + 30 * MINUTE_US)
    for position in (1, 2, 9, 17, 100, 2000):
        exact = sum(1 / (10 / (300 * SECOND_US) + i * theta) for i in range(position))
        assert estimate_wait(row, position, 10, 0) == pytest.approx(exact, rel=2e-3)


def test_a_night_in_the_line_is_not_the_pace_of_work() -> None:
    row = QueueEstimate(id="care/email")
    handled(row, 100 * SECOND_US)
    for n in range(60):
        answered(row, 3600 * SECOND_US, UNKNOWN, at_us=DAY_US + n * 10 * SECOND_US)
    evening_us = estimate_wait(row, 10, 10, 0)
    assert evening_us == pytest.approx(100 * SECOND_US, rel=0.02)
    answered(row, 16 * 3600 * SECOND_US, UNKNOWN, at_us=DAY_US + 15 * 3600 * SECOND_US)
    assert estimate_wait(row, 10, 10, 0) < 1.3 * evening_us


def test_a_quiet_hour_without_waiting_contacts_is_not_the_pace_either() -> None:
    row = QueueEstimate(id="care/voice")
    handled(row, 100 * SECOND_US)
    for n in range(60):
        answered(row, 2 * SECOND_US, UNKNOWN, at_us=DAY_US + n * 60 * SECOND_US)
    assert estimate_wait(row, 10, 10, 0) == 100 * SECOND_US


@dataclass
class Line:
    """FIFO line before `servers` exponential servers: M/M/c, with patience M/M/c+M.

    `ours` is the share of arrivals that belong to the queue under test; the others wait in the
    same line for the same agents, as another queue's contacts do.
    """

    servers: int
    load: float
    patience_s: float = 0.0
    ours: float = 1.0
    service_s: float = 180.0
    row: QueueEstimate = field(default_factory=lambda: QueueEstimate(id="care/voice"))
    estimate_errors: list[float] = field(default_factory=list)
    naive_errors: list[float] = field(default_factory=list)

    def run(self, arrivals: int, seed: int) -> None:
        random = Random(seed)
        rate = self.load * self.servers / self.service_s
        ends: list[float] = []
        waiting: deque[tuple[float, float, bool, int, float]] = deque()
        now = 86_400.0
        for number in range(arrivals):
            now += random.expovariate(rate)
            self._serve(now, ends, waiting, random, learned=number > arrivals // 5)
            mine = random.random() < self.ours
            leaves = now + (random.expovariate(1 / self.patience_s) if self.patience_s else 1e12)
            promised, naive = -1, -1.0
            if mine and (len(ends) == self.servers):
                position = 1 + sum(item[2] for item in waiting)
                promised = estimate_wait(self.row, position, self.servers, 0)
                aht_us = self.row.handle_us / self.row.handles if self.row.handles else UNKNOWN
                naive = position * aht_us / self.servers
            waiting.append((now, leaves, mine, promised, naive))
            self._serve(now, ends, waiting, random, learned=number > arrivals // 5)

    def _serve(
        self,
        until: float,
        ends: list[float],
        waiting: deque[tuple[float, float, bool, int, float]],
        random: Random,
        *,
        learned: bool,
    ) -> None:
        while True:
            free_at = ends[0] if len(ends) == self.servers else until
            for item in [item for item in waiting if item[1] <= min(free_at, until)]:
                waiting.remove(item)
                if item[2]:
                    abandoned(self.row, int((item[1] - item[0]) * SECOND_US))
            if free_at > until:
                return
            if len(ends) == self.servers:
                heapq.heappop(ends)
            if not waiting:
                while ends and ends[0] <= until:
                    heapq.heappop(ends)
                return
            start, _, mine, promised, naive = waiting.popleft()
            begin = max(free_at, start)
            service = random.expovariate(1 / self.service_s)
            heapq.heappush(ends, begin + service)
            if mine:
                wait_us = int((begin - start) * SECOND_US)
                answered(self.row, wait_us, promised, int(begin * SECOND_US))
                handled(self.row, int(service * SECOND_US))
                if learned and promised >= 0 and naive >= 0:
                    self.estimate_errors.append(abs(wait_us - promised))
                    self.naive_errors.append(abs(wait_us - naive))

    def ratio(self) -> float:
        """Mean absolute error of the estimate by that of position x AHT / agents."""
        assert len(self.estimate_errors) > 500
        return sum(self.estimate_errors) / sum(self.naive_errors)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_impatient_customers_the_estimate_beats_position_times_aht_by_agents(
    seed: int,
) -> None:
    line = Line(servers=10, load=1.2, patience_s=240.0)
    line.run(4000, seed)
    assert line.ratio() < 0.9


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_agents_shared_between_queues_the_estimate_beats_it_by_far(seed: int) -> None:
    line = Line(servers=10, load=0.97, ours=0.3)
    line.run(8000, seed)
    assert line.ratio() < 0.7


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_the_plain_queue_where_that_rule_is_the_best_possible_the_estimate_comes_close(
    seed: int,
) -> None:
    line = Line(servers=10, load=0.95)
    line.run(6000, seed)
    assert line.ratio() < 1.05


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_published_error_is_that_of_the_latest_promises(seed: int) -> None:
    line = Line(servers=5, load=1.1, patience_s=300.0)
    line.run(2000, seed)
    errors = mean_error_us(line.row)
    assert errors is not None
    recent = line.estimate_errors[-150:]
    assert errors[1] == pytest.approx(sum(recent) / len(recent), rel=0.5)
    assert abs(errors[0]) <= errors[1]
