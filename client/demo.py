"""`make demo`: one clip through a farm of one box, start to end, with everything in a temporary directory."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from client.api import ReelyardClient
from client.errors import ClientCode, ClientError, ExitCode
from client.location import KEY_FILE, URL_FILE, read_line
from client.made import made_table
from client.main import module_command
from client.processes import UrlFile, spawn
from client.progress import display, ending
from client.screen import Screen
from client.shell import INTERRUPTED, tellable
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobSubmission, JobView
from protocol.states import JobState

START_S, STOP_S, CLIP_JOB_S = 30.0, 20.0, 150.0
"""Limits against a hang, far above what each takes: a start 2 s, a stop 1 s, the clip's job some 20 s on 2 cores."""

CLIP_SECONDS = 20
_PICTURE = f"testsrc2=size=1920x1080:rate=25:duration={CLIP_SECONDS}"
_SOUND = f"sine=frequency=440:sample_rate=48000:duration={CLIP_SECONDS}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the demo keeps what it makes."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    @property
    def clip(self) -> Path:
        return self.root / "clip.mp4"

    @property
    def outputs(self) -> Path:
        return self.root / "outputs"


def find_ffmpeg() -> str:
    """The FFmpeg of PATH, else that of the wheel. Raises ClientError without either."""
    if found := shutil.which("ffmpeg"):
        return found
    if importlib.util.find_spec("imageio_ffmpeg"):
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    raise ClientError(ClientCode.LOCAL_FILE, "there is no FFmpeg here: install the `ffmpeg` extra, or put ffmpeg on PATH")


def clip_command(ffmpeg: str, target: Path) -> list[str]:
    """A 1080p clip with sound, encoded as fast as x264 can: the demo is about what comes after."""
    sources = ["-f", "lavfi", "-i", _PICTURE, "-f", "lavfi", "-i", _SOUND]
    video = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "20", "-pix_fmt", "yuv420p"]
    return [ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin", *sources, *video, "-c:a", "aac", "-y", str(target)]


async def make_clip(place: Place) -> Path:
    with place.log.open("ab") as log:
        child = await spawn(clip_command(find_ffmpeg(), place.clip), output=log.fileno())
    if code := await child.wait():
        raise ClientError(ClientCode.PROCESS_DIED, f"FFmpeg could not make the clip (exit code {code})")
    return place.clip


@asynccontextmanager
async def farm(place: Place) -> AsyncIterator[ReelyardClient]:
    """`reelyard up` on a free port, stopped on the way out."""
    url_file = UrlFile(place.data / URL_FILE)
    arguments = ["up", "--data", str(place.data), "--listen", "127.0.0.1:0"]
    with place.log.open("ab") as log:
        child = await spawn(module_command("client", arguments), output=log.fileno())
    try:
        url = await _listening(child, url_file)
        async with ReelyardClient(url, read_line(place.data / KEY_FILE) or "") as client:
            yield client
    finally:
        await _stop(child)


async def _listening(child: Process, url_file: UrlFile) -> str:
    """The server's address; raises ClientError when it ends, or says nothing for too long, instead."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def look() -> None:
        told = await url_file.written()
        if not url.done():
            url.set_result(told)

    async def mourn() -> None:
        code = await child.wait()
        if not url.done():
            url.set_exception(ClientError(ClientCode.PROCESS_DIED, f"the server did not start (exit code {code})"))

    async with asyncio.TaskGroup() as tasks:
        watchers = [tasks.create_task(look()), tasks.create_task(mourn())]
        try:
            async with asyncio.timeout(START_S):
                return await url
        except TimeoutError as error:
            raise ClientError(ClientCode.PROCESS_DIED, f"the server did not listen within {START_S:.0f} s") from error
        finally:
            for watcher in watchers:
                watcher.cancel()


async def _stop(child: Process) -> None:
    """Ask, press, force: nothing of the demo stays behind."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await child.wait()
                return


async def transcode(client: ReelyardClient, video: Path, screen: Screen) -> JobView:
    """Submit with profile `web` and show every task until the job has ended."""
    with display(screen, jobs=1) as view:
        job = await client.upload(
            video, JobSubmission(profile="web"), progress=lambda sent, total: view.sent(video.name, sent, total)
        )
        async with aclosing(client.watch(job.job_id)) as views:
            async for job in views:
                view.show(job)
    return job


async def demo(video: Path | None, place: Place, screen: Screen) -> None:
    """Raises ClientError or ReelyardError when any part of it fails."""
    screen.line("starting a server and one engine" + ("" if video else f", and making a {CLIP_SECONDS} s clip"))
    async with farm(place) as client:
        screen.line(f"listening on {client.server}")
        chosen = video or await make_clip(place)
        async with asyncio.timeout(None if video else CLIP_JOB_S):
            job = await transcode(client, chosen, screen)
        if job.outputs is None or job.state is not JobState.COMPLETED:
            code = job.error.code if job.error else ErrorCode.INTERNAL_ERROR
            raise ReelyardError(code, job.error.message if job.error else f"the job ended as {job.state}")
        links = await client.outputs(job.job_id)
        for link in links.files:
            await client.download(link, place.outputs)
    if screen.is_live:
        screen.line(ending(job))  # lines have told it already
    screen.table(made_table(job.outputs))
    screen.line(
        f"{len(links.files)} files, checked and whole, are in {place.outputs}; delete {place.root} when you have seen them"
    )


def main() -> None:
    """Exits 0 when the whole path worked."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--video", type=Path, help="a video of your own, instead of a clip made here")
    video: Path | None = parser.parse_args().video
    screen = Screen(is_json=False, is_live=sys.stdout.isatty())
    if video is not None and not (video.is_file() and os.access(video, os.R_OK)):
        screen.error(ReelyardError(ErrorCode.INPUT_NOT_FOUND, f"{video}: there is no such file, or it cannot be read"))
        sys.exit(ExitCode.USAGE)
    sys.exit(_run(video, Place(Path(tempfile.mkdtemp(prefix="reelyard-demo-"))), screen))


def _run(video: Path | None, place: Place, screen: Screen) -> int:
    place.data.mkdir()
    try:
        asyncio.run(demo(video, place, screen))
    except KeyboardInterrupt:
        return INTERRUPTED
    except TimeoutError:
        screen.note(f"error: {ErrorCode.TASK_TIMEOUT}: the clip was not done within {CLIP_JOB_S:.0f} s. The log: {place.log}")
        return ExitCode.JOB_FAILED
    except Exception as error:  # noqa: BLE001 - this function owns the demo: whoever runs it gets one line, never a traceback
        told = tellable(error)
        screen.note(f"error: {told.code}: {told.message.rstrip('.')}. The log: {place.log}")
        return ExitCode.JOB_FAILED
    shutil.rmtree(place.data, ignore_errors=True)  # the outputs stay; what the server kept is no use without it
    return ExitCode.DONE


if __name__ == "__main__":
    main()
