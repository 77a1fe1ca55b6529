"""Taking jobs in: what is refused, what is answered again, and that nothing half-made is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from dispatch.core.callers import IdempotencyKey
from dispatch.core.job_list import JobFilter
from dispatch.core.originals import extension_of
from dispatch.services.submissions import Sent, UploadPlace
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import BatchSubmission, JobInput, JobSubmission, S3Object
from tests.contract.services_world import CLIENT, OTHER, World, blocks_of, job_of, world

FILM = b"\0\0\0\x20ftypisom" + bytes(100)
KEY = IdempotencyKey("submit_job", "k-1", "f" * 64)
NOOP = JobSubmission(profile="noop")


@pytest.fixture(params=["inline", "sqlite"])
async def farm(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    media = tmp_path / "media"
    media.mkdir()
    (media / "film.mp4").write_bytes(FILM)
    (media / "text.mp4").write_text("hello, this is text")
    (media / "empty.mp4").write_bytes(b"")
    (media / "dir.mp4").mkdir()
    (tmp_path / "secret.mp4").write_bytes(FILM)
    (media / "way_out.mp4").symlink_to(tmp_path / "secret.mp4")
    async with world(tmp_path, adapter=request.param, allowed_roots=[media]) as made:
        yield made


async def jobs(farm: World) -> int:
    return (await farm.core.outside.store.read(lambda tx: tx.list_jobs(JobFilter()))).total


# --- the same call again


async def test_the_same_call_again_is_answered_as_the_first_time(farm: World) -> None:
    first = await farm.core.services.submissions.submit(CLIENT, NOOP, KEY)
    farm.clock.advance(100)
    again = await farm.core.services.submissions.submit(CLIENT, NOOP, KEY)

    assert again == replace(first, replayed=True)
    assert await jobs(farm) == 1


async def test_the_first_answer_stands_though_the_job_went_on(farm: World) -> None:
    first = await farm.core.services.submissions.submit(CLIENT, NOOP, KEY)
    await farm.core.services.jobs.cancel(CLIENT, job_of(first))

    assert (await farm.core.services.submissions.submit(CLIENT, NOOP, KEY)).body == first.body


async def test_another_body_under_the_same_key_is_refused(farm: World) -> None:
    await farm.core.services.submissions.submit(CLIENT, NOOP, KEY)

    with pytest.raises(ReelyardError, match="IDEMPOTENCY_MISMATCH"):
        await farm.core.services.submissions.submit(CLIENT, NOOP, replace(KEY, fingerprint="e" * 64))

    assert await jobs(farm) == 1


@pytest.mark.parametrize(
    ("who", "key"),
    [(OTHER, KEY), (CLIENT, replace(KEY, route="submit_batch")), (CLIENT, replace(KEY, key="k-2")), (CLIENT, None)],
)
async def test_a_key_belongs_to_a_tenant_and_a_route(farm: World, who: Any, key: IdempotencyKey | None) -> None:
    first = await farm.core.services.submissions.submit(CLIENT, NOOP, KEY)

    other = await farm.core.services.submissions.submit(who, NOOP, key)

    assert (job_of(other) != job_of(first), other.replayed) == (True, False)


async def test_a_refused_call_leaves_its_key_free(farm: World) -> None:
    with pytest.raises(ReelyardError, match="PROFILE_NOT_FOUND"):
        await farm.core.services.submissions.submit(CLIENT, JobSubmission(profile="nope"), KEY)

    assert not (await farm.core.services.submissions.submit(CLIENT, NOOP, replace(KEY, fingerprint="e" * 64))).replayed


async def test_fifty_calls_at_once_make_one_job(farm: World) -> None:
    submit = farm.core.services.submissions.submit

    answers = await asyncio.gather(*(submit(CLIENT, NOOP, KEY) for _ in range(50)))

    assert {job_of(answer) for answer in answers} == {job_of(answers[0])}
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 49
    assert {answer.body for answer in answers} == {answers[0].body}
    assert await jobs(farm) == 1


# --- what is refused


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("media/missing.mp4", "INPUT_NOT_FOUND"),
        ("media/empty.mp4", "INPUT_FORMAT"),
        ("media/text.mp4", "INPUT_FORMAT"),
        ("media/dir.mp4", "INPUT_NOT_FOUND"),
        ("media/way_out.mp4", "PATH_NOT_ALLOWED"),
        ("media/../secret.mp4", "PATH_NOT_ALLOWED"),
        ("secret.mp4", "PATH_NOT_ALLOWED"),
        ("nowhere.mp4", "PATH_NOT_ALLOWED"),
        ("media_of_another/film.mp4", "PATH_NOT_ALLOWED"),
        ("media/film.mp4\0.txt", "PATH_NOT_ALLOWED"),
        ("media/" + "a" * 300 + ".mp4", "INPUT_NOT_FOUND"),
    ],
)
async def test_a_server_path_is_looked_at_before_it_is_taken(farm: World, tmp_path: Path, name: str, code: str) -> None:
    with pytest.raises(ReelyardError) as refused:
        await farm.submit(profile="web", input=JobInput(path=f"{tmp_path}/{name}"))

    assert refused.value.code == code
    assert str(tmp_path) not in refused.value.message
    assert await jobs(farm) == 0


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"profile": "web"}, "VALIDATION_FAILED"),
        ({"profile": "noop", "input": JobInput(path="/a.mp4")}, "VALIDATION_FAILED"),
        ({"profile": "web", "input": JobInput(path="relative.mp4")}, "PATH_NOT_ALLOWED"),
        ({"profile": "web", "input": JobInput(url="https://127.0.0.1/a.mp4")}, "INPUT_URL_REFUSED"),
        ({"profile": "web", "input": JobInput(s3=S3Object(bucket="footage", key="k"))}, "INPUT_KIND_UNSUPPORTED"),
        ({"profile": "web", "input": JobInput(upload_id="upl_1")}, "UPLOAD_NOT_FOUND"),
        ({"profile": "nope"}, "PROFILE_NOT_FOUND"),
        ({"metadata": {"x": "y" * 70_000}}, "VALIDATION_FAILED"),
    ],
)
async def test_what_cannot_become_a_job_is_refused_by_code(farm: World, fields: dict[str, Any], code: str) -> None:
    with pytest.raises(ReelyardError) as refused:
        await farm.submit(**fields)

    assert refused.value.code == code
    assert await jobs(farm) == 0


async def test_an_input_beyond_the_limit_is_too_large(tmp_path: Path) -> None:
    media = tmp_path / "film.mp4"
    media.write_bytes(FILM)
    async with world(tmp_path, allowed_roots=[tmp_path], limits={"max_bytes": 50}) as farm:
        with pytest.raises(ReelyardError, match="INPUT_TOO_LARGE"):
            await farm.submit(profile="web", input=JobInput(path=str(media)))


async def test_a_job_is_told_whole_with_its_tasks_and_event(farm: World, tmp_path: Path) -> None:
    path = str(tmp_path / "media" / "film.mp4")
    job_id = await farm.submit(profile="web", priority=9, input=JobInput(path=path), metadata={"n": 3}, ttl_s=60)
    graph = await farm.graph(job_id)

    assert await farm.states(job_id) == ("pending", "pending", "waiting", "waiting")
    assert (graph.job.source.kind, graph.job.source.path, graph.job.source.size) == ("server", path, len(FILM))
    assert (graph.job.priority, graph.job.ttl_s, graph.job.user_metadata_json) == (9, 60, '{"n":3}')
    assert [event.new.type for commit in farm.commits[-1:] for event in commit.events] == ["JobCreated"]


# --- batches


async def test_each_of_a_batch_is_answered_for_itself(farm: World, tmp_path: Path) -> None:
    items: list[dict[str, Any]] = [
        {"profile": "noop"},
        {"profile": "noop", "priority": 11},
        {"profile": "nope"},
        {"profile": "web", "input": {"path": f"{tmp_path}/secret.mp4"}},
        {"profile": "noop", "metadata": {"big": 10**30}},
        {"profile": "noop", "metadata": {"n": 1}},
    ]

    answer = await farm.core.services.submissions.submit_batch(CLIENT, BatchSubmission(jobs=tuple(items)), None)
    told = [(item["status"], (item["error"] or {}).get("code")) for item in orjson.loads(answer.body)["jobs"]]

    assert told == [
        (202, None),
        (422, "VALIDATION_FAILED"),
        (422, "PROFILE_NOT_FOUND"),
        (403, "PATH_NOT_ALLOWED"),
        (422, "VALIDATION_FAILED"),
        (202, None),
    ]
    assert await jobs(farm) == 2


async def test_a_batch_that_comes_again_makes_no_second_jobs(farm: World) -> None:
    batch, key = (
        BatchSubmission.model_validate_json(orjson.dumps({"jobs": [{"profile": "noop"}] * 5})),
        replace(KEY, route="submit_batch"),
    )

    first = await farm.core.services.submissions.submit_batch(CLIENT, batch, key)
    again = await farm.core.services.submissions.submit_batch(CLIENT, batch, key)

    assert again == replace(first, replayed=True)
    assert await jobs(farm) == 5


# --- uploads


async def uploaded(farm: World, content: bytes, name: str = "my film.MP4") -> tuple[UploadPlace, Sent]:
    place = farm.core.services.submissions.begin_upload(CLIENT, name)
    return place, Sent(await farm.core.outside.storage.write(place.path, blocks_of(content)))


async def test_an_upload_becomes_the_original_of_its_job(farm: World) -> None:
    place, written = await uploaded(farm, FILM)

    answer = await farm.core.services.submissions.submit_upload(CLIENT, place, written, JobSubmission(profile="web"), None)
    source = (await farm.graph(place.job_id)).job.source

    assert job_of(answer) == place.job_id
    assert (source.kind, source.path, source.filename, source.size) == ("storage", place.path, "my film.MP4", len(FILM))
    assert farm.files() == [f"default/raw/{place.job_id}_original.mp4"]


@pytest.mark.parametrize(
    ("content", "profile", "code"),
    [
        (b"text", "web", "INPUT_FORMAT"),
        (b"", "web", "INPUT_FORMAT"),
        (FILM, "nope", "PROFILE_NOT_FOUND"),
        (FILM, "noop", "VALIDATION_FAILED"),
    ],
)
async def test_a_refused_upload_leaves_nothing_behind(farm: World, content: bytes, profile: str, code: str) -> None:
    place, written = await uploaded(farm, content)

    with pytest.raises(ReelyardError) as refused:
        await farm.core.services.submissions.submit_upload(CLIENT, place, written, JobSubmission(profile=profile), KEY)

    assert refused.value.code == code
    assert (farm.files(), await jobs(farm)) == ([], 0)


async def test_an_upload_that_comes_again_keeps_the_first_file_alone(farm: World) -> None:
    web = JobSubmission(profile="web")
    (first, one), (second, two) = await uploaded(farm, FILM), await uploaded(farm, FILM)

    made = await farm.core.services.submissions.submit_upload(CLIENT, first, one, web, KEY)
    again = await farm.core.services.submissions.submit_upload(CLIENT, second, two, web, KEY)

    assert again == replace(made, replayed=True)
    assert farm.files() == [f"default/raw/{first.job_id}_original.mp4"]


@pytest.mark.parametrize(
    ("filename", "ending"),
    [
        ("a.mp4", "mp4"),
        ("a.MKV", "mkv"),
        ("a", "bin"),
        ("a.", "bin"),
        ("a.tar.gz", "gz"),
        ("a.m/p4", "bin"),
        ("a." + "x" * 9, "bin"),
    ],
)
def test_a_plain_ending_is_kept(filename: str, ending: str) -> None:
    assert extension_of(filename) == ending


async def test_a_server_file_that_became_a_way_out_is_not_served(farm: World, tmp_path: Path) -> None:
    path = tmp_path / "media" / "film.mp4"
    job_id = await farm.submit(profile="web", input=JobInput(path=str(path)))
    grant = await farm.grant((await farm.register()).engine_id, job_id)
    assert grant.input is not None
    signature, _, place = grant.input.url.removeprefix("/files/s/").partition("/")
    assert (await farm.core.services.files.open_signed(signature, "GET", place)).local_path == str(path)

    path.unlink()
    path.symlink_to(tmp_path / "secret.mp4")

    with pytest.raises(ReelyardError) as refused:
        await farm.core.services.files.open_signed(signature, "GET", place)
    assert refused.value.code is ErrorCode.FILE_NOT_FOUND
