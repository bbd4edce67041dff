"""The contacts that load tests submit, as the bodies that go over the wire."""

from __future__ import annotations

import json
from typing import Any

TOPICS = ("invoice", "delivery", "return", "repair", "advice")


def contact(number: int, run: str, *, channel: str = "sms") -> dict[str, Any]:
    """One of many, each of another customer, as `POST /v1/contacts` takes it."""
    return {
        "channel": channel,
        "entry_point": channel,
        "external_id": f"{run}-{number:09d}",
        "peer": {
            "address": f"+4915{number:09d}",
            "name": f"Customer {number:09d} of the load test",
            "to": "+4930555100",
        },
        "attributes": {
            "topic": TOPICS[number % len(TOPICS)],
            "language": "en-GB",
            "order": {"id": f"A-{number:09d}", "total": 12_345, "items": 3, "paid": True},
            "page": "https://shop.example/orders/overview?tab=open&sort=date",
            "campaign": "spring",
        },
        "requirements": {"english": 1 + number % 5},
        "segment": "regular",
        "conversation": f"conversation-{number:09d}",
    }


def body(number: int, run: str, *, channel: str = "sms") -> bytes:
    """As JSON."""
    return json.dumps(contact(number, run, channel=channel)).encode()


def batch_body(numbers: range, run: str) -> bytes:
    """As the JSON body of `POST /v1/contacts:batch`."""
    return b'{"contacts": [' + b", ".join(body(number, run) for number in numbers) + b"]}"


def submit_frame(number: int, run: str) -> bytes:
    """As a `submit` frame of the adapter socket."""
    plain = contact(number, run)
    peer = plain["peer"]
    frame = {
        "type": "submit",
        "cid": number,
        "contact": {
            "external_id": plain["external_id"],
            "customer": {"address": peer["address"], "name": peer["name"]},
            "to": peer["to"],
            "entry_point": plain["entry_point"],
            "attributes": plain["attributes"],
            "requirements": plain["requirements"],
            "conversation": plain["conversation"],
        },
    }
    return json.dumps(frame).encode()
