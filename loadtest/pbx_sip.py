"""SIP messages as bytes and back, as far as a phone needs them: no input or output happens here.

RFC 3261 for requests, responses and dialogs; RFC 3264 and RFC 4566 for what their bodies say of
sound (one stream of G.711 µ-law, and RFC 4733 digits).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# RFC 3261 7.3.3: short names of header fields.
SHORT = {
    "v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length",
    "c": "content-type",
}  # fmt: skip
REASONS = {
    100: "Trying", 180: "Ringing", 200: "OK", 481: "Call/Transaction Does Not Exist",
    486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here",
    501: "Not Implemented", 503: "Service Unavailable", 603: "Decline",
}  # fmt: skip


class Malformed(ValueError):
    """Not a SIP message."""


@dataclass(slots=True)
class Message:
    """A request or a response. Header names are in lower case, in their order."""

    start: str
    headers: list[tuple[str, str]]
    body: str = ""

    @property
    def is_request(self) -> bool:
        """False: a response."""
        return not self.start.startswith("SIP/2.0")

    @property
    def method(self) -> str:
        """Of the request, or of the request that this answers (CSeq, RFC 3261 8.1.1.5)."""
        if self.is_request:
            return self.start.partition(" ")[0]
        return self.get("cseq").rpartition(" ")[2]

    @property
    def user(self) -> str:
        """The user part of the request's URI."""
        return user_of(self.start.split(" ", 2)[1])

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.start[8:11])

    @property
    def branch(self) -> str:
        """What names the transaction (RFC 3261 17.1.3)."""
        found = re.search(r";\s*branch=([^;,\s]+)", self.get("via"))
        return found[1] if found else ""

    def get(self, name: str) -> str:
        """The first header field of this name; empty if there is none."""
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> list[str]:
        """Every header field of this name."""
        return [value for key, value in self.headers if key == name]

    def to_bytes(self) -> bytes:
        """As it goes over the wire."""
        lines = [self.start, *(f"{name}: {value}" for name, value in self.headers)]
        lines.append(f"content-length: {len(self.body.encode())}")
        return ("\r\n".join(lines) + "\r\n\r\n" + self.body).encode()


def parse(data: bytes) -> Message:
    """A datagram. Raises Malformed."""
    head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
    lines = head.split("\r\n")
    if "SIP/2.0" not in lines[0]:
        raise Malformed(lines[0][:40])
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise Malformed(line[:40])
        name = name.strip().lower()
        headers.append((SHORT.get(name, name), value.strip()))
    return Message(lines[0], headers, body)


def answer(
    request: Message, status: int, *, tag: str = "", contact: str = "", body: str = ""
) -> Message:
    """A response to `request` (RFC 3261 8.2.6): `tag` is added to To unless one is there."""
    to = request.get("to")
    if tag and ";tag=" not in to:
        to = f"{to};tag={tag}"
    headers = [("via", via) for via in request.all("via")]
    headers += [
        ("from", request.get("from")),
        ("to", to),
        ("call-id", request.get("call-id")),
        ("cseq", request.get("cseq")),
    ]
    if contact:
        headers.append(("contact", contact))
    if body:
        headers.append(("content-type", "application/sdp"))
    return Message(f"SIP/2.0 {status} {REASONS[status]}", headers, body)


def user_of(field: str) -> str:
    """The user part of the URI in a header field or request line."""
    found = re.search(r"sips?:([^@;>]+)@", field)
    return found[1] if found else ""


def uri_of(field: str) -> str:
    """The URI in a header field with or without angle brackets."""
    found = re.search(r"<([^>]+)>", field)
    return found[1] if found else field.partition(";")[0].strip()


def tag_of(field: str) -> str:
    """The tag of From or To; empty if it has none yet."""
    found = re.search(r";\s*tag=([^;\s]+)", field)
    return found[1] if found else ""


def cause_of(message: Message) -> int:
    """The Q.850 cause of a Reason header field (RFC 3326), or the SIP status there; 0 = none."""
    found = {}
    for field in message.all("reason"):
        for protocol, cause in re.findall(r"(?i)(Q\.850|SIP)\s*;\s*cause=(\d+)", field):
            found[protocol.upper()] = int(cause)
    return found.get("Q.850", found.get("SIP", 0))


def sdp(port: int, version: int, *, way: str = "sendrecv") -> str:
    """What is offered or answered: µ-law and digits at 127.0.0.1:`port`; `way` as in RFC 3264."""
    return (
        f"v=0\r\no=- 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
        f"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na={way}\r\n"
    )


def media_port(body: str) -> int:
    """Where the other side wants its sound; 0 = nowhere."""
    found = re.search(r"(?m)^m=audio (\d+) ", body)
    return int(found[1]) if found else 0
