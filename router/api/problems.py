"""Errors on the wire: RFC 9457 problem details for HTTP, `{code, text}` for sockets.

One table from `router/errors.py` to status codes. A fault of our own shows an id to look up in the
log, never a traceback.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any

from aiohttp import web

from router.api.wire import Malformed, encode_json
from router.errors import (
    ConfigError,
    Invalid,
    JournalError,
    NotFound,
    OutcomeUnknown,
    Overloaded,
    Refused,
    RouterError,
    StoreFull,
)

log = logging.getLogger("router.api")

TITLES = {
    400: "The request cannot be read",
    401: "A valid token is needed",
    403: "This token may not do that",
    404: "Not found",
    405: "Method not allowed",
    408: "The request came too slowly",
    409: "Refused as things stand",
    412: "It has changed in the meantime",
    413: "The body is too large",
    415: "Send application/json",
    422: "The content can never be right",
    429: "Too many requests",
    500: "A fault of ours",
    503: "Try again later",
    507: "The store takes nothing now",
}


class ApiError(Exception):
    """A refusal of the API itself, before the engine is asked."""

    def __init__(
        self, status: int, code: str, detail: str, *, retry_after_s: float = 0.0, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.extra = extra


def status_of(error: RouterError) -> int:
    """The HTTP status of an error of ours."""
    match error:
        case Malformed():
            return 400
        case NotFound():
            return 404
        case Invalid() | ConfigError():
            return 422
        case Refused():
            return 412 if error.code == "version" else 409
        case StoreFull():
            return 507
        case Overloaded() | OutcomeUnknown() | JournalError():
            return 503
        case _:
            return 500


def code_of(error: RouterError) -> str:
    """The stable word for an error of ours."""
    match error:
        case Refused():
            return error.code
        case Overloaded():
            return "overloaded"
        case OutcomeUnknown():
            return "outcome_unknown"
        case StoreFull():
            return "store_full"
        case ConfigError():
            return "config"
        case JournalError():
            return "unavailable"
        case _:
            return "internal"


def describe(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and problem members of any error; unexpected ones are logged under an id."""
    if isinstance(error, ApiError):
        body = {"code": error.code, "detail": error.detail, **error.extra}
        if error.retry_after_s:
            body["retry_after_s"] = error.retry_after_s
        return error.status, body
    if isinstance(error, RouterError):
        status = status_of(error)
        if status != 500:
            body = {"code": code_of(error), "detail": str(error)}
            if isinstance(error, ConfigError):
                body |= {"detail": "the configuration is wrong", "findings": error.findings}
            if isinstance(error, Overloaded):
                body["retry_after_s"] = error.retry_after_s
            elif status in {503, 507}:
                body["retry_after_s"] = 2.0
            return status, body
    incident = secrets.token_hex(8)
    log.error("request failed", exc_info=error, extra={"incident": incident})
    return 500, {"code": "internal", "detail": f"look for incident {incident} in the log"}


def problem(error: Exception) -> web.Response:
    """The answer for an error."""
    status, body = describe(error)
    headers = {"Cache-Control": "no-store"}
    if "retry_after_s" in body:
        headers["Retry-After"] = str(max(1, round(body["retry_after_s"])))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 405 and "allow" in body:
        headers["Allow"] = ", ".join(body["allow"])
    full = {"type": f"urn:contact-router:{body['code']}", "title": TITLES[status], "status": status}
    return web.Response(
        status=status,
        body=encode_json(full | body),
        content_type="application/problem+json",
        headers=headers,
    )


def socket_error(error: Exception) -> dict[str, Any]:
    """An error as an answer on a socket."""
    _, body = describe(error)
    answer = {"code": body["code"], "text": body["detail"]}
    if "retry_after_s" in body:
        answer["retry_after_s"] = body["retry_after_s"]
    return answer
