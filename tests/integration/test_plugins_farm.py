"""Whole jobs by the other plugins: submitted, planned, made, published. What came out is looked at by independent tools."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from plugins.handbrake.plugin import HandbrakePlugin
from plugins.packager.plugin import PackagerPlugin
from protocol.errors import ReelyardError
from protocol.jobs import JobSubmission
from protocol.states import JobState
from tests.farm import Farm, Member, farm
from tests.integration.ffmpeg_attempts import keyframe_moments, streams
from tests.media import ffmpeg_path, ffprobe_path, make_clip

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

NEVER_BUSY = {"REELYARD_ENGINE_BUSY_CPU_PERCENT": "100", "REELYARD_ENGINE_BUSY_IO_WAIT_PERCENT": "100"}
"""Whatever else this machine does meanwhile: the second job is not to wait for it."""

EXAMPLE = Path(__file__).parents[2] / "docs/examples/reelyard-plugin-stills"

BY_HANDBRAKE = """
name = "by-handbrake"
tool = "handbrake"

[[renditions]]
name = "360p"
height = 360
crf = 28
preset = "ultrafast"
profile = "main"
level = "3.1"
min_source_width = 640
min_source_height = 360
audio = { bitrate = 96000, sample_rate = 44100 }

[packaging]
segment_seconds = 2
"""


def without(plugin: type[HandbrakePlugin | PackagerPlugin]) -> bool:
    try:
        plugin().probes("/nowhere")
    except ReelyardError:
        return True
    return False


async def made_of(clip: Path, profile: str, made: Farm) -> tuple[Path, dict[str, object]]:
    """The published files of one job, and its metadata."""
    async with made.client() as client, asyncio.timeout(60):
        job = await client.wait((await client.upload(clip, JobSubmission(profile=profile))).job_id)
    directory = made.storage / "default/processed" / job.job_id
    assert job.state is JobState.COMPLETED, job.error
    return directory, json.loads((directory / "metadata.json").read_text())


async def start(made: Farm, **environment: str) -> Member:
    await made.start_dispatch()
    engine = await made.start_engine("box", environment=environment)
    await engine.said("engine_registered")
    return engine


@pytest.mark.skipif(without(HandbrakePlugin), reason="HandBrakeCLI is not installed (apt handbrake-cli)")
@pytest.mark.skipif(without(PackagerPlugin), reason="Shaka Packager is not installed (pip install 'reelyard[ffmpeg]')")
async def test_handbrake_makes_a_rendition_the_packager_streams_of_it_and_frames_become_a_zip(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=4)
    async with farm(tmp_path / "farm", **NEVER_BUSY) as made:
        (made.data / "profiles").mkdir(parents=True)
        (made.data / "profiles/by-handbrake.toml").write_text(BY_HANDBRAKE)
        engine = await start(made)
        directory, metadata = await made_of(clip, "by-handbrake", made)
        pictures, told = await made_of(clip, "frames", made)
        assert await engine.terminate() == 0

    rendition = directory / "360p/video_360p.mp4"
    assert streams(rendition)["video"]["nb_read_frames"] == "100"
    assert keyframe_moments(rendition) == [0.0, 2.0]
    played = streams(directory / "hls/master.m3u8")
    assert (played["video"]["height"], played["video"]["nb_read_frames"], played["audio"]["codec_name"]) == (360, "100", "aac")
    assert "<BaseURL>../</BaseURL>" in (directory / "dash/manifest.mpd").read_text()
    assert {use["tool"] for use in metadata["recipe"]["tools"]} >= {"HandBrakeCLI", "packager"}  # type: ignore[index]
    with zipfile.ZipFile(pictures / "frames/frames.zip") as archive:
        assert (archive.testzip(), len(archive.namelist())) == (None, 4)
    assert "zipper.py" in json.dumps(told["recipe"])


async def install(example: Path, tmp_path: Path) -> Path:
    """The example as pip installs it, without a network, into a directory of its own."""
    shutil.copytree(example, tmp_path / "example")
    target = tmp_path / "installed"
    quiet = ["-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    code, told = await run(sys.executable, "-m", "pip", "install", *quiet, str(tmp_path / "example"))
    assert code == 0, told
    return target


async def run(*words: str, **environment: str) -> tuple[int | None, str]:
    env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environment}
    child = await asyncio.create_subprocess_exec(*words, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, err = await child.communicate()
    return child.returncode, out.decode() + err.decode()


async def test_a_plugin_of_a_third_party_is_installed_found_preferred_and_used(tmp_path: Path) -> None:
    """Its own tests pass, the doctor names it in the place of ours and says nothing else, and a job's pictures are its work."""
    clip = make_clip(tmp_path / "clip.mp4", seconds=3, audio=False)
    target = await install(EXAMPLE, tmp_path)
    preferred = {
        "PYTHONPATH": str(target),
        "REELYARD_FFMPEG": ffmpeg_path(),
        "REELYARD_FFPROBE": ffprobe_path(),
        "REELYARD_ENGINE_PLUGINS": '["stills"]',
    }

    options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio", "-c", "/dev/null"]
    tested = await run(sys.executable, "-m", "pytest", *options, str(EXAMPLE / "tests"), PYTHONPATH=str(target))
    _, looked = await run(sys.executable, "-m", "engine", "doctor", "--json", **preferred)
    async with farm(tmp_path / "farm", **NEVER_BUSY) as made:
        engine = await start(made, **preferred)
        directory, metadata = await made_of(clip, "frames", made)
        assert await engine.terminate() == 0

    assert tested[0] == 0, tested[1]
    told = {one["what"]: (one["is_ok"], one["detail"]) for one in json.loads(looked)["findings"]}
    assert (told["plugin stills"], "plugin frames" in told) == ((True, "1.0: operation:frames"), False)
    with zipfile.ZipFile(directory / "frames/frames.zip") as archive:
        assert archive.namelist() == ["frame_000001.jpg", "frame_000002.jpg", "frame_000003.jpg"]
        archive.extractall(tmp_path / "seen")
    assert streams(tmp_path / "seen/frame_000003.jpg")["video"]["width"] == 640
    assert "-ss" in json.dumps(metadata["recipe"])
