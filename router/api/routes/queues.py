"""Queues, channels, route requests and measures over HTTP."""

from __future__ import annotations

from typing import Any

from router.api import bodies as b
from router.api.board import BoardQueue
from router.api.channel_views import ChannelList, PauseView, channel_view, pause_views
from router.api.reach import check_channel
from router.api.routes.file_owned import file_owned, place_of
from router.api.table import Call, Reply, Route, roles
from router.api.views import View
from router.api.wire import check_attributes, signature
from router.core.commands import AskRoute
from router.core.events import RouteAnswered
from router.core.model import QueueId
from router.core.statistics import FORMULAS
from router.errors import Invalid, NotFound


class QueueView(View):
    """A queue: its settings in short, its numbers, and where the file defines it."""

    id: str
    numbers: BoardQueue
    place: str = ""
    """file:line"""
    strategy: str = ""
    hours: str = ""
    steps: list[str] = []


class QueueList(View):
    """All queues."""

    queues: list[QueueView]


class ReachView(View):
    """Whom a contact reaches at a step."""

    step: str
    after_us: int = 0
    requirements: dict[str, int] = {}
    queues: tuple[str, ...] = ()
    ready: int = 0
    """Agents who are ready and meet it."""
    available: int = 0
    """Of these, with room now."""


class PreviewView(View):
    """Each relaxation step of the queue, as it would be now."""

    queue: str
    channel: str
    steps: list[ReachView]


class RouteView(View):
    """Where it would go now."""

    request: str
    queue: str
    open: bool
    wait_us: int = -1
    position: int = 0
    eligible: int = 0
    requirements: dict[str, int] = {}
    """What it would ask of its agent."""
    attributes: dict[str, Any] = {}
    """Those asked with, the entry point's, and what rules have set."""
    segment: str = ""
    rules: list[str] = []
    """Those that decided."""
    deflect: str = ""
    """Not empty: a rule would turn it away with these words."""


class StatsView(View):
    """All measures; `formulas` says how each is made."""

    at_us: int
    since_us: int
    kept_us: int
    totals: dict[str, Any]
    queues: dict[str, Any]
    agents: dict[str, Any]
    formulas: dict[str, str]
    paused: list[PauseView] = []
    """Channels of which nobody is offered a contact now."""


def _queue(call: Call, id_: QueueId) -> QueueView:
    settings = call.tenant.policy.queues[id_]
    return QueueView(
        id=id_,
        place=place_of(call, "queue", id_),
        strategy=settings.strategy,
        hours=settings.hours,
        steps=[step.name for step in settings.steps],
        numbers=call.tenant.board().queue(id_),
    )


async def list_queues(call: Call) -> Reply:
    """All queues with their numbers."""
    await call.tenant.read()
    call.tenant.board().queues()
    return Reply(200, QueueList(queues=[_queue(call, id_) for id_ in call.tenant.policy.queues]))


async def get_queue(call: Call) -> Reply:
    """One queue."""
    await call.tenant.read()
    if QueueId(call.id) not in call.tenant.policy.queues:
        raise NotFound("queue", call.id)
    call.tenant.board().queues()
    return Reply(200, _queue(call, QueueId(call.id)))


async def put_queue(call: Call) -> Reply:
    """Queues belong to the file: says where."""
    if QueueId(call.id) not in call.tenant.policy.queues:
        raise NotFound("queue", call.id)
    raise file_owned("queue", call.id, place_of(call, "queue", call.id))


async def preview(call: Call) -> Reply:
    """Whom each relaxation step would reach now."""
    await call.tenant.read()
    body: b.PreviewBody = call.body
    asked = signature(body.requirements)
    found = call.tenant.workspace.engine.preview(QueueId(call.id), body.channel, asked)
    steps = [
        ReachView(
            step=reach.step,
            after_us=reach.after_us,
            requirements=dict(reach.requirements),
            queues=reach.queues,
            ready=reach.ready,
            available=reach.available,
        )
        for reach in found
    ]
    return Reply(200, PreviewView(queue=call.id, channel=body.channel, steps=steps))


async def route(call: Call) -> Reply:
    """A route request: answered, nothing queued."""
    body: b.RouteBody = call.body
    check_channel(call.tenant, call.who, body.channel)
    check_attributes(body.attributes)
    entry_point = body.entry_point
    if not entry_point and not body.queue and body.to:
        for point in call.tenant.policy.entry_points.values():
            if point.channel == body.channel and point.address == body.to:
                entry_point = point.id
                break
        else:
            raise Invalid(
                "unknown_entry_point", f"no entry point on {body.channel} has this address"
            )
    identities = call.tenant.workspace.customers.identities
    who, _ = identities.peer(body.channel, body.address, "")
    answer = await call.tenant.workspace.ask(
        AskRoute(
            request=body.request,
            channel=body.channel,
            entry_point=entry_point,
            queue=QueueId(body.queue),
            requirements=signature(body.requirements),
            attributes=body.attributes,
            customer=body.customer or who,
            segment=body.segment,
        ),
        shed=1,
    )
    for event in answer.events:
        if type(event) is RouteAnswered:
            return Reply(
                200,
                RouteView(
                    request=body.request,
                    queue=event.queue,
                    open=event.open,
                    wait_us=event.wait_us,
                    position=event.position,
                    eligible=event.eligible,
                    requirements=dict(event.requirements),
                    attributes=event.attributes,
                    segment=event.segment,
                    rules=event.rule.split(",") if event.rule else [],
                    deflect=event.deflect,
                ),
            )
    raise AssertionError("a route request was not answered")


async def list_channels(call: Call) -> Reply:
    """All channels, and which of them are paused."""
    await call.tenant.read()
    channels = [channel_view(call.tenant, name) for name in call.tenant.policy.channels]
    return Reply(200, ChannelList(channels=channels))


async def stats(call: Call) -> Reply:
    """All measures of the workspace."""
    await call.tenant.read()
    numbers: dict[str, Any] = call.tenant.measures.snapshot(call.tenant.workspace.now_us())
    paused = pause_views(call.tenant)
    return Reply(200, StatsView(**numbers, paused=paused, formulas=FORMULAS))


STAFF = roles("admin supervisor agent")
LEADS = roles("admin supervisor")

ROUTES: tuple[Route, ...] = (
    Route("listQueues", "GET", "/v1/queues", list_queues, roles("admin supervisor agent client"),
          {200: QueueList}, "All queues with their numbers and the place that defines them."),
    Route("getQueue", "GET", "/v1/queues/{id}", get_queue, roles("admin supervisor agent client"),
          {200: QueueView}, "One queue.", errors=(404,)),
    Route("putQueue", "PUT", "/v1/queues/{id}", put_queue, roles("admin"), {},
          "Queues belong to the configuration file: answers 409 with file:line.",
          body=b.EmptyBody, errors=(404, 409)),
    Route("previewQueue", "POST", "/v1/queues/{id}:preview", preview, LEADS, {200: PreviewView},
          "Whom each relaxation step would reach now, for a contact like this.",
          body=b.PreviewBody, errors=(404,)),
    Route("askRoute", "POST", "/v1/route", route, roles("admin adapter client"), {200: RouteView},
          "Where should this go, what is the wait? Queues nothing.", body=b.RouteBody,
          errors=(404, 409, 507)),
    Route("listChannels", "GET", "/v1/channels", list_channels, STAFF, {200: ChannelList},
          "All channels, and which of them are paused since when, by whom and why."),
    Route("getStats", "GET", "/v1/stats", stats, LEADS, {200: StatsView},
          "The measures, with their formulas."),
)  # fmt: skip
