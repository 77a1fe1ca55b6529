"""Retention on virtual time: what goes by age, what a job's own `expires_at` takes, and what stays for good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dispatch.core.audit import AuditFilter
from dispatch.core.paging import Wanted
from dispatch.core.records import Source
from dispatch.core.retention import DAY_S, Spans
from dispatch.core.times import rfc3339
from dispatch.ports import Transaction
from dispatch.services.audit import audited
from dispatch.services.retention import ITEMS_AT_ONCE, RetentionService
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobInput, RetryRequest
from tests.contract.care_world import completed, failed, uploaded
from tests.contract.services_world import CLIENT, World, blocks_of, world
from tests.contract.test_services_publishing import FILM, MADE

HOLD_S = 601.0


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "film.mp4").write_bytes(FILM)
    async with world(tmp_path, allowed_roots=[tmp_path / "media"]) as made:
        yield made


def published(job_id: str) -> list[str]:
    return sorted(f"default/processed/{job_id}/{path}" for path in (*MADE, "metadata.json"))


async def swept(farm: World) -> None:
    await farm.duty("retention")
    await farm.duty("removals")


async def due(farm: World) -> list[tuple[str, str]]:
    page = await farm.core.services.care.retention.list(Wanted(limit=200))
    return [(item.kind, item.job_id) for item in page.items]


async def exists(farm: World, job_id: str) -> bool:
    return job_id in await farm.core.outside.store.read(lambda tx: tx.graphs([job_id]))


async def test_an_original_goes_a_week_after_the_end_and_the_outputs_stay(farm: World) -> None:
    job_id = await completed(farm)
    original = f"default/raw/{job_id}_original.mp4"

    farm.clock.advance(7 * DAY_S - 60)
    await swept(farm)
    before = farm.files()
    farm.clock.advance(120)
    await swept(farm)

    assert before == [*published(job_id), original]
    assert farm.files() == published(job_id)
    assert (await farm.graph(job_id)).job.source.kind == "purged"
    farm.clock.advance(4000 * DAY_S)
    await swept(farm)
    assert farm.files() == published(job_id)


async def test_a_failed_record_goes_after_a_month_counted_from_its_end_and_not_from_later_changes(farm: World) -> None:
    job_id = await failed(farm)

    farm.clock.advance(8 * DAY_S)
    await swept(farm)
    at_a_week = (await exists(farm, job_id), farm.files())
    farm.clock.advance(22 * DAY_S + 60)
    await swept(farm)

    assert at_a_week == (True, [])
    assert not await exists(farm, job_id)


async def test_a_cancelled_record_goes_after_a_month(farm: World) -> None:
    job_id = await uploaded(farm)
    await farm.core.services.jobs.cancel(CLIENT, job_id)

    farm.clock.advance(30 * DAY_S + 60)
    await swept(farm)

    assert (await exists(farm, job_id), farm.files()) == (False, [])


async def test_more_than_one_transaction_takes_goes_in_one_run(farm: World) -> None:
    job_ids = [await uploaded(farm) for _ in range(ITEMS_AT_ONCE + 1)]
    for job_id in job_ids:
        await farm.core.services.jobs.cancel(CLIENT, job_id)

    farm.clock.advance(30 * DAY_S + 60)
    await swept(farm)

    assert await farm.core.outside.store.read(lambda tx: tx.known_jobs(job_ids)) == set()
    assert farm.files() == []


async def test_a_job_that_has_not_ended_is_never_due(farm: World) -> None:
    job_id = await uploaded(farm, expires_at=rfc3339(farm.clock.now() + 100))

    farm.clock.advance(1000 * DAY_S)
    await swept(farm)

    assert (await due(farm), farm.files()) == ([], [f"default/raw/{job_id}_original.mp4"])


async def test_logs_events_and_deliveries_go_after_ninety_days(farm: World) -> None:
    job_id = await completed(farm)
    before = (await farm.core.services.jobs.log(CLIENT, job_id)).attempts

    farm.clock.advance(90 * DAY_S + 60)
    await swept(farm)

    after = (await farm.core.services.jobs.log(CLIENT, job_id)).attempts
    assert ([row.log for row in before if row.log], [row.log for row in after if row.log]) == (["frame=1"], [])
    events = await farm.core.outside.store.read(lambda tx: tx.events_after(0, job_id=job_id, tenant=None, limit=100))
    assert [event.new.type for event in events] == ["JobPurged"]


async def noted(farm: World, count: int) -> None:
    """So many entries of the audit log, now."""

    def note(tx: Transaction) -> None:
        for number in range(count):
            audited(tx, CLIENT, "delete_job", f"job_{number}", now=farm.clock.now())

    await farm.core.outside.store.transact(note)


async def entries_of(farm: World) -> list[str]:
    page = await farm.core.services.audit.list(AuditFilter(page=Wanted(limit=1000)))
    return [entry.target for entry in page.audit]


async def test_the_audit_log_goes_back_a_year(farm: World) -> None:
    before = len(await entries_of(farm))
    await noted(farm, 3)
    farm.clock.advance(DAY_S)
    await noted(farm, 1)
    farm.clock.advance(364 * DAY_S)
    due_now = (await farm.core.services.care.retention.list(Wanted())).audit_entries

    await swept(farm)

    assert (due_now, await entries_of(farm)) == (before + 3, ["job_0"])


async def test_a_dry_run_counts_the_audit_log_in_one_line_and_takes_nothing_of_it(farm: World) -> None:
    spans = Spans(7 * DAY_S, 30 * DAY_S, 90 * DAY_S, 365 * DAY_S, is_dry=True)
    dry = RetentionService(farm.core.outside.store, farm.clock, spans)
    await noted(farm, 3)
    there = await entries_of(farm)
    farm.clock.advance(365 * DAY_S)

    with capture_logs() as logs:
        await dry.run_once()
        await dry.run_once()

    assert [(line["event"], line["audit_entries"]) for line in logs] == [("retention_would_drop", len(there))]
    assert await entries_of(farm) == there


async def test_the_last_event_stays_however_old_it_is(farm: World) -> None:
    await farm.submit(ttl_s=31_536_000)
    last = await farm.core.outside.store.read(lambda tx: tx.last_seq())

    farm.clock.advance(300 * DAY_S)
    await swept(farm)

    assert await farm.core.outside.store.read(lambda tx: tx.last_seq()) == last


async def test_what_is_due_is_listed_page_by_page_before_it_goes(farm: World) -> None:
    jobs = [await failed(farm) for _ in range(3)]
    farm.clock.advance(31 * DAY_S)

    first = await farm.core.services.care.retention.list(Wanted(limit=4))
    everything = await due(farm)

    assert sorted(everything) == sorted([("original", job) for job in jobs] + [("record", job) for job in jobs])
    assert ([(i.kind, i.job_id) for i in first.items], first.total) == (everything[:4], 6)
    assert first.next_cursor is not None
    item = next(item for item in first.items if item.kind == "original")
    assert (item.path, item.size_bytes, item.tenant) == (f"default/raw/{item.job_id}_original.mp4", len(FILM), "default")


async def test_every_item_that_goes_is_told_and_audited(farm: World) -> None:
    job_id = await completed(farm)
    farm.clock.advance(8 * DAY_S)

    with capture_logs() as logs:
        await swept(farm)

    told = [(line["kind"], line["job"], line["path"]) for line in logs if line["event"] == "retention_took"]
    assert told == [("original", job_id, f"default/raw/{job_id}_original.mp4")]
    entry = (await farm.core.services.audit.list(AuditFilter())).audit[0]
    assert (entry.actor, entry.action, entry.target) == ("retention", "purge_original", job_id)


async def test_a_dry_run_takes_nothing_and_tells_each_item_once(farm: World) -> None:
    job_id = await completed(farm)
    spans = Spans(7 * DAY_S, 30 * DAY_S, 90 * DAY_S, 365 * DAY_S, is_dry=True)
    dry = RetentionService(farm.core.outside.store, farm.clock, spans)
    farm.clock.advance(8 * DAY_S)
    before = farm.files()

    with capture_logs() as logs:
        await dry.run_once()
        await dry.run_once()

    assert [(line["event"], line["job"]) for line in logs] == [("retention_would_take", job_id)]
    assert (farm.files(), (await farm.graph(job_id)).job.source.kind) == (before, "storage")


async def test_a_dry_run_still_keeps_a_jobs_own_expiry(farm: World) -> None:
    job_id = await completed(farm, expires_at=rfc3339(farm.clock.now() + DAY_S))
    spans = Spans(7 * DAY_S, 30 * DAY_S, 90 * DAY_S, 365 * DAY_S, is_dry=True)
    dry = RetentionService(farm.core.outside.store, farm.clock, spans)
    farm.clock.advance(DAY_S + 1)

    await dry.run_once()
    await farm.duty("removals")

    assert (farm.files(), await exists(farm, job_id)) == ([], True)


async def test_a_jump_of_the_wall_clock_takes_nothing(farm: World) -> None:
    job_id = await completed(farm, expires_at=rfc3339(farm.clock.now() + DAY_S))
    await farm.duty("retention")

    farm.clock.jump(400 * DAY_S)
    await swept(farm)
    held = farm.files()
    farm.clock.jump(-400 * DAY_S)
    farm.clock.advance(HOLD_S)
    await swept(farm)
    farm.clock.advance(HOLD_S)
    await swept(farm)

    assert held == farm.files() == [*published(job_id), f"default/raw/{job_id}_original.mp4"]


async def test_expiry_takes_outputs_and_original_and_leaves_the_job(farm: World) -> None:
    moment = rfc3339(farm.clock.now() + DAY_S)
    job_id = await completed(farm, expires_at=moment)
    assert (await farm.core.services.jobs.get(CLIENT, job_id)).expires_at == moment

    farm.clock.advance(DAY_S + 1)
    listed = await due(farm)
    await swept(farm)

    view = await farm.core.services.jobs.get(CLIENT, job_id)
    assert (listed, farm.files()) == ([("expired", job_id)], [])
    assert (view.state, view.outputs, view.outputs_purged_at is not None) == ("completed", None, True)
    assert await due(farm) == []


async def test_expiry_never_touches_a_file_the_server_reads_in_place(farm: World) -> None:
    film = farm.root.parent / "media" / "film.mp4"
    moment = rfc3339(farm.clock.now() + DAY_S)
    job_id = await farm.submit(profile="web", input=JobInput(path=str(film)), expires_at=moment)
    await farm.core.services.jobs.cancel(CLIENT, job_id)

    farm.clock.advance(DAY_S + 1)
    await swept(farm)

    assert (film.read_bytes(), await due(farm)) == (FILM, [])


async def test_a_clients_own_picture_goes_like_an_original_and_tells_no_path_of_the_server(farm: World) -> None:
    job_id = await failed(farm)
    film, picture = farm.root.parent / "media" / "film.mp4", f"default/raw/{job_id}_thumbnail.png"
    await farm.core.services.storage.write(picture, blocks_of(b"picture"))
    staged = f"staging/{job_id}/of a task that will be needed if it is tried again"
    await farm.core.services.storage.write(staged, blocks_of(b"done already"))

    def with_picture(tx: Transaction) -> None:
        graph = tx.graphs([job_id])[job_id]
        kept = f'{{"path":"{picture}","size":7,"sha256":"{"a" * 64}","type":"png"}}'
        job = replace(graph.job, source=Source("server", str(film), "film.mp4", 1), thumbnail_json=kept)
        tx.save([graph], [replace(graph, job=job)])

    await farm.core.outside.store.transact(with_picture)
    farm.clock.advance(8 * DAY_S)
    listed = (await farm.core.services.care.retention.list(Wanted())).items
    await swept(farm)

    assert [(item.kind, item.path) for item in listed] == [("original", None)]
    assert (farm.files(), film.read_bytes()) == ([f"default/raw/{job_id}_original.mp4", staged], FILM)
    assert (await farm.graph(job_id)).job.source.kind == "server"


async def test_a_failed_job_tried_again_in_time_keeps_its_original(farm: World) -> None:
    job_id = await failed(farm)
    farm.clock.advance(6 * DAY_S)
    await farm.core.services.jobs.retry(CLIENT, job_id, RetryRequest())

    farm.clock.advance(2 * DAY_S)
    await swept(farm)

    assert farm.files() == [f"default/raw/{job_id}_original.mp4"]


@pytest.mark.parametrize("told", ["yesterday", "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "2027-02-01"])
async def test_an_expiry_that_is_no_coming_moment_is_refused(farm: World, told: str) -> None:
    with pytest.raises(ReelyardError) as refused:
        await farm.submit(expires_at=told)

    assert (refused.value.code, refused.value.message.partition(":")[0]) == (ErrorCode.VALIDATION_FAILED, "expires_at")
