"""What every area of the client stands on: one call by its name in the table of operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from client.transport import Call, Transport, json_body

M = TypeVar("M", bound=BaseModel)
Query = Mapping[str, str]


def if_match(version: int) -> dict[str, str]:
    """The header by which a change goes through only if nobody was faster; a view's ETag is its version."""
    return {"If-Match": f'"{version}"'}


class Calls:
    """One server, one key. Raises ReelyardError as the server told it, Unreachable or Unreadable."""

    def __init__(self, transport: Transport, new_key: Callable[[], str], notes: Path | None) -> None:
        self._transport, self._new_key, self._notes = transport, new_key, notes

    async def _ask(
        self,
        operation: str,
        reply: type[M],
        *,
        ids: Mapping[str, str] | None = None,
        query: Query | None = None,
        body: BaseModel | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> M:
        make_body = None if body is None else json_body(body)
        return await self._transport.ask(
            Call(operation, ids=ids or {}, query=query or {}, headers=headers or {}, make_body=make_body), reply
        )

    def _once(self, key: str | None) -> dict[str, str]:
        """The call does its work once, however often it is sent."""
        return {"Idempotency-Key": key or self._new_key()}
