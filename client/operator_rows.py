"""Tables of what operators look at, of what the server answers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from client.table import NONE, Table, size, span, table_of
from protocol.admin import AuditPage, EnginePage, EngineView, KeyPage, ProfilePage, TenantView
from protocol.care import DeadLetterPage, RetentionPage, ValidationReply
from protocol.figures import Figures, Stats, UsagePage
from protocol.states import EngineState
from protocol.webhooks import DeliveryDetail, DeliveryPage, EndpointPage

_AWAY = frozenset({EngineState.OFFLINE, EngineState.LOST})
"""What such an engine told last is not so any more."""


def engine_table(page: EnginePage) -> Table:
    return table_of(
        ("ENGINE", "NAME", "STATE", "SLOTS", "RUNNING", "CPU", "VERSION", "LAST SEEN", "TAGS"),
        (
            (
                e.engine_id,
                e.name,
                f"{e.state} ({' '.join(e.load.busy)})" if e.state is EngineState.BUSY and e.load.busy else e.state,
                f"{e.slots.encoding - e.slots.free_encoding}/{e.slots.encoding}" if e.state not in _AWAY else NONE,
                len(e.running),
                f"{e.load.cpu_percent:.0f} %" if e.state not in _AWAY else NONE,
                e.software_version,
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
        ("slots", f"{engine.slots.encoding} encoding, {engine.slots.gpu} GPU, {engine.slots.light} light"),
        ("running", ", ".join(task.task_id for task in engine.running) or NONE),
        ("disk free", size(engine.load.disk_free_bytes)),
        ("busy with", " ".join(engine.load.busy) or NONE),
        ("tags", " ".join(sorted(engine.tags)) or NONE),
        ("sandbox tier", can.sandbox_tier),
        ("can", " ".join(sorted(can.provided)) or NONE),
        *((f"GPU {d.index}", f"{d.name}: {' '.join(d.encoders) or 'no encoder works'}") for d in can.devices),
        *((f"speed {s.encoder} {s.height}p", f"{s.fps:.1f} frames/s") for s in can.speeds),
        *((f"plugin {p.name}", p.problem or p.version) for p in can.plugins),
        ("last seen", engine.last_heartbeat_at),
    )
    return table_of(("FACT", "VALUE"), facts)


def key_table(page: KeyPage) -> Table:
    return table_of(
        ("KEY", "NAME", "TENANT", "SCOPES", "PREFIX", "EXPIRES", "REVOKED", "LAST USED"),
        (
            (k.key_id, k.name, k.tenant, " ".join(sorted(k.scopes)), k.prefix, k.expires_at, k.revoked_at, k.last_used_at)
            for k in page.api_keys
        ),
    )


def tenant_table(tenants: Sequence[TenantView]) -> Table:
    return table_of(
        ("TENANT", "WEIGHT", "MAX RUNNING", "MAX QUEUED", "MAX PER MONTH", "PREFIX", "PROFILE", "TRUSTED", "CREATED"),
        (
            (
                t.name,
                f"{t.weight:g}",
                t.max_running,
                t.max_queued,
                size(t.max_bytes_per_month),
                t.prefix,
                t.default_profile,
                "no" if t.untrusted else "yes",
                t.created_at,
            )
            for t in tenants
        ),
    )


def profile_table(page: ProfilePage) -> Table:
    return table_of(
        ("PROFILE", "RENDITIONS", "DESCRIPTION"),
        ((p.name, " ".join(r.name for r in p.renditions) or NONE, p.description or NONE) for p in page.profiles),
    )


def dead_letter_table(page: DeadLetterPage) -> Table:
    return table_of(
        ("JOB", "TENANT", "PROFILE", "FAILED", "ATTEMPTS", "ERROR"),
        (
            (d.job_id, d.tenant, d.profile, d.failed_at, len(d.attempts), f"{d.error.code}: {d.error.message}")
            for d in page.dead_letters
        ),
    )


def retention_table(page: RetentionPage) -> Table:
    return table_of(
        ("KIND", "JOB", "TENANT", "SINCE", "SIZE", "PATH"),
        ((i.kind, i.job_id, i.tenant, i.since, size(i.size_bytes), i.path) for i in page.items),
    )


def audit_table(page: AuditPage) -> Table:
    return table_of(
        ("AT", "ACTOR", "ACTION", "TARGET", "TENANT", "ADDRESS"),
        ((a.at, a.actor, a.action, a.target, a.tenant, a.address) for a in page.audit),
    )


def usage_table(page: UsagePage) -> Table:
    return table_of(
        ("DAY", "TENANT", "KEY", "CREATED", "COMPLETED", "FAILED", "CANCELLED", "IN", "OUT", "HOURS"),
        (
            (
                u.day,
                u.tenant,
                u.key_id,
                u.jobs_created,
                u.jobs_completed,
                u.jobs_failed,
                u.jobs_cancelled,
                size(u.input_bytes),
                size(u.output_bytes),
                f"{u.processing_hours:.2f}",
            )
            for u in page.usage
        ),
    )


def stats_table(stats: Stats) -> Table:
    """A column for all of it, and for admins one for each tenant."""
    told: dict[str, Figures] = {"ALL" if stats.tenants is not None else "YOURS": stats, **(stats.tenants or {})}
    facts = [_figures(one) for one in told.values()]
    return table_of(("FIGURE", *told), ((name, *(one[name] for one in facts)) for name in facts[0]))


def _figures(told: Figures) -> dict[str, object]:
    return {
        "jobs": told.total_jobs,
        "pending": told.pending,
        "processing": told.processing,
        "completed": told.completed,
        "failed": told.failed,
        "input": size(told.total_input_bytes),
        "output": size(told.total_output_bytes),
        "a job takes": span(told.avg_processing_seconds),
        "slots in use": f"{told.engine_utilization_percent:.0f} %",
    }


def settings_table(settings: Mapping[str, JsonValue]) -> Table:
    return table_of(("SETTING", "VALUE"), _settings(settings, ""))


def _settings(settings: Mapping[str, JsonValue], before: str) -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", " ".join(map(str, value)) or NONE if isinstance(value, list) else value


def endpoint_table(page: EndpointPage) -> Table:
    return table_of(
        ("ENDPOINT", "ENABLED", "URL", "EVENTS", "DESCRIPTION"),
        (
            (
                e.endpoint_id,
                "yes" if e.enabled else f"no: {e.disabled_reason or 'by hand'}",
                e.url,
                " ".join(sorted(e.events)),
                e.description or NONE,
            )
            for e in page.endpoints
        ),
    )


def delivery_table(page: DeliveryPage) -> Table:
    return table_of(
        ("DELIVERY", "STATE", "EVENT", "JOB", "TRIES", "NEXT", "URL"),
        ((d.delivery_id, d.state, d.event, d.job_id, d.attempts, d.next_at, d.url) for d in page.deliveries),
    )


def try_table(delivery: DeliveryDetail) -> Table:
    return table_of(("AT", "STATUS", "TIME", "ERROR"), ((t.at, t.status, span(t.seconds), t.error) for t in delivery.tries))


def validation_table(reply: ValidationReply) -> Table:
    """What was found out, a fact a line."""
    info = reply.video_info
    facts: list[tuple[str, object]] = [("fit", "yes" if reply.valid else "no")]
    facts += [("problem", f"{p.code}: {p.message}") for p in reply.problems]
    if info is not None:
        facts += [("picture", f"{info.width}x{info.height}, {info.codec}"), ("duration", span(info.duration))]
    facts += [("can make", " ".join(n.removeprefix("can_") for n, can in reply.transcoding_options.items() if can) or NONE)]
    if (estimate := reply.estimate) is not None:
        how = "as measured here" if estimate.is_measured else "roughly, on two threads of a common server core"
        facts += [("estimate", f"{span(estimate.seconds)} of work, {how}; {size(estimate.bytes)} of outputs")]
    facts += [("warning", warning) for warning in reply.warnings]
    return table_of(("FACT", "VALUE"), facts)
