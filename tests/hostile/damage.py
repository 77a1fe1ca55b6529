"""Real files cut, flipped, filled, glued and renamed; and files that are no media at all."""

from __future__ import annotations

import io
import random
import zipfile

from tests.hostile.boxes import box, find
from tests.hostile.cases import CORRUPT, FORMAT, NO_VIDEO, REFUSED, SHORT, VALID, Case, Make, lazily, rows
from tests.hostile.ground import Ground, clip

ANYTHING = " ".join(sorted(REFUSED | {VALID}))
KINDS = ("mp4", "fragmented", "mkv", "webm", "avi", "flv", "asf", "h264_ts", "mpeg", "mxf", "ogg")


def flipped(content: bytes, seed: int, share: float = 0.0005) -> bytes:
    """The same with one bit in some bytes turned, at least one."""
    chance, made = random.Random(seed), bytearray(content)
    for _ in range(max(1, int(len(made) * share))):
        made[chance.randrange(len(made))] ^= 1 << chance.randrange(8)
    return bytes(made)


def shuffled(content: bytes, seed: int, piece: int = 4096) -> bytes:
    """The same pieces in another order; the first stays."""
    pieces = [content[at : at + piece] for at in range(0, len(content), piece)]
    rest = pieces[1:]
    random.Random(seed).shuffle(rest)
    return b"".join((*pieces[:1], *rest))


def holed(content: bytes, filling: bytes) -> bytes:
    """The middle fifth is something else."""
    begin, end = len(content) * 2 // 5, len(content) * 3 // 5
    return content[:begin] + (filling * (end - begin))[: end - begin] + content[end:]


def noise(seed: int, count: int) -> bytes:
    return random.Random(seed).randbytes(count)


def mutated(content: bytes, seed: int) -> bytes:
    """One of the ways to damage a file, drawn by the seed; for runs of many."""
    chance = random.Random(seed)
    at, length = chance.randrange(len(content)), chance.randrange(1, 2000)
    way = chance.randrange(6)
    if way == 0:
        return content[:at]
    if way == 1:
        return content[:at] + noise(seed, length) + content[at + length :]
    if way == 2:
        return content[:at] + content[at + length :]
    if way == 3:
        return content[:at] + content[at : at + length] * 3 + content[at:]
    if way == 4:
        word = chance.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1"))
        head = at % min(len(content), 4000)
        return content[:head] + word + content[head + 4 :]
    return flipped(content, seed, chance.choice((0.00001, 0.0005, 0.01)))


def zipped() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo("../../../tmp/evil"), b"x" * 99)
    return made.getvalue()


def _tenths() -> list[tuple[str, str, Make, str]]:
    made: list[tuple[str, str, Make, str]] = []
    for kind, tenths in (
        ("mp4", range(1, 10)),
        ("moov_last", range(2, 10, 3)),
        ("mkv", range(1, 10, 2)),
        ("h264_ts", (3, 7)),
        ("avi", (2, 8)),
    ):
        for tenth in tenths:
            codes = f"{FORMAT} {CORRUPT} {SHORT}" if kind != "h264_ts" else ANYTHING
            made.append((f"cut-{kind}-{tenth}0%", f"{kind} cut after {tenth}0 %", _cut(kind, tenth), codes))
    return made


def _cut(kind: str, tenth: int) -> Make:
    return lazily(lambda: clip(kind)[: len(clip(kind)) * tenth // 10])


def _flips() -> list[tuple[str, str, Make, str]]:
    return [
        (f"flip-{kind}-{seed}", f"{kind} with bits turned, seed {seed}", _flip(kind, seed), ANYTHING)
        for seed, kind in enumerate(KINDS)
    ]


def _flip(kind: str, seed: int) -> Make:
    return lazily(lambda: flipped(clip(kind), seed))


def _holes() -> list[tuple[str, str, Make, str]]:
    return [(f"hole-{kind}", f"{kind} with noise in the middle", _hole(kind), ANYTHING) for kind in KINDS]


def _hole(kind: str) -> Make:
    return lazily(lambda: holed(clip(kind), noise(7, 9999)))


def _same(kind: str) -> Make:
    return lazily(lambda: clip(kind))


def _samples_backwards() -> bytes:
    made = clip("mp4")
    begins, end = find(made, "mdat")
    return made[: begins[0] + 8] + made[begins[0] + 8 : end][::-1]


def _glued(*parts: str) -> Make:
    return lazily(lambda: b"".join(clip(part) for part in parts))


def _page(ground: Ground) -> bytes:
    return f"<html><img src='{ground.web}/x'><script>fetch('file://{ground.text}')</script></html>".encode()


CASES: tuple[Case, ...] = rows(
    "damage",
    *_tenths(),
    *_flips(),
    *_holes(),
    ("zeros-middle", "a film whose middle is zeros", lazily(lambda: holed(clip("mp4"), b"\0")), ANYTHING),
    ("shuffled", "a transport stream in another order", lazily(lambda: shuffled(clip("h264_ts"), 3, 188 * 20)), ANYTHING),
    ("backwards", "a film whose samples run backwards", lazily(_samples_backwards), f"{CORRUPT}"),
    ("twice", "a film twice in one file", _glued("mp4", "mp4"), f"{VALID} {CORRUPT}"),
    ("two-kinds", "an MP4 and a Matroska file in one", _glued("mp4", "mkv"), f"{VALID}"),
)
CASES += rows(
    "other",
    ("empty", "no byte", lambda _: b"", FORMAT),
    ("one-byte", "one byte", lambda _: b"\0", FORMAT),
    ("zeros", "a megabyte of zeros", lambda _: bytes(1 << 20), FORMAT),
    ("noise", "a megabyte of noise", lazily(lambda: noise(1, 1 << 20)), FORMAT),
    ("text", "plain words", lambda _: b"These are plain words.\n" * 200, FORMAT),
    ("json", "a document", lambda _: b'{"format": {"duration": "10"}, "streams": []}', FORMAT),
    ("page", "a web page", _page, FORMAT, "clip.html"),
    ("program", "the head of a program", lambda _: b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\x3e\0" + bytes(500), FORMAT),
    ("script", "a shell script under the name of a film", lambda _: b"#!/bin/sh\ntouch /tmp/evil\n", FORMAT, "clip.mp4"),
    ("archive", "an archive with a path in it", lazily(zipped), FORMAT, "clip.zip"),
    ("archive-film", "an archive before a film", lazily(lambda: zipped() + clip("mp4")), ANYTHING),
    ("film-archive", "a film before an archive", lazily(lambda: clip("mp4") + zipped()), VALID),
    ("gif-script", "a GIF that is a script too", lambda _: b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)//", FORMAT, "clip.gif"),
    ("pdf-film", "a document before a film", lazily(lambda: b"%PDF-1.4\n1 0 obj\n" + clip("mp4")), ANYTHING, "clip.pdf"),
    (
        "page-in-film",
        "a film with a web page in a free box",
        lazily(lambda: clip("moov_last") + box(b"free", b"<script>x</script>")),
        VALID,
    ),
    ("jpeg", "a picture", _same("jpeg"), FORMAT),
    ("png", "a picture without loss", _same("png"), FORMAT),
    ("gif", "an animation", _same("gif"), FORMAT),
    ("mkv-as-mp4", "a Matroska file under the name of an MP4", _same("mkv"), VALID),
    ("avi-as-text", "an AVI under the name of a text", _same("avi"), VALID, "clip.txt"),
    ("mp3-as-film", "sound under the name of a film", _same("mp3"), NO_VIDEO),
    ("name-option", "a film named like an option", _same("mp4"), VALID, "-i"),
    ("name-address", "a film named like an address", _same("mp4"), VALID, "http://127.0.0.1/x"),
    ("name-pattern", "a film named like a pattern", _same("mp4"), VALID, "%d%s%n.mp4"),
    ("name-control", "a film with control characters in its name", _same("mp4"), VALID, "a\nb\x1b[31m\u202e4pm.exe"),
    ("name-long", "a film with a very long name", _same("mp4"), VALID, "x" * 240 + ".mp4"),
)
