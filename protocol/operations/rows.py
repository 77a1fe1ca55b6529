"""What one row of the table of operations says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel

from protocol.admin import Scope
from protocol.errors import ErrorCode

API = "/api/v1"


class Form(StrEnum):
    """What kind of body goes in or comes out, beside JSON."""

    JSON = "application/json"
    MULTIPART = "multipart/form-data"
    SSE = "text/event-stream"
    WEBSOCKET = "websocket"
    BYTES = "application/octet-stream"
    OFFSET = "application/offset+octet-stream"  # tus: bytes that go to an offset
    ZIP = "application/zip"
    HTML = "text/html"
    TEXT = "text/plain"
    STATIC = "*/*"  # a file of the program itself: whole, with a tag
    NONE = ""


STREAMS = frozenset({Form.SSE, Form.WEBSOCKET})
"""What answers for as long as the reader likes: no HEAD, no length, no tag."""


class Follower(StrEnum):
    """What a server that does not lead does with a call, where several run on one database."""

    ANSWERS = "answers"
    POINTS = "points"  # NOT_LEADER, with the leader's address
    PASSES_ON = "passes on"  # the leader's answer


SUBPROTOCOL = "reelyard.v1"
KEY_SUBPROTOCOL = "reelyard.key."
"""A browser cannot set headers on a WebSocket: it offers `reelyard.v1` and `reelyard.key.<key>`, and gets the first."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`path` is an aiohttp pattern. `query` names the query parameters. `status` is that of success.

    `errors` are the codes this call can give beyond those that follow from its scope, its parameters and its body.
    `is_tagged`: it answers with an ETag, and a GET knows If-None-Match. `needs_match`: it is refused without If-Match.
    `may_redirect`: where the storage hands out links, the answer may be one.
    """

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
    description: str = ""
    errors: tuple[ErrorCode, ...] = ()
    is_tagged: bool = False
    needs_match: bool = False
    may_redirect: bool = False
    at_follower: Follower = Follower.ANSWERS


PAGED = ("limit", "offset", "cursor")
"""The query parameters of every list."""

BIG = 16 << 20
"""Bytes: the largest body of JSON any call takes."""
