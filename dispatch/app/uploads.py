"""Uploads put together: their service, the room they reserve, and the duty that ends them."""

from __future__ import annotations

from dataclasses import dataclass

from config.dispatch import DispatchSettings
from dispatch.app.outside import Outside
from dispatch.core.uploads import Spans
from dispatch.ports import Store
from dispatch.services.direct_uploads import DirectUploads
from dispatch.services.duties import Duty
from dispatch.services.gate import StorageGate
from dispatch.services.idempotency import Idempotency
from dispatch.services.reservations import MonthlyBytes, Reservations
from dispatch.services.upload_creation import UploadCreation
from dispatch.services.upload_sweep import UploadSweep
from dispatch.services.uploads import UploadService

SWEEP_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class UploadParts:
    service: UploadService
    creation: UploadCreation
    direct: DirectUploads
    reservations: Reservations
    duty: Duty


def assemble_uploads(
    outside: Outside, settings: DispatchSettings, gate: StorageGate, once: Idempotency, led: Store
) -> UploadParts:
    """`led` is the store of what the leader alone does: to end uploads."""
    store, storage, clock = outside.store, outside.storage, outside.clock
    wanted = settings.uploads
    spans = Spans(wanted.open_s, wanted.kept_s, settings.inputs.limits.max_bytes, wanted.max_open)
    reservations = Reservations(gate, MonthlyBytes(store, clock), clock, wanted.idle_s)
    service = UploadService(store, storage, reservations, clock, spans, once.claims)
    creation = UploadCreation(once, service, storage, reservations, outside.ids, clock)
    sweep = UploadSweep(led, storage, reservations, clock, spans)
    direct = DirectUploads(store, storage, service, clock)
    return UploadParts(service, creation, direct, reservations, Duty("uploads", sweep.run_once, SWEEP_EVERY_S))
