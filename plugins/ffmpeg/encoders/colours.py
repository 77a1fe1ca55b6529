"""What colours an output is said to have: those of the source where scaling keeps them, or what they were changed to."""

from __future__ import annotations

from collections.abc import Mapping

from plugins.ffmpeg.colouring import is_changed
from protocol.media import Colour, VideoStream
from protocol.recipes import PlannedRendition

BT709 = Colour(primaries="bt709", transfer="bt709", matrix="bt709")
BT601_625 = Colour(primaries="bt470bg", transfer="smpte170m", matrix="bt470bg")
BT601_525 = Colour(primaries="smpte170m", transfer="smpte170m", matrix="smpte170m")
HDR10 = Colour(primaries="bt2020", transfer="smpte2084", matrix="bt2020nc")

HD_WIDTH, HD_HEIGHT = 1280, 720
RATES_OF_625_LINES = frozenset({"25", "50"})

_COMMON = ("bt709", "bt470bg", "smpte170m", "smpte240m")
KNOWN: Mapping[str, frozenset[str]] = {
    "primaries": frozenset({*_COMMON, "bt470m", "film", "bt2020", "smpte431", "smpte432"}),
    "transfer": frozenset({*_COMMON, "bt470m", "linear", "iec61966-2-1", "bt2020-10", "bt2020-12", "smpte2084", "arib-std-b67"}),
    "matrix": frozenset({*_COMMON, "fcc", "bt2020nc", "bt2020c"}),
}
"""Words that `setparams` takes. What a file says beyond them goes no further."""


def colour_of(planned: PlannedRendition, video: VideoStream) -> Colour:
    """`video` is the source. What it does not tell is what players take it for, by its size: smaller outputs would be taken
    for something else."""
    if planned.keeps_hdr:
        return _filled(video.colour, HDR10)
    return BT709 if is_changed(video) else _filled(video.colour, _assumed(video))


def tagged(planned: PlannedRendition, video: VideoStream) -> str:
    """As a filter, which changes no pixel."""
    colour = colour_of(planned, video)
    return f"setparams=range=tv:color_primaries={colour.primaries}:color_trc={colour.transfer}:colorspace={colour.matrix}"


def _assumed(video: VideoStream) -> Colour:
    if max(video.width, video.height) >= HD_WIDTH or min(video.width, video.height) >= HD_HEIGHT:
        return BT709
    return BT601_625 if video.frame_rate in RATES_OF_625_LINES else BT601_525


def _filled(told: Colour, otherwise: Colour) -> Colour:
    words = {name: getattr(told, name) for name, known in KNOWN.items() if getattr(told, name) in known}
    return otherwise.model_copy(update=words)
