"""What a publisher sends, as one FLV stream that a tool can read: its clock made whole, nothing before a first keyframe. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.core.rtmp import AUDIO, VIDEO, Tag

MOST_JUMP_MS, STEP_MS = 10_000, 20
"""A clock that moves further at once, either way, was set anew: the next tag comes right behind the last one."""

HEAD_MS, LATE_SOUND_MS = 500, 1200
"""So much picture is looked at before the encode begins; so long sound may be late and still belong to the stream."""

MOST_HELD_BYTES = 32 << 20
"""So much is kept of a stream whose clock stands still; then the encode begins with what is there."""

AAC, KEYFRAME, SEQUENCE_HEADER, AVC_END = 10, 1, 0, 2


def header(*, has_sound: bool, has_picture: bool = True) -> bytes:
    return b"FLV\x01" + bytes((4 * has_sound | has_picture,)) + (9).to_bytes(4, "big") + bytes(4)


def written(kind: int, moment: int, content: bytes) -> bytes:
    size, time = len(content).to_bytes(3, "big"), (moment & 0xFFFFFF).to_bytes(3, "big") + bytes(((moment >> 24) & 0x7F,))
    return bytes((kind,)) + size + time + bytes(3) + content + (11 + len(content)).to_bytes(4, "big")


@dataclass(slots=True)
class Timeline:
    """Moments that grow: a publisher that comes back, or whose clock was set anew, goes on where it was."""

    _last_in: int | None = None
    _shift: int = 0
    _furthest: int = 0

    def cut(self) -> None:
        """What comes next has another clock."""
        self._last_in = None

    def place(self, moment: int) -> int:
        if self._last_in is None:
            self._shift = self._furthest + (STEP_MS if self._furthest else 0) - moment
        elif abs(moment - self._last_in) > MOST_JUMP_MS:
            self._shift += self._last_in + STEP_MS - moment
        self._last_in = moment
        placed = max(0, moment + self._shift)
        self._furthest = max(self._furthest, placed)
        return placed

    @property
    def furthest(self) -> int:
        return self._furthest


def _is_keyframe(tag: Tag) -> bool:
    return tag.kind == VIDEO and len(tag.content) > 1 and (tag.content[0] >> 4) & 7 == KEYFRAME and not _is_setup(tag)


def _is_setup(tag: Tag) -> bool:
    """The codec's own header, which stands before the frames it is for. Enhanced RTMP has a bit and a name for it."""
    if len(tag.content) < 2:
        return True
    first, second = tag.content[0], tag.content[1]
    if tag.kind == AUDIO:
        return first >> 4 == AAC and second == SEQUENCE_HEADER
    return first & 0x0F == SEQUENCE_HEADER if first & 0x80 else second == SEQUENCE_HEADER and first & 0x0F == 7


@dataclass(slots=True)
class Stream:
    """Tags in, bytes of FLV out. `head` is None until enough has come to tell what the stream is; it begins the bytes.

    `is_other` once the picture is of another kind or size: what comes then is another stream, and nothing of it is given.
    """

    timeline: Timeline = field(default_factory=Timeline)
    head: bytes | None = None
    has_sound: bool = False
    is_other: bool = False
    _setups: dict[int, Tag] = field(default_factory=dict)
    _held: list[bytes] = field(default_factory=list)
    _held_bytes: int = 0
    _first: int | None = None

    @property
    def seconds(self) -> float:
        return self.timeline.furthest / 1000

    def take(self, tag: Tag) -> bytes:
        """What can be read of the stream now; nothing while the head is not whole."""
        if not tag.content:
            return b""
        if _is_setup(tag):
            self.is_other = self.is_other or self._changes(tag)
            self._setups[tag.kind] = tag
        if self.is_other or (self.head is not None and tag.kind == AUDIO and not self.has_sound):
            return b""
        if self.head is not None:
            return written(tag.kind, self.timeline.place(tag.moment), tag.content)
        if self._first is None:
            self._begin(tag)
        else:
            self._held.append(written(tag.kind, self.timeline.place(tag.moment), tag.content))
            self._held_bytes += len(self._held[-1])
        self.has_sound = self.has_sound or tag.kind == AUDIO
        return self._opened()

    def _changes(self, setup: Tag) -> bool:
        """An encoder that comes back, or says it again, says the same."""
        before = self._setups.get(VIDEO)
        if self._first is None or setup.kind != VIDEO or before is None:
            return False
        return setup.content != before.content

    def _begin(self, tag: Tag) -> None:
        """Everything before the first keyframe but the codecs' headers is left out."""
        if not _is_keyframe(tag):
            return
        first = self._first = self.timeline.place(tag.moment)
        self._held = [written(kind, first, setup.content) for kind, setup in self._setups.items()]
        self._held.append(written(tag.kind, first, tag.content))

    def _opened(self) -> bytes:
        if self._first is None:
            return b""
        is_short = self.timeline.furthest - self._first < (HEAD_MS if self.has_sound else LATE_SOUND_MS)
        if is_short and self._held_bytes < MOST_HELD_BYTES:
            return b""
        return self.close()

    def close(self) -> bytes:
        """The head as it is, for a stream that ends before it was whole."""
        if self.head is not None or self._first is None:
            return b""
        self.head = header(has_sound=self.has_sound) + b"".join(self._held)
        self._held.clear()
        return self.head
