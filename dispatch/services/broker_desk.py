"""What engines ask and report over a broker, answered by the same services as over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from dispatch.core.incoming import is_passing
from dispatch.ports import Store
from dispatch.ports.broker import Broker, BrokerAway, Outgoing
from dispatch.services.engine_calls import EngineCalls
from dispatch.services.envelopes import Envelopes, NotBelieved
from protocol.broker import AskAnswer, BeatAnswer, Refusal, ReportsAnswer, bound_to
from protocol.errors import ReelyardError
from protocol.leases import Grant, Heartbeat, LeaseReply, LeaseRequest, ReportsRequest
from protocol.subjects import Subjects

log = structlog.get_logger("broker")
Read = TypeVar("Read", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message of an engine: the subject it came on, the engine that subject names, and what names the message."""

    subject: str
    engine_id: str
    body: bytes
    message_id: str = ""


class NotNow(Exception):
    """It cannot be settled now, and will be: the message is kept. The text is the code of what is in the way."""


class BrokerDesk:
    """Raises NotBelieved for what no engine of this farm has sealed, or cannot be read: a dead letter.

    `url` is where engines reach this server, where that was set: what it listens on may mean nothing on their boxes.
    """

    def __init__(
        self, store: Store, calls: EngineCalls, broker: Broker, subjects: Subjects, chance: Callable[[], str], url: str | None
    ) -> None:
        self._store, self._calls, self._broker = store, calls, broker
        self._subjects, self._chance, self._url = subjects, chance, url

    async def ask(self, letter: Letter) -> bytes:
        """Waits like the long poll. What is granted lies on the engine's queue before the answer names it."""
        envelopes = await self._envelopes(letter.engine_id)
        request = _read(LeaseRequest, envelopes, letter)
        try:
            reply = await self._calls.lease(letter.engine_id, request.model_copy(update={"reports": ()}))
        except ReelyardError as error:
            answer = AskAnswer(refusal=_refusal(error))
        else:
            answer = await self._handed_out(letter.engine_id, envelopes, reply)
        return envelopes.seal(answer.model_dump_json().encode(), bound_to(letter.subject, request.request_id))

    async def _handed_out(self, engine_id: str, envelopes: Envelopes, reply: LeaseReply) -> AskAnswer:
        subject = self._subjects.tasks(engine_id)
        messages = [_sealed(grant, envelopes, subject) for grant in reply.tasks]
        try:
            if messages:
                await self._broker.hand_out(engine_id, messages)
        except BrokerAway as away:
            log.warning("grants_by_http", engine=engine_id, grants=len(messages), reason=str(away))
            return AskAnswer(orders=reply.orders, by_http=True)
        return AskAnswer(tokens=tuple(grant.token for grant in reply.tasks), orders=reply.orders)

    async def report(self, letter: Letter) -> bytes:
        """The settlements, once they are committed. Raises NotNow while the database or the storage is away."""
        try:
            envelopes = await self._envelopes(letter.engine_id)
        except ReelyardError as error:
            raise NotNow(error.code.value) from error
        request = _read(ReportsRequest, envelopes, letter)
        try:
            answer = ReportsAnswer(settled=(await self._calls.report(letter.engine_id, request)).settled)
        except ReelyardError as error:
            if is_passing(error.code):
                raise NotNow(error.code.value) from error
            answer = ReportsAnswer(refusal=_refusal(error))
        bound = bound_to(self._subjects.settled(letter.engine_id), letter.message_id)
        return envelopes.seal(answer.model_dump_json().encode(), bound)

    async def beat(self, letter: Letter) -> bytes:
        envelopes = await self._envelopes(letter.engine_id)
        beat = _read(Heartbeat, envelopes, letter)
        try:
            answer = BeatAnswer(reply=await self._calls.heartbeat(letter.engine_id, beat), leader=self._url)
        except ReelyardError as error:
            answer = BeatAnswer(refusal=_refusal(error))
        return envelopes.seal(answer.model_dump_json().encode(), bound_to(letter.subject, letter.message_id))

    async def _envelopes(self, engine_id: str) -> Envelopes:
        engine = await self._store.read(lambda tx: tx.engine(engine_id))
        if engine is None:
            raise NotBelieved("no such engine is registered")
        return Envelopes(engine.credential_sha256, self._chance)


def _sealed(grant: Grant, envelopes: Envelopes, subject: str) -> Outgoing:
    """Named by its token: the broker keeps a grant once, however often it is put there."""
    body = envelopes.seal(grant.model_dump_json().encode(), bound_to(subject))
    return Outgoing(subject, body, f"grant-{grant.token}")


def _read(model: type[Read], envelopes: Envelopes, letter: Letter) -> Read:
    opened = envelopes.open(letter.body, bound_to(letter.subject, letter.message_id))
    try:
        return model.model_validate_json(opened)
    except ValidationError as invalid:
        raise NotBelieved(f"it is no {model.__name__}: {invalid.error_count()} of its fields are wrong") from None


def _refusal(error: ReelyardError) -> Refusal:
    return Refusal(code=error.code, message=error.message, retry_after=error.retry_after)
