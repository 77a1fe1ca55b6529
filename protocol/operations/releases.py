"""Signed releases of the engine, for engines that keep themselves current."""

from __future__ import annotations

from protocol.admin import Scope as S
from protocol.errors import ErrorCode
from protocol.operations.rows import API, Form, Operation
from protocol.releases import Envelope

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "latest_engine_release",
        "GET",
        f"{API}/engine-releases/latest",
        S.ENGINE,
        "The signed manifest of the newest release, as it was published",
        None,
        Envelope,
        errors=(ErrorCode.NO_RELEASE,),
    ),
    Operation(
        "engine_release_file",
        "GET",
        f"{API}/engine-releases/files/{{wheel}}",
        S.ENGINE,
        "A file of the newest release; ranges",
        None,
        None,
        gives=Form.BYTES,
    ),
)
