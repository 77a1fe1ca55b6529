"""Profiles from files: those built in are what the pages say, and a bad one is told with its file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.profiles import BadProfile, load_profiles
from protocol.encoding import Preset
from protocol.extras import Thumbnails
from protocol.packaging import HlsPackaging, SegmentFormat
from protocol.sounds import RenditionAudio

BUILT_IN = {"archive", "audio", "av1", "dash", "frames", "hls-cmaf", "live", "noop", "preview", "thumbnails", "web", "web-hq"}
GOOD = 'name = "small"\n[[renditions]]\nname = "240p"\nheight = 240\ncrf = 30\nprofile = "main"\nlevel = "3.1"\n'
GOOD += "min_source_width = 16\nmin_source_height = 16\naudio = { bitrate = 64000, sample_rate = 44100 }\n"


def test_web_is_what_the_page_says() -> None:
    web = {profile.name: profile for profile in load_profiles()}["web"]

    assert [(r.name, r.height, r.profile, r.level, r.crf, r.preset, r.audio) for r in web.renditions] == [
        ("360p", 360, "main", "3.1", 23, Preset.MEDIUM, RenditionAudio(bitrate=96_000, sample_rate=44_100)),
        ("720p", 720, "high", "4.0", 22, Preset.MEDIUM, RenditionAudio(bitrate=128_000, sample_rate=48_000)),
    ]
    assert [(r.min_source_width, r.min_source_height) for r in web.renditions] == [(640, 360), (1280, 720)]
    assert web.hls == HlsPackaging(segment_seconds=10, format=SegmentFormat.TS)
    assert web.thumbnails == Thumbnails(percents=(0, 25, 50, 75, 100), primary_percent=25)
    assert web.audio is not None
    assert (web.audio.codec, web.audio.bitrate, web.audio.sample_rate) == ("mp3", 192_000, 48_000)
    assert web.transcription is not None
    assert not web.transcription.required


def test_noop_makes_nothing() -> None:
    profiles = {profile.name: profile for profile in load_profiles()}

    assert {name: profile.is_noop for name, profile in profiles.items()} == dict.fromkeys(BUILT_IN, False) | {"noop": True}


def test_an_operators_profile_replaces_one_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD)
    (tmp_path / "b.toml").write_text('name = "noop"\nnoop_seconds = 3.0\n')
    (tmp_path / "readme.txt").write_text("no profile")

    profiles = {profile.name: profile for profile in load_profiles([tmp_path])}

    assert set(profiles) == {*BUILT_IN, "small"}
    assert profiles["noop"].noop_seconds == 3.0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = ", "not TOML"),
        ('name = "Bad Name"\n', "name"),
        ("description = 'x'\n", "name"),
        (GOOD + 'x264_params = "stats=/etc/passwd"\n', "x264_params"),
        (GOOD.replace("crf = 30", "crf = 99"), "renditions.0.crf"),
        (GOOD.replace("crf = 30", "crf = nan"), "renditions.0.crf"),
        (GOOD.replace("crf = 30", "crf = 2027-01-15"), "renditions.0.crf"),
        (GOOD.replace("height = 240", 'height = "240"'), "renditions.0.height"),
    ],
)
def test_a_bad_profile_is_told_with_its_file_and_key(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "mine.toml").write_text(text)

    with pytest.raises(BadProfile) as bad:
        load_profiles([tmp_path])

    assert str(bad.value).startswith(f"{tmp_path / 'mine.toml'}: ")
    assert told in str(bad.value)
    assert "\n" not in str(bad.value)


def test_a_file_that_is_no_text_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b'name = "\xff\xfe"')

    with pytest.raises(BadProfile, match=r"mine\.toml"):
        load_profiles([tmp_path])
