"""Personal fields, encrypted: whoever erases the key erases the person from every copy there is.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce and the key's id as associated data, so a
sealed field cannot be passed off under another key. A key seals one contact's few fields, far below
the 2^32 messages that random nonces allow (SP 800-38D section 8.3).
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from router.errors import JournalDamaged, JournalError
from router.journal import KeyStore
from router.journal.pieces import Pieces

_FORMAT = b"\x01"
_NONCE_BYTES = 12
_HEAD_BYTES = len(_FORMAT) + _NONCE_BYTES
_TAG_BYTES = 16
_PEER_KEY_BYTES = 16
_SECRET_BYTES_MIN = 16
_BEGUN_MOST = 256


class Keys(Protocol):
    """Where keys are looked up: a `KeyStore`, or the file of one."""

    def key(self, key_id: str) -> bytes | None:
        """A key's bytes; None if it was erased or never was."""


class Opener:
    """Opens what was sealed, as long as its key is there."""

    def __init__(self, keys: Keys, *, ciphers_max: int = 4096) -> None:
        """`ciphers_max`: so many are kept; 0 for who opens each field once."""
        self._keys = keys
        self._ciphers: OrderedDict[str, AESGCM] = OrderedDict()
        self._ciphers_max = ciphers_max

    def open(self, key_id: str, sealed: bytes) -> bytes | None:
        """Decrypt; None if the key was erased. Raises JournalDamaged if the bytes were changed."""
        cipher = self._cipher(key_id)
        if cipher is None:
            return None
        if sealed[:1] != _FORMAT or len(sealed) < _HEAD_BYTES + _TAG_BYTES:
            raise JournalDamaged(f"field sealed by key {key_id!r}: {len(sealed)} bytes are not one")
        try:
            return cipher.decrypt(sealed[1:_HEAD_BYTES], sealed[_HEAD_BYTES:], key_id.encode())
        except InvalidTag:
            raise JournalDamaged(
                f"field sealed by key {key_id!r}: its tag does not match its bytes"
            ) from None

    def _cipher(self, key_id: str) -> AESGCM | None:
        # The key store is asked every time: an erased key must not live on in this cache.
        key = self._keys.key(key_id)
        if key is None:
            self._ciphers.pop(key_id, None)
            return None
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            cipher = AESGCM(key)
            if not self._ciphers_max:
                return cipher
            self._ciphers[key_id] = cipher
            if len(self._ciphers) > self._ciphers_max:
                self._ciphers.popitem(last=False)
        return cipher


class Sealer(Opener):
    """Seals and opens personal fields; hashes who talks to whom, to join messages to contacts."""

    def __init__(self, keys: KeyStore, secret: bytes, *, ciphers_max: int = 4096) -> None:
        if len(secret) < _SECRET_BYTES_MIN:
            raise ValueError(
                f"secret: expected at least {_SECRET_BYTES_MIN} bytes, got {len(secret)}"
            )
        super().__init__(keys, ciphers_max=ciphers_max)
        self._new_key = keys.new_key
        # RFC 7693 section 2.5: BLAKE2b takes a key of up to 64 bytes. Keyed once, copied then.
        self._keyed = blake2b(key=blake2b(secret).digest(), digest_size=_PEER_KEY_BYTES)
        self._begun: dict[str, blake2b] = {}
        """The keyed hash with what goes before an address, by channel."""
        self._nonces = Pieces(_NONCE_BYTES)

    def seal(self, key_id: str, plain: bytes) -> bytes:
        """Encrypt. Raises JournalError if the key was erased or never was."""
        cipher = self._cipher(key_id)
        if cipher is None:
            raise JournalError(f"key {key_id!r} was erased or never was: nothing can be sealed")
        nonce = self._nonces.take()
        return _FORMAT + nonce + cipher.encrypt(nonce, plain, key_id.encode())

    def seal_new(self, plain: bytes) -> tuple[str, bytes]:
        """Encrypt with a key that nothing was sealed with before: the key's id, and the bytes.

        Raises Overloaded when no unused key is left.
        """
        # Most contacts are sealed once and opened when an agent sees them: no look-up, no cache.
        key_id, key = self._new_key()
        nonce = self._nonces.take()
        return key_id, _FORMAT + nonce + AESGCM(key).encrypt(nonce, plain, key_id.encode())

    def peer_key(self, channel: str, customer_address: str, our_address: str) -> str:
        """Keyed hash (BLAKE2b, 128 bits, hex) of who talks to whom, on which channel."""
        begun = self._begun.get(channel)
        if begun is None:
            begun = self._keyed.copy()
            begun.update(b"%d " % len(channel.encode()))
            if len(self._begun) < _BEGUN_MOST:  # callers may name channels that are not there
                self._begun[channel] = begun
        ascii_ = customer_address.isascii()
        size = len(customer_address) if ascii_ else len(customer_address.encode())
        hashed = begun.copy()
        # The lengths come first, so that no two triples make the same text.
        hashed.update(f"{size} {channel}{customer_address}{our_address}".encode())
        return hashed.hexdigest()

    def place(self, kind: str, channel: str, id_: str) -> str:
        """Keyed hash of an id that a caller or backend gave, to find its archive row (`kind`) by.

        Whoever reads the store cannot tell the id, nor try out one that they think of.
        """
        hashed = self._keyed.copy()
        hashed.update(f"{kind}\0{channel}\0{id_}".encode())  # only the last may have a NUL in it
        return hashed.hexdigest()
