"""Profiles, health and the contract itself."""

from __future__ import annotations

from protocol import admin
from protocol.admin import Scope as S
from protocol.operations.rows import API, PAGED, Form, Operation

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "list_profiles", "GET", f"{API}/profiles", S.JOBS_READ, "The profiles jobs may name", None, admin.ProfilePage, query=PAGED
    ),
    Operation("version", "GET", f"{API}/version", S.JOBS_READ, "The server's version", None, admin.VersionReply),
    Operation("health", "GET", f"{API}/health", S.OPEN, "Every part's health", None, admin.Health),
    Operation("healthz", "GET", "/healthz", S.OPEN, "The process lives", None, admin.Pong),
    Operation("readyz", "GET", "/readyz", S.OPEN, "The server takes work; 503 when it does not", None, admin.Health),
    Operation("openapi", "GET", "/openapi.json", S.OPEN, "This contract as OpenAPI 3.1", None, None),
    Operation("docs", "GET", "/docs", S.OPEN, "This contract as a page to read and to try", gives=Form.HTML, is_tagged=True),
    Operation(
        "docs_asset",
        "GET",
        "/docs/{asset}",
        S.OPEN,
        "A file of that page",
        gives=Form.STATIC,
        is_tagged=True,
    ),
)
