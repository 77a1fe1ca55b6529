"""The static metadata of HDR10 as each encoder's own parameters. HLG has none, and needs none."""

from __future__ import annotations

from collections.abc import Callable

from protocol.media import MasteringDisplay, VideoStream

PQ = "smpte2084"
CHROMATICITY_UNITS, LUMINANCE_UNITS = 50_000, 10_000
"""Steps of a chromaticity, and of one cd/m2, as the facts count them."""


def as_x265(kept: VideoStream | None) -> tuple[str, ...]:
    """In whole steps; `kept` is the source, None where its range is not kept."""
    if kept is None or kept.mastering is None or kept.colour.transfer != PQ:
        return ()
    display = kept.mastering
    points = _points(display, lambda value: str(value))
    least, greatest = display.luminance
    return ("hdr10=1", f"master-display={points}L({greatest},{least})", *_light(display, "max-cll"))


def as_svt(kept: VideoStream | None) -> tuple[str, ...]:
    """As decimal numbers."""
    if kept is None or kept.mastering is None or kept.colour.transfer != PQ:
        return ()
    display = kept.mastering
    points = _points(display, lambda value: f"{value / CHROMATICITY_UNITS:.5f}")
    least, greatest = (f"{value / LUMINANCE_UNITS:.4f}" for value in display.luminance)
    return (f"mastering-display={points}L({greatest},{least})", *_light(display, "content-light"))


def _points(display: MasteringDisplay, written: Callable[[int], str]) -> str:
    named = (("G", display.green), ("B", display.blue), ("R", display.red), ("WP", display.white))
    return "".join(f"{name}({written(x)},{written(y)})" for name, (x, y) in named)


def _light(display: MasteringDisplay, name: str) -> tuple[str, ...]:
    return (f"{name}={display.max_content},{display.max_average or 0}",) if display.max_content else ()
