"""Idempotency-Key: the same request with the same key is carried out once.

The key's row is written in the same commit as the command, so it is there exactly when the command
happened. What is answered the second time is the object as it is then, with `Idempotent-Replayed`.
Nothing in the row can be read, not even by trying: keys and bodies may have personal data in them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import msgspec

from router.api.problems import ApiError
from router.api.table import Call, Reply
from router.journal import ArchiveWrite

KIND = "idempotency"
KEEP_US = 24 * 3600 * 1_000_000
KEY_CHARS = 200


class Done(msgspec.Struct, omit_defaults=True):
    """What is kept of a request that was carried out."""

    fingerprint: bytes
    """Keyed hash of what was asked for."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Done).decode
_under_way: dict[tuple[str, str], asyncio.Event] = {}


def key_id(call: Call) -> str:
    """What the request's key is kept under: one token's keys are not another's. Raises ApiError."""
    key = call.request.headers["Idempotency-Key"]
    if not 1 <= len(key) <= KEY_CHARS or not key.isprintable():
        raise ApiError(
            400, "idempotency_key", f"expected an Idempotency-Key of 1-{KEY_CHARS} characters"
        )
    key = key.encode("utf-8", "replace").decode()
    return call.tenant.workspace.sealer.place(KIND, call.who.token, key)


async def once(
    call: Call,
    operation: str,
    run: Callable[[tuple[ArchiveWrite, ...]], Awaitable[Reply]],
    replay: Callable[[], Awaitable[Reply]],
) -> Reply:
    """Run, unless this key has run before: then `replay`.

    Raises ApiError 400 for a bad key, 422 when the key came with another request before.
    """
    if "Idempotency-Key" not in call.request.headers:
        return await run(())
    id_ = key_id(call)
    place = (call.tenant.name, id_)
    digest = hashlib.sha256(f"{operation}\0{call.id}\0".encode() + call.raw).hexdigest()
    fingerprint = bytes.fromhex(call.tenant.workspace.sealer.place("fingerprint", "", digest))
    while (busy := _under_way.get(place)) is not None:
        await busy.wait()
    ended = _under_way[place] = asyncio.Event()
    try:
        workspace = call.tenant.workspace
        found = await workspace.journal.fetch(workspace.own, KIND, [id_])
        done = _decode(found[id_]) if id_ in found else None
        if done is not None:
            if done.fingerprint != fingerprint:
                raise ApiError(
                    422, "idempotency_mismatch", "this Idempotency-Key came with another request"
                )
            reply = await replay()
            return reply._replace(headers={**(reply.headers or {}), "Idempotent-Replayed": "true"})
        row = ArchiveWrite(KIND, id_, call.now_us, _encode(Done(fingerprint)))
        return await run((row,))
    finally:
        del _under_way[place]
        ended.set()
