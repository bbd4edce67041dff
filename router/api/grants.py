"""From a person's claims at the identity provider to what they may do here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from router.api.auth import Role
from router.config.server import GrantSettings

PAGES = {"desk": (Role.AGENT,), "wallboard": (Role.SUPERVISOR, Role.ADMIN)}
"""Page -> the roles that it is for."""


def grant_for(
    page: str, claims: Mapping[str, Any], grants: Sequence[GrantSettings]
) -> GrantSettings | None:
    """The first grant for this page that the claims fit."""
    for grant in grants:
        if Role(grant.role.value) in PAGES[page] and _fits(grant, claims):
            return grant
    return None


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name; or, with points, a claim of a claim. None: not there.

    The whole name goes first: names such as ``https://oak.example.com/groups`` have points.
    """
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def is_missing(page: str, claims: Mapping[str, Any], grants: Sequence[GrantSettings]) -> bool:
    """Does a grant for this page look at a claim that is not there?"""
    return any(
        grant.claim and claim(claims, grant.claim) is None
        for grant in grants
        if Role(grant.role.value) in PAGES[page]
    )


def _fits(grant: GrantSettings, claims: Mapping[str, Any]) -> bool:
    if not grant.claim:
        return True
    value = claim(claims, grant.claim)
    if isinstance(value, list):
        return grant.value in value
    if isinstance(value, bool):
        return grant.value == str(value).lower()
    return isinstance(value, str | int) and grant.value == str(value)
