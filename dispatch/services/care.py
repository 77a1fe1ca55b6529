"""The services that look after what jobs leave behind."""

from __future__ import annotations

from dataclasses import dataclass

from dispatch.services.archives import ArchiveService
from dispatch.services.dead_letters import DeadLetterService
from dispatch.services.outputs import OutputService
from dispatch.services.purging import PurgeService
from dispatch.services.retention import RetentionService
from dispatch.services.validation import ValidationService


@dataclass(frozen=True, slots=True)
class Care:
    outputs: OutputService
    archives: ArchiveService
    purges: PurgeService
    retention: RetentionService
    dead_letters: DeadLetterService
    validations: ValidationService
