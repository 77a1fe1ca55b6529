"""What the `framecrc` muxer lists of each stream: the size of its picture, and the moment of every packet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Frames:
    """What framecrc lists of one stream: the picture's size, and the moment of each packet in seconds."""

    size: tuple[int, int] | None
    moments: tuple[Fraction, ...]


def frames_of(stdout: bytes) -> Mapping[int, Frames]:
    """The streams of framecrc's text by their number. Lines that are not understood are passed over."""
    bases: dict[int, Fraction] = {}
    sizes: dict[int, tuple[int, int]] = {}
    moments: dict[int, list[Fraction]] = {}
    for line in stdout.decode("ascii", "replace").splitlines():
        if line.startswith("#"):
            _header(line, bases, sizes)
            continue
        fields = [field.strip() for field in line.split(",")]
        if len(fields) >= 6 and fields[0].isdigit() and fields[2].lstrip("-").isdigit():
            stream = int(fields[0])
            moments.setdefault(stream, []).append(int(fields[2]) * bases.get(stream, Fraction(1)))
    return {stream: Frames(sizes.get(stream), tuple(moments.get(stream, ()))) for stream in bases}


def _header(line: str, bases: dict[int, Fraction], sizes: dict[int, tuple[int, int]]) -> None:
    """`#tb 0: 1/25` and `#dimensions 0: 1280x720`."""
    name, _, value = line[1:].partition(": ")
    word, _, stream = name.partition(" ")
    if not stream.isdigit():
        return
    if word == "tb":
        bases[int(stream)] = Fraction(value.strip())
    elif word == "dimensions":
        width, _, height = value.strip().partition("x")
        sizes[int(stream)] = (int(width), int(height))
