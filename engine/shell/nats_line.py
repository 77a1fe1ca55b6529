"""The parts of a line over NATS, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from engine.ports import Clock, DispatchClient, LocalQueue
from engine.shell.broker import BrokerPlace, LedBy, Line
from engine.shell.nats_dispatch import NatsDispatch
from engine.shell.nats_grants import GrantMail, TellingQueue
from engine.shell.nats_link import NatsLink
from protocol.subjects import Subjects


def nats_line(
    place: BrokerPlace, client: DispatchClient, queue: LocalQueue, clock: Clock, written: Iterable[int], led_by: LedBy
) -> Line:
    link, mail = NatsLink(place), GrantMail(clock, written)

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            for duty in (link.run(), mail.acknowledge(), mail.tend()):
                tasks.create_task(duty)

    return Line(NatsDispatch(client, link, mail, Subjects(place.prefix), clock, led_by), TellingQueue(queue, mail), run)
