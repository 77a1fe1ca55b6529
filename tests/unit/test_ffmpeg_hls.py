"""Playlists as text."""

from __future__ import annotations

from fractions import Fraction

import pytest

from plugins.media import hls

TEXT = """#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:2
#EXT-X-MAP:URI="init.mp4"
#EXTINF:2.000000,
segment_000.m4s
#EXTINF:1.001000,
segment_001.m4s
#EXT-X-ENDLIST
"""
PLAYLIST = hls.Playlist((("segment_000.m4s", Fraction(2)), ("segment_001.m4s", Fraction(1001, 1000))), "init.mp4")


def test_a_finished_playlist_is_read() -> None:
    assert hls.parse(TEXT) == PLAYLIST
    assert (PLAYLIST.duration, PLAYLIST.starts) == (Fraction(3001, 1000), (Fraction(0), Fraction(2)))


@pytest.mark.parametrize("text", ["", "<html>", TEXT.replace("#EXT-X-ENDLIST\n", ""), "#EXTM3U\n#EXT-X-ENDLIST\n"])
def test_anything_else_is_no_playlist(text: str) -> None:
    assert hls.parse(text) is None


def test_bandwidths_are_measured_the_peak_rounded_up() -> None:
    assert hls.bandwidths(PLAYLIST, (1000, 1001)) == (8000, 5335)


def test_the_master_playlist_names_the_smallest_first() -> None:
    large = hls.Variant("../720p/p.m3u8", 1280, 720, Fraction(25), "avc1.640028,mp4a.40.2", 9000, 8000)
    small = hls.Variant("../360p/p.m3u8", 640, 360, Fraction(25), "avc1.4D401F", 900, 800)

    assert hls.master([large, small]).decode() == (
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-STREAM-INF:BANDWIDTH=900,AVERAGE-BANDWIDTH=800,RESOLUTION=640x360,FRAME-RATE=25.000,CODECS="avc1.4D401F"\n'
        "../360p/p.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=9000,AVERAGE-BANDWIDTH=8000,RESOLUTION=1280x720,FRAME-RATE=25.000,"
        'CODECS="avc1.640028,mp4a.40.2"\n'
        "../720p/p.m3u8\n"
    )


@pytest.mark.parametrize(
    ("target", "start", "found"),
    [("360p/s/p.m3u8", "hls/master.m3u8", "../360p/s/p.m3u8"), ("a/b.m3u8", "a/m.m3u8", "b.m3u8"), ("b", "m", "b")],
)
def test_paths_are_relative_to_the_playlist_that_names_them(target: str, start: str, found: str) -> None:
    assert hls.relative(target, start) == found
