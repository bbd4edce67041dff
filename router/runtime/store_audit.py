"""What the audit of the store's settings found, at the start: said, counted, or a refusal."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge

from router.errors import ConfigError, JournalFailed
from router.journal.redis_audit import Audited, audit_store, failed_checks, refusals
from router.journal.redis_servers import RedisSettings

log = logging.getLogger("router.store")


async def audit_at_start(
    stores: Sequence[RedisSettings], registry: CollectorRegistry, *, is_strict: bool
) -> None:
    """Look at the servers of the journal and of the keys. The gauge says how it was at the start.

    Raises ConfigError with every finding that refuses it: errors, and if strict, warnings; and
    JournalFailed when nobody answers, which may be over in a moment.
    """
    findings: list[Audited] = []
    for store in stores:
        findings += await audit_store(store)
    gauge = Gauge(
        "router_store_audit_failed",
        "Findings about the settings of the store at the start, by check",
        ("check",),
        registry=registry,
    )
    for check, count in failed_checks(findings).items():
        gauge.labels(check).set(count)
    away = [one.text for one in findings if (one.level, one.check) == ("error", "unreachable")]
    if away:
        raise JournalFailed("; ".join(away))
    refused = refusals(findings, is_strict=is_strict)
    if refused:
        raise ConfigError(refused)
    for finding in findings:
        if finding.level != "ok":
            log.warning("store", extra={"check": finding.check, "finding": finding.text})
