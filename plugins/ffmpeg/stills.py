"""The outputs that are single pictures, and the client's own picture, which is encoded anew."""

from __future__ import annotations

from plugins.ffmpeg.graph import Graph
from plugins.media.calling import quiet
from plugins.media.sizes import THUMBNAIL_BOX
from protocol.recipes import TranscodeRecipe

JPEG = ("-c:v", "mjpeg", "-threads:v", "1", "-q:v", "3", "-fps_mode", "passthrough", "-f", "image2", "-update", "1")
"""Each picture overwrites the one before."""

SHEET = ("-frames:v", "1", *JPEG)
"""A film that is longer than it says would begin a second sheet."""

OWN_PIXELS, OWN_ALLOC = 8192 * 8192, 1 << 30
"""The largest picture dispatch takes, and what one of 16 bits with alpha needs at once, in bytes."""

OWN_FORMATS, OWN_DECODERS = "jpeg_pipe,png_pipe,apng,webp_pipe", "mjpeg,png,apng,webp"


def stills(recipe: TranscodeRecipe, graph: Graph) -> list[tuple[str, ...]]:
    """One output for each thumbnail, and the sprite sheet; none where the source has no picture."""
    shots = zip(recipe.thumbnails, graph.shots, strict=False)
    made: list[tuple[str, ...]] = [("-map", f"[{label}]", *JPEG, f"file:{shot.path}") for shot, label in shots]
    if recipe.sprite is not None and graph.sheet is not None:
        made.append(("-map", f"[{graph.sheet}]", *SHEET, f"file:{recipe.sprite.path}"))
    return made


def own_thumbnail(ffmpeg: str, path: str) -> tuple[str, ...]:
    """The first picture of the file: on black where it is transparent, upright, within the box, and nothing but pixels."""
    width, height = THUMBNAIL_BOX
    fit = (
        f"scale=w='max(2,2*trunc(min(iw,min({width},iw*{height}/ih))/2))'"
        f":h='max(2,2*trunc(min(ih,min({height},ih*{width}/iw))/2))':flags=lanczos:out_range=full"
    )
    return (
        *(ffmpeg, "-y", *quiet(OWN_ALLOC), "-protocol_whitelist", "fd", "-format_whitelist", OWN_FORMATS),
        *("-codec_whitelist", OWN_DECODERS, "-max_pixels", str(OWN_PIXELS), "-threads", "1", "-fd", "{fd0}", "-i", "fd:"),
        *("-map", "0:v:0", "-frames:v", "1"),
        *("-vf", f"format=gbrap,premultiply=inplace=1,{fit},setsar=1,format=yuvj420p,sidedata=mode=delete"),
        *("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", *JPEG, f"file:{path}"),
    )
