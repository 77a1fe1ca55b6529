"""What is counted: usage by key and day, and the figures of the farm and of each tenant."""

from __future__ import annotations

from pydantic import JsonValue

from protocol.base import Bytes, Message, Page
from protocol.scaling import Scaling


class UsageView(Message):
    """What one key did on one day (UTC, `2026-01-31`).

    Ends, input bytes and hours count on the day on which a job ended; hours are those of completed jobs.
    """

    day: str
    tenant: str
    key_id: str
    jobs_created: int
    jobs_completed: int
    jobs_failed: int
    jobs_cancelled: int
    input_bytes: Bytes
    output_bytes: Bytes
    processing_hours: float


class UsagePage(Page):
    usage: tuple[UsageView, ...]


class Figures(Message):
    """`pending` and `processing` are of now, by the `status` of jobs (`validating` is processing); the rest is of all time.

    Bytes and seconds are those of jobs that have ended. A terabyte is 10^12 bytes. The utilization is the share of encoding
    slots in use, of engines that are there; `worker_` is another name of `engine_`.
    """

    total_jobs: int
    pending: int
    processing: int
    completed: int
    failed: int
    total_input_bytes: Bytes
    total_output_bytes: Bytes
    total_input_tb: float
    total_output_tb: float
    avg_processing_seconds: float
    avg_processing_time_minutes: float
    engine_utilization_percent: float
    worker_utilization_percent: float


class Stats(Figures):
    """Of the whole farm for admins, with each tenant's own; of the caller's tenant for others, where `tenants` is null.

    `scaling` is for admins, and for keys with the scope `engines:read`; null for others.
    """

    tenants: dict[str, Figures] | None = None
    scaling: Scaling | None = None


class ConfigReply(Message):
    """What is in force; secrets are masked."""

    settings: dict[str, JsonValue]
