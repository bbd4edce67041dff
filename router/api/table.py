"""The table of operations: handler, method, path, types, roles, words. The single source.

`http.py` serves it, `openapi.py` describes it, the tests generate their cases from it. A path may
end in ``:verb``; ids hold no colon.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from aiohttp import web

from router.api.auth import Principal, Role
from router.api.tenant import Tenant
from router.api.wire import Reader, parse_json, typed
from router.errors import Invalid

ALL = frozenset(Role)
ANYBODY: frozenset[Role] = frozenset()
"""No token asked: health, sign-in, the description itself."""


class Reply(NamedTuple):
    """An answer: a status, a value to encode, and headers."""

    status: int
    value: Any = None
    headers: Mapping[str, str] | None = None


class Call:
    """One request on its way through a handler."""

    __slots__ = ("api", "body", "id", "now_us", "raw", "request", "tenant", "who")

    def __init__(
        self,
        api: Any,
        request: web.Request,
        who: Principal,
        tenant: Tenant,
        now_us: int,
        id_: str,
    ) -> None:
        self.api = api
        self.request = request
        self.who = who
        self.tenant = tenant
        self.now_us = now_us
        self.id = id_
        """The id in the path, without the verb; empty where the path has none."""
        self.raw = b""
        self.body: Any = None


Handler = Callable[[Call], Awaitable[Reply | web.StreamResponse]]


class Param(NamedTuple):
    """A query parameter or header."""

    name: str
    schema: dict[str, Any]
    doc: str
    place: str = "query"


class Route(NamedTuple):
    """One operation."""

    operation: str
    method: str
    path: str
    handler: Handler
    roles: frozenset[Role]
    answers: Mapping[int, Any]
    """Type of the body by status; None = no body. A string = another media type."""
    doc: str
    body: type | None = None
    params: tuple[Param, ...] = ()
    tag: str = ""
    idempotent: bool = False
    """Takes an Idempotency-Key."""
    audited: str = ""
    """Leaves an audit row under this action."""
    errors: tuple[int, ...] = ()
    """Statuses beyond those that every operation may have."""
    loose: Callable[[Any], Iterable[Any]] | None = None
    """What of the body its type does not bound; given where speed counts, see `wire.Reader`."""


def reader_of(route: Route) -> Callable[[bytes], Any]:
    """From the bytes of a body to the operation's record. Raises Malformed and Invalid."""
    type_ = route.body
    assert type_ is not None, f"{route.operation} takes no body"
    if route.loose is not None:
        return Reader(type_, route.loose).read
    return lambda raw: typed(parse_json(raw), type_)


def roles(text: str) -> frozenset[Role]:
    """Roles by name, separated by blanks."""
    return frozenset(Role(word) for word in text.split())


TEXT = {"type": "string", "maxLength": 200}
LIMIT = Param(
    "limit", {"type": "integer", "minimum": 1, "maximum": 500, "default": 100}, "Most rows."
)
CURSOR = Param("cursor", {"type": "string", "maxLength": 500}, "`next` of the page before.")
PAGING = (LIMIT, CURSOR)


def query(call: Call, name: str, most: int = 200) -> str:
    """A query parameter as text; empty = absent. Raises Invalid."""
    value = call.request.query.get(name, "")
    if len(value) > most:
        raise Invalid("invalid", f"expected at most {most} characters - at `?{name}`")
    return value


def query_int(call: Call, name: str, default: int, low: int, high: int) -> int:
    """A whole number from the query. Raises Invalid."""
    text = call.request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20):
        raise Invalid("invalid", f"expected a whole number, got {text!r:.40} - at `?{name}`")
    value = int(text)
    if not low <= value <= high:
        raise Invalid("invalid", f"expected {low} to {high}, got {value} - at `?{name}`")
    return value
