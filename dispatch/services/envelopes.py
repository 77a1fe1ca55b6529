"""Bodies between dispatch and one engine: sealed for it alone, and believed because they open."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol.broker import sealing_key

NONCE_BYTES = 12  # NIST SP 800-38D


class NotBelieved(Exception):
    """Not sealed with this engine's credential for this subject; the text says what of it is known."""


class Envelopes:
    """`chance` gives fresh text of at least 96 random bits at each call; `Ids.secret` does."""

    def __init__(self, credential_sha256: str, chance: Callable[[], str]) -> None:
        self._cipher, self._chance = AESGCM(sealing_key(credential_sha256)), chance

    def seal(self, body: bytes, bound: bytes) -> bytes:
        nonce = hashlib.sha256(self._chance().encode()).digest()[:NONCE_BYTES]
        return nonce + self._cipher.encrypt(nonce, body, bound)

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        """Raises NotBelieved."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
        except (InvalidTag, ValueError):
            raise NotBelieved("it was not sealed with this engine's credential for this subject") from None
