"""The provider's webhooks and texts as values: signatures, forms, states. No I/O.

Twilio documentation: "Validating requests" (signature), "Messaging webhooks" (parameters),
"Message resource" (states, error codes).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import NamedTuple
from urllib.parse import parse_qs, parse_qsl, urlsplit

FIELDS = 200
"""Most parameters of one webhook; the vendor sends about thirty."""
MEDIA = 10
"""Most files of one message, as the vendor has it."""
TEXT = 1_600
"""Most characters of one message; a longer one is refused (error 21617)."""
PORTS = {"https": 443, "http": 80}
FINAL = {
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "undelivered",
    "failed": "undelivered",
    "canceled": "undelivered",
}
"""States after which nothing follows that matters, as a receipt says them."""
WHY = {
    21211: "not a number that can be written to",
    21408: "messages to this country are not permitted",
    21610: "the customer has written STOP to the provider",
    21612: "this number cannot be reached from ours",
    21614: "not a mobile number",
    21617: "the message is too long",
    30003: "the handset cannot be reached",
    30004: "the message is blocked",
    30005: "the handset is unknown",
    30006: "a landline, or a carrier that cannot be reached",
    30007: "the carrier has filtered it",
    30008: "unknown error at the carrier",
}
"""Error codes that agents meet."""

Params = list[tuple[str, str]]


class Incoming(NamedTuple):
    """A message from a customer."""

    id: str
    sender: str
    to: str
    text: str
    name: str
    media: tuple[dict[str, str], ...]


class Status(NamedTuple):
    """What became of a message of ours."""

    id: str
    state: str
    error: int


def parameters(content_type: str, body: bytes) -> Params:
    """The parameters of a webhook: a form, or a flat JSON object.

    Raises ValueError for a body that is neither, or has more than `FIELDS` of them.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS
        )
    if kind == "application/json":
        try:
            values = json.loads(body)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if not isinstance(values, dict) or len(values) > FIELDS:
            raise ValueError("expected a flat JSON object")
        return [(name, value) for name, value in values.items() if isinstance(value, str)]
    raise ValueError("expected a form or JSON")


def signature(token: str, url: str, params: Params) -> str:
    """HMAC-SHA1 of the URL and the sorted parameters, each name with its values, base64."""
    text = url + "".join(name + value for name, value in sorted(set(params)))
    digest = hmac.new(token.encode(), text.encode("utf-8", "surrogatepass"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def is_genuine(token: str, url: str, content_type: str, body: bytes, given: str) -> bool:
    """Whether a request to this URL (ours, as configured there, with its query) was signed so.

    The vendor signs with the port of the scheme or without it, so both are compared. Of a JSON
    body the hash in the query is signed. Raises ValueError as `parameters`.
    """
    params = parameters(content_type, body)
    hash_given = parse_qs(urlsplit(url).query).get("bodySHA256", [])
    whole = True
    if not content_type.lower().startswith("application/x-www-form-urlencoded"):
        params = []
        digest = hashlib.sha256(body).hexdigest()
        whole = bool(hash_given) and hmac.compare_digest(digest, _ascii(hash_given[0]))
    expected = [signature(token, form, params) for form in _with_and_without_port(url)]
    found = [hmac.compare_digest(one, _ascii(given)) for one in expected]
    return whole and any(found)


def incoming(params: Params) -> Incoming:
    """A customer's message. Raises ValueError when something is missing."""
    values = dict(params)
    media = []
    for number in range(min(MEDIA, _number(values.get("NumMedia", "")))):
        url = values.get(f"MediaUrl{number}", "")
        if url.startswith(("https://", "http://")):
            kind = values.get(f"MediaContentType{number}", "")
            media.append({"url": url, "content_type": kind[:100]})
    found = Incoming(
        values.get("MessageSid") or values.get("SmsSid", ""),
        values.get("From", ""),
        values.get("To", ""),
        values.get("Body", ""),
        values.get("ProfileName", "")[:200],
        tuple(media),
    )
    if not (found.id and found.sender and found.to) or len(found.id) > 64:
        raise ValueError("MessageSid, From and To are needed")
    return found


def status(params: Params) -> Status:
    """A state of a message of ours. Raises ValueError when something is missing."""
    values = dict(params)
    id_ = values.get("MessageSid") or values.get("SmsSid", "")
    state = values.get("MessageStatus") or values.get("SmsStatus", "")
    if not id_ or not state or len(id_) > 64:
        raise ValueError("MessageSid and MessageStatus are needed")
    return Status(id_, state.lower(), _number(values.get("ErrorCode", "")))


def reason(code: int, text: str = "") -> str:
    """An error of the vendor's in words that an agent understands; never with the vendor's own
    text, which may quote the customer's number.
    """
    return f"{code}: {WHY[code]}" if code in WHY else (f"error {code}" if code else text)


def plain_and_kind(address: str) -> tuple[str, str]:
    """A number and what stands before it: ``whatsapp:+49...`` is the customer ``+49...``."""
    kind, colon, number = address.rpartition(":")
    return number, kind + colon


def _with_and_without_port(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    bare, colon, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not colon or not port.isdecimal():
        bare, port = host, str(PORTS.get(parts.scheme, 443))
    # Put together by hand: nothing else of the URL may change by a letter.
    rest = url[url.index("//") + 2 + len(parts.netloc) :]
    return f"{parts.scheme}://{bare}{rest}", f"{parts.scheme}://{bare}:{port}{rest}"


def _ascii(text: str) -> str:
    """`compare_digest` takes no other letters; what has some is no signature."""
    return text if text.isascii() else ""


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
