"""Storage that goes away or fills up under a farm at work, and an engine whose own disk fills up while it encodes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from client.api import ReelyardClient
from protocol.jobs import JobSubmission, JobView
from protocol.states import AttemptState, JobState, TaskKind
from tests.farm import Farm, encoders_below, fact, farm, told
from tests.media import make_clip
from tests.published import assert_published

pytestmark = [pytest.mark.integration, pytest.mark.alone]

MIB = 1 << 20


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=3, size=(1280, 720))


@contextmanager
def small_disk(directory: Path, *, mib: int) -> Iterator[None]:
    """A file system of its own in memory. Skips the test where none can be mounted."""
    directory.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(directory)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"needs to mount a small tmpfs: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(directory: Path) -> Path:
    """A file that takes all the room there is."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file:
        size = MIB
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    return filler


@dataclass(frozen=True)
class Answer:
    status: int
    code: str | None
    retry_after: str | None


async def call(made: Farm, method: str, path: str, **options: Any) -> Answer:  # Any: aiohttp's own
    """Once, without the patience of our client."""
    headers = {"X-API-Key": made.key}
    async with aiohttp.ClientSession() as http, http.request(method, made.url + path, headers=headers, **options) as reply:
        body = await reply.json()
        return Answer(reply.status, body.get("error", {}).get("code"), reply.headers.get("Retry-After"))


async def submit_once(made: Farm) -> Answer:
    return await call(made, "POST", "/api/v1/jobs", json={"profile": "noop"})


async def is_ready(made: Farm) -> bool:
    return (await call(made, "GET", "/readyz")).status == 200


@dataclass(frozen=True)
class Outage:
    status: int
    code: str
    begin: Callable[[], object]
    end: Callable[[], object]


async def work_through(made: Farm, clip: Path, outage: Outage) -> None:
    """One job encodes, one waits at its engine and one in the queue when the outage begins; a second engine comes during it."""
    await made.start_dispatch()
    one = await made.start_engine("one", "--slots", "1")
    async with made.client() as client:
        running = await client.upload(clip, JobSubmission(profile="web"))
        await one.said("attempt_started", kind="transcode")
        ahead = await client.upload(clip, JobSubmission(profile="web"))
        await told(lambda: client.get(ahead.job_id), is_ahead, "the second job waits at the engine for the first to end")
        waiting = await client.submit(JobSubmission(profile="noop"))
        await fact(lambda: bool(encoders_below(one.pid)), "FFmpeg encodes")

        outage.begin()
        await told(lambda: is_ready(made), lambda ready: not ready, "the server says that it is not ready")
        refusals = [await submit_once(made), await upload_once(made)]
        two = await made.start_engine("two", "--slots", "1")
        await two.said("engine_registered")
        await one.said("transfer_interrupted")
        why = await client.why(waiting.job_id)
        started_meanwhile = two.log.has("attempt_started")
        states = [(await client.get(job.job_id)).state for job in (running, ahead, waiting)]

        outage.end()
        await told(lambda: is_ready(made), lambda ready: ready, "the server is ready again")
        jobs = [await client.wait(job.job_id) for job in (running, ahead, waiting)]

        assert [(refused.status, refused.code) for refused in refusals] == [(outage.status, outage.code)] * 2
        assert [refused.retry_after for refused in refusals] == ["10", "10"]
        assert not started_meanwhile
        assert states == [JobState.TRANSCODING, JobState.ASSIGNED, JobState.PENDING]
        assert why.summary.startswith("No work is handed out now: the storage is ")
        assert [job.state for job in jobs] == [JobState.COMPLETED] * 3
        encodes = [attempt.state for attempt in jobs[0].attempts if attempt.kind is TaskKind.TRANSCODE]
        assert encodes == [AttemptState.DONE], "what ran when the outage began is not encoded again"
        await assert_all_published(made, client, [running.job_id, ahead.job_id])


def is_ahead(job: JobView) -> bool:
    """Analyzed, and its encode is granted."""
    return job.state is JobState.ASSIGNED and any(attempt.kind is TaskKind.TRANSCODE for attempt in job.attempts)


async def upload_once(made: Farm) -> Answer:
    form = aiohttp.FormData()
    form.add_field("file", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", filename="film.mp4")
    return await call(made, "POST", "/api/v1/jobs/upload", data=form)


async def assert_all_published(made: Farm, client: ReelyardClient, job_ids: list[str]) -> None:
    processed = made.storage / "default/processed"
    assert {path.name for path in processed.iterdir()} == set(job_ids)
    for job_id in job_ids:
        assert_published(processed / job_id, await client.outputs(job_id))


async def test_storage_that_goes_away_stops_what_is_new_and_keeps_what_runs(tmp_path: Path, clip: Path) -> None:
    async with farm(tmp_path) as made:
        away = tmp_path / "away"
        outage = Outage(503, "STORAGE_UNAVAILABLE", lambda: made.storage.rename(away), lambda: away.rename(made.storage))

        await work_through(made, clip, outage)


async def test_storage_that_fills_up_stops_what_is_new_and_keeps_what_runs(tmp_path: Path, clip: Path) -> None:
    storage = tmp_path / "dispatch/storage"
    with small_disk(storage, mib=96):
        async with farm(tmp_path) as made:
            outage = Outage(507, "STORAGE_FULL", lambda: fill(storage), (storage / "filler").unlink)

            await work_through(made, clip, outage)


async def test_a_disk_that_fills_up_while_encoding_hands_the_task_back_and_publishes_nothing_of_it(
    tmp_path: Path, clip: Path
) -> None:
    with small_disk(tmp_path / "one", mib=64):
        async with farm(tmp_path) as made:
            await made.start_dispatch()
            one = await made.start_engine("one", "--slots", "1")
            async with made.client() as client:
                job = await client.upload(clip, JobSubmission(profile="web"))
                await one.said("attempt_started", kind="transcode")
                await fact(lambda: bool(encoders_below(one.pid)), "FFmpeg encodes")

                filler = fill(tmp_path / "one")
                failed = await one.said("attempt_failed")
                published = (made.storage / "default/processed" / job.job_id).exists()
                filler.unlink()
                done = await client.wait(job.job_id)

                encodes = [a for a in done.attempts if a.kind is TaskKind.TRANSCODE]
                assert (failed["code"], published) == ("TASK_DISK", False)
                assert (done.state, [a.state for a in encodes]) == (
                    JobState.COMPLETED,
                    [AttemptState.FAILED, AttemptState.DONE],
                )
                assert encodes[0].error == "The engine's disk filled up."
                await assert_all_published(made, client, [job.job_id])
                await fact(lambda: not list((tmp_path / "one/scratch").iterdir()), "the scratch directory is empty")
            assert shutil.disk_usage(tmp_path / "one").used < 2 * MIB
