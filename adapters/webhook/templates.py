"""Requests from templates: values are put in whole and encoded, never joined into JSON. No I/O."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from adapters.webhook.description import Request

DEPTH = 20
NAMES = frozenset(
    ["text", "customer", "name", "ours", "contact", "message", "effect", "part", "reference"]
)
"""What a template may name, besides secrets."""

_PLACE = re.compile(r"\{([a-z_]+)(?::(int))?\}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class Ready(NamedTuple):
    """A request with its values."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


class Template:
    """One request; raises ValueError for what is wrong with it."""

    def __init__(self, request: Request, secrets: dict[str, str]) -> None:
        self._request = request
        self._secrets = secrets
        self._known = NAMES | secrets.keys()
        url = urlsplit(_PLACE.sub("x", request.url))
        if url.scheme not in ("https", "http") or not url.hostname:
            raise ValueError(f"url: expected https://..., got {request.url!r:.80}")
        self._check(request.url, "url")
        if any(match[1] in NAMES for match in _PLACE.finditer(urlsplit(request.url).netloc)):
            raise ValueError("url: whom we call is not for a customer or an effect to say")
        for name, value in request.headers.items():
            if not _HEADER.fullmatch(name) or not _is_header_value(value):
                raise ValueError(f"headers.{name:.40}: this cannot be a header")
            self._check(value, f"headers.{name}")
        self._check_body(request.body, "body", 0)

    @property
    def place(self) -> tuple[str, int, bool]:
        """Host, port and whether it is TLS, for a look whether anybody is there."""
        url = urlsplit(self._url({**dict.fromkeys(NAMES, "x"), **self._secrets}))
        is_tls = url.scheme == "https"
        return url.hostname or "", url.port or (443 if is_tls else 80), is_tls

    def fill(self, values: dict[str, str]) -> Ready:
        """The request. Raises ValueError for a value that cannot stand where it is to stand."""
        values = {**values, **self._secrets}
        headers = {"Content-Type": "application/json"}
        for name, text in self._request.headers.items():
            headers[name] = _PLACE.sub(lambda match: values.get(match[1], ""), text)
            if not _is_header_value(headers[name]):
                raise ValueError(f"headers.{name}: a value cannot stand in a header")
        body = msgspec.json.encode(_filled(self._request.body, values))
        return Ready(self._request.method, self._url(values), headers, body)

    def _url(self, values: dict[str, str]) -> str:
        # A colon may stand in a path (RFC 3986 3.3), and some tokens have one.
        def encoded(match: re.Match[str]) -> str:
            value = values.get(match[1], "")
            if value in (".", ".."):  # never escaped, and read as steps (RFC 3986 5.2.4)
                raise ValueError(f"{match[0]} would be another path")
            return quote(value, safe=":")

        return _PLACE.sub(encoded, self._request.url)

    def _check(self, text: str, where: str) -> None:
        for match in _PLACE.finditer(text):
            if match[1] not in self._known:
                known = ", ".join(sorted(self._known))
                raise ValueError(f"{where}: unknown placeholder {match[0]}; known: {known}")

    def _check_body(self, value: Any, where: str, depth: int) -> None:
        if depth > DEPTH:
            raise ValueError(f"{where}: more than {DEPTH} levels")
        if isinstance(value, dict):
            for key, inner in value.items():
                self._check_body(inner, f"{where}.{key}", depth + 1)
        elif isinstance(value, list | tuple):
            for place, inner in enumerate(value):
                self._check_body(inner, f"{where}[{place}]", depth + 1)
        elif isinstance(value, str) and _PLACE.search(value):
            if not _PLACE.fullmatch(value):
                raise ValueError(f"{where}: a placeholder stands alone, as the whole text")
            self._check(value, where)


def _filled(value: Any, values: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, values) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(inner, values) for inner in value]
    match = _PLACE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    text = values.get(match[1], "")
    if match[2] is None:
        return text
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError(f"{{{match[1]}}} is no whole number")
    return int(text)


def _is_header_value(text: str) -> bool:
    """Visible ASCII and blanks (RFC 9110 5.5): no line can begin in it."""
    return all(" " <= letter <= "~" for letter in text)
