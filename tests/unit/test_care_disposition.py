"""The name a file is saved under: it never leaves its header, nor names a directory (RFC 6266, RFC 8187)."""

from __future__ import annotations

from email.message import Message

import pytest

from dispatch.api.media_types import disposition

HOSTILE = (
    'a"; filename="evil.exe',
    "a\r\nX-Evil: 1",
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "a%0d%0aX-Evil: 1",
    "\x00\x07\x1b[31m",
    "é" * 300,
    "",
    "\u202egnp.exe",
    "naïve 東京.mp4",
)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", ["inline", "attachment"])
def test_a_hostile_name_stays_one_parameter_of_one_header(name: str, kind: str) -> None:
    told = disposition(name, kind)

    assert told.isascii()
    assert told.isprintable()
    assert told.partition(";")[0] == kind
    header = Message()
    header["Content-Disposition"] = told
    parameters = header.get_params(header="content-disposition") or []
    assert [key.rstrip("*") for key, _ in parameters[1:]] in (["filename"], ["filename", "filename"])
    assert "/" not in header.get_filename("")


def test_a_name_beyond_ascii_is_told_in_both_ways() -> None:
    told = disposition("naïve 東京.mp4", "attachment")

    assert told == "attachment; filename=\"na_ve __.mp4\"; filename*=UTF-8''na%C3%AFve%20%E6%9D%B1%E4%BA%AC.mp4"


def test_a_plain_name_is_told_once() -> None:
    assert disposition("video_720p.mp4", "attachment") == 'attachment; filename="video_720p.mp4"'
