"""How an object of a bucket stands in a job's row: its bucket, its key and the version that was looked at. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

from dispatch.core.records import Source

KIND = "s3"
"""The kind of a source that is read in place, out of a bucket of the settings."""


@dataclass(frozen=True, slots=True)
class ObjectAt:
    """`etag` is what the bytes were when the job was submitted: an engine takes no others."""

    bucket: str
    key: str
    etag: str


def source_of(told: ObjectAt, size: int) -> Source:
    path = f"{quote(told.etag, safe='')}/{told.bucket}/{told.key}"
    return Source(KIND, path, told.key.rstrip("/").rpartition("/")[2] or told.bucket, size)


def object_of(source: Source) -> ObjectAt:
    """Of a source of this kind."""
    etag, bucket, key = source.path.split("/", 2)
    return ObjectAt(bucket, key, unquote(etag))
