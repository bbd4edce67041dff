"""Settings of the process: read at start; a change needs a restart."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from router.config.convert import Between, Written
from router.config.forms import network, origin, redis_url, web_url
from router.core.record import Value

Port = Annotated[int, Between(1, 65_535)]


class Durability(StrEnum):
    """What an acknowledged contact survives."""

    DISK = "disk"
    """The loss of power."""
    PROCESS = "process"
    """The death of the process; what the kernel had not yet written is lost with the power."""


class Store(StrEnum):
    """Where the journal is."""

    SQLITE = "sqlite"
    REDIS = "redis"


class LogLevel(StrEnum):
    """The least severe lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class JournalSettings(Value, kw_only=True):
    """Where contacts and events are kept."""

    store: Store = Store.SQLITE
    """sqlite (one file per workspace in `data_dir`) or redis."""
    url: Annotated[str, Written(redis_url)] = ""
    """redis: the server. `rediss` is TLS."""
    keys_url: Annotated[str, Written(redis_url)] = ""
    """redis: another server for the keys of personal data; default: the same one."""
    password_file: Annotated[str, Between(1, 1000)] = ""
    """redis: file with the password, beside this file or absolute; not readable for everybody."""


class MetricsSettings(Value, kw_only=True):
    """A listener of its own for Prometheus."""

    address: Annotated[str, Between(1, 255)] = "127.0.0.1"
    """Address to listen on."""
    port: Port = 9464
    """Port to listen on."""


class LimitSettings(Value, kw_only=True):
    """What one client may ask of the server."""

    requests_per_s: Annotated[float, Between(0.1, 1_000_000)] = 2_000.0
    """Requests per second and token, on average."""
    requests_burst: Annotated[int, Between(1, 10_000_000)] = 10_000
    """Requests of one token at once."""
    connections_per_token: Annotated[int, Between(1, 100_000)] = 20
    """Open sockets of one token."""
    body_bytes: Annotated[int, Between(1_024, 67_108_864)] = 1_048_576
    """Largest request body."""
    inbox_commands: Annotated[int, Between(100, 1_000_000)] = 10_000
    """Commands waiting for one workspace; above it the least urgent are refused first."""


class ServerSettings(Value, kw_only=True):
    """The process: where it listens, where it keeps its data. Changes need a restart."""

    address: Annotated[str, Between(1, 255)] = "127.0.0.1"
    """Address to listen on; 0.0.0.0 or :: for all."""
    port: Port = 8080
    """Port to listen on."""
    public_url: Annotated[str, Written(web_url)] = ""
    """How browsers reach this server, through whatever proxy; default: address and port."""
    allowed_origins: tuple[Annotated[str, Written(origin)], ...] = ()
    """Other sites whose pages may open sockets here, such as https://www.example.com."""
    trusted_proxies: tuple[Annotated[str, Written(network)], ...] = ()
    """Addresses or networks whose X-Forwarded-For is believed."""
    data_dir: Annotated[str, Between(1, 1000)] = "var"
    """Directory for the journal and the keys, from where the server is started, or absolute."""
    durability: Durability = Durability.DISK
    """disk: acknowledged contacts survive a power failure; process: only the process's death."""
    journal: JournalSettings = JournalSettings()
    """The journal."""
    log_level: LogLevel = LogLevel.INFO
    """debug, info, warning or error. Personal data is written at debug only."""
    metrics: MetricsSettings | None = None
    """A listener of its own for /metrics; default: on the main one, with a token."""
    limits: LimitSettings = LimitSettings()
    """What one client may ask."""
