"""Argument lists: FFmpeg writes the pictures, a small process of ours puts them into the ZIP and proves it."""

from __future__ import annotations

from fractions import Fraction

from plugins.frames.choice import Choice
from plugins.media.calling import own_file, quiet, untrusted
from protocol.extras import PictureFormat
from protocol.recipes import FramesRecipe

PICTURES, PROOF = "pictures", "proof"
ENDINGS = {PictureFormat.JPEG: "jpg", PictureFormat.PNG: "png"}
ENCODERS = {PictureFormat.JPEG: ("-c:v", "mjpeg", "-q:v", "3"), PictureFormat.PNG: ("-c:v", "png")}
PIXELS = {PictureFormat.JPEG: "yuvj420p", PictureFormat.PNG: "rgb24"}
LENGTH_MARGIN = Fraction(11, 10)


def pictures(ffmpeg: str, recipe: FramesRecipe, choice: Choice, threads: int) -> tuple[str, ...]:
    """The film decoded once, the chosen frames written. One more than a ZIP takes is made, never more."""
    video = recipe.source.video
    stream = "0:V:0" if video is None else f"0:{video.index}"
    return (
        *(ffmpeg, "-y", *quiet(), "-progress", "pipe:1", "-stats_period", "0.5", *untrusted()),
        *("-threads", str(threads), *_taken(recipe), "-fd", "{fd0}", "-i", "fd:", "-map", stream, "-an", "-sn", "-dn"),
        *("-filter_threads", str(threads), "-vf", _filters(recipe, choice), "-fps_mode", "passthrough"),
        *(*ENCODERS[recipe.frames.format], "-threads:v", str(threads), "-map_metadata", "-1"),
        *("-frames:v", str(recipe.frames.most_pictures + 1), "-f", "image2", "-start_number", "1"),
        f"file:{PICTURES}/frame_%06d.{ENDINGS[recipe.frames.format]}",
    )


def _taken(recipe: FramesRecipe) -> tuple[str, ...]:
    """A clip is decoded from the keyframe before, and dropped up to its own start."""
    if recipe.cut is None:
        return ("-t", f"{float(Fraction(recipe.source.duration) * LENGTH_MARGIN + 10):.3f}")
    start, end = Fraction(recipe.cut.start), Fraction(recipe.cut.end)
    return ("-ss", f"{float(start):.6f}", "-t", f"{float(end - start):.6f}")


def _filters(recipe: FramesRecipe, choice: Choice) -> str:
    """Picture k shows the first frame at or after k / share: `n` counts frames, and all numbers are whole."""
    video = recipe.source.video
    steps = ["bwdif=mode=send_frame:deint=all"] if video is not None and video.is_interlaced else []
    steps += [f"fps=fps={choice.rate}:start_time=0"] if choice.is_grid else []
    if choice.share < 1:
        steps.append(f"select='lt(mod(n*{choice.share.numerator},{choice.share.denominator}),{choice.share.numerator})'")
    width, height = choice.size
    steps.append(f"scale=w={width}:h={height}:flags=bicubic:out_range=full,setsar=1,format={PIXELS[recipe.frames.format]}")
    return ",".join(steps)


def pack(python: str, script: str, recipe: FramesRecipe) -> tuple[str, ...]:
    return (python, "-I", "-S", "-B", script, "zip", PICTURES, recipe.path, str(recipe.frames.most_bytes))


def prove(python: str, script: str, path: str) -> tuple[str, ...]:
    return (python, "-I", "-S", "-B", script, "prove", path, PROOF)


def decode(ffmpeg: str, recipe: FramesRecipe) -> tuple[str, ...]:
    """The first and the last picture, decoded, with their sizes."""
    kind = "jpeg_pipe" if recipe.frames.format is PictureFormat.JPEG else "png_pipe"
    paths = [f"{PROOF}/{name}.{ENDINGS[recipe.frames.format]}" for name in ("first", "last")]
    inputs = [word for path in paths for word in own_file(path, "-f", kind)]
    return (
        *(ffmpeg, *quiet(), "-xerror", *inputs, "-map", "0:v:0", "-map", "1:v:0"),
        *("-fps_mode", "passthrough", "-f", "framecrc", "pipe:1"),
    )
