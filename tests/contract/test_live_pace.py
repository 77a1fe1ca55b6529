"""The rate of a live stream, told by its first half second."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from engine.core.flv import Stream
from engine.core.rtmp import Tag
from plugins.live import command
from plugins.live.pace import paced
from plugins.media.probe import facts_of
from tests.media import ffprobe_path, make_clip


def head_of(film: Path) -> bytes:
    """What the engine keeps of a publisher's first tags, its metadata left out."""
    data, at, stream = film.read_bytes(), 13, Stream()
    while stream.head is None and at < len(data):
        size, moment = int.from_bytes(data[at + 1 : at + 4], "big"), int.from_bytes(data[at + 4 : at + 7], "big")
        if data[at] in (8, 9):
            stream.take(Tag(data[at], moment, data[at + 11 : at + 11 + size]))
        at += 15 + size
    assert stream.head is not None
    return stream.head


@pytest.mark.parametrize("rate", ["24", "25", "30000/1001", "30", "50", "60"])
def test_a_stream_keeps_the_rate_that_it_is_sent_at(tmp_path: Path, rate: str) -> None:
    film = make_clip(
        tmp_path / "film.flv", seconds=1, size=(320, 180), fps=rate, options=("-bf", "2", "-bsf:v", "h264_metadata=tick_rate=0")
    )
    head = tmp_path / "head.flv"
    head.write_bytes(head_of(film))
    with head.open("rb") as opened:
        argv = [word.format(fd0=opened.fileno()) if word == "{fd0}" else word for word in command.probe(ffprobe_path())]
        probed = subprocess.run(argv, capture_output=True, check=True, pass_fds=(opened.fileno(),), timeout=60).stdout

    video = paced(facts_of(probed, 0, Fraction(1)), probed).video

    assert video is not None
    assert video.frame_rate == rate
