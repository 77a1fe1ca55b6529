"""Sound as the real tools make it: tracks, codecs, channels and loudness, seen by ffprobe, by EBU R 128 and by HLS's rules."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.encoding import AudioCodec
from protocol.errors import ErrorCode, FailureClass
from protocol.extras import Subtitles
from protocol.packaging import HlsPackaging, SegmentFormat
from protocol.profiles import Profile
from protocol.results import Failure, FileRole
from protocol.sounds import AudioFile, Channels, Loudness, Sound, Tracks
from tests.media import ffmpeg_path, ffprobe_path, run_ffmpeg
from tests.rules.hls_rules import broken
from tests.sound_films import film_with_tracks, ladder, made, make

QUIET = Loudness(integrated=-27.0)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film_with_tracks(tmp_path_factory.mktemp("sound") / "film.mkv")


def sounds(path: Path) -> list[dict[str, Any]]:  # ffprobe's JSON
    entries = "stream=codec_name,channels,channel_layout,sample_rate,start_time:stream_tags=language,name,title"
    argv = [ffprobe_path(), "-v", "error", "-select_streams", "a", "-show_entries", entries, "-of", "json", str(path)]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60)
    streams: list[dict[str, Any]] = json.loads(done.stdout)["streams"]
    return streams


def picture_starts(path: Path) -> float:
    entries = ("-select_streams", "v", "-show_entries", "stream=start_time", "-of", "csv=p=0")
    argv = [ffprobe_path(), "-v", "error", *entries, str(path)]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60, text=True)
    return float(done.stdout.split()[-1])


def told(path: Path, *keys: str) -> list[tuple[Any, ...]]:
    return [tuple(one.get(key) for key in keys) for one in sounds(path)]


def integrated(path: Path, track: int = 0) -> float:
    """EBU R 128 by its meter, frame by frame: not the summary that the plugin reads."""
    meter = "ebur128=metadata=1,ametadata=mode=print:key=lavfi.r128.I:file=-"
    argv = [ffmpeg_path(), "-v", "error", "-i", str(path), "-map", f"0:a:{track}", "-af", meter, "-f", "null", "-"]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60, text=True)
    return float(re.findall(r"lavfi\.r128\.I=(\S+)", done.stdout)[-1])


@pytest.mark.parametrize(
    ("codec", "container", "layouts"),
    [
        (AudioCodec.AAC, SegmentFormat.TS, ("5.1", "stereo", "mono")),
        (AudioCodec.OPUS, SegmentFormat.FMP4, ("5.1", "stereo", "mono")),
        (AudioCodec.AC3, SegmentFormat.FMP4, ("5.1(side)", "stereo", "mono")),
    ],
)
def test_every_track_stands_beside_every_picture_and_in_one_group(
    film: Path, tmp_path: Path, codec: AudioCodec, container: SegmentFormat, layouts: tuple[str, ...]
) -> None:
    profile = Profile(
        name="own",
        renditions=ladder(codec, 44_100 if codec is AudioCodec.AAC else 48_000, 48_000),
        hls=HlsPackaging(segment_seconds=1, format=container),
        sound=Sound(tracks=Tracks.ALL, channels=Channels.KEEP),
        subtitles=Subtitles(),
    )
    facts = made(profile, film, tmp_path).facts
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    master = files["hls/master.m3u8"].decode()

    text = next(content for path, content in files.items() if path.endswith("/segment_000.vtt"))

    for name in ("90p", "180p"):
        streams = sounds(tmp_path / f"{name}/video_{name}.mp4")
        assert [(one["codec_name"], one["channel_layout"]) for one in streams] == [(codec.value, each) for each in layouts]
        assert [one["tags"]["language"] for one in streams] == ["fra", "eng", "deu"]
    assert {path for path in files if not path.startswith("raw_subtitles/")} == set(facts)
    assert broken(files) == []
    assert re.findall(r"NAME=\"([^\"]+)\",LANGUAGE=\"(\w+)\",DEFAULT=(\w+)", master) == [
        ("Pour tous", "fr", "YES"),
        ("en", "en", "NO"),
        ("de", "de", "NO"),
        ("sv", "sv", "NO"),
    ]
    assert 'SUBTITLES="subtitles"' in master
    assert b"X-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\n00:00:01.000 --> 00:00:02.000\nHej" in text
    assert picture_starts(tmp_path / "180p/segments/playlist.m3u8") == 10.0
    assert 9.97 < float(told(tmp_path / "audio/en/playlist.m3u8", "start_time")[0][0]) <= 10.0  # the encoder's priming
    assert facts["audio/de/playlist.m3u8"].duration == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(("codec", "ending"), [("aac", "m4a"), ("opus", "opus"), ("mp3", "mp3"), ("ac3", "ac3")])
def test_sound_alone_is_brought_to_its_loudness(film: Path, tmp_path: Path, codec: str, ending: str) -> None:
    audio = AudioFile(codec=AudioCodec(codec), bitrate=256_000)
    profile = Profile(name="own", audio=audio, sound=Sound(tracks=Tracks.ALL, languages=("en", "fr"), loudness=QUIET))
    facts = made(profile, film, tmp_path).facts

    assert {path: (fact.role, fact.track, fact.channels) for path, fact in facts.items()} == {
        f"audio/audio.{ending}": (FileRole.AUDIO, "en", 2),
        f"audio/audio_fr.{ending}": (FileRole.AUDIO, "fr", 2),
    }
    for path, fact in facts.items():
        assert told(tmp_path / path, "codec_name", "sample_rate", "channels") == [(codec, "48000", 2)]
        assert integrated(tmp_path / path) == pytest.approx(-27, abs=1)
        assert fact.loudness == pytest.approx(integrated(tmp_path / path), abs=0.15)


def test_pictures_and_surround_are_brought_to_the_loudness_too(film: Path, tmp_path: Path) -> None:
    sound = Sound(languages=("fr",), channels=Channels.KEEP, loudness=QUIET)
    facts = made(Profile(name="own", renditions=ladder(AudioCodec.AAC, 48_000, 48_000)[:1], sound=sound), film, tmp_path).facts

    assert told(tmp_path / "90p/video_90p.mp4", "channels") == [(6,)]
    assert integrated(tmp_path / "90p/video_90p.mp4") == pytest.approx(-27, abs=1)
    assert facts["90p/video_90p.mp4"].loudness == pytest.approx(-27, abs=1)


INPUTS: dict[str, tuple[str, ...]] = {
    "wav": (),
    "flac": (),
    "mp3": ("-c:a", "libmp3lame"),
    "m4a": ("-c:a", "aac"),
    "aac": ("-c:a", "aac"),
    "ogg": ("-c:a", "libopus"),
}


@pytest.mark.parametrize("ending", sorted(INPUTS))
def test_sound_is_taken_from_files_of_sound(tmp_path: Path, ending: str) -> None:
    source, directory = tmp_path / f"sound.{ending}", tmp_path / "work"
    directory.mkdir()
    run_ffmpeg("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=1", *INPUTS[ending], str(source))
    facts = made(Profile(name="own", audio=AudioFile(codec=AudioCodec.AAC), sound=Sound()), source, directory).facts

    assert facts["audio/audio.m4a"].duration == pytest.approx(1, abs=0.1)
    assert told(directory / "audio/audio.m4a", "codec_name", "channels") == [("aac", 1)]


@pytest.mark.parametrize("shape", ["anullsrc=r=48000:cl=stereo", "sine=frequency=440:sample_rate=48000,atrim=end=0.3"])
def test_what_has_no_loudness_stays_as_it_is_and_that_is_said(tmp_path: Path, shape: str) -> None:
    source, directory = tmp_path / "sound.wav", tmp_path / "work"
    directory.mkdir()
    run_ffmpeg("-f", "lavfi", "-i", shape, "-t", "2", str(source))
    result = made(Profile(name="own", audio=AudioFile(), sound=Sound(loudness=Loudness())), source, directory)

    assert result.facts["audio/audio.mp3"].loudness is None
    assert result.result.warnings == ("The sound track und is silent or too short to be measured: its loudness stays as it is.",)


Damage = Callable[[Path, Path], None]


def _noise(source: Path, target: Path) -> None:
    run_ffmpeg("-i", str(source), "-map", "0", "-c", "copy", "-bsf:a:1", "noise=amount=1", str(target))


def _nothing(source: Path, target: Path) -> None:
    run_ffmpeg("-i", str(source), "-map", "0", "-c", "copy", "-bsf:a:1", "noise=drop=1", str(target))


@pytest.mark.parametrize("damage", [_noise, _nothing])
def test_a_track_of_which_nothing_decodes_is_the_files_fault(film: Path, tmp_path: Path, damage: Damage) -> None:
    source, directory = tmp_path / "damaged.mkv", tmp_path / "work"
    directory.mkdir()
    damage(film, source)
    profile = Profile(
        name="own",
        renditions=ladder(AudioCodec.AAC, 48_000, 48_000)[:1],
        hls=HlsPackaging(),
        audio=AudioFile(),
        sound=Sound(tracks=Tracks.ALL),
    )
    failed = make(profile, source, directory)

    assert isinstance(failed, Failure)
    assert (failed.failure_class, failed.code) == (FailureClass.INPUT, ErrorCode.INPUT_CORRUPT)
