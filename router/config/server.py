"""Settings of the process: read at start; a change needs a restart."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from router.config.convert import Between, Written
from router.config.forms import host_and_port, issuer, network, origin, redis_url, web_url
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


class WhenShort(StrEnum):
    """What happens while fewer replicas are there than a commit needs."""

    BLOCK = "block"
    """Nothing is acknowledged until they are back."""
    DEGRADE = "degrade"
    """After a while commits are acknowledged without them: a failover then may lose them."""


class LogLevel(StrEnum):
    """The least severe lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class StoreAudit(StrEnum):
    """What findings about the store's settings do at the start."""

    DEFAULT = "default"
    """Errors refuse it, warnings are said."""
    STRICT = "strict"
    """Warnings refuse it, too."""


class JournalSettings(Value, kw_only=True):
    """Where contacts and events are kept."""

    store: Store = Store.SQLITE
    """sqlite (one file per workspace in `data_dir`) or redis."""
    url: Annotated[str, Written(redis_url)] = ""
    """redis: the one server. `rediss` is TLS."""
    sentinels: tuple[Annotated[str, Written(host_and_port)], ...] = ()
    """redis: instead of `url`, the Sentinels that know the master, such as 10.0.0.1:26379."""
    master: Annotated[str, Between(1, 200)] = ""
    """redis: the name by which the Sentinels know it."""
    cluster: tuple[Annotated[str, Written(host_and_port)], ...] = ()
    """redis: instead of `url`, some nodes of a Redis Cluster."""
    replicas: Annotated[int, Between(0, 10)] | None = None
    """redis: how many replicas must have a commit before it is acknowledged; default: 1 with
    `sentinels` or `cluster`, else 0."""
    when_short: WhenShort = WhenShort.BLOCK
    """redis: with too few replicas, acknowledge nothing (block), or go on without (degrade)."""
    degrade_after_s: Annotated[float, Between(1, 3600)] = 30.0
    """redis: seconds with too few replicas before `degrade` goes on without them."""
    timeout_s: Annotated[float, Between(0.1, 60)] = 3.0
    """redis: seconds. A server that does not answer for so long has failed; it is asked again where
    the master is."""
    user: Annotated[str, Between(1, 200)] = ""
    """redis: name of the user (ACL); default: the server's default user."""
    password_file: Annotated[str, Between(1, 1000)] = ""
    """redis: file with the password, beside this file or absolute; not readable for everybody."""
    sentinel_user: Annotated[str, Between(1, 200)] = ""
    """redis: name of the user at the Sentinels."""
    sentinel_password_file: Annotated[str, Between(1, 1000)] = ""
    """redis: file with the password of the Sentinels; default: they want none."""
    tls: bool = False
    """redis: TLS to all servers and Sentinels; with `url`, `rediss` says the same."""
    ca_file: Annotated[str, Between(1, 1000)] = ""
    """redis: PEM file of the authority that signed the servers' certificates; default: the
    system's authorities."""
    certificate_file: Annotated[str, Between(1, 1000)] = ""
    """redis: PEM file with the certificate to show, if the servers want to see one."""
    private_key_file: Annotated[str, Between(1, 1000)] = ""
    """redis: PEM file with that certificate's private key; not readable for everybody."""
    keys_url: Annotated[str, Written(redis_url)] = ""
    """redis: another server for the keys of personal data; default: where the journal is."""
    audit: StoreAudit = StoreAudit.DEFAULT
    """redis: what is wrong with the servers' settings is said at the start, and what may lose
    contacts at once refuses it (default); or whatever is found refuses it (strict)."""


class ClusterSettings(Value, kw_only=True):
    """Several servers that share one journal in Redis: docs/nodes.md."""

    secret_file: Annotated[str, Between(1, 1000)]
    """File with 64 hexadecimal digits, the same on every node: what personal data is sealed with,
    and what nodes sign with when they speak to each other."""
    node: Annotated[str, Between(1, 100)] = ""
    """Name of this node; default: the variable CONTACT_ROUTER_NODE, or the machine's name."""
    url: Annotated[str, Written(web_url)] = ""
    """How the other nodes reach this one; default: the variable CONTACT_ROUTER_NODE_URL, or the
    node's name and `port`."""
    lease_s: Annotated[float, Between(0.5, 60)] = 2.0
    """Seconds. A node that is silent for so long loses its workspaces to the others."""
    attachments_dir: Annotated[str, Between(1, 1000)] = ""
    """Directory on storage that all nodes share, for customers' files; default: in `data_dir`,
    where other nodes do not find them."""


class MetricsSettings(Value, kw_only=True):
    """A listener of its own for Prometheus."""

    address: Annotated[str, Between(1, 255)] = "127.0.0.1"
    """Address to listen on."""
    port: Port = 9464
    """Port to listen on."""


class Person(StrEnum):
    """What somebody may be who signs in."""

    AGENT = "agent"
    SUPERVISOR = "supervisor"
    ADMIN = "admin"


class GrantSettings(Value, kw_only=True):
    """Whom the identity provider's word makes what."""

    role: Person
    """agent, supervisor or admin."""
    claim: Annotated[str, Between(1, 200)] = ""
    """Claim to look at, such as `groups`; with points into claims of claims, such as
    `realm_access.roles`; default: everybody."""
    value: Annotated[str, Between(1, 200)] = ""
    """The claim's value, or one of its values."""
    workspace: Annotated[str, Between(1, 64)] = ""
    """Which one; needed where there are several."""


class OidcSettings(Value, kw_only=True):
    """People sign in with the company's account (OpenID Connect), beside names and passwords."""

    issuer: Annotated[str, Written(issuer)]
    """The provider, exactly as it writes itself."""
    client_id: Annotated[str, Between(1, 200)]
    """Our name at the provider."""
    client_secret_file: Annotated[str, Between(1, 1000)] = ""
    """File with the secret, beside this file or absolute; default: a client without one."""
    label: Annotated[str, Between(1, 60)] = ""
    """What people call it: "Sign in with ..."; default: the provider's host."""
    scopes: tuple[Annotated[str, Between(1, 100)], ...] = ("openid", "profile")
    """What is asked for; `openid` is among them."""
    name_claim: Annotated[str, Between(1, 200)] = "preferred_username"
    """Claim with the name: of an agent, the id here."""
    grants: Annotated[tuple[GrantSettings, ...], Between(1, 200)]
    """The first that fits the page and the claims counts; nobody else gets in."""


class TracingSettings(Value, kw_only=True):
    """Each contact's life as a trace, sent by OTLP over HTTP. Needs the extra `tracing`."""

    url: Annotated[str, Written(web_url)]
    """The collector's address for traces."""
    headers_file: Annotated[str, Between(1, 1000)] = ""
    """File with headers for the collector, `name: value` a line, such as a key."""
    share: Annotated[float, Between(0.0001, 1)] = 1.0
    """Of contacts that nobody else traces, how many are. A caller's own decision is kept."""
    waiting: Annotated[int, Between(100, 1_000_000)] = 20_000
    """Events that wait to become spans; above it they are dropped and counted."""


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
    cluster: ClusterSettings | None = None
    """Several nodes; default: this server by itself."""
    log_level: LogLevel = LogLevel.INFO
    """debug, info, warning or error. Personal data is written at debug only."""
    metrics: MetricsSettings | None = None
    """A listener of its own for /metrics; default: on the main one, with a token."""
    oidc: OidcSettings | None = None
    """People sign in through an identity provider, too."""
    tracing: TracingSettings | None = None
    """Traces for OpenTelemetry."""
    limits: LimitSettings = LimitSettings()
    """What one client may ask."""
