"""The broker put together: what it carries for engines, what it tells others, what becomes jobs. Nothing of it without one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

from config.dispatch import DispatchSettings
from dispatch.app.outside import Outside
from dispatch.app.secrets import Unusable
from dispatch.app.webhooks import public_url_of
from dispatch.app.work import WorkParts
from dispatch.ports import CommitListener, Store
from dispatch.ports.broker import Broker
from dispatch.ports.cluster import Leading
from dispatch.services.broker_desk import BrokerDesk
from dispatch.services.duties import Duty
from dispatch.services.idempotency import Idempotency
from dispatch.services.live_telling import LiveTelling
from dispatch.services.outbox import Outbox, Sender, begin
from dispatch.services.submissions import SubmissionService
from dispatch.services.tenants import TenantBook
from dispatch.services.video_intake import VideoIntake
from protocol.subjects import Subjects

EVENTS_EVERY_S, ANNOUNCED_EVERY_S = 2.0, 3.0
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Carrier:
    name: str
    run: Callable[[], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class BrokerParts:
    """`duties` are the leader's, `loops` those of every server. `begin` is awaited before anything can happen."""

    problem: Callable[[], str | None]
    begin: Callable[[], Awaitable[None]]
    listeners: tuple[CommitListener, ...] = ()
    duties: tuple[Duty, ...] = ()
    loops: tuple[Carrier, ...] = ()


@dataclass(frozen=True, slots=True)
class Needs:
    """What the broker's services are made of besides the outside."""

    led: Store
    leading: Leading
    work: WorkParts
    submissions: SubmissionService
    once: Idempotency
    tenants: TenantBook


def assemble_broker(outside: Outside, settings: DispatchSettings, needs: Needs) -> BrokerParts:
    """Raises Unusable where the library or a file of the settings is missing."""
    if not settings.nats.servers:
        return BrokerParts(_nothing_wrong, _nothing_to_do)
    try:
        from dispatch.app.nats import NatsParts
    except ModuleNotFoundError as missing:
        raise Unusable(f"[nats] needs {missing.name}: pip install 'reelyard[nats]'") from missing
    wanted = settings.nats
    for file in (wanted.credentials_file, wanted.password_file, wanted.ca_file):
        if file is not None and not file.is_file():
            raise Unusable(f"[nats]: there is no file {file}")
    subjects = Subjects(wanted.prefix)
    adapter = NatsParts(wanted, outside.server.server_id, subjects)
    broker, source = adapter.broker, public_url_of(settings) or f"/{wanted.prefix}"
    desk = BrokerDesk(outside.store, needs.work.calls, broker, subjects, outside.ids.secret, settings.cluster.url)
    intake = VideoIntake(needs.submissions, needs.once, wanted.tenants, needs.tenants)
    doors = adapter.doors(desk, intake, lambda: needs.leading.is_leading)
    outbox = Outbox(needs.led, broker, subjects, Sender(source, public_url_of(settings)))
    telling = Duty("events", outbox.run_once, EVENTS_EVERY_S)
    run = outside.server.boot_id.encode()
    announcing = Duty("announcing", lambda: broker.tell(subjects.leader(), run), ANNOUNCED_EVERY_S)
    outbox.wake = telling.wake
    live = _live(outside, needs, broker, subjects, source)
    loops = (Carrier("broker", adapter.link.run), Carrier("broker doors", doors.run), Carrier("broker live", live.run))
    return BrokerParts(lambda: _told(broker.problem), lambda: begin(outside.store), (outbox, live), (telling, announcing), loops)


def _live(outside: Outside, needs: Needs, broker: Broker, subjects: Subjects, source: str) -> LiveTelling:
    live = LiveTelling(broker, subjects, outside.clock, source, lambda: needs.leading.is_leading)
    needs.work.hub.on_progress.append(live.progress)
    return live


def _told(problem: str | None) -> str | None:
    return None if problem is None else f"the broker is away ({problem}): engines go by HTTP, and events wait"


def _nothing_wrong() -> str | None:
    return None


async def _nothing_to_do() -> None:
    return None
