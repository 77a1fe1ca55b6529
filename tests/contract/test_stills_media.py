"""Single pictures, a sprite sheet, subtitles and the client's own picture, made by the real tools in one attempt, and looked
at with ffprobe and by the colour of what they show."""

from __future__ import annotations

import json
import re
import struct
import subprocess
from pathlib import Path

import pytest

from plugins.ffmpeg.plugin import FFmpegPlugin
from protocol.errors import ErrorCode, FailureClass
from protocol.extras import TextFormat
from protocol.media import MediaFacts
from protocol.plugins import Work
from protocol.recipes import PlannedSprite, PlannedSubtitle, ThumbnailShot, TranscodeRecipe
from protocol.results import Failure, FileRole, OutputFacts
from protocol.steps import EXTRACT_SUBTITLES, GENERATE_SPRITE, GENERATE_THUMBNAILS
from tests.integration.ffmpeg_attempts import analyze, brightness, success
from tests.integration.ffmpeg_runner import Attempt, run_attempt
from tests.media import ffmpeg_path, ffprobe_path, run_ffmpeg

STEPS = (GENERATE_THUMBNAILS, GENERATE_SPRITE, EXTRACT_SUBTITLES)
SPOKEN = "1\n00:00:00,500 --> 00:00:01,500\nOne <i>two</i>\n\n2\n00:00:01,900 --> 00:00:09,000\na < b & c\n\n"
SIDECAR = "1\n00:00:01,000 --> 00:00:02,000\nCaf\xe9\n\n2\n00:01:00,000 --> 00:01:02,000\nToo late, h\xe9las\n\n"
CHAPTERS = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=A < B\n"
CHAPTERS += "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=3000\n"
STYLED = "[Script Info]\nScriptType: v4.00+\n\n[Events]\n"
STYLED += "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
STYLED += "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\i1}Hello{\\i0}\\Nyou\n"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 s at 25 frames a second that grow brighter, with words in English: the grey of a frame tells its number."""
    directory = tmp_path_factory.mktemp("stills")
    (directory / "words.srt").write_text(SPOKEN, encoding="utf-8")
    (directory / "chapters.txt").write_text(CHAPTERS, encoding="utf-8")
    grey = "nullsrc=size=320x180:rate=25:duration=3,geq=lum='16+2*N':cb=128:cr=128,format=yuv420p"
    inputs = ("-f", "lavfi", "-i", grey, "-i", str(directory / "words.srt"), "-i", str(directory / "chapters.txt"))
    taken = ("-map", "0", "-map", "1", "-map_chapters", "2")
    words = ("-c:s", "srt", "-metadata:s:s:0", "language=eng")
    run_ffmpeg(
        *inputs, *taken, "-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", *words, "-t", "3", str(directory / "film.mkv")
    )
    return directory / "film.mkv"


def recipe_of(facts: MediaFacts) -> TranscodeRecipe:
    return TranscodeRecipe(
        source=facts,
        renditions=(),
        thumbnails=(
            ThumbnailShot(percent=100, at="3", path="thumbnails/thumb_100.jpg"),
            ThumbnailShot(percent=None, at="6/5", path="thumbnails/thumb_at_1200ms.jpg"),
        ),
        own_thumbnail="thumbnails/thumb_custom.jpg",
        sprite=PlannedSprite(
            interval="1/2",
            count=6,
            columns=4,
            width=64,
            height=36,
            path="thumbnails/sprite.jpg",
            index="thumbnails/sprite.vtt",
        ),
        subtitles=(
            PlannedSubtitle(name="fr", attachment="attachment-fr", language="fr", paths=paths("fr")),
            PlannedSubtitle(name="de", attachment="attachment-de", language="de", paths=paths("de")),
            PlannedSubtitle(name="en", stream=1, language="en", offset="1", paths=paths("en")),
        ),
        chapters="subtitles/chapters.vtt",
        notes=("There is no thumbnail at 9 s.",),
    )


def paths(name: str) -> dict[TextFormat, str]:
    return {kind: f"subtitles/{name}.{kind.value}" for kind in TextFormat}


def make(film: Path, directory: Path, **changes: object) -> Attempt:
    """The attempt in `directory`/work, with the files that came with the job beside it."""
    facts = analyze(film, directory)
    recipe = recipe_of(facts).model_copy(update=changes)
    beside = {"thumbnail": "own.png", "attachment-fr": "fr.srt", "attachment-de": "de.ass"}
    if not (directory / "own.png").exists():
        red = "color=color=red@0.5:size=1920x1082,format=rgba"
        run_ffmpeg("-f", "lavfi", "-i", red, "-frames:v", "1", "-update", "1", str(directory / "own.png"))
    (directory / "de.ass").write_bytes(b"\xff\xfe" + STYLED.encode("utf-16-le"))
    if not (directory / "fr.srt").exists():
        (directory / "fr.srt").write_bytes(SIDECAR.encode("latin-1"))
    (directory / "work").mkdir()
    inputs = {name: str(directory / file) for name, file in beside.items()}
    work = Work(recipe, STEPS, str(directory / "work"), threads=1, input_path=str(film), input_size=9, inputs=inputs)
    return run_attempt(FFmpegPlugin(), work)


@pytest.fixture(scope="module")
def made(film: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Attempt]:
    directory = tmp_path_factory.mktemp("made")
    attempt = make(film, directory)
    return directory / "work", attempt


def shade(frame: int) -> float:
    return 2 * frame * 255 / 219


def pixels(picture: Path, width: int, height: int) -> list[tuple[int, ...]]:
    """The colours of its parts, in a grid of so many columns and rows."""
    scale = f"scale={width}:{height}:flags=area,format=rgb24"
    argv = [ffmpeg_path(), "-v", "error", "-i", str(picture), "-vf", scale, "-f", "rawvideo", "-"]
    raw = subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout
    return [tuple(raw[n : n + 3]) for n in range(0, len(raw), 3)]


def size_of(picture: Path) -> tuple[int, int]:
    argv = [ffprobe_path(), "-v", "error", "-show_streams", "-of", "json", str(picture)]
    stream = json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout)["streams"][0]
    return stream["width"], stream["height"]


def cues_of(text: Path) -> list[tuple[float, float]]:
    """The moments of the cues as ffprobe's own reader sees them."""
    argv = [ffprobe_path(), "-v", "error", "-show_packets", "-of", "json", str(text)]
    packets = json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout)["packets"]
    return [(float(p["pts_time"]), round(float(p["pts_time"]) + float(p["duration_time"]), 3)) for p in packets]


def test_every_file_is_told_and_nothing_else_is(made: tuple[Path, Attempt]) -> None:
    directory, attempt = made
    facts = success(attempt).facts

    assert {path: (one.role, one.language, one.is_own) for path, one in facts.items()} == {
        "thumbnails/thumb_100.jpg": (FileRole.THUMBNAIL, None, None),
        "thumbnails/thumb_at_1200ms.jpg": (FileRole.THUMBNAIL, None, None),
        "thumbnails/thumb_custom.jpg": (FileRole.THUMBNAIL, None, True),
        "thumbnails/sprite.jpg": (FileRole.SPRITE, None, None),
        "thumbnails/sprite.vtt": (FileRole.SPRITE_INDEX, None, None),
        "subtitles/chapters.vtt": (FileRole.CHAPTERS, None, None),
        **{f"subtitles/{name}.{kind}": (FileRole.SUBTITLE, name, None) for name in ("en", "de", "fr") for kind in ("srt", "vtt")},
    }
    assert all((directory / path).stat().st_size for path in facts)
    assert success(attempt).result.warnings == (
        "There is no thumbnail at 9 s.",
        "1 cues of the subtitles fr lie past the end of the film and are left out.",
    )


def test_stills_show_the_frames_of_their_moments(made: tuple[Path, Attempt]) -> None:
    directory, _ = made

    assert brightness(directory / "thumbnails/thumb_100.jpg") == pytest.approx(shade(74), abs=3)
    # the steps of a JPEG of quality 3 are three shades wide
    assert brightness(directory / "thumbnails/thumb_at_1200ms.jpg") == pytest.approx(shade(30), abs=3.5)


def test_each_tile_of_the_sheet_shows_the_moment_its_cue_begins(made: tuple[Path, Attempt]) -> None:
    directory, attempt = made
    sheet = directory / "thumbnails/sprite.jpg"
    told = re.findall(r"^(\S+) --> (\S+)\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)$", sheet.with_suffix(".vtt").read_text(), re.M)

    assert size_of(sheet) == (256, 72)
    assert success(attempt).facts["thumbnails/sprite.jpg"] == OutputFacts(
        role=FileRole.SPRITE, codec="mjpeg", width=256, height=72, frame_count=6
    )
    assert [(start, end) for start, end, *_ in told] == [
        *(("00:00:00.000", "00:00:00.500"), ("00:00:00.500", "00:00:01.000"), ("00:00:01.000", "00:00:01.500")),
        *(("00:00:01.500", "00:00:02.000"), ("00:00:02.000", "00:00:02.500"), ("00:00:02.500", "00:00:03.000")),
    ]
    assert {(name, w, h) for *_, name, _, _, w, h in told} == {("sprite.jpg", "64", "36")}
    tiles = pixels(sheet, 4, 2)
    shown = [tiles[int(y) // 36 * 4 + int(x) // 64][0] for *_, x, y, _, _ in told]
    assert shown == pytest.approx([shade(frame) for frame in (0, 13, 25, 38, 50, 63)], abs=3)


def test_the_clients_picture_is_made_anew_within_the_box_and_on_black(made: tuple[Path, Attempt]) -> None:
    picture = made[0] / "thumbnails/thumb_custom.jpg"

    assert size_of(picture) == (1276, 720)
    assert pixels(picture, 1, 1)[0] == pytest.approx((128, 0, 0), abs=4)
    assert b"Lavc" not in picture.read_bytes()


def test_nothing_but_pixels_is_left_of_the_clients_picture_and_it_stands_upright(film: Path, tmp_path: Path) -> None:
    halves = "color=color=red:size=200x100,drawbox=0:0:100:100:blue:fill"
    run_ffmpeg("-f", "lavfi", "-i", halves, "-frames:v", "1", "-update", "1", str(tmp_path / "plain.jpg"))
    plain = (tmp_path / "plain.jpg").read_bytes()
    turned = b"\x00\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + bytes(4)  # orientation 6: a quarter turn clockwise
    told = b"Exif\x00\x00MM\x00*" + struct.pack(">I", 8) + turned + b"52.5 N 13.4 E"
    (tmp_path / "own.png").write_bytes(
        plain[:2] + b"\xff\xe1" + struct.pack(">H", len(told) + 2) + told + plain[2:] + b"and more"
    )

    attempt = make(film, tmp_path, thumbnails=(), sprite=None, subtitles=(), chapters=None, notes=())

    success(attempt)
    picture = tmp_path / "work/thumbnails/thumb_custom.jpg"
    assert size_of(picture) == (100, 200)
    assert [max(range(3), key=pixel.__getitem__) for pixel in pixels(picture, 1, 2)] == [2, 0]
    assert not [word for word in (b"Exif", b"13.4", b"and more") if word in picture.read_bytes()]


def test_subtitles_are_read_by_others_at_their_moments(made: tuple[Path, Attempt]) -> None:
    directory = made[0] / "subtitles"
    found = {path.name: cues_of(path) for path in sorted(directory.iterdir())}

    assert found["en.srt"] == found["en.vtt"] == [(0.0, 0.5), (0.9, 3.0)]
    assert found["de.srt"] == found["de.vtt"] == [(1.0, 2.0)]
    assert found["fr.srt"] == found["fr.vtt"] == [(1.0, 2.0)]


def test_chapters_are_cues_and_those_without_a_title_have_a_number(made: tuple[Path, Attempt]) -> None:
    chapters = made[0] / "subtitles/chapters.vtt"

    assert cues_of(chapters) == [(0.0, 1.0), (1.0, 3.0)]
    assert re.findall(r"^(?!WEBVTT)[A-Z].*$", chapters.read_text(encoding="utf-8"), re.M) == ["A &lt; B", "Chapter 2"]


def test_words_are_those_of_the_files_in_whatever_letters_they_came(made: tuple[Path, Attempt]) -> None:
    directory = made[0] / "subtitles"

    assert "Café" in (directory / "fr.vtt").read_text(encoding="utf-8")
    assert "<i>Hello</i>\nyou" in (directory / "de.vtt").read_text(encoding="utf-8")
    assert "One <i>two</i>" in (directory / "en.vtt").read_text(encoding="utf-8")
    assert "a &lt; b &amp; c" in (directory / "en.vtt").read_text(encoding="utf-8")
    assert "a < b & c" in (directory / "en.srt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("own.png", b"\x89PNG\r\n\x1a\n" + bytes(500), ErrorCode.INPUT_CORRUPT, "The thumbnail that was sent with the job"),
        ("fr.srt", bytes(range(256)) * 8, ErrorCode.INPUT_FORMAT, "The subtitles that came with the job as fr are no"),
    ],
)
def test_a_file_beside_the_film_that_is_no_good_fails_before_the_encode(
    film: Path, tmp_path: Path, name: str, content: bytes, code: ErrorCode, message: str
) -> None:
    (tmp_path / name).write_bytes(content)

    attempt = make(film, tmp_path)

    assert isinstance(attempt.result, Failure)
    assert (attempt.result.failure_class, attempt.result.code) == (FailureClass.INPUT, code)
    assert attempt.result.message.startswith(message)
    assert "encode" not in {outcome.invocation.name for outcome in attempt.outcomes}


def test_the_clients_picture_alone_needs_no_encode(film: Path, tmp_path: Path) -> None:
    attempt = make(film, tmp_path, thumbnails=(), sprite=None, subtitles=(), chapters=None, notes=())

    assert set(success(attempt).facts) == {"thumbnails/thumb_custom.jpg"}
    assert [outcome.invocation.name for outcome in attempt.outcomes] == ["own_thumbnail", "own_thumbnail_read"]
