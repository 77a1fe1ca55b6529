"""What players see of a stream, whatever order the tool and the network do things in."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from engine.core.live import Due, Segment, Shown, Window, avc_codec, has_sound, length_of, listed, master

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


def test_the_master_playlist_tells_codecs_of_the_segments_and_begins_with_the_smallest() -> None:
    parameters = b"\x00\x00\x01\x67\x64\x00\x1f"
    sounding = b"\x1b\xe1\x00\xf0\x00\x0f\xe1\x01\xf0\x00"
    large = Shown("720p", 3_000_000, sounding + parameters, "2.0")
    small = Shown("360p", None, b"\x1b\xe1\x00\xf0\x00" + parameters + bytes(1000 - 12), "2.0")

    assert master([large, small]) == (
        b"#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        b'#EXT-X-STREAM-INF:BANDWIDTH=8000,CODECS="avc1.64001F"\n360p/playlist.m3u8\n'
        b'#EXT-X-STREAM-INF:BANDWIDTH=3000000,CODECS="avc1.64001F,mp4a.40.2"\n720p/playlist.m3u8\n'
    )
    assert avc_codec(b"no parameters here") is None
    assert not has_sound(parameters)
