"""Bodies between this engine and dispatch: sealed with what follows from its credential, believed because they open."""

from __future__ import annotations

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol.broker import sealing_key

NONCE_BYTES = 12  # NIST SP 800-38D


class NotBelieved(Exception):
    """Nobody who knows this engine's credential sealed it for this subject."""


class Envelopes:
    def __init__(self, credential: str) -> None:
        self._cipher = AESGCM(sealing_key(hashlib.sha256(credential.encode()).hexdigest()))

    def seal(self, body: bytes, bound: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, body, bound)

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        """Raises NotBelieved."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
        except (InvalidTag, ValueError):
            raise NotBelieved("it was not sealed for this engine and subject") from None
