"""RTMP as the engine speaks it: the handshake, the key, chunks of any shape, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core import amf
from engine.core.flv import MOST_HELD_BYTES, Stream, Timeline, header, written
from engine.core.rtmp import AUDIO, MOST_COMMANDS, MOST_PARTS, VIDEO, Heard, Publisher, Tag
from engine.core.rtmp_chunks import MOST_STRANGER_BYTES, Message, Reader, Refused
from engine.core.rtmp_chunks import written as chunked

KEY = "0123456789abcdef"
HELLO = b"\x03" + bytes(1536)
KEYFRAME, INTER, SETUP = b"\x17\x01\x00\x00\x00picture", b"\x27\x01\x00\x00\x00more", b"\x17\x00\x00\x00\x00avcC"
SOUND, SOUND_SETUP = b"\xaf\x01sound", b"\xaf\x00\x11\x90"


def command(name: str, *values: amf.Value) -> bytes:
    return chunked(20, amf.encode(name, 1.0, *values))


def publish(key: str) -> bytes:
    return command("connect", {"app": "live"}) + command("createStream", None) + command("publish", None, key, "live")


def media(kind: int, content: bytes, moment: int) -> bytes:
    """A message as publishers send it: its moment in the header, cut into chunks of 128 bytes."""
    whole = chunked(kind, content, stream=1, chunks=6)
    return whole[:1] + moment.to_bytes(3, "big") + whole[4:]


def heard(data: bytes, step: int) -> tuple[Publisher, list[Heard]]:
    publisher = Publisher(lambda key: key == KEY)
    return publisher, [publisher.read(data[at : at + step]) for at in range(0, len(data), step)]


@given(step=st.integers(1, 4000))
def test_what_is_published_comes_out_the_same_however_the_bytes_arrive(step: int) -> None:
    content = bytes(range(256)) * 3
    sent = media(VIDEO, KEYFRAME + content, 40) + media(AUDIO, SOUND, 41) + command("deleteStream", None, 1.0)

    publisher, parts = heard(HELLO + bytes(1536) + publish(KEY) + sent, step)

    assert publisher.is_publishing
    assert [tag for part in parts for tag in part.tags] == [Tag(VIDEO, 40, KEYFRAME + content), Tag(AUDIO, 41, SOUND)]
    assert parts[-1].is_over
    answers = b"".join(part.answers for part in parts)
    assert answers[:1] + answers[1537 : 2 * 1536 + 1] == HELLO
    assert b"NetStream.Publish.Start" in answers


@pytest.mark.parametrize(
    "sent",
    [
        publish("another key"),
        publish(""),
        media(VIDEO, KEYFRAME, 0),
        command("connect", {"app": "live"})[:-4] + b"\x7f\x7f\x7f\x7f",
        chunked(20, b"\x0c\xff\xff\xff\xff"),
        b"\x03" + bytes(3) + (MOST_STRANGER_BYTES + 1).to_bytes(3, "big") + b"\x14" + bytes(4),
        b"\xc3" + bytes(200),
        chunked(1, (0).to_bytes(4, "big"), chunks=2),
        b"".join(bytes((4 + n,)) + bytes(3) + (9).to_bytes(3, "big") + b"\x14" + bytes(4) + bytes(8) for n in range(70)),
    ],
)
def test_whoever_has_no_key_or_breaks_the_protocol_is_refused(sent: bytes) -> None:
    with pytest.raises(Refused):
        heard(HELLO + bytes(1536) + sent, 4096)


def test_another_protocol_is_refused() -> None:
    with pytest.raises(Refused):
        heard(b"GET / HTTP/1.1\r\n" + bytes(2000), 4096)


def test_whoever_says_much_and_shows_no_key_is_refused() -> None:
    asked = amf.encode("connect", 1.0)
    many = chunked(20, asked) + (b"\xc3" + asked) * MOST_COMMANDS
    idle = chunked(3, bytes(100)) * ((MOST_STRANGER_BYTES >> 6) + 100)

    for sent in (many, idle):
        with pytest.raises(Refused):
            heard(HELLO + bytes(1536) + sent, 4096)


def test_an_aggregate_holds_so_many_tags_and_no_empty_ones() -> None:
    def aggregate(body: bytes, count: int) -> bytes:
        return (bytes((VIDEO,)) + len(body).to_bytes(3, "big") + bytes(7) + body + bytes(4)) * count

    publisher, _ = heard(HELLO + bytes(1536) + publish(KEY), 4096)

    assert publisher.read(chunked(22, aggregate(b"", 9000), stream=1)).tags == []
    assert len(publisher.read(chunked(22, aggregate(b"x", MOST_PARTS), stream=1)).tags) == MOST_PARTS
    with pytest.raises(Refused):
        publisher.read(chunked(22, aggregate(b"x", MOST_PARTS + 1), stream=1))


@given(data=st.binary(max_size=600))
def test_a_strangers_bytes_end_in_a_refusal_or_in_nothing(data: bytes) -> None:
    publisher = Publisher(lambda _: False)
    publisher.read(HELLO + bytes(1536))
    try:
        found = publisher.read(data)
    except Refused:
        return
    assert (found.tags, publisher.is_publishing) == ([], False)


def test_a_chunk_size_and_headers_that_say_less_are_understood() -> None:
    reader = Reader()
    first = b"\x06" + (1000).to_bytes(3, "big") + (4).to_bytes(3, "big") + b"\x09" + (1).to_bytes(4, "little") + b"aaaa"
    shorter = b"\x46" + (40).to_bytes(3, "big") + (6).to_bytes(3, "big") + b"\x09" + b"bb" + b"\xc6" + b"cc" + b"\xc6" + b"dd"
    delta_alone = b"\x86" + (33).to_bytes(3, "big") + b"ee\xc6ff\xc6gg"
    far = b"\x06\xff\xff\xff" + (1).to_bytes(3, "big") + b"\x08" + (1).to_bytes(4, "little") + (1 << 25).to_bytes(4, "big") + b"h"

    found = list(reader.read(first + chunked(1, (2).to_bytes(4, "big"), chunks=2) + shorter + delta_alone + far))

    assert found == [
        Message(9, 1, 1000, b"aaaa"),
        Message(9, 1, 1040, b"bbccdd"),
        Message(9, 1, 1073, b"eeffgg"),
        Message(8, 1, 1 << 25, b"h"),
    ]


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
        lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=5), v, max_size=3),
        max_leaves=8,
    )
)
def test_values_are_read_as_they_were_written(value: amf.Value) -> None:
    assert amf.decode(amf.encode(value)) == [value]


def test_a_stream_begins_with_its_setups_and_a_keyframe() -> None:
    stream, opened = Stream(), b""
    tags = [Tag(VIDEO, 5000, SETUP), Tag(AUDIO, 5000, SOUND_SETUP), Tag(VIDEO, 5000, INTER), Tag(VIDEO, 5040, KEYFRAME)]
    for tag in [*tags, Tag(AUDIO, 5041, SOUND), *(Tag(VIDEO, 5040 + 40 * n, INTER) for n in range(1, 20))]:
        opened += stream.take(tag)

    begins = [written(VIDEO, 0, SETUP), written(AUDIO, 0, SOUND_SETUP), written(VIDEO, 0, KEYFRAME), written(AUDIO, 1, SOUND)]
    assert opened.startswith(header(has_sound=True) + b"".join(begins))
    assert stream.seconds == pytest.approx(0.76)


def test_a_stream_without_sound_waits_for_it_a_while_and_says_then_that_it_has_none() -> None:
    stream = Stream()
    opened = [stream.take(Tag(VIDEO, 40 * n, KEYFRAME)) for n in range(60)]

    first = next(piece for piece in opened if piece)
    assert first.startswith(header(has_sound=False))
    assert stream.take(Tag(AUDIO, 2400, SOUND)) == b""


def test_a_stream_whose_clock_stands_still_begins_before_it_fills_the_memory() -> None:
    stream = Stream()
    stream.take(Tag(VIDEO, 0, KEYFRAME))
    large = Tag(VIDEO, 0, INTER + bytes(1 << 20))

    opened = [len(stream.take(large)) for _ in range(40)]

    first = next(n for n, size in enumerate(opened) if size)
    assert (first < 33, opened[first] < MOST_HELD_BYTES + (2 << 20), opened[-1] < 2 << 20) == (True, True, True)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50), st.sets(st.integers(0, 49)))
def test_the_clock_of_a_stream_never_jumps_far(moments: list[int], cuts: set[int]) -> None:
    timeline, last = Timeline(), 0
    for n, moment in enumerate(moments):
        if n in cuts:
            timeline.cut()
        placed = timeline.place(moment)
        assert 0 <= placed <= max(last, timeline.furthest)
        assert abs(placed - last) <= 10_000
        last = placed


def test_a_picture_of_another_size_is_another_stream_and_the_same_setup_again_is_none() -> None:
    stream = Stream()
    for n, content in enumerate([SETUP, KEYFRAME, *[INTER] * 40]):
        stream.take(Tag(VIDEO, 40 * n, content))

    again = stream.take(Tag(VIDEO, 2000, SETUP))
    assert (again[11 : 11 + len(SETUP)], stream.is_other) == (SETUP, False)
    assert (stream.take(Tag(VIDEO, 2040, SETUP + b"other")), stream.is_other) == (b"", True)
    assert stream.take(Tag(VIDEO, 2080, KEYFRAME)) == b""
