"""Argument lists for what looks at an input, or makes one of two: nothing here encodes."""

from __future__ import annotations

from plugins.media.calling import MAX_ALLOC, PROBED_ENTRIES, quiet, untrusted
from protocol.plugins import JOINED
from protocol.recipes import AnalyzeRecipe

FIRST_FRAMES = 10


LOOKED_FOR = f"{PROBED_ENTRIES}:chapter=start_time,end_time:chapter_tags=title"


def probe(ffprobe: str, recipe: AnalyzeRecipe) -> tuple[str, ...]:
    """ffprobe's view of the input as JSON."""
    return (
        *(ffprobe, "-hide_banner", "-loglevel", "level+error", "-max_alloc", str(MAX_ALLOC), *untrusted(recipe.limits)),
        *("-show_entries", LOOKED_FOR, "-of", "json=compact=1", "-fd", "{fd0}", "-i", "fd:"),
    )


def light(ffprobe: str, recipe: AnalyzeRecipe) -> tuple[str, ...]:
    """The light levels that stand in the headers of the first frame, as JSON."""
    return (
        *(ffprobe, "-hide_banner", "-loglevel", "level+error", "-max_alloc", str(MAX_ALLOC), *untrusted(recipe.limits)),
        *("-select_streams", "V:0", "-read_intervals", "%+#1", "-show_entries", "frame=pts:frame_side_data_list"),
        *("-of", "json=compact=1", "-fd", "{fd0}", "-i", "fd:"),
    )


def first_frames(ffmpeg: str, recipe: AnalyzeRecipe, threads: int) -> tuple[str, ...]:
    """Decode the first frames of the picture, unless only sound is needed, and of the first audio track if there is one."""
    picture = ("-map", "0:V:0", "-frames:v", str(FIRST_FRAMES)) if recipe.limits.needs_video else ()
    sound = "0:a:0" if recipe.limits.needs_audio else "0:a:0?"
    return (
        *(ffmpeg, *quiet(), *untrusted(recipe.limits), "-threads", str(threads), "-t", "30", "-fd", "{fd0}", "-i", "fd:"),
        *(*picture, "-map", sound, "-frames:a", str(FIRST_FRAMES), "-sn", "-dn", "-t", "30", "-f", "null", "-"),
    )


def whole(ffmpeg: str, recipe: AnalyzeRecipe, threads: int) -> tuple[str, ...]:
    """Decode everything to its end; the first fault ends it. `-progress` tells how far it came, and how many frames."""
    picture = ("-map", "0:V:0") if recipe.limits.needs_video else ()
    sound = "0:a:0" if recipe.limits.needs_audio else "0:a?"
    return (
        *(ffmpeg, *quiet(), "-progress", "pipe:1", "-xerror", *untrusted(recipe.limits), "-err_detect", "explode"),
        *("-threads", str(threads), "-fd", "{fd0}", "-i", "fd:", *picture, "-map", sound, "-sn", "-dn"),
        *("-fps_mode", "passthrough", "-f", "null", "-"),
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
