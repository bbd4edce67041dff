"""From the configuration to the Redis servers that it names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from router.config import JournalSettings, read_secret
from router.config.server import WhenShort
from router.journal.redis_line import Access, Endpoint
from router.journal.redis_servers import RedisSettings

REDIS_PORT = 6379


def redis_settings(settings: JournalSettings, *, keys: bool = False) -> RedisSettings:
    """How the store is reached; `keys`: the one for the keys of personal data.

    Raises ConfigError if a secret cannot be read.
    """
    access = Access(
        user=settings.user,
        password=_secret(settings.password_file),
        is_tls=settings.tls,
        ca_file=settings.ca_file,
        certificate_file=settings.certificate_file,
        certificate_key_file=settings.private_key_file,
        timeout_s=settings.timeout_s,
    )
    if keys and settings.keys_url:
        return RedisSettings(url=settings.keys_url, access=access)
    replicas = settings.replicas
    if replicas is None:
        replicas = 1 if settings.sentinels or settings.cluster else 0
    degrades = settings.when_short is WhenShort.DEGRADE
    return RedisSettings(
        url=settings.url,
        sentinels=_endpoints(settings.sentinels),
        master=settings.master,
        cluster=_endpoints(settings.cluster),
        access=access,
        sentinel_access=replace(
            access,
            user=settings.sentinel_user,
            password=_secret(settings.sentinel_password_file),
        ),
        replicas=replicas,
        degrade_after_s=settings.degrade_after_s if degrades else None,
    )


def _secret(file: str) -> str | None:
    return read_secret(Path(file)).decode() if file else None


def _endpoints(texts: tuple[str, ...]) -> tuple[Endpoint, ...]:
    parts = [urlsplit(f"//{text}") for text in texts]
    return tuple(Endpoint(part.hostname or "", part.port or REDIS_PORT) for part in parts)
