"""OpenAPI 3.1 from the table of operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from router.api.problems import TITLES
from router.api.table import ANYBODY, Param, Route
from router.api.views import View

REF = "#/components/schemas/{name}"
ALWAYS = (400, 401, 403, 405, 408, 413, 415, 422, 429, 500, 503)


ByType = list[tuple[Any, dict[str, Any]]]


class Problem(View):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    """Stable and machine-readable."""
    detail: str
    retry_after_s: float = 0.0
    findings: list[str] = []
    place: str = ""
    allow: list[str] = []


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole description."""
    routes = list(routes)
    types: list[Any] = [Problem]
    for route in routes:
        types += [t for t in route.answers.values() if t is not None and not isinstance(t, str)]
        if route.body is not None:
            types.append(route.body)
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    by_type: ByType = list(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "contact-router",
            "version": "1",
            "description": "Contacts of every channel in one queue model, to the right agent.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, by_type: ByType) -> dict[str, Any]:
    params = [_param(param) for param in route.params]
    if "{id}" in route.path:
        schema = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[^/:{}]+$"}
        params.insert(0, {"name": "id", "in": "path", "required": True, "schema": schema})
    if route.idempotent:
        header = Param(
            "Idempotency-Key",
            {"type": "string", "minLength": 1, "maxLength": 200},
            "The same request with the same key is carried out once (24 h).",
            "header",
        )
        params.append(_param(header))
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "summary": route.doc.partition(".")[0] + ".",
        "description": route.doc + _who(route),
        "tags": [
            route.path.split("/")[2].partition(":")[0] if route.path[:4] == "/v1/" else "server"
        ],
        "responses": _answers(route, by_type),
    }
    if params:
        operation["parameters"] = params
    if route.roles is ANYBODY:
        operation["security"] = []
    if route.body is not None:
        schema = _schema(route.body, by_type)
        content = {"application/json": {"schema": schema}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _who(route: Route) -> str:
    if route.roles is ANYBODY:
        return " No token needed."
    return f" Roles: {', '.join(sorted(route.roles))}."


def _param(param: Param) -> dict[str, Any]:
    return {
        "name": param.name,
        "in": param.place,
        "required": False,
        "description": param.doc,
        "schema": param.schema,
    }


def _answers(route: Route, by_type: ByType) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, type_ in route.answers.items():
        answer: dict[str, Any] = {"description": "Done" if status < 300 else "See the headers"}
        if isinstance(type_, str):
            answer["content"] = {type_: {"schema": {"type": "string"}}}
        elif type_ is not None:
            answer["content"] = {"application/json": {"schema": _schema(type_, by_type)}}
        found[str(status)] = answer
    problem = {"application/problem+json": {"schema": _schema(Problem, by_type)}}
    for status in sorted({*ALWAYS, *route.errors}):
        if str(status) not in found:
            found[str(status)] = {"description": TITLES[status], "content": problem}
    return found


def _schema(type_: Any, by_type: ByType) -> dict[str, Any]:
    return dict(next(schema for known, schema in by_type if known is type_))
