"""Secrets that must be kept so that they can be read again: sealed with a key that follows from the server's own secret."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES, NONCE_BYTES = 32, 12  # AES-256-GCM, NIST SP 800-38D
PURPOSE = b"reelyard sealed rows, AES-256-GCM"


class Unsealable(ValueError):
    """Not sealed by this server's secret, or changed since."""


class Sealer:
    """`chance` gives fresh text of at least 96 random bits at each call; `Ids.secret` does."""

    def __init__(self, secret: bytes, chance: Callable[[], str]) -> None:
        self._cipher = AESGCM(HKDF(SHA256(), KEY_BYTES, salt=None, info=PURPOSE).derive(secret))
        self._chance = chance

    def seal(self, text: str) -> str:
        """Letters, digits, `-` and `_`, no spaces; another text at each call."""
        nonce = hashlib.sha256(self._chance().encode()).digest()[:NONCE_BYTES]
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), None)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def open(self, sealed: str) -> str:
        """Raises Unsealable."""
        try:
            raw = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
            return self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], None).decode()
        except (ValueError, InvalidTag):
            raise Unsealable("sealed by another server's secret, or changed since") from None
