"""The tables. Moments are Unix seconds as floats, `*_json` columns hold JSON text; every constraint has a name."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, String, Table, Text, and_, literal_column, or_

from dispatch.store.farm_tables import changes as changes
from dispatch.store.farm_tables import facts as facts
from dispatch.store.farm_tables import leadership as leadership
from dispatch.store.farm_tables import rate_windows as rate_windows
from dispatch.store.farm_tables import servers as servers
from dispatch.store.naming import LONG as LONG
from dispatch.store.naming import metadata as metadata

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("state", String, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("profile_json", Text, nullable=False),
    Column("source_kind", String, nullable=False),
    Column("source_path", Text, nullable=False),
    Column("source_filename", Text, nullable=False),
    Column("source_size", LONG, nullable=False),
    Column("source_sha256", String, nullable=True),
    Column("input_json", Text),
    Column("user_metadata_json", Text, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("ttl_s", Float, nullable=False),
    Column("ttl_from", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("version", Integer, nullable=False),
    Column("retries", Integer, nullable=False),
    Column("progress", Float, nullable=False),
    Column("eta_seconds", Float),
    Column("started_at", Float),
    Column("completed_at", Float),
    Column("media_json", Text),
    Column("error_json", Text),
    Column("outputs_json", Text),
    Column("warnings_json", Text, nullable=False),
    Column("key_id", String, nullable=False, server_default=""),
    Column("prefix", String, nullable=False, server_default=""),
    Column("webhook_url", Text),
    Column("expires_at", Float),
    Column("thumbnail_json", Text),
    Column("outputs_purged_at", Float),
    Column("ended_at", Float),
    Column("finish_by", Float),
    Column("measured_json", Text),
    Column("attachments_json", Text),
    Column("keys_sealed", Text),
    Column("stop_asked_at", Float),
    Index("ix_jobs_tenant_created", "tenant", "created_at", "job_id"),
    Index("ix_jobs_created", "created_at", "job_id"),
    Index("ix_jobs_state", "state", "tenant", "created_at", "source_size"),  # counts and quotas read nothing else
)

HAS_ORIGINAL = or_(
    jobs.c.source_kind == literal_column("'storage'"), jobs.c.thumbnail_json.is_not(None), jobs.c.attachments_json.is_not(None)
)
"""Jobs of which something that came in lies in the storage: those retention looks through for originals, and no others."""

HAS_EXPIRY = jobs.c.expires_at.is_not(None)
HAS_WISH = and_(jobs.c.finish_by.is_not(None), jobs.c.priority < literal_column("10"))
Index("ix_jobs_finish_by", jobs.c.finish_by, sqlite_where=HAS_WISH, postgresql_where=HAS_WISH)
Index("ix_jobs_original", jobs.c.ended_at, sqlite_where=HAS_ORIGINAL, postgresql_where=HAS_ORIGINAL)
Index("ix_jobs_expires", jobs.c.expires_at, sqlite_where=HAS_EXPIRY, postgresql_where=HAS_EXPIRY)

tasks = Table(
    "tasks",
    metadata,
    Column("task_id", String, primary_key=True),
    Column("job_id", String, ForeignKey("jobs.job_id"), nullable=False),
    Column("tenant", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("needs", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("cost_s", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("recipe_json", Text),
    Column("steps_json", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("token", LONG, nullable=False),
    Column("engine_id", String),
    Column("not_before", Float, nullable=False),
    Column("charged", Integer, nullable=False),
    Column("infra_failures", Integer, nullable=False),
    Column("avoid", Text, nullable=False),
    Column("deaths", Text, nullable=False),
    Index("ix_tasks_job", "job_id"),
)
IS_PENDING = tasks.c.state == literal_column("'pending'")
"""Spelled out, as in the index: a planner cannot know that a bound parameter will be the word of a partial index."""

Index("ix_tasks_pending", tasks.c.created_at, sqlite_where=IS_PENDING, postgresql_where=IS_PENDING)

attempts = Table(
    "attempts",
    metadata,
    Column("token", LONG, primary_key=True, autoincrement=False),
    Column("task_id", String, ForeignKey("tasks.task_id"), nullable=False),
    Column("job_id", String, nullable=False),
    Column("engine_id", String, nullable=False),
    Column("boot_id", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False),
    Column("granted_at", Float, nullable=False),
    Column("acked_at", Float),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("digest", String),
    Column("error_json", Text),
    Column("tools_json", Text, nullable=False),
    Column("log_tail", Text, nullable=False),
    Index("ix_attempts_job", "job_id"),
    Index("ix_attempts_task", "task_id"),  # a task that is removed is looked for here
)
IS_LIVE = attempts.c.state.in_([literal_column(f"'{state}'") for state in ("granted", "acked", "running")])
Index("ix_attempts_live", attempts.c.engine_id, sqlite_where=IS_LIVE, postgresql_where=IS_LIVE)

HAS_LOG = attempts.c.log_tail != literal_column("''")
Index("ix_attempts_log", attempts.c.ended_at, sqlite_where=HAS_LOG, postgresql_where=HAS_LOG)

staged_files = Table(
    "staged_files",
    metadata,
    Column("job_id", String, ForeignKey("jobs.job_id"), primary_key=True),
    Column("path", String, primary_key=True),
    Column("task_id", String, nullable=False),
    Column("token", LONG, nullable=False),
    Column("size", LONG, nullable=False),
    Column("sha256", String, nullable=False),
    Column("facts_json", Text, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", LONG, primary_key=True, autoincrement=False),
    Column("type", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("tenant", String, nullable=False),
    Column("job_id", String),
    Column("task_id", String),
    Column("from_state", String),
    Column("to_state", String),
    Column("data_json", Text, nullable=False),
    Index("ix_events_job", "job_id", "seq"),
)

engines = Table(
    "engines",
    metadata,
    Column("engine_id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("hostname", String, nullable=False),
    Column("boot_id", String, nullable=False),
    Column("software_version", String, nullable=False),
    Column("state", String, nullable=False),
    Column("credential_sha256", String, nullable=False),
    Column("capabilities_json", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("slots_json", Text, nullable=False),
    Column("load_json", Text, nullable=False),
    Column("registered_at", Float, nullable=False),
    Column("last_heartbeat_at", Float),
    Column("wanted", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("own_tags", Text, nullable=False),
    Column("weight", Float, nullable=False, server_default="1"),
    Index("ix_engines_credential", "credential_sha256"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("tenant", String, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("prefix", String, nullable=False),
    Column("sha256", String, nullable=False, unique=True),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("last_used_at", Float),
    Column("allowed_ips", Text, nullable=False, server_default=""),
    Column("rate_limit_per_hour", Integer),
    Column("previous_sha256", String),
    Column("previous_until", Float),
    Index("ix_api_keys_previous", "previous_sha256"),
)

tenants = Table(
    "tenants",
    metadata,
    Column("name", String, primary_key=True),
    Column("weight", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("max_running", Integer),
    Column("max_queued", Integer),
    Column("max_bytes_per_month", LONG),
    Column("prefix", String, nullable=False, server_default=""),
    Column("default_profile", String),
    Column("webhook_secrets", Text, nullable=False, server_default=""),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("untrusted", Integer, nullable=False, server_default="0"),
    Column("limits_json", Text),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("route", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("fingerprint", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("boot_id", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("headers_json", Text, nullable=False, server_default="{}"),
    Index("ix_idempotency_created", "created_at"),
)

usage = Table(
    "usage",
    metadata,
    Column("day", String, primary_key=True),
    Column("tenant", String, primary_key=True),
    Column("key_id", String, primary_key=True),
    Column("part", String, primary_key=True, server_default=""),
    Column("jobs_created", LONG, nullable=False),
    Column("jobs_completed", LONG, nullable=False),
    Column("jobs_failed", LONG, nullable=False),
    Column("jobs_cancelled", LONG, nullable=False),
    Column("input_bytes", LONG, nullable=False),
    Column("output_bytes", LONG, nullable=False),
    Column("processing_seconds", Float, nullable=False),
    Index("ix_usage_tenant", "tenant", "day"),
)
"""Sums, which many jobs a second add to: each that writes at the same time as others does so in a `part` of its own."""

USAGE_SUMS = [column for column in usage.columns if column.name != "part"]


audit = Table(
    "audit",
    metadata,
    Column("audit_id", String, primary_key=True),
    Column("at", Float, nullable=False),
    Column("tenant", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("target", String, nullable=False),
    Column("address", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("details_json", Text, nullable=False),
    Index("ix_audit_at", "at"),
)

profiles = Table(
    "profiles",
    metadata,
    Column("name", String, primary_key=True),
    Column("profile_json", Text, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("version", Integer, nullable=False),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("endpoint_id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),
    Column("secrets", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("disabled_at", Float),
    Column("disabled_reason", Text),
    Column("version", Integer, nullable=False),
    Index("ix_webhook_endpoints_tenant", "tenant"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("delivery_id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("endpoint_id", String),
    Column("url", Text, nullable=False),
    Column("job_id", String, nullable=False),
    Column("seq", LONG, nullable=False),
    Column("event", String, nullable=False),
    Column("payload", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("log_json", Text, nullable=False),
    Index("ix_webhook_deliveries_tenant", "tenant", "delivery_id"),
    Index("ix_webhook_deliveries_job", "job_id"),
    Index("ix_webhook_deliveries_ended", "ended_at"),
)
IS_UNDELIVERED = webhook_deliveries.c.state == literal_column("'pending'")
Index(
    "ix_webhook_deliveries_due",
    webhook_deliveries.c.next_at,
    sqlite_where=IS_UNDELIVERED,
    postgresql_where=IS_UNDELIVERED,
)

uploads = Table(
    "uploads",
    metadata,
    Column("upload_id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("key_id", String, nullable=False),
    Column("filename", Text, nullable=False),
    Column("size", LONG),
    Column("received", LONG, nullable=False),
    Column("state", String, nullable=False),
    Column("metadata_json", Text, nullable=False),
    Column("parts", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Index("ix_uploads_expires", "expires_at"),
    Index("ix_uploads_tenant", "tenant"),
)
IS_OPEN = uploads.c.state == literal_column("'open'")
Index("ix_uploads_open", uploads.c.tenant, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)

deletions = Table(
    "deletions",
    metadata,
    Column("path", String, primary_key=True),
    Column("job_id", String),
    Column("created_at", Float, nullable=False),
)
"""Paths in the storage, files or whole directories, that no row refers to any more: their bytes go, then their row here."""

sequences = Table(
    "sequences",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", LONG, nullable=False),
)
"""`token`, `event` and `audit`: counter rows, taken inside the transaction that uses them, so they rise in commit order.

PostgreSQL has sequences of its own for these. There `dropped` tells the last of the `changes` that were forgotten.
"""
