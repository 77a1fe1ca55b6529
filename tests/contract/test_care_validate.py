"""Dry runs: an engine looks, the caller is told, and nothing stays, however it ends."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.database import Database
from dispatch.core import validation
from dispatch.core.job_list import JobFilter
from dispatch.core.metering import UsageFilter
from dispatch.core.planning import Demands, Frame
from dispatch.core.records import NO_TENANT, Source, Upload
from dispatch.ports import Transaction
from dispatch.services.validation import MOST_OF_A_TENANT
from protocol.care import ValidationReply
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.jobs import Attachment, JobInput, JobSubmission, S3Object
from protocol.leases import Complete, Fail, Grant, Start
from protocol.media import LiveInput
from protocol.profiles import OutputOverrides
from protocol.recipes import InputLimits
from protocol.results import AttemptResult, Failure, StagedOriginal
from tests.contract.api_server import Json, Server, head_of, served, until
from tests.contract.services_world import CLIENT, World, blocks_of, job_of, world
from tests.contract.test_services_publishing import FILM
from tests.unit.dispatch_jobs import NOW, WEB, analyzed, video

VALIDATE = "/api/v1/jobs/validate"


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "film.mp4").write_bytes(FILM)
    (tmp_path / "media" / "notes.txt").write_bytes(b"no film at all, only words")
    async with world(tmp_path, allowed_roots=[tmp_path / "media"]) as made:
        yield made


def submission(farm: World, name: str = "film.mp4", **fields: object) -> JobSubmission:
    wanted = JobInput(path=str(farm.root.parent / "media" / name))
    return JobSubmission.model_validate({"profile": "web", "input": wanted, **fields})


async def outcome(farm: World) -> ValidationReply | ErrorCode:
    """What a caller is told of the film."""
    try:
        return await farm.core.services.care.validations.validate(CLIENT, submission(farm))
    except ReelyardError as error:
        return error.code


async def looking(farm: World) -> str:
    """The id of the one job that looks."""
    found: list[str] = []

    async def is_there() -> bool:
        found[:] = await farm.core.outside.store.read(lambda tx: tx.jobs_of(NO_TENANT))
        return bool(found)

    await until(is_there)
    return found[0]


async def rows(farm: World) -> tuple[int, int, int]:
    """Jobs and attempts there are, and usage that was counted."""

    def count(tx: Transaction) -> tuple[int, int, int]:
        return len(tx.jobs_of(NO_TENANT)), len(tx.live_attempts()), tx.list_usage(UsageFilter()).total

    return await farm.core.outside.store.read(count)


async def begun(farm: World, engine_id: str) -> Grant:
    grant = await farm.grant(engine_id, await looking(farm))
    await farm.settle(engine_id, Start(task_id=grant.task_id, token=grant.token))
    return grant


async def test_caller_hears_of_the_end_with_the_commit_and_nothing_stays(farm: World) -> None:
    engine = await farm.register()
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(outcome(farm))
        grant = await begun(farm, engine.engine_id)
        listed = await farm.core.outside.store.read(lambda tx: tx.list_jobs(JobFilter()))
        report = analyzed(grant.token, video(1280, 720)).model_copy(update={"task_id": grant.task_id})
        await farm.settle(engine.engine_id, report)

    reply = asked.result()
    assert isinstance(reply, ValidationReply)
    assert (reply.valid, reply.transcoding_options["can_720p"], reply.problems) == (True, True, ())
    assert (grant.kind, grant.staging_url, listed.total) == ("analyze", None, 0)
    assert await rows(farm) == (0, 0, 0)
    await farm.duty("promotion")
    await farm.duty("removals")
    assert farm.files() == []


async def test_input_that_is_too_small_is_told_with_its_measures(farm: World) -> None:
    engine = await farm.register()
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(outcome(farm))
        grant = await begun(farm, engine.engine_id)
        report = analyzed(grant.token, video(320, 240)).model_copy(update={"task_id": grant.task_id})
        await farm.settle(engine.engine_id, report)

    reply = asked.result()
    assert isinstance(reply, ValidationReply)
    assert [problem.code for problem in reply.problems] == ["INPUT_TOO_SMALL"]
    assert reply.video_info is not None
    assert (reply.valid, reply.video_info.resolution) == (False, "320x240")


async def test_input_that_is_no_media_is_told_without_an_engine(farm: World) -> None:
    reply = await farm.core.services.care.validations.validate(CLIENT, submission(farm, "notes.txt"))

    assert (reply.valid, reply.video_info, [problem.code for problem in reply.problems]) == (False, None, ["INPUT_FORMAT"])
    assert set(reply.transcoding_options.values()) == {False}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"profile": "never"}, ErrorCode.PROFILE_NOT_FOUND),
        ({"input": JobInput(path="/etc/passwd")}, ErrorCode.PATH_NOT_ALLOWED),
        ({"input": JobInput(upload_id="upl_never")}, ErrorCode.UPLOAD_NOT_FOUND),
        ({"input": JobInput(s3=S3Object(bucket="footage", key="k"))}, ErrorCode.INPUT_KIND_UNSUPPORTED),
    ],
)
async def test_what_no_job_could_be_made_of_is_refused(farm: World, fields: dict[str, object], code: ErrorCode) -> None:
    with pytest.raises(ReelyardError) as refused:
        await farm.core.services.care.validations.validate(CLIENT, submission(farm).model_copy(update=fields))

    assert refused.value.code is code


async def test_without_an_engine_that_fits_the_answer_comes_at_once(farm: World) -> None:
    with pytest.raises(ReelyardError) as empty:
        await farm.core.services.care.validations.validate(CLIENT, submission(farm))
    await farm.register()
    with pytest.raises(ReelyardError) as elsewhere:
        await farm.core.services.care.validations.validate(CLIENT, submission(farm, tags=frozenset({"site:oslo"})))

    assert (empty.value.code, empty.value.status, elsewhere.value.code) == (ErrorCode.NO_ENGINE, 503, ErrorCode.NO_ENGINE)
    assert await rows(farm) == (0, 0, 0)


async def test_a_drained_engine_does_not_count(farm: World) -> None:
    engine = await farm.register()
    await farm.core.services.engines.drain(CLIENT, engine.engine_id)

    with pytest.raises(ReelyardError) as refused:
        await farm.core.services.care.validations.validate(CLIENT, submission(farm))

    assert refused.value.code is ErrorCode.NO_ENGINE


async def test_an_engine_that_fails_says_nothing_about_the_input(farm: World) -> None:
    engine = await farm.register()
    failure = Failure(failure_class=FailureClass.ENGINE, code=ErrorCode.TOOL_FAILED, message="it broke")
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(outcome(farm))
        grant = await begun(farm, engine.engine_id)
        await farm.settle(engine.engine_id, Fail(task_id=grant.task_id, token=grant.token, failure=failure))

    assert (asked.result(), await rows(farm)) == (ErrorCode.NO_ENGINE, (0, 0, 0))


async def test_a_server_that_stops_waits_no_longer_and_tells_the_engine(farm: World) -> None:
    engine = await farm.register()
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(outcome(farm))
        grant = await begun(farm, engine.engine_id)
        farm.core.services.care.validations.close()

    assert (asked.result(), await rows(farm)) == (ErrorCode.SHUTTING_DOWN, (0, 0, 0))
    orders = (await farm.poll(engine.engine_id)).orders
    assert [(order.order, order.token) for order in orders] == [("cancel", grant.token)]
    late = Complete(task_id=grant.task_id, token=grant.token, result=AttemptResult())
    assert [answer.error for answer in await farm.settle(engine.engine_id, late)] == [ErrorCode.STALE_LEASE]


async def test_a_call_that_is_cut_off_leaves_its_look_to_the_sweep(farm: World) -> None:
    engine = await farm.register()
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(outcome(farm))
        await begun(farm, engine.engine_id)
        await farm.duty("validations")
        meanwhile = await rows(farm)
        asked.cancel()
    await farm.duty("validations")

    assert (meanwhile, await rows(farm)) == ((1, 1, 0), (0, 0, 0))


async def test_a_look_that_another_server_waits_for_is_left_alone(tmp_path: Path) -> None:
    frame = Frame("job_9", NO_TENANT, 10, NOW, ("tsk_8", "tsk_9"))
    source = Source("url", "https://example.org/film.mp4", "film.mp4", 0)
    theirs = validation.graph_of(frame, source, WEB.model_dump_json(), InputLimits(), Demands((), ()))
    left = []
    async with world(tmp_path, sections={"database": Database(url="postgresql://127.0.0.1:9/nowhere")}) as farm:
        await farm.core.outside.store.transact(lambda tx: tx.insert([theirs]))
        for seconds in (59.0, 2.0):
            farm.clock.advance(seconds)
            await farm.duty("validations")
            left.append((await rows(farm))[0])

    assert left == [1, 0]


async def test_what_a_stopped_server_left_is_swept_at_its_next_start(tmp_path: Path) -> None:
    frame = Frame("job_9", NO_TENANT, 10, NOW, ("tsk_8", "tsk_9"))
    source = Source("url", "https://example.org/film.mp4", "film.mp4", 0)
    left = validation.graph_of(frame, source, WEB.model_dump_json(), InputLimits(), Demands((), ()))
    async with world(tmp_path, adapter="sqlite") as farm:
        await farm.core.outside.store.transact(lambda tx: tx.insert([left]))

    async with world(tmp_path, adapter="sqlite") as later:
        assert await rows(later) == (1, 0, 0)
        await later.duty("validations")

        assert await rows(later) == (0, 0, 0)
        assert later.core.scheduler.index.snapshot() == set()


async def test_an_input_by_url_is_fetched_looked_at_and_forgotten(farm: World) -> None:
    engine = await farm.register()
    wanted = JobSubmission(profile="web", input=JobInput(url="https://films.example/film.mp4"))
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(farm.core.services.care.validations.validate(CLIENT, wanted))
        grant = await begun(farm, engine.engine_id)
        await farm.stage(grant, "original.mp4", FILM)
        fetched = StagedOriginal(path="original.mp4", size=len(FILM), sha256=hashlib.sha256(FILM).hexdigest())
        result = AttemptResult(analysis=video(1280, 720), original=fetched)
        await farm.settle(engine.engine_id, Complete(task_id=grant.task_id, token=grant.token, result=result))
    kept = farm.files()
    await farm.duty("removals")

    assert (asked.result().valid, len(kept), farm.files()) == (True, 2, [])


async def test_an_upload_that_was_looked_at_can_still_be_submitted(farm: World) -> None:
    engine = await farm.register()
    now = farm.clock.now()
    upload = Upload("upl_1", "default", "key_1", "film.mp4", len(FILM), len(FILM), "finished", "{}", (), now, now, now + 999)
    await farm.core.services.storage.write(upload.path, blocks_of(FILM))
    await farm.core.outside.store.transact(lambda tx: tx.insert_upload(upload))
    wanted = JobSubmission(profile="web", input=JobInput(upload_id="upl_1"))
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(farm.core.services.care.validations.validate(CLIENT, wanted))
        grant = await begun(farm, engine.engine_id)
        report = analyzed(grant.token, video(1280, 720)).model_copy(update={"task_id": grant.task_id})
        await farm.settle(engine.engine_id, report)
    await farm.duty("removals")

    assert (asked.result().valid, farm.files()) == (True, ["uploads/upl_1"])
    job_id = job_of(await farm.core.services.submissions.submit(CLIENT, wanted, None))
    assert (await farm.graph(job_id)).job.source.filename == "film.mp4"


async def test_somebody_elses_upload_is_not_found(farm: World) -> None:
    now = farm.clock.now()
    upload = Upload("upl_1", "acme", "key_2", "film.mp4", 3, 3, "finished", "{}", (), now, now, now + 999)
    await farm.core.outside.store.transact(lambda tx: tx.insert_upload(upload))

    wanted = JobSubmission(profile="web", input=JobInput(upload_id="upl_1"))
    with pytest.raises(ReelyardError) as refused:
        await farm.core.services.care.validations.validate(CLIENT, wanted)

    assert refused.value.code is ErrorCode.UPLOAD_NOT_FOUND


async def test_the_profile_that_makes_nothing_needs_no_engine(farm: World) -> None:
    reply = await farm.core.services.care.validations.validate(CLIENT, JobSubmission(profile="noop"))

    assert (reply.valid, reply.transcoding_options) == (True, {})


async def test_a_live_stream_is_not_waited_for(farm: World) -> None:
    wanted = JobSubmission.model_validate({"profile": "live", "input": JobInput(live=LiveInput(protocol="rtmp"))})

    reply = await farm.core.services.care.validations.validate(CLIENT, wanted)

    assert (reply.valid, reply.warnings) == (True, (validation.NOT_THERE_YET,))


async def test_of_a_film_made_of_several_the_own_input_is_looked_at_and_the_rest_named(farm: World) -> None:
    engine = await farm.register()
    outputs = OutputOverrides(concat=("opening", "input"))
    wanted = submission(farm, outputs=outputs, attachments={"opening": Attachment(upload_id="upl_opening")})
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(farm.core.services.care.validations.validate(CLIENT, wanted))
        grant = await begun(farm, engine.engine_id)
        report = analyzed(grant.token, video(1280, 720)).model_copy(update={"task_id": grant.task_id})
        await farm.settle(engine.engine_id, report)

    reply = asked.result()
    assert (reply.valid, reply.warnings[-1], grant.inputs) == (True, validation.NOT_BROUGHT, ())
    assert reply.estimate is not None


async def test_a_tenant_looks_at_so_many_inputs_at_once_and_no_more(farm: World) -> None:
    await farm.register()
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(outcome(farm)) for _ in range(MOST_OF_A_TENANT + 1)]

        async def are_waiting() -> bool:
            return sum(task.done() for task in asked) == 1 and (await rows(farm))[0] == MOST_OF_A_TENANT

        await until(are_waiting)
        farm.core.services.care.validations.close()
    told = Counter(task.result() for task in asked)

    assert told == {ErrorCode.RATE_LIMITED: 1, ErrorCode.SHUTTING_DOWN: MOST_OF_A_TENANT}
    assert await rows(farm) == (0, 0, 0)


async def test_dry_run_over_http(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(FILM)
    asked_for = {"profile": "web", "input": {"path": str(tmp_path / "film.mp4")}}
    async with served(tmp_path / "data", allowed_roots=[tmp_path]) as server:
        nobody = await server.call("POST", VALIDATE, json=asked_for)
        reader = await server.new_key("jobs:read")
        refused = await server.call("POST", VALIDATE, json=asked_for, key=reader)
        engine = await server.new_engine()
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(server.call("POST", VALIDATE, json=asked_for))
            (grant,) = (await server.lease(engine, "r1", slots=0, light_slots=1))["tasks"]
            await _report(server, engine, grant)
        listed = await server.call("GET", "/api/v1/jobs")

        async def is_clean() -> bool:
            return await server.core.outside.store.read(lambda tx: tx.deletions("", 10)) == []

        await until(is_clean)

    assert (head_of(nobody), "Retry-After" in nobody.headers) == ((503, "NO_ENGINE"), True)
    assert head_of(refused) == (403, "FORBIDDEN")
    answer = asked.result()
    assert (answer.status, answer.json["valid"], answer.json["video_info"]["width"]) == (200, True, 1920)
    assert answer.json["estimate"]["bytes"] > 0
    assert listed.json["total"] == 0


async def _report(server: Server, engine: tuple[str, str], grant: Json) -> None:
    facts = analyzed(grant["token"], video(1920, 1080)).result
    answer = await server.report(engine, grant, "complete", result=facts.model_dump(mode="json"))
    assert answer.json["settled"][0]["error"] is None
