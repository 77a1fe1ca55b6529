"""From staged files to outputs: once, whole, redone after a crash, waited for while the storage is away."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dispatch.core.records import Graph
from plugins.storage_local.provider import LocalStorage
from protocol.jobs import JobInput, RetryRequest
from protocol.leases import Complete, Grant, Start
from protocol.results import AttemptResult, FileRole, OutputFacts, StagedFile
from protocol.states import JobState
from protocol.storage import StorageUnavailable
from tests.contract.services_world import CLIENT, World, world
from tests.unit.dispatch_jobs import analyzed, video

FILM = b"\0\0\0\x20ftypisom" + bytes(100)
MADE = {"360p/video_360p.mp4": b"small", "720p/video_720p.mp4": b"large", "audio/audio.mp3": b"sound"}


class Moody(LocalStorage):
    """The local storage, away while it is told to be."""

    is_away = False

    async def promote(self, *given: Any, **named: Any) -> None:  # as the real one
        if self.is_away:
            raise StorageUnavailable(given[0], "no route")
        await super().promote(*given, **named)


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    media = tmp_path / "media"
    media.mkdir()
    (media / "film.mp4").write_bytes(FILM)
    (tmp_path / "storage").mkdir()
    storage = Moody(str(tmp_path / "storage"))
    async with world(tmp_path, storage=storage, allowed_roots=[media]) as made:
        yield made


def staged(path: str, content: bytes) -> StagedFile:
    """A film by its ending; everything else is a segment."""
    role = FileRole.RENDITION if path.endswith(".mp4") else FileRole.SEGMENT
    facts = OutputFacts(role=role, rendition=path.split("/")[0], width=640, height=360)
    return StagedFile(path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest(), facts=facts)


async def transcoded(farm: World, engine_id: str, job_id: str) -> Grant:
    """The encode of the job, staged and reported."""
    grant = await farm.grant(engine_id, job_id)
    for path, content in MADE.items():
        await farm.stage(grant, path, content)
    files = tuple(staged(path, content) for path, content in MADE.items())
    done = Complete(task_id=grant.task_id, token=grant.token, result=AttemptResult(files=files))
    settled = await farm.settle(engine_id, Start(task_id=grant.task_id, token=grant.token), done)
    assert [answer.error for answer in settled] == [None, None]
    return grant


async def completing(farm: World) -> tuple[str, str, Grant]:
    """A job in completing, its engine, and the grant that made its files."""
    engine = await farm.register()
    job_id = await farm.submit(profile="web", input=JobInput(path=str(farm.root.parent / "media" / "film.mp4")))
    analysis = await farm.grant(engine.engine_id, job_id)
    report = analyzed(analysis.token, video(1920, 1080)).model_copy(update={"task_id": analysis.task_id})
    await farm.settle(engine.engine_id, Start(task_id=analysis.task_id, token=analysis.token), report)
    grant = await transcoded(farm, engine.engine_id, job_id)
    assert await farm.states(job_id) == ("completing", "done", "done", "skipped")
    return job_id, engine.engine_id, grant


def published(job_id: str) -> list[str]:
    return sorted(f"default/processed/{job_id}/{path}" for path in (*MADE, "metadata.json"))


async def test_a_completing_job_is_published_and_its_staging_removed(farm: World) -> None:
    job_id, _, _ = await completing(farm)

    await farm.duty("promotion")

    assert await farm.states(job_id) == ("completed", "done", "done", "skipped")
    assert farm.files() == published(job_id)
    view = await farm.core.services.jobs.get(CLIENT, job_id)
    assert view.outputs is not None
    assert set(view.outputs) >= {"360p", "720p", "metadata_json"}


async def test_nothing_is_published_twice(farm: World) -> None:
    job_id, _, _ = await completing(farm)
    await farm.duty("promotion")
    before = len(farm.commits)

    await farm.duty("promotion")

    assert len(farm.commits) == before
    finished = [event for commit in farm.commits for event in commit.events if event.new.type == "JobFinished"]
    assert [event.new.job_id for event in finished] == [job_id]


async def test_a_crash_between_the_rename_and_the_commit_is_made_good(farm: World) -> None:
    job_id, _, _ = await completing(farm)
    staging, kept = farm.root / "staging", farm.root.parent / "kept"
    shutil.copytree(staging, kept)
    before = await farm.graph(job_id)
    await farm.duty("promotion")
    metadata = (farm.root / f"default/processed/{job_id}/metadata.json").read_bytes()
    shutil.rmtree(farm.root / "staging", ignore_errors=True)
    shutil.copytree(kept, staging)
    now = await farm.graph(job_id)
    # As the database was before the commit that the crash took away.
    await farm.core.outside.store.transact(lambda tx: tx.save([now], [_as(before, now)]))

    await farm.core.publisher.load()
    await farm.duty("promotion")

    assert (await farm.graph(job_id)).job.state is JobState.COMPLETED
    assert farm.files() == published(job_id)
    assert (farm.root / f"default/processed/{job_id}/metadata.json").read_bytes() == metadata


def _as(before: Graph, now: Graph) -> Graph:
    job = replace(before.job, version=now.job.version)
    return replace(now, job=job)


async def test_a_staged_file_that_is_lost_is_made_again_under_a_new_token(farm: World) -> None:
    job_id, engine_id, first = await completing(farm)
    (farm.root / f"staging/{job_id}/{first.task_id}/{first.token}/audio/audio.mp3").unlink()

    await farm.duty("promotion")
    assert await farm.states(job_id) == ("retrying", "done", "pending", "skipped")
    assert farm.files()
    assert not (farm.root / "default/processed").exists() or not list((farm.root / "default/processed").iterdir())

    farm.clock.advance(1.5)
    again = await transcoded(farm, engine_id, job_id)
    await farm.duty("promotion")

    assert again.token > first.token
    assert await farm.states(job_id) == ("completed", "done", "done", "skipped")
    assert farm.files() == published(job_id)


async def test_a_staged_file_that_was_changed_is_never_published(farm: World) -> None:
    job_id, _, grant = await completing(farm)
    (farm.root / f"staging/{job_id}/{grant.task_id}/{grant.token}/audio/audio.mp3").write_bytes(b"evils")

    await farm.duty("promotion")

    assert await farm.states(job_id) == ("retrying", "done", "pending", "skipped")


async def test_other_files_in_the_place_fail_the_job_and_are_left_alone(farm: World) -> None:
    job_id, _, _ = await completing(farm)
    stranger = farm.root / f"default/processed/{job_id}/stranger.txt"
    stranger.parent.mkdir(parents=True)
    stranger.write_text("here before")

    await farm.duty("promotion")

    graph = await farm.graph(job_id)
    assert graph.job.state is JobState.FAILED
    assert graph.job.error_json is not None
    assert "PUBLISH_CONFLICT" in graph.job.error_json
    assert (stranger.read_text(), [path.name for path in stranger.parent.iterdir()]) == ("here before", ["stranger.txt"])


async def test_a_conflict_that_was_cleared_is_published_on_retry(farm: World) -> None:
    job_id, _, _ = await completing(farm)
    stranger = farm.root / f"default/processed/{job_id}/stranger.txt"
    stranger.parent.mkdir(parents=True)
    stranger.write_text("here before")
    await farm.duty("promotion")
    stranger.unlink()

    await farm.core.services.jobs.retry(CLIENT, job_id, RetryRequest())
    await farm.duty("promotion")

    assert await farm.states(job_id) == ("completed", "done", "done", "skipped")
    assert farm.files() == published(job_id)


async def test_a_storage_that_is_away_is_waited_for(farm: World) -> None:
    job_id, _, _ = await completing(farm)
    storage = farm.core.outside.storage
    assert isinstance(storage, Moody)
    storage.is_away = True

    await farm.duty("promotion")
    assert await farm.states(job_id) == ("completing", "done", "done", "skipped")

    storage.is_away = False
    farm.clock.advance(5.0)
    await farm.duty("promotion")
    assert await farm.states(job_id) == ("completed", "done", "done", "skipped")


async def test_a_restart_finds_what_was_completing(farm: World) -> None:
    job_id, _, _ = await completing(farm)
    await farm.core.publisher.load()

    await farm.duty("promotion")

    assert await farm.states(job_id) == ("completed", "done", "done", "skipped")


# --- housekeeping


async def test_staging_of_jobs_that_need_it_stays(farm: World) -> None:
    await completing(farm)
    before = farm.files()

    await farm.duty("housekeeping")

    assert farm.files() == before


async def test_what_is_staged_late_for_a_job_that_is_over_is_swept(farm: World) -> None:
    job_id, _, grant = await completing(farm)
    await farm.duty("promotion")
    await farm.stage(grant, "late.mp4", b"zombie")

    await farm.duty("housekeeping")

    assert farm.files() == published(job_id)


async def test_an_original_without_a_job_goes_only_when_it_is_old_and_was_marked_an_hour_ago(farm: World) -> None:
    orphan = farm.root / "default/raw/job_orphan_original.mp4"
    young = farm.root / "default/raw/job_young_original.mp4"
    orphan.parent.mkdir(parents=True)
    for path, age in ((orphan, 90_000), (young, 80_000)):
        path.write_bytes(FILM)
        os.utime(path, (farm.clock.now() - age,) * 2)

    await farm.duty("housekeeping")
    farm.clock.advance(3599)
    await farm.duty("housekeeping")
    assert (orphan.exists(), young.exists()) == (True, True)
    farm.clock.advance(2)
    await farm.duty("housekeeping")

    assert (orphan.exists(), young.exists()) == (False, True)


async def test_the_original_of_a_job_is_never_swept(farm: World) -> None:
    job_id, _, _ = await completing(farm)
    original = farm.root / f"default/raw/{job_id}_original.mp4"
    original.parent.mkdir(parents=True)
    original.write_bytes(FILM)
    os.utime(original, (farm.clock.now() - 900_000,) * 2)

    for _ in range(3):
        await farm.duty("housekeeping")
        farm.clock.advance(3600)

    assert original.exists()
