"""Packages made by the real Shaka Packager, and played back by FFmpeg."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from plugins.packager.plugin import PackagerPlugin
from protocol.encoding import Preset
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.packaging import CmafPackaging
from protocol.plugins import Work
from protocol.recipes import PackageRecipe, PlannedRendition
from protocol.results import Failure, FileRole
from protocol.steps import PACKAGE_STREAMS
from tests.ffmpeg_recipes import planned
from tests.integration.ffmpeg_attempts import analyze, success
from tests.integration.ffmpeg_runner import Attempt, prove_again, run_attempt, run_process
from tests.media import ffprobe_path, make_clip


def _has_packager() -> bool:
    try:
        PackagerPlugin().probes("/tmp")
    except ReelyardError:
        return False
    return True


pytestmark = pytest.mark.skipif(not _has_packager(), reason="Shaka Packager is not installed (pip install 'reelyard[ffmpeg]')")

KEYFRAMES = ("-force_key_frames", "expr:gte(t,n_forced*2)", "-ar", "48000")


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The MP4s of two renditions as a transcode leaves them, 5 s long."""
    directory = tmp_path_factory.mktemp("ladder")
    large = make_clip(directory / "360p.mp4", seconds=5, options=KEYFRAMES)
    small = make_clip(directory / "180p.mp4", seconds=5, size=(320, 180), options=KEYFRAMES)
    return {"180p": small, "360p": large}


def work_of(ladder: dict[str, Path], directory: Path, *, hls: bool = True, dash: bool = True) -> Work:
    facts = analyze(ladder["360p"], directory)
    renditions: tuple[PlannedRendition, ...] = tuple(
        planned(facts, int(name[:-1]), hls=None, preset=Preset.ULTRAFAST) for name in sorted(ladder)
    )
    recipe = PackageRecipe(
        source=facts,
        packaging=CmafPackaging(segment_seconds=2, hls=hls, dash=dash),
        renditions=renditions,
        directory="cmaf",
        hls_master="hls/master.m3u8" if hls else None,
        dash_manifest="dash/manifest.mpd" if dash else None,
    )
    inputs = {name: str(path) for name, path in ladder.items()}
    return Work(recipe, (PACKAGE_STREAMS,), str(directory), threads=1, inputs=inputs)


@pytest.fixture(scope="module")
def whole(ladder: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Work, Attempt]:
    work = work_of(ladder, tmp_path_factory.mktemp("package"))
    return work, run_attempt(PackagerPlugin(), work)


def played(path: Path) -> dict[str, list[object]]:
    """What a player gets of it: for each kind of stream the frames that decode, and its size."""
    argv = [ffprobe_path(), "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60)
    found: dict[str, list[object]] = {}
    for stream in json.loads(done.stdout)["streams"]:
        size = (stream["width"], stream["height"]) if stream["codec_type"] == "video" else stream["sample_rate"]
        found.setdefault(stream["codec_type"], []).append((size, int(stream["nb_read_frames"])))
    return found


def test_the_master_playlist_plays_both_pictures_and_the_sound_once(whole: tuple[Work, Attempt]) -> None:
    work, attempt = whole
    success(attempt)

    assert played(Path(work.directory) / "hls/master.m3u8") == {
        "video": [((320, 180), 125), ((640, 360), 125)],
        "audio": [("48000", 235)],
    }


def test_the_manifest_names_the_very_same_files_from_where_it_stands(whole: tuple[Work, Attempt]) -> None:
    work, attempt = whole
    text = success(attempt).extra["dash/manifest.mpd"].decode()

    assert "<BaseURL>../</BaseURL>" in text
    assert 'initialization="cmaf/180p/init.mp4"' in text
    assert (Path(work.directory) / "dash/../cmaf/180p/init.mp4").exists()


def test_every_file_is_told_with_its_role(whole: tuple[Work, Attempt]) -> None:
    facts = success(whole[1]).facts
    roles = [one.role for one in facts.values()]

    segments = {role: roles.count(role) for role in sorted(set(roles))}
    assert segments == {
        FileRole.INIT_SEGMENT: 3,
        FileRole.MANIFEST: 1,
        FileRole.MASTER_PLAYLIST: 1,
        FileRole.PLAYLIST: 3,
        FileRole.SEGMENT: 9,
    }
    small = facts["cmaf/180p/playlist.m3u8"]
    assert (small.rendition, small.segment_count, small.segment_seconds, small.duration) == ("180p", 3, 2.0, 5.0)
    assert facts["cmaf/audio/playlist.m3u8"].rendition is None


def test_the_record_tells_the_version_that_made_it(whole: tuple[Work, Attempt]) -> None:
    use = success(whole[1]).result.tools[0]

    assert (use.tool, use.version.partition(".")[0]) == ("packager", "3")


def test_without_hls_its_playlists_are_not_published(ladder: dict[str, Path], tmp_path: Path) -> None:
    facts = success(run_attempt(PackagerPlugin(), work_of(ladder, tmp_path, hls=False))).facts

    assert not [path for path in facts if path.endswith(".m3u8")]
    assert "dash/manifest.mpd" in facts


@pytest.mark.parametrize(("fps", "seconds"), [("24", 1.5), ("24", 5), ("30000/1001", 1.5), ("60", 1.5)])
def test_a_last_segment_of_one_keyframe_and_reordered_frames_is_read_to_its_end(tmp_path: Path, fps: str, seconds: float) -> None:
    reordered = ("-preset", "veryfast", "-bf", "3", "-sc_threshold", "0", *KEYFRAMES)
    film = make_clip(tmp_path / "360p.mp4", seconds=seconds, fps=fps, options=reordered)
    work = work_of({"360p": film}, tmp_path)

    assert "hls/master.m3u8" in success(run_attempt(PackagerPlugin(), work)).facts


def told_longer(work: Work) -> Work:
    """The same of a film that tells of three seconds more than its renditions have."""
    assert isinstance(work.recipe, PackageRecipe)
    source = work.recipe.source
    assert source.video is not None
    told = {
        "duration": "8",
        "video": source.video.model_copy(update={"duration": "8"}),
        "audio": tuple(stream.model_copy(update={"duration": "8"}) for stream in source.audio),
    }
    return replace(work, recipe=work.recipe.model_copy(update={"source": source.model_copy(update=told)}))


def allowing(work: Work) -> Work:
    return replace(work, recipe=work.recipe.model_copy(update={"allows_damage": True}))


def test_what_a_damaged_film_left_is_packaged_whole_where_that_is_wanted(ladder: dict[str, Path], tmp_path: Path) -> None:
    work = told_longer(work_of(ladder, tmp_path))
    (tmp_path / "allowed").mkdir()

    refused = run_attempt(PackagerPlugin(), work)
    allowed = run_attempt(PackagerPlugin(), allowing(replace(work, directory=str(tmp_path / "allowed"))))

    assert isinstance(refused.result, Failure)
    assert "dash/manifest.mpd" in success(allowed).facts
    assert played(tmp_path / "allowed/hls/master.m3u8")["video"] == [((320, 180), 125), ((640, 360), 125)]


def test_a_package_that_lacks_the_end_of_what_was_left_is_never_published(ladder: dict[str, Path], tmp_path: Path) -> None:
    work = allowing(told_longer(work_of({"360p": ladder["360p"]}, tmp_path, dash=False)))
    attempt = run_attempt(PackagerPlugin(), work)
    success(attempt)
    playlist = tmp_path / "cmaf/360p/playlist.m3u8"
    lines = playlist.read_text().split("\n")
    last = lines.index("segment_003.m4s")
    playlist.write_text("\n".join([*lines[: last - 1], *lines[last + 1 :]]))
    (playlist.parent / "segment_003.m4s").unlink()

    result = prove_again(PackagerPlugin(), work, attempt)

    assert isinstance(result, Failure)
    assert (result.code, result.message) == (ErrorCode.OUTPUT_INVALID, "The segments do not add up to the length of the film.")


def spoil(directory: Path, what: str) -> None:
    cmaf = directory / "cmaf/180p"
    match what:
        case "segment lost":
            (cmaf / "segment_002.m4s").unlink()
        case "segment empty":
            (cmaf / "segment_002.m4s").write_bytes(b"")
        case "segment twice":
            (cmaf / "segment_002.m4s").write_bytes((cmaf / "segment_001.m4s").read_bytes())
        case "file too many":
            (cmaf / "more.m4s").write_bytes(b"x")
        case "playlist cut":
            text = (cmaf / "playlist.m3u8").read_text()
            (cmaf / "playlist.m3u8").write_text(text.replace("#EXT-X-ENDLIST\n", ""))
        case "another picture":
            (cmaf / "init.mp4").write_bytes((directory / "cmaf/360p/init.mp4").read_bytes())
        case "manifest of others":
            manifest = directory / "packaged.mpd"
            manifest.write_text(manifest.read_text().replace("cmaf/180p/init.mp4", "cmaf/181p/init.mp4"))


@pytest.mark.parametrize(
    "what",
    [
        "segment lost",
        "segment empty",
        "segment twice",
        "file too many",
        "playlist cut",
        "another picture",
        "manifest of others",
    ],
)
def test_a_package_that_is_not_whole_is_never_published(whole: tuple[Work, Attempt], tmp_path: Path, what: str) -> None:
    work, attempt = whole
    subprocess.run(["cp", "-r", f"{work.directory}/.", str(tmp_path)], check=True)
    spoil(tmp_path, what)

    result = prove_again(PackagerPlugin(), replace(work, directory=str(tmp_path)), attempt)

    assert isinstance(result, Failure)
    assert (result.failure_class, result.code) == (FailureClass.ENGINE, ErrorCode.OUTPUT_INVALID)


def test_what_is_no_film_fails_the_attempt(ladder: dict[str, Path], tmp_path: Path) -> None:
    work = work_of(ladder, tmp_path)
    (tmp_path / "words").write_text("just words")

    attempt = run_attempt(PackagerPlugin(), replace(work, inputs={**work.inputs, "180p": str(tmp_path / "words")}))

    assert isinstance(attempt.result, Failure)
    assert (attempt.result.failure_class, attempt.result.code) == (FailureClass.ENGINE, ErrorCode.OUTPUT_INVALID)


def test_probing_proves_the_operation(tmp_path: Path) -> None:
    plugin = PackagerPlugin()

    description = plugin.describe([run_process(probe, tmp_path) for probe in plugin.probes(str(tmp_path))])

    assert (description.operations, description.problem) == (("package",), None)
    assert description.capabilities == ("operation:package", "packaging:encryption")
    assert description.version.startswith("Shaka Packager 3.")
