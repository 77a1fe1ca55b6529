"""The picture's part of the graph where decoder, scaler and encoders are one GPU's: no picture leaves its memory but stills.

What a processor would have to do is never planned so: nothing is cropped, turned, laid over, mapped or deinterlaced here.
"""

from __future__ import annotations

from fractions import Fraction

from plugins.ffmpeg.graph import split
from plugins.media.lengths import length_cap, timeline_rate
from protocol.recipes import PlannedRendition, TranscodeRecipe

CHAIN_RATIO = Fraction(3, 2)
"""As on processors: below, detail suffers."""

SPARE_SURFACES = "16"
"""Pictures that the branches of the graph may hold besides those of the decoder."""

DECODING = {
    "cuda": ("-hwaccel", "cuda", "-hwaccel_output_format", "cuda"),
    "qsv": ("-hwaccel", "qsv", "-hwaccel_output_format", "qsv"),
    "vaapi": ("-hwaccel", "vaapi", "-hwaccel_output_format", "vaapi"),
}
_SCALES = {
    "cuda": "scale_cuda=w={w}:h={h}:interp_algo=bicubic:format={form}",
    "qsv": "scale_qsv=w={w}:h={h}:mode=hq:format={form}",
    "vaapi": "scale_vaapi=w={w}:h={h}:mode=hq:format={form}",
}


def place_of(decoder: str) -> str:
    """`cuda`, `qsv` or `vaapi`."""
    return decoder.partition("_")[2]


def own_decoders(decoder: str | None) -> tuple[str, ...]:
    """The decoder to be opened by name; the others are those for processors, helped by the GPU."""
    return (decoder,) if decoder is not None and place_of(decoder) == "qsv" else ()


def decoding(decoder: str | None) -> tuple[str, ...]:
    """What stands before the input; nothing where processors decode."""
    if decoder is None:
        return ()
    chosen = tuple(word for name in own_decoders(decoder) for word in ("-c:v", name))
    return (*DECODING[place_of(decoder)], "-extra_hw_frames", SPARE_SURFACES, *chosen)


def scaled(decoder: str, width: int, height: int, *, bit_depth: int = 8) -> str:
    return _SCALES[place_of(decoder)].format(w=width, h=height, form="p010le" if bit_depth == 10 else "nv12")


def pictures(recipe: TranscodeRecipe, decoder: str, stills: list[str], lines: list[str]) -> tuple[str, ...]:
    """One branch for each rendition, of the smallest larger one of the same depth that is large enough. `stills` are the
    labels of what is taken from the largest, in ordinary memory."""
    video, renditions = recipe.source.video, recipe.renditions
    ladder = sorted(range(len(renditions)), key=lambda n: -renditions[n].height)
    users: dict[str, list[str]] = {"base": [], **{f"r{n}": [f"v{n}"] for n in ladder}}
    for place, n in enumerate(ladder):
        users[_parent(renditions, ladder[:place], n)].append(f"r{n}i")
    if stills:
        users[f"r{ladder[0]}"].append("loaded")
    grid = f"fps=fps={timeline_rate(recipe)}:start_time=0,trim=end={float(length_cap(recipe.source)):.3f}"
    lines.append(f"[0:{video.index if video else 'v'}]{grid}{split('split', users['base'])}")
    for n in ladder:
        scale = scaled(decoder, renditions[n].width, renditions[n].height, bit_depth=renditions[n].rendition.bit_depth)
        lines.append(f"[r{n}i]{scale},setsar=1{split('split', users[f'r{n}'])}")
    if stills:
        form = "p010le" if renditions[ladder[0]].rendition.bit_depth == 10 else "nv12"
        lines.append(f"[loaded]hwdownload,format={form}{split('split', stills)}")
    return tuple(f"v{n}" for n in range(len(renditions)))


def _parent(renditions: tuple[PlannedRendition, ...], larger: list[int], n: int) -> str:
    alike = [m for m in larger if renditions[m].rendition.bit_depth == renditions[n].rendition.bit_depth]
    fit = [m for m in alike if renditions[m].height >= CHAIN_RATIO * renditions[n].height]
    return f"r{fit[-1]}" if fit else "base"
