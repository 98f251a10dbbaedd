"""Sealing of secrets at rest (design.md 3): AES-256-GCM under one key that is handed in.

Promises: a sealed text opens only under the same key and for the same owner, so that a secret copied to another object
is worthless. Does not keep, rotate or derive keys.
"""

import base64
import binascii
import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from thingstead.model.errors import Unavailable
from thingstead.ports.environment import Entropy

KEY_BYTES: Final = 32
_NONCE = 12
_MARK = "1:"  # form of what follows: base64 of nonce and ciphertext


class Sealer:
    """Seals and opens under one key of 32 bytes."""

    def __init__(self, key: bytes, entropy: Entropy) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key for secrets must have {KEY_BYTES} bytes, not {len(key)}")
        self._aead = AESGCM(key)
        self._index_key = hmac.digest(key, b"fingerprint", "sha256")
        self._entropy = entropy

    def seal(self, secret: str, owner: str) -> str:
        """The secret, unreadable; `owner` names whose it is."""
        nonce = self._entropy.token(_NONCE)
        return _MARK + base64.b64encode(nonce + self._aead.encrypt(nonce, secret.encode(), owner.encode())).decode()

    def fingerprint(self, secret: str) -> str:
        """A keyed hash (64 hex digits): finds what a secret belongs to without opening anything."""
        return hmac.digest(self._index_key, secret.encode(), "sha256").hex()

    def open(self, sealed: str, owner: str) -> str:
        """The secret again. Raises Unavailable if it was sealed under another key or for another owner."""
        try:
            raw = base64.b64decode(sealed.removeprefix(_MARK), validate=True)
            return self._aead.decrypt(raw[:_NONCE], raw[_NONCE:], owner.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise Unavailable(f"the secret of {owner} was sealed under another key") from None
