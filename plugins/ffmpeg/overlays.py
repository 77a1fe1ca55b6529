"""What is laid over the picture: burnt-in subtitles, then the watermark. Once, before the split, so that every rung has them."""

from __future__ import annotations

from fractions import Fraction

from plugins.ffmpeg.encoders.colours import HD_HEIGHT, HD_WIDTH
from plugins.ffmpeg.sources import mark_place, seconds
from protocol.pictures import Position
from protocol.recipes import PlannedOverlay, TranscodeRecipe
from protocol.shapes import Size

SUBTITLES = "burn.ass"
"""The file of our own that subtitles are drawn from, below the work directory."""

PLACES = {
    Position.TOP_LEFT: ("{m}", "{m}"),
    Position.TOP_RIGHT: ("W-w-{m}", "{m}"),
    Position.BOTTOM_LEFT: ("{m}", "H-h-{m}"),
    Position.BOTTOM_RIGHT: ("W-w-{m}", "H-h-{m}"),
    Position.CENTER: ("(W-w)/2", "(H-h)/2"),
}
"""In the overlay filter's words; `{m}` is the margin in pixels."""


def burnt(recipe: TranscodeRecipe) -> tuple[str, ...]:
    """The filters that draw the subtitles, by the text's own clock."""
    burn_in = recipe.picture.burn_in
    if burn_in is None:
        return ()
    offset = Fraction(burn_in.offset)
    draw = f"ass=filename={SUBTITLES}"
    return (f"setpts=PTS+{seconds(offset)}/TB", draw, f"setpts=PTS-{seconds(offset)}/TB") if offset else (draw,)


def marked(recipe: TranscodeRecipe, size: Size, depth: int, lines: list[str]) -> str | None:
    """Lays the watermark over [under]; how that goes on. `size` is the picture's, whose colours are BT.709 or not told."""
    overlay = recipe.picture.overlay
    if overlay is None:
        return None
    lines.append(f"[{mark_place(recipe)}:v:0]{mark(recipe, overlay, size)}[mark]")
    margin = round(size[0] * overlay.watermark.margin_percent / 100)
    x, y = (place.format(m=margin) for place in PLACES[overlay.watermark.position])
    return f"[under][mark]overlay=x={x}:y={y}:format={'yuv420p10' if depth > 8 else 'yuv420'}"


def mark(recipe: TranscodeRecipe, overlay: PlannedOverlay, size: Size) -> str:
    """The first picture of the file, never larger than the film's, its alpha times the opacity, in the colours that the film
    will be said to have."""
    width = max(2, round(size[0] * overlay.watermark.width_percent / 100))
    video = recipe.source.video
    is_old = video is not None and not (video.colour.matrix or video.is_hdr) and max(size) < HD_WIDTH and min(size) < HD_HEIGHT
    matrix = "smpte170m" if is_old else "bt709"
    scaled = f"scale=w={width}:h={size[1]}:force_original_aspect_ratio=decrease:flags=bicubic"
    return (
        f"trim=end_frame=1,format=rgba,{scaled},colorchannelmixer=aa={overlay.watermark.opacity:.4f},"
        f"scale=out_color_matrix={matrix}:out_range=tv,format=yuva444p"
    )
