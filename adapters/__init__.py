"""Adapters: each joins one kind of backend to the router. How to add one: adapters/README.md.

`adapters.<type>` has `CHANNEL` (the Channel class) and `SETTINGS` (its documented settings record),
and may have ``routes(channel)`` (HTTP routes that the API mounts under ``/v1/<type>/<name>``). What
several adapters need of the same thing stands in `adapters.kit`, and is taken from here.
"""

from __future__ import annotations

from adapters.kit.crew import TRY_AGAIN, Crew, Fence, insist, is_cancelled
from adapters.kit.facts import Facts
from adapters.kit.hooks import hook_answer, hook_body, hook_rate
from adapters.kit.questions import Questions
from adapters.kit.sending import (
    Breaker,
    Bucket,
    NotSent,
    Sender,
    Throttled,
    bounded_body,
    http_trouble,
    retry_after,
)
from adapters.kit.settings import Finding, read_secret, read_settings
from adapters.kit.store_watch import watch_store
from adapters.kit.texts import JOINED, Remembered, pieces, without_leg

__all__ = [
    "JOINED",
    "TRY_AGAIN",
    "Breaker",
    "Bucket",
    "Crew",
    "Facts",
    "Fence",
    "Finding",
    "NotSent",
    "Questions",
    "Remembered",
    "Sender",
    "Throttled",
    "bounded_body",
    "hook_answer",
    "hook_body",
    "hook_rate",
    "http_trouble",
    "insist",
    "is_cancelled",
    "pieces",
    "read_secret",
    "read_settings",
    "retry_after",
    "watch_store",
    "without_leg",
]
