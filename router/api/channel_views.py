"""Channels as they go out: what they are, and whether they are paused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.api.views import View
from router.core.pauses import ChannelPause
from router.errors import NotFound

if TYPE_CHECKING:
    from router.api.tenant import Tenant


class PauseView(View):
    """Nobody is offered a contact of this channel until it is resumed."""

    channel: str
    at_us: int
    """Since when."""
    by: str = ""
    reason: str = ""


class ChannelView(View):
    """A channel."""

    name: str
    media: bool = False
    """It has calls."""
    pause: PauseView | None = None
    """None: it is not paused."""


class ChannelList(View):
    """All channels of a workspace."""

    channels: list[ChannelView]


def pause_view(pause: ChannelPause) -> PauseView:
    """One pause."""
    return PauseView(channel=pause.channel, at_us=pause.at_us, by=pause.by, reason=pause.reason)


def pause_views(tenant: Tenant) -> list[PauseView]:
    """What is paused now."""
    return [pause_view(pause) for pause in tenant.state.pauses.values()]


def channel_view(tenant: Tenant, name: str) -> ChannelView:
    """One channel as it is now. Raises NotFound."""
    channel = tenant.policy.channels.get(name)
    if channel is None:  # gone in the same moment
        raise NotFound("channel", name)
    pause = tenant.state.pauses.get(name)
    return ChannelView(
        name=name, media=channel.media, pause=pause_view(pause) if pause is not None else None
    )
