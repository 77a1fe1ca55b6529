"""The pure rules of the S3 storage: parts, pieces, keys, the bucket's rules, what errors mean."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from plugins.storage_s3.faults import meaning
from plugins.storage_s3.growing import chain
from plugins.storage_s3.joining import Copied, Part, Sent, Span, part_size, parts_of
from plugins.storage_s3.keys import BEGUN, PIECES, Keys, content_type, piece
from plugins.storage_s3.lifecycle import merged, rules_of
from plugins.storage_s3.objects import Object
from plugins.storage_s3.settings import MOST_PARTS, S3Settings
from protocol.storage import AlreadyExists, InvalidPath, NotFound, StorageError, StorageFull, StorageUnavailable


def spans(part: Part) -> tuple[Span, ...]:
    return (part.span,) if isinstance(part, Copied) else part.spans


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 10), st.integers(0, 20))
def test_parts_hold_every_byte_once_in_order_and_are_large_enough(sizes: list[int], smallest: int, more: int) -> None:
    parts = parts_of(sizes, smallest=smallest, largest=smallest + more)
    found = [(span.piece, at) for part in parts for span in spans(part) for at in range(span.first, span.first + span.size)]

    assert found == [(number, at) for number, size in enumerate(sizes) for at in range(size)]
    assert all(sum(span.size for span in spans(part)) >= smallest for part in parts[:-1])
    assert all(0 < sum(span.size for span in spans(part)) <= smallest + more for part in parts)


def test_only_what_is_too_small_is_sent() -> None:
    assert parts_of([3, 20, 2, 20, 1], smallest=5, largest=10) == [
        Sent((Span(0, 0, 3), Span(1, 0, 2))),
        Copied(Span(1, 2, 10)),
        Copied(Span(1, 12, 8)),
        Sent((Span(2, 0, 2), Span(3, 0, 3))),
        Copied(Span(3, 3, 10)),
        Copied(Span(3, 13, 7)),
        Copied(Span(4, 0, 1)),
    ]


def test_parts_grow_so_that_terabytes_fit() -> None:
    assert [part_size(number, first=8) for number in (1, 1000, 1001, 2001)] == [8, 8, 16, 32]
    assert sum(part_size(number, first=5 << 20) for number in range(1, MOST_PARTS + 1)) > 4 << 40
    assert max(part_size(number, first=8 << 20) for number in range(1, MOST_PARTS + 1)) <= 5 << 30


def at(offset: int, size: int) -> Object:
    return Object(piece("uploads/upl_1", offset), size, "etag", 0.0)


def test_what_lies_behind_a_gap_is_not_of_the_file() -> None:
    pieces = [at(9, 3), at(0, 4), at(4, 4), at(20, 1)]

    assert chain(pieces) == [at(0, 4), at(4, 4)]
    assert chain([at(4, 4)]) == []


def test_what_begins_within_another_piece_is_not_of_the_file() -> None:
    assert chain([at(0, 5), at(3, 4), at(5, 5), at(8, 8), at(10, 1)]) == [at(0, 5), at(5, 5), at(10, 1)]


def test_a_file_without_a_byte_is_its_mark() -> None:
    begun = Object(f"uploads/upl_1{PIECES}{BEGUN}", 0, "etag", 0.0)

    assert chain([begun]) == [begun]
    assert chain([begun, at(0, 4)]) == [at(0, 4)]


def test_a_prefix_stands_before_every_key() -> None:
    keys = Keys("farm/one")

    assert (keys.of("a/b"), keys.below("a"), keys.below(""), keys.path("farm/one/a")) == (
        "farm/one/a/b",
        "farm/one/a/",
        "farm/one/",
        "a",
    )
    with pytest.raises(InvalidPath):
        keys.of("/".join(["a" * 200] * 5))


def test_players_are_told_what_they_get() -> None:
    assert [content_type(path) for path in ("a/seg_1.m4s", "a/MASTER.M3U8", "film", "a.b/c")] == [
        "video/iso.segment",
        "application/vnd.apple.mpegurl",
        "application/octet-stream",
        "application/octet-stream",
    ]


def test_rules_are_put_once_and_foreign_ones_stay() -> None:
    ours = rules_of(S3Settings("films", prefix="farm", abort_days=3, staging_days=9))
    foreign = {"ID": "keep", "Status": "Enabled", "Filter": {"Prefix": "other/"}, "Expiration": {"Days": 1}}
    before = {**ours[1], "Expiration": {"Days": 100}}

    assert merged([foreign, before], ours) == [foreign, *ours]  # type: ignore[list-item]  # as the server tells them
    assert merged([foreign, *ours], ours) is None  # type: ignore[list-item]  # as the server tells them
    assert [rule["ID"] for rule in ours] == ["reelyard-farm-unfinished", "reelyard-farm-staging"]


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchKey", 404, NotFound),
        ("404", 404, NotFound),
        ("PreconditionFailed", 412, AlreadyExists),
        ("NoSuchBucket", 404, StorageUnavailable),
        ("AccessDenied", 403, StorageUnavailable),
        ("SlowDown", 503, StorageUnavailable),
        ("InternalError", 500, StorageUnavailable),
        ("XMinioStorageFull", 507, StorageFull),
        ("SomethingNew", 507, StorageFull),
        ("ConditionalRequestConflict", 409, StorageUnavailable),
    ],
)
def test_answers_mean(code: str, status: int, kind: type[StorageError]) -> None:
    error = ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")  # type: ignore[typeddict-item]  # what is looked at

    assert isinstance(meaning("a", error), kind)


def test_no_address_gets_into_a_reason() -> None:
    error = EndpointConnectionError(endpoint_url="http://store/films/a?X-Amz-Signature=secret")

    assert str(meaning("a", error)) == "a: the storage cannot be reached (EndpointConnectionError)"
