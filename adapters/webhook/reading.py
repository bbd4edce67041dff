"""What a call or an answer of the backend's says, by its description. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import msgspec

from adapters.webhook.description import Answer, Messages, Paths, Receipts
from adapters.webhook.paths import Node, Path, first, holds, path_of, scalar, walk

ATTACHMENTS = 10
IDS = 200
"""Longest id, in characters."""
ATTRIBUTE = 256
NAME = 200

_CODE = re.compile(r"[A-Za-z0-9_.:/-]{1,60}")
_STATUS = re.compile(r"[1-5](?:xx|\d\d)")


class Written(NamedTuple):
    """A message of a customer's."""

    id: str
    sender: str
    name: str
    to: str
    text: str
    attachments: tuple[dict[str, str], ...]
    attributes: dict[str, Any]


class Told(NamedTuple):
    """What became of a message of ours."""

    state: Literal["delivered", "undelivered"]
    reason: str
    reference: str
    message_id: str


class Outcome(NamedTuple):
    """What an answer means."""

    means: Literal["accepted", "later", "refused", "unknown"]
    after_s: float
    """Negative: the answer does not say."""
    reason: str
    message_id: str


def parsed(body: bytes) -> Any:
    """The JSON of a body. Raises ValueError."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("expected JSON") from error


class MessageReader:
    """Finds messages; raises ValueError for a description that cannot be understood."""

    def __init__(self, wanted: Messages) -> None:
        self._each = path_of(wanted.each)
        self._where = _where(wanted.where)
        self._id, self._sender = _paths(wanted.id), _paths(wanted.sender)
        self._name, self._to, self._text = (
            _paths(wanted.name), _paths(wanted.to), _paths(wanted.text),
        )  # fmt: skip
        self._attachments = [(kind, path_of(path)) for kind, path in wanted.attachments.items()]
        self._attributes = [(name, path_of(path)) for name, path in wanted.attributes.items()]
        self.prefix = wanted.sender_prefix

    def read(self, document: Any) -> Iterator[Written]:
        """The messages in a call; what has no id or no sender is none. Raises ValueError."""
        for node in walk(self._each, Node(document)):
            id_, sender = first(self._id, node), first(self._sender, node)
            if (
                not id_
                or not sender
                or max(len(id_), len(sender)) > IDS
                or not holds(self._where, node)
            ):
                continue
            yield Written(
                id_,
                self.prefix + sender,
                first(self._name, node)[:NAME],
                first(self._to, node),
                first(self._text, node),
                tuple(self._files(node)),
                {
                    name: value
                    for name, path in self._attributes
                    if (value := first((path,), node)[:ATTRIBUTE])
                },
            )

    def _files(self, node: Node) -> list[dict[str, str]]:
        return [
            {"kind": kind, "ref": ref}
            for kind, path in self._attachments
            for found in walk(path, node)
            if (ref := scalar(found.value)[:2_000])
        ][:ATTACHMENTS]


class ReceiptReader:
    """Finds receipts; raises ValueError for a description that cannot be understood."""

    def __init__(self, wanted: Receipts) -> None:
        self._each = path_of(wanted.each)
        self._state, self._reason = _paths(wanted.state), _paths(wanted.reason)
        self._reference, self._id = _paths(wanted.reference), _paths(wanted.message_id)
        self._words: dict[str, Literal["delivered", "undelivered"]] = {
            **dict.fromkeys(wanted.undelivered, "undelivered"),
            **dict.fromkeys(wanted.delivered, "delivered"),
        }

    def read(self, document: Any) -> Iterator[Told]:
        """The receipts in a call that mean something."""
        for node in walk(self._each, Node(document)):
            state = self._words.get(first(self._state, node))
            if state is not None:
                yield Told(
                    state,
                    code(first(self._reason, node)) if state == "undelivered" else "",
                    first(self._reference, node),
                    first(self._id, node),
                )


class AnswerReader:
    """Understands answers; raises ValueError for a description that cannot be understood."""

    def __init__(self, answers: tuple[Answer, ...], message_id: Paths) -> None:
        self._rules = [
            (answer, _where(answer.where), _paths(answer.after_s), _paths(answer.reason))
            for answer in answers
        ]
        self._message_id = _paths(message_id)
        for answer in answers:
            if not _STATUS.fullmatch(answer.status):
                raise ValueError(f"answers: status: expected 200 or 2xx, got {answer.status!r:.20}")

    def read(self, status: int, body: bytes) -> Outcome:
        """What it means; unknown when no rule fits."""
        try:
            node = Node(parsed(body))
        except ValueError:
            node = Node(None)
        for answer, where, after, reason in self._rules:
            if answer.status in (str(status), f"{status // 100}xx") and holds(where, node):
                return Outcome(
                    answer.means,
                    _seconds(first(after, node)),
                    code(first(reason, node)) or f"refused: {status}",
                    first(self._message_id, node)[:IDS],
                )
        return Outcome("unknown", -1.0, "", "")


def code(text: str) -> str:
    """A code of the backend's, and nothing that could be a customer's words."""
    return text if _CODE.fullmatch(text) else ""


def _paths(given: Paths) -> tuple[Path, ...]:
    texts = (given,) if isinstance(given, str) else given
    return tuple(path_of(text) for text in texts)


def _where(given: dict[str, str]) -> tuple[tuple[Path, str], ...]:
    return tuple((path_of(path), value) for path, value in given.items())


def _seconds(text: str) -> float:
    return min(3_600.0, float(text)) if text.isdecimal() and len(text) < 8 else -1.0
