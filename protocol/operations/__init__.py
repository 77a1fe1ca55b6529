"""The API as data: one row per operation. Routes, the OpenAPI document, the client and the tests follow from it."""

from __future__ import annotations

from protocol.operations import (
    access,
    care,
    engines,
    files,
    jobs,
    live,
    operators,
    playback,
    profiles,
    releases,
    tasks,
    tenants,
    uploads,
    webhooks,
)
from protocol.operations.rows import API as API
from protocol.operations.rows import KEY_SUBPROTOCOL as KEY_SUBPROTOCOL
from protocol.operations.rows import STREAMS as STREAMS
from protocol.operations.rows import SUBPROTOCOL as SUBPROTOCOL
from protocol.operations.rows import Follower as Follower
from protocol.operations.rows import Form as Form
from protocol.operations.rows import Operation as Operation

OPERATIONS: tuple[Operation, ...] = (
    *jobs.OPERATIONS,
    *live.OPERATIONS,
    *care.OPERATIONS,
    *engines.OPERATIONS,
    *tasks.OPERATIONS,
    *uploads.OPERATIONS,
    *webhooks.OPERATIONS,
    *access.OPERATIONS,
    *tenants.OPERATIONS,
    *profiles.OPERATIONS,
    *operators.OPERATIONS,
    *releases.OPERATIONS,
    *playback.OPERATIONS,
    *files.OPERATIONS,
)

BY_NAME: dict[str, Operation] = {operation.name: operation for operation in OPERATIONS}
"""Every GET answers HEAD as well, but for streams."""
