"""The contract as a page for people: Swagger UI from this package's own files, under a policy that lets nothing else in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from aiohttp import web

from dispatch.api.call import Call, Handler
from dispatch.api.tags import held
from protocol.errors import ErrorCode, ReelyardError
from protocol.operations import Form

# Scripts, styles and calls of this server alone; Swagger UI's icons are data: URLs in its style sheet.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = "index.html"
TYPES: Mapping[str, str] = {
    PAGE: Form.HTML.value,
    "start.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
"""What is served; the licenses lie beside these files."""


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    type: str
    tag: str


@cache
def asset(name: str) -> Asset:
    body = files("dispatch.api").joinpath("swagger", name).read_bytes()
    return Asset(body, TYPES[name], f'"{hashlib.sha256(body).hexdigest()[:32]}"')


async def docs(call: Call) -> web.StreamResponse:
    return _answer(call, asset(PAGE))


async def docs_asset(call: Call) -> web.StreamResponse:
    name = call.path("asset")
    if name not in TYPES or name == PAGE:
        raise ReelyardError(ErrorCode.FILE_NOT_FOUND)
    return _answer(call, asset(name))


def _answer(call: Call, found: Asset) -> web.Response:
    """A browser asks again each time and is told 304: after an upgrade no old script meets a new page."""
    headers = {"ETag": found.tag, "Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
    if (tag := held(call.header("If-None-Match"), found.tag)) is not None:
        return web.Response(status=304, headers={**headers, "ETag": tag})
    return web.Response(body=found.body, headers={**headers, "Content-Type": found.type})


HANDLERS: dict[str, Handler] = {"docs": docs, "docs_asset": docs_asset}
