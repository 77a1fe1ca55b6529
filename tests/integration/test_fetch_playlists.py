"""Playlists of every kind, made by the real FFmpeg, as inputs: fetched, flattened, joined, and decoded to the end."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from engine.clock import SystemClock
from engine.core.servers import Servers
from engine.core.slots import Slot, SlotKind
from engine.shell.fetch import Fetcher
from engine.shell.process import Tools
from engine.shell.remote import RemoteInputs
from engine.shell.runner import Runner
from engine.shell.scratch import Scratch
from engine.shell.transfer import Transfer
from plugins.ffmpeg.plugin import FFmpegPlugin
from protocol.leases import Complete, Fail, Grant, InputAccess, RemoteInput
from protocol.recipes import AnalyzeRecipe, InputLimits
from protocol.states import TaskKind
from tests.contract.fetch_outside import policy
from tests.media import ffprobe_path, make_clip, run_ffmpeg
from tests.published import digest

pytestmark = pytest.mark.integration

SECONDS = 4
VOD = ("-c", "copy", "-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod")
FMP4 = ("-hls_segment_type", "fmp4")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=SECONDS, options=("-g", "25"))


@dataclass
class Side:
    """Both sides of one engine: the net it fetches from, and the dispatch it stages to."""

    port: int
    directory: Path
    staged: dict[str, bytes]

    async def analyze(self, scratch: Path, name: str) -> Complete | Fail:
        remote = RemoteInput(url=f"http://127.0.0.1:{self.port}/{name}", policy=policy(self.port))
        grant = Grant(
            task_id="tsk_1",
            token=7,
            job_id="job_1",
            kind=TaskKind.ANALYZE,
            recipe=AnalyzeRecipe(limits=InputLimits()),
            steps=("validate_video", "upload_source"),
            lease_s=60.0,
            estimate_s=1.0,
            input=InputAccess(url="", filename=name, size=0, remote=remote),
            staging_url="/staging/7",
        )
        clock, chance = SystemClock(), random.Random(1).random
        async with ClientSession() as session:
            transfer = Transfer(session, Servers([f"http://127.0.0.1:{self.port}"]), clock, chance)
            inputs = RemoteInputs(Fetcher(clock, chance))
            runner = Runner({"analyze": FFmpegPlugin()}, Scratch(scratch), Tools(clock), transfer, inputs)
            return await runner.run(grant, Slot("light-0", SlotKind.LIGHT), lambda _: None)


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Side]:
    staged: dict[str, bytes] = {}

    async def give(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(directory / request.match_info["name"])

    async def take(request: web.Request) -> web.Response:
        staged[request.path] = await request.read()
        return web.Response(status=201)

    app = web.Application(client_max_size=64 << 20)
    app.router.add_get("/{name:.+}", give)
    app.router.add_put("/{name:.+}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield Side(runner.addresses[0][1], directory, staged)
    finally:
        await runner.cleanup()


def decoded(path: Path) -> tuple[int, float]:
    """Frames of the picture that decode, and seconds between the starts of sound and picture."""
    shown = ("-count_frames", "-show_entries", "stream=codec_type,nb_read_frames,start_time", "-of", "json")
    done = subprocess.run([ffprobe_path(), "-v", "error", *shown, str(path)], capture_output=True, check=True, timeout=60)
    streams = {stream["codec_type"]: stream for stream in json.loads(done.stdout)["streams"]}
    apart = abs(float(streams["video"]["start_time"]) - float(streams["audio"]["start_time"]))
    return int(streams["video"]["nb_read_frames"]), apart


async def flattened(directory: Path, tmp_path: Path, name: str) -> tuple[str, int]:
    """The name of the original and how many frames of it decode, after an analysis that went well."""
    async with serving(directory) as side:
        report = await side.analyze(tmp_path / "scratch", name)
    assert isinstance(report, Complete), report
    original, analysis = report.result.original, report.result.analysis
    assert original is not None
    assert analysis is not None
    kept = tmp_path / original.path
    kept.write_bytes(side.staged[f"/staging/7/{original.path}"])
    frames, apart = decoded(kept)
    assert (kept.stat().st_size, analysis.size_bytes) == (original.size, original.size)
    assert apart < 0.15
    return original.path, frames


async def test_hls_of_ts_segments(clip: Path, tmp_path: Path) -> None:
    run_ffmpeg("-i", str(clip), *VOD, "-hls_segment_filename", str(tmp_path / "s%d.ts"), str(tmp_path / "list"))

    assert await flattened(tmp_path, tmp_path, "list") == ("original.ts", SECONDS * 25)


async def test_hls_of_byte_ranges_in_one_file(clip: Path, tmp_path: Path) -> None:
    run_ffmpeg("-i", str(clip), *VOD, "-hls_flags", "single_file", str(tmp_path / "list.m3u8"))
    assert "#EXT-X-BYTERANGE" in (tmp_path / "list.m3u8").read_text()

    assert await flattened(tmp_path, tmp_path, "list.m3u8") == ("original.ts", SECONDS * 25)


async def test_hls_of_fragmented_mp4(clip: Path, tmp_path: Path) -> None:
    run_ffmpeg("-i", str(clip), *VOD, *FMP4, "-hls_segment_filename", str(tmp_path / "s%d.m4s"), str(tmp_path / "list.m3u8"))

    assert await flattened(tmp_path, tmp_path, "list.m3u8") == ("original.mp4", SECONDS * 25)


@pytest.mark.parametrize("vector", ["", "000102030405060708090a0b0c0d0e0f"])
async def test_hls_encrypted_with_aes_128(clip: Path, tmp_path: Path, vector: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(range(16)))
    (tmp_path / "keys").write_text(f"secret\n{tmp_path / 'secret'}\n{vector}\n")
    keys = ("-hls_key_info_file", str(tmp_path / "keys"), "-hls_segment_filename", str(tmp_path / "s%d.ts"))
    run_ffmpeg("-i", str(clip), *VOD, *keys, str(tmp_path / "list.m3u8"))
    assert "METHOD=AES-128" in (tmp_path / "list.m3u8").read_text()

    assert await flattened(tmp_path, tmp_path, "list.m3u8") == ("original.ts", SECONDS * 25)


@pytest.mark.parametrize("segments", [(), FMP4])
async def test_a_master_playlist_with_separate_sound(clip: Path, tmp_path: Path, segments: tuple[str, ...]) -> None:
    """The larger of two pictures is taken, and the sound joined to it."""
    streams = ("-map", "0:v", "-map", "0:v", "-map", "0:a", "-c", "copy", "-c:v:0", "libx264", "-s:v:0", "320x180", "-g", "25")
    groups = ("-var_stream_map", "v:0,agroup:a v:1,agroup:a a:0,agroup:a,default:yes", "-master_pl_name", "master.m3u8")
    hls = ("-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod", *segments)
    run_ffmpeg("-i", str(clip), *streams, *hls, *groups, str(tmp_path / "v%v" / "list.m3u8"))

    assert await flattened(tmp_path, tmp_path, "master.m3u8") == ("original.mp4", SECONDS * 25)
    async with serving(tmp_path) as side:
        report = await side.analyze(tmp_path / "again", "master.m3u8")
    assert isinstance(report, Complete)
    assert report.result.analysis is not None
    assert report.result.analysis.video is not None
    assert (report.result.analysis.video.width, len(report.result.analysis.audio)) == (640, 1)


DASH = {
    "a template with a timeline": ("-use_template", "1", "-use_timeline", "1"),
    "a template with numbers": ("-use_template", "1", "-use_timeline", "0"),
    "a list": ("-use_template", "0", "-use_timeline", "0"),
    "one file each": ("-single_file", "1"),
}


@pytest.mark.parametrize("how", DASH)
async def test_dash(clip: Path, tmp_path: Path, how: str) -> None:
    sets = ("-adaptation_sets", "id=0,streams=v id=1,streams=a")
    run_ffmpeg("-i", str(clip), "-c", "copy", "-f", "dash", "-seg_duration", "1", *DASH[how], *sets, str(tmp_path / "film.mpd"))

    assert await flattened(tmp_path, tmp_path, "film.mpd") == ("original.mp4", SECONDS * 25)


async def test_dash_with_a_base_url_and_no_segments(clip: Path, tmp_path: Path) -> None:
    """On-demand DASH: one whole file for each track, named by BaseURL."""
    for kind in "va":
        run_ffmpeg("-i", str(clip), "-map", f"0:{kind}", "-c", "copy", str(tmp_path / f"{kind}.mp4"))
    sets = "".join(
        f'<AdaptationSet contentType="{name}"><Representation id="{kind}" bandwidth="1"><BaseURL>{kind}.mp4</BaseURL>'
        f"</Representation></AdaptationSet>"
        for kind, name in (("v", "video"), ("a", "audio"))
    )
    (tmp_path / "film").write_text(
        f'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>{sets}</Period></MPD>'
    )

    assert await flattened(tmp_path, tmp_path, "film") == ("original.mp4", SECONDS * 25)


async def test_a_plain_file_is_staged_as_it_is(clip: Path, tmp_path: Path) -> None:
    async with serving(clip.parent) as side:
        report = await side.analyze(tmp_path / "scratch", clip.name)

    assert isinstance(report, Complete)
    assert report.result.original is not None
    assert list(side.staged) == ["/staging/7/original.mp4"]
    assert report.result.original.sha256 == digest(clip)


@pytest.mark.parametrize(
    ("segment", "code"),
    [
        ("http://169.254.169.254/latest/meta-data/", "INPUT_URL_REFUSED"),
        ("file:///etc/passwd", "INPUT_URL_REFUSED"),
        ("http://127.0.0.1:22/a.ts", "INPUT_URL_REFUSED"),
        ("missing.ts", "INPUT_NOT_FOUND"),
        ("list.m3u8", "INPUT_FORMAT"),
    ],
)
async def test_a_hostile_segment_fails_the_input_and_stages_nothing(tmp_path: Path, segment: str, code: str) -> None:
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXTINF:1,\n{segment}\n#EXT-X-ENDLIST\n")
    async with serving(tmp_path) as side:
        report = await side.analyze(tmp_path / "scratch", "list.m3u8")

    assert isinstance(report, Fail)
    assert (report.failure.failure_class, report.failure.code, side.staged) == ("input", code, {})
