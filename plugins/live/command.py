"""Argument lists: look at the head of a stream, encode its ladder as it comes, and put a recording's segments into one file."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from plugins.live.ladder import CHANNELS
from plugins.media.calling import MAX_ALLOC, PROBED_ENTRIES, own_file, quiet, untrusted
from protocol.media import MediaFacts
from protocol.recipes import LiveRecipe, PlannedRendition

LOOKED_AT_US, LOOKED_AT_BYTES = 1_000_000, 2 << 20
"""How much of a stream FFmpeg may read before it begins: the head was looked at already."""

FAR_APART = "9999"
"""Frames between keyframes at most; where they stand is said by time."""


MOST_PACKETS = "%+#500"
"""Of the head, which is half a second unless a clock stands still."""


def probe(ffprobe: str) -> tuple[str, ...]:
    return (
        *(ffprobe, "-hide_banner", "-loglevel", "level+error", "-max_alloc", str(MAX_ALLOC), *untrusted()),
        *("-show_entries", f"{PROBED_ENTRIES}:packet=stream_index,dts_time", "-read_intervals", MOST_PACKETS),
        *("-of", "json=compact=1", "-fd", "{fd0}", "-i", "fd:"),
    )


def encode(
    ffmpeg: str, recipe: LiveRecipe, renditions: tuple[PlannedRendition, ...], facts: MediaFacts, rate: Fraction, threads: int
) -> tuple[str, ...]:
    """One process: decoded once, scaled and encoded for each rendition, cut at the same frames, listed as it grows."""
    head = (
        *(ffmpeg, "-y", *quiet(), "-progress", "pipe:1", "-stats_period", "0.5"),
        *(*untrusted(), "-analyzeduration", str(LOOKED_AT_US), "-probesize", str(LOOKED_AT_BYTES)),
        *("-threads", str(threads), "-fd", "{fd0}", "-i", "fd:"),
        *("-filter_complex_threads", str(threads), "-filter_complex", _graph(renditions, rate, has_sound=bool(facts.audio))),
    )
    outputs = (_output(recipe, n, planned, threads, has_sound=bool(facts.audio)) for n, planned in enumerate(renditions))
    return (*head, *(argument for output in outputs for argument in output))


def _graph(renditions: tuple[PlannedRendition, ...], rate: Fraction, *, has_sound: bool) -> str:
    """A steady rate, so that segments of all renditions hold the same frames; sound is stretched where some is missing."""
    count = len(renditions)
    split = f"[0:V:0]fps={rate},split={count}{''.join(f'[p{n}]' for n in range(count))}"
    scaled = [
        f"[p{n}]scale={planned.width}:{planned.height}:flags=bicubic,setsar=1,format=yuv420p[v{n}]"
        for n, planned in enumerate(renditions)
    ]
    heard = [f"[0:a:0]aresample=async=1000,asplit={count}{''.join(f'[a{n}]' for n in range(count))}"] if has_sound else []
    return ";".join([split, *scaled, *heard])


def _output(recipe: LiveRecipe, n: int, planned: PlannedRendition, threads: int, *, has_sound: bool) -> tuple[str, ...]:
    sound = planned.rendition.audio
    heard = ("-map", f"[a{n}]", "-c:a", "aac", "-b:a", str(sound.bitrate), "-ar", str(sound.sample_rate), "-ac", str(CHANNELS))
    return (
        *("-map", f"[v{n}]", *_picture(planned, recipe.live.segment_seconds), "-threads:v", str(threads)),
        *(heard if has_sound else ()),
        *("-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1", "-f", "hls"),
        *("-hls_time", str(recipe.live.segment_seconds), "-hls_list_size", "0", "-hls_playlist_type", "event"),
        *("-hls_flags", "independent_segments+temp_file", "-hls_segment_filename", f"{planned.segments}"),
        f"file:{planned.playlist}",
    )


def _picture(planned: PlannedRendition, seconds: int) -> tuple[str, ...]:
    spends, rendition = planned.spends, planned.rendition
    shape = (("-profile:v", rendition.profile), ("-level:v", rendition.level))
    return (
        *("-c:v", "libx264", "-preset", planned.preset.value),
        *(("-crf", f"{spends.crf:g}") if spends.crf is not None else ("-b:v", str(spends.bitrate))),
        *(_capped(spends.max_bitrate or spends.bitrate, rendition.buffer_seconds)),
        *(word for option, value in shape if value for word in (option, value)),
        *("-g", FAR_APART, "-sc_threshold", "0", "-force_key_frames", f"expr:gte(t,n_forced*{seconds})"),
        *("-forced-idr", "1", "-flags:v", "+cgop"),
    )


def _capped(most: int | None, buffer_seconds: float) -> tuple[str, ...]:
    return () if most is None else ("-maxrate:v", str(most), "-bufsize:v", str(round(most * buffer_seconds)))


def whole(ffmpeg: str, planned: PlannedRendition) -> tuple[str, ...]:
    """The segments of a rendition as one file, by stream copy."""
    copied = ("-map", "0:v:0", "-map", "0:a:0?", "-c", "copy", "-bsf:a", "aac_adtstoasc", "-map_metadata", "-1")
    written = ("-movflags", "+faststart", "-f", "mp4", f"file:{planned.path}")
    return (ffmpeg, "-y", *quiet(), *own_file(planned.playlist or ""), *copied, *written)


def directories(renditions: tuple[PlannedRendition, ...]) -> tuple[str, ...]:
    paths = (path for planned in renditions for path in (planned.path, planned.playlist) if path)
    return tuple(sorted({parent for path in paths if (parent := path.rpartition("/")[0])}))


def trial(ffmpeg: str, directory: str) -> Iterator[str]:
    """Ten frames the same way, into `directory`."""
    yield from (ffmpeg, "-y", *quiet(), "-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25", "-f", "lavfi", "-i", "sine")
    yield from (
        "-t",
        "0.4",
        "-filter_complex",
        "[0:V:0]fps=25,split=1[p];[p]scale=64:48,format=yuv420p[v];[1:a:0]aresample=async=1000[a]",
    )
    yield from ("-map", "[v]", "-c:v", "libx264", "-map", "[a]", "-c:a", "aac", "-f", "hls", "-hls_playlist_type", "event")
    yield f"file:{directory}/trial.m3u8"
