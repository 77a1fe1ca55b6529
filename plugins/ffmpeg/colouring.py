"""Every picture that is not kept as HDR becomes BT.709 of limited range: what else a source is said to be is converted.

Words of a source are looked up in tables; none of them ever stands in a filter.
"""

from __future__ import annotations

from protocol.media import VideoStream

WHITE = 203
"""cd/m2 of a diffuse white in HDR, by ITU-R BT.2408: 58 % of PQ, 75 % of HLG."""

USUAL_PEAK, LEAST_PEAK, MOST_PEAK = 1000, 400, 10_000
"""cd/m2. What HLG is made for, and PQ that does not tell; the bounds of what is believed."""

DIMMEST = 10_000
"""A mastering display's luminance counts in this part of a cd/m2."""

HDR_TRANSFERS = {"smpte2084": "smpte2084", "arib-std-b67": "arib-std-b67"}
PRIMARIES = {name: name for name in ("bt470bg", "bt470m", "smpte170m", "smpte240m", "bt2020", "smpte431", "smpte432")}
MATRICES = {name: name for name in ("bt470bg", "smpte170m", "smpte240m", "fcc", "bt2020nc", "bt2020c")}
RANGES = {"pc": "full", "tv": "limited"}
WIDE_MATRICES = frozenset({"bt2020nc", "bt2020c"})

RGB = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8")
"""What the names of pixel formats begin with that have no matrix yet."""

TAGS = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
_TO_709 = "p=bt709:t=bt709:m=bt709:r=limited"


def to_sdr(video: VideoStream, depth: int = 8) -> tuple[str, ...]:
    """The filters that make it so; none where it is that already, or nothing else is known of it."""
    return tone_mapped(video, depth) if video.is_hdr else converted(video, depth)


def tone_mapped(video: VideoStream, depth: int = 8) -> tuple[str, ...]:
    """Light in shares of a diffuse white, which comes out at 85 % so that there is room for what is brighter."""
    transfer = HDR_TRANSFERS.get(video.colour.transfer, "smpte2084")
    matrix = video.colour.matrix if video.colour.matrix in WIDE_MATRICES else "bt2020nc"
    primaries = PRIMARIES.get(video.colour.primaries, "bt2020")
    told = f"pin={primaries}:tin={transfer}:min={MATRICES[matrix]}:rin={_range(video)}"
    return (
        f"zscale={told}:p=bt709:t=linear:npl={WHITE}",
        "format=gbrpf32le",
        f"tonemap=tonemap=mobius:desat=0:peak={peak(video) / WHITE:.3f}",
        f"zscale={_TO_709}",
        f"format={_format(depth)}",
        "sidedata=mode=delete:type=MASTERING_DISPLAY_METADATA",
        "sidedata=mode=delete:type=CONTENT_LIGHT_LEVEL",
    )


def peak(video: VideoStream) -> int:
    """The brightest that is in it, cd/m2: by its own measure, else by the display it was made on."""
    if video.colour.transfer == "arib-std-b67" or video.mastering is None:
        return USUAL_PEAK
    told = video.mastering.max_content or video.mastering.luminance[1] // DIMMEST
    return min(MOST_PEAK, max(LEAST_PEAK, told))


def converted(video: VideoStream, depth: int = 8) -> tuple[str, ...]:
    """Primaries that are not told are left; those of BT.2020 go with its matrix."""
    if video.colour.matrix == "gbr" or video.pixel_format.startswith(RGB):
        return ("scale=out_color_matrix=bt709:out_range=tv", "format=yuv444p", TAGS)
    matrix = MATRICES.get(video.colour.matrix)
    primaries = PRIMARIES.get(video.colour.primaries) or ("bt2020" if matrix in WIDE_MATRICES else None)
    if matrix is None and primaries is None:
        return ()
    matrix = matrix or ("bt2020nc" if primaries == "bt2020" and not video.colour.matrix else "bt709")
    told = f"pin={primaries or 'bt709'}:tin=bt709:min={matrix}:rin={_range(video)}"
    return (f"zscale={told}:{_TO_709}", f"format={_format(depth)}")


def is_changed(video: VideoStream) -> bool:
    """Whether what is not kept as HDR has other colours than the source then: those of BT.709."""
    return bool(to_sdr(video))


def _range(video: VideoStream) -> str:
    return "full" if video.pixel_format.startswith("yuvj") else RANGES.get(video.colour.range, "limited")


def _format(depth: int) -> str:
    return "yuv420p10le" if depth > 8 else "yuv420p"
