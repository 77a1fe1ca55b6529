"""The Broker port on JetStream."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import nats
from nats.js.api import Header, PubAck

from dispatch.events.nats_link import NatsLink
from dispatch.events.nats_streams import Keeping, engine_consumer, set_up
from dispatch.ports.broker import BrokerAway, Outgoing
from protocol.broker import MESSAGE_ID
from protocol.subjects import Subjects

ACK_S, HEADROOM = 5.0, 1024
FAULTS = (nats.errors.Error, TimeoutError, OSError, ValueError)
"""What a publish may end with; ValueError: the answer is no JSON."""


class NatsBroker:
    def __init__(self, link: NatsLink, subjects: Subjects, keeping: Keeping) -> None:
        self._link, self._subjects, self._keeping = link, subjects, keeping
        self._queues: set[str] = set()
        link.ready.append(self._set_up)

    @property
    def problem(self) -> str | None:
        return self._link.problem

    @property
    def largest(self) -> int:
        return self._link.client.max_payload - HEADROOM

    async def _set_up(self) -> None:
        self._queues.clear()
        await set_up(self._link.js, self._subjects, self._keeping)

    async def keep(self, messages: Sequence[Outgoing]) -> None:
        """Each but the first is taken only straight after the one before it, so that one lost on the way leaves no gap."""
        befores = [None, *(message.message_id for message in messages[:-1])]
        await self._acknowledged(list(zip(messages, befores, strict=True)))

    async def hand_out(self, engine_id: str, messages: Sequence[Outgoing]) -> None:
        if engine_id not in self._queues and self._link.problem is None:
            try:
                await engine_consumer(self._link.js, self._subjects, engine_id)
            except FAULTS as fault:
                raise BrokerAway(_words(fault)) from fault
            self._queues.add(engine_id)
        await self._acknowledged([(message, None) for message in messages])

    async def tell(self, subject: str, body: bytes) -> None:
        if self._link.problem is not None or len(body) > self._link.client.max_payload:
            return
        try:
            await self._link.client.publish(subject, body)
        except FAULTS:
            return  # live: the next one says more

    async def _acknowledged(self, messages: Sequence[tuple[Outgoing, str | None]]) -> None:
        if self._link.problem is not None:
            raise BrokerAway(self._link.problem)
        acks: list[asyncio.Future[PubAck]] = []
        try:
            async with asyncio.timeout(ACK_S):
                for message, before in messages:
                    acks.append(await self._sent(message, before))
                await asyncio.gather(*acks)
        except FAULTS as fault:
            raise BrokerAway(_words(fault)) from fault
        finally:
            for ack in acks:
                ack.cancel()  # one that nobody waits for any more would keep its place in the library for ever

    async def _sent(self, message: Outgoing, before: str | None) -> asyncio.Future[PubAck]:
        headers = {MESSAGE_ID: message.message_id}
        if before is not None:
            headers[Header.EXPECTED_LAST_MSG_ID.value] = before
        return await self._link.js.publish_async(message.subject, message.body, headers=headers)


def _words(fault: Exception) -> str:
    return str(fault) or type(fault).__name__
