"""Entity tags as RFC 9110 compares them, as values."""

from __future__ import annotations

import pytest

from dispatch.api.tags import coded, held, tag_of, wanted_versions
from protocol.errors import ErrorCode, ReelyardError


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        ('"7"', '"7"'),
        ('W/"7"', '"7"'),
        ('"5", "7"', '"7"'),
        ("*", '"7"'),
        (' "5",W/"7-gzip" ', '"7-gzip"'),
        ('"7-deflate"', '"7-deflate"'),
    ],
)
def test_held_version_is_recognised_under_every_coding(header: str, tag: str) -> None:
    assert held(header, '"7"') == tag


@pytest.mark.parametrize("header", [None, "", '"8"', "7", '"77"', '"7', '"7-br"', '"7-gzip-gzip"'])
def test_another_version_is_not_held(header: str | None) -> None:
    assert held(header, '"7"') is None


def test_coding_stands_behind_the_version() -> None:
    assert coded(tag_of(5), "gzip") == '"5-gzip"'


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        ("*", None),
        ('"7"', {7}),
        ('"7-gzip", "8"', {7, 8}),
        ('W/"7"', set()),
        ('"x", "٣"', set()),
        ("7", set()),
        ("", set()),
    ],
)
def test_if_match_accepts_strong_tags_alone(header: str, versions: set[int] | None) -> None:
    assert wanted_versions({"If-Match": header}, is_needed=True) == versions


def test_missing_if_match_is_refused_only_where_it_is_needed() -> None:
    with pytest.raises(ReelyardError) as refused:
        wanted_versions({}, is_needed=True)

    assert (refused.value.code, wanted_versions({})) == (ErrorCode.PRECONDITION_REQUIRED, None)
