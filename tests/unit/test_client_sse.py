"""The parser of event streams gives the same messages however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from client.sse import SseMessage, SseParser

STREAM = (
    "\ufeff: welcome\r\n\r\n"
    "retry: 250\n"
    'id: 7\nevent: JobCreated\ndata: {"title":\ndata: "Ä🎬"}\n\n'
    "event: nothing\n\n"
    "data:bare\rid: 8\r\r"
    "event: ProgressUpdated\r\ndata: 1\r\n\r\n"
    "id: bad\0id\ndata\n\n"
    "data: never finished\n"
).encode()
MESSAGES = [
    SseMessage("JobCreated", '{"title":\n"Ä🎬"}', "7"),
    SseMessage("message", "bare", "8"),
    SseMessage("ProgressUpdated", "1", "8"),
    SseMessage("message", "", "8"),
]


def test_a_whole_stream_gives_its_messages() -> None:
    parser = SseParser()

    assert parser.feed(STREAM) == MESSAGES
    assert parser.retry_s == 0.25


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=40))
def test_where_the_chunks_are_cut_makes_no_difference(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    parser = SseParser()

    messages = [m for start, end in pairwise(edges) for m in parser.feed(STREAM[start:end])]

    assert messages == MESSAGES


def test_byte_by_byte_is_no_different() -> None:
    parser = SseParser()

    assert [m for n in range(len(STREAM)) for m in parser.feed(STREAM[n : n + 1])] == MESSAGES


def test_bytes_that_are_no_text_do_not_stop_the_stream() -> None:
    assert SseParser().feed(b"data: \xff\n\ndata: next\n\n") == [
        SseMessage("message", "\ufffd", ""),
        SseMessage("message", "next", ""),
    ]


def test_an_id_stands_until_the_next_one_even_over_messages_without() -> None:
    parser = SseParser(last_id="3")

    assert parser.feed(b"data: a\n\nid: 4\ndata: b\n\ndata: c\n\n") == [
        SseMessage("message", "a", "3"),
        SseMessage("message", "b", "4"),
        SseMessage("message", "c", "4"),
    ]
