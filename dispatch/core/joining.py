"""What is known of a film that several inputs make, one behind the other."""

from __future__ import annotations

from fractions import Fraction

from protocol.media import AudioStream, Chapter, Colour, MediaFacts, VideoStream
from protocol.recipes import SourcePart
from protocol.shapes import even

SAMPLES = Fraction(1, 1000)
"""Seconds below which a part is nothing."""

JOINED_RATE = 48_000
"""Samples a second of joined sound."""

JOINED_COLOUR = Colour(primaries="bt709", transfer="bt709", matrix="bt709", range="tv")


def main_part(parts: tuple[SourcePart, ...]) -> SourcePart:
    """The part whose size, rate and tracks the whole takes: the job's own input, else the first."""
    return next((part for part in parts if part.attachment is None), parts[0])


def lasting(facts: MediaFacts) -> Fraction:
    """When the last of picture and sound ends; subtitles may make a file longer than that."""
    streams: tuple[VideoStream | AudioStream, ...] = (*([facts.video] if facts.video else []), *facts.audio)
    if any(stream.duration is None for stream in streams):
        return Fraction(facts.duration)
    ends = (Fraction(stream.start) + Fraction(stream.duration or 0) for stream in streams)
    return min(Fraction(facts.duration), max(ends, default=Fraction(0))) or Fraction(facts.duration)


def length_of(part: SourcePart) -> Fraction:
    return lasting(part.facts) if part.length is None else Fraction(part.length)


def joined(parts: tuple[SourcePart, ...], own: MediaFacts) -> MediaFacts:
    """The facts of all of them together; `own` are those of the job's input, which need not be among them."""
    main = main_part(parts).facts
    lasts = sum((length_of(part) for part in parts), start=Fraction(0))
    video = None if main.video is None else _picture(main.video, lasts)
    tracks = main.audio or next((part.facts.audio[:1] for part in parts if part.facts.audio), ())
    return MediaFacts(
        container=main.container,
        duration=str(lasts),
        size_bytes=sum(part.facts.size_bytes for part in parts),
        bitrate=own.bitrate,
        video=video,
        audio=tuple(_sound(track, lasts) for track in tracks),
        streams=(video is not None) + len(tracks),
        chapters=_chapters(parts),
    )


def _picture(video: VideoStream, lasts: Fraction) -> VideoStream:
    """As the joined frames are: upright, square pixels, 8 bits, BT.709."""
    width, height = max(2, even(video.width)), max(2, even(video.height))
    return VideoStream(
        index=video.index,
        codec=video.codec,
        width=width,
        height=height,
        coded_width=width,
        coded_height=height,
        frame_rate=video.frame_rate,
        pixel_format="yuv420p",
        duration=str(lasts),
        colour=JOINED_COLOUR,
    )


def _sound(track: AudioStream, lasts: Fraction) -> AudioStream:
    channels = 6 if track.channels > 2 else track.channels
    changed = {"channels": channels, "sample_rate": JOINED_RATE, "duration": str(lasts), "start": "0", "bitrate": None}
    return track.model_copy(update={**changed, "layout": {1: "mono", 2: "stereo", 6: "5.1"}[channels]})


def _chapters(parts: tuple[SourcePart, ...]) -> tuple[Chapter, ...]:
    """Each part's, moved to where it is shown."""
    found: list[Chapter] = []
    begins = Fraction(0)
    for part in parts:
        for chapter in part.facts.chapters:
            start, end = (begins + min(Fraction(moment), length_of(part)) for moment in (chapter.start, chapter.end))
            if start < end:
                found.append(chapter.model_copy(update={"start": str(start), "end": str(end)}))
        begins += length_of(part)
    return tuple(found)
