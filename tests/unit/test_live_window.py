"""What players see of a stream, whatever order the tool and the network do things in."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.avc import Picture, picture_of
from engine.core.live import Due, Segment, Shown, Window, length_of, listed, master, most_bitrate, shortfall
from protocol.profiles import Rendition

NAMES = ("90p", "180p")


def segments(count: int) -> tuple[Segment, ...]:
    return tuple(Segment(f"segment_{n:03d}.ts", "2.000000") for n in range(count))


def named(playlist: bytes) -> list[int]:
    return [int(line[8:-3]) for line in playlist.decode().splitlines() if line.startswith("segment_")]


def sequence(playlist: bytes) -> int:
    return next(int(line.partition(":")[2]) for line in playlist.decode().splitlines() if "MEDIA-SEQUENCE" in line)


STEPS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 5)), max_size=30)


@given(size=st.integers(3, 6), steps=STEPS)
def test_a_playlist_names_what_is_uploaded_alone_in_one_row_and_never_goes_back(
    size: int, steps: list[tuple[int, int, int]]
) -> None:
    """Each step the tool finishes some segments of either rendition, and only some of what is due goes up."""
    window, made, up = Window(NAMES, size, 2), [0, 0], set[tuple[str, int]]()
    last = dict.fromkeys(NAMES, -1)
    for first, second, uploads in steps:
        made = [made[0] + first, made[1] + second]
        due = window.seen({name: segments(count) for name, count in zip(NAMES, made, strict=True)})
        assert len(set(due)) == len(due)
        assert not {(one.rendition, one.number) for one in due} & up
        for one in due[:uploads]:
            window.uploaded(one)
            up.add((one.rendition, one.number))
        if not window.is_shown:
            continue
        lists = {name: window.playlist(name) for name in NAMES}
        ends = {named(playlist)[-1] for playlist in lists.values()}
        assert len(ends) == 1
        for name, playlist in lists.items():
            numbers = named(playlist)
            assert numbers == list(range(sequence(playlist), numbers[-1] + 1))
            assert 1 <= len(numbers) <= size
            assert {(name, number) for number in numbers} <= up
            assert sequence(playlist) >= last[name]
            last[name] = sequence(playlist)


def test_the_end_is_said_behind_the_last_segment() -> None:
    window = Window(("90p",), 3, 2)
    for due in window.seen({"90p": segments(2)}):
        window.uploaded(due)

    assert window.playlist("90p", is_over=True) == (
        b"#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        b"#EXTINF:2.000000,\nsegment_000.ts\n#EXTINF:2.000000,\nsegment_001.ts\n#EXT-X-ENDLIST\n"
    )


def test_what_has_left_the_window_unseen_is_not_uploaded() -> None:
    assert Window(("90p",), 3, 2).seen({"90p": segments(9)}) == tuple(Due("90p", n, f"segment_{n:03d}.ts") for n in (6, 7, 8))


def test_a_line_that_is_being_written_is_no_segment_yet() -> None:
    text = "#EXTM3U\n#EXTINF:2.000000,\nsegment_000.ts\n#EXTINF:1.960000,\nsegment_0"

    assert listed(text) == (Segment("segment_000.ts", "2.000000"),)
    assert length_of(listed(text + "01.ts\n")) == Fraction("3.96")


SMALL = bytes.fromhex("0000000000016742c00bd9028df93011000003000100000300320f142a48000001")
FILM = bytes.fromhex("000001674d401eeca06c1ef37808800000030080000019078b16cb000001")
SCALED = bytes.fromhex("0000016764001facd9405005bb011000000300100000030320f1831960000001")
FIELDS = bytes.fromhex("0000016764001eacd940a063f3e022000003000200000300643e28532c000001")
"""What x264 wrote of pictures of these sizes: cropped, with lists of its own, in fields."""


@pytest.mark.parametrize(
    ("stream", "told"),
    [
        (SMALL, Picture("avc1.42C00B", 160, 90)),
        (FILM, Picture("avc1.4D401E", 854, 480)),
        (SCALED, Picture("avc1.64001F", 1280, 720)),
        (FIELDS, Picture("avc1.64001E", 640, 360)),
        (FILM[:9], None),
        (b"no parameters here", None),
    ],
)
def test_a_picture_is_told_by_its_own_parameters(stream: bytes, told: Picture | None) -> None:
    assert picture_of(stream) == told


@given(st.binary(max_size=40))
def test_parameters_of_any_kind_are_read_or_are_none(payload: bytes) -> None:
    found = picture_of(b"\x00\x00\x01\x67" + payload)

    assert found is None or found.codec == f"avc1.{payload[:3].hex().upper()}"


def test_the_master_playlist_tells_what_the_segments_are_and_begins_with_the_smallest() -> None:
    sounding = b"\x1b\xe1\x00\xf0\x00\x0f\xe1\x01\xf0\x00"
    large = Shown("480p", 3_000_000, sounding + FILM, "2.0")
    small = Shown("90p", None, b"\x1b\xe1\x00\xf0\x00" + SMALL + bytes(995 - len(SMALL)), "2.0")

    assert master([large, small]) == (
        b"#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        b'#EXT-X-STREAM-INF:BANDWIDTH=8000,RESOLUTION=160x90,CODECS="avc1.42C00B"\n90p/playlist.m3u8\n'
        b'#EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=854x480,CODECS="avc1.4D401E,mp4a.40.2"\n480p/playlist.m3u8\n'
    )


def test_a_capped_rendition_may_spend_its_buffer_at_once() -> None:
    rendition = Rendition(name="720p", height=720, crf=23, max_bitrate=1_000_000, buffer_seconds=1.0)

    assert most_bitrate(rendition, 2) == 1_790_800  # (1.5 + 0.128) Mbit/s and what carries them
    assert most_bitrate(rendition.model_copy(update={"max_bitrate": None}), 2) is None


@pytest.mark.parametrize(
    ("received", "recorded", "told"),
    [
        (10.0, "9.2", None),
        (600.0, "595", None),
        (10.0, "10.4", None),
        (10.0, "4", "10.0 s came in, and 4.0 s of it could be recorded."),
        (600.0, "590", "600.0 s came in, and 590.0 s of it could be recorded."),
    ],
)
def test_a_recording_that_lacks_much_of_what_came_in_says_so(received: float, recorded: str, told: str | None) -> None:
    assert shortfall(received, Fraction(recorded)) == told
