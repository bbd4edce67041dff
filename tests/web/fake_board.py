"""A busy morning as a wallboard sees it: queues, agents, waiting contacts, one contact's life."""

from __future__ import annotations

import random
from typing import Any

from tests.web.fake_world import MINUTE, SECOND, TARGETS, World, now_us

NAMES = (
    "Ana", "Ben", "Cleo", "Dimitri", "Elif", "Farah", "Goran", "Hana", "Ivo", "Jasmin", "Kofi",
    "Lena", "Mateo", "Nadia", "Oskar", "Pia", "Quentin", "Rosa", "Sami", "Tove", "Umar", "Vera",
    "Wanda", "Xenia", "Yusuf", "Zoe",
)  # fmt: skip
FAMILY = (
    "Okafor", "Marchetti", "Lindqvist", "Novak", "Haddad", "Weber", "Tanaka", "Silva", "Kowalski",
    "Berg", "Costa", "Fischer",
)  # fmt: skip
QUEUES = {"care": 9, "billing": 5, "technical": 3, "retention": 0, "sales": 1}


def busy(world: World, *, agents: int = 64, waiting: int = 18, seed: int = 7) -> None:
    """Fill the board. The same seed gives the same morning."""
    draw = random.Random(seed)
    now = now_us()
    people = [_agent(number, draw, now) for number in range(agents)]
    contacts = [_contact(number, draw, now) for number in range(waiting)]
    contacts[0] |= {
        "watched": True,
        "segment": "complaining",
        "segment_reason": "customer.attributes.complaints > 2",
        "watched_for": "customer",
    }
    queues = [_queue(name, contacts, draw) for name in QUEUES]
    world.board = {
        "queues": queues,
        "agents": people,
        "contacts": contacts,
        "channels": [
            {"name": "phones", "channel": "voice", "type": "loopback", "state": "up"},
            {"name": "site", "channel": "chat", "type": "webchat", "state": "up"},
            {
                "name": "texts",
                "channel": "sms",
                "type": "loopback",
                "state": "degraded",
                "detail": "12 sends waiting",
                "outbox": 12,
            },
            {"name": "mail", "channel": "email", "type": "loopback", "state": "up"},
        ],
        "totals": {
            "waiting": waiting,
            "active": sum(q["active"] for q in queues),
            "parked": 11,
            "oldest_at_us": min(c["visit_at_us"] for c in contacts),
            "agents": {
                p: sum(1 for a in people if a["presence"] == p)
                for p in ("ready", "not_ready", "offline")
            },
            "received": 1208,
            "answered": 1131,
            "abandoned": 31,
            "service_level": 0.86,
            "goal": 0.82,
        },
    }
    for contact in contacts:
        world.events[contact["id"]] = life(contact)


def _agent(number: int, draw: random.Random, now: int) -> dict[str, Any]:
    presences = [("not_ready", "break"), ("not_ready", "lunch"), ("offline", "")]
    presence, reason = draw.choice([("ready", "")] * 7 + presences)
    held = (
        draw.choice([{}, {"voice": 1}, {"chat": 2}, {"chat": 1, "sms": 1}, {"email": 3}])
        if presence == "ready"
        else {}
    )
    if number == 5:
        presence, reason, held = "not_ready", "rona", {}
    cost = {"voice": 100, "chat": 33, "sms": 20, "email": 10}
    since = now - draw.randrange(5, 1500) * SECOND
    return {
        "id": f"a{number:04}",
        "name": f"{NAMES[number % len(NAMES)]} {FAMILY[number % len(FAMILY)]}",
        "presence": presence,
        "reason": reason,
        "presence_at_us": since,
        "profile": "care",
        "capacity": 100,
        "load": sum(cost[channel] * count for channel, count in held.items()),
        "by_channel": held,
        "reservations": [
            {
                "id": f"r{number}{channel}",
                "contact": f"c{number:04}x",
                "channel": channel,
                "queue": "care",
                "state": "connected",
                "since_at_us": since,
            }
            for channel in held
        ],
    }


def _contact(number: int, draw: random.Random, now: int) -> dict[str, Any]:
    names = [name for name, weight in QUEUES.items() for _ in range(weight)]
    channel = draw.choice(["voice", "voice", "chat", "sms", "email"])
    visit = now - draw.randrange(2, 95) * SECOND
    tier = 0 if channel in {"voice", "chat"} else 1
    return {
        "id": f"c{number:04}",
        "channel": channel,
        "direction": "inbound",
        "state": "queued",
        "queue": draw.choice(names),
        "tier": tier,
        "visit_at_us": visit,
        "created_at_us": visit,
        "due_at_us": visit + TARGETS[channel],
        "segment": draw.choice(["loyal", "floating", "passive"]),
        "requirements": {"en": draw.randrange(3, 8)},
    }


def _queue(name: str, contacts: list[dict[str, Any]], draw: random.Random) -> dict[str, Any]:
    mine = [c for c in contacts if c["queue"] == name]
    by_channel = {}
    for channel, target in TARGETS.items():
        here = [c for c in mine if c["channel"] == channel]
        oldest = min((c["visit_at_us"] for c in here), default=0)
        by_channel[channel] = {
            "waiting": len(here),
            "oldest_at_us": oldest,
            "target_us": target,
            "arrivals": [draw.randrange(20) for _ in range(4)],
        }
    level = {"care": 0.86, "billing": 0.71, "technical": 0.54, "retention": None, "sales": 0.95}[
        name
    ]
    return {
        "id": name,
        "open": name != "retention",
        "waiting": len(mine),
        "oldest_at_us": min((c["visit_at_us"] for c in mine), default=0),
        "active": draw.randrange(2, 19),
        "agents_ready": 0 if name == "technical" else draw.randrange(3, 12),
        "by_channel": by_channel,
        "ewt_us": -1 if name == "retention" else draw.randrange(4, 80) * SECOND,
        "service_level": level,
        "goal": 0.9 if name == "billing" else 0.8,
        "received": draw.randrange(100, 400),
    }


def life(contact: dict[str, Any]) -> list[dict[str, Any]]:
    """A contact's events: received, queued, offered, not answered, back in its place."""
    start = contact["visit_at_us"]
    id_ = contact["id"]
    decision = {
        "edge": "agent",
        "strategy": "longest_idle",
        "eligible": 4,
        "winner": {
            "id": id_,
            "terms": [
                {"name": "rank", "value": 1},
                {"name": "tier", "value": 0},
                {"name": "due_us", "value": start + 20 * SECOND},
            ],
        },
        "runners_up": [
            {
                "id": "c0999",
                "terms": [
                    {"name": "rank", "value": 1},
                    {"name": "tier", "value": 1},
                    {"name": "due_us", "value": start + 5 * MINUTE},
                ],
            }
        ],
    }
    return [
        {"type": "ContactReceived", "at_us": start, "contact": id_, "channel": contact["channel"]},
        {
            "type": "ContactQueued",
            "at_us": start,
            "contact": id_,
            "queue": contact["queue"],
            "requirements": [["en", 5]],
            "tier": contact["tier"],
        },
        {
            "type": "ContactOffered",
            "at_us": start + SECOND,
            "contact": id_,
            "reservation": "r99",
            "agent": "a0005",
            "units": 100,
            "decision": decision,
        },
        {
            "type": "OfferExpired",
            "at_us": start + 21 * SECOND,
            "contact": id_,
            "reservation": "r99",
            "agent": "a0005",
        },
        {
            "type": "ContactReturned",
            "at_us": start + 21 * SECOND,
            "contact": id_,
            "reason": "no_answer",
            "head_start_us": 0,
        },
    ]
