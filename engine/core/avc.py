"""What H.264 says of itself in its sequence parameter set (ITU-T H.264, 7.3.2.1.1): codec string and size. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SET = re.compile(rb"\x00\x00\x01[\x27\x47\x67](.{4,400}?)(?=\x00\x00[\x00\x01]|\Z)", re.DOTALL)
_WITH_CHROMA = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128})
BLOCK = 16


@dataclass(frozen=True, slots=True)
class Picture:
    """`codec` as RFC 6381 has it."""

    codec: str
    width: int
    height: int


class _Bits:
    """Emulation prevention taken out. Raises IndexError behind the end."""

    def __init__(self, payload: bytes) -> None:
        self._bytes, self._at = payload.replace(b"\x00\x00\x03", b"\x00\x00"), 0

    def take(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self._bytes[self._at >> 3] >> (7 - (self._at & 7)) & 1
            self._at += 1
        return value

    def exp(self) -> int:
        """Unsigned Exp-Golomb."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        code = self.exp()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def picture_of(segment: bytes) -> Picture | None:
    """Of the first picture in a stream of NAL units, as a transport stream holds it in its first packets; None without one."""
    found = _SET.search(segment)
    if found is None:
        return None
    try:
        return _read(found[1])
    except IndexError:
        return None


def _read(payload: bytes) -> Picture:
    bits = _Bits(payload)
    profile, constraints, level = bits.take(8), bits.take(8), bits.take(8)
    bits.exp()
    if profile in _WITH_CHROMA:
        _pass_chroma(bits)
    bits.exp()
    _pass_order(bits)
    bits.exp()
    bits.take(1)
    width, height = (bits.exp() + 1) * BLOCK, (bits.exp() + 1) * BLOCK
    fields = 1 if bits.take(1) else 2
    if fields == 2:
        bits.take(1)
    bits.take(1)
    left, right, top, bottom = (bits.exp() for _ in range(4)) if bits.take(1) else (0, 0, 0, 0)
    size = (width - 2 * (left + right), fields * (height - 2 * (top + bottom)))  # 4:2:0: crops count by two
    return Picture(f"avc1.{profile:02X}{constraints:02X}{level:02X}", *size)


def _pass_chroma(bits: _Bits) -> None:
    kind = bits.exp()
    if kind == 3:  # 4:4:4, the only one with planes of their own
        bits.take(1)
    bits.exp()
    bits.exp()
    bits.take(1)
    if not bits.take(1):
        return
    for number in range(8 if kind != 3 else 12):  # the same
        if bits.take(1):
            _pass_scaling(bits, 16 if number < 6 else 64)  # six small lists, then large ones


def _pass_scaling(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _pass_order(bits: _Bits) -> None:
    """How pictures are ordered: three ways."""
    kind = bits.exp()
    if kind == 0:
        bits.exp()
    elif kind == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        for _ in range(bits.exp()):
            bits.signed()
