"""A job by URL in dispatch: what the engine is given, and how the original it fetched becomes the job's own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dispatch.core.records import Source
from dispatch.ports import Choice
from dispatch.services.originals import OriginalService
from plugins.storage_local.provider import LocalStorage
from protocol.addresses import FetchPolicy
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.jobs import JobInput, RetryRequest
from protocol.leases import Complete, Fail, Grant, RemoteInput, Start
from protocol.results import AttemptResult, StagedOriginal
from protocol.storage import StorageUnavailable
from tests.contract.services_world import BOOT, CLIENT, World, world
from tests.unit.dispatch_jobs import failure, video

URL = "https://films.example/a/my%20film.mov?signature=s3cret"
FILM, OTHER = b"a film" * 100, b"another" * 100
DAY, HOUR = 86_400.0, 3600.0


class Moody(LocalStorage):
    """The local storage, away while it is told to be."""

    is_away = False

    async def link(self, *given: Any, **named: Any) -> None:  # as the real one
        if self.is_away:
            raise StorageUnavailable(given[1], "no route")
        await super().link(*given, **named)


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "storage").mkdir()
    async with world(tmp_path, storage=Moody(str(tmp_path / "storage")), ports=[443], max_redirects=2) as made:
        yield made


def original(film: bytes = FILM, path: str = "original.mov") -> StagedOriginal:
    return StagedOriginal(path=path, size=len(film), sha256=hashlib.sha256(film).hexdigest())


def report_of(grant: Grant, told: StagedOriginal | None) -> Complete:
    result = AttemptResult(analysis=video(1280, 720), original=told)
    return Complete(task_id=grant.task_id, token=grant.token, result=result)


async def analyzing(farm: World, job_id: str | None = None, boot: str = BOOT) -> tuple[str, str, Grant]:
    """A job by URL, the engine that analyzes it, and its grant."""
    engine = await farm.register(boot=boot)
    job_id = job_id or await farm.submit(profile="web", input=JobInput(url=URL))
    return job_id, engine.engine_id, await farm.grant(engine.engine_id, job_id, boot=boot)


async def analyzed(farm: World, film: bytes = FILM) -> tuple[str, str, Grant]:
    job_id, engine_id, grant = await analyzing(farm)
    await farm.stage(grant, "original.mov", film)
    assert [s.error for s in await farm.settle(engine_id, report_of(grant, original(film)))] == [None]
    return job_id, engine_id, grant


async def source(farm: World, job_id: str) -> Source:
    return (await farm.graph(job_id)).job.source


def raw(farm: World) -> list[str]:
    return [path for path in farm.files() if "/raw/" in path]


# --- submit and grant


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/a", "file:///etc/passwd", "https://e.com:22/a", "https://u:p@e.com/", "http://e.com/a", "https://a b/"],
)
async def test_a_url_that_is_never_fetched_is_refused_at_submit(farm: World, url: str) -> None:
    with pytest.raises(ReelyardError) as refused:
        await farm.submit(profile="web", input=JobInput(url=url))

    assert (refused.value.code, refused.value.status) == (ErrorCode.INPUT_URL_REFUSED, 422)


async def test_analyze_is_given_the_url_with_its_policy_and_somewhere_to_stage(farm: World) -> None:
    _, _, grant = await analyzing(farm)

    assert grant.input is not None
    policy = FetchPolicy(ports=(443,), max_redirects=2)
    assert (grant.input.remote, grant.input.filename) == (RemoteInput(url=URL, policy=policy), "my film.mov")
    assert grant.staging_url is not None
    assert "s3cret" not in repr(grant)


async def test_the_tenant_sees_the_url_as_it_was_submitted(farm: World) -> None:
    job_id, _, _ = await analyzed(farm)

    view = await farm.core.services.jobs.get(CLIENT, job_id)
    assert (view.input, view.video_info and view.video_info.filename) == ({"url": URL}, "my film.mov")


async def test_nothing_but_analyze_is_granted_before_the_input_is_fetched(farm: World) -> None:
    """The guard behind all others: even a transcode that were ready is not granted while the source is a URL."""
    job_id, engine_id, _ = await analyzed(farm)
    graph = await farm.graph(job_id)
    unfetched = replace(graph, job=replace(graph.job, source=Source("url", URL, "film", 0)))
    await farm.core.outside.store.transact(lambda tx: tx.save([graph], [unfetched]))

    made = await farm.core.leases.grant([Choice(engine_id, BOOT, "req-x", (graph.tasks[1].task_id,))])
    assert made == [()]


# --- taken over


async def test_the_original_becomes_the_jobs_source_with_the_settlement(farm: World) -> None:
    job_id, engine_id, grant = await analyzed(farm)

    path = f"default/raw/{job_id}_original.mov"
    assert await source(farm, job_id) == Source("storage", path, "my film.mov", len(FILM), hashlib.sha256(FILM).hexdigest())
    assert await farm.states(job_id) == ("pending", "done", "pending", "skipped")
    assert (farm.root / path).read_bytes() == FILM
    following = await farm.grant(engine_id, job_id)
    assert following.input is not None
    assert (following.input.remote, following.input.size) == (None, len(FILM))
    signature, _, rest = following.input.url.removeprefix("/files/s/").partition("/")
    readable = await farm.core.services.files.open_signed(signature, "GET", rest)
    assert readable.storage_path == path
    assert grant.token != following.token


async def test_the_same_report_again_is_answered_as_before(farm: World) -> None:
    job_id, engine_id, grant = await analyzed(farm)
    before = farm.files()

    answers = await farm.settle(engine_id, report_of(grant, original()))
    assert [answer.error for answer in answers] == [None]
    assert (farm.files(), (await source(farm, job_id)).kind) == (before, "storage")


async def test_an_original_that_was_linked_before_a_crash_is_taken(farm: World) -> None:
    job_id, engine_id, grant = await analyzing(farm)
    await farm.stage(grant, "original.mov", FILM)
    originals = OriginalService(farm.core.outside.store, farm.core.outside.storage)
    await originals.take_over(engine_id, [report_of(grant, original())])  # and then dispatch died
    assert raw(farm) == [f"default/raw/{job_id}_original.mov"]

    await farm.settle(engine_id, report_of(grant, original()))
    assert (await source(farm, job_id)).path == f"default/raw/{job_id}_original.mov"
    assert len(raw(farm)) == 1


async def test_other_bytes_of_an_earlier_attempt_are_neither_overwritten_nor_used(farm: World) -> None:
    job_id, engine_id, grant = await analyzing(farm)
    standing = farm.root / "default" / "raw" / f"{job_id}_original.mov"
    standing.parent.mkdir(parents=True)
    standing.write_bytes(OTHER)
    await farm.stage(grant, "original.mov", FILM)

    await farm.settle(engine_id, report_of(grant, original()))
    own = f"default/raw/{job_id}_original-{grant.token}.mov"
    assert (await source(farm, job_id)).path == own
    assert (standing.read_bytes(), (farm.root / own).read_bytes()) == (OTHER, FILM)


async def test_a_stale_report_touches_no_file(farm: World) -> None:
    job_id, engine_id, grant = await analyzing(farm)
    await farm.stage(grant, "original.mov", FILM)
    farm.clock.advance(61.0)
    await farm.duty("leases")

    (answer,) = await farm.settle(engine_id, report_of(grant, original()))
    assert (answer.error, raw(farm), (await source(farm, job_id)).kind) == (ErrorCode.STALE_LEASE, [], "url")


async def test_a_report_of_another_engine_touches_no_file(farm: World) -> None:
    job_id, _, grant = await analyzing(farm)
    await farm.stage(grant, "original.mov", FILM)
    other = await farm.register("other")

    (answer,) = await farm.settle(other.engine_id, report_of(grant, original()))
    assert (answer.error, raw(farm), (await source(farm, job_id)).kind) == (ErrorCode.STALE_LEASE, [], "url")


async def test_a_report_of_a_cancelled_job_touches_no_file(farm: World) -> None:
    job_id, engine_id, grant = await analyzing(farm)
    await farm.stage(grant, "original.mov", FILM)
    await farm.core.services.jobs.cancel(CLIENT, job_id)

    (answer,) = await farm.settle(engine_id, report_of(grant, original()))
    assert (answer.error, raw(farm)) == (ErrorCode.STALE_LEASE, [])


@pytest.mark.parametrize("staged", [None, b"", FILM[:-1], OTHER])
async def test_an_original_that_is_not_what_was_reported_is_fetched_again(farm: World, staged: bytes | None) -> None:
    job_id, engine_id, grant = await analyzing(farm)
    if staged is not None:
        await farm.stage(grant, "original.mov", staged)

    (answer,) = await farm.settle(engine_id, report_of(grant, original()))
    assert (answer.error, raw(farm)) == (ErrorCode.STAGED_FILE_LOST, [])
    assert await farm.states(job_id) == ("retrying", "pending", "waiting", "waiting")
    assert (await farm.graph(job_id)).tasks[0].infra_failures == 1


async def test_an_analysis_without_the_original_is_refused(farm: World) -> None:
    job_id, engine_id, grant = await analyzing(farm)

    (answer,) = await farm.settle(engine_id, report_of(grant, None))
    assert (answer.error, (await source(farm, job_id)).kind) == (ErrorCode.PLUGIN_FAILED, "url")


async def test_a_storage_that_is_away_loses_nothing_and_holds_up_no_other_report(farm: World) -> None:
    storage = farm.core.outside.storage
    assert isinstance(storage, Moody)
    job_id, engine_id, grant = await analyzing(farm)
    await farm.stage(grant, "original.mov", FILM)
    noop = await farm.submit()
    other = await farm.grant(engine_id, noop)
    storage.is_away = True
    reports = (report_of(grant, original()), Start(task_id=other.task_id, token=other.token))

    answers = await farm.settle(engine_id, *reports)
    assert [answer.error for answer in answers] == [ErrorCode.STORAGE_UNAVAILABLE, None]
    assert await farm.states(job_id) == ("assigned", "assigned", "waiting", "waiting")
    storage.is_away = False
    answers = await farm.settle(engine_id, *reports)
    assert [answer.error for answer in answers] == [None, None]
    assert (await source(farm, job_id)).kind == "storage"


async def test_an_original_named_for_a_job_without_a_url_is_not_taken(farm: World, tmp_path: Path) -> None:
    engine = await farm.register()
    job_id = await farm.submit()
    grant = await farm.grant(engine.engine_id, job_id)
    report = Complete(task_id=grant.task_id, token=grant.token, result=AttemptResult(original=original()))

    assert [answer.error for answer in await farm.settle(engine.engine_id, report)] == [None]
    assert ((await source(farm, job_id)).kind, raw(farm)) == ("none", [])


async def test_a_failed_fetch_fails_the_job_and_a_retry_fetches_again(farm: World) -> None:
    job_id, engine_id, grant = await analyzing(farm)
    why = failure(FailureClass.INPUT, ErrorCode.INPUT_NOT_FOUND)
    await farm.settle(engine_id, Fail(task_id=grant.task_id, token=grant.token, failure=why))
    assert await farm.states(job_id) == ("failed", "failed", "waiting", "waiting")

    await farm.core.services.jobs.retry(CLIENT, job_id, RetryRequest())
    again = await farm.grant(engine_id, job_id)
    assert again.input is not None
    assert again.input.remote is not None


# --- housekeeping


def age(path: Path, days: float, now: float) -> None:
    os.utime(path, (now - days * DAY, now - days * DAY))


async def swept(farm: World) -> list[str]:
    """What is left below `raw/` after files were found to be nobody's twice, an hour apart."""
    await farm.duty("housekeeping")
    farm.clock.advance(HOUR + 1)
    await farm.duty("housekeeping")
    return raw(farm)


async def test_a_left_behind_original_goes_a_day_later_and_the_jobs_own_stays(farm: World) -> None:
    job_id, engine_id, grant = await analyzing(farm)
    folder = farm.root / "default" / "raw"
    folder.mkdir(parents=True)
    (folder / f"{job_id}_original.mov").write_bytes(OTHER)
    (folder / "job_gone_original.mov").write_bytes(OTHER)
    (folder / "job_fresh_original.mov").write_bytes(OTHER)
    await farm.stage(grant, "original.mov", FILM)
    await farm.settle(engine_id, report_of(grant, original()))
    own = f"{job_id}_original-{grant.token}.mov"
    for name in (f"{job_id}_original.mov", own, "job_gone_original.mov"):
        age(folder / name, 2, farm.clock.now())
    age(folder / "job_fresh_original.mov", 0, farm.clock.now())

    assert [path.rsplit("/", 1)[-1] for path in await swept(farm)] == sorted(
        [f"{job_id}_original.mov", own, "job_fresh_original.mov"]
    ), "a job at work may still take the file over"
    await farm.core.services.jobs.cancel(CLIENT, job_id)
    assert [path.rsplit("/", 1)[-1] for path in await swept(farm)] == sorted([own, "job_fresh_original.mov"])


async def test_an_original_that_is_taken_over_after_it_was_marked_stays(farm: World) -> None:
    job_id, engine_id, grant = await analyzing(farm)
    await farm.stage(grant, "original.mov", FILM)
    await farm.settle(engine_id, Fail(task_id=grant.task_id, token=grant.token, failure=failure(FailureClass.INPUT)))
    path = farm.root / "default" / "raw" / f"{job_id}_original.mov"
    path.parent.mkdir(parents=True)
    path.write_bytes(FILM)
    age(path, 2, farm.clock.now())
    await farm.duty("housekeeping")
    await farm.core.services.jobs.retry(CLIENT, job_id, RetryRequest())
    again = await farm.grant(engine_id, job_id)
    await farm.stage(again, "original.mov", FILM)
    await farm.settle(engine_id, report_of(again, original()))
    await farm.core.services.jobs.cancel(CLIENT, job_id)

    assert await swept(farm) == [f"default/raw/{job_id}_original.mov"]
    assert (await source(farm, job_id)).path == f"default/raw/{job_id}_original.mov"
