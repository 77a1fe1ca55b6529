"""Inputs by URL through a whole farm: fetched by an engine, kept in the storage, transcoded from there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from client.api import ReelyardClient
from protocol.jobs import JobInput, JobSubmission, JobView
from protocol.states import JobState
from tests.farm import farm
from tests.media import make_clip, run_ffmpeg
from tests.published import assert_plays, assert_published

pytestmark = pytest.mark.integration


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[tuple[int, list[str]]]:
    """A file server of the world outside: its port, and the paths that were asked for."""
    asked: list[str] = []

    async def give(request: web.Request) -> web.StreamResponse:
        asked.append(request.path_qs)
        return web.FileResponse(directory / request.match_info["name"])

    app = web.Application()
    app.router.add_get("/{name}", give)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1], asked
    finally:
        await runner.cleanup()


async def over(client: ReelyardClient, url: str) -> JobView:
    job = await client.submit(JobSubmission(input=JobInput(url=url), profile="web"))
    return await client.wait(job.job_id)


async def test_jobs_by_url_are_fetched_once_kept_and_transcoded(tmp_path: Path) -> None:
    """A plain file behind a signed link, a playlist whose original is one file, and one whose sound comes apart."""
    outside = tmp_path / "outside"
    outside.mkdir()
    clip = make_clip(outside / "clip.mp4", seconds=2)
    hls = ("-c", "copy", "-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod")
    run_ffmpeg("-i", str(clip), *hls, "-hls_segment_filename", str(outside / "part%d.ts"), str(outside / "list.txt"))
    apart = ("-map", "0:v", "-map", "0:a", *hls, "-hls_segment_type", "fmp4", "-master_pl_name", "master.m3u8")
    groups = ("-var_stream_map", "v:0,agroup:a a:0,agroup:a,default:yes", "-hls_segment_filename", str(outside / "v%v-%d.m4s"))
    run_ffmpeg("-i", str(clip), *apart, *groups, "-hls_fmp4_init_filename", "init-%v.mp4", str(outside / "v%v.m3u8"))
    async with serving(outside) as (port, asked):
        settings = {
            "REELYARD_DISPATCH_INPUTS__ALLOW_PRIVATE_ADDRESSES": "true",
            "REELYARD_DISPATCH_INPUTS__PORTS": f"[{port}]",
        }
        async with farm(tmp_path / "farm", **settings) as made:
            await made.start_dispatch()
            engine = await made.start_engine("box")
            async with made.client() as client:
                plain = await over(client, f"http://127.0.0.1:{port}/clip.mp4?signature=s3cret")
                listed = await over(client, f"http://127.0.0.1:{port}/list.txt")
                joined = await over(client, f"http://127.0.0.1:{port}/master.m3u8")
                missing = await over(client, f"http://127.0.0.1:{port}/nothing.mp4")
                outputs = [await client.outputs(view.job_id) for view in (plain, listed, joined)]
                await engine.terminate()
            logs = made.logs()

            raw = made.storage / "default" / "raw"
            ended = [(view.state, view.error) for view in (plain, listed, joined)]
            assert ended == [(JobState.COMPLETED, None)] * 3
            assert (raw / f"{joined.job_id}_original.mp4").exists()
            assert (raw / f"{plain.job_id}_original.mp4").read_bytes() == clip.read_bytes()
            assert (raw / f"{listed.job_id}_original.ts").stat().st_size == sum(p.stat().st_size for p in outside.glob("*.ts"))
            assert plain.input == {"url": f"http://127.0.0.1:{port}/clip.mp4?signature=s3cret"}
            assert plain.video_info is not None
            assert plain.video_info.filename == "clip.mp4"
            for reply in outputs:
                directory = made.storage / "default" / "processed" / reply.job_id
                assert_published(directory, reply)
                assert_plays(directory, seconds=2, size=(640, 360))
            assert asked.count("/clip.mp4?signature=s3cret") == 1
            assert "s3cret" not in logs
            assert missing.error is not None
            assert (missing.error.code, missing.error.failure_class) == ("INPUT_NOT_FOUND", "input")
            assert len(missing.attempts) == 1
            assert not any((made.engine_data("box") / "scratch").iterdir())
