"""What nodes and the command line ask a node: paths below /nodes/, signed or not there.

Nothing here needs a token, because nothing here answers anybody but who has the installation's
secret (`hops.py`); everybody else finds what they would find at any other path: nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from router.api.problems import ApiError, problem
from router.api.proxy import HOPPED
from router.api.wire import encode_json

if TYPE_CHECKING:
    from router.api.http import Api
    from router.runtime.cluster import Cluster

TAKEN_S = 2.5
"""So long a node that hands over waits for the other one to serve."""


def mount(app: web.Application, api: Api) -> None:
    """Add the paths."""

    def signed(answer: Callable[[web.Request, Cluster], Awaitable[Any]]) -> Any:
        async def serve(request: web.Request) -> web.StreamResponse:
            cluster = api.context.cluster
            if request.get(HOPPED) is None or cluster is None:
                return problem(ApiError(404, "not_found", "there is nothing at this path"))
            body = encode_json(await answer(request, cluster))
            return web.Response(body=body, content_type="application/json")

        return serve

    async def find(request: web.Request, cluster: Cluster) -> dict[str, Any]:
        """Which workspace of this node knows each token and name, in the order of the query."""
        found = [_knows(api, kind, key) for kind, key in request.query.items()]
        return {"workspaces": found, "serves": api.serves()}

    async def take(request: web.Request, cluster: Cluster) -> dict[str, Any]:
        """A workspace has been handed over to this node; answered when it is served."""
        name = request.query.get("workspace", "")
        cluster.look_now(name)
        if name in cluster.places:
            await cluster.served(name, TAKEN_S)
        return {"serves": name in api.tenants}

    async def warm(request: web.Request, cluster: Cluster) -> dict[str, Any]:
        """A workspace will be handed over to this node; answered when its rows are read."""
        return {"takes": await cluster.warm_up(request.query.get("workspace", ""))}

    async def drain(request: web.Request, cluster: Cluster) -> dict[str, Any]:
        """Hand over everything; claim nothing until the next start."""
        return {"handed_over": await cluster.drain(), "kept": list(api.tenants)}

    app.router.add_get("/nodes/find", signed(find))
    app.router.add_post("/nodes/warm", signed(warm))
    app.router.add_post("/nodes/take", signed(take))
    app.router.add_post("/nodes/drain", signed(drain))
    app.router.add_get("/nodes/state", signed(state))


def _knows(api: Api, kind: str, key: str) -> str:
    if kind == "login":
        return api.logins.has(key)
    try:
        return api.tokens.workspace_of(bytes.fromhex(key))
    except ValueError:
        return ""


async def state(_request: web.Request, cluster: Cluster) -> dict[str, Any]:
    """The nodes and who owns what, as this one sees it."""
    now_us = cluster.now_us()
    alive = cluster.members.alive(now_us)
    owners = {name: cluster.owner(name) for name in cluster.places}
    return {
        "node": cluster.me.name,
        "draining": cluster.draining,
        "nodes": [
            {
                "name": entry.name,
                "address": entry.address,
                "alive": entry.name in alive,
                "owns": [n for n, owner in owners.items() if owner and owner.name == entry.name],
            }
            for entry in cluster.members.all()
        ],
        "unowned": [name for name, owner in owners.items() if owner is None],
    }
