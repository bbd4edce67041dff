"""What the fake server knows of customers: profile, learned preference, last contacts."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.web.fake_world import MINUTE, now_us

DAY_US = 24 * 60 * MINUTE
HASH = "5e1f" * 8
REACHED = {"sms": (12, 9), "voice": (6, 1), "email": (4, 2)}
PEAKS = {"sms": (1, 9, 0.86), "voice": (2, 17, 0.55), "email": (4, 11, 0.42)}
"""Weekday, hour and probability of each channel's best."""


def cells(channel: str) -> list[list[float | None]]:
    """A week that falls off around the best hour; nights and Sunday are not permitted."""
    day, hour, peak = PEAKS[channel]
    return [
        [
            None
            if h < 8 or h >= 20 or d == 6
            else peak * (0.25 + 0.75 * math.exp(-abs(d - day) / 2 - abs(h - hour) / 3))
            for h in range(24)
        ]
        for d in range(7)
    ]


def next_us(weekday: int, hour: int) -> int:
    """When this hour of the week begins next where the customer is."""
    today = datetime.now(ZoneInfo("Europe/Lisbon")).replace(minute=0, second=0, microsecond=0)
    ahead = timedelta(days=(weekday - today.weekday()) % 7 or 7)
    return int((today + ahead).replace(hour=hour).timestamp()) * 1_000_000


def window(channel: str, address: str, level: str = "exact", **more: Any) -> dict[str, Any]:
    """A window as the server tells it."""
    day, hour, peak = PEAKS[channel]
    attempts, successes = REACHED[channel]
    found = {
        "channel": channel, "address": address, "weekday": day, "hour": hour,
        "start_us": next_us(day, hour), "end_us": next_us(day, hour) + 60 * MINUTE,
        "probability": peak, "low": peak - 0.12, "high": min(1.0, peak + 0.05),
        "attempts": attempts, "successes": successes, "expected": attempts * 0.3, "level": level,
        "last_success_at_us": now_us() - 19 * DAY_US, "prior_share": 0.2,
        "text": f"{channel} to {address}: the evidence in words",
    }  # fmt: skip
    return found | more


def known(customer: str = "cu1") -> dict[str, Any]:
    """Somebody who replies to SMS on Tuesday mornings and has opted out of calls."""
    best = window("sms", "..42", attempts=10, successes=8, low=0.74, high=0.91)
    return {
        "customer": customer, "purpose": "service", "zone": "Europe/Lisbon", "confidence": "high",
        "best": best,
        "windows": [best, window("email", "..rg", level="channel"),
                    window("sms", "..42", hour=10, low=0.61, high=0.84)],
        "channels": [
            {"channel": channel, "address": "..42", "attempts": attempts, "successes": successes,
             "cells": [[None] * 24] * 7 if channel == "voice" else cells(channel)}
            for channel, (attempts, successes) in REACHED.items()
        ],
        "blocked": [
            {"channel": "voice", "address": "..42", "reason": "opted_out", "text": "STOP of 3 Nov"},
            {"channel": "email", "address": "..rg", "reason": "too_often",
             "text": "2 of 2 in 7 days", "next_at_us": now_us() + DAY_US},
        ],
        "next_allowed_at_us": best["start_us"], "inbound": 3, "computed_us": 180,
    }  # fmt: skip


def little(customer: str = "cu1") -> dict[str, Any]:
    """Two attempts: what is shown is what customers like this do."""
    best = window("sms", "..42", level="segment", attempts=2, successes=1, low=0.22, high=0.71)
    del best["last_success_at_us"]
    return {
        "customer": customer, "purpose": "service", "confidence": "low", "best": best,
        "windows": [best], "next_allowed_at_us": best["start_us"], "computed_us": 90,
        "channels": [{"channel": "sms", "address": "..42", "attempts": 2, "successes": 1,
                      "cells": cells("sms")}],
    }  # fmt: skip


def blank(customer: str = "cu1") -> dict[str, Any]:
    """Nothing is known, and nothing is permitted."""
    return {
        "customer": customer, "purpose": "service", "confidence": "low", "best": None,
        "windows": [], "channels": [], "computed_us": 40, "next_allowed_at_us": 0,
        "blocked": [{"channel": "", "reason": "do_not_contact", "text": "blocked by agent ana"}],
    }  # fmt: skip


def profile(customer: str = "cu1", **more: Any) -> dict[str, Any]:
    """The customer as stored."""
    found = {
        "id": customer, "name": "Maria Sandoval", "language": "es", "zone": "Europe/Lisbon",
        "segment": "loyal", "contacts": 14, "attributes": {"plan": "family", "since": "2019"},
        "identities": [{"kind": "phone", "address": "+351 912 000 042", "hash": HASH,
                        "label": "mobile"}],
        "consents": [
            {"state": "given", "at_us": now_us() - 200 * DAY_US, "channel": "sms",
             "purpose": "service", "source": "web form"},
            {"state": "withdrawn", "at_us": now_us() - 30 * DAY_US, "channel": "email",
             "purpose": "marketing", "source": "agent ben"},
        ],
        "do_not_contact": [{"at_us": now_us() - 19 * DAY_US, "channel": "voice", "address": HASH,
                            "source": "keyword"}],
    }  # fmt: skip
    return found | more


def past() -> list[dict[str, Any]]:
    """The last contacts, newest first; one is open still."""
    at = now_us()
    return [
        {"id": "c-8", "channel": "email", "state": "parked", "agent": "ben", "queue": "billing",
         "created_at_us": at - DAY_US},
        {"id": "c-7", "channel": "sms", "state": "closed", "outcome": "completed", "agent": "ana",
         "disposition": "callback_promised", "created_at_us": at - 19 * DAY_US},
        {"id": "c-3", "channel": "voice", "state": "closed", "outcome": "abandoned",
         "created_at_us": at - 40 * DAY_US},
    ]  # fmt: skip
