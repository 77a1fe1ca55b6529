"""What `measure` finds of films that were made to be found out, by the real tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from plugins.ffmpeg.measuring.plugin import MeasurePlugin
from protocol.encoding import Preset, Target
from protocol.errors import ErrorCode, FailureClass
from protocol.extras import ContentAnalysis, PerTitle
from protocol.media import Chapter, MediaFacts
from protocol.pictures import Crop
from protocol.plugins import Conclusion, Work
from protocol.profiles import Rendition
from protocol.recipes import Cut, MeasureRecipe, PlannedRendition
from protocol.results import Failure, FileRole, Measured
from protocol.sounds import Loudness
from protocol.steps import MEASURE_SOURCE
from tests.integration.ffmpeg_attempts import analyze, success
from tests.integration.ffmpeg_runner import Attempt, run_attempt
from tests.media import run_ffmpeg

BLACK = "color=black:size=320x180:rate=25:duration=1,format=yuv420p"
BARRED = "mandelbrot=size=320x132:rate=25:maxiter=50,format=yuv420p,pad=320:180:0:24,trim=end=1.6,setpts=PTS-STARTPTS"
QUIET = "sine=440:duration=1:sample_rate=48000,volume=-12dB"
JOINED = "[0:v][1:v]concat=n=2[v];[2:a][3:a][4:a]concat=n=3:v=0:a=1[a]"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of black, then a picture with bars of 24 lines; a tone, a second of silence, the tone again."""
    path = tmp_path_factory.mktemp("measure") / "film.mp4"
    sounds = [word for source in (QUIET, "anullsrc=r=48000:cl=mono:d=1", QUIET) for word in ("-f", "lavfi", "-i", source)]
    pictures = [word for source in (BLACK, BARRED) for word in ("-f", "lavfi", "-i", source)]
    coded = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-g", "25", "-c:a", "aac")
    run_ffmpeg(*pictures, *sounds, "-filter_complex", JOINED, "-map", "[v]", "-map", "[a]", *coded, str(path))
    return path


def planned(name: str, height: int, **said: object) -> PlannedRendition:
    words = {"crf": 30, **said} if "target" not in said else said
    rendition = Rendition.model_validate({"name": name, "height": height, "preset": Preset.ULTRAFAST, **words})
    width = height * 16 // 9 // 2 * 2
    return PlannedRendition(rendition=rendition, encoder="libx264", width=width, height=height, path=f"{name}/video_{name}.mp4")


def measure(film: Path, directory: Path, ask: Callable[[MediaFacts], MeasureRecipe]) -> tuple[Conclusion, Attempt]:
    recipe = ask(analyze(film, directory))
    work = Work(recipe, (MEASURE_SOURCE,), str(directory), threads=1, input_path=str(film), input_size=film.stat().st_size)
    attempt = run_attempt(MeasurePlugin(), work)
    return success(attempt), attempt


def test_loudness_bars_and_content_of_a_film_are_found(film: Path, tmp_path: Path) -> None:
    def ask(facts: MediaFacts) -> MeasureRecipe:
        return MeasureRecipe(
            source=facts.model_copy(update={"chapters": (Chapter(start="0", end="1/2", title="Über"),)}),
            tracks=(facts.audio[0].index,),
            channels=(1,),
            loudness=Loudness(),
            finds_crop=True,
            content=ContentAnalysis(),
            content_path="analysis/content.json",
        )

    conclusion, attempt = measure(film, tmp_path, ask)

    measured = conclusion.result.measured
    assert measured is not None
    assert measured.crop == Crop(top=24, bottom=24)
    assert measured.loudness[1].integrated == pytest.approx(-34.4, abs=1)
    told = json.loads((tmp_path / "analysis/content.json").read_bytes())
    assert told["version"] == 1
    assert told["black"] == [{"start": 0.0, "end": 1.0}]
    assert [scene["at"] for scene in told["scenes"]] == [1.0]
    assert [(round(one["start"], 1), round(one["end"], 1)) for one in told["silence"]] == [(1.0, 2.0)]
    assert told["chapters"] == [{"start": 0.0, "end": 0.5, "title": "Über"}]
    assert conclusion.facts["analysis/content.json"].role is FileRole.CONTENT
    shown = [report.progress for report in attempt.reports]
    assert shown == sorted(shown)
    assert (MEASURE_SOURCE, bool(shown)) == (attempt.reports[0].name, True)


def test_a_target_is_reached_and_a_rung_that_adds_nothing_is_dropped(film: Path, tmp_path: Path) -> None:
    aimed, spare = planned("180p", 180, target=Target(vmaf=90)), planned("178p", 178)

    def ask(facts: MediaFacts) -> MeasureRecipe:
        return MeasureRecipe(source=facts, probes=(aimed,), per_title=PerTitle(), ladder=(aimed, spare))

    conclusion, attempt = measure(film, tmp_path, ask)

    measured = conclusion.result.measured
    assert measured is not None
    found = measured.rates[0]
    assert (found.rendition, 1 <= len(found.probes) <= 4) == ("180p", True)
    assert min(abs(probe.vmaf - 90) for probe in found.probes) < 3
    ordered = sorted(found.probes, key=lambda probe: probe.crf)
    assert [probe.bitrate for probe in ordered] == sorted((probe.bitrate for probe in ordered), reverse=True)
    assert [one.rendition for one in measured.dropped] in ([], ["180p"])
    assert conclusion.facts == {}
    assert sum(one.invocation.name.startswith("probe-encode:ladder") for one in attempt.outcomes) == 1


def test_settings_are_tried_on_a_sample_and_told_side_by_side(film: Path, tmp_path: Path) -> None:
    settings = tuple(
        planned(name, 90, crf=crf).model_copy(update={"path": f"compare/{name}.mp4"}) for name, crf in (("a", 20), ("b", 40))
    )

    def ask(facts: MediaFacts) -> MeasureRecipe:
        return MeasureRecipe(source=facts, compare=settings, sample_seconds=2, comparison_path="compare/report.json")

    conclusion, _ = measure(film, tmp_path, ask)

    told = json.loads((tmp_path / "compare/report.json").read_bytes())
    fine, coarse = told["settings"]
    assert told["sample"] == {"start_seconds": 0.0, "seconds": 2.0}
    assert (fine["size_bytes"], coarse["size_bytes"]) == tuple((tmp_path / one.path).stat().st_size for one in settings)
    assert all(fine[name] > coarse[name] for name in ("size_bytes", "psnr", "ssim", "vmaf"))
    assert fine["arguments"][:2] == ["-c:v", "libx264"]
    assert told["pairs"][0]["smaller_at_equal_quality"] is None
    roles = {path: facts.role for path, facts in conclusion.facts.items()}
    assert roles == {
        "compare/a.mp4": FileRole.SAMPLE,
        "compare/b.mp4": FileRole.SAMPLE,
        "compare/report.json": FileRole.COMPARISON,
    }
    assert conclusion.facts["compare/b.mp4"].vmaf == coarse["vmaf"]
    assert conclusion.result.measured == Measured()


def test_times_are_those_of_the_part_that_is_taken(film: Path, tmp_path: Path) -> None:
    def ask(facts: MediaFacts) -> MeasureRecipe:
        cut = Cut(start="1/2", end=str(Fraction(5, 2)))
        timeline = facts.model_copy(update={"duration": "2"})
        return MeasureRecipe(source=timeline, cut=cut, content=ContentAnalysis(chapters=False), content_path="c.json")

    measure(film, tmp_path, ask)

    told = json.loads((tmp_path / "c.json").read_bytes())
    assert told["black"] == [{"start": 0.0, "end": 0.5}]
    assert [scene["at"] for scene in told["scenes"]] == [0.5]
    assert [(round(one["start"], 1), round(one["end"], 1)) for one in told["silence"]] == [(0.5, 1.5)]


@pytest.mark.parametrize("asked", [{"content": ContentAnalysis(chapters=False), "content_path": "c.json"}, {"compare": ()}])
def test_a_film_that_ends_early_is_not_told_as_if_it_were_whole(film: Path, tmp_path: Path, asked: dict[str, Any]) -> None:
    facts = analyze(film, tmp_path)
    whole, short = tmp_path / "whole.mp4", tmp_path / "short.mp4"
    run_ffmpeg("-i", str(film), "-c", "copy", "-movflags", "+faststart", str(whole))
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    settings = (planned("a", 90).model_copy(update={"path": "compare/a.mp4"}),)
    parts = {**asked, "compare": settings, "comparison_path": "compare/report.json"} if "compare" in asked else asked
    recipe = MeasureRecipe(source=facts, **parts)

    work = Work(recipe, (MEASURE_SOURCE,), str(tmp_path), threads=1, input_path=str(short), input_size=short.stat().st_size)
    refused = run_attempt(MeasurePlugin(), work).result

    assert isinstance(refused, Failure), refused
    assert (refused.failure_class, refused.code) == (FailureClass.INPUT, ErrorCode.INPUT_CORRUPT)
