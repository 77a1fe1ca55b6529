"""How a profile's words on sound become an encoder's arguments."""

from __future__ import annotations

from collections.abc import Sequence

from plugins.ffmpeg.loudness import layout
from plugins.media.soundtracks import HeardTrack, SoundFile
from protocol.encoding import AudioCodec
from protocol.languages import long
from protocol.sounds import SOUND_ENCODERS, AudioFile, RenditionAudio

OPUS_MOST, MP3_MOST, AC3_LEAST = 256_000, 320_000, 32_000
"""Bits a second: libopus takes so many for a channel, MP3 has no more at all, and AC-3 needs so many for each channel."""

FILE_MUXERS = {
    AudioCodec.AAC: ("-movflags", "+faststart", "-f", "ipod"),
    AudioCodec.OPUS: ("-f", "opus"),
    AudioCodec.MP3: ("-f", "mp3"),
    AudioCodec.AC3: ("-f", "ac3"),
}

TAGGED = frozenset({AudioCodec.AAC, AudioCodec.OPUS})
"""Files that tell the language and the title of their stream."""


def beside_picture(audio: RenditionAudio, tracks: Sequence[HeardTrack], labels: Sequence[str]) -> tuple[str, ...]:
    """The tracks of one rendition, each from its label of the graph, with what a player shows of them."""
    maps = tuple(word for label in labels for word in ("-map", f"[{label}]"))
    told = tuple(word for track in tracks for word in _tags(track, track.place))
    return (*maps, *_encode(audio, tracks), "-flags:a", "+global_header", *told) if labels else ()


def sound_file(file: SoundFile, label: str) -> tuple[str, ...]:
    audio, path = file.planned.audio, file.planned.path
    tags = _tags(file.track, 0) if audio.codec in TAGGED else ()
    return ("-map", f"[{label}]", *_encode(audio, (file.track,)), *tags, *FILE_MUXERS[audio.codec], f"file:{path}")


def _encode(audio: RenditionAudio | AudioFile, tracks: Sequence[HeardTrack]) -> tuple[str, ...]:
    """One encoder's settings for all of them; channels are told where the graph did not set them."""
    counts = [track.channels(audio.codec) for track in tracks]
    rates = [_bitrate(audio, count) for count in counts]
    return (
        *("-c:a", SOUND_ENCODERS[audio.codec]),
        *_each("-b:a", rates),
        *("-ar", str(audio.sample_rate)),
        *_each("-ac", [None if layout(count, audio.codec) else count for count in counts]),
    )


def _each(option: str, values: Sequence[int | None]) -> tuple[str, ...]:
    """Once for all streams where it is the same for all, else for each that has a value, by its number."""
    if len(set(values)) == 1:
        return () if values[0] is None else (option, str(values[0]))
    by_stream = option if option.endswith(":a") else f"{option}:a"
    return tuple(w for n, value in enumerate(values) if value is not None for w in (f"{by_stream}:{n}", str(value)))


def _bitrate(audio: RenditionAudio | AudioFile, channels: int) -> int:
    match audio.codec:
        case AudioCodec.OPUS:
            return min(audio.bitrate, OPUS_MOST * channels)
        case AudioCodec.MP3:
            return min(audio.bitrate, MP3_MOST)
        case AudioCodec.AC3:
            return max(audio.bitrate, AC3_LEAST * channels)
        case _:
            return audio.bitrate


def _tags(track: HeardTrack, place: int) -> tuple[str, ...]:
    """Of the output's sound stream at `place`. The title comes through a whitelist of letters where it is planned, and is
    one whole argument here.
    """
    language, title = long(track.planned.language), track.planned.title
    return (
        *((f"-metadata:s:a:{place}", f"language={language}") if language else ()),
        *((f"-metadata:s:a:{place}", f"title={title}") if title else ()),
    )
