"""The CRF that reaches a wanted VMAF, by as few probe encodes as will do.

VMAF falls as CRF rises, but not for every step of a noisy sample: the probes are levelled to a falling curve first. Where the
target lies between two probes the next one stands on the line between them; outside, the last slope leads further. Lines are
drawn over the logarithm of what is missing to 100: there the curves of real films are nearly straight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MOST_PROBES = 4
TOLERANCE = 0.5
"""So near to the target nobody sees the difference, and the samples do not tell more of the whole."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The CRFs of an encoder that are worth a try, the finest step it takes, and by what share a step of 1 usually enlarges
    what is missing to 100."""

    lowest: float
    highest: float
    step: float
    slope: float

    def fit(self, crf: float) -> float:
        """The nearest that the encoder takes."""
        held = min(max(crf, self.lowest), self.highest)
        return round(round(held / self.step) * self.step, 2)


SCALES: Mapping[str, Scale] = {
    "libx264": Scale(10, 40, 0.1, 0.16),
    "libx265": Scale(10, 42, 0.1, 0.16),
    "libsvtav1": Scale(12, 60, 1, 0.08),
    "libvpx-vp9": Scale(12, 60, 1, 0.08),
}
"""By software encoder. x264 and x265 take fractions, the others as FFmpeg drives them whole numbers."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One probe: its CRF and what it scored."""

    crf: float
    vmaf: float


def next_crf(target: float, tried: Sequence[Tried], scale: Scale, first: float) -> float | None:
    """The CRF to try next, beginning with `first`; None where no further probe is needed, or would tell anything."""
    if not tried:
        return scale.fit(first)
    if len(tried) >= MOST_PROBES or any(abs(one.vmaf - target) <= TOLERANCE for one in tried):
        return None
    wanted = scale.fit(_meets(target, level(tried), scale))
    return None if any(one.crf == wanted for one in tried) else wanted


def answer(target: float, tried: Sequence[Tried], scale: Scale) -> Tried:
    """The CRF to encode with, and the VMAF that is expected of it. `tried` holds at least one probe."""
    near = [one for one in tried if abs(one.vmaf - target) <= TOLERANCE]
    if near:
        return min(near, key=lambda one: (abs(one.vmaf - target), -one.crf))
    curve = level(tried)
    crf = scale.fit(_meets(target, curve, scale))
    own = next((one for one in tried if one.crf == crf), None)
    return own or Tried(crf, round(_expected(crf, curve, scale), 2))


def level(tried: Sequence[Tried]) -> tuple[Tried, ...]:
    """The probes in order of CRF, with VMAFs that never rise: neighbours that do are both given their mean."""
    pools: list[tuple[list[float], float]] = []
    for one in sorted(tried, key=lambda probe: probe.crf):
        crfs, vmaf = [one.crf], one.vmaf
        while pools and pools[-1][1] < vmaf:
            before, height = pools.pop()
            vmaf = (vmaf * len(crfs) + height * len(before)) / (len(crfs) + len(before))
            crfs = [*before, *crfs]
        pools.append((crfs, vmaf))
    return tuple(Tried(crf, vmaf) for crfs, vmaf in pools for crf in crfs)


def _meets(target: float, curve: Sequence[Tried], scale: Scale) -> float:
    better = [one for one in curve if one.vmaf >= target]
    worse = [one for one in curve if one.vmaf < target]
    if better and worse:
        above, below = better[-1], worse[0]
        share = (_missing(target) - _missing(above.vmaf)) / (_missing(below.vmaf) - _missing(above.vmaf))
        return above.crf + share * (below.crf - above.crf)
    edge = better[-1] if better else worse[0]
    return edge.crf + (_missing(target) - _missing(edge.vmaf)) / _slope(curve, edge, scale)


def _missing(vmaf: float) -> float:
    """The logarithm of what is missing to 100; a VMAF of 99.9 and one of 100 are the same."""
    return math.log(max(100.0 - vmaf, 0.1))


def _slope(curve: Sequence[Tried], edge: Tried, scale: Scale) -> float:
    """What a step costs there, as the last two probes tell it; never so flat that one bad sample leads far astray."""
    others = [one for one in curve if one.crf != edge.crf]
    if not others:
        return scale.slope
    nearest = min(others, key=lambda one: abs(one.crf - edge.crf))
    told = (_missing(edge.vmaf) - _missing(nearest.vmaf)) / (edge.crf - nearest.crf)
    return min(max(told, scale.slope / 4), scale.slope * 4)


def _expected(crf: float, curve: Sequence[Tried], scale: Scale) -> float:
    lower = [one for one in curve if one.crf <= crf]
    higher = [one for one in curve if one.crf > crf]
    if lower and higher:
        left, right = lower[-1], higher[0]
        share = (crf - left.crf) / (right.crf - left.crf)
        missing = _missing(left.vmaf) + share * (_missing(right.vmaf) - _missing(left.vmaf))
    else:
        edge = lower[-1] if lower else higher[0]
        missing = _missing(edge.vmaf) + (crf - edge.crf) * _slope(curve, edge, scale)
    return min(100.0, max(0.0, 100.0 - math.exp(missing)))
