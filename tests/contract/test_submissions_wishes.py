"""What a submission wishes: parts of the profile otherwise, and a moment to be done by."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatch.core.planning import load_profile
from dispatch.core.times import rfc3339
from protocol.errors import ReelyardError
from tests.contract.services_world import World, world

HURRY_S = 3600.0


async def waiting(made: World, *, finish_in_s: float) -> str:
    return await made.submit(finish_by=rfc3339(made.clock.now() + finish_in_s), priority=3)


async def priorities(made: World, job_id: str) -> tuple[int, ...]:
    graph = await made.graph(job_id)
    return (graph.job.priority, *(task.priority for task in graph.tasks))


async def test_job_that_still_waits_near_its_moment_becomes_critical(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        near, far = await waiting(made, finish_in_s=HURRY_S + 10), await waiting(made, finish_in_s=HURRY_S + 1000)
        await made.duty("timers")
        early = await priorities(made, near)
        made.clock.advance(11)
        await made.duty("timers")
        version = (await made.graph(near)).job.version
        await made.duty("timers")
        found = [early, await priorities(made, near), await priorities(made, far)]
        again = (await made.graph(near)).job.version

    assert found == [(3, 3), (10, 10), (3, 3)]
    assert again == version


async def test_jump_of_the_wall_clock_hurries_nobody(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        job_id = await waiting(made, finish_in_s=2 * HURRY_S)
        made.clock.jump(1.5 * HURRY_S)
        await made.duty("timers")
        found = await priorities(made, job_id)

    assert found == (3, 3)


async def test_moment_that_has_passed_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        with pytest.raises(ReelyardError, match="finish_by: must lie ahead"):
            await waiting(made, finish_in_s=-1)


async def test_job_keeps_the_profile_with_its_own_parts(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    clip = tmp_path / "in" / "clip.mp4"
    clip.write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    async with world(tmp_path, allowed_roots=[tmp_path / "in"]) as made:
        job_id = await made.submit(profile="web", input={"path": str(clip)}, outputs={"renditions": ("360p",), "audio": None})
        profile = load_profile((await made.graph(job_id)).job.profile_json)

    assert ([r.name for r in profile.renditions], profile.audio, profile.name) == (["360p"], None, "web")
