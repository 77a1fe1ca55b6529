"""A live HLS playlist as a source: which pieces come next, how long they last, when it ends. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.core import hls_input
from engine.core.hls_input import Choice
from engine.core.tracks import Piece, refused

BEHIND = 3
"""So many segments before the newest a player begins (RFC 8216, 6.3.3)."""

ENDED = "#EXT-X-ENDLIST"
LEAST_WAIT_S, MOST_WAIT_S = 0.5, 10.0
_LENGTH = re.compile(r"^#EXTINF:(\d{1,6}(?:\.\d{1,9})?)", re.MULTILINE)
_SEQUENCE = re.compile(r"^#EXT-X-MEDIA-SEQUENCE:(\d{1,15})\s*$", re.MULTILINE)
_TARGET = re.compile(r"^#EXT-X-TARGETDURATION:(\d{1,6})", re.MULTILINE)
_CUT = re.compile(r"^#EXT-X-DISCONTINUITY\s*\n", re.MULTILINE)
"""A transport stream tells its cuts itself, and the tool goes on behind them."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What a media playlist holds now. `first` is the number of its first segment; `init` comes before all of them."""

    first: int
    pieces: tuple[Piece, ...]
    seconds: tuple[float, ...]
    init: Piece | None
    is_over: bool
    target_s: float

    @property
    def wait_s(self) -> float:
        """Until it is worth another look."""
        return min(max(self.target_s / 2, LEAST_WAIT_S), MOST_WAIT_S)

    def after(self, last: int | None) -> tuple[tuple[int, Piece, float], ...]:
        """What comes behind number `last`, or near the live edge where nothing was taken yet."""
        numbered = tuple(zip(range(self.first, self.first + len(self.pieces)), self.pieces, self.seconds, strict=True))
        return numbered[-BEHIND:] if last is None else tuple(one for one in numbered if one[0] > last)


def read(text: str, url: str) -> Choice | Listed:
    """The playlist found at `url`. Raises InputFailed for one that cannot be taken as it comes."""
    is_over = ENDED in text
    found = hls_input.read(_CUT.sub("", text.replace("\r\n", "\n")) + ("" if is_over else f"\n{ENDED}\n"), url)
    if isinstance(found, Choice):
        if found.audio is not None:
            raise refused("its sound stands apart from its picture, which a live stream's may not here")
        return found
    init, pieces = (found.pieces[0], found.pieces[1:]) if found.ending == "mp4" else (None, found.pieces)
    seconds = tuple(map(float, _LENGTH.findall(text)))
    if len(seconds) != len(pieces):
        raise refused("the playlist is malformed")
    first, target = _SEQUENCE.search(text), _TARGET.search(text)
    return Listed(int(first[1]) if first else 0, pieces, seconds, init, is_over, float(target[1]) if target else max(seconds))
