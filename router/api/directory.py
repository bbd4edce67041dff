"""What desks and wallboards may name: queues, agents, channels, and how a contact can end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from router.api.tenant import Tenant


def directory(tenant: Tenant) -> dict[str, Any]:
    """What a transfer can name."""
    state, policy = tenant.state, tenant.policy
    now_us = tenant.workspace.now_us()
    return {
        "queues": [
            {
                "id": id_,
                "channels": {
                    name: queue.targets_us.get(name, channel.target_us)
                    for name, channel in policy.channels.items()
                },
                "dispositions": queue.dispositions,
                "require_disposition": queue.require_disposition,
                "open": (hours := state.hours.get(id_)) is None or hours.is_open(now_us),
            }
            for id_, queue in policy.queues.items()
        ],
        "agents": [
            {"id": a.id, "name": a.name, "presence": a.presence, "reason": a.reason}
            for a in state.agents.values()
        ],
        "channels": [
            {
                "name": c.name,
                "media": c.media,
                "parks": c.parks,
                "cost": c.cost,
                "maximum": c.maximum,
            }
            for c in policy.channels.values()
        ],
    }
