"""A stream by RTMP on a farm of real processes: watched while it runs, stopped, and its recording looked at from outside."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from client.api import ReelyardClient
from protocol.encoding import Preset
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobInput, JobSubmission, JobView
from protocol.live import LiveState
from protocol.media import LiveInput
from protocol.profiles import OutputOverrides, Rendition
from protocol.states import JobState
from tests.farm import fact, farm, told, tools_below
from tests.media import ffmpeg_path, ffprobe_path
from tests.rules.hls_rules import broken

SMALL = tuple(Rendition(name=f"{h}p", height=h, preset=Preset.ULTRAFAST, crf=30, max_bitrate=400_000) for h in (90, 180))
PATIENT = {"REELYARD_DISPATCH_LEASES__LEASE_S": "60", "REELYARD_ENGINE_REATTACH_S": "60"}
"""An engine may take its time to come back."""

TIMEOUT = aiohttp.ClientTimeout(total=10)


@asynccontextmanager
async def publishing(
    url: str, seconds: float = 60, muxer: tuple[str, ...] = ("-f", "flv")
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A camera: FFmpeg's own pattern with a tone, at the pace of the clock."""
    picture = ("-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-re", "-f", "lavfi", "-i", "sine=sample_rate=48000")
    coded = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac", "-t", f"{seconds}")
    argv = (ffmpeg_path(), "-hide_banner", "-nostdin", "-loglevel", "fatal", *picture, *coded, *muxer, url)
    camera = await asyncio.create_subprocess_exec(*argv)
    try:
        yield camera
    finally:
        if camera.returncode is None:
            camera.kill()
        await camera.wait()


def stream(protocol: Any = "rtmp", url: str | None = None) -> JobSubmission:
    source = JobInput(live=LiveInput(protocol=protocol, url=url))
    return JobSubmission(input=source, profile="live", outputs=OutputOverrides(renditions=SMALL))


async def state_of(client: ReelyardClient, job_id: str, wanted: LiveState) -> JobView:
    job = await told(lambda: client.get(job_id), lambda job: job.error is not None or _is(job, wanted), f"{wanted}")
    assert _is(job, wanted), job
    return job


def _is(job: JobView, wanted: LiveState) -> bool:
    return job.live is not None and job.live.state is wanted


async def ended(client: ReelyardClient, job_id: str) -> JobView:
    over = {JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED}
    return await told(lambda: client.get(job_id), lambda job: job.state in over, "the job has ended")


def probed(path: Path) -> dict[str, Any]:
    argv = [
        ffprobe_path(),
        "-v",
        "error",
        "-count_frames",
        "-show_entries",
        "stream=codec_name,width,height,nb_read_frames:format=duration",
    ]
    done = subprocess.run([*argv, "-of", "json", str(path)], capture_output=True, check=True, timeout=60)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


async def text(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url, timeout=TIMEOUT) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text()


def listed(playlist: str) -> list[str]:
    return re.findall(r"^(?!#)(\S+)$", playlist, re.MULTILINE)


async def watched(session: aiohttp.ClientSession, master_url: str) -> dict[str, list[str]]:
    """What a player sees of each rendition now: every segment that is named can be fetched, and is a transport stream."""
    base, seen = master_url.rpartition("/")[0], {}
    for uri in listed(await text(session, master_url)):
        playlist = await text(session, f"{base}/{uri}")
        seen[uri] = listed(playlist)
        for segment in seen[uri]:
            async with session.get(f"{base}/{uri.partition('/')[0]}/{segment}", timeout=TIMEOUT) as answer:
                assert (answer.status, (await answer.read())[:1]) == (200, b"G")
    return seen


@pytest.mark.timeout(120)
async def test_a_stream_is_watched_while_it_runs_and_kept_when_it_is_stopped(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack, farm(tmp_path) as made, aiohttp.ClientSession() as session:
        await made.start_dispatch()
        engine = await made.start_engine("engine-a")
        client = await stack.enter_async_context(made.client())
        job = await client.submit(stream())
        waiting = await state_of(client, job.job_id, LiveState.WAITING)
        assert waiting.live is not None
        assert waiting.live.ingest_url is not None
        with pytest.raises(ReelyardError) as early:
            await client.live(job.job_id)
        assert early.value.code is ErrorCode.LIVE_NOT_STREAMING
        async with publishing(waiting.live.ingest_url.rpartition("/")[0] + "/guessed") as stranger:
            assert await stranger.wait() != 0

        async with publishing(waiting.live.ingest_url):
            async with asyncio.timeout(10):
                await state_of(client, job.job_id, LiveState.STREAMING)
            master_url = made.url + (await client.live(job.job_id)).url
            seen = await watched(session, master_url)
            shown_root = made.storage / "live" / job.job_id / "1"
            assert broken(files_below(shown_root), "master.m3u8", live=True) == []
            await engine.said("stream_shown")
            tools = [" ".join(tool.cmdline()) for tool in tools_below(engine.pid)]
            await client.stop(job.job_id)
            done = await ended(client, job.job_id)

        assert set(seen) == {"90p/playlist.m3u8", "180p/playlist.m3u8"}
        assert all(segments[:1] == ["segment_000.ts"] for segments in seen.values())
        assert tools
        assert not any("rtmp" in tool or waiting.live.ingest_url[-32:] in tool for tool in tools)
        assert (done.state, done.error, done.warnings, done.live) == (JobState.COMPLETED, None, (), None)
        assert done.outputs is not None
        outputs = made.storage / "default" / "processed" / job.job_id
        _holds_the_recording(outputs)
        assert broken(files_below(outputs)) == []
        last = await text(session, master_url.rpartition("/")[0] + "/90p/playlist.m3u8")
        assert last.endswith("#EXT-X-ENDLIST\n")


def files_below(root: Path) -> dict[str, bytes]:
    """Playlists before the segments they name: the stream goes on meanwhile, and nothing goes of what is named."""
    found = sorted((path for path in root.rglob("*") if path.is_file()), key=lambda path: path.suffix == ".ts")
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def _holds_the_recording(outputs: Path) -> None:
    """By ffprobe alone: both renditions, of one length, from their segments and as one file."""
    found = {}
    for height in (90, 180):
        whole = probed(outputs / f"{height}p" / f"video_{height}p.mp4")
        segments = probed(outputs / f"{height}p" / "segments" / "playlist.m3u8")
        assert [one["codec_name"] for one in whole["streams"]] == ["h264", "aac"]
        assert (whole["streams"][0]["width"], whole["streams"][0]["height"]) == (height * 16 // 9, height)
        frames = whole["streams"][0]["nb_read_frames"]
        assert frames == segments["streams"][0]["nb_read_frames"]
        assert float(whole["format"]["duration"]) == pytest.approx(int(frames) / 25, abs=0.1)
        found[height] = frames
    assert found[90] == found[180]
    assert int(found[90]) > 50


@pytest.mark.trust
@pytest.mark.timeout(180)
async def test_a_stream_whose_engine_is_killed_is_kept_as_far_as_it_came(tmp_path: Path) -> None:
    """The tool outlives its engine, finishes what it has, and the engine that comes back shows and keeps that."""
    async with AsyncExitStack() as stack, farm(tmp_path, **PATIENT) as made:
        await made.start_dispatch()
        engine = await made.start_engine("engine-a")
        client = await stack.enter_async_context(made.client())
        job = await client.submit(stream())
        waiting = await state_of(client, job.job_id, LiveState.WAITING)
        assert waiting.live is not None
        async with publishing(waiting.live.ingest_url or ""):
            await engine.said("stream_shown")
            await engine.kill()
            again = await made.start_engine("engine-a")
            done = await ended(client, job.job_id)

        assert (done.state, done.error, len(done.attempts)) == (JobState.COMPLETED, None, 1)
        assert again.log.has("attempt_completed")
        _holds_the_recording(made.storage / "default" / "processed" / job.job_id)


@pytest.mark.trust
@pytest.mark.timeout(180)
async def test_a_live_playlist_is_pulled_by_the_engine_and_recorded_to_its_end(tmp_path: Path) -> None:
    """Another server's live HLS: fetched by the engine, within the policy for inputs; no tool gets its address."""
    (tmp_path / "origin").mkdir()
    site = web.Application()
    site.router.add_static("/", tmp_path / "origin")
    runner = web.AppRunner(site)
    await runner.setup()
    listening = web.TCPSite(runner, "127.0.0.1", 0)
    await listening.start()
    port = runner.addresses[0][1]
    allowed = {"REELYARD_DISPATCH_INPUTS__ALLOW_PRIVATE_ADDRESSES": "true", "REELYARD_DISPATCH_INPUTS__PORTS": f"[{port}]"}
    async with AsyncExitStack() as stack, farm(tmp_path, **allowed) as made:
        stack.push_async_callback(runner.cleanup)
        await made.start_dispatch()
        engine = await made.start_engine("engine-a")
        await engine.said("engine_registered")
        client = await stack.enter_async_context(made.client())
        options = ("-hls_time", "1", "-hls_list_size", "6", "-f", "hls")
        async with publishing(str(tmp_path / "origin" / "live.m3u8"), seconds=8, muxer=options) as camera:
            await fact((tmp_path / "origin" / "live.m3u8").exists, "the origin has a playlist")
            job = await client.submit(stream("hls", f"http://127.0.0.1:{port}/live.m3u8"))
            await state_of(client, job.job_id, LiveState.STREAMING)
            await camera.wait()
            done = await ended(client, job.job_id)

        assert (done.state, done.error) == (JobState.COMPLETED, None)
        _holds_the_recording(made.storage / "default" / "processed" / job.job_id)
