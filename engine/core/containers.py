"""What the first bytes of an input tell of its container: whether it can be read in one pass, and where its parts lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TS_PACKET, TS_SYNC = 188, 0x47
BOX_HEAD, LARGE_BOX_HEAD = 8, 16
MOST_BOXES = 64


@dataclass(frozen=True, slots=True)
class Box:
    """One box of the top level of an MP4 file; `size` counts its head."""

    kind: str
    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class Layout:
    """`streams`: one pass from the first byte to the last is enough. `index` is what must be read besides the two ends."""

    container: str
    streams: bool = False
    index: tuple[Box, ...] = ()


UNKNOWN = Layout("unknown")


def container_of(head: bytes) -> str:
    """`mp4`, `matroska`, `mpegts`, or `unknown` for all that is not worth a special way."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
        return "mp4"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if len(head) > 3 * TS_PACKET and all(head[at] == TS_SYNC for at in range(0, 4 * TS_PACKET, TS_PACKET)):
        return "mpegts"
    return "unknown"


def box_at(start: int, head: bytes, size: int) -> Box | None:
    """The box whose first 16 bytes are `head`, in a file of `size` bytes; None where none can be."""
    if len(head) < BOX_HEAD:
        return None
    length, kind = int.from_bytes(head[:4], "big"), head[4:8]
    if length == 1 and len(head) >= LARGE_BOX_HEAD:
        length = int.from_bytes(head[8:16], "big")
    elif length == 0:
        length = size - start
    if length < BOX_HEAD or start + length > size or not kind.isalnum():
        return None
    return Box(kind.decode("ascii"), start, length)


def layout_of(container: str, boxes: Sequence[Box] = (), size: int = 0) -> Layout:
    """`boxes` are those of an MP4 file, all of its top level; where they do not fill it, nothing is known."""
    if container != "mp4":
        return Layout(container, streams=container in ("matroska", "mpegts"))
    kinds = [box.kind for box in boxes]
    if not boxes or boxes[-1].end != size or kinds.count("moov") != 1 or kinds.count("mdat") != 1 or "moof" in kinds:
        return Layout("mp4-other")
    is_first = kinds.index("moov") < kinds.index("mdat")
    index = tuple(box for box in boxes if box.kind != "mdat")
    return Layout("mp4-index-first" if is_first else "mp4-index-last", is_first and kinds[-1] == "mdat", index)
