"""An issuer of tokens: keys of every kind, and tokens signed with them or forged."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from dispatch.core.callers import Caller
from dispatch.core.claims import TokenRules
from dispatch.services.key_sets import VerificationKey
from dispatch.services.tokens import KeyRing, TokenService
from protocol.errors import ErrorCode, ReelyardError
from tests.unit.dispatch_jobs import NOW

Json = dict[str, Any]  # any JSON object
SECRET = b"0123456789abcdef0123456789abcdef"
RULES = TokenRules("https://login.example", "reelyard", "tenant", "scope", allows_admin=False, jobs_per_hour=100)
CLAIMS: Json = {
    "iss": "https://login.example",
    "aud": "reelyard",
    "exp": int(NOW) + 300,
    "sub": "ci",
    "tenant": "acme",
    "scope": "jobs:read",
}


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key, its algorithm, and its public half as it is published."""

    algorithm: str
    private: Any  # a private key of any kind
    jwk: Json
    pem: bytes

    def sign(self, claims: Json | None = None, **headers: Any) -> str:  # any header
        return jwt.encode(claims or CLAIMS, self.private, self.algorithm, {"kid": self.jwk["kid"], **headers})


def _signer(algorithm: str, private: Any, kid: str) -> Signer:  # as above
    public = private.public_key()
    family: Any = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}[algorithm]  # each has its own keys
    told = {**family.to_jwk(public, as_dict=True), "kid": kid, "use": "sig", "alg": algorithm}
    told.pop("key_ops", None)
    return Signer(algorithm, private, told, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@lru_cache(maxsize=1)
def signers() -> dict[str, Signer]:
    """One of each kind; made once, because an RSA key takes a while."""
    return {
        "RS256": _signer("RS256", rsa.generate_private_key(public_exponent=65537, key_size=2048), "rsa-1"),
        "ES256": _signer("ES256", ec.generate_private_key(ec.SECP256R1()), "ec-1"),
        "EdDSA": _signer("EdDSA", ed25519.Ed25519PrivateKey.generate(), "ed-1"),
    }


def jwks(*more: Json) -> bytes:
    return orjson.dumps({"keys": [*(signer.jwk for signer in signers().values()), *more]})


class Still:
    """A clock that stands; `elapsed` is its monotonic side."""

    def __init__(self) -> None:
        self.elapsed = 0.0

    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return self.elapsed


def service(*keys: VerificationKey, rules: TokenRules | None = RULES) -> TokenService:
    clock = Still()
    return TokenService(KeyRing(keys, None, clock), rules, {"acme"}, clock)


async def caller(tokens: TokenService, token: str) -> Caller | None:
    """None when the token opens nothing."""
    try:
        return await tokens.authenticate(token, "192.0.2.7")
    except ReelyardError as error:
        if error.code is not ErrorCode.UNAUTHORIZED:
            raise
        return None


def part(document: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(document)).decode().rstrip("=")
