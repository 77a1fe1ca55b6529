"""Tokens of another issuer (JWT): the signature checked with a known key, then the claims judged.

A key set that cannot be fetched changes nothing for tokens signed with the keys known so far.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable

import orjson
import structlog
from jwt import DecodeError, PyJWS
from jwt.algorithms import OKPAlgorithm
from jwt.exceptions import InvalidTokenError

from dispatch.core.callers import Caller
from dispatch.core.claims import Claims, Refused, TokenRules, caller_of
from dispatch.ports import Clock
from dispatch.services.key_sets import VerificationKey
from protocol.errors import ErrorCode, ReelyardError

log = structlog.get_logger()
REFETCHED_AFTER_S = 60.0
"""A token names its key: an unknown name makes us look again, and at most so often, whoever sends them."""

Fetch = Callable[[], Awaitable[tuple[VerificationKey, ...]]]


class KeysUnavailable(Exception):
    """The key set cannot be had now; the text says why."""


class KeyRing:
    """The keys that are known. `fetch` gives the present set, or raises KeysUnavailable; None where the set is fixed."""

    def __init__(self, keys: Iterable[VerificationKey], fetch: Fetch | None, clock: Clock) -> None:
        self._keys, self._fetch, self._clock = tuple(keys), fetch, clock
        self._fetched_at: float | None = None
        self._turn = asyncio.Lock()

    async def refresh(self) -> None:
        """Fetch the set anew, unless that was tried less than a minute ago."""
        async with self._turn:
            now = self._clock.monotonic()
            if self._fetch is None or (self._fetched_at is not None and now - self._fetched_at < REFETCHED_AFTER_S):
                return
            self._fetched_at = now
            try:
                self._keys = await self._fetch()
            except KeysUnavailable as error:
                log.warning("key_set_unavailable", reason=str(error), known=len(self._keys))

    async def key_for(self, kid: str | None, algorithm: str) -> VerificationKey:
        """Raises Refused where there is none, or, without a kid, more than one."""
        if kid is not None and not self._naming(kid):
            await self.refresh()
        candidates = [key for key in self._naming(kid) if algorithm in key.algorithms]
        if len(candidates) != 1:
            raise Refused(f"{len(candidates)} keys fit")
        return candidates[0]

    def _naming(self, kid: str | None) -> list[VerificationKey]:
        return [key for key in self._keys if kid is None or key.kid is None or key.kid == kid]


class TokenService:
    """`tenants` are those there are. Without `rules` no token opens anything."""

    def __init__(self, ring: KeyRing, rules: TokenRules | None, tenants: Container[str], clock: Clock) -> None:
        self._ring, self._rules, self._tenants, self._clock = ring, rules, tenants, clock
        self._jws = PyJWS(algorithms=["RS256", "ES256", "EdDSA", "HS256"], options={"enforce_minimum_key_length": True})
        self._jws.register_algorithm("Ed25519", OKPAlgorithm())

    async def refresh(self) -> None:
        """A background duty: keys the issuer took out of its set stop to work here too."""
        await self._ring.refresh()

    async def authenticate(self, token: str, address: str = "") -> Caller:
        """Raises UNAUTHORIZED, the same whatever is wrong with the token."""
        try:
            if self._rules is None:
                raise Refused("tokens are not taken here")
            claims = await self._claims(token)
            return caller_of(claims, self._rules, self._tenants, address, now=self._clock.now())
        except Refused as refused:
            log.debug("token_refused", reason=str(refused), address=address)
            raise ReelyardError(ErrorCode.UNAUTHORIZED) from None

    async def _claims(self, token: str) -> Claims:
        """Of a token whose signature is right. Raises Refused."""
        try:
            header = self._jws.get_unverified_header(token)
            kid, algorithm = header.get("kid"), header.get("alg")
            if not isinstance(algorithm, str) or "crit" in header:
                raise Refused("the header has no alg, or demands what is not known here")
            known = await self._ring.key_for(kid, algorithm)
            payload = self._jws.decode_complete(token, known.key, algorithms=list(known.algorithms))["payload"]
            claims = orjson.loads(payload)
        except (InvalidTokenError, DecodeError, ValueError) as error:
            raise Refused(f"{type(error).__name__}: {error}") from None
        if not isinstance(claims, dict):
            raise Refused("the claims are no object")
        return claims
