"""What an adapter's token reaches: its own channel, and there no contact of another adapter.

An adapter is a program of somebody else's, often the one nearest to strangers: what it may do to
its own contacts it must not be able to do to everybody's. Other roles are bounded elsewhere.
"""

from __future__ import annotations

from router.api.auth import Principal, Role
from router.api.problems import ApiError
from router.api.tenant import Tenant
from router.core.model import Contact, ReservationId
from router.errors import NotFound


def own_channel(tenant: Tenant, who: Principal) -> str:
    """The channel that this token is bound to; empty = not to one. Raises ApiError 403.

    403: the adapter of this token is not configured any more.
    """
    if who.role is not Role.ADAPTER:
        return ""
    channel = tenant.channels.channel_of(who.channel)
    if not channel:
        raise ApiError(403, "forbidden", f"there is no adapter {who.channel!r} any more")
    return channel


def check_channel(tenant: Tenant, who: Principal, channel: str) -> None:
    """Before something begins, or is asked, on a channel. Raises ApiError 403."""
    own = own_channel(tenant, who)
    if own and channel != own:
        raise ApiError(
            403, "forbidden", f"adapter {who.channel!r} is on channel {own}, not on {channel!r:.60}"
        )


def reaches(tenant: Tenant, who: Principal, contact: Contact) -> bool:
    """Is the contact within this token's reach?"""
    return who.role is not Role.ADAPTER or tenant.channels.may_speak_for(who.channel, contact)


async def check_contact(tenant: Tenant, who: Principal, id_: str) -> None:
    """Raises NotFound: what is out of reach looks as if it were not there."""
    if who.role is Role.ADAPTER and not reaches(tenant, who, await tenant.find_contact(id_)):
        raise NotFound("contact", id_)


async def check_reservation(tenant: Tenant, who: Principal, id_: str) -> None:
    """Raises NotFound, as `check_contact`, for an open reservation of a contact out of reach.

    One that is over says nothing of its contact: the engine answers `gone`.
    """
    row = tenant.state.reservations.get(ReservationId(id_))
    if who.role is not Role.ADAPTER or row is None:
        return
    contact = await tenant.intake.contact(row.contact)
    if contact is None or row.channel != tenant.channels.channel_of(who.channel):
        raise NotFound("reservation", id_)
    # Of a contact that goes on by another channel this leg is still the adapter's.
    if contact.channel == row.channel and not reaches(tenant, who, contact):
        raise NotFound("reservation", id_)
