"""Large inputs by the real FFmpeg, from the real dispatch: analysed by their ends, encoded from a stream."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest

from dispatch.core.records import Source
from dispatch.services.shared_files import SharedFiles
from engine.clock import SystemClock
from engine.core.attempts import Key
from engine.core.servers import Servers
from engine.core.shared_paths import prefixes
from engine.core.slots import Slot, SlotKind
from engine.shell.fetch import Fetcher
from engine.shell.process import Tools
from engine.shell.remote import RemoteInputs
from engine.shell.runner import Runner
from engine.shell.scratch import Scratch
from engine.shell.shares import Shares
from engine.shell.transfer import Transfer
from plugins.ffmpeg.plugin import FFmpegPlugin
from plugins.storage_local.provider import LocalStorage
from protocol.encoding import Preset
from protocol.errors import ErrorCode, FailureClass
from protocol.leases import Complete, Fail, Grant, InputAccess
from protocol.media import MediaFacts
from protocol.recipes import AnalyzeRecipe, InputLimits, Recipe
from protocol.results import StepReport
from protocol.states import TaskKind
from protocol.steps import UPLOAD_SOURCE, VALIDATE_VIDEO
from tests.contract.api_server import served
from tests.contract.transfer_line import Wire, wired
from tests.ffmpeg_recipes import steps, web
from tests.media import run_ffmpeg

SLOT = Slot("cpu-0", SlotKind.CPU, threads=2)
SECONDS, LEAST = 10, 70 << 20
KINDS = {
    "first.mp4": ("-movflags", "+faststart"),
    "last.mp4": (),
    "film.mkv": (),
    "film.ts": (),
}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same 10 s of noise, which nothing makes small, in four containers."""
    where = tmp_path_factory.mktemp("films")
    noise = f"nullsrc=s=640x360:r=25:d={SECONDS},format=yuv420p,noise=alls=100:allf=t"
    sine = f"sine=sample_rate=48000:duration={SECONDS}"
    codec = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-c:a", "aac", "-shortest")
    run_ffmpeg("-f", "lavfi", "-i", noise, "-f", "lavfi", "-i", sine, *codec, str(where / "film.mkv"))
    for name, options in KINDS.items():
        if name != "film.mkv":
            run_ffmpeg("-i", str(where / "film.mkv"), "-c", "copy", *options, str(where / name))
    assert all((where / name).stat().st_size > LEAST for name in KINDS)
    return where


@dataclass
class Lane:
    wire: Wire
    runner: Runner
    transfer: Transfer
    reads: str
    writes: str
    storage: Path

    def grant(self, film: Path, recipe: Recipe, names: tuple[str, ...], token: int = 7) -> Grant:
        kept = self.storage / "default" / film.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        if not kept.exists():
            os.link(film, kept)
        return Grant(
            task_id="tsk_1",
            token=token,
            job_id="job_1",
            kind=TaskKind(recipe.kind),
            recipe=recipe,
            steps=names,
            lease_s=60.0,
            estimate_s=1.0,
            input=InputAccess(url=f"{self.reads}/{film.name}", filename=film.name, size=film.stat().st_size),
            staging_url=self.writes if recipe.kind == "transcode" else None,
        )

    async def analyze(self, film: Path, token: int) -> Complete | Fail:
        recipe = AnalyzeRecipe(limits=InputLimits(min_width=16, min_height=16))
        return await self.runner.run(self.grant(film, recipe, (VALIDATE_VIDEO, UPLOAD_SOURCE), token), SLOT, unheard)


def unheard(steps: tuple[StepReport, ...]) -> None:
    return


@asynccontextmanager
async def lane(tmp_path: Path, scratch: Path) -> AsyncIterator[Lane]:
    async with served(tmp_path) as server, wired(server.url) as wire, aiohttp.ClientSession() as session:
        transfer = Transfer(session, Servers([wire.url]), SystemClock(), random.Random(1).random, 30.0)
        plugin = FFmpegPlugin()
        remote = RemoteInputs(Fetcher(SystemClock(), random.Random(1).random))
        tools = Tools(SystemClock())
        runner = Runner(dict.fromkeys(plugin.operations, plugin), Scratch(scratch), tools, transfer, remote)
        reads, writes = (f"{server.signed(way, at)}/{at}" for way, at in (("GET", "default"), ("PUT", "staging/job_1/tsk_1/7")))
        yield Lane(wire, runner, transfer, reads, writes, tmp_path / "storage")


def facts_of(report: Complete | Fail) -> MediaFacts:
    assert isinstance(report, Complete), report
    assert report.result.analysis is not None
    return report.result.analysis


@pytest.mark.parametrize("name", list(KINDS))
async def test_the_ends_of_a_large_file_tell_what_the_whole_of_it_tells(tmp_path: Path, films: Path, name: str) -> None:
    film = films / name
    async with lane(tmp_path, tmp_path / "scratch") as way:
        whole = facts_of(await way.analyze(film, 1))
        sent = way.wire.sent_down
        way.transfer.pace.note(1 << 20, 600.0)  # from here on everything is slow to come

        parts = facts_of(await way.analyze(film, 2))

        assert (parts, sent > film.stat().st_size) == (whole, True)
        assert way.wire.sent_down - sent < 40 << 20


async def test_a_file_on_a_shared_disk_is_read_in_place(tmp_path: Path, films: Path) -> None:
    async with lane(tmp_path, tmp_path / "scratch") as way:
        sharing = replace(way.runner, shares=Shares(prefixes([], [way.wire.url], with_local=True)))
        recipe = AnalyzeRecipe(limits=InputLimits(min_width=16, min_height=16))
        grant = way.grant(films / "last.mp4", recipe, (VALIDATE_VIDEO, UPLOAD_SOURCE))
        source = Source("server", str(films / "last.mp4"), "last.mp4", grant.input.size if grant.input else 0)
        found = await SharedFiles(LocalStorage(str(tmp_path))).of([source])
        assert grant.input is not None
        grant = grant.model_copy(update={"input": grant.input.model_copy(update={"shared": found[source]})})

        facts = facts_of(await sharing.run(grant, SLOT, unheard))

        assert (facts.container, way.wire.sent_down) == ("mp4", 0)


@pytest.mark.parametrize("keep", [0.3, 0.97])
async def test_a_damaged_file_is_judged_as_a_whole(tmp_path: Path, films: Path, keep: float) -> None:
    """What its ends cannot tell, or tell wrongly, is no verdict."""
    film = tmp_path / "cut.mp4"
    content = (films / "last.mp4").read_bytes()
    film.write_bytes(content[: int(len(content) * keep)] + bytes(len(content) - int(len(content) * keep)))
    async with lane(tmp_path, tmp_path / "scratch") as way:
        whole = await way.analyze(film, 1)
        way.transfer.pace.note(1 << 20, 600.0)

        parts = await way.analyze(film, 2)

        assert isinstance(whole, Fail)
        assert isinstance(parts, Fail)
        told = [(one.failure.code, one.failure.failure_class, one.failure.message) for one in (whole, parts)]
        assert (told[0], told[0][1]) == (told[1], FailureClass.INPUT)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Room for the outputs, not for the input."""
    where = tmp_path / "small"
    where.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(where)], check=False, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


async def small_task(way: Lane, film: Path) -> Grant:
    facts = facts_of(await way.analyze(film, 1))
    await way.runner.forget(Key("tsk_1", 1))
    recipe = web(facts, heights=(180,), hls=None, preset=Preset.ULTRAFAST)
    return way.grant(film, recipe, steps((180,)))


@pytest.mark.parametrize("name", ["first.mp4", "film.mkv", "film.ts"])
async def test_a_file_larger_than_the_disk_is_encoded_from_a_stream(
    tmp_path: Path, films: Path, small_disk: Path, name: str
) -> None:
    async with lane(tmp_path, small_disk / "scratch") as way:
        grant = await small_task(way, films / name)
        way.wire.cut_down[:] = [20 << 20]

        report = await way.runner.run(grant, SLOT, unheard)

        assert isinstance(report, Complete), report
        lengths = {file.facts.duration for file in report.result.files if file.facts.rendition}
        assert {round(length or 0) for length in lengths} == {SECONDS}
        assert not (small_disk / "scratch" / "tsk_1-7" / "input").exists()


async def test_a_stream_that_breaks_for_good_publishes_nothing(tmp_path: Path, films: Path, small_disk: Path) -> None:
    async with lane(tmp_path, small_disk / "scratch") as way:
        grant = await small_task(way, films / "film.ts")
        way.wire.cut_down[:] = [20 << 20, *[0] * 100]
        hasty = Transfer(way.transfer.session, Servers([way.wire.url]), SystemClock(), random.Random(1).random, -1.0)
        runner = Runner(way.runner.plugins, way.runner.scratch, way.runner.tools, hasty, way.runner.remote)

        report = await runner.run(grant, SLOT, unheard)

        assert isinstance(report, Fail)
        assert (report.failure.code, report.failure.failure_class) == (ErrorCode.TRANSFER_FAILED, FailureClass.INFRA)
        assert not (way.storage / "staging").exists()


async def test_what_fits_neither_way_is_refused_before_it_is_fetched(tmp_path: Path, films: Path, small_disk: Path) -> None:
    async with lane(tmp_path, small_disk / "scratch") as way:
        grant = await small_task(way, films / "last.mp4")
        sent = way.wire.sent_down

        report = await way.runner.run(grant, SLOT, unheard)

        assert isinstance(report, Fail)
        assert (report.failure.code, report.failure.failure_class) == (ErrorCode.TASK_DISK, FailureClass.INFRA)
        assert "mp4-index-last" in report.failure.message
        assert way.wire.sent_down - sent < 1 << 20
