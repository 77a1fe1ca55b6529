"""Objects in buckets as inputs: who may name which, what is refused at once, and that engines read the very one submitted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from dispatch.core.callers import Caller
from dispatch.services.s3_inputs import NO_BUCKETS, Buckets, S3Inputs
from engine.clock import SystemClock
from engine.core.fetching import InputFailed
from engine.core.servers import Servers
from engine.shell.transfer import Transfer
from protocol.admin import Scope, TenantRequest
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobInput, JobSubmission, S3Object
from protocol.leases import Grant, InputAccess, Start
from protocol.recipes import InputLimits
from tests.contract.links_bucket import Bucket, bucket, etag_of
from tests.contract.services_world import CLIENT, OTHER, World, world
from tests.unit.dispatch_jobs import analyzed, video

FILM = b"\0\0\0\x20ftypisom" + bytes(5000)
KEY = "2026/über uns.mp4"


@dataclass
class Lane:
    farm: World
    bucket: Bucket
    transfer: Transfer
    directory: Path

    def put(self, key: str, content: bytes, name: str = "footage") -> None:
        file = self.bucket.root / name / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    async def submitted(self, key: str = KEY, *, name: str = "footage", who: Caller = CLIENT) -> str:
        return await self.farm.submit(who, profile="web", input=JobInput(s3=S3Object(bucket=name, key=key)))

    async def refused(self, key: str = KEY, *, name: str = "footage", who: Caller = CLIENT) -> ErrorCode:
        with pytest.raises(ReelyardError) as error:
            await self.submitted(key, name=name, who=who)
        return error.value.code

    async def granted(self, job_id: str) -> Grant:
        return await self.farm.grant((await self.farm.register()).engine_id, job_id)


@asynccontextmanager
async def lane(tmp_path: Path) -> AsyncIterator[Lane]:
    async with bucket(tmp_path / "buckets") as held, aiohttp.ClientSession() as session:
        sources = (Buckets(held, frozenset({"footage"}), frozenset()), Buckets(held, frozenset({"vault"}), frozenset({"acme"})))
        limits = InputLimits(max_bytes=10_000)
        async with world(tmp_path, buckets=S3Inputs(sources), limits=limits) as farm:
            transfer = Transfer(session, Servers(["http://127.0.0.1:9"]), SystemClock(), random.Random(1).random, 5.0)
            made = Lane(farm, held, transfer, tmp_path)
            made.put(KEY, FILM)
            made.put("film.mp4", FILM, "vault")
            made.put("film.mp4", FILM, "others")
            yield made


async def test_an_object_is_submitted_and_read_where_it_lies(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        job_id = await way.submitted()
        access = (await way.granted(job_id)).input
        assert access is not None

        await way.transfer.fetch(access, way.directory / "input")

        assert (way.directory / "input").read_bytes() == FILM
        assert (access.filename, access.size, access.etag) == (
            "über uns.mp4",
            len(FILM),
            etag_of(way.bucket.root / "footage" / KEY),
        )
        assert (way.bucket.root / "footage" / KEY).read_bytes() == FILM
        assert way.farm.files() == []


async def test_a_link_is_made_for_each_grant_and_kept_nowhere(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        job_id = await way.submitted()
        way.bucket.era = 2

        access = (await way.granted(job_id)).input

        job = (await way.farm.graph(job_id)).job
        view = await way.farm.core.services.jobs.get(CLIENT, job_id)
        assert access is not None
        assert "era=2" in access.url
        assert "http" not in job.source.path + (job.input_json or "") + view.model_dump_json()
        assert view.input == {"s3": {"bucket": "footage", "key": KEY}}


@pytest.mark.parametrize(
    ("name", "key", "code"),
    [
        ("footage", "none.mp4", ErrorCode.INPUT_NOT_FOUND),
        ("others", "film.mp4", ErrorCode.PATH_NOT_ALLOWED),
        ("vault", "film.mp4", ErrorCode.PATH_NOT_ALLOWED),
        ("footage", "words.mp4", ErrorCode.INPUT_FORMAT),
        ("footage", "large.mp4", ErrorCode.INPUT_TOO_LARGE),
    ],
)
async def test_what_cannot_become_a_job_is_refused_at_once(tmp_path: Path, name: str, key: str, code: ErrorCode) -> None:
    async with lane(tmp_path) as way:
        way.put("words.mp4", b"hello, these are words")
        way.put("large.mp4", FILM * 3)

        assert await way.refused(key, name=name) == code


async def test_a_bucket_of_one_tenant_is_no_bucket_for_others(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        assert (await way.farm.graph(await way.submitted("film.mp4", name="vault", who=OTHER))).job.tenant == "acme"
        assert await way.refused("none.mp4", name="vault") == ErrorCode.PATH_NOT_ALLOWED


async def test_a_server_without_buckets_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, buckets=NO_BUCKETS) as farm:
        with pytest.raises(ReelyardError) as error:
            await farm.submit(profile="web", input=JobInput(s3=S3Object(bucket="footage", key=KEY)))

        assert error.value.code == ErrorCode.INPUT_KIND_UNSUPPORTED


@pytest.mark.parametrize("size", [len(FILM), len(FILM) - 1000, len(FILM) + 1000])
async def test_an_object_that_changed_is_noticed_whatever_its_size(tmp_path: Path, size: int) -> None:
    async with lane(tmp_path) as way:
        job_id = await way.submitted()
        way.put(KEY, FILM[:20] + b"x" * (size - 20))
        access = (await way.granted(job_id)).input
        assert access is not None

        with pytest.raises(InputFailed) as whole:
            await way.transfer.fetch(access, way.directory / "input")
        with pytest.raises(InputFailed) as end:
            [block async for block in way.transfer.blocks(access, access.size - 10, access.size)]

        assert (whole.value.code, end.value.code) == (ErrorCode.INPUT_CHANGED, ErrorCode.INPUT_CHANGED)
        assert not (way.directory / "input").exists()


async def test_an_object_that_went_is_no_fault_of_the_engine(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        job_id = await way.submitted()
        access = (await way.granted(job_id)).input
        (way.bucket.root / "footage" / KEY).unlink()
        assert access is not None

        with pytest.raises(InputFailed) as error:
            await way.transfer.fetch(access, way.directory / "input")

        assert error.value.code == ErrorCode.INPUT_NOT_FOUND


async def test_a_dry_run_looks_at_an_object_through_an_engine(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        engine = await way.farm.register()
        validations = way.farm.core.services.care.validations
        submission = JobSubmission(profile="web", input=JobInput(s3=S3Object(bucket="footage", key=KEY)))

        async def look() -> InputAccess | None:
            while not (found := [job for commit in way.farm.commits for job in commit.jobs if job.source.kind == "s3"]):  # noqa: ASYNC110  # nothing here could set an event
                await asyncio.sleep(0)
            grant = await way.farm.grant(engine.engine_id, found[0].job_id)
            report = analyzed(grant.token, video(1920, 1080)).model_copy(update={"task_id": grant.task_id})
            await way.farm.settle(engine.engine_id, Start(task_id=grant.task_id, token=grant.token), report)
            return grant.input

        async with asyncio.TaskGroup() as group:
            looking = group.create_task(look())
            told = await validations.validate(CLIENT, submission)

        access = looking.result()
        assert access is not None
        assert (told.valid, access.url.startswith(way.bucket.url)) == (True, True)


async def test_a_dry_run_tells_what_is_wrong_with_an_object(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        validations = way.farm.core.services.care.validations
        submission = JobSubmission(profile="web", input=JobInput(s3=S3Object(bucket="footage", key="none.mp4")))

        told = await validations.validate(CLIENT, submission)

        assert (told.valid, [problem.code for problem in told.problems]) == (False, [ErrorCode.INPUT_NOT_FOUND])


async def test_bytes_of_objects_count_for_the_quota(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        admin = Caller("key_9", "default", frozenset({Scope.ADMIN}))
        request = TenantRequest(name="acme", max_bytes_per_month=len(FILM) + 1)
        await way.farm.core.services.tenants.create(admin, request)
        await way.submitted("film.mp4", name="vault", who=OTHER)

        assert await way.refused("film.mp4", name="vault", who=OTHER) == ErrorCode.QUOTA_EXCEEDED


async def test_purging_a_job_leaves_the_object_alone(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        job_id = await way.submitted()
        await way.farm.core.services.jobs.cancel(CLIENT, job_id)

        await way.farm.core.services.care.purges.purge_job(CLIENT, job_id)

        assert (way.bucket.root / "footage" / KEY).read_bytes() == FILM


@pytest.mark.parametrize("key", ["", "/film.mp4", "a/../b.mp4", "./a.mp4", "a\x00b", "a\nb", "x" * 1025, "ü" * 513])
def test_a_key_that_no_store_takes_is_no_submission(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        JobSubmission.model_validate({"input": {"s3": {"bucket": "footage", "key": key}}})


@pytest.mark.parametrize("name", ["", "ab", "Footage", "a..b", "-footage", "footage-.x/", "x" * 64, "a_b_c"])
def test_a_bucket_that_no_store_has_is_no_submission(name: str) -> None:
    with pytest.raises(ValueError, match="bucket"):
        JobSubmission.model_validate({"input": {"s3": {"bucket": name, "key": "film.mp4"}}})
