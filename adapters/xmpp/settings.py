"""Settings of an XMPP component."""

from __future__ import annotations

from router.core.record import Value


class Settings(Value, kw_only=True):
    """Settings of one component at an XMPP server."""

    jid: str
    """The component's domain, as the server's configuration has it: ``care.example.com``."""
    secret_file: str
    """File with the secret that the server knows the component by."""
    host: str = "127.0.0.1"
    """The server. The protocol has no encryption: the same machine, or a network of our own."""
    port: int = 5347
    sender: str = "support"
    """Where a contact does not name our address, messages come from this one under `jid`."""
    entry_point: str = ""
    """Names the entry point instead of the address that was written to."""
    connect_s: float = 10.0
    """How long connecting and the handshake may take."""
    answer_s: float = 4.0
    """How long the server may take for each of the two echoes that follow a message; then the
    outcome is unknown, and the connection is made anew."""
    alive_s: float = 30.0
    """So often the server is asked whether it is there."""
    patience_s: float = 10.0
    """How long a message waits for the connection to come back; then it has failed."""
    waiting: int = 200
    """Most messages to customers under way; one more fails."""
    incoming: int = 1_000
    """Most messages of customers that wait for the router; one more is refused."""
    per_s: float = 2.0
    """Messages a second of one customer, after `burst`; one more is refused with ``wait``."""
    burst: int = 20

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.jid or "@" in self.jid or "/" in self.jid:
            raise ValueError("jid: expected a domain, such as care.example.com")
        if not 0 < self.port < 65_536:
            raise ValueError("port: expected 1-65535")
        if min(self.waiting, self.incoming, self.burst) < 1 or self.per_s <= 0:
            raise ValueError("waiting, incoming, burst and per_s must be > 0")
        if min(self.connect_s, self.answer_s, self.alive_s, self.patience_s) <= 0:
            raise ValueError("connect_s, answer_s, alive_s and patience_s must be > 0")
        # The runtime gives an effect 20 s: what takes longer is unknown, though nothing was sent.
        if 2 * self.answer_s + self.patience_s > 19:
            raise ValueError("2 * answer_s + patience_s: at most 19")
