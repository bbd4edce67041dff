"""Log lines: one JSON object each, on standard error, without personal data.

At a terminal that people look at (the demo) they are sentences instead.

At INFO a contact costs one line, when it is closed; every event has one at DEBUG. Values that look
like addresses are masked above DEBUG whatever the caller meant.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import msgspec

from router.core import events as e
from router.runtime.veil import FIELDS, SAID, is_said

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_PHONE = re.compile(r"(?<![\w.:-])\+?\d[\d ()/-]{5,18}\d(?![\w.:-])")
MASK = "***"
WRITTEN = "in words"
"""In place of a reason that somebody wrote."""
log = logging.getLogger("router.contact")


def mask(text: str) -> str:
    """The text without mail addresses and telephone numbers."""
    return _PHONE.sub(MASK, _MAIL.sub(MASK, text))


class JsonLines(logging.Formatter):
    """A log record as one line of JSON."""

    def __init__(self) -> None:
        super().__init__()
        self._encode = msgspec.json.Encoder(enc_hook=str).encode

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        is_open = record.levelno <= logging.DEBUG
        line: dict[str, Any] = {
            "at": round(record.created, 6),
            "level": record.levelname.lower(),
            "log": record.name,
            "text": record.getMessage() if is_open else mask(record.getMessage()),
        }
        for key, value in record.__dict__.items():
            if key not in _STANDARD:
                line[key] = value if is_open else _masked(value)
        if record.exc_info:
            line["traceback"] = mask(self.formatException(record.exc_info))
        return self._encode(line).decode()


class Sentences(logging.Formatter):
    """A log record as a line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a traceback is left to its last sentence."""
        about = [f"{key} {value}" for key, value in record.__dict__.items() if key not in _STANDARD]
        if record.exc_info and record.exc_info[1] is not None:
            about.append(f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}")
        text = record.getMessage() + (f" ({', '.join(about)})" if about else "")
        return f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower()}: {mask(text)}"


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, (list, tuple)):
        return [_masked(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _masked(item) for key, item in value.items()}
    return value


def set_up(level: str, stream: TextIO | None = None, *, for_people: bool = False) -> None:
    """Write log lines of this level and above to `stream` (default: standard error)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Sentences() if for_people else JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    chosen = getattr(logging, level.upper())
    for name in ("router", "adapters"):
        logging.getLogger(name).setLevel(chosen)


def log_event(workspace: str, seq: int, event: e.Event) -> None:
    """One line for a closed contact at INFO, for every other event at DEBUG."""
    if isinstance(event, e.ContactClosed):
        if log.isEnabledFor(logging.INFO):
            log.info(
                "closed",
                extra={
                    "workspace": workspace,
                    "seq": seq,
                    "contact": event.contact,
                    "outcome": event.outcome.value,
                    "reason": event.reason if event.reason in SAID else WRITTEN,
                },
            )
    elif log.isEnabledFor(logging.DEBUG):
        personal = FIELDS.get(type(event), {})
        fields = {
            name: getattr(event, name)
            for name in event.__struct_fields__
            if name not in ("sealed", "erased")
            and (name not in personal or is_said(name, getattr(event, name)))
        }
        log.debug(type(event).__name__, extra={"workspace": workspace, "seq": seq, "event": fields})
