"""ffprobe's JSON as MediaFacts. What a file says of itself is not trusted to be there, or to make sense."""

from __future__ import annotations

import json
import re
from fractions import Fraction

from plugins.media import colours, texts
from plugins.media.entries import Entry, fraction, integer
from plugins.media.sizes import shown_size
from protocol.media import AudioStream, MediaFacts, VideoStream

STANDARD_RATES = (
    *(Fraction(10), Fraction(12), Fraction(15), Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001)),
    *(Fraction(30), Fraction(48), Fraction(50), Fraction(60000, 1001), Fraction(60), Fraction(100), Fraction(120)),
)
RATE_SLACK = Fraction(1, 100)
MOST_TICKS = 10**18
"""What a media time may have as its numerator."""

INTERLACED_ORDERS = frozenset({"tt", "bb", "tb", "bt"})
HDR_TRANSFERS = frozenset({"smpte2084", "arib-std-b67"})
WEB_CODECS = frozenset({"vp8", "vp9", "av1", "opus", "vorbis"})
_DEPTH = re.compile(r"p(?:0)?(9|10|12|14|16)(?:le|be)?$")


class Unreadable(ValueError):
    """ffprobe's answer lacks what every media file has; the text says what, for a client."""


class Unmeasured(Unreadable):
    """The file does not tell how long it is, as recordings of browsers do; reading it through does."""


def facts_of(stdout: bytes, size_bytes: int, measured: Fraction | None = None) -> MediaFacts:
    """The facts in ffprobe's JSON; `measured` is the duration in seconds of a file that tells none. Raises Unreadable."""
    try:
        document = json.loads(stdout)
    except ValueError as error:
        raise Unreadable("The file cannot be read as media.") from error
    streams, container = document.get("streams") or [], document.get("format") or {}
    start = fraction(container.get("start_time")) or Fraction(0)
    video = next((s for s in streams if s.get("codec_type") == "video" and not _is_still(s)), None)
    audio = [s for s in streams if s.get("codec_type") == "audio" and s.get("codec_name") not in (None, "unknown")]
    if video is None and not audio:
        raise Unreadable("The file holds neither a picture nor a sound that can be read.")
    duration = fraction(container.get("duration")) or max((_span(s) or Fraction(0) for s in streams), default=Fraction(0))
    duration = duration if duration > 0 else measured or Fraction(0)
    if duration <= 0:
        raise Unmeasured("The file does not tell how long it is, and reading it through did not either.")
    return MediaFacts(
        container=_container(container, streams),
        duration=_text(duration),
        size_bytes=size_bytes,
        bitrate=integer(container.get("bit_rate")),
        video=None if video is None else _video(video, start),
        audio=tuple(_audio(stream, start) for stream in audio),
        streams=len(streams),
        subtitles=texts.subtitles(streams),
        chapters=texts.chapters(document.get("chapters") or [], start, duration),
    )


def told_size(stdout: bytes) -> int:
    """The bytes of the file, as ffprobe counts them; 0 where it does not."""
    try:
        document = json.loads(stdout)
    except ValueError:
        return 0
    return max(0, integer((document.get("format") or {}).get("size")) or 0)


def _is_still(stream: Entry) -> bool:
    """Cover art and thumbnails stand in the file as video streams, and are not what it shows."""
    disposition = stream.get("disposition") or {}
    return bool(disposition.get("attached_pic") or disposition.get("timed_thumbnails"))


def _video(stream: Entry, start: Fraction) -> VideoStream:
    coded_width, coded_height = int(stream.get("width") or 0), int(stream.get("height") or 0)
    if not stream.get("codec_name") or coded_width <= 0 or coded_height <= 0:
        raise Unreadable("The picture's codec is not known.")
    aspect = fraction(stream.get("sample_aspect_ratio"))
    aspect = aspect if aspect and Fraction(1, 16) <= aspect <= 16 else Fraction(1)
    rotation = _rotation(stream)
    width, height = shown_size((coded_width, coded_height), aspect, rotation)
    return VideoStream(
        index=int(stream["index"]),
        codec=str(stream["codec_name"]),
        width=width,
        height=height,
        coded_width=coded_width,
        coded_height=coded_height,
        sample_aspect_ratio=_text(aspect),
        rotation=rotation,
        frame_rate=_text(_rate(stream)),
        pixel_format=str(stream.get("pix_fmt") or ""),
        bit_depth=_bit_depth(stream),
        is_interlaced=stream.get("field_order") in INTERLACED_ORDERS,
        is_hdr=stream.get("color_transfer") in HDR_TRANSFERS,
        duration=_optional_text(_span(stream)),
        frames=integer(stream.get("nb_frames")),
        bitrate=integer(stream.get("bit_rate")),
        start=_start(stream, start),
        colour=colours.colour(stream),
        mastering=colours.mastering(stream.get("side_data_list") or []),
        dolby_vision=colours.dolby_vision(stream),
    )


def _audio(stream: Entry, start: Fraction) -> AudioStream:
    return AudioStream(
        index=int(stream["index"]),
        codec=str(stream["codec_name"]),
        channels=max(1, integer(stream.get("channels")) or 1),
        sample_rate=integer(stream.get("sample_rate")) or 0,
        bitrate=integer(stream.get("bit_rate")),
        language=texts.language(stream),
        duration=_optional_text(_span(stream)),
        start=_start(stream, start),
        title=texts.title(stream),
        is_default=texts.is_set(stream, "default"),
        layout=texts.clean(stream.get("channel_layout")),
    )


def _rate(stream: Entry) -> Fraction:
    """The base rate, to which all frames keep, unless it is more than twice the average; else a standard rate.

    The base rate of an interlaced stream counts fields, and that of a variable one may be the time base itself.
    """
    average, base = fraction(stream.get("avg_frame_rate")), fraction(stream.get("r_frame_rate"))
    if not average:
        average = base or Fraction(25)
    most = average if stream.get("field_order") in INTERLACED_ORDERS else 2 * average
    if base and average * (1 - RATE_SLACK) <= base <= most * (1 + RATE_SLACK):
        return base
    fit = [rate for rate in STANDARD_RATES if rate >= average * (1 - RATE_SLACK)]
    return fit[0] if fit else average.limit_denominator(1001)


def _rotation(stream: Entry) -> int:
    """Degrees clockwise that turn the coded picture upright; ffprobe counts the other way round."""
    for side_data in stream.get("side_data_list") or []:
        if (angle := fraction(side_data.get("rotation"))) is not None:
            return -round(angle) % 360
    return 0


def _bit_depth(stream: Entry) -> int:
    found = _DEPTH.search(str(stream.get("pix_fmt") or ""))
    return int(found[1]) if found else integer(stream.get("bits_per_raw_sample")) or 8


def _span(stream: Entry) -> Fraction | None:
    """The stream's own duration; Matroska keeps it in a tag, as `00:00:20.040000000`."""
    ticks, base = integer(stream.get("duration_ts")), fraction(stream.get("time_base"))
    if ticks and base:
        return ticks * base
    for name, value in (stream.get("tags") or {}).items():
        found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", str(value)) if name.upper().startswith("DURATION") else None
        if found:
            return int(found[1]) * 3600 + int(found[2]) * 60 + Fraction(found[3])
    return None


def _start(stream: Entry, origin: Fraction) -> str:
    start = fraction(stream.get("start_time"))
    return "0" if start is None else _text(max(Fraction(0), start - origin))


def _container(container: Entry, streams: list[Entry]) -> str:
    """One word for the format: ffprobe names families ("mov,mp4,m4a,3gp,3g2,mj2")."""
    name = str(container.get("format_name") or "unknown")
    if name.startswith("mov,"):
        return "mov" if str((container.get("tags") or {}).get("major_brand", "")).strip() == "qt" else "mp4"
    if name.startswith("matroska,"):
        codecs = {s.get("codec_name") for s in streams if s.get("codec_type") in ("video", "audio")}
        return "webm" if codecs <= WEB_CODECS else "mkv"
    return "wmv" if name == "asf" else name.partition(",")[0]


def _text(value: Fraction) -> str:
    limited = value.limit_denominator(10**9)
    if abs(limited.numerator) >= MOST_TICKS:
        raise Unreadable("The file tells a time that cannot be.")
    return str(limited)


def _optional_text(value: Fraction | None) -> str | None:
    return None if value is None else _text(value)
