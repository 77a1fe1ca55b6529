"""From what engines tell of their speeds in heartbeats to who gets the next encode, over the assembled services."""

from __future__ import annotations

import asyncio
from pathlib import Path

from protocol.capabilities import Capabilities, EncoderSpeed
from protocol.jobs import JobInput
from protocol.leases import LeaseReply, LeaseRequest, Start
from tests.contract.services_world import BOOT, CAN, World, world
from tests.unit.dispatch_jobs import analyzed, video

FILM = b"\x00\x00\x00\x18ftypmp42" + bytes(100)


async def leased(farm: World, engine_id: str) -> LeaseReply:
    """A long poll that offers one slot for encodes."""
    request = LeaseRequest(boot_id=BOOT, slots=1, light_slots=0, wait_s=60.0, request_id=f"poll-{engine_id}")
    return await farm.core.services.leases.lease(engine_id, request)


async def encode(farm: World, desk: str) -> str:
    """A job whose input has just been analyzed, by an engine that asks for no work."""
    job_id = await farm.submit(profile="web", input=JobInput(path=str(farm.root.parent / "media" / "film.mp4")))
    analysis = await farm.grant(desk, job_id)
    report = analyzed(analysis.token, video(1280, 720)).model_copy(update={"task_id": analysis.task_id})
    await farm.settle(desk, Start(task_id=analysis.task_id, token=analysis.token), report)
    return job_id


async def test_the_engine_that_told_more_speed_gets_the_new_encode_and_the_other_the_next(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "film.mp4").write_bytes(FILM)
    async with world(tmp_path, allowed_roots=[tmp_path / "media"]) as farm, asyncio.TaskGroup() as group:
        scheduler = group.create_task(farm.core.scheduler.run())
        desk, slow, fast = [(await farm.register(name)).engine_id for name in ("desk", "slow", "fast")]
        for engine_id, fps in ((slow, 25.0), (fast, 75.0)):
            speeds = (EncoderSpeed(encoder="libx264", height=720, fps=fps),)
            await farm.beat(engine_id, capabilities=Capabilities(provided=CAN, speeds=speeds))
        asks = {engine_id: group.create_task(leased(farm, engine_id)) for engine_id in (slow, fast)}
        await asyncio.sleep(0)  # both polls are open now, the slow one's for longer

        first = await encode(farm, desk)
        to_fast = await asks[fast]
        is_slow_waiting = not asks[slow].done()
        second = await encode(farm, desk)
        to_slow = await asks[slow]
        scheduler.cancel()
        shown = await farm.core.services.engines.get(fast)

    assert shown.capabilities.speeds == (EncoderSpeed(encoder="libx264", height=720, fps=75.0),)
    assert [grant.job_id for grant in to_fast.tasks] == [first]
    assert is_slow_waiting
    assert [grant.job_id for grant in to_slow.tasks] == [second]
