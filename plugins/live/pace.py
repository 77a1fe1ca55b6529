"""How fast a stream is, by the moments of its first pictures: ffprobe takes half a second of milliseconds for other rates."""

from __future__ import annotations

import json
from fractions import Fraction

from plugins.media.probe import STANDARD_RATES
from protocol.media import MediaFacts

LEAST_PICTURES, NEAR = 5, Fraction(1, 50)
"""Fewer tell nothing; a stream is taken for one of a standard rate that it is as near to. A jittering clock is nearer."""


def paced(facts: MediaFacts, probed: bytes) -> MediaFacts:
    """The facts, with the standard rate that the packets which ffprobe listed keep to, where they keep to one."""
    if facts.video is None:
        return facts
    packets = json.loads(probed).get("packets") or []
    told = (one.get("dts_time") for one in packets if one.get("stream_index") == facts.video.index)
    moments = [Fraction(moment) for moment in told if moment is not None]
    if len(moments) < LEAST_PICTURES or moments[-1] <= moments[0]:
        return facts
    mean = (len(moments) - 1) / (moments[-1] - moments[0])
    rate = min(STANDARD_RATES, key=lambda standard: abs(standard - mean))
    if abs(rate - mean) > rate * NEAR:
        return facts
    return facts.model_copy(update={"video": facts.video.model_copy(update={"frame_rate": str(rate)})})
