"""How an input is read: the table row by row, what a container's first bytes tell, and the page that shows the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.core.containers import Box, Layout, box_at, container_of, layout_of
from engine.core.transfer_choice import (
    END_BYTES,
    SPARE_BYTES,
    Need,
    Situation,
    Way,
    as_table,
    choose,
    need_of,
    needs_a_look,
)
from protocol.recipes import AnalyzeRecipe, InputLimits
from protocol.states import TaskKind

MIB, GIB = 1 << 20, 1 << 30
MKV, FIRST, LAST, AVI = Layout("matroska", True), Layout("mp4-index-first", True), Layout("mp4-index-last"), Layout("unknown")
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "inputs.md"


def situation(need: Need, layout: Layout, size: int, free: int, **fields: object) -> Situation:
    return Situation(size, free, outputs=GIB, need=need, layout=layout, **fields)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("now", "way"),
    [
        (situation(Need.PASS, MKV, 9 * GIB, 100 * GIB), Way.WHOLE),
        (situation(Need.PASS, MKV, 9 * GIB, 100 * GIB, is_shared=True), Way.SHARED),
        (situation(Need.PASS, MKV, 9 * GIB, 8 * GIB), Way.STREAM),
        (situation(Need.PASS, FIRST, 9 * GIB, 8 * GIB), Way.STREAM),
        (situation(Need.PASS, LAST, 9 * GIB, 8 * GIB), Way.NO_ROOM),
        (situation(Need.PASS, AVI, 9 * GIB, 8 * GIB), Way.NO_ROOM),
        (situation(Need.SEEK, MKV, 9 * GIB, 8 * GIB), Way.NO_ROOM),
        (situation(Need.PASS, MKV, 9 * GIB, GIB), Way.NO_ROOM),
        (situation(Need.PASS, MKV, 9 * GIB, GIB + SPARE_BYTES), Way.STREAM),
        (situation(Need.PASS, MKV, 9 * GIB, 10 * GIB + SPARE_BYTES), Way.WHOLE),
        (situation(Need.PASS, MKV, 9 * GIB, 10 * GIB + SPARE_BYTES - 1), Way.STREAM),
        (situation(Need.ENDS, LAST, 9 * GIB, 100 * GIB), Way.RANGES),
        (situation(Need.ENDS, AVI, 9 * GIB, 100 * GIB), Way.WHOLE),
        (situation(Need.ENDS, AVI, 9 * GIB, 8 * GIB), Way.NO_ROOM),
        (situation(Need.ENDS, MKV, 256 * MIB, 100 * GIB), Way.WHOLE),
        (situation(Need.ENDS, MKV, 256 * MIB, 100 * GIB, bandwidth=100e6), Way.RANGES),
        (situation(Need.ENDS, MKV, 256 * MIB, 100 * GIB, bandwidth=200e6), Way.WHOLE),
        (situation(Need.ENDS, MKV, 3 * END_BYTES, 100 * GIB, bandwidth=1.0), Way.WHOLE),
        (situation(Need.ENDS, MKV, 256 * MIB, GIB + 128 * MIB), Way.RANGES),
        (situation(Need.ENDS, Layout("mp4-index-first", True, (Box("moov", 8, GIB),)), 9 * GIB, 8 * GIB), Way.NO_ROOM),
    ],
)
def test_the_first_row_that_holds_decides(now: Situation, way: Way) -> None:
    assert choose(now) is way


def test_a_small_file_that_fits_is_fetched_without_a_look() -> None:
    looks = [
        needs_a_look(size, 8 * GIB, GIB, need, None)
        for size, need in ((MIB, Need.ENDS), (6 * GIB, Need.PASS), (6 * GIB, Need.ENDS), (7 * GIB, Need.PASS))
    ]

    assert looks == [False, False, True, True]


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b"\x00\x00\x00\x20ftypisom", "mp4"),
        (b"\x1a\x45\xdf\xa3\x01\x00", "matroska"),
        ((b"\x47" + bytes(187)) * 5, "mpegts"),
        (b"\x47" + bytes(900), "unknown"),
        (b"RIFF\x00\x00\x00\x00AVI ", "unknown"),
        (b"", "unknown"),
    ],
)
def test_a_container_is_known_by_its_first_bytes(head: bytes, container: str) -> None:
    assert container_of(head) == container


@pytest.mark.parametrize(
    ("head", "box"),
    [
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x00\x00", Box("ftyp", 100, 32)),
        (b"\x00\x00\x00\x01mdat\x00\x00\x00\x00\x00\x00\x01\x00", Box("mdat", 100, 256)),
        (b"\x00\x00\x00\x00mdat", Box("mdat", 100, 900)),
        (b"\x00\x00\x00\x04mdat", None),
        (b"\x00\x00\x04\x00mdat", None),
        (b"\x00\x00\x00\x20\x00\x01\x02\x03", None),
        (bytes(16), None),
        (b"\x00\x00", None),
    ],
)
def test_a_box_lies_within_its_file_or_is_none(head: bytes, box: Box | None) -> None:
    assert box_at(100, head, 1000) == box


FTYP, MOOV, MDAT = Box("ftyp", 0, 32), Box("moov", 32, 68), Box("mdat", 100, 900)


@pytest.mark.parametrize(
    ("boxes", "layout"),
    [
        ((FTYP, MOOV, MDAT), Layout("mp4-index-first", True, (FTYP, MOOV))),
        (
            (FTYP, MOOV, Box("mdat", 100, 800), Box("free", 900, 100)),
            Layout("mp4-index-first", False, (FTYP, MOOV, Box("free", 900, 100))),
        ),
        ((FTYP, Box("mdat", 32, 868), Box("moov", 900, 100)), Layout("mp4-index-last", False, (FTYP, Box("moov", 900, 100)))),
        ((FTYP, MOOV, Box("moof", 100, 100), Box("mdat", 200, 800)), Layout("mp4-other")),
        ((FTYP, MOOV), Layout("mp4-other")),
        ((), Layout("mp4-other")),
    ],
)
def test_an_mp4_streams_where_its_index_comes_first_and_its_samples_last(boxes: tuple[Box, ...], layout: Layout) -> None:
    assert layout_of("mp4", boxes, 1000) == layout


def test_an_analysis_that_decodes_to_the_end_reads_more_than_the_ends() -> None:
    first, whole = (AnalyzeRecipe(limits=InputLimits(strict=strict)) for strict in (False, True))

    assert [need_of(TaskKind.ANALYZE, recipe) for recipe in (first, whole)] == [Need.ENDS, Need.SEEK]


def test_the_page_shows_the_table_that_decides() -> None:
    assert as_table() in PAGE.read_text(encoding="utf-8")
