"""Keys that signatures of tokens are checked with: from PEM, from a JWKS (RFC 7517), from a shared secret.

Each key has its algorithm, and no token can choose another one for it: a public key never serves as a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import InvalidKeyError, PyJWK, PyJWKError

RSA_BITS = 2048  # RFC 7518, 3.3
SECRET_BYTES = 32  # RFC 7518, 3.2: as long as the hash
MOST_KEYS = 64
EDDSA = ("EdDSA", "Ed25519")
"""The name of RFC 8037, and the one RFC 9864 replaces it by."""

Json = dict[str, Any]  # Any: a JSON document has no narrower type
Public = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class BadKey(ValueError):
    """Not a key tokens can be checked with; the text says why."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """`kid` None fits any token. `algorithms` are the names of the one algorithm it is for."""

    kid: str | None
    algorithms: tuple[str, ...]
    key: Public | bytes


def of_secret(secret: bytes) -> VerificationKey:
    """Raises BadKey."""
    if len(secret) < SECRET_BYTES:
        raise BadKey(f"a secret for HS256 has at least {SECRET_BYTES} bytes, this one has {len(secret)}")
    return VerificationKey(None, ("HS256",), secret)


def of_file(content: bytes) -> tuple[VerificationKey, ...]:
    """One public key in PEM, or a JWKS. Raises BadKey."""
    if content.lstrip().startswith(b"{"):
        return of_jwks(content)
    try:
        loaded = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey(f"neither a JWKS nor a public key in PEM: {error}") from error
    return (VerificationKey(None, *_checked(loaded)),)


def of_jwks(content: bytes) -> tuple[VerificationKey, ...]:
    """The usable keys of the set; those of other kinds, sizes and uses are left out. Raises BadKey when it is no set."""
    try:
        told = orjson.loads(content)["keys"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadKey("not a JWKS: a JSON object with `keys`") from error
    if not isinstance(told, list):
        raise BadKey("not a JWKS: `keys` is no list")
    found = [_of_jwk(jwk) for jwk in told[:MOST_KEYS] if isinstance(jwk, dict)]
    return tuple(key for key in found if key is not None)


def _of_jwk(jwk: Json) -> VerificationKey | None:
    if jwk.get("kty") == "oct" or jwk.get("use", "sig") != "sig" or "d" in jwk:
        return None
    try:
        algorithms, key = _checked(PyJWK(jwk).key)
    except (PyJWKError, InvalidKeyError, BadKey, TypeError):
        return None
    kid, alg = jwk.get("kid"), jwk.get("alg")
    if (alg is not None and alg not in algorithms) or not (kid is None or isinstance(kid, str)):
        return None
    return VerificationKey(kid, algorithms, key)


def _checked(key: object) -> tuple[tuple[str, ...], Public]:
    """The key with the algorithm it is for. Raises BadKey."""
    if isinstance(key, RSAPublicKey):
        if key.key_size < RSA_BITS:
            raise BadKey(f"an RSA key has at least {RSA_BITS} bits, this one has {key.key_size}")
        return ("RS256",), key
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return ("ES256",), key
    if isinstance(key, Ed25519PublicKey):
        return EDDSA, key
    raise BadKey("known are RSA (RS256), P-256 (ES256) and Ed25519")
