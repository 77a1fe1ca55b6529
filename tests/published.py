"""What a completed job published, held against the files, the database's word and the media themselves."""

from __future__ import annotations

import hashlib
import json
import subprocess
from fractions import Fraction
from pathlib import Path

from protocol.jobs import OutputsReply
from tests.media import ffmpeg_path, ffprobe_path

LENGTH_SLACK_S = 0.35
"""A last frame, AAC's blocks of 1024 samples, and its priming."""


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def assert_published(directory: Path, told: OutputsReply) -> None:
    """The directory holds exactly the files of the outputs reply and `metadata.json`, with the bytes both tell."""
    files = {str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()}
    metadata = json.loads(files["metadata.json"].read_bytes())
    of_files = {name: digest(path) for name, path in files.items() if name != "metadata.json"}

    assert metadata["job_id"] == told.job_id
    assert metadata["recipe"]["sha256"] == of_files
    assert {f.path: (f.sha256, f.size_bytes) for f in told.files if f.path != "metadata.json"} == {
        name: (sha256, files[name].stat().st_size) for name, sha256 in of_files.items()
    }


def assert_plays(directory: Path, *, seconds: float, size: tuple[int, int], audio: bool = True) -> None:
    """Every rendition and every playlist decodes to its end and has the length and the picture asked for."""
    masters = list(directory.rglob("master.m3u8"))
    films = [*directory.rglob("*.mp4"), *(path for path in directory.rglob("*.m3u8") if path not in masters)]
    films = [film for film in films if not film.name.startswith("init")]
    assert len(films) >= 2, f"no rendition and playlist in {directory}"
    for film in films:
        if film.suffix == ".m3u8":
            assert_whole(film)
        assert_film(film, seconds=seconds, size=size, audio=audio)


def assert_whole(playlist: Path) -> None:
    """The playlist ends, and every segment it names exists."""
    lines = playlist.read_text().splitlines()
    names = [line for line in lines if line and not line.startswith("#")]
    names += [line.split('"')[1] for line in lines if line.startswith("#EXT-X-MAP")]

    assert (lines[0], lines[-1]) == ("#EXTM3U", "#EXT-X-ENDLIST")
    assert [name for name in names if not (playlist.parent / name).is_file()] == []


def assert_film(film: Path, *, seconds: float, size: tuple[int, int], audio: bool = True) -> None:
    """It has the length and the picture asked for, and decodes to its end without a word."""
    probed = _run(ffprobe_path(), "-v", "error", "-show_streams", "-show_format", "-of", "json", str(film))
    facts = json.loads(probed)
    pictures = [(s["width"], s["height"]) for s in facts["streams"] if s["codec_type"] == "video"]
    sounds = [s["codec_name"] for s in facts["streams"] if s["codec_type"] == "audio"]

    assert (pictures, sounds) == ([size], ["aac"] if audio else []), film
    assert abs(float(Fraction(facts["format"]["duration"])) - seconds) <= LENGTH_SLACK_S, film
    _run(ffmpeg_path(), "-nostdin", "-v", "error", "-xerror", "-i", str(film), "-f", "null", "-")


def _run(*argv: str) -> bytes:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b""), (argv, done.stderr.decode(errors="replace"))
    return done.stdout
