"""Subtitles to be drawn into the picture: a client's text becomes a script of our own, of nothing but times and words.

FFmpeg converts any text track to plain SRT on stdout; what is drawn is written anew from that. Fonts, places, pictures and
animations of the original go no further: libass would follow them, and a small file of them can take gigabytes.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from plugins.media.calling import quiet, untrusted
from protocol.plugins import Limits
from protocol.recipes import PlannedBurnIn
from protocol.shapes import Size

MOST_EVENTS, MOST_CHARACTERS, MOST_LINES = 20_000, 500, 12
"""A long film has 2000 events of two lines of 40 characters."""

MOST_AT_ONCE, MOST_CHARACTERS_AT_ONCE = 24, 1_500
"""What is shown at one moment. libass takes a second of work for each frame of 20 000 letters, hours for as many that no font
has."""

MOST_BYTES = 8 << 20
LIMITS = Limits(wall_s=1800.0, cpu_s=900, memory_bytes=2 << 30, file_bytes=1 << 20)
DEMUXERS, DECODERS = "srt,webvtt,ass", "subrip,srt,webvtt,ass,ssa,text"

LETTER_SHARE, EDGE_SHARE, OUTLINE_SHARE = 0.055, 0.045, 0.004
"""Of the picture's shorter side: the height of a letter, the room below, the dark line around."""

_TIME = r"(\d{1,4}):(\d\d):(\d\d)[,.](\d{3})"
_TIMES = re.compile(rf"{_TIME} --> {_TIME}")
_MARKUP = re.compile(r"<[^<>\n]{0,200}>")
_KEPT_FORMS = frozenset({"\u200c", "\u200d", "\u200e", "\u200f"})
"""Joiners and marks of direction, without which some scripts cannot be read."""


class Unburnable(ValueError):
    """Nothing could be drawn, or too much; the text says what, for a client."""


class TooMuch(Unburnable):
    """More than is taken."""


@dataclass(frozen=True, slots=True)
class Event:
    """Milliseconds of the text's clock, and its lines."""

    start: int
    end: int
    lines: tuple[str, ...]


def convert(ffmpeg: str, burn_in: PlannedBurnIn, letters: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Read a text track as plain SRT: of the input, or of a file by itself, whose letters may be told."""
    head = (ffmpeg, *quiet())
    if burn_in.stream is not None:
        given, chosen = untrusted(), f"0:{burn_in.stream}"
    else:
        given = ("-protocol_whitelist", "fd", "-format_whitelist", DEMUXERS, "-codec_whitelist", DECODERS, *letters)
        chosen = "0:s:0"
    plain = ("-map", chosen, "-c:s", "text", "-map_metadata", "-1", "-fs", str(MOST_BYTES + 1), "-f", "srt", "pipe:1")
    return (*head, *given, "-fd", "{fd0}", "-i", "fd:", *plain)


def script(stdout: bytes, size: Size) -> bytes:
    """The script for a picture of that size. Raises Unburnable."""
    if len(stdout) > MOST_BYTES:
        raise TooMuch(f"The subtitles have more than {MOST_BYTES >> 20} MB of text; give fewer.")
    found = events(stdout.decode("utf-8", "replace"))
    if not found:
        raise Unburnable("The subtitles hold no text that can be drawn; give SRT, WebVTT or ASS.")
    return "\n".join((*_header(size), *map(_dialogue, found), "")).encode()


def events(text: str) -> tuple[Event, ...]:
    """What plain SRT says, in order of time. Raises TooMuch."""
    matches = list(_TIMES.finditer(text))
    if len(matches) > MOST_EVENTS:
        raise TooMuch(f"The subtitles have {len(matches)} events; at most {MOST_EVENTS} are taken.")
    if not matches:
        return ()
    ends = [*(match.start() for match in matches[1:]), len(text)]
    found = [
        _event(match, text[match.end() : end], has_next=match is not matches[-1])
        for match, end in zip(matches, ends, strict=True)
    ]
    kept = sorted({event for event in found if event.lines and event.start < event.end}, key=lambda event: event.start)
    _hold_at_once(kept)
    return tuple(kept)


def _event(match: re.Match[str], body: str, *, has_next: bool) -> Event:
    """The last line before another event is that one's number."""
    numbers = [int(group) for group in match.groups()]
    start, end = (
        ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms for hours, minutes, seconds, ms in (numbers[:4], numbers[4:])
    )
    lines = [line for raw in body.strip("\r\n").splitlines() if (line := _plain(raw))]
    if has_next and lines and lines[-1].isdecimal():
        lines.pop()
    if len(lines) > MOST_LINES or sum(map(len, lines)) > MOST_CHARACTERS:
        raise TooMuch(f"A subtitle has {len(lines)} lines; at most {MOST_LINES} of {MOST_CHARACTERS} characters are taken.")
    return Event(start, end, tuple(lines))


def _plain(line: str) -> str:
    """Letters and signs alone; tags that came through go."""
    shown = (c for c in _MARKUP.sub("", line) if c in _KEPT_FORMS or unicodedata.category(c)[0] != "C")
    return " ".join("".join(shown).split())


def _hold_at_once(kept: list[Event]) -> None:
    """libass lays out all events of a moment against each other, and every frame anew."""
    sizes = [(event.start, event.end, sum(map(len, event.lines))) for event in kept]
    moments = sorted([(start, 1, size) for start, _, size in sizes] + [(end, -1, -size) for _, end, size in sizes])
    shown = characters = 0
    for _, change, size in moments:
        shown, characters = shown + change, characters + size
        if shown > MOST_AT_ONCE or characters > MOST_CHARACTERS_AT_ONCE:
            told = f"More than {MOST_AT_ONCE} subtitles, or {MOST_CHARACTERS_AT_ONCE} characters, are shown at once; give fewer."
            raise TooMuch(told)


def _header(size: Size) -> tuple[str, ...]:
    shorter = min(size)
    letter, edge = max(8, round(shorter * LETTER_SHARE)), round(shorter * EDGE_SHARE)
    outline = max(1.0, shorter * OUTLINE_SHARE)
    style = (
        *("Name", "Fontname", "Fontsize", "PrimaryColour", "OutlineColour", "BackColour", "BorderStyle", "Outline"),
        *("Shadow", "Alignment", "MarginL", "MarginR", "MarginV", "Encoding"),
    )
    values = f"D,sans-serif,{letter},&H00FFFFFF,&H00000000,&H80000000,1,{outline:.1f},0,2,{edge},{edge},{edge},1"
    return (
        "[Script Info]",
        "ScriptType: v4.00+",
        *(f"PlayResX: {size[0]}", f"PlayResY: {size[1]}", "WrapStyle: 0", "ScaledBorderAndShadow: yes", "YCbCr Matrix: None"),
        "[V4+ Styles]",
        f"Format: {', '.join(style)}",
        f"Style: {values}",
        "[Events]",
        "Format: Layer, Start, End, Style, Text",
    )


def _dialogue(event: Event) -> str:
    text = "\\N".join(map(_escaped, event.lines))
    return f"Dialogue: 0,{_clock(event.start)},{_clock(event.end)},D,{text}"


def _escaped(line: str) -> str:
    """No override, no order to break: a word joiner, which nobody sees, takes a backslash its meaning."""
    return line.replace("\\", "\\\u2060").replace("{", "\\{").replace("}", "\\}")


def _clock(milliseconds: int) -> str:
    hundredths = milliseconds // 10
    return f"{hundredths // 360_000}:{hundredths // 6000 % 60:02d}:{hundredths // 100 % 60:02d}.{hundredths % 100:02d}"
