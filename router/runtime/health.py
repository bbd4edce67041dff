"""How the server is: alive, ready for traffic, and what is not as it should be.

*Alive* means that the event loop turns. *Ready* means that at least one workspace takes input and
none of the reasons given stands against new traffic. *Degraded* is for people: it serves, but look.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from router.runtime.channels import Channels
    from router.runtime.cluster import Cluster
    from router.runtime.loop import Workspace

LAG_S = 0.25
"""A loop that is later than this is reported."""


class Health:
    """The server's answers to "how are you?"."""

    def __init__(self) -> None:
        self.lag_s = 0.0
        """How late the event loop came to its last timer."""
        self.stopping = False
        self._workspaces: Mapping[str, Workspace] = {}
        self._channels: Mapping[str, Channels] = {}
        self._started = False
        self._cluster: Cluster | None = None
        """With several nodes: who serves what; this one serves all that anybody serves."""
        self._refused: dict[str, str] = {}

    def watch(
        self,
        workspaces: Mapping[str, Workspace],
        channels: Mapping[str, Channels],
        cluster: Cluster | None = None,
    ) -> None:
        """Everything has started: answer for these."""
        self._workspaces, self._channels = workspaces, channels
        self._cluster = cluster
        self._started = True

    def refuse(self, workspace: str, why: str) -> None:
        """A workspace that could not be started; the others are served. Empty: it could."""
        self._refused[workspace] = why
        if not why:
            del self._refused[workspace]

    def not_ready(self) -> list[str]:
        """Why traffic should go elsewhere; empty = ready."""
        if not self._started:
            return ["starting"]
        if self.stopping:
            return ["stopping"]
        if self._cluster is not None and self._is_elsewhere(self._cluster):
            return []
        if all(w.stopped or w.suspended for w in self._workspaces.values()):
            return [
                *(f"workspace {name}: {why}" for name, why in self._refused.items()),
                *(
                    f"workspace {w.name}: {w.stopped or w.suspended}"
                    for w in self._workspaces.values()
                ),
            ] or ["no workspace is served"]
        return []

    def _is_elsewhere(self, cluster: Cluster) -> bool:
        """Does another node serve a workspace, for whose clients this one is a way in?"""
        owners = map(cluster.owner, cluster.places)
        return any(owner is not None and owner.name != cluster.me.name for owner in owners)

    def degraded(self) -> list[str]:
        """What is not as it should be, one sentence each."""
        found = [f"workspace {name} is not served: {why}" for name, why in self._refused.items()]
        for workspace in self._workspaces.values():
            if workspace.stopped:
                found.append(f"workspace {workspace.name} is not served: {workspace.stopped}")
            elif workspace.suspended:
                found.append(f"workspace {workspace.name} cannot store: {workspace.suspended}")
        for name, channels in self._channels.items():
            found += [
                f"adapter {name}/{adapter['name']} is {adapter['state']}: {adapter['detail']}"
                for adapter in channels.states()
                if adapter["state"] != "up"
            ]
        if self.lag_s > LAG_S:
            found.append(f"the event loop is {self.lag_s:.2f} s late")
        return found

    def report(self) -> dict[str, Any]:
        """Everything, for ``GET /v1/health``."""
        not_ready, degraded = self.not_ready(), self.degraded()
        node = {} if self._cluster is None else {"node": self._cluster.me.name}
        return {
            **node,
            "status": "down" if not_ready else "degraded" if degraded else "ok",
            "not_ready": not_ready,
            "degraded": degraded,
            "workspaces": {
                w.name: {"seq": w.seq, "epoch": w.epoch, "live": len(w.engine.state.contacts)}
                for w in self._workspaces.values()
            },
            "adapters": {name: channels.states() for name, channels in self._channels.items()},
        }
