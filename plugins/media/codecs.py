"""The CODECS strings of players (RFC 6381), by what the made files say of their streams in their own headers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

Stream = Mapping[str, Any]  # one object of ffprobe's JSON, whose values may be of any kind

SOUNDS = {"aac": "mp4a.40.2", "mp3": "mp4a.40.34", "opus": "opus", "ac3": "ac-3"}
"""AAC is always its low complexity profile here."""

VP9_LEVELS: tuple[tuple[int, int, int], ...] = (
    *((10, 829_440, 36_864), (11, 2_764_800, 73_728), (20, 4_608_000, 122_880), (21, 9_216_000, 245_760)),
    *((30, 20_736_000, 552_960), (31, 36_864_000, 983_040), (40, 83_558_400, 2_228_224), (41, 160_432_128, 2_228_224)),
    *((50, 311_951_360, 8_912_896), (51, 588_251_136, 8_912_896), (52, 1_176_502_272, 8_912_896)),
    *((60, 1_176_502_272, 35_651_584), (61, 2_353_004_544, 35_651_584), (62, 4_706_009_088, 35_651_584)),
)
"""Level, most luma samples a second, most in a picture: from the bitstream's overview. The stream does not tell its own."""

_DUMPED = re.compile(r"^[0-9a-f]{8}: ((?:[0-9a-f]{2,4} )+)", re.MULTILINE)
_DEEP = re.compile(r"p(?:0)?(10|12)(?:le|be)?$")


def codecs(stdout: bytes) -> str | None:
    """Picture and sounds of a file, from ffprobe's JSON with `-show_data`; None where a stream has no such string.

    Each string stands once, however many streams it is told of.
    """
    streams: list[Stream] = json.loads(stdout).get("streams") or []
    told = [_of(stream) for stream in streams if stream.get("codec_type") in ("video", "audio")]
    known = [one for one in told if one is not None]
    return ",".join(dict.fromkeys(known)) if known and len(known) == len(told) else None


def picture(stdout: bytes) -> str | None:
    """That of the first picture alone."""
    streams: list[Stream] = json.loads(stdout).get("streams") or []
    return next((_of(stream) for stream in streams if stream.get("codec_type") == "video"), None)


def _of(stream: Stream) -> str | None:
    name = str(stream.get("codec_name") or "")
    if stream.get("codec_type") == "audio":
        return SOUNDS.get(name)
    build = _PICTURES.get(name)
    return build(stream) if build else None


def _header(stream: Stream) -> bytes:
    """The codec's configuration as the file holds it; ffprobe shows it as a dump."""
    return bytes.fromhex("".join(_DUMPED.findall(str(stream.get("extradata") or ""))))


def _avc(stream: Stream) -> str | None:
    """Profile, constraints and level, as AVCDecoderConfigurationRecord has them."""
    header = _header(stream)
    return f"avc1.{header[1:4].hex().upper()}" if len(header) > 4 and header[0] == 1 else None


def _hevc(stream: Stream) -> str | None:
    """ISO/IEC 14496-15 E.3: the compatibility flags in reverse order, and no zero bytes at the end of the constraints."""
    header = _header(stream)
    if len(header) < 13 or header[0] != 1:
        return None
    space, tier, profile = ("", "A", "B", "C")[header[1] >> 6], "LH"[header[1] >> 5 & 1], header[1] & 31
    flags = int(f"{int.from_bytes(header[2:6], 'big'):032b}"[::-1], 2)
    constraints = header[6:12].rstrip(b"\0")
    return ".".join(["hvc1", f"{space}{profile}", f"{flags:X}", f"{tier}{header[12]}", *(f"{byte:X}" for byte in constraints)])


def _av1(stream: Stream) -> str | None:
    """Profile, level, tier and depth, as AV1CodecConfigurationRecord has them."""
    header = _header(stream)
    if len(header) < 4 or header[0] != 0x81:
        return None
    profile, level, tier = header[1] >> 5, header[1] & 31, "MH"[header[2] >> 7]
    depth = 8 if not header[2] & 0x40 else 12 if header[2] & 0x20 else 10
    return f"av01.{profile}.{level:02d}{tier}.{depth:02d}"


def _vp9(stream: Stream) -> str | None:
    """Profile, level and depth. The level is the least that fits the size and the rate."""
    profile = str(stream.get("profile") or "").removeprefix("Profile ")
    size = int(stream.get("width") or 0) * int(stream.get("height") or 0)
    try:
        rate = size * Fraction(str(stream.get("avg_frame_rate")))
    except (ValueError, ZeroDivisionError):
        return None
    level = next((level for level, most_rate, most_size in VP9_LEVELS if rate <= most_rate and size <= most_size), None)
    found = _DEEP.search(str(stream.get("pix_fmt") or ""))
    depth = int(found[1]) if found else 8
    return f"vp09.{int(profile):02d}.{level}.{depth:02d}" if profile.isdecimal() and level and size else None


_PICTURES: Mapping[str, Callable[[Stream], str | None]] = {"h264": _avc, "hevc": _hevc, "av1": _av1, "vp9": _vp9}
