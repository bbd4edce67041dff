"""Schemathesis against a running server: no 5xx, no answer that the description does not have."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CHECKS

from router.api.openapi import describe
from router.api.routes import ROUTES
from router.api.wire import encode_json
from router.core import commands as c
from router.core.model import AgentId, ContactId, Presence, QueueId
from tests.api.site import Site, api_of, start

pytestmark = pytest.mark.slow

SKIPPED = {"streamEvents": "has no end", "closeSession": "ends the token of the test"}


Served = tuple[str, str, dict[str, list[str]]]


async def _things(site: Site) -> dict[str, list[str]]:
    """Something of each kind, in different states."""
    oak = site.server.hosts["oak"].workspace
    await oak.ask(c.SetPresence(agent=AgentId("ana"), presence=Presence.READY))
    contacts = [f"c{number}" for number in range(24)]
    for number, id_ in enumerate(contacts):
        channel = ("voice", "chat", "sms", "email")[number % 4]
        command = c.SubmitContact(contact=ContactId(id_), channel=channel, queue=QueueId("front"))
        await oak.ask(command)
    reservations = list(oak.engine.state.reservations)
    for id_ in reservations[::2]:
        await oak.ask(c.AcceptOffer(reservation=id_))
    return {
        "contacts": contacts,
        "reservations": [str(id_) for id_ in reservations],
        "agents": ["ana", "ben"],
        "queues": ["front", "billing"],
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server in a thread of its own: schemathesis is synchronous."""
    ready: Future[Served] = Future()
    ended = threading.Event()

    async def run(data: Path) -> None:
        server = await start(data)
        site = Site(server, api_of(server), None)  # type: ignore[arg-type]  # not used
        ready.set_result((site.base, await site.token("admin"), await _things(site)))
        await asyncio.to_thread(ended.wait)
        await server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(run(tmp_path_factory.mktemp("data"))))
    thread.start()
    yield ready.result(timeout=20)
    ended.set()
    thread.join(timeout=20)


WANTED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
SCHEMA = schemathesis.openapi.from_dict(json.loads(encode_json(describe(ROUTES))))
ROUTES_TRIED = [route for route in ROUTES if route.operation not in SKIPPED]
CASES = [(route.operation, False) for route in ROUTES_TRIED] + [
    (route.operation, True) for route in ROUTES_TRIED if "{id}" in route.path
]
"""Any id, and ids that exist."""


@pytest.mark.parametrize(("name", "known"), CASES)
def test_every_answer_is_described(name: str, known: bool, served: Served) -> None:
    base, token, things = served
    count = itertools.count()
    checks = [CHECKS.get_one(check) for check in WANTED]

    @settings(
        max_examples=20, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=SCHEMA.find_operation_by_id(name).as_strategy())
    def answered(case: schemathesis.Case) -> None:
        ids = things.get(case.path.split("/")[2], []) if known else []
        if ids and "id" in (case.path_parameters or {}):
            case.path_parameters["id"] = ids[next(count) % len(ids)]
        headers = {"Authorization": f"Bearer {token}"}
        response = case.call(base_url=base, headers=headers, timeout=60)  # passwords are hashed
        case.validate_response(response, checks=checks)

    answered()
