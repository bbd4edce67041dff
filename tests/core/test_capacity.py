from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.core.capacity import (
    Load,
    has_room,
    most,
    next_ramp_us,
    ramped,
    room_masks,
    to_suspend,
    total_units,
)
from router.core.model import (
    SECOND_US,
    Agent,
    AgentId,
    ContactId,
    QueueId,
    Reservation,
    ReservationId,
    ReservationState,
)
from router.core.policy import Channel, Policy, default_channels

CHANNELS = default_channels()
POLICY = Policy(version="v", channels=CHANNELS)
BITS = [(1 << i, channel) for i, channel in enumerate(CHANNELS.values())]
ANA = Agent(id=AgentId("ana"))


def reservation(
    number: int, channel: str, state: ReservationState = ReservationState.CONNECTED, at: int = 0
) -> Reservation:
    cost = CHANNELS[channel].cost
    return Reservation(
        id=ReservationId(f"r{number}"),
        contact=ContactId(f"c{number}"),
        agent=ANA.id,
        queue=QueueId("q"),
        channel=channel,
        state=state,
        units=0 if state is ReservationState.SUSPENDED else cost,
        cost=cost,
        accepted_at_us=at,
    )


def loaded(*reservations: Reservation) -> Load:
    load = Load()
    for each in reservations:
        load.add(each)
    return load


def room(load: Load, agent: Agent = ANA, policy: Policy = POLICY) -> set[str]:
    return {n for n, ch in policy.channels.items() if has_room(agent, load, ch, policy, 0)}


def test_one_call_fills_an_agent_and_three_chats_leave_no_room_for_a_fourth() -> None:
    assert room(loaded()) == {"voice", "chat", "sms", "email"}
    assert room(loaded(reservation(1, "voice"))) == set()
    chats = [reservation(i, "chat") for i in range(3)]
    assert room(loaded(*chats)) == set()
    assert room(loaded(*chats[:2])) == {"chat", "sms", "email"}


def test_an_agents_own_numbers_come_before_the_defaults() -> None:
    strong = Agent(id=AgentId("s"), capacity=200, maximum={"voice": 2})
    assert total_units(strong, POLICY) == 200
    assert most(strong, CHANNELS["voice"]) == 2
    assert "voice" in room(loaded(reservation(1, "voice")), strong)
    never = Agent(id=AgentId("n"), maximum={"sms": 0})
    assert "sms" not in room(loaded(), never)


def test_what_was_added_can_be_removed_again() -> None:
    first, second = reservation(1, "chat"), reservation(2, "sms")
    load = loaded(first, second)
    load.remove(first)
    assert (load.units, load.counts["chat"], load.counts["sms"]) == (20, 0, 1)
    assert list(load.reservations) == ["r2"]


def test_a_call_suspends_mail_and_the_latest_accepted_goes_first() -> None:
    load = loaded(*(reservation(i, "email", at=i) for i in range(1, 4)))
    chosen = to_suspend(ANA, load, CHANNELS["voice"], POLICY, 0)
    assert [r.id for r in chosen] == ["r3", "r2", "r1"]


def test_no_more_is_suspended_than_must_be() -> None:
    agent = Agent(id=AgentId("b"), capacity=115)
    load = loaded(*(reservation(i, "email", at=i) for i in range(1, 4)))
    chosen = to_suspend(agent, load, CHANNELS["voice"], POLICY, 0)
    assert [r.id for r in chosen] == ["r3", "r2"]


def test_nothing_is_suspended_when_that_would_not_be_enough() -> None:
    load = loaded(reservation(1, "email"), reservation(2, "chat"))
    assert to_suspend(ANA, load, CHANNELS["voice"], POLICY, 0) == []


def test_chat_interrupts_nothing_and_a_mail_that_still_rings_is_not_interrupted() -> None:
    mails = [reservation(i, "email") for i in range(10)]
    assert to_suspend(ANA, loaded(*mails), CHANNELS["chat"], POLICY, 0) == []
    ringing = loaded(reservation(1, "email", ReservationState.OFFERED))
    assert to_suspend(ANA, ringing, CHANNELS["voice"], POLICY, 0) == []


def test_interruption_does_not_pass_the_channels_maximum() -> None:
    agent = Agent(id=AgentId("b"), capacity=200)
    load = loaded(reservation(1, "voice"), *(reservation(i, "email") for i in range(2, 12)))
    assert to_suspend(agent, load, CHANNELS["voice"], POLICY, 0) == []


def test_suspended_work_is_listed_earliest_first() -> None:
    late, early = (reservation(i, "email", ReservationState.SUSPENDED) for i in (1, 2))
    late.suspended_at_us, early.suspended_at_us = 20, 10
    assert loaded(late, early, reservation(3, "email")).suspended() == [early, late]


def test_a_ramp_opens_one_more_at_a_time_until_the_maximum() -> None:
    chat = Channel(name="chat", cost=10, maximum=3, ramp_us=60 * SECOND_US)
    agent = Agent(id=AgentId("a"), ready_at_us=1000)
    assert ramped(agent, chat, 1000) == 1
    assert ramped(agent, chat, 1000 + 60 * SECOND_US) == 2
    assert next_ramp_us(agent, chat, 1000) == 1000 + 60 * SECOND_US
    assert next_ramp_us(agent, chat, 1000 + 119 * SECOND_US) == 1000 + 120 * SECOND_US
    assert next_ramp_us(agent, chat, 1000 + 120 * SECOND_US) is None
    assert next_ramp_us(agent, CHANNELS["chat"], 1000) is None
    assert not has_room(agent, loaded(reservation(1, "chat")), chat, POLICY, 1000)


STATES = st.sampled_from(sorted({*ReservationState} - {ReservationState.DONE}))
HELD = st.lists(st.tuples(st.sampled_from(sorted(CHANNELS)), STATES, st.integers(0, 9)), max_size=8)


@given(
    HELD, st.integers(0, 250), st.dictionaries(st.sampled_from(sorted(CHANNELS)), st.integers(0, 4))
)
def test_the_masks_say_what_the_plain_rules_say(
    held: list[tuple[str, ReservationState, int]], capacity: int, maximum: dict[str, int]
) -> None:
    agent = Agent(id=AgentId("a"), capacity=capacity, maximum=maximum)
    load = loaded(*(reservation(i, ch, state, at) for i, (ch, state, at) in enumerate(held)))
    true, interrupted = room_masks(agent, load, BITS, POLICY, 0)
    for bit, channel in BITS:
        fits = has_room(agent, load, channel, POLICY, 0)
        makes_room = bool(to_suspend(agent, load, channel, POLICY, 0))
        assert bool(true & bit) == fits
        assert bool(interrupted & bit) == (makes_room and not fits)
        if makes_room:
            freed = sum(r.units for r in to_suspend(agent, load, channel, POLICY, 0))
            assert load.units - freed + channel.cost <= total_units(agent, POLICY)
