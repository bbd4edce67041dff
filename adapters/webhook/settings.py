"""Settings of a described backend; what the description says is checked as it is read."""

from __future__ import annotations

from adapters.webhook.description import Messages, Receipts, Request, Send, Verify
from adapters.webhook.reading import AnswerReader, MessageReader, ReceiptReader
from adapters.webhook.templates import Template
from router.core.record import Value


class Settings(Value, kw_only=True):
    """Settings of a backend that is described."""

    verify: Verify
    messages: tuple[Messages, ...]
    """Each description is tried on each call."""
    send: Send
    receipts: Receipts | None = None
    typing: Request | None = None
    """Shows the customer that the agent types."""
    secrets: dict[str, str] = {}
    """``<name>_file``: path; ``{name}`` stands for what is in it, in requests."""
    to: str = ""
    """Our address, where calls do not say it. Empty: the adapter's name."""
    entry_point: str = ""
    """Names the entry point instead of our address."""
    refused_status: int = 422
    """Answer to a message that can never be taken. A backend that repeats until it hears 200, and
    holds back what comes after it, must hear 200."""
    timeout_s: float = 8.0
    """How long an answer may take; then the outcome is unknown."""
    patience_s: float = 12.0
    """How long a message that was not taken is tried again."""
    probe_s: float = 30.0
    """How often it is looked whether anybody is there: also without traffic it is seen."""
    at_once: int = 10
    """Most requests at a time."""
    waiting: int = 200
    """Most messages under way; one more fails."""
    body_bytes: int = 1_048_576
    """Longest body of a call."""
    per_s: float = 100.0
    """Calls a second that are read, after `burst`; one more is answered 429."""
    burst: int = 200

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.messages:
            raise ValueError("messages: describe at least one kind")
        if not 200 <= self.refused_status <= 599:
            raise ValueError("refused_status: expected 200-599")
        if min(self.at_once, self.waiting, self.burst, self.body_bytes, self.send.longest) < 1:
            raise ValueError("at_once, waiting, burst, body_bytes and longest must be > 0")
        # The runtime gives an effect 20 s: what takes longer is unknown, though nothing was sent.
        if not (0 < self.timeout_s <= 18 and 0 < self.patience_s <= 18):
            raise ValueError("timeout_s and patience_s: expected 0-18")
        if self.per_s <= 0 or self.probe_s <= 0:
            raise ValueError("per_s and probe_s must be > 0")
        if self.verify.kind == "timed_hmac" and not self.verify.timestamp_header:
            raise ValueError("verify: timed_hmac needs timestamp_header")
        for key in self.secrets:
            if not key.endswith("_file"):
                raise ValueError(f"secrets: {key}: secrets stand in files: give {key}_file")
        self._check_description()

    def _check_description(self) -> None:
        """Made once for nothing: each says what is wrong with its part."""
        for messages in self.messages:
            MessageReader(messages)
        if self.receipts is not None:
            if not (self.receipts.reference or self.receipts.message_id):
                raise ValueError("receipts: reference or message_id says which message is meant")
            ReceiptReader(self.receipts)
        AnswerReader(self.send.answers, self.send.message_id)
        names = {key.removesuffix("_file"): "x" for key in self.secrets}
        Template(self.send, names)
        if self.typing is not None:
            Template(self.typing, names)
