"""Which coding an answer gets, as values."""

from __future__ import annotations

import gzip
import zlib

import pytest

from dispatch.api.compression import coding_for, compressed


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate", "gzip"),
        ("deflate", "deflate"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("br, zstd", None),
        ("br;q=1, gzip;q=0.1", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0, *", "deflate"),
        ("*", "gzip"),
        ("*;q=0", None),
        ("identity", None),
        ("identity;q=1, gzip;q=0.5", None),
        ("identity;q=0.5, gzip", "gzip"),
        ("", None),
        ("gzip;q=2", None),
        (";;;,,q=1", None),
    ],
)
def test_long_answer_gets_the_coding_the_client_likes_best(accepted: str, coding: str | None) -> None:
    assert coding_for(accepted, is_long=True) == coding


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip", None), ("identity;q=0, gzip", "gzip"), ("*;q=0, deflate", "deflate"), ("gzip;q=0, identity;q=0", None)],
)
def test_short_answer_is_compressed_only_when_it_may_not_come_plain(accepted: str, coding: str | None) -> None:
    assert coding_for(accepted, is_long=False) == coding


def test_compressed_bytes_are_the_same_every_time_and_unpack() -> None:
    body = b'{"a":1}' * 500

    assert compressed(body, "gzip") == compressed(body, "gzip")
    assert (gzip.decompress(compressed(body, "gzip")), zlib.decompress(compressed(body, "deflate"))) == (body, body)
