"""Transport streams, AVI, Ogg, FLV, ASF and files of sound whose structure lies."""

from __future__ import annotations

import random
import struct
import zlib

from tests.hostile.cases import CORRUPT, FORMAT, LIMITS, LONG, SHORT, SMALL, VALID, Case, lazily, rows, sounds
from tests.hostile.damage import ANYTHING
from tests.hostile.ground import ONLY_SOUND, clip, encode

BAD = f"{FORMAT} {CORRUPT} {LIMITS} {SHORT} {LONG} {SMALL}"
PACKET = 188


def packets(name: str = "h264_ts") -> list[bytearray]:
    made = clip(name)
    return [bytearray(made[at : at + PACKET]) for at in range(0, len(made), PACKET)]


def pids_by_chance() -> bytes:
    chance, made = random.Random(5), packets()
    for packet in made[5:]:
        packet[1:3] = chance.randrange(8192).to_bytes(2, "big")
    return b"".join(made)


def scrambled() -> bytes:
    """Every packet says it is encrypted."""
    made = packets()
    for packet in made:
        packet[3] |= 0xC0
    return b"".join(made)


def tables_only() -> bytes:
    return b"".join(packets()[:3]) * 2000


def nulls() -> bytes:
    return (b"\x47\x1f\xff\x10" + bytes(184)) * 40_000


def programs(count: int) -> bytes:
    """A map that names as many streams as fit, again and again under other numbers."""
    made = bytearray()
    for n in range(count):
        body = b"\2\xb0\xb2\0\1" + bytes([0xC1 | n % 16 << 1]) + b"\0\0\xe1\0\xf0\0"
        body += b"".join(b"\x1b" + (0xE000 | (n * 30 + k) % 8000).to_bytes(2, "big") + b"\xf0\0" for k in range(33))
        made += (b"\x47\x50\0\x10\0" + body).ljust(PACKET, b"\xff")[:PACKET]
    return b"".join(packets()[:3]) + bytes(made) + clip("h264_ts")


def clocks() -> bytes:
    """The clock jumps by chance with every packet that tells it."""
    chance, made = random.Random(6), packets()
    for packet in made:
        if packet[3] & 0x20 and packet[4] > 6 and packet[5] & 0x10:
            packet[6:11] = chance.randbytes(5)
    return b"".join(made)


def sync_lost() -> bytes:
    return b"\x00".join(bytes(packet) for packet in packets())


def chunk(kind: bytes, body: bytes, size: int | None = None) -> bytes:
    return kind + (len(body) if size is None else size).to_bytes(4, "little") + body + bytes(len(body) % 2)


def avi_header(offset: int, value: int) -> bytes:
    """Another number in the header of the first stream."""
    made = bytearray(clip("avi"))
    at = made.index(b"strh") + 8 + offset
    made[at : at + 4] = value.to_bytes(4, "little")
    return bytes(made)


def avi_index(entries: int, offset: int) -> bytes:
    """An old index of entries that all point to one place."""
    made = clip("avi")
    at = made.index(b"idx1")
    return made[:at] + chunk(b"idx1", (b"00dc" + struct.pack("<III", 16, offset, 2**31 - 1)) * entries)


def avi_lists(depth: int) -> bytes:
    made = b""
    for _ in range(depth):
        made = chunk(b"LIST", b"movi" + made)
    return b"RIFF" + bytes(4) + b"AVI " + clip("avi")[12 : clip("avi").index(b"LIST", 400)] + made


def super_index() -> bytes:
    """An index of indexes that names itself."""
    body = struct.pack("<HBBI4s3I", 4, 0, 0, 5000, b"00dc", 0, 0, 0) + struct.pack("<QII", 300, 100, 1) * 5000
    made = clip("avi")
    at = made.index(b"strf")
    return made[:at] + chunk(b"indx", body) + made[at:]


def granules(value: int) -> bytes:
    """Every page of an Ogg file at one moment, with sums that fit."""
    made, at = bytearray(clip("ogg")), 0
    while (at := made.find(b"OggS", at)) >= 0:
        made[at + 6 : at + 14] = value.to_bytes(8, "little")
        at += 4
    return bytes(made)


def flash(nesting: int) -> bytes:
    """A script tag of objects inside each other."""
    body = b"\x02\x00\x0aonMetaData" + b"\x03\x00\x01a" * nesting
    tag = b"\x12" + len(body).to_bytes(3, "big") + bytes(7) + body + (len(body) + 11).to_bytes(4, "big")
    return clip("flv")[:13] + tag + clip("flv")[13:]


def flash_times() -> bytes:
    made, at, chance = bytearray(clip("flv")), 13, random.Random(2)
    while at + 11 < len(made):
        length = int.from_bytes(made[at + 1 : at + 4], "big")
        made[at + 4 : at + 8] = chance.randbytes(4)
        at += 11 + length + 4
    return bytes(made)


def wave(
    *, channels: int = 1, rate: int = 44100, bits: int = 16, align: int = 2, size: int | None = None, kind: int = 1
) -> bytes:
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * align % 2**32, align, bits)
    body = clip("wav")[-100_000:]
    return b"RIFF" + b"\xff" * 4 + b"WAVE" + chunk(b"fmt ", form) + chunk(b"data", body, size)


def synchsafe(value: int) -> bytes:
    return bytes(value >> shift & 127 for shift in (21, 14, 7, 0))


def id3(frames: bytes, size: int | None = None) -> bytes:
    return b"ID3\4\0\0" + synchsafe(len(frames) if size is None else size) + frames


def frame(kind: bytes, body: bytes, flags: bytes = b"\0\0") -> bytes:
    return kind + synchsafe(len(body)) + flags + body


def unpacking(count: int) -> bytes:
    """A tag whose one frame unpacks to `count` bytes."""
    body = synchsafe(count) + zlib.compress(bytes(count), 9)
    return id3(frame(b"TIT2", body, b"\0\x09")) + clip("mp3")


def flac_block(kind: int, body: bytes, size: int | None = None) -> bytes:
    made = clip("flac")
    return made[:4] + bytes([kind]) + (len(body) if size is None else size).to_bytes(3, "big") + body + made[4:]


CASES: tuple[Case, ...] = rows(
    "container",
    *(
        (name, how, lazily(make), codes)
        for name, how, make, codes in (
            ("ts-pids", "packets of streams by chance", pids_by_chance, ANYTHING),
            ("ts-scrambled", "packets that all say they are encrypted", scrambled, ANYTHING),
            ("ts-tables", "tables and nothing else", tables_only, BAD),
            ("ts-nulls", "seven megabytes of empty packets", nulls, BAD),
            ("ts-programs", "a map that names other streams with every packet", lambda: programs(400), ANYTHING),
            ("ts-clock", "a clock that jumps", clocks, ANYTHING),
            ("ts-sync", "a byte too many after every packet", sync_lost, ANYTHING),
            ("avi-rate-0", "a rate of 0", lambda: avi_header(24, 0), ANYTHING),
            ("avi-scale-0", "a scale of 0", lambda: avi_header(20, 0), ANYTHING),
            ("avi-rate-most", "a rate of 2^32-1", lambda: avi_header(24, 2**32 - 1), ANYTHING),
            ("avi-length-most", "a length of 2^32-1 pictures", lambda: avi_header(32, 2**32 - 1), ANYTHING),
            ("avi-index-far", "an index of places behind the end", lambda: avi_index(100_000, 2**31), ANYTHING),
            ("avi-index-same", "an index that names one place a hundred thousand times", lambda: avi_index(100_000, 4), ANYTHING),
            ("avi-lists", "a thousand lists inside each other", lambda: avi_lists(1000), BAD),
            ("avi-super-index", "an index of indexes that names itself", super_index, ANYTHING),
            ("avi-riff-0", "a RIFF of no size", lambda: clip("avi")[:4] + bytes(4) + clip("avi")[8:], ANYTHING),
            ("ogg-chained", "thirty films one after the other", lambda: clip("ogg") * 30, ANYTHING),
            ("ogg-granule-most", "pages at the end of time", lambda: granules(2**63 - 1), ANYTHING),
            ("ogg-granule-none", "pages of no time", lambda: granules(2**64 - 1), ANYTHING),
            ("flv-nested", "ten thousand objects inside each other", lambda: flash(10_000), ANYTHING),
            ("flv-times", "times by chance", flash_times, ANYTHING),
            (
                "flv-empty-tags",
                "two hundred thousand empty tags",
                lambda: clip("flv")[:13] + (b"\x09" + bytes(10) + b"\0\0\0\x0b") * 200_000,
                BAD,
            ),
            (
                "asf-head",
                "a header of 2^32-1 objects",
                lambda: clip("asf")[:24] + b"\xff\xff\xff\xff" + clip("asf")[28:],
                ANYTHING,
            ),
            (
                "asf-size",
                "a header of 2^63-1 bytes",
                lambda: clip("asf")[:16] + (2**63 - 1).to_bytes(8, "little") + clip("asf")[24:],
                ANYTHING,
            ),
            ("mpeg-system", "headers of a programme stream and nothing else", lambda: clip("mpeg")[:12] * 20_000, BAD),
            ("mxf-partitions", "an MXF that is its header over and over", lambda: clip("mxf")[:2048] * 500, ANYTHING),
        )
    ),
)
CASES += sounds(
    "sound",
    *(
        (name, how, lazily(make), codes)
        for name, how, make, codes in (
            ("wav-rate-0", "a sampling rate of 0", lambda: wave(rate=0), ANYTHING),
            ("wav-rate-most", "a sampling rate of 2^32-1", lambda: wave(rate=2**32 - 1), ANYTHING),
            ("wav-rate-1", "a sampling rate of 1", lambda: wave(rate=1), ANYTHING),
            ("wav-channels", "65,535 channels", lambda: wave(channels=65535), ANYTHING),
            ("wav-channels-0", "no channels", lambda: wave(channels=0), ANYTHING),
            ("wav-align-0", "blocks of no bytes", lambda: wave(align=0), ANYTHING),
            ("wav-bits", "65,535 bits for each sample", lambda: wave(bits=65535), ANYTHING),
            ("wav-size", "2^32-1 bytes of samples", lambda: wave(size=2**32 - 1), ANYTHING),
            ("wav-codec", "a codec nobody has heard of", lambda: wave(kind=0xBEEF), BAD),
            ("wav-no-format", "samples of no kind", lambda: b"RIFF\xff\xff\xff\xffWAVE" + chunk(b"data", bytes(9999)), BAD),
            (
                "high-rate",
                "384,000 samples a second in eight channels",
                lambda: encode((*ONLY_SOUND, "-ar", "384000", "-ac", "8", "-t", "1", "-c:a", "pcm_s16le", "-f", "wav")),
                ANYTHING,
            ),
            ("id3-claims", "a tag of 256 MB that is not there", lambda: id3(b"", (1 << 28) - 1) + clip("mp3"), ANYTHING),
            (
                "id3-frames",
                "a tag of a hundred thousand frames",
                lambda: id3(frame(b"TXXX", b"\3a\0b") * 100_000) + clip("mp3"),
                VALID,
            ),
            (
                "id3-picture",
                "a tag with a picture of 16 MB",
                lambda: id3(frame(b"APIC", b"\0image/png\0\3\0" + bytes(16 << 20))) + clip("mp3"),
                ANYTHING,
            ),
            ("id3-bomb", "a tag that unpacks to 200 MB", lambda: unpacking(200 << 20), ANYTHING),
            ("id3-chain", "ten thousand tags one after the other", lambda: id3(b"\0" * 20) * 10_000 + clip("mp3"), ANYTHING),
            (
                "aac-tags",
                "a tag between all frames",
                lambda: clip("aac")[:5000] + id3(bytes(99)) * 500 + clip("aac")[5000:],
                ANYTHING,
            ),
            ("flac-blocks", "a thousand empty blocks", lambda: flac_block(1, bytes(4096) + (b"\1" + bytes(3)) * 1000), ANYTHING),
            ("flac-picture", "a picture of 16 MB that is not there", lambda: flac_block(6, bytes(40), 2**24 - 1), ANYTHING),
            ("flac-comment", "2^32-1 comments", lambda: flac_block(4, bytes(4) + b"\xff" * 4), ANYTHING),
            ("ogg-sound-chained", "three hundred songs one after the other", lambda: clip("ogg_sound") * 300, ANYTHING),
            ("mp3-cut", "a song that breaks off", lambda: clip("mp3")[:7000], ANYTHING),
            ("flac-cut", "a song without loss that breaks off", lambda: clip("flac")[:19_000], CORRUPT),
            ("only-picture", "a film without sound", lambda: clip("hevc"), FORMAT),
        )
    ),
)
