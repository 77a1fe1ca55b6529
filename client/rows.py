"""Tables as text, made of what the server answers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from client.errors import one_line
from protocol.admin import EnginePage, EngineView, KeyPage, ProfilePage, TenantPage
from protocol.jobs import JobPage, JobView, OutputsReply, StepView, WhyReply

NONE = "-"
_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Table:
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def size(count: int | None) -> str:
    """Bytes for people, by thousands: 1.5 MB."""
    if count is None:
        return NONE
    value, unit = float(count), 0
    while value >= 999.95 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def span(seconds: float | None) -> str:
    """Seconds for people: 4.2 s, 3 min 05 s, 2 h 01 min."""
    if seconds is None:
        return NONE
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02} min"


def lines(table: Table) -> list[str]:
    """Aligned columns, two blanks apart, nothing cut."""
    widths = [max(map(len, column)) for column in zip(table.headers, *table.rows, strict=True)]
    return [
        "  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in (table.headers, *table.rows)
    ]


def _table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    return Table(tuple(headers), tuple(tuple(NONE if c is None else one_line(str(c)) for c in row) for row in rows))


def input_name(job: JobView) -> str:
    if job.video_info is not None:
        return job.video_info.filename
    told = job.input or {}
    return next((str(told[name]) for name in ("filename", "path", "url", "s3", "upload_id") if told.get(name)), NONE)


def job_table(page: JobPage) -> Table:
    return _table(
        ("JOB", "STATUS", "DONE", "PROFILE", "PRIORITY", "CREATED", "INPUT"),
        (
            (j.job_id, j.status, f"{j.progress_percent:.0f} %", j.profile, j.priority, j.created_at, input_name(j))
            for j in page.jobs
        ),
    )


def step_table(steps: Sequence[StepView]) -> Table:
    return _table(
        ("STEP", "STATUS", "DONE", "TIME", "SIZE", "NOTE"),
        (
            (s.name, s.status, f"{s.progress_percent:.0f} %", span(s.duration_seconds), size(s.output_size_bytes), s.error)
            for s in steps
        ),
    )


def job_facts(job: JobView) -> Table:
    """The head of one job, a fact a line."""
    facts = (
        ("job", job.job_id),
        ("status", f"{job.status} ({job.state})"),
        ("input", input_name(job)),
        ("profile", job.profile),
        ("priority", job.priority),
        ("attempt", job.attempt),
        ("created", job.created_at),
        ("started", job.started_at),
        ("completed", job.completed_at),
        ("worked", span(job.processing_time_seconds)),
        ("error", failure(job)),
        *(("warning", warning) for warning in job.warnings),
    )
    return _table(("FACT", "VALUE"), [fact for fact in facts if fact[1] is not None])


def failure(job: JobView) -> str | None:
    return f"{job.error.code}: {one_line(job.error.message)}" if job.error else None


def why_table(reply: WhyReply) -> Table:
    return _table(("ENGINE", "NAME", "REASON"), ((e.engine_id, e.name, e.reason) for e in reply.engines))


def link_table(reply: OutputsReply) -> Table:
    return _table(("PATH", "ROLE", "SIZE", "LINK"), ((f.path, f.role, size(f.size_bytes), f.url) for f in reply.files))


def engine_table(page: EnginePage) -> Table:
    return _table(
        ("ENGINE", "NAME", "STATE", "SLOTS", "RUNNING", "CPU", "LAST SEEN", "TAGS"),
        (
            (
                e.engine_id,
                e.name,
                e.state,
                f"{e.slots.encoding - e.slots.free_encoding}/{e.slots.encoding}",
                len(e.running),
                f"{e.load.cpu_percent:.0f} %",
                e.last_heartbeat_at,
                " ".join(sorted(e.tags)) or NONE,
            )
            for e in page.engines
        ),
    )


def engine_facts(engine: EngineView) -> Table:
    can = engine.capabilities
    facts = (
        ("engine", engine.engine_id),
        ("name", engine.name),
        ("host", engine.hostname),
        ("state", engine.state),
        ("software", engine.software_version),
        ("slots", f"{engine.slots.encoding} encoding, {engine.slots.light} light"),
        ("running", ", ".join(task.task_id for task in engine.running) or NONE),
        ("disk free", size(engine.load.disk_free_bytes)),
        ("tags", " ".join(sorted(engine.tags)) or NONE),
        ("sandbox tier", can.sandbox_tier),
        ("can", " ".join(sorted(can.provided)) or NONE),
        *((f"plugin {p.name}", p.problem or p.version) for p in can.plugins),
        ("last seen", engine.last_heartbeat_at),
    )
    return _table(("FACT", "VALUE"), facts)


def key_table(page: KeyPage) -> Table:
    return _table(
        ("KEY", "NAME", "TENANT", "SCOPES", "PREFIX", "EXPIRES", "REVOKED", "LAST USED"),
        (
            (k.key_id, k.name, k.tenant, " ".join(sorted(k.scopes)), k.prefix, k.expires_at, k.revoked_at, k.last_used_at)
            for k in page.api_keys
        ),
    )


def tenant_table(page: TenantPage) -> Table:
    return _table(("TENANT", "WEIGHT", "CREATED"), ((t.name, f"{t.weight:g}", t.created_at) for t in page.tenants))


def profile_table(page: ProfilePage) -> Table:
    return _table(
        ("PROFILE", "RENDITIONS", "DESCRIPTION"),
        ((p.name, " ".join(r.name for r in p.renditions) or NONE, p.description or NONE) for p in page.profiles),
    )
