"""What one row of the table of operations says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel

from protocol.admin import Scope

API = "/api/v1"


class Form(StrEnum):
    """What kind of body goes in or comes out, beside JSON."""

    JSON = "application/json"
    MULTIPART = "multipart/form-data"
    SSE = "text/event-stream"
    BYTES = "application/octet-stream"
    NONE = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """`path` is an aiohttp pattern. `query` names the query parameters. `status` is that of success."""

    name: str
    method: str
    path: str
    scope: Scope
    summary: str
    request: type[BaseModel] | None = None
    reply: type[BaseModel] | None = None
    status: int = 200
    takes: Form = Form.JSON
    gives: Form = Form.JSON
    query: tuple[str, ...] = ()
    is_idempotent_by_key: bool = False
    max_body: int = 1 << 20


BIG = 16 << 20
"""Bytes: the largest body of JSON any call takes."""
