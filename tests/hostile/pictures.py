"""Pictures of absurd size, shape, rate or kind; and pictures that unpack to far more than they are."""

from __future__ import annotations

import zlib

from tests.hostile.boxes import find, number, set_at
from tests.hostile.cases import CORRUPT, FORMAT, LIMITS, LONG, NO_VIDEO, SHORT, SMALL, VALID, Case, lazily, rows
from tests.hostile.ground import BOTH, H264, ONLY_SOUND, clip, encode

BAD = f"{FORMAT} {CORRUPT} {LIMITS} {SHORT} {LONG} {SMALL}"
ANY = f"{BAD} {VALID}"
STSD = "moov/trak/mdia/minf/stbl/stsd"


def described(name: str, width: int, height: int) -> bytes:
    """A film whose container says another size than its pictures have."""
    made = clip(name)
    return set_at(made, STSD, 8 + 32, number(width, 2) + number(height, 2))


def changed(name: str, old: bytes, new: bytes) -> bytes:
    """Every place of `old` in a clip is `new`; it must be there."""
    made = clip(name)
    if old not in made:
        raise LookupError(f"{name} does not hold {old!r}")
    return made.replace(old, new)


def jpeg_header(width: int, height: int) -> bytes:
    return number(height, 2) + number(width, 2)


def mjpeg(name: str, width: int, height: int) -> bytes:
    """JPEGs whose own headers say another size."""
    return changed(name, b"\xff\xc0\x00\x11\x08" + jpeg_header(320, 180), b"\xff\xc0\x00\x11\x08" + jpeg_header(width, height))


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return number(len(body)) + kind + body + number(zlib.crc32(kind + body))


def png(width: int, height: int, data: bytes) -> bytes:
    """One PNG; `data` is what its lines unpack to."""
    head = number(width) + number(height) + bytes((8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", zlib.compress(data, 9)) + png_chunk(b"IEND", b"")


def pngs(picture: bytes) -> bytes:
    """A MOV of PNGs in which each picture is another one, where it fits into the place."""
    made = clip("png_mov")
    head = b"\x89PNG\r\n\x1a\n"
    parts = made.split(head)
    placed = b"".join((picture + bytes(len(head + part)))[: len(head + part)] for part in parts[1:-1])
    return parts[0] + placed + head + parts[-1]


class Bits:
    """Writes bits, and whole numbers as H.264 does."""

    def __init__(self) -> None:
        self._bits = ""

    def put(self, value: int, width: int) -> Bits:
        self._bits += format(value, f"0{width}b")
        return self

    def golomb(self, *values: int) -> Bits:
        for value in values:
            coded = format(value + 1, "b")
            self._bits += "0" * (len(coded) - 1) + coded
        return self

    def done(self) -> bytes:
        bits = self._bits + "1"
        bits += "0" * (-len(bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8, "big")


def parameters(width: int, height: int, references: int = 16) -> bytes:
    """A sequence parameter set of H.264 for a picture of that many macroblocks."""
    made = Bits().put(66, 8).put(0, 8).put(62, 8).golomb(0, 0, 0, 0, references).put(0, 1)
    return b"\x67" + made.golomb(width // 16 - 1, height // 16 - 1).put(1, 1).put(0, 1).put(0, 1).put(0, 1).done()


def h264(width: int, height: int) -> bytes:
    """A film whose own parameters say another size; they stand where the true ones stood."""
    made = clip("mp4")
    at = made.index(b"avcC") + 4
    length = int.from_bytes(made[at + 6 : at + 8], "big")
    escaped = parameters(width, height).replace(b"\0\0\0", b"\0\0\3\0").replace(b"\0\0\1", b"\0\0\3\1")
    return made[: at + 8] + escaped.ljust(length, b"\0") + made[at + 8 + length :]


def mpeg2(width: int, height: int) -> bytes:
    """A transport stream whose sequence headers say another size."""
    old, new = (320 << 12 | 180).to_bytes(3, "big"), (width << 12 | height).to_bytes(3, "big")
    return changed("ts", b"\0\0\1\xb3" + old, b"\0\0\1\xb3" + new)


def avi(name: str, width: int, height: int) -> bytes:
    old = (320).to_bytes(4, "little") + (180).to_bytes(4, "little")
    return changed(name, old, width.to_bytes(4, "little") + height.to_bytes(4, "little"))


def vp8(width: int, height: int) -> bytes:
    old = b"\x9d\x01\x2a" + (320).to_bytes(2, "little") + (180).to_bytes(2, "little")
    return changed("webm", old, b"\x9d\x01\x2a" + width.to_bytes(2, "little") + height.to_bytes(2, "little"))


def theora() -> bytes:
    old = b"\x80theora\x03\x02\x01" + (20).to_bytes(2, "big") + (12).to_bytes(2, "big")
    return changed("ogg", old, old[:10] + b"\xff\xff\xff\xff")


def drawn(size: str, *options: str, rate: str = "10", ending: str = "mp4", source: str = "color") -> bytes:
    picture = ("-f", "lavfi", "-i", f"{source}=size={size}:rate={rate}:duration=2")
    return encode((*picture, *H264[:-2], *options, "-f", {"mp4": "mp4", "mkv": "matroska", "mov": "mov", "avi": "avi"}[ending]))


def streams(count: int) -> bytes:
    maps = tuple(word for _ in range(count) for word in ("-map", "1:a"))
    return encode((*BOTH, "-map", "0:v", *maps, *H264, "-b:a", "16k", "-f", "mp4"))


def cut(name: str, box: str) -> bytes:
    made = clip(name)
    return made[: find(made, box)[0][0]]


COPIED = ("-c", "copy")
CASES: tuple[Case, ...] = rows(
    "picture",
    *(
        (name, how, lazily(make), codes)
        for name, how, make, codes in (
            ("mp4-says-65535", "a container that says 65,535 x 65,535", lambda: described("mp4", 65535, 65535), ANY),
            ("mp4-says-0", "a container that says 0 x 0", lambda: described("mp4", 0, 0), ANY),
            ("hevc-says-65535", "the same around HEVC", lambda: described("hevc", 65535, 65535), ANY),
            ("prores-says-65535", "the same around ProRes", lambda: described("prores_mov", 65535, 65535), ANY),
            ("h264-65536", "H.264 of 65,536 x 65,536", lambda: h264(65536, 65536), BAD),
            ("h264-16384", "H.264 of 16,384 x 8,704 with 16 references", lambda: h264(16384, 8704), BAD),
            ("h264-16", "H.264 of 16 x 16 in a larger container", lambda: h264(16, 16), BAD),
            ("mjpeg-65535", "JPEGs of 65,535 x 65,535", lambda: mjpeg("mjpeg_mov", 65535, 65535), BAD),
            ("mjpeg-0", "JPEGs of 0 x 0", lambda: mjpeg("mjpeg_mov", 0, 0), ANY),
            ("mjpeg-wide", "JPEGs of 65,500 x 16", lambda: mjpeg("mjpeg_mov", 65500, 16), ANY),
            ("mjpeg-avi-65535", "the same in AVI", lambda: mjpeg("mjpeg_avi", 65535, 65535), BAD),
            ("png-65535", "PNGs of 65,535 x 65,535", lambda: pngs(png(65535, 65535, bytes(9))), BAD),
            ("png-2-31", "PNGs of 2^31-1 x 2^31-1", lambda: pngs(png(2**31 - 1, 2**31 - 1, bytes(9))), BAD),
            (
                "png-bomb",
                "PNGs that unpack to 8,000 lines of 8,000 pixels",
                lambda: pngs(png(8000, 4000, bytes(24001 * 200))),
                ANY,
            ),
            ("png-broken", "PNGs whose lines do not unpack", lambda: pngs(png(320, 180, b"")), ANY),
            ("mpeg2-4095", "MPEG-2 of 4,095 x 4,095", lambda: mpeg2(4095, 4095), ANY),
            ("mpeg2-0", "MPEG-2 of 0 x 0", lambda: mpeg2(0, 0), BAD),
            ("avi-2-31", "an AVI of 2^31-1 x 2^31-1", lambda: avi("avi", 2**31 - 1, 2**31 - 1), ANY),
            ("avi-raw-30000", "an AVI of lossless pictures of 30,000 x 30,000", lambda: avi("raw_avi", 30000, 30000), BAD),
            (
                "avi-raw-8000",
                "an AVI of lossless pictures that are smaller than they say",
                lambda: avi("raw_avi", 8000, 4000),
                ANY,
            ),
            ("vp8-16383", "VP8 of 16,383 x 16,383", lambda: vp8(16383, 16383), ANY),
            ("vp8-8000", "VP8 of 8,000 x 4,000 on the data of 320 x 180", lambda: vp8(8000, 4000), ANY),
            ("theora-65535", "Theora of 1,048,560 x 1,048,560", theora, f"{NO_VIDEO} {BAD}"),
            (
                "1x1",
                "a film of one pixel",
                lambda: drawn("16x16", "-vf", "format=yuv444p,crop=1:1", "-pix_fmt", "yuv444p"),
                SMALL,
            ),
            ("16x16384", "a film of 16 x 16,384", lambda: drawn("16x16384"), f"{SMALL} {LIMITS}"),
            ("16384x16", "a film of 16,384 x 16", lambda: drawn("16384x16"), f"{SMALL} {LIMITS}"),
            ("8192x180", "a film 8,192 wide and 180 high", lambda: drawn("8192x180"), VALID),
            ("180x8192", "a film 180 wide and 8,192 high", lambda: drawn("320x8192"), ANY),
            (
                "odd-size",
                "a film of 321 x 181 in full colour",
                lambda: drawn("322x182", "-vf", "crop=321:181", "-pix_fmt", "yuv444p"),
                VALID,
            ),
            ("pixels-1-60000", "pixels 60,000 times as high as wide", lambda: drawn("320x180", "-vf", "setsar=1/60000"), ANY),
            (
                "pixels-16-1",
                "pixels 16 times as wide as high, 8,192 of them",
                lambda: drawn("8192x180", "-vf", "setsar=16/1"),
                ANY,
            ),
            ("rate-1000", "a thousand pictures a second", lambda: drawn("320x180", rate="1000"), LIMITS),
            (
                "rate-90000",
                "ninety thousand pictures a second",
                lambda: drawn("320x180", "-t", "0.02", rate="90000"),
                f"{LIMITS} {SHORT}",
            ),
            ("rate-slow", "one picture in two seconds", lambda: drawn("320x180", rate="1/2"), ANY),
            ("one-picture", "a single picture", lambda: drawn("320x180", "-frames:v", "1"), f"{SHORT} {VALID}"),
            ("too-short", "a fifth of a second", lambda: drawn("320x180", "-t", "0.2"), SHORT),
            (
                "late-start",
                "a film that begins after three weeks",
                lambda: drawn("320x180", "-output_ts_offset", "2000000", ending="mkv"),
                ANY,
            ),
            (
                "negative-start",
                "a film that begins before time",
                lambda: drawn("320x180", "-output_ts_offset", "-5", "-avoid_negative_ts", "disabled", ending="mkv"),
                ANY,
            ),
            (
                "grey-12",
                "grey in 10 bits",
                lambda: drawn("320x180", "-pix_fmt", "yuv420p10le", "-vf", "hue=s=0", ending="mkv"),
                VALID,
            ),
            ("only-sound", "sound under the name of a film", lambda: encode((*ONLY_SOUND, "-c:a", "aac", "-f", "mp4")), NO_VIDEO),
            ("streams-70", "seventy sound tracks", lambda: streams(70), LIMITS),
            ("streams-60", "sixty sound tracks", lambda: streams(60), VALID),
            (
                "codec-gif",
                "a codec we do not read (QuickTime animation)",
                lambda: encode((*BOTH[:4], "-c:v", "qtrle", "-f", "mov")),
                FORMAT,
            ),
            (
                "codec-jpeg2000",
                "a codec we do not read (JPEG 2000)",
                lambda: encode((*BOTH[:4], "-c:v", "jpeg2000", "-f", "mov")),
                FORMAT,
            ),
            (
                "codec-snow",
                "a codec we do not read (Snow)",
                lambda: encode((*BOTH[:4], "-c:v", "snow", "-strict", "-2", "-f", "avi")),
                FORMAT,
            ),
            (
                "noise",
                "pure noise, which is slow to decode",
                lambda: drawn("640x360", "-vf", "noise=alls=100:allf=t", "-crf", "0", "-preset", "veryfast", "-t", "1"),
                VALID,
            ),
        )
    ),
)
