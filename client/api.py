"""The Python client: one method per operation, typed by the contract. Paths come from the operations table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from client.calls.access import AccessCalls
from client.calls.engines import EngineCalls
from client.calls.files import FileCalls
from client.calls.following import FollowingCalls
from client.calls.operators import OperatorCalls
from client.calls.uploads import UploadCalls
from client.calls.webhooks import WebhookCalls
from client.transport import DEFAULT_RETRY, RetryPolicy, Transport, idempotency_key


class ReelyardClient(FollowingCalls, FileCalls, UploadCalls, WebhookCalls, EngineCalls, AccessCalls, OperatorCalls):
    """Speaks to one server with one key. Use it in `async with`.

    Errors: `ReelyardError` with the code the server told; `Unreachable` when no answer came; `Unreadable` when the answer
    was none of ours. Calls that may be sent twice are tried again by themselves, POSTs that make something under one
    Idempotency-Key; rate limits and `Retry-After` are kept. With `notes`, a directory, files that were on their way go on
    in another process.
    """

    def __init__(
        self,
        server: str,
        key: str,
        *,
        retry: RetryPolicy = DEFAULT_RETRY,
        answer_timeout_s: float = 60.0,
        new_key: Callable[[], str] = idempotency_key,
        notes: Path | None = None,
    ) -> None:
        super().__init__(Transport(server, key, retry=retry, answer_timeout_s=answer_timeout_s), new_key, notes)

    @property
    def server(self) -> str:
        return self._transport.server

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.close()
