"""Whether an input that was decoded whole came as far as it tells of itself. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

from protocol.media import MediaFacts

_FRAMES = re.compile(rb"^frame=\s*(\d+)\s*$", re.MULTILINE)
_OUT_TIME = re.compile(rb"^out_time_us=(\d+)\s*$", re.MULTILINE)

LEAST_SLACK, SHARE = Fraction(1, 2), Fraction(1, 100)
"""Seconds, and of the whole: containers round, count what an edit list hides, and sound rarely ends with the picture."""

FEW_FRAMES = 4

FAULT = "The file is damaged: it does not decode to its end without a fault."
"""Where the decode ended at the first one."""


_ENDS_EARLY = re.compile("File ended prematurely|partial file")
"""What the readers of Matroska and MP4 say, and go on to exit with 0."""


def broken_off(facts: MediaFacts, progress: bytes, words: str) -> str | None:
    """Why the decode, of which `-progress` told, did not reach the end; None when it did. `words` are its last on stderr."""
    if _ENDS_EARLY.search(words):
        return "The file is incomplete: it ends before its last stream does. Send it again."
    told = Fraction(facts.duration)
    came = max((Fraction(int(text), 1_000_000) for text in _OUT_TIME.findall(progress)), default=Fraction(0))
    if came < told - max(LEAST_SLACK, SHARE * told):
        return f"The file tells of {float(told):.2f} s, and decodes for {float(came):.2f} s."
    frames = max(map(int, _FRAMES.findall(progress)), default=0)
    wanted = facts.video.frames if facts.video is not None else None
    if wanted is not None and frames and frames < wanted - max(FEW_FRAMES, int(SHARE * wanted)):
        return f"The file tells of {wanted} pictures, and {frames} decode."
    return None
