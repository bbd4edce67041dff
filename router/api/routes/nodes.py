"""Several nodes, as a workspace's people may see them: who lives, and who serves this workspace."""

from __future__ import annotations

from router.api.table import Call, Reply, Route, roles
from router.api.views import View


class NodeView(View):
    """One node."""

    name: str
    alive: bool
    """It was heard of within a lease and a half."""
    serves: bool
    """It owns this workspace."""


class NodesView(View):
    """The nodes that share the store."""

    node: str
    """Who says so: the node that serves this workspace. Empty: one server by itself."""
    nodes: list[NodeView]
    """By name; one that died stays for an hour."""


async def list_nodes(call: Call) -> Reply:
    """Names only: addresses, and who serves other workspaces, is for who runs the machines."""
    cluster = call.api.context.cluster
    if cluster is None:
        return Reply(200, NodesView(node="", nodes=[]))
    me = cluster.me.name
    alive = {*cluster.members.alive(cluster.now_us()), me}
    names = sorted({*(entry.name for entry in cluster.members.all()), me})
    owner = cluster.owner(call.tenant.name)
    serving = owner.name if owner is not None else ""
    nodes = [NodeView(name=n, alive=n in alive, serves=n == serving) for n in names]
    return Reply(200, NodesView(node=me, nodes=nodes))


ROUTES: tuple[Route, ...] = (
    Route("listNodes", "GET", "/v1/nodes", list_nodes, roles("admin supervisor metrics"),
          {200: NodesView}, "The nodes that share the store, which live, and which serves this "
          "workspace."),
)  # fmt: skip
