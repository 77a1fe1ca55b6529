"""Purges: rows first, bytes later, nothing forgotten, nothing taken that is somebody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatch.core import purging
from dispatch.core.audit import AuditFilter
from dispatch.core.purging import Reason
from dispatch.core.records import Deletion
from dispatch.ports import Transaction
from dispatch.services.purging import save_purge
from plugins.storage_local.provider import LocalStorage
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobInput, RetryRequest
from protocol.leases import Start
from protocol.storage import StorageUnavailable
from tests.contract.care_world import completed, failed, uploaded
from tests.contract.services_world import CLIENT, OTHER, World, blocks_of, world
from tests.contract.test_services_publishing import FILM, MADE


class Moody(LocalStorage):
    """The local storage, whose deletes fail while it is told so."""

    is_away = False

    async def delete(self, path: str) -> None:
        if self.is_away:
            raise StorageUnavailable(path, "no route")
        await super().delete(path)


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "film.mp4").write_bytes(FILM)
    (tmp_path / "storage").mkdir()
    storage = Moody(str(tmp_path / "storage"))
    async with world(tmp_path, storage=storage, allowed_roots=[tmp_path / "media"]) as made:
        yield made


async def waiting(farm: World) -> list[str]:
    found = await farm.core.outside.store.read(lambda tx: tx.deletions("", 100))
    return [deletion.path for deletion in found]


async def rows_of(farm: World, job_id: str) -> tuple[int, int, int]:
    def count(tx: Transaction) -> tuple[int, int, int]:
        return len(tx.graphs([job_id])), len(tx.job_attempts(job_id)), len(tx.staged(job_id))

    return await farm.core.outside.store.read(count)


async def test_purged_outputs_are_gone_from_the_job_at_once_and_from_the_storage_soon(farm: World) -> None:
    job_id = await completed(farm)
    before = await farm.core.services.jobs.get(CLIENT, job_id)

    view = await farm.core.services.care.purges.purge_outputs(CLIENT, job_id)

    assert (view.state, view.outputs, view.compression, view.outputs_purged_at) == ("completed", None, None, view.updated_at)
    assert view.version == before.version + 1
    assert len(farm.files()) == len(MADE) + 2
    with pytest.raises(ReelyardError) as told:
        await farm.core.services.care.outputs.links(CLIENT, job_id, expires_in=60)
    assert told.value.code is ErrorCode.OUTPUTS_PURGED
    await farm.duty("removals")
    assert farm.files() == [f"default/raw/{job_id}_original.mp4"]
    assert await waiting(farm) == []


async def test_purging_outputs_twice_is_one_purge(farm: World) -> None:
    job_id = await completed(farm)
    first = await farm.core.services.care.purges.purge_outputs(CLIENT, job_id)

    second = await farm.core.services.care.purges.purge_outputs(CLIENT, job_id)

    assert second == first
    purges = [event.new.data_json for commit in farm.commits for event in commit.events if event.new.type == "JobPurged"]
    assert purges == ['{"scope":"outputs","reason":"asked"}']


async def test_a_purged_job_leaves_no_row_and_no_file(farm: World) -> None:
    job_id = await completed(farm)

    view = await farm.core.services.care.purges.purge_job(CLIENT, job_id)
    await farm.duty("removals")

    assert (view.job_id, view.state) == (job_id, "completed")
    assert (await rows_of(farm, job_id), farm.files(), await waiting(farm)) == ((0, 0, 0), [], [])
    with pytest.raises(ReelyardError) as told:
        await farm.core.services.jobs.get(CLIENT, job_id)
    assert told.value.code is ErrorCode.JOB_NOT_FOUND


async def test_a_purge_is_an_event_and_an_audit_entry_of_its_own_transaction(farm: World) -> None:
    job_id = await completed(farm)

    await farm.core.services.care.purges.purge_job(CLIENT, job_id)

    event = farm.commits[-1].events[-1].new
    assert (event.type, event.job_id, event.tenant, event.from_state, event.data_json) == (
        "JobPurged",
        job_id,
        "default",
        "completed",
        '{"scope":"job","reason":"asked"}',
    )
    assert [job.job_id for job in farm.commits[-1].jobs] == [job_id]
    entry = (await farm.core.services.audit.list(AuditFilter())).audit[0]
    assert (entry.action, entry.target, entry.actor) == ("delete_job", job_id, CLIENT.key_id)


async def test_a_job_that_has_not_ended_is_not_purged(farm: World) -> None:
    job_id = await uploaded(farm)
    purges = farm.core.services.care.purges

    with pytest.raises(ReelyardError) as whole:
        await purges.purge_job(CLIENT, job_id)
    with pytest.raises(ReelyardError) as outputs:
        await purges.purge_outputs(CLIENT, job_id)

    assert (whole.value.code, outputs.value.code) == (ErrorCode.INVALID_TRANSITION, ErrorCode.OUTPUTS_NOT_READY)
    assert (await rows_of(farm, job_id))[0] == 1
    assert await waiting(farm) == []


async def test_another_tenant_purges_nothing(farm: World) -> None:
    job_id = await completed(farm)

    for purge in (farm.core.services.care.purges.purge_job, farm.core.services.care.purges.purge_outputs):
        with pytest.raises(ReelyardError) as told:
            await purge(OTHER, job_id)
        assert told.value.code is ErrorCode.JOB_NOT_FOUND

    assert await waiting(farm) == []


async def test_a_stale_version_purges_nothing(farm: World) -> None:
    job_id = await completed(farm)
    version = (await farm.graph(job_id)).job.version

    with pytest.raises(ReelyardError) as told:
        await farm.core.services.care.purges.purge_job(CLIENT, job_id, frozenset({version - 1}))
    await farm.core.services.care.purges.purge_job(CLIENT, job_id, frozenset({version}))

    assert told.value.code is ErrorCode.PRECONDITION_FAILED
    assert await rows_of(farm, job_id) == (0, 0, 0)


async def test_a_file_the_server_reads_in_place_is_never_touched(farm: World) -> None:
    film = farm.root.parent / "media" / "film.mp4"
    job_id = await farm.submit(profile="web", input=JobInput(path=str(film)))
    await farm.core.services.jobs.cancel(CLIENT, job_id)

    await farm.core.services.care.purges.purge_job(CLIENT, job_id)
    await farm.duty("removals")

    assert (await rows_of(farm, job_id), film.read_bytes()) == ((0, 0, 0), FILM)


async def test_bytes_that_cannot_go_now_go_later_and_hold_up_no_others(farm: World) -> None:
    job_id, storage = await completed(farm), farm.core.outside.storage
    assert isinstance(storage, Moody)
    await farm.core.services.care.purges.purge_job(CLIENT, job_id)
    expected = [f"default/processed/{job_id}", f"default/raw/{job_id}_original.mp4", f"staging/{job_id}"]
    storage.is_away = True

    await farm.duty("removals")
    kept = await waiting(farm)
    storage.is_away = False
    await farm.duty("removals")

    assert kept == expected
    assert (await waiting(farm), farm.files()) == ([], [])


async def test_a_crash_between_rows_and_bytes_forgets_nothing(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    async with world(tmp_path, adapter="sqlite") as farm:
        job_id = await completed(farm)
        await farm.core.services.care.purges.purge_job(CLIENT, job_id)

    async with world(tmp_path, adapter="sqlite") as again:
        assert len(again.files()) == len(MADE) + 2
        await again.duty("removals")

        assert (again.files(), await waiting(again)) == ([], [])


async def test_many_paths_go_page_by_page(farm: World) -> None:
    rows = [Deletion(f"staging/job_{number:04d}", None, 0.0) for number in range(450)]
    await farm.core.outside.store.transact(lambda tx: tx.put_deletions(rows))

    await farm.duty("removals")

    assert await waiting(farm) == []


async def test_a_zombie_that_reports_about_a_purged_job_is_stale(farm: World) -> None:
    job_id, engine = await uploaded(farm), await farm.register()
    grant = await farm.grant(engine.engine_id, job_id)
    await farm.core.services.jobs.cancel(CLIENT, job_id)
    await farm.core.services.care.purges.purge_job(CLIENT, job_id)

    settled = await farm.settle(engine.engine_id, Start(task_id=grant.task_id, token=grant.token))
    orders = (await farm.poll(engine.engine_id)).orders

    assert [answer.error for answer in settled] == [ErrorCode.STALE_LEASE]
    assert [(order.order, order.token) for order in orders] == [("cancel", grant.token)]
    assert len(farm.core.table) == 0


async def test_a_failed_job_whose_original_is_gone_is_not_tried_again(farm: World) -> None:
    job_id = await failed(farm)
    now = farm.clock.now()

    def take(tx: Transaction) -> None:
        taken = purging.original(tx.graphs([job_id])[job_id], Reason.RETENTION, now=now)
        assert taken is not None
        save_purge(tx, taken, now=now)

    await farm.core.outside.store.transact(take)
    with pytest.raises(ReelyardError) as told:
        await farm.core.services.jobs.retry(CLIENT, job_id, RetryRequest())

    assert told.value.code is ErrorCode.INPUT_PURGED
    source = (await farm.graph(job_id)).job.source
    assert (source.kind, source.path, source.filename, source.size) == ("purged", "", "film.mp4", len(FILM))


async def test_what_a_zombie_stages_for_a_purged_job_is_removed_without_waiting_a_day(farm: World) -> None:
    job_id, engine = await uploaded(farm), await farm.register()
    grant = await farm.grant(engine.engine_id, job_id)
    await farm.core.services.jobs.cancel(CLIENT, job_id)
    await farm.core.services.care.purges.purge_job(CLIENT, job_id)
    await farm.duty("removals")
    late = f"staging/{job_id}/{grant.task_id}/{grant.token}/360p/video_360p.mp4"
    unknown = "staging/job_000099/tsk_1/1/a.mp4"
    for path in (late, f"default/raw/{job_id}_original-7.mp4", unknown):
        await farm.core.services.storage.write(path, blocks_of(b"late"))

    await farm.duty("housekeeping")

    assert farm.files() == [unknown]
