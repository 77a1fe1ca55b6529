"""Argument lists for the tools: analysis, and the one process that decodes once and writes every output."""

from __future__ import annotations

from fractions import Fraction
from math import gcd

from plugins.ffmpeg.encoders import audio_file_arguments, device_arguments, picture_arguments, sound_arguments
from plugins.ffmpeg.filters import Graph, build, length_cap
from plugins.media.calling import MAX_ALLOC, PROBED_ENTRIES, quiet, untrusted
from plugins.media.lengths import output_rate
from protocol.packaging import HlsPackaging, SegmentFormat
from protocol.plugins import JOINED
from protocol.recipes import AnalyzeRecipe, PlannedRendition, TranscodeRecipe

SPEECH_ARGUMENTS = ("-c:a", "pcm_s16le", "-ar", "16000", "-ac", "1")
"""What speech models hear."""

FIRST_FRAMES = 10
DEFAULT_GROUP_SECONDS = 10


def probe(ffprobe: str, recipe: AnalyzeRecipe) -> tuple[str, ...]:
    """ffprobe's view of the input as JSON."""
    return (
        *(ffprobe, "-hide_banner", "-loglevel", "level+error", "-max_alloc", str(MAX_ALLOC), *untrusted(recipe.limits)),
        *("-show_entries", PROBED_ENTRIES, "-of", "json=compact=1", "-fd", "{fd0}", "-i", "fd:"),
    )


def first_frames(ffmpeg: str, recipe: AnalyzeRecipe, threads: int) -> tuple[str, ...]:
    """Decode the first frames of the picture, unless only sound is needed, and of the first audio track if there is one."""
    picture = ("-map", "0:V:0", "-frames:v", str(FIRST_FRAMES)) if recipe.limits.needs_video else ()
    sound = "0:a:0" if recipe.limits.needs_audio else "0:a:0?"
    return (
        *(ffmpeg, *quiet(), *untrusted(recipe.limits), "-threads", str(threads), "-t", "30", "-fd", "{fd0}", "-i", "fd:"),
        *(*picture, "-map", sound, "-frames:a", str(FIRST_FRAMES), "-sn", "-dn", "-t", "30", "-f", "null", "-"),
    )


def measure(ffmpeg: str, recipe: AnalyzeRecipe) -> tuple[str, ...]:
    """Read the whole input without decoding it, and tell by `-progress` where it ends."""
    return (
        *(ffmpeg, *quiet(), "-progress", "pipe:1", *untrusted(recipe.limits), "-fd", "{fd0}", "-i", "fd:"),
        *("-map", "0:V:0?", "-map", "0:a:0?", "-sn", "-dn", "-c", "copy", "-f", "null", "-"),
    )


def join(ffmpeg: str) -> tuple[str, ...]:
    """Picture and sound of two files into one, by stream copy; both keep their place on the one timeline they came with."""
    copied = ("-c", "copy", "-map_chapters", "-1", "-avoid_negative_ts", "make_zero")
    return (
        *(ffmpeg, "-y", *quiet(), "-copyts", *untrusted(), "-fd", "{fd0}", "-i", "fd:"),
        *(*untrusted(), "-fd", "{fd1}", "-i", "fd:", "-map", "0:V:0", "-map", "1:a:0", "-sn", "-dn"),
        *(*copied, "-f", "mp4", f"file:{JOINED}"),
    )


def transcode(ffmpeg: str, recipe: TranscodeRecipe, threads: int, device: str | None = None) -> tuple[str, ...]:
    """One process: the source is decoded once, and every rendition, its segments, the audio and the thumbnails are written.

    MP4 and HLS of a rendition share one encode through the `tee` muxer.
    """
    sounds = _sound_users(recipe)
    graph = build(recipe, sounds)
    cap = f"{float(length_cap(recipe.source)):.3f}"
    head = (
        *(ffmpeg, "-y", *quiet(), "-progress", "pipe:1", "-stats_period", "0.5"),
        *device_arguments((planned.encoder for planned in recipe.renditions), device),
        *(*untrusted(), "-threads", str(threads), "-t", cap, "-fd", "{fd0}", "-i", "fd:"),
        *("-filter_complex_threads", str(threads), "-filter_complex", graph.text),
    )
    common = ("-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1", "-t", cap)
    return (*head, *(argument for output in _outputs(recipe, graph, threads) for argument in _with(output, common)))


def _with(output: tuple[str, ...], common: tuple[str, ...]) -> tuple[str, ...]:
    """The options every output has, before the muxer and the path that end it."""
    cut = len(output) - 1 - output[::-1].index("-f")
    return (*output[:cut], *common, *output[cut:])


def _sound_users(recipe: TranscodeRecipe) -> int:
    if not recipe.source.audio:
        return 0
    return len(recipe.renditions) + (recipe.audio is not None) + (recipe.speech is not None)


def _outputs(recipe: TranscodeRecipe, graph: Graph, threads: int) -> list[tuple[str, ...]]:
    sounds = iter(graph.sounds)
    made = [
        _rendition(recipe, planned, (picture, next(sounds, None)), threads)
        for planned, picture in zip(recipe.renditions, graph.pictures, strict=False)  # sound alone has no picture
    ]
    audio = next(sounds, None) if recipe.audio is not None else None
    speech = next(sounds, None)
    if recipe.audio is not None and audio is not None:
        arguments = audio_file_arguments(recipe.audio.audio, recipe.source.audio[0].channels)
        made.append(("-map", f"[{audio}]", *arguments, "-f", "mp3", f"file:{recipe.audio.path}"))
    if recipe.speech is not None and speech is not None:
        made.append(("-map", f"[{speech}]", *SPEECH_ARGUMENTS, "-f", "s16le", f"file:{recipe.speech}"))
    made.extend(
        (
            "-map",
            f"[{label}]",
            "-c:v",
            "mjpeg",
            "-threads:v",
            "1",
            "-q:v",
            "3",
            "-fps_mode",
            "passthrough",
            "-f",
            "image2",
            "-update",
            "1",
            target,
        )
        for label, target in zip(graph.shots, (f"file:{shot.path}" for shot in recipe.thumbnails), strict=False)
    )
    return made


def _rendition(
    recipe: TranscodeRecipe, planned: PlannedRendition, labels: tuple[str, str | None], threads: int
) -> tuple[str, ...]:
    video = recipe.source.video
    picture, sound = labels
    rate = output_rate(video) if video else Fraction(25)
    seconds = gcd(recipe.hls.segment_seconds if recipe.hls else 0, recipe.group_seconds or 0) or DEFAULT_GROUP_SECONDS
    encode = picture_arguments(planned, rate=rate, segment_seconds=seconds, threads=threads)
    arguments = ("-map", f"[{picture}]", *encode, "-fps_mode", "passthrough")
    if sound is not None:
        arguments += ("-map", f"[{sound}]", *sound_arguments(planned.rendition.audio, recipe.source.audio[0].channels))
    if recipe.hls is None or planned.playlist is None or planned.segments is None:
        return (*arguments, "-movflags", "+faststart", "-f", "mp4", f"file:{planned.path}")
    targets = f"[f=mp4:movflags=+faststart]file:{planned.path}|{_hls(recipe.hls, planned.playlist, planned.segments)}"
    return (*arguments, "-f", "tee", targets)


def _hls(hls: HlsPackaging, playlist: str, segments: str) -> str:
    """The HLS branch of a `tee`. Names need no escaping: paths of a recipe hold only letters, digits and `._-/%`."""
    options = [f"hls_time={hls.segment_seconds}", "hls_list_size=0", "hls_playlist_type=vod", "hls_flags=independent_segments"]
    if hls.format is SegmentFormat.FMP4:
        options += ["hls_segment_type=fmp4", f"hls_fmp4_init_filename={INIT_SEGMENT}"]
    return f"[f=hls:{':'.join(options)}:hls_segment_filename={segments}]file:{playlist}"


INIT_SEGMENT = "init.mp4"


def directories(recipe: TranscodeRecipe) -> tuple[str, ...]:
    """The directories the outputs go to, below the work directory."""
    paths = [planned.path for planned in recipe.renditions]
    paths += [path for planned in recipe.renditions for path in (planned.playlist, planned.segments) if path]
    paths += [recipe.audio.path] if recipe.audio else []
    paths += [recipe.speech] if recipe.speech else []
    paths += [shot.path for shot in recipe.thumbnails]
    return tuple(sorted({parent for path in paths if (parent := path.rpartition("/")[0])}))
