"""An engine that keeps itself current: a release that crashes never replaces it, a good one does, and work goes on."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from client.releases import load_key, new_key, publish
from engine.core.updates import Installed
from engine.shell.versions import Versions
from protocol.jobs import JobSubmission
from protocol.states import JobState
from tests.farm import Farm, Member, farm, told
from tests.release_wheels import wheel

pytestmark = pytest.mark.integration
CRASHES = {"engine/core/agent.py": "raise SystemExit('this release is broken')\n"}


async def test_a_crashing_release_is_rolled_back_and_the_next_good_one_runs(tmp_path: Path) -> None:
    key = tmp_path / "release.key"
    trusted = new_key(key)
    async with farm(tmp_path, REELYARD_ENGINE_RELEASE_KEYS=f'["{trusted}"]', REELYARD_ENGINE_RELEASE_CHECK_S="0.2") as ground:
        await ground.start_dispatch()
        _publish(ground, key, wheel(tmp_path, "9.9.8", CRASHES))
        engine = await ground.start_engine("box")

        rolled_back = await engine.said("release_rolled_back", version="9.9.8")
        await engine.said("engine_registered", after=engine.log.lines.index(rolled_back))
        after_crash = await _version(ground)
        await _works(ground)
        _publish(ground, key, wheel(tmp_path, "9.9.9"))
        accepted = await engine.said("release_accepted", version="9.9.9")
        await engine.said("engine_registered", after=engine.log.lines.index(accepted))
        after_update = await _version(ground)
        await _works(ground)

        assert (after_crash, after_update) == (version("reelyard"), "9.9.9")
        assert await engine.terminate() == 0
        assert _state(ground) == Installed(current="9.9.9", highest="9.9.9", bad={"9.9.8": "its trial ended with exit code 1"})
        await _starts_as(ground, "9.9.9")


def _publish(ground: Farm, key: Path, made: Path) -> None:
    publish(ground.data / "releases", [made], load_key(key), platforms=["any"], expires="2099-01-01")


def _state(ground: Farm) -> Installed:
    return Versions(ground.engine_data("box") / "versions").state()


async def _version(ground: Farm) -> str:
    async with ground.client() as client:
        (engine,) = (await client.engines()).engines
        return engine.software_version


async def _works(ground: Farm) -> None:
    async with ground.client() as client:
        job = await client.submit(JobSubmission(profile="noop"))
        await told(lambda: client.get(job.job_id), lambda view: view.state is JobState.COMPLETED, "the job is done")


async def _starts_as(ground: Farm, expected: str) -> Member:
    """A new start of the machine's own package runs the installed version at once."""
    engine = await ground.start_engine("box")
    await engine.said("engine_registered")
    assert await _version(ground) == expected
    assert await engine.terminate() == 0
    return engine
