"""Wires the services of care and their duties."""

from __future__ import annotations

from dataclasses import dataclass

from config.dispatch import DispatchSettings
from dispatch.app.outside import Outside
from dispatch.core.retention import DAY_S, Spans
from dispatch.ports import CommitListener, Store
from dispatch.services.archives import ArchiveService
from dispatch.services.care import Care
from dispatch.services.dead_letters import DeadLetterService
from dispatch.services.duties import Duty
from dispatch.services.idempotency import Idempotency
from dispatch.services.outputs import OutputService
from dispatch.services.purging import PurgeService, Remover
from dispatch.services.registry import EngineRegistry
from dispatch.services.retention import RetentionService
from dispatch.services.validation import Inputs, ValidationService

REMOVALS_EVERY_S, RETENTION_EVERY_S, VALIDATIONS_EVERY_S = 30.0, 600.0, 60.0
OTHERS_S = 60.0
"""No dry run takes so long (`validation.WAIT_S`), and clocks of servers may differ."""


@dataclass(frozen=True, slots=True)
class CareParts:
    care: Care
    duties: tuple[Duty, ...]
    listeners: tuple[CommitListener, ...]


def assemble_care(
    outside: Outside, settings: DispatchSettings, inputs: Inputs, registry: EngineRegistry, once: Idempotency, led: Store
) -> CareParts:
    """Only names and order stand here, no decisions. `led` is the store of what the leader alone does: the duties."""
    store, storage, clock = outside.store, outside.storage, outside.clock
    outputs = OutputService(store, clock, outside.secrets.signing, settings.api.public_url or "")
    others_s = 0.0 if settings.database.url is None else OTHERS_S
    validations = ValidationService(store, inputs, registry, outside.ids, clock, others_s=others_s)
    retention = RetentionService(led, clock, _spans(settings))
    care = Care(
        outputs=outputs,
        archives=ArchiveService(outputs, storage),
        purges=PurgeService(store, clock),
        retention=retention,
        dead_letters=DeadLetterService(store, once, clock),
        validations=validations,
    )
    remover = Remover(led, storage)
    removals = Duty("removals", remover.run_once, REMOVALS_EVERY_S)
    remover.wake = removals.wake
    duties = (
        removals,
        Duty("retention", retention.run_once, RETENTION_EVERY_S),
        Duty("validations", validations.run_once, VALIDATIONS_EVERY_S),
    )
    return CareParts(care, duties, (remover, validations))


def _spans(settings: DispatchSettings) -> Spans:
    wanted = settings.retention
    return Spans(
        originals_s=wanted.uploads_days * DAY_S,
        records_s=wanted.failed_days * DAY_S,
        logs_s=wanted.logs_days * DAY_S,
        audit_s=wanted.audit_days * DAY_S,
        is_dry=wanted.dry_run,
    )
