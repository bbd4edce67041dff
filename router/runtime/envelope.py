"""What is sealed with a contact: who is at the other end, in bytes that only its key opens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from router.channel import Address
from router.core.model import Contact, QueueId
from router.core.record import Value
from router.journal.pieces import Pieces
from router.journal.seal import Opener, Sealer

if TYPE_CHECKING:
    from router.runtime.loop import Workspace


class Envelope(Value):
    """Personal fields of a contact. Never in a log line, an event or the engine."""

    address: str = ""
    name: str = ""
    our_address: str = ""
    adapter: str = ""
    """Which adapter brought it, so that answers go the same way."""
    subject: str = ""
    attributes: dict[str, Any] = {}
    """As the contact has them when it arrives; this and what follows: see `veil.py`."""
    external_id: str = ""
    conversation: str = ""


class Arrival(Value):
    """What `veil.py` takes out of an envelope: the rest need not be read for it."""

    attributes: dict[str, Any] = {}
    external_id: str = ""
    conversation: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Envelope).decode
_decode_arrival = msgspec.msgpack.Decoder(Arrival).decode
NOBODY = Envelope()
_contacts, _messages = Pieces(6), Pieces(3)
"""The random ends of ids."""


def seal(sealer: Sealer, key_id: str, envelope: Envelope) -> bytes:
    """The envelope's bytes, under this key."""
    return sealer.seal(key_id, _encode(envelope))


def seal_new(sealer: Sealer, envelope: Envelope) -> tuple[str, bytes]:
    """The envelope's bytes under a key of its own, and that key's id. Raises Overloaded."""
    return sealer.seal_new(_encode(envelope))


def open_envelope(sealer: Sealer, contact: Contact) -> Envelope:
    """Who is at the other end; empty if the key was erased or nothing was sealed."""
    return open_sealed(sealer, contact.seal_key, contact.sealed)


def open_sealed(sealer: Opener, key_id: str, sealed: bytes) -> Envelope:
    """An envelope's content; empty if the key was erased or nothing was sealed."""
    plain = sealer.open(key_id, sealed) if sealed else None
    return NOBODY if plain is None else _decode(plain)


def read_arrival(opener: Opener, key_id: str, sealed: bytes) -> Arrival | None:
    """Of an envelope, what it came with; None if the key was erased or nothing was sealed."""
    plain = opener.open(key_id, sealed) if sealed else None
    return None if plain is None else _decode_arrival(plain)


def resealed(
    workspace: Workspace, contact: Contact | None, channel: str, address: str
) -> tuple[bytes, str, str]:
    """The sealed fields (bytes, key, peer key) of a contact that goes on at another address."""
    old = open_envelope(workspace.sealer, contact) if contact is not None else NOBODY
    key = contact.seal_key if contact is not None else ""
    key = key or workspace.keys.new_key()[0]
    queue = contact.queue if contact is not None else QueueId("")
    ours = workspace.policy.our_address(channel, queue)
    envelope = Envelope(address=address, name=old.name, our_address=ours)
    _, peer_key = workspace.customers.identities.peer(channel, address, ours)
    return seal(workspace.sealer, key, envelope), key, peer_key


def address_of(envelope: Envelope) -> Address:
    """As adapters see it."""
    return Address(address=envelope.address, name=envelope.name)


def contact_id(now_us: int) -> str:
    """A new contact's id: sorts by time, cannot be guessed."""
    return f"c{now_us // 1000:011x}{_contacts.take().hex()}"


def customer_id(now_us: int) -> str:
    """A new customer's id, for who gives none."""
    return f"k{now_us // 1000:011x}{_contacts.take().hex()}"


def message_id(now_us: int) -> str:
    """A new message's id: sorts by time within a contact."""
    return f"m{now_us:014x}{_messages.take().hex()}"
