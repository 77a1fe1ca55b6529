"""MP4 and MOV files whose tables lie: counts, offsets, times, nesting."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from tests.hostile.boxes import box, content, find, full, number, patched, replaced, set_at, table
from tests.hostile.cases import CORRUPT, FORMAT, LIMITS, LONG, SHORT, VALID, Case, lazily, rows
from tests.hostile.ground import BOTH, H264, clip, encode

STBL = "moov/trak/mdia/minf/stbl"
MDHD, MVHD, TKHD = "moov/trak/mdia/mdhd", "moov/mvhd", "moov/trak/tkhd"
BAD = f"{FORMAT} {CORRUPT} {LIMITS} {SHORT} {LONG}"
ANY = f"{BAD} {VALID}"
FTYP = box(b"ftyp", b"isom" + bytes(4) + b"isommp42")
MOST = number(-1)


def film() -> bytes:
    return clip("mp4")


def at(path: str, offset: int, value: bytes) -> Callable[[], bytes]:
    """A field of the film with another value."""
    return lambda: set_at(film(), path, offset, value)


def told(kind: bytes, count: int, entries: bytes = b"") -> Callable[[], bytes]:
    """A sample table of the picture that says other things."""
    return lambda: replaced(film(), f"{STBL}/{kind.decode()}", table(kind, count, entries))


def added(kind: bytes, body: bytes, path: str = STBL) -> Callable[[], bytes]:
    return lambda: patched(film(), path, full(kind, body))


def sizes(count: int, each: int) -> Callable[[], bytes]:
    return lambda: replaced(film(), f"{STBL}/stsz", full(b"stsz", number(each) + number(count)))


def edits(*entries: tuple[int, int, int], version: int = 0) -> Callable[[], bytes]:
    """Edit lists: length, where in the media, rate."""
    width = 8 if version else 4
    body = number(len(entries)) + b"".join(number(a, width) + number(b, width) + number(c) for a, b, c in entries)
    return lambda: replaced(film(), "moov/trak/edts", box(b"edts", full(b"elst", body, version=version)))


def nested(kind: bytes, depth: int) -> bytes:
    made = b""
    for _ in range(depth):
        made = box(kind, made)
    return made


def shared_offset() -> bytes:
    """Every chunk begins at the same place."""
    old = content(film(), f"{STBL}/stco")
    return set_at(film(), f"{STBL}/stco", 8, old[8:12] * ((len(old) - 8) // 4))


def compressed(bomb: int) -> bytes:
    """A compressed `moov` that unpacks to `bomb` zeros."""
    packed = zlib.compress(bytes(bomb), 9)
    inner = box(b"dcom", b"zlib") + box(b"cmvd", number(bomb) + packed)
    return FTYP + box(b"moov", box(b"cmov", inner)) + box(b"mdat", bytes(64))


def many_tracks(count: int) -> bytes:
    trak = film()[find(film(), "moov/trak")[0][-1] : find(film(), "moov/trak")[1]]
    header = box(b"mvhd", content(film(), MVHD))
    small = trak if count < 1000 else box(b"trak", box(b"mdia", full(b"hdlr", bytes(4) + b"vide" + bytes(13))))
    return FTYP + box(b"moov", header + small * count) + box(b"mdat", bytes(64))


def fragments(count: int) -> bytes:
    made = clip("fragmented")
    return made[: find(made, "moov")[1]] + box(b"moof", full(b"mfhd", number(1))) * count


def endless_fragment() -> bytes:
    """A fragment with a run of 2^32 samples of no length."""
    made = clip("fragmented")
    run = full(b"trun", MOST, flags=0)
    head = full(b"tfhd", number(1) + number(0) + number(0), flags=0x18)
    return made[: find(made, "moov")[1]] + box(b"moof", full(b"mfhd", number(1)) + box(b"traf", head + run))


def chapters() -> bytes:
    """Both tracks are each other's chapters."""
    return patched(film(), "moov/trak", box(b"tref", box(b"chap", number(1) + number(2) + number(1))))


def encrypted() -> bytes:
    key = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "0" * 32, "-encryption_kid", "1" * 32)
    return encode((*BOTH, *H264, *key, "-f", "mp4"))


def cover(count: int) -> bytes:
    item = box(b"covr", box(b"data", number(13) + number(0) + bytes(count)))
    return patched(
        clip("moov_last"), "moov", box(b"udta", full(b"meta", full(b"hdlr", bytes(4) + b"mdir" + bytes(13)) + box(b"ilst", item)))
    )


def sample_entry(kind: bytes, *, width: int = 320, height: int = 180, more: bytes = b"") -> Callable[[], bytes]:
    entry = box(kind, bytes(6) + number(1, 2) + bytes(16) + number(width, 2) + number(height, 2) + bytes(50) + more)
    return lambda: replaced(film(), f"{STBL}/stsd", full(b"stsd", number(1) + entry))


def without(path: str) -> Callable[[], bytes]:
    return lambda: replaced(film(), path, b"")


def cut_moov() -> bytes:
    made = clip("moov_last")
    return made[: find(made, "moov")[0][0] + 400]


CASES: tuple[Case, ...] = rows(
    "movie",
    *(
        (name, how, lazily(make), codes)
        for name, how, make, codes in (
            ("timescale-0", "a time scale of 0", at(MDHD, 12, number(0)), ANY),
            ("timescale-1", "a time scale of 1", at(MDHD, 12, number(1)), ANY),
            ("timescale-most", "a time scale of 2^32-1", at(MDHD, 12, MOST), ANY),
            ("movie-timescale-0", "a time scale of 0 for the whole film", at(MVHD, 12, number(0)), ANY),
            ("movie-length-most", "a film of 2^32-1 ticks", at(MVHD, 16, MOST), ANY),
            ("track-length-most", "a track of 2^32-1 ticks", at(TKHD, 20, MOST), ANY),
            ("media-length-most", "media of 2^32-1 ticks", at(MDHD, 16, MOST), ANY),
            ("track-id-0", "a track without a number", at(TKHD, 12, number(0)), ANY),
            ("matrix", "a display matrix of nonsense", at(TKHD, 40, MOST * 9), ANY),
            (
                "matrix-45",
                "a picture turned by 45 degrees",
                at(TKHD, 40, b"".join(map(number, (46341, 46341, 0, -46341, 46341, 0)))),
                ANY,
            ),
            ("version-9", "a header of an unknown version", at(MDHD, 0, b"\x09"), ANY),
            ("stts-count", "2^32-1 entries of durations that are not there", told(b"stts", 2**32 - 1), ANY),
            ("stts-samples", "one duration for 2^32-1 samples", told(b"stts", 1, MOST + number(1024)), ANY),
            ("stts-zero", "samples of no duration", told(b"stts", 1, number(20) + number(0)), ANY),
            ("stts-negative", "samples of negative duration", told(b"stts", 1, number(20) + MOST), ANY),
            ("stts-long", "samples of a day each", told(b"stts", 1, number(20) + number(2**31 - 1)), ANY),
            (
                "stts-sparse",
                "one sample shown for 23 hours",
                told(b"stts", 2, number(1) + number(1_059_000_000) + number(19) + number(1024)),
                ANY,
            ),
            ("ctts-huge", "offsets of 2^31-1", added(b"ctts", number(1) + number(20) + number(2**31 - 1)), ANY),
            ("ctts-negative", "offsets of -2^31", added(b"ctts", number(1) + number(20) + number(2**31)), ANY),
            ("ctts-count", "2^32-1 offsets that are not there", added(b"ctts", MOST), ANY),
            ("stsz-count", "2^32-1 samples of one byte", sizes(2**32 - 1, 1), ANY),
            ("stsz-half", "2^30 samples of one byte", sizes(2**30, 1), ANY),
            ("stsz-large", "samples of 2^31-1 bytes", sizes(20, 2**31 - 1), ANY),
            ("stsz-empty", "20 million samples of no bytes", sizes(20_000_000, 0), ANY),
            ("stsc-zero", "chunks of no samples", told(b"stsc", 1, number(1) + number(0) + number(1)), ANY),
            ("stsc-most", "chunks of 2^32-1 samples", told(b"stsc", 1, number(1) + MOST + number(1)), ANY),
            ("stsc-first-0", "a first chunk before the first", told(b"stsc", 1, number(0) + number(1) + number(1)), ANY),
            (
                "stsc-description",
                "samples of a description that is not there",
                told(b"stsc", 1, number(1) + number(1) + number(9)),
                ANY,
            ),
            ("stco-count", "2^32-1 chunks that are not there", told(b"stco", 2**32 - 1), ANY),
            ("stco-same", "all chunks at one place", shared_offset, ANY),
            ("stco-beyond", "chunks behind the end of the file", told(b"stco", 1, number(2**32 - 9)), ANY),
            ("stco-head", "chunks inside the header", told(b"stco", 20, number(8) * 20), ANY),
            ("stss-count", "2^32-1 keyframes", lambda: replaced(film(), f"{STBL}/stss", table(b"stss", 2**32 - 1, b"")), ANY),
            ("elst-long", "an edit as long as can be", edits((2**31 - 1, 0, 65536)), ANY),
            ("elst-beyond", "an edit that begins behind the end", edits((2000, 2**31 - 1, 65536)), ANY),
            ("elst-rate-0", "an edit that stands still", edits((2000, 0, 0)), ANY),
            ("elst-empty", "an empty edit of 20 days", edits((2**31 - 1, -1, 65536), (2000, 0, 65536)), ANY),
            ("elst-many", "four thousand edits of the same picture", edits(*[(1, 0, 65536)] * 4000), ANY),
            ("elst-repeat", "the whole film two hundred times over", edits(*[(2000, 0, 65536)] * 200), ANY),
            ("elst-64", "an edit of 2^63-1", edits((2**63 - 1, 0, 65536), version=1), ANY),
            (
                "stsd-count",
                "65,535 descriptions, of which one is there",
                lambda: set_at(film(), f"{STBL}/stsd", 4, number(65535)),
                ANY,
            ),
            (
                "stsd-none",
                "no description of the samples",
                lambda: replaced(film(), f"{STBL}/stsd", full(b"stsd", number(0))),
                BAD,
            ),
            ("codec-unknown", "a codec nobody has heard of", sample_entry(b"zzzz"), BAD),
            ("codec-refused", "a codec we do not read (Cinepak)", sample_entry(b"cvid"), BAD),
            ("avcc-missing", "H.264 without its parameters", sample_entry(b"avc1"), BAD),
            (
                "avcc-cut",
                "H.264 with parameters that break off",
                sample_entry(b"avc1", more=box(b"avcC", b"\1\x64\0\x1e\xff\xff\xff\xff")),
                BAD,
            ),
            (
                "avcc-lies",
                "31 parameter sets, none of them there",
                sample_entry(b"avc1", more=box(b"avcC", b"\1\x64\0\x1e\xff\xff" + bytes(40))),
                BAD,
            ),
            ("no-stbl", "a track without tables", without(STBL), BAD),
            ("no-hdlr", "a track that does not say what it is", without("moov/trak/mdia/hdlr"), ANY),
            ("moov-only", "a header without samples", lambda: film()[: find(film(), "moov")[1]], BAD),
            ("mdat-only", "samples without a header", lambda: FTYP + film()[find(film(), "mdat")[0][0] :], BAD),
            ("ftyp-only", "a kind, and nothing else", lambda: FTYP, BAD),
            ("moov-cut", "a header at the end that breaks off", cut_moov, BAD),
            ("moov-twice", "two headers", lambda: film()[: find(film(), "moov")[1]] * 2 + film()[find(film(), "moov")[1] :], ANY),
            ("size-0", "a box of size 0 where the header should be", lambda: FTYP + box(b"moov", film()[40:900], size=0), BAD),
            ("size-1", "a box of 2^63-1 bytes", lambda: FTYP + box(b"moov", number(2**63 - 1, 8) + bytes(99), size=1), BAD),
            ("size-7", "a box smaller than its own head", lambda: FTYP + box(b"moov", bytes(99), size=7) + film()[32:], BAD),
            ("size-beyond", "a box that ends behind the file", lambda: FTYP + box(b"moov", bytes(99), size=2**32 - 1), BAD),
            (
                "nested-deep",
                "ten thousand boxes inside each other",
                lambda: FTYP + nested(b"moov", 10_000) + box(b"mdat", bytes(99)),
                BAD,
            ),
            (
                "nested-udta",
                "a film with a thousand boxes inside each other",
                lambda: patched(clip("moov_last"), "moov", nested(b"udta", 1000)),
                ANY,
            ),
            (
                "free-many",
                "two hundred thousand empty boxes before the header",
                lambda: FTYP + box(b"free") * 200_000 + film()[32:],
                ANY,
            ),
            ("compressed-bomb", "a compressed header that unpacks to 200 MB", lambda: compressed(200 << 20), BAD),
            ("compressed-moov", "a compressed header that unpacks to 64 MB of nothing", lambda: compressed(64 << 20), BAD),
            ("tracks-200", "two hundred tracks", lambda: many_tracks(200), BAD),
            ("tracks-65535", "65,535 tracks", lambda: many_tracks(65_535), BAD),
            ("moof-many", "two hundred thousand empty fragments", lambda: fragments(200_000), BAD),
            ("trun-endless", "a fragment of 2^32-1 samples", endless_fragment, BAD),
            ("chapter-loop", "tracks that are each other's chapters", chapters, ANY),
            ("encrypted", "samples encrypted by Common Encryption", encrypted, BAD),
            ("cover-64mb", "cover art of 32 MB of zeros", lambda: cover(32 << 20), ANY),
            ("pasp-zero", "pixels without a shape", sample_entry(b"avc1", more=box(b"pasp", number(0) + number(0))), ANY),
            (
                "sidx-most",
                "an index of 65,535 parts",
                lambda: FTYP + full(b"sidx", number(1) + number(0) + bytes(10) + b"\xff\xff") + film()[32:],
                ANY,
            ),
        )
    ),
)
