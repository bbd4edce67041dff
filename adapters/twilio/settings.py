"""Settings of a messaging account at Twilio, or at a provider with the same API."""

from __future__ import annotations

from urllib.parse import urlsplit

from router.core.record import Value


class Settings(Value, kw_only=True):
    """Settings of one messaging account."""

    account: str
    """Account SID, ``AC...``."""
    token_file: str
    """File with the account's auth token: webhooks are signed with it."""
    public_url: str
    """Where the provider reaches this adapter, exactly as entered there but for the last part:
    ``https://router.example.com/v1/twilio/texts`` if the console has ``.../texts/incoming``."""
    sender: str = ""
    """The number that messages come from where the contact does not name ours (E.164)."""
    service: str = ""
    """Messaging service SID, ``MG...``: picks the number instead of `sender`."""
    entry_point: str = ""
    """Names the entry point instead of the number that was written to."""
    api_key_id: str = ""
    """API key SID, ``SK...``, for sending; empty: the account and its token are used."""
    api_key_file: str = ""
    """File with that key's secret."""
    api_url: str = "https://api.twilio.com"
    """Root of the REST API."""
    timeout_s: float = 6.0
    """How long an answer may take; then it is found out whether the message is there."""
    resolve_s: float = 6.0
    """How long that is tried before the outcome is unknown."""
    patience_s: float = 12.0
    """How long a message that was not taken (nobody there, 429) is tried again."""
    probe_s: float = 15.0
    """How often the account is asked for: a provider that is away is seen without traffic, too."""
    at_once: int = 10
    """Most requests at a time."""
    waiting: int = 200
    """Most messages under way; one more fails."""
    per_s: float = 100.0
    """Webhooks a second that are read, after `burst`; one more is answered 429."""
    burst: int = 200

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in ("public_url", "api_url"):
            url = urlsplit(getattr(self, name))
            if url.scheme not in ("https", "http") or not url.hostname or url.username:
                raise ValueError(f"{name}: expected https://host/path")
            if url.query or url.fragment or url.path.endswith("/"):
                raise ValueError(f"{name}: without query, fragment and slash at the end")
        if not self.account.startswith("AC"):
            raise ValueError("account: expected AC...")
        if bool(self.api_key_id) != bool(self.api_key_file):
            raise ValueError("api_key_id and api_key_file belong together")
        if min(self.at_once, self.waiting, self.burst) < 1 or min(self.per_s, self.probe_s) <= 0:
            raise ValueError("at_once, waiting, burst, per_s and probe_s must be > 0")
        # The runtime gives an effect 20 s: what takes longer is unknown, though nothing was sent.
        if min(self.timeout_s, self.resolve_s, self.patience_s) <= 0 or (
            self.timeout_s + self.resolve_s > 18 or self.patience_s > 18
        ):
            raise ValueError("timeout_s + resolve_s and patience_s must be > 0 and at most 18")
