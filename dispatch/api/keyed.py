"""Calls with an Idempotency-Key: the key is held while the call runs, and its answer says when it is a replay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from dispatch.api import answers
from dispatch.api.call import Call, idempotency_key
from dispatch.core.callers import IdempotencyKey
from dispatch.services.idempotency import Answered
from protocol.operations import Form


@asynccontextmanager
async def holding_key(call: Call) -> AsyncIterator[None]:
    """From before the body is read until the answer. Raises IDEMPOTENCY_KEY_* and IDEMPOTENCY_IN_PROGRESS."""
    if not call.operation.is_idempotent_by_key:
        yield
        return
    key = idempotency_key(call.request.headers)
    once, operation = call.services.idempotency, call.operation
    if operation.takes is Form.MULTIPART:  # its files are stored before its commit
        async with once.claimed(call.who.tenant, operation.name, key):
            yield
        return
    with once.held(call.who.tenant, operation.name, key):
        yield


def key_of_nothing(call: Call) -> IdempotencyKey | None:
    """The key of a call that takes no body."""
    key = idempotency_key(call.request.headers)
    return None if key is None else call.under(key, b"")


def answered(answer: Answered) -> web.Response:
    """The first answer, or what was stored of it."""
    headers = dict(answer.headers)
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    return answers.raw_json(answer.body, answer.status, headers)
