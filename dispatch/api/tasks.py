"""Single reports of an engine about one attempt, each the same as one report of many; a refusal is the call's own error."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiohttp import web

from dispatch.api import answers
from dispatch.api.call import Call, Handler
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import Ack, Complete, Fail, Release, Start, TaskCall, TaskCompleted, TaskFailed, TaskReleased

_TASK_ID = re.compile(r"tsk_[0-9a-z]{1,40}")


@dataclass(frozen=True, slots=True)
class Kind:
    """The body of a call, and the report it makes with the task of the path."""

    body: type[TaskCall]
    report: type[Ack | Start | Complete | Fail | Release]


KINDS: dict[str, Kind] = {
    "ack_task": Kind(TaskCall, Ack),
    "start_task": Kind(TaskCall, Start),
    "complete_task": Kind(TaskCompleted, Complete),
    "fail_task": Kind(TaskFailed, Fail),
    "release_task": Kind(TaskReleased, Release),
}


def _handler(kind: Kind) -> Handler:
    async def settle(call: Call) -> web.StreamResponse:
        task_id = call.path("task_id")
        if not _TASK_ID.fullmatch(task_id):
            raise ReelyardError(ErrorCode.TASK_NOT_FOUND)
        told = await call.message(kind.body)
        fields = {name: getattr(told, name) for name in type(told).model_fields}
        report = kind.report.model_validate({"task_id": task_id, **fields})
        return answers.message(await call.services.leases.report_one(call.engine_id, report))

    return settle


HANDLERS: dict[str, Handler] = {name: _handler(kind) for name, kind in KINDS.items()}
