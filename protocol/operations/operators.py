"""Figures, health and the contract itself."""

from __future__ import annotations

from protocol import admin, figures
from protocol.admin import Scope as S
from protocol.operations.rows import API, PAGED, Form, Operation

OPERATIONS: tuple[Operation, ...] = (
    Operation("stats", "GET", f"{API}/stats", S.JOBS_READ, "What the farm, or one's tenant, has done", None, figures.Stats),
    Operation(
        "metrics",
        "GET",
        "/metrics",
        S.ENGINES_READ,
        "Figures for Prometheus and for autoscalers",
        gives=Form.TEXT,
        description="With the setting `api.open_metrics` it needs no key.",
    ),
    Operation(
        "list_usage",
        "GET",
        f"{API}/admin/usage",
        S.ADMIN,
        "What each key used, by day, newest first",
        None,
        figures.UsagePage,
        query=("tenant", "key_id", "from", "to", *PAGED),
    ),
    Operation(
        "config", "GET", f"{API}/admin/config", S.ADMIN, "The settings in force, secrets masked", None, figures.ConfigReply
    ),
    Operation("version", "GET", f"{API}/version", S.JOBS_READ, "The server's version", None, admin.VersionReply),
    Operation("health", "GET", f"{API}/health", S.OPEN, "Every part's health", None, admin.Health),
    Operation(
        "health_part",
        "GET",
        f"{API}/health/{{part}}",
        S.OPEN,
        "One part's health",
        None,
        admin.ServiceHealth,
        description="`redis`, `minio` and `workers` are other names of `queue`, `storage` and `engines`.",
    ),
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
