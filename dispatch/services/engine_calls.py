"""The calls an engine makes about work, put together from leases, heartbeats and the scheduler."""

from __future__ import annotations

from dispatch.ports import Clock
from dispatch.services.heartbeats import HeartbeatService
from dispatch.services.leases import LeaseService
from dispatch.services.polls import LeaseAsk
from dispatch.services.scheduler import Scheduler
from dispatch.services.staging_places import StagingPlaces
from protocol.errors import ReelyardError
from protocol.leases import (
    Heartbeat,
    HeartbeatReply,
    LeaseReply,
    LeaseRequest,
    Report,
    ReportsReply,
    ReportsRequest,
    Settlement,
    UploadFinish,
    UploadsReply,
    UploadsRequest,
    UploadTarget,
)


class EngineCalls:
    def __init__(
        self,
        leases: LeaseService,
        heartbeats: HeartbeatService,
        scheduler: Scheduler,
        places: StagingPlaces,
        clock: Clock,
    ) -> None:
        self._leases, self._heartbeats = leases, heartbeats
        self._scheduler, self._places, self._clock = scheduler, places, clock

    async def lease(self, engine_id: str, request: LeaseRequest) -> LeaseReply:
        """Settle the reports that ride along, then wait for work and orders. A report's answer never waits for work."""
        settled = await self._leases.settle(engine_id, request.reports)
        again = await self._leases.granted_before(engine_id, request.request_id)
        if again:
            return LeaseReply(tasks=again, settled=settled)
        ask = LeaseAsk(
            engine_id=engine_id,
            boot_id=request.boot_id,
            request_id=request.request_id,
            slots=request.slots,
            light_slots=request.light_slots,
            gpu_slots=request.gpu_slots,
            prefetch=request.prefetch,
            wait_s=0.0 if settled else request.wait_s,
            arrived=self._clock.monotonic(),
        )
        answer = await self._scheduler.ask(ask)
        return LeaseReply(tasks=answer.grants, orders=answer.orders, settled=settled)

    async def report(self, engine_id: str, request: ReportsRequest) -> ReportsReply:
        return ReportsReply(settled=await self._leases.settle(engine_id, request.reports))

    async def report_one(self, engine_id: str, report: Report) -> Settlement:
        """The same settlement for one report. Raises what would stand in its answer: STALE_LEASE, OUTPUT_CONFLICT, ..."""
        (settled,) = await self._leases.settle(engine_id, [report])
        if settled.error is not None:
            raise ReelyardError(settled.error, settled.message)
        return settled

    async def heartbeat(self, engine_id: str, beat: Heartbeat) -> HeartbeatReply:
        return await self._heartbeats.heartbeat(engine_id, beat)

    async def uploads(self, engine_id: str, task_id: str, request: UploadsRequest) -> UploadsReply:
        return await self._places.places(engine_id, task_id, request)

    async def finish_upload(self, engine_id: str, task_id: str, request: UploadFinish) -> UploadTarget:
        return await self._places.finish(engine_id, task_id, request)
