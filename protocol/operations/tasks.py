"""Single reports about one attempt; `report` sends many in one call."""

from __future__ import annotations

from protocol import leases
from protocol.admin import Scope as S
from protocol.base import Message
from protocol.errors import ErrorCode
from protocol.operations.rows import API, Operation

ROWS: tuple[tuple[str, str, type[Message]], ...] = (
    ("ack", "The grant is on the engine's disk", leases.TaskCall),
    ("start", "The tool is about to run", leases.TaskCall),
    ("complete", "The attempt's result, its files staged", leases.TaskCompleted),
    ("fail", "The attempt failed", leases.TaskFailed),
    ("release", "The attempt is handed back unharmed", leases.TaskReleased),
)

OPERATIONS: tuple[Operation, ...] = tuple(
    Operation(
        f"{word}_task",
        "POST",
        f"{API}/tasks/{{task_id}}/{word}",
        S.ENGINE,
        summary,
        body,
        leases.Settlement,
        errors=(ErrorCode.STALE_LEASE, ErrorCode.OUTPUT_CONFLICT) if word == "complete" else (ErrorCode.STALE_LEASE,),
    )
    for word, summary, body in ROWS
)
