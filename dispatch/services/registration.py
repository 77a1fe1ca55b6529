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
from dispatch.ports import Clock, Commit, Store, Transaction
from dispatch.services.audit import audited
from dispatch.services.engines import digest
from dispatch.services.idempotency import Answered, Idempotency, answer_of
from dispatch.services.keys import KeyService
from dispatch.services.sealing import Sealer, Unsealable
from protocol.admin import RegistrationToken, Scope
from protocol.errors import ErrorCode, ReelyardError

log = structlog.get_logger()
FACT = "registration"
MOST_REMEMBERED = 100
"""Digests of earlier tokens: a file that holds one of them is old, and not a token somebody put there."""

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


@dataclass(frozen=True, slots=True)
class TokenFile:
    """Where this server keeps the token for people: what it held at the start, how a new one is made, how it is written.

    `write` is whole and durable, and blocks. Sealed, the token goes to the files of the other servers.
    """

    held: str
    fresh: Callable[[], str]
    write: Callable[[str], object]
    sealer: Sealer


class RegistrationService:
    """One token for all servers: a fact of the farm. A CommitListener: rotated at one server, it is rotated at each."""

    def __init__(self, policy: Policy, file: TokenFile, keys: KeyService, once: Idempotency, store: Store, clock: Clock) -> None:
        self._policy, self._file, self._keys, self._once = policy, file, keys, once
        self._store, self._clock = store, clock
        self._held, self._digest = file.held, digest(file.held)
        self._is_behind = False
        self._turn = asyncio.Lock()

    def __call__(self, commit: Commit) -> None:
        self._is_behind = self._is_behind or FACT in commit.facts

    async def load(self) -> None:
        """At the start: a token nobody knows yet, as somebody put it into the file, is the farm's from now on."""

        def settle(tx: Transaction) -> None:
            known, own = _past(tx), digest(self._held)
            if own not in known.digests:
                tx.put_fact(FACT, _next(known, own, self._file.sealer.seal(self._held)))

        await self._store.transact(settle)
        await self._follow()

    async def admission(self, shown: Sequence[str], address: str = "") -> Admission:
        """What these secrets, from one request, allow a box that wants to register."""
        if self._is_behind:
            await self._follow()
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

        The commit decides; the files of all servers follow it, after a crash at their next start.
        """
        fresh = self._file.fresh()

        def turn(tx: Transaction) -> Answered:
            tx.put_fact(FACT, _next(_past(tx), digest(fresh), self._file.sealer.seal(fresh)))
            audited(tx, who, "rotate_registration_token", "registration.token", now=self._clock.now())
            return answer_of(RegistrationToken(registration_token=fresh, warning=WARNING), 200)

        answer = await self._once.transact(who, key, turn, has_secret=True)
        await self._follow()
        if not answer.replayed:
            log.warning("registration_token_rotated", by=who.key_id)
        return answer

    async def _follow(self) -> None:
        """The farm's token is the one that counts here, and the one in the file."""
        async with self._turn:
            self._is_behind = False  # what is told from here on is looked at once more
            try:
                known = await self._store.read(_past)
            except BaseException:
                self._is_behind = True
                raise
            if not known.digests or known.digests[0] == digest(self._held):
                self._digest = digest(self._held)
                return
            self._digest = known.digests[0]
            try:
                token = self._file.sealer.open(known.sealed)
                await asyncio.to_thread(self._file.write, token)
            except (Unsealable, OSError) as reason:
                log.warning("registration_token_file_is_old", reason=str(reason), advice="rotate the token, or write it there")
            else:
                self._held = token


@dataclass(frozen=True, slots=True)
class _Past:
    """The tokens of the farm, the newest first, and that one sealed."""

    digests: tuple[str, ...] = ()
    sealed: str = ""


def _past(tx: Transaction) -> _Past:
    told = tx.fact(FACT)
    if told is None:
        return _Past()
    sealed, *digests = told.split(" ")
    return _Past(tuple(digests), sealed)


def _next(past: _Past, own: str, sealed: str) -> str:
    return " ".join((sealed, own, *past.digests[: MOST_REMEMBERED - 1]))
