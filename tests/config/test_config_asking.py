"""A queue that asks who waits, rules on the answer, and a queue that records."""

from __future__ import annotations

import pytest

from router.config import loads
from router.core.policy import ActionKind, Asking, QueueId
from router.core.rules.book import Moment
from router.errors import ConfigError

TEXT = """
queues:
  care:
    record: true
    steps:
      - after: 30s
        message: Thank you for waiting.
        ask: {name: offer, prompt: 1 or 2?, choices: {"1": text, "2": callback}, timeout: 8s}
rules:
  - {name: back, on: input, then: {callback: voice}}
"""


def test_a_step_asks_after_it_has_told() -> None:
    policy = loads(TEXT, "asking.yaml").workspaces["main"].policy
    queue = policy.queues[QueueId("care")]
    assert queue.record
    told, asked = queue.steps[0].actions
    assert (told.kind, asked.kind) == (ActionKind.MESSAGE, ActionKind.ASK)
    assert asked.question == Asking(
        name="offer", prompt="1 or 2?", choices={"1": "text", "2": "callback"}, timeout_us=8_000_000
    )
    (rule,) = policy.rules.rules
    assert (rule.on, rule.then.callback) == (Moment.INPUT, "voice")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("callback: voice", "callback: vioce", "unknown channel 'vioce', did you mean 'voice'"),
        ("on: input, ", "", "'callback' is for rules on input"),
        ("callback: voice", "callback: voice, deflect: Bye", "exclude each other"),
        ("prompt: 1 or 2?, ", "", "'prompt' is missing"),
        ("name: offer", "name: of-fer", "expected letters, digits and _"),
        ("timeout: 8s", "timeout: 0s", "timeout"),
        ("timeout: 8s", "timeout: 10m", "expected 1s to 5m"),
        ("record: true", "record: perhaps", "record"),
    ],
)
def test_a_mistake_is_named(old: str, new: str, words: str) -> None:
    assert old in TEXT
    with pytest.raises(ConfigError) as caught:
        loads(TEXT.replace(old, new, 1), "asking.yaml")
    assert any(words in finding for finding in caught.value.findings), caught.value.findings
