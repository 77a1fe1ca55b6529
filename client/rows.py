"""Tables of jobs and what they made, of what the server answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from client.errors import one_line
from client.playing import absolute
from client.table import NONE, Table, size, span, table_of
from protocol.jobs import JobPage, JobView, OutputsReply, StepView, WhyReply


def input_name(job: JobView) -> str:
    if job.video_info is not None:
        return job.video_info.filename
    told = job.input or {}
    if isinstance(live := told.get("live"), dict):
        return f"live:{live.get('url') or live.get('protocol')}"
    return next((str(told[name]) for name in ("filename", "path", "url", "s3", "upload_id") if told.get(name)), NONE)


def job_table(page: JobPage) -> Table:
    return table_of(
        ("JOB", "STATUS", "DONE", "PROFILE", "PRIORITY", "CREATED", "INPUT"),
        (
            (j.job_id, j.status, f"{j.progress_percent:.0f} %", j.profile, j.priority, j.created_at, input_name(j))
            for j in page.jobs
        ),
    )


def step_table(steps: Sequence[StepView]) -> Table:
    return table_of(
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
    return table_of(("FACT", "VALUE"), [fact for fact in facts if fact[1] is not None])


def failure(job: JobView) -> str | None:
    return f"{job.error.code}: {one_line(job.error.message)}" if job.error else None


def fault_table(job: JobView) -> Table:
    """The attempts that came to nothing: why a job took longer than it should."""
    failed = [a for a in job.attempts if a.error is not None]
    return table_of(
        ("FAILED ATTEMPT", "ENGINE", "ENDED", "WHY"), ((f"{a.kind} {a.token}", a.engine_id, a.ended_at, a.error) for a in failed)
    )


def why_table(reply: WhyReply) -> Table:
    return table_of(("ENGINE", "NAME", "REASON"), ((e.engine_id, e.name, e.reason) for e in reply.engines))


def link_table(reply: OutputsReply, server: str) -> Table:
    """The links whole, to be passed on; the server tells them without its name where it knows none."""
    rows = ((f.path, f.role, size(f.size_bytes), absolute(f.url, server)) for f in reply.files)
    return table_of(("PATH", "ROLE", "SIZE", "LINK"), rows)
