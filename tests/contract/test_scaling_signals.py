"""The signals for autoscalers as they are asked for: by `/stats`, and by `/metrics` as Prometheus reads it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from config.scaling import Scaling as ScalingSettings
from dispatch.api.wiring import Limits
from dispatch.core.callers import Caller
from dispatch.core.paces import pace_of_task
from dispatch.core.records import Task
from dispatch.services.backlog import FRESH_S
from protocol.admin import Scope
from protocol.capabilities import Capabilities, EncoderSpeed
from protocol.leases import Complete, Start
from protocol.results import AttemptResult
from protocol.states import TaskState
from tests.contract.api_server import served
from tests.contract.care_world import uploaded
from tests.contract.farm_of_two import two
from tests.contract.services_world import CAN, CLIENT, OPERATOR, World, world
from tests.contract.store_adapters import ADAPTERS
from tests.unit.dispatch_jobs import analyzed, video

ADMIN = Caller("key_0", "default", frozenset({Scope.ADMIN}))
READER = Caller("key_4", "default", frozenset({Scope.JOBS_READ, Scope.ENGINES_READ}))
GOAL = {"scaling": ScalingSettings(target_s=0.001, min_engines=1, max_engines=7)}
Values = dict[tuple[str, ...], float]


async def metrics(farm: World) -> Values:
    text = (await farm.core.services.metrics.text()).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_operators_see_what_is_needed_and_others_do_not(tmp_path: Path) -> None:
    async with world(tmp_path, sections=GOAL) as farm:
        await farm.submit()
        stats = farm.core.services.stats
        told = [(await stats.stats(who)).scaling for who in (ADMIN, READER, CLIENT)]

    assert told[0] == told[1]
    assert told[2] is None
    assert told[0] is not None
    assert (told[0].queue_depth, told[0].backlog_seconds, told[0].desired_engines) == (1, None, 7)
    assert [(one.name, one.queued, one.work_seconds) for one in told[0].classes] == [("noop", 1, 0.01)]


async def test_metrics_follow_a_job_from_its_queue_to_its_end(tmp_path: Path) -> None:
    async with world(tmp_path) as farm:
        job_id = await farm.submit()
        engine = (await farm.register()).engine_id
        seen = [await metrics(farm)]
        grant = await farm.grant(engine, job_id)
        farm.clock.advance(FRESH_S)
        seen.append(await metrics(farm))
        done = Complete(task_id=grant.task_id, token=grant.token, result=AttemptResult())
        await farm.settle(engine, Start(task_id=grant.task_id, token=grant.token), done)
        await farm.duty("promotion")
        farm.clock.advance(FRESH_S)
        seen.append(await metrics(farm))

    def over(*name: str) -> list[float | None]:
        return [one.get(name) for one in seen]

    assert over("reelyard_queue_depth") == [1, 0, 0]
    assert over("reelyard_class_queue_depth", "noop", "cpu") == [1, 0, None]
    assert over("reelyard_class_running", "noop", "cpu") == [0, 1, None]
    assert over("reelyard_jobs", "pending") == [1, 0, 0]
    assert over("reelyard_jobs_ended_total", "completed") == [0, 0, 1]
    assert over("reelyard_engines", "online") == [1, 1, 1]
    assert over("reelyard_desired_engines") == [1, 1, 0]


async def test_a_look_serves_everybody_for_some_seconds(tmp_path: Path) -> None:
    async with world(tmp_path) as farm:
        stats = farm.core.services.stats
        before = (await stats.stats(OPERATOR)).scaling
        await farm.submit()
        soon = (await stats.stats(OPERATOR)).scaling
        farm.clock.advance(FRESH_S)
        later = (await stats.stats(OPERATOR)).scaling

    assert before == soon
    assert later is not None
    assert later.queue_depth == 1


async def test_speeds_that_engines_measured_correct_what_encodes_were_estimated_at(tmp_path: Path) -> None:
    async with world(tmp_path) as farm:
        engine, task = (await farm.register()).engine_id, await encoding(farm)
        pace, source = pace_of_task(task), orjson.loads(task.recipe_json or "")["source"]
        assert pace is not None
        speed = EncoderSpeed(encoder=pace.encoder, height=pace.height, fps=0.5)
        await farm.beat(engine, capabilities=Capabilities(provided=CAN, speeds=(speed,)))
        told = (await farm.core.services.stats.stats(ADMIN)).scaling

    assert told is not None
    encode = next(one for one in told.classes if one.needs == task.needs)
    frames = float(Fraction(source["duration"]) * Fraction(source["video"]["frame_rate"]))
    assert (encode.queued, encode.work_seconds) == (1, round(1 + frames / 0.5, 3))
    assert encode.work_seconds > 10 * task.cost_s


async def test_metrics_want_a_key_that_may_see_engines(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        reader, seer = await server.new_key("jobs:read"), await server.new_key("engines:read")
        answers = [await server.call("GET", "/metrics", key=key) for key in (None, reader, seer)]

    assert [answer.status for answer in answers] == [401, 403, 200]
    assert answers[2].headers["Content-Type"].startswith("text/plain")
    assert b"\nreelyard_desired_engines 0.0\n" in answers[2].body


async def test_a_setting_opens_metrics_to_everybody(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(open_metrics=True)) as server:
        answer = await server.call("GET", "/metrics", key=None)

    assert (answer.status, b"reelyard_queue_depth 0.0" in answer.body) == (200, True)


@pytest.mark.parametrize("adapter", ADAPTERS)
async def test_every_store_sums_what_waits_by_what_it_asks_for(tmp_path: Path, adapter: str) -> None:
    async with world(tmp_path, adapter=adapter) as farm:
        for _ in range(3):
            await farm.submit()
        engine, encode = (await farm.register()).engine_id, await encoding(farm)
        await farm.grant(engine, await farm.submit())
        ended = await farm.submit()
        await farm.core.services.jobs.cancel(ADMIN, ended)
        sums, samples = await farm.core.outside.store.search(lambda tx: (tx.task_sums(), tx.samples(1)))

    noop, transcode = ("operation:noop",), encode.needs
    pending, waiting = TaskState.PENDING, TaskState.WAITING
    assert {(row.needs, row.state, row.count, round(row.cost_s, 3), row.engine_id) for row in sums} >= {
        (noop, pending, 3, 0.03, None),
        (noop, TaskState.ASSIGNED, 1, 0.01, engine),
        (transcode, pending, 1, round(encode.cost_s, 3), None),
    }
    assert {row.state for row in sums} <= {pending, waiting, TaskState.ASSIGNED}
    assert [(one.needs, one.cost_s, one.pace) for one in samples] == [(transcode, encode.cost_s, pace_of_task(encode))]


async def test_servers_on_one_database_tell_the_same(tmp_path: Path) -> None:
    async with two(tmp_path, adapter="postgres") as servers:
        for _ in range(3):
            await servers.follower.submit()
        texts = [(await server.call("GET", "/metrics")).body for server in (servers.leader, servers.follower)]
        scalings = [(await server.call("GET", "/api/v1/stats")).json["scaling"] for server in (servers.leader, servers.follower)]

    assert texts[0] == texts[1]
    assert scalings[0] == scalings[1]
    assert (scalings[0]["queue_depth"], b'reelyard_leader{server="srv_a"} 1.0' in texts[0]) == (3, True)


async def encoding(farm: World) -> Task:
    """An encode that waits, of a job that was analyzed."""
    job_id, engine = await uploaded(farm), (await farm.register("analyst")).engine_id
    analysis = await farm.grant(engine, job_id)
    report = analyzed(analysis.token, video(1920, 1080)).model_copy(update={"task_id": analysis.task_id})
    await farm.settle(engine, Start(task_id=analysis.task_id, token=analysis.token), report)
    return (await farm.graph(job_id)).tasks[1]
