"""Dispatch over NATS, and over HTTP whenever that comes to nothing: the same calls, the same answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from pydantic import BaseModel, ValidationError

from engine.core.broker import Batch, Detour, phases
from engine.core.messages import Identity
from engine.ports import Clock, DispatchClient, Unreachable
from engine.shell.broker import LedBy
from engine.shell.envelopes import Envelopes, NotBelieved
from engine.shell.nats_grants import GrantMail
from engine.shell.nats_link import BrokerAway, NatsLink, end
from protocol.broker import ANSWERS, MESSAGE_ID, AskAnswer, BeatAnswer, Refusal, ReportsAnswer, bound_to, reports_id
from protocol.capabilities import RegisterReply, RegisterRequest
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import Goodbye, Heartbeat, HeartbeatReply, LeaseReply, LeaseRequest, ReportsRequest, Settlement
from protocol.subjects import Subjects

log = structlog.get_logger()
Answer = TypeVar("Answer", bound=BaseModel)
ASK_S, ANSWER_S = 8.0, 4.0
"""How long an ask waits for work, shorter than over HTTP: nobody closes it when dispatch dies. And any answer beyond that."""

HEADROOM = 1024
"""Of the broker's largest message, for headers and the seal."""


class NatsDispatch:
    """The DispatchClient port. `http` is the same farm by HTTP; registration and goodbye always go there.

    `led_by` is called with the address of the server that leads, as it tells in what it has sealed for this engine.
    """

    def __init__(
        self, http: DispatchClient, link: NatsLink, mail: GrantMail, subjects: Subjects, clock: Clock, led_by: LedBy
    ) -> None:
        self._http, self._link, self._mail, self._subjects, self._clock = http, link, mail, subjects, clock
        self._led_by = led_by
        self._detour, self._is_used = Detour(), False
        self._who: Identity | None = None
        self._envelopes: Envelopes | None = None
        self._subscriptions: list[Subscription] = []
        self._opening = asyncio.Lock()
        self._settling: dict[str, asyncio.Future[bytes]] = {}
        self._beats = 0
        self._leader: bytes | None = None
        self._asks: set[asyncio.Timeout] = set()

    async def register(self, request: RegisterRequest, credential: str | None) -> RegisterReply:
        return await self._http.register(request, credential)

    async def offline(self, who: Identity, goodbye: Goodbye) -> None:
        await self._http.offline(who, goodbye)

    async def heartbeat(self, who: Identity, request: Heartbeat) -> HeartbeatReply:
        if self._may_use():
            try:
                return self._used(await self._beat(who, request))
            except BrokerAway as away:
                self._left(away)
        return await self._by_http(self._http.heartbeat(who, request))

    async def lease(self, who: Identity, request: LeaseRequest) -> LeaseReply:
        await self._link.tried()
        if self._may_use():
            try:
                reply = await self._lease(who, request)
                if reply is not None:
                    return self._used(reply)
            except BrokerAway as away:
                self._left(away)
        return await self._by_http(self._http.lease(who, request))

    async def _by_http(self, call: Awaitable[Answer]) -> Answer:
        """Also by HTTP nobody waits for the leader of before, where the broker tells of the next one."""
        try:
            async with asyncio.timeout(None) as span:
                with self._asking(span):
                    return await call
        except TimeoutError as over:
            raise Unreachable("another server leads by now") from over

    # --- which way

    def _may_use(self) -> bool:
        if not self._link.is_up:
            self._left(BrokerAway("the connection is lost"))
            return False
        return self._detour.is_over(self._clock.now())

    def _used(self, reply: Answer) -> Answer:
        self._detour.succeeded()
        if not self._is_used:
            log.info("broker_used")
        self._is_used = True
        return reply

    def _left(self, away: BrokerAway) -> None:
        if self._link.is_up:
            self._detour.failed(self._clock.now())
        if self._is_used:
            log.warning("broker_left", reason=str(away), advice="this engine goes on by HTTP")
        self._is_used = False

    # --- calls

    async def _lease(self, who: Identity, request: LeaseRequest) -> LeaseReply | None:
        """None where dispatch wants to be asked by HTTP: what it granted could not be put on the broker."""
        envelopes = await self._known_as(who)
        settled = await self._report(who, envelopes, request)
        ask = request.model_copy(update={"reports": (), "wait_s": 0.0 if settled else min(request.wait_s, ASK_S)})
        answer = await self._ask(who, envelopes, ask)
        _check(answer.refusal)
        if answer.by_http:
            return None
        async with self._link.within(ANSWER_S):
            tasks = await self._mail.take(answer.tokens)
        return LeaseReply(tasks=tasks, orders=answer.orders, settled=settled)

    async def _ask(self, who: Identity, envelopes: Envelopes, ask: LeaseRequest) -> AskAnswer:
        """A server that comes to lead is asked the same at once: what the one before it was asked went with it."""
        subject, limit_s = self._subjects.ask(who.engine_id), ask.wait_s + ANSWER_S
        while True:
            leader = self._leader
            try:
                async with self._link.within(limit_s) as span:
                    sealed = envelopes.seal(ask.model_dump_json().encode(), bound_to(subject))
                    with self._asking(span):
                        came = await self._link.client.request(subject, sealed, timeout=limit_s)
            except BrokerAway:
                if leader == self._leader:
                    raise
            else:
                return _read(AskAnswer, envelopes, came.data, bound_to(subject, ask.request_id))

    @contextmanager
    def _asking(self, span: asyncio.Timeout) -> Iterator[None]:
        self._asks.add(span)
        try:
            yield
        finally:
            self._asks.discard(span)

    async def _heard_leader(self, message: Msg) -> None:
        before, self._leader = self._leader, message.data
        if before not in (None, message.data):
            self._detour.succeeded()  # what failed was the server before it
            end(self._asks)

    async def _report(self, who: Identity, envelopes: Envelopes, request: LeaseRequest) -> tuple[Settlement, ...]:
        """The settlements in the order of the reports; for those of one attempt the earlier are settled first."""
        answers: dict[int, Settlement] = {}
        for side_by_side in phases(request.reports):
            calls = (self._settle(who, envelopes, batch, request.boot_id) for batch in side_by_side)
            for batch, answer in zip(side_by_side, await asyncio.gather(*calls), strict=True):
                _check(answer.refusal)
                answers.update(zip(batch.places, answer.settled, strict=True))
        return tuple(answers[place] for place in range(len(request.reports)))

    async def _settle(self, who: Identity, envelopes: Envelopes, batch: Batch, boot_id: str) -> ReportsAnswer:
        """Kept by the broker until dispatch has settled it, so it is settled also when this engine dies meanwhile."""
        subject, name = self._subjects.status(batch.kind, who.engine_id), reports_id(batch.reports)
        body = ReportsRequest(boot_id=boot_id, reports=batch.reports).model_dump_json().encode()
        if len(body) > self._link.client.max_payload - HEADROOM:
            raise BrokerAway("the report is larger than the broker takes")
        answer = self._settling[name] = asyncio.get_running_loop().create_future()
        try:
            async with self._link.within(ANSWER_S):
                sealed = envelopes.seal(body, bound_to(subject, name))
                kept = await self._link.js.publish(subject, sealed, timeout=ANSWER_S, headers={MESSAGE_ID: name})
                if kept.duplicate:
                    raise BrokerAway("it was sent before, and the answer was lost")
                came = await answer
        finally:
            self._settling.pop(name, None)
        told = _read(ReportsAnswer, envelopes, came, bound_to(self._subjects.settled(who.engine_id), name))
        if told.refusal is None and len(told.settled) != len(batch.reports):
            raise BrokerAway("the answer does not fit the reports")
        return told

    async def _beat(self, who: Identity, beat: Heartbeat) -> HeartbeatReply:
        envelopes = await self._known_as(who)
        self._beats += 1
        subject, name = self._subjects.status("progress", who.engine_id), f"{beat.boot_id}-{self._beats}"
        async with self._link.within(ANSWER_S):
            sealed = envelopes.seal(beat.model_dump_json().encode(), bound_to(subject, name))
            client = self._link.client
            came = await client.request(subject, sealed, timeout=ANSWER_S, headers={MESSAGE_ID: name})
        answer = _read(BeatAnswer, envelopes, came.data, bound_to(subject, name))
        _check(answer.refusal)
        if answer.reply is None:
            raise BrokerAway("the answer is empty")
        if answer.leader is not None:
            self._led_by(answer.leader)
        return answer.reply

    # --- who this engine is

    async def _known_as(self, who: Identity) -> Envelopes:
        """Listens on what is this engine's own; once for each name it has had."""
        async with self._opening:
            if self._envelopes is not None and self._who == who:
                return self._envelopes
            async with self._link.within(ANSWER_S):
                await self._listen(who)
            self._who = who
            self._envelopes = self._mail.envelopes = Envelopes(who.credential)
            return self._envelopes

    async def _listen(self, who: Identity) -> None:
        client, subjects = self._link.client, self._subjects
        for old in self._subscriptions:
            await old.unsubscribe()
        self._mail.subject, self._mail.envelopes = subjects.tasks(who.engine_id), Envelopes(who.credential)
        work, settled = subjects.work(who.engine_id), subjects.settled(who.engine_id)
        self._subscriptions = [
            await client.subscribe(work, cb=self._mail.arrived),
            await client.subscribe(settled, cb=self._settled),
            await client.subscribe(subjects.leader(), cb=self._heard_leader),
        ]

    async def _settled(self, message: Msg) -> None:
        waiting = self._settling.get((message.headers or {}).get(ANSWERS, ""))
        if waiting is not None and not waiting.done():
            waiting.set_result(message.data)


def _check(refusal: Refusal | None) -> None:
    """Raises what the same call over HTTP would. That another server leads is found out by HTTP."""
    if refusal is None:
        return
    if refusal.code is ErrorCode.NOT_LEADER:
        raise BrokerAway("another server leads by now")
    raise ReelyardError(refusal.code, refusal.message, retry_after=refusal.retry_after)


def _read(model: type[Answer], envelopes: Envelopes, body: bytes, bound: bytes) -> Answer:
    try:
        return model.model_validate_json(envelopes.open(body, bound))
    except NotBelieved:
        raise BrokerAway("the answer was not sealed for this engine") from None
    except ValidationError:
        raise BrokerAway(f"the answer is no {model.__name__}") from None
