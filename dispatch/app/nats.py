"""The NATS adapters with the services behind them. Loaded only where the settings name a broker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from config.nats import Nats
from dispatch.events.nats_broker import NatsBroker
from dispatch.events.nats_doors import Arrived, Handlers, NatsDoors, Outcome
from dispatch.events.nats_link import NatsLink, NatsPlace
from dispatch.events.nats_streams import DAY_S, Keeping
from dispatch.services.broker_desk import BrokerDesk, Letter, NotNow
from dispatch.services.envelopes import NotBelieved
from dispatch.services.video_intake import VideoIntake
from protocol.subjects import Subjects

log = structlog.get_logger("broker")
AGAIN_S = 5.0
UNREADABLE = b""


class NatsParts:
    def __init__(self, wanted: Nats, server_id: str, subjects: Subjects) -> None:
        place = NatsPlace(
            servers=wanted.servers,
            name=f"reelyard dispatch {server_id}",
            inbox=subjects.inbox("dispatch"),
            credentials_file=wanted.credentials_file,
            user=wanted.user,
            password_file=wanted.password_file,
            ca_file=wanted.ca_file,
        )
        keeping = Keeping(wanted.events_days * DAY_S, wanted.dead_days * DAY_S, wanted.replicas)
        self.link, self._subjects = NatsLink(place), subjects
        self.broker = NatsBroker(self.link, subjects, keeping)

    def doors(self, desk: BrokerDesk, intake: VideoIntake, is_due: Callable[[], bool]) -> NatsDoors:
        """`is_due`: whether this server leads, and so answers asks and heartbeats."""

        async def ask(arrived: Arrived) -> bytes | None:
            return await _believed(desk.ask(_letter(arrived))) if is_due() else None

        async def beat(arrived: Arrived) -> bytes | None:
            return await _believed(desk.beat(_letter(arrived))) if is_due() else None

        async def report(arrived: Arrived) -> Outcome:
            try:
                return Outcome(answer=await desk.report(_letter(arrived)))
            except NotBelieved as fault:
                return Outcome(answer=UNREADABLE, dead=f"UNAUTHORIZED: {fault}")
            except NotNow:
                return Outcome(again_s=AGAIN_S)

        async def incoming(arrived: Arrived) -> Outcome:
            verdict = await intake.take(arrived.body)
            match verdict.kind:
                case "taken":
                    return Outcome()
                case "later":
                    return Outcome(again_s=verdict.seconds)
                case "dead":
                    return Outcome(dead=verdict.reason, is_secret=verdict.is_secret)

        return NatsDoors(self.link, self._subjects, Handlers(ask, beat, report, incoming))


def _letter(arrived: Arrived) -> Letter:
    return Letter(arrived.subject, arrived.engine_id, arrived.body, arrived.message_id)


async def _believed(answer: Awaitable[bytes]) -> bytes:
    """What is not believed gets an answer that nobody can read: the engine goes on by HTTP, and is told there what is wrong."""
    try:
        return await answer
    except NotBelieved as fault:
        log.warning("ask_not_believed", reason=str(fault))
        return UNREADABLE
