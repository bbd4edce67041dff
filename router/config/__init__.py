"""The configuration: one YAML file, every error at once with its place, compiled to policies."""

from router.config.document import Config, WorkspaceSettings, load, loads
from router.config.schema import AdapterSettings, AgentSeed, WebhookSettings
from router.config.secret_files import read_secret
from router.config.server import (
    ClusterSettings,
    Durability,
    JournalSettings,
    LimitSettings,
    LogLevel,
    MetricsSettings,
    OidcSettings,
    ServerSettings,
    Store,
    StoreAudit,
    TracingSettings,
)

__all__ = [
    "AdapterSettings",
    "AgentSeed",
    "ClusterSettings",
    "Config",
    "Durability",
    "JournalSettings",
    "LimitSettings",
    "LogLevel",
    "MetricsSettings",
    "OidcSettings",
    "ServerSettings",
    "Store",
    "StoreAudit",
    "TracingSettings",
    "WebhookSettings",
    "WorkspaceSettings",
    "load",
    "loads",
    "read_secret",
]
