"""Who may register an engine: the three policies, and the token that is shared with those who set engines up."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import structlog

from dispatch.core.api_keys import PREFIX
from dispatch.core.callers import Caller, IdempotencyKey
from dispatch.ports import Clock, Transaction
from dispatch.services.audit import audited
from dispatch.services.engines import digest
from dispatch.services.idempotency import Answered, Idempotency, answer_of
from dispatch.services.keys import KeyService
from protocol.admin import RegistrationToken, Scope
from protocol.errors import ErrorCode, ReelyardError

log = structlog.get_logger()
WARNING = "The token until now is worth nothing from this moment. Engines that are registered stay so."


class Policy(StrEnum):
    TOKEN = "token"  # holders of the token, and keys of scope `engine`
    AUTO = "auto"  # anybody who reaches the server
    APPROVE = "approve"  # anybody; they get work once an operator approves


@dataclass(frozen=True, slots=True)
class Admission:
    """`credential` is what else was shown: that of a known engine, if it is one."""

    is_admitted: bool
    awaits_approval: bool
    credential: str | None


class RegistrationService:
    """`renew` makes a token, writes it to the data directory, whole and durably, and gives it; it blocks."""

    def __init__(
        self, policy: Policy, token: str, keys: KeyService, once: Idempotency, clock: Clock, renew: Callable[[], str]
    ) -> None:
        self._policy, self._digest, self._keys = policy, digest(token), keys
        self._once, self._clock, self._renew = once, clock, renew
        self._turn = asyncio.Lock()

    async def admission(self, shown: Sequence[str], address: str = "") -> Admission:
        """What these secrets, from one request, allow a box that wants to register."""
        opening = [secret for secret in shown if self.is_token(secret) or await self._is_engine_key(secret, address)]
        credential = next((secret for secret in shown if secret not in opening), None)
        awaits = self._policy is Policy.APPROVE
        return Admission(bool(opening) or self._policy is not Policy.TOKEN, awaits, credential)

    def is_token(self, secret: str) -> bool:
        return hmac.compare_digest(digest(secret), self._digest)

    async def _is_engine_key(self, secret: str, address: str) -> bool:
        if not secret.startswith(PREFIX):
            return False
        try:
            caller = await self._keys.authenticate(secret, address)
        except ReelyardError as error:
            if error.code is not ErrorCode.UNAUTHORIZED:
                raise
            return False
        return Scope.ENGINE in caller.scopes

    async def rotate(self, who: Caller, key: IdempotencyKey | None = None) -> Answered:
        """A new token in the place of the one until now; the answer is `RegistrationToken`.

        The file comes first: were it the last, a crash would leave the old token good after an answer that says otherwise.
        """

        def note(tx: Transaction, fresh: str) -> Answered:
            audited(tx, who, "rotate_registration_token", "registration.token", now=self._clock.now())
            return answer_of(RegistrationToken(registration_token=fresh, warning=WARNING), 200)

        async with self._turn:
            earlier = await self._once.replay(who, key)
            if earlier is not None:
                return earlier
            fresh = await asyncio.to_thread(self._renew)
            self._digest = digest(fresh)
            log.warning("registration_token_rotated", by=who.key_id)
            return await self._once.transact(who, key, lambda tx: note(tx, fresh), has_secret=True)
