"""Agents and reservations over HTTP."""

from __future__ import annotations

import re

from router.api import bodies as b
from router.api.audit import audit_row
from router.api.reach import check_reservation
from router.api.routes.actions import version_asked
from router.api.table import PAGING, TEXT, Call, Param, Reply, Route, query, query_int, roles
from router.api.views import AgentView, ReservationView, View, reservation_view
from router.api.wire import Malformed
from router.core.commands import PutAgent, RemoveAgent
from router.core.model import AgentId, Presence, ReservationId
from router.errors import Invalid, NotFound

ID = re.compile(r"[A-Za-z0-9_.@+-]{1,100}")


class AgentPage(View):
    """Some agents, by id."""

    agents: list[AgentView]
    next: str = ""


class ReservationPage(View):
    """Some open reservations, by id."""

    reservations: list[ReservationView]
    next: str = ""


async def list_agents(call: Call) -> Reply:
    """A page of agents."""
    await call.tenant.read()
    limit = query_int(call, "limit", 100, 1, 500)
    cursor, presence = query(call, "cursor", 500), query(call, "presence")
    if presence not in {"", *Presence}:
        raise Invalid("invalid", f"no presence {presence!r} - at `?presence`")
    agents = call.tenant.state.agents
    ids = sorted(
        id_ for id_, row in agents.items() if id_ > cursor and presence in {"", row.presence}
    )
    views = [call.tenant.agent(agents[id_]) for id_ in ids[:limit]]
    return Reply(200, AgentPage(agents=views, next=ids[limit - 1] if len(ids) > limit else ""))


async def get_agent(call: Call) -> Reply:
    """One agent; an agent's own token: themselves."""
    await call.tenant.read()
    row = call.tenant.state.agents.get(AgentId(call.id))
    if row is None or call.who.agent not in {"", call.id}:
        raise NotFound("agent", call.id)
    return Reply(200, call.tenant.agent(row), {"ETag": f'"{row.version}"'})


async def put_agent(call: Call) -> Reply:
    """Create or change; If-Match / If-None-Match: * as preconditions."""
    body: b.AgentBody = call.body
    if not ID.fullmatch(call.id):
        raise Invalid(
            "invalid",
            f"expected an agent's id of 1-100 of A-Z a-z 0-9 _ . @ + -, got {call.id!r:.60}",
        )
    version = version_asked(call)
    if "If-None-Match" in call.request.headers:
        if call.request.headers["If-None-Match"] != "*":
            raise Malformed("expected If-None-Match: *")
        version = 0
    existed = AgentId(call.id) in call.tenant.state.agents
    await call.tenant.workspace.ask(
        PutAgent(
            agent=AgentId(call.id),
            name=body.name,
            skills=body.skills,
            profile=body.profile,
            capacity=body.capacity,
            maximum=body.maximum,
            endpoints=body.endpoints,
            auto_accept=body.auto_accept,
            version=version,
            by=call.who.by,
        ),
        (audit_row(call, "agent.put", call.id),),
    )
    row = call.tenant.state.agents.get(AgentId(call.id))
    if row is None:  # removed in the same moment
        raise NotFound("agent", call.id)
    headers = {"ETag": f'"{row.version}"'}
    return Reply(200 if existed else 201, call.tenant.agent(row), headers)


async def delete_agent(call: Call) -> Reply:
    """Delete an agent who holds nothing; If-Match as precondition."""
    command = RemoveAgent(agent=AgentId(call.id), version=version_asked(call), by=call.who.by)
    await call.tenant.workspace.ask(command, (audit_row(call, "agent.delete", call.id),))
    return Reply(204)


async def list_reservations(call: Call) -> Reply:
    """A page of open reservations."""
    await call.tenant.read()
    limit = query_int(call, "limit", 100, 1, 500)
    cursor, agent = query(call, "cursor", 500), query(call, "agent") or call.who.agent
    if call.who.agent and agent != call.who.agent:
        raise NotFound("agent", agent)
    rows = call.tenant.state.reservations
    ids = sorted(
        id_ for id_, row in rows.items() if id_ > cursor and (not agent or row.agent == agent)
    )
    views = [reservation_view(rows[id_]) for id_ in ids[:limit]]
    more = ids[limit - 1] if len(ids) > limit else ""
    return Reply(200, ReservationPage(reservations=views, next=more))


async def get_reservation(call: Call) -> Reply:
    """One open reservation."""
    await call.tenant.read()
    row = call.tenant.state.reservations.get(ReservationId(call.id))
    if row is None or call.who.agent not in {"", row.agent}:
        raise NotFound("reservation", call.id)
    await check_reservation(call.tenant, call.who, call.id)
    return Reply(200, reservation_view(row))


STAFF = roles("admin supervisor agent")
LEADS = roles("admin supervisor")

ROUTES: tuple[Route, ...] = (
    Route("listAgents", "GET", "/v1/agents", list_agents, LEADS, {200: AgentPage}, "Agents by id.",
          params=(Param("presence", {"type": "string", "enum": [*Presence]}, "Only these."),
          *PAGING)),
    Route("getAgent", "GET", "/v1/agents/{id}", get_agent, STAFF, {200: AgentView}, "One agent.",
          errors=(404,)),
    Route("putAgent", "PUT", "/v1/agents/{id}", put_agent, roles("admin"), {200: AgentView,
          201: AgentView},
          "Create or change an agent, whole. If-Match: its version; If-None-Match: * = new.",
          body=b.AgentBody, audited="agent.put", errors=(404, 409, 412, 507)),
    Route("deleteAgent", "DELETE", "/v1/agents/{id}", delete_agent, roles("admin"), {204: None},
          "Delete an agent who holds nothing. If-Match: its version.", audited="agent.delete",
          errors=(404, 409, 412, 507)),
    Route("listReservations", "GET", "/v1/reservations", list_reservations, STAFF,
          {200: ReservationPage},
          "Open reservations by id.", params=(Param("agent", TEXT, "Only of this agent."), *PAGING),
          errors=(404,)),
    Route("getReservation", "GET", "/v1/reservations/{id}", get_reservation,
          roles("admin supervisor agent adapter"), {200: ReservationView}, "One open reservation.",
          errors=(404,)),
)  # fmt: skip
