"""The tree of errors. Who raises what, and what the receiver does about it.

    RouterError
    ├── Refused            a command was not carried out; nothing changed      -> HTTP 409
    │   ├── NotFound       it names something that is not there                -> HTTP 404
    │   └── Invalid        its content can never be right                      -> HTTP 422
    ├── Overloaded         shed before anything was done; try again later      -> HTTP 503
    ├── OutcomeUnknown     the commit did not answer; it may have happened     -> HTTP 503
    ├── StoreFull          the store takes nothing now; nothing was done       -> HTTP 507
    ├── ConfigError        the configuration is wrong; lists every finding     -> exit 2 / HTTP 422
    ├── JournalError       the store
    │   ├── Fenced         another owner has taken the workspace: stop at once
    │   ├── JournalBusy    the store is in use by another process: do not start
    │   ├── JournalDamaged a checksum does not match: refuse this workspace, serve the others
    │   └── JournalFailed  a write failed; retry the same frame
    └── ChannelError       an adapter: this effect failed, plan anew
        └── ChannelLost    an adapter: my backend is gone, restart me

Broken invariants of the engine are `assert`s: they end one workspace's engine, never the process.
"""

from __future__ import annotations


class RouterError(Exception):
    """Anything this project raises on purpose."""


class Refused(RouterError):
    """The command was not carried out and nothing changed.

    `code` is stable and machine-readable (``"not_offered"``); the text is for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NotFound(Refused):
    """The command names something that this workspace does not have."""

    def __init__(self, kind: str, id_: str) -> None:
        super().__init__("not_found", f"no {kind} {id_!r}")
        self.kind = kind


class Invalid(Refused):
    """The command's content can never be right, whatever the state."""


class Overloaded(RouterError):
    """Shed before anything was done; `retry_after_s` says when to come back."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(RouterError):
    """The commit did not answer: the command may have been carried out, or may yet be."""


class StoreFull(RouterError):
    """The store takes nothing at the moment; the command was not carried out."""


class ConfigError(RouterError):
    """The configuration is wrong. `findings` has one line for each error, with file:line:column."""

    def __init__(self, findings: list[str]) -> None:
        super().__init__("\n".join(findings))
        self.findings = findings


class JournalError(RouterError):
    """The store failed."""


class Fenced(JournalError):
    """Another owner has taken this workspace; stop writing, drop memory, close its sessions."""


class JournalBusy(JournalError):
    """Another process holds this store."""


class JournalDamaged(JournalError):
    """A checksum does not match; the message names the place."""


class JournalFailed(JournalError):
    """A write did not go through; the same frame may be tried again."""


class ChannelError(RouterError):
    """This effect failed; the engine plans anew. The text is the reason, without personal data."""


class ChannelLost(ChannelError):
    """The adapter's backend is gone; the supervisor restarts the adapter with back-off."""
