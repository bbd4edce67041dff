"""What desks and wallboards may name: queues, agents, channels, and how a contact can end.

Every desk is told of every agent, so what changes must not cost a whole directory for each desk:
it is encoded once for all, and of a few agents that changed only those are sent.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from router.api.wire import encode_json, pack_frame

if TYPE_CHECKING:
    from router.api.tenant import Tenant

AGAIN_US = 2_000_000
"""Made anew so often at most."""
CHANGES = 32
"""Versions of which it is known what changed: a minute, while each desk looks every ten seconds."""
PART = 4
"""The whole is sent once a part like this of all agents has changed."""
LARGE = 32 << 10
"""Bytes from which on it is no part of the welcome, but follows it."""


class Directory:
    """Of one workspace, for all its desks."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self.version = 0
        """Grows with each change; see `look`."""
        self._made_us = 0
        self._rest: dict[str, Any] = {}
        self._agents: dict[str, dict[str, Any]] = {}
        self._changes: deque[tuple[int, list[str] | None]] = deque(maxlen=CHANGES)
        """Version, and the agents that changed or went with it; None: something else did, too."""
        self._whole = msgspec.Raw(b"{}")
        self.is_large = False
        self._frames: dict[tuple[int, bool], bytes] = {}
        """From which version, and in which encoding, to the present one."""

    def look(self) -> int:
        """Bring it up to date, if that was long enough ago. The version."""
        now_us = self._tenant.workspace.now_us()
        if self.version and now_us - self._made_us <= AGAIN_US:
            return self.version
        self._made_us = now_us
        rest, agents = rest_of(self._tenant), agents_of(self._tenant)
        before = self._agents
        changed = [id_ for id_, agent in agents.items() if before.get(id_) != agent]
        changed += [id_ for id_ in before if id_ not in agents]
        if changed or rest != self._rest or not self.version:
            self.version += 1
            self._changes.append((self.version, changed if rest == self._rest else None))
            self._rest, self._agents = rest, agents
            whole = encode_json(self.plain())
            self._whole, self.is_large = msgspec.Raw(whole), len(whole) > LARGE
            self._frames.clear()
        return self.version

    def plain(self) -> dict[str, Any]:
        """The whole of it, as it is known."""
        return self._rest | {"agents": list(self._agents.values())}

    def whole(self, is_msgpack: bool) -> Any:
        """The whole of it, to be a part of a frame."""
        return self.plain() if is_msgpack else self._whole

    def since(self, version: int, is_msgpack: bool) -> bytes:
        """The frame for who has this version, a lower one than the present one."""
        found = self._frames.get((version, is_msgpack))
        if found is None:
            frame = self._frame(version, is_msgpack)
            found = pack_frame(frame) if is_msgpack else encode_json(frame)
            self._frames[version, is_msgpack] = found
        return found

    def _frame(self, version: int, is_msgpack: bool) -> dict[str, Any]:
        changed: dict[str, None] = {}
        whole = not self._changes or self._changes[0][0] > version + 1
        for number, ids in self._changes:
            if number > version:
                whole = whole or ids is None
                changed.update(dict.fromkeys(ids or ()))
        if whole or len(changed) * PART > len(self._agents):
            return {"type": "directory", "directory": self.whole(is_msgpack)}
        agents = self._agents
        return {
            "type": "directory_agents",
            "agents": [agents[id_] for id_ in changed if id_ in agents],
            "gone": [id_ for id_ in changed if id_ not in agents],
        }


def agents_of(tenant: Tenant) -> dict[str, dict[str, Any]]:
    """Who can be named, by id."""
    return {
        a.id: {"id": a.id, "name": a.name, "presence": a.presence, "reason": a.reason}
        for a in tenant.state.agents.values()
    }


def rest_of(tenant: Tenant) -> dict[str, Any]:
    """What can be named besides agents."""
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
