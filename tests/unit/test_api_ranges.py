"""Ranges and conditions of RFC 9110, as values."""

from __future__ import annotations

import pytest

from dispatch.api.ranges import Span, is_range_current, wanted_span
from protocol.errors import ErrorCode, ReelyardError


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", Span(0, 1, 100)),
        ("bytes=0-99", Span(0, 100, 100)),
        ("bytes=0-5000", Span(0, 100, 100)),
        ("bytes=99-", Span(99, 1, 100)),
        ("bytes=-1", Span(99, 1, 100)),
        ("bytes=-5000", Span(0, 100, 100)),
        (" bytes=10-19 ", Span(10, 10, 100)),
    ],
)
def test_one_range_becomes_a_span(header: str, span: Span) -> None:
    assert wanted_span(header, 100) == span


@pytest.mark.parametrize(
    "header", [None, "", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,5-6", "lines=0-1", "bytes=a-b", "bytes=1-2-3", "bytes=٣-"]
)
def test_other_ranges_are_passed_over(header: str | None) -> None:
    assert wanted_span(header, 100) is None


@pytest.mark.parametrize(("header", "size"), [("bytes=100-", 100), ("bytes=500-600", 100), ("bytes=-0", 100), ("bytes=0-", 0)])
def test_range_without_a_byte_is_refused(header: str, size: int) -> None:
    with pytest.raises(ReelyardError) as refused:
        wanted_span(header, size)

    assert (refused.value.code, refused.value.details) == (ErrorCode.RANGE_NOT_SATISFIABLE, {"size": size})


def test_span_tells_its_content_range() -> None:
    assert Span(10, 5, 100).content_range == "bytes 10-14/100"


def test_if_range_needs_the_exact_tag_or_date() -> None:
    date = "Fri, 20 Nov 2026 06:00:00 GMT"

    kept = [is_range_current(header, tag='"a"', modified=date) for header in (None, '"a"', date, 'W/"a"', '"b"', "yesterday")]

    assert kept == [True, True, True, False, False, False]
