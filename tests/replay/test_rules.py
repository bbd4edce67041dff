"""Past traffic through other rules: facts and what was asked for come from the log."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from router.core import commands as c
from router.core import events as e
from router.core.model import SECOND_US, AgentId, ContactId, Presence, QueueId
from router.core.policy import Policy, Profile, ProfileQueue, Queue, default_channels
from router.core.rules.book import Rule, RuleBook
from router.core.rules.verbs import Then
from router.replay.fates import Fates
from router.replay.report import moved
from tests.core.ruled import book, known, rule, segment
from tests.replay.records import Day, again, decided, read, write

START_US = 1_773_133_200_000_000
Q, BILLING = QueueId("q"), QueueId("billing")
LOYAL = segment("loyal", "customer.contacts > 5", then=Then(head_start_us=60 * SECOND_US))
BILLS = rule(
    "bills", 'has(contact.attributes.topic) && contact.attributes.topic == "bill"', queue="billing"
)


def policy(*rules: Rule, segments: bool = True) -> Policy:
    rules_: RuleBook = book(*rules, segments=(LOYAL,) if segments else ())
    return Policy(
        version="v",
        channels=default_channels(),
        queues={Q: Queue(id=Q), BILLING: Queue(id=BILLING)},
        profiles={
            "front": Profile(id="front", queues=(ProfileQueue(queue=Q),)),
            "bills": Profile(id="bills", queues=(ProfileQueue(queue=BILLING),)),
        },
        rules=rules_,
    )


def s(seconds: float) -> int:
    return START_US + round(seconds * SECOND_US)


def offered(events: list[e.Event]) -> list[e.ContactOffered]:
    return [event for event in events if isinstance(event, e.ContactOffered)]


def a_day(settings: Policy) -> Day:
    """Ana at the front, Bo for bills. Two wait for each; the later one is loyal."""
    day = Day(settings)
    for number, (name, topic, contacts) in enumerate(
        (("plain", "", 1), ("loyal", "", 9), ("bill", "bill", 1), ("bill2", "bill", 1))
    ):
        day.at(
            s(10 + number),
            c.SubmitContact(
                contact=ContactId(name),
                channel="chat",
                queue=Q,
                attributes={"topic": topic} if topic else {},
                facts=known(contacts=contacts),
            ),
        )
    for name, profile in (("ana", "front"), ("bo", "bills")):
        day.at(
            s(30),
            c.PutAgent(agent=AgentId(name), profile=profile, capacity=33, maximum={"chat": 1}),
        )
    offers: list[e.ContactOffered] = []
    for name in ("ana", "bo"):
        offers += offered(
            day.at(s(31), c.SetPresence(agent=AgentId(name), presence=Presence.READY))
        )
    for taken_s, done_s in ((33, 60), (62, 90)):
        for offer in offers:
            day.at(s(taken_s), c.AcceptOffer(reservation=offer.reservation))
        served, offers = offers, []
        for offer in served:
            offers += offered(day.at(s(done_s), c.CompleteContact(contact=offer.contact)))
    day.at(s(100))
    return day


async def columns(tmp_path: Path, old: Policy, new: Policy) -> tuple[Fates, Fates, list[e.Event]]:
    await write(tmp_path, a_day(old).frames)
    recording, happened = read(tmp_path, old)
    repeated, _ = again(recording, old)
    assert decided(repeated) == decided(happened)
    changed, _ = again(recording, new)
    before, after = Fates(old, 0), Fates(new, 0)
    for event in happened:
        before.take(event)
    for event in changed:
        after.take(event)
    return before, after, changed


def agents(fates: Fates) -> dict[str, str]:
    return {id_: fate.agent for id_, fate in fates.contacts.items()}


async def test_the_same_rules_decide_the_same_and_without_them_everybody_stays(
    tmp_path: Path,
) -> None:
    old = policy(BILLS)
    before, after, changed = await columns(tmp_path, old, policy(segments=False))
    assert agents(before) == {"plain": "ana", "loyal": "ana", "bill": "bo", "bill2": "bo"}
    received = [event for event in changed if isinstance(event, e.ContactReceived)]
    assert [(event.queue, event.rule, event.segment) for event in received] == [("q", "", "")] * 4
    first = next(event.contact for event in changed if isinstance(event, e.ContactOffered))
    assert first == "plain", "no head start for the loyal one"
    found = {move["contact"]: move["changed"] for move in moved(before, after)}
    assert "queue" in found["bill"]
    assert "queue" in found["bill2"]


async def test_a_new_rule_moves_whom_it_is_for_and_the_log_says_by_which_rule(
    tmp_path: Path,
) -> None:
    old = replace(policy(), version="old")
    before, after, changed = await columns(tmp_path, old, policy(BILLS))
    assert agents(before)["bill"] in ("", "ana")
    assert agents(after)["bill"] == "bo"
    rules = {event.contact: event.rule for event in changed if isinstance(event, e.ContactReceived)}
    assert rules == {"plain": "", "loyal": "", "bill": "bills", "bill2": "bills"}
    why = {move["contact"]: move["after"]["why"] for move in moved(before, after)}
    assert "rule bills" in why["bill"]
