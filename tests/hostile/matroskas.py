"""Matroska files whose elements lie: sizes, times, tracks, compression, attachments, tags."""

from __future__ import annotations

import zlib

from tests.hostile.cases import CORRUPT, FORMAT, LIMITS, LONG, SHORT, SMALL, VALID, Case, lazily, rows
from tests.hostile.ebml import (
    ATTACHMENTS,
    CLUSTER,
    HEADER,
    SEGMENT,
    TAGS,
    TRACKS,
    UNKNOWN,
    block,
    blocks,
    cluster,
    element,
    matroska,
    real,
    size,
    track,
    whole,
)
from tests.hostile.ground import clip, with_files

BAD = f"{FORMAT} {CORRUPT} {LIMITS} {SHORT} {LONG} {SMALL}"
ANY = f"{BAD} {VALID}"
HUGE = size(2**56 - 2)


def nested(number: int, depth: int) -> bytes:
    made = b""
    for _ in range(depth):
        made = element(number, made)
    return made


def packed(algorithm: int, settings: bytes = b"") -> bytes:
    """A track whose blocks are compressed."""
    how = whole(0x4254, algorithm, 1) + (element(0x4255, settings) if settings else b"")
    return track(more=element(0x6D80, element(0x6240, element(0x5034, how))))


def bomb(count: int) -> bytes:
    return matroska(tracks=packed(0), clusters=cluster(blocks(zlib.compress(bytes(count), 9))))


def sealed() -> bytes:
    """A track that says its blocks are encrypted."""
    return matroska(
        tracks=track(more=element(0x6D80, element(0x6240, whole(0x5033, 1, 1) + element(0x5035, whole(0x47E1, 5, 1)))))
    )


def attached(name: bytes, kind: bytes, content: bytes) -> bytes:
    file = element(0x61A7, element(0x466E, name) + element(0x4660, kind) + element(0x465C, content) + whole(0x46AE, 7))
    return matroska(more=element(ATTACHMENTS, file))


def ssa(effect: str, lines: int) -> bytes:
    """A film with subtitles that carry drawing commands, fonts and effects."""
    head = "[Script Info]\nScriptType: v4.00+\nPlayResX: 99999999\nPlayResY: 99999999\n"
    head += "[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n"
    script = head + "Style: D,../../etc/passwd,999999\n[Events]\nFormat: Start, End, Style, Text\n"
    script += "".join(f"Dialogue: 0:00:00.{n % 100:02d},0:00:02.00,D,{effect}\n" for n in range(lines))
    return with_files(
        {"film.mkv": clip("mkv"), "words.ass": script.encode()},
        lambda d: ("-i", f"{d}/film.mkv", "-i", f"{d}/words.ass", "-map", "0", "-map", "1", "-c", "copy"),
        "mkv",
    )


def moments(*each: int) -> bytes:
    """Clusters that begin at these times, with one picture each."""
    return matroska(clusters=b"".join(cluster(block(0, clip("jpeg")), moment=moment) for moment in each))


def tagged(name: bytes, words: bytes) -> bytes:
    return matroska(
        more=element(
            TAGS, element(0x7373, element(0x63C0, b"") + element(0x67C8, element(0x45A3, name) + element(0x4487, words)))
        )
    )


SUBTITLE_BOMB = "{\\\\fscx9999\\\\fscy9999\\\\blur99\\\\p1}" + "m 0 0 l 9999999 9999999 " * 40

CASES: tuple[Case, ...] = rows(
    "matroska",
    *(
        (name, how, lazily(make), codes, "clip.mkv")
        for name, how, make, codes in (
            ("plain-jpegs", "the healthy file the others are made from", matroska, VALID),
            ("header-only", "a header and nothing else", lambda: HEADER, BAD),
            ("segment-empty", "a film of nothing", lambda: HEADER + element(SEGMENT, b""), BAD),
            ("segment-huge", "a film of 2^56-2 bytes", lambda: HEADER + element(SEGMENT, matroska()[60:], length=HUGE), ANY),
            (
                "segment-unknown",
                "elements of unknown size inside each other",
                lambda: HEADER + (b"\x18\x53\x80\x67" + UNKNOWN) * 2000,
                BAD,
            ),
            (
                "doctype",
                "a document of another kind",
                lambda: HEADER.replace(b"matroska", b"hostile!") + matroska()[len(HEADER) :],
                ANY,
            ),
            (
                "read-version",
                "a version of the far future",
                lambda: HEADER.replace(b"\x42\x85\x01", b"\x42\x85\x01")[:-1] + b"\xff" + matroska()[len(HEADER) :],
                BAD,
            ),
            ("scale-0", "a time scale of 0", lambda: matroska(scale=0), ANY),
            ("scale-most", "a time scale of 2^63-1", lambda: matroska(scale=2**63 - 1), ANY),
            ("length-nan", "a length that is not a number", lambda: matroska(seconds=float("nan")), ANY),
            ("length-infinite", "a length without end", lambda: matroska(seconds=float("inf")), ANY),
            ("length-negative", "a length below nothing", lambda: matroska(seconds=-1.0), ANY),
            ("length-1e300", "a length of 10^300 s", lambda: matroska(seconds=1e300), ANY),
            ("length-year", "a length of a year", lambda: matroska(seconds=3e7), f"{LONG}"),
            ("size-0x0", "a picture of no size", lambda: matroska(tracks=track(width=0, height=0)), ANY),
            (
                "size-2-32",
                "a picture of 2^32-1 by 2^32-1",
                lambda: matroska(tracks=track(width=2**32 - 1, height=2**32 - 1)),
                ANY,
            ),
            (
                "tracks-100",
                "a hundred tracks",
                lambda: matroska(tracks=b"".join(track(n + 1) for n in range(100))),
                f"{LIMITS} {VALID}",
            ),
            (
                "tracks-9000",
                "nine thousand tracks",
                lambda: matroska(tracks=b"".join(track(n + 1) for n in range(9_000))),
                f"{LIMITS} {VALID}",
            ),
            ("tracks-same", "twenty tracks of the same number", lambda: matroska(tracks=track() * 20), ANY),
            ("codec-unknown", "a codec nobody has heard of", lambda: matroska(tracks=track(codec=b"V_HOSTILE")), BAD),
            ("codec-refused", "a codec we do not read (RealVideo)", lambda: matroska(tracks=track(codec=b"V_REAL/RV40")), BAD),
            (
                "private-huge",
                "32 MB of codec parameters",
                lambda: matroska(tracks=track(codec=b"V_VP9", more=element(0x63A2, bytes(32 << 20)))),
                BAD,
            ),
            (
                "private-beyond",
                "codec parameters that end behind the file",
                lambda: matroska(tracks=track(more=element(0x63A2, b"", length=HUGE))),
                ANY,
            ),
            ("default-0", "frames that last no time", lambda: matroska(tracks=track(more=whole(0x23E383, 0))), ANY),
            ("default-1", "a thousand million frames a second", lambda: matroska(tracks=track(more=whole(0x23E383, 1))), ANY),
            ("zlib-bomb", "blocks that unpack to 32 MB each", lambda: bomb(32 << 20), BAD),
            ("zlib-broken", "blocks that do not unpack", lambda: matroska(tracks=packed(0)), BAD),
            ("bzip-empty", "blocks in a compression that is not there", lambda: matroska(tracks=packed(1)), ANY),
            ("stripped-header", "blocks to which 16 MB are added each", lambda: matroska(tracks=packed(3, bytes(16 << 20))), ANY),
            ("sealed", "blocks that are encrypted", sealed, ANY),
            (
                "lacing-ebml",
                "a block laced into 256 frames that are not there",
                lambda: matroska(clusters=cluster(block(0, b"\xff\x5f\xff" * 99, flags=0x86))),
                BAD,
            ),
            (
                "lacing-xiph",
                "the same by another rule",
                lambda: matroska(clusters=cluster(block(0, b"\xff" * 900, flags=0x82))),
                BAD,
            ),
            (
                "lacing-fixed",
                "a block cut into 256 equal frames",
                lambda: matroska(clusters=cluster(block(0, b"\xff" + bytes(256), flags=0x84))),
                BAD,
            ),
            ("block-empty", "ten thousand blocks of nothing", lambda: matroska(clusters=cluster(block(0, b"") * 10_000)), BAD),
            (
                "block-track-127",
                "blocks of a track that is not there",
                lambda: matroska(clusters=cluster(block(0, clip("jpeg"), number=99) * 20)),
                BAD,
            ),
            (
                "clusters-empty",
                "two hundred thousand empty clusters",
                lambda: matroska(clusters=element(CLUSTER, b"") * 200_000),
                BAD,
            ),
            ("cluster-most", "a cluster at the end of time", lambda: moments(2**63 - 1, 0), ANY),
            ("cluster-back", "time that runs backwards", lambda: moments(*range(2000, 0, -100)), ANY),
            ("cluster-jump", "a picture at 0 and one after 23 hours", lambda: moments(0, 100, 23 * 3_600_000), ANY),
            (
                "cluster-cut",
                "a cluster that ends behind the file",
                lambda: matroska(clusters=element(CLUSTER, blocks(), length=HUGE)),
                ANY,
            ),
            ("tracks-twice", "two lists of tracks", lambda: matroska(more=element(TRACKS, track(width=9999))), ANY),
            (
                "seek-loop",
                "a list of places that points to itself",
                lambda: matroska(
                    more=element(0x114D9B74, element(0x4DBB, element(0x53AB, b"\x11\x4d\x9b\x74") + whole(0x53AC, 0)) * 500)
                ),
                ANY,
            ),
            (
                "cues-everywhere",
                "an index of places that are not there",
                lambda: matroska(
                    more=element(
                        0x1C53BB6B,
                        b"".join(
                            element(0xBB, whole(0xB3, n) + element(0xB7, whole(0xF7, 1) + whole(0xF1, 2**40 + n)))
                            for n in range(5000)
                        ),
                    )
                ),
                ANY,
            ),
            (
                "tags-nested",
                "a thousand tags inside each other",
                lambda: matroska(more=element(TAGS, element(0x7373, nested(0x67C8, 1000)))),
                ANY,
            ),
            (
                "tag-path",
                "a tag that is a path, in bytes that are no text",
                lambda: tagged(b"TITLE", b"\xff\xfe/etc/passwd\0\x1b[31m"),
                VALID,
            ),
            ("tag-duration", "a tag with an absurd duration", lambda: tagged(b"DURATION", b"99999999999:00:00.000"), ANY),
            (
                "attached-font",
                "a font of random bytes",
                lambda: attached(b"../../../x.ttf", b"application/x-truetype-font", bytes(range(256)) * 64),
                VALID,
            ),
            (
                "attached-huge",
                "an attachment that ends behind the file",
                lambda: matroska(more=element(ATTACHMENTS, element(0x61A7, element(0x465C, b"", length=HUGE)))),
                ANY,
            ),
            (
                "attached-program",
                "an attachment that is a program",
                lambda: attached(b"/bin/x", b"application/x-sh", b"#!/bin/sh\ntouch x\n"),
                VALID,
            ),
            (
                "chapters-many",
                "ten thousand chapters",
                lambda: matroska(
                    more=element(
                        0x1043A770,
                        element(0x45B9, b"".join(element(0xB6, whole(0x73C4, n) + whole(0x91, n)) for n in range(10_000))),
                    )
                ),
                VALID,
            ),
            ("ssa-fonts", "subtitles that name files as fonts", lambda: ssa("{\\\\fn../../../etc/passwd\\\\i1}x", 3), VALID),
            ("subtitle-bomb", "92 kB of subtitles that take gigabytes to draw", lambda: ssa(SUBTITLE_BOMB, 92), VALID),
            (
                "void-million",
                "a million empty elements",
                lambda: matroska(more=element(0xEC, b"", length=b"\x80") * 1_000_000),
                ANY,
            ),
            (
                "real-width",
                "a sampling rate that is not a number",
                lambda: matroska(
                    tracks=track()
                    + element(
                        0xAE,
                        whole(0xD7, 2)
                        + whole(0x83, 2, 1)
                        + element(0x86, b"A_PCM/INT/LIT")
                        + element(0xE1, real(0xB5, float("nan")) + whole(0x9F, 2**32 - 1)),
                    )
                ),
                ANY,
            ),
        )
    ),
)
