"""Subtitles that are drawn: a script of our own, of which nothing but times and words is the client's."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.ffmpeg import burning
from plugins.ffmpeg.burning import Event, TooMuch, Unburnable, events, script


def srt(*texts: str, seconds: int = 1) -> str:
    """One event a second, each as long as `seconds`."""
    blocks = []
    for n, text in enumerate(texts):
        minutes, second = divmod(n, 60)
        last = n + seconds
        times = f"00:{minutes:02d}:{second:02d},000 --> 00:{last // 60:02d}:{last % 60:02d},000"
        blocks.append(f"{n + 1}\n{times}\n{text}\n")
    return "\n".join(blocks)


def dialogues(text: str) -> list[str]:
    lines = script(text.encode(), (640, 360)).decode().splitlines()
    return [line for line in lines if line.startswith("Dialogue:")]


def test_times_and_lines_are_kept_and_numbers_of_events_are_not() -> None:
    assert events(srt("Hello\nworld", "1984", "7\n8")) == (
        Event(0, 1000, ("Hello", "world")),
        Event(1000, 2000, ("1984",)),
        Event(2000, 3000, ("7", "8")),
    )


def test_a_script_says_when_and_what() -> None:
    assert dialogues("1\n01:02:03,456 --> 01:02:04,000\nOne\nTwo\n") == [
        "Dialogue: 0,1:02:03.45,1:02:04.00,D,One\\NTwo",
    ]


@pytest.mark.parametrize(
    "hostile",
    [
        "{\\fs9999}big",
        "{\\fn/etc/passwd}x",
        "a\\Nb\\h",
        '<font face="x" size="99999">y</font>',
        "{\\p1}m 0 0 l 9 9",
        "a,b\x00c\x1b",
    ],
)
def test_nothing_in_a_line_is_an_order(hostile: str) -> None:
    (line,) = dialogues(srt(hostile))
    text = line.split(",", 4)[4]

    assert not re.search(r"(?<!\\)\{|\\[a-zA-Z]|<|\x00|\x1b", text)


@given(st.text())
def test_no_text_gets_out_of_its_field(text: str) -> None:
    try:
        lines = dialogues(srt(text.replace("-->", "")))
    except Unburnable:
        return
    for line in lines:
        assert line.count("\n") == 0
        assert not re.search(r"(?<!\\)[{}]", line.split(",", 4)[4])


def test_a_large_script_grows_with_its_text_alone() -> None:
    assert len(script(srt(*["word"] * 3000).encode(), (1920, 1080))) < 60 * 3000 + 2000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (srt(*["x"] * 10).replace("x", "y" * 501, 1), "characters"),
        (srt("\n".join("abcdefghijklmn")), "lines"),
        (srt(*["x" * 400] * 4, seconds=9), "1500 characters, are shown at once"),
        ("".join(f"{n}\n00:00:01,000 --> 00:00:02,000\nx{n}\n\n" for n in range(25)), "at once"),
        ("0:00:01,000 --> 0:00:02,000\nx\n" * (burning.MOST_EVENTS + 1), "events"),
        ("x" * (burning.MOST_BYTES + 1), "MB of text"),
    ],
)
def test_more_than_a_film_needs_is_refused(text: str, told: str) -> None:
    with pytest.raises(TooMuch, match=told):
        script(text.encode(), (640, 360))


def test_the_same_line_twice_is_drawn_once() -> None:
    assert len(dialogues("".join(f"{n}\n00:00:01,000 --> 00:00:02,000\nx\n\n" for n in range(100)))) == 1


@pytest.mark.parametrize("text", ["", "hello", "1\n00:00:02,000 --> 00:00:01,000\nbackwards\n", srt("<i></i>")])
def test_nothing_to_draw_is_told(text: str) -> None:
    with pytest.raises(Unburnable, match="no text that can be drawn"):
        script(text.encode(), (640, 360))
