"""Inputs in buckets: which tenant may name what, what is there when a job comes in, and a link for each grant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from dispatch.core.records import Source
from dispatch.core.s3_inputs import ObjectAt, object_of, source_of
from dispatch.core.sniffing import SNIFF_BYTES
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import S3Object
from protocol.objects import ObjectSource
from protocol.storage import NotFound, StorageUnavailable

log = structlog.get_logger("inputs")
RETRY_AFTER_S = 10.0


@dataclass(frozen=True, slots=True)
class Buckets:
    """`tenants` may name objects in `buckets`; with none of them, all may."""

    reader: ObjectSource
    buckets: frozenset[str]
    tenants: frozenset[str]


@dataclass(frozen=True, slots=True)
class Looked:
    """An object that may become an input, with its first bytes."""

    source: Source
    head: bytes


class S3Inputs:
    """The first source that has a bucket for a tenant serves it."""

    def __init__(self, sources: Sequence[Buckets]) -> None:
        self._sources = tuple(sources)

    async def look(self, tenant: str, wanted: S3Object) -> Looked:
        """Raises INPUT_KIND_UNSUPPORTED, PATH_NOT_ALLOWED, INPUT_NOT_FOUND or STORAGE_UNAVAILABLE. What lies in a bucket of
        others is never told.
        """
        if not self._sources:
            raise ReelyardError(ErrorCode.INPUT_KIND_UNSUPPORTED, "this server reads no S3 inputs; its settings name no bucket")
        reader = self._reader(wanted.bucket, tenant)
        if reader is None:
            raise ReelyardError(ErrorCode.PATH_NOT_ALLOWED, "the bucket is none that this server may read for you")
        try:
            found = await reader.look(wanted.bucket, wanted.key, head_bytes=SNIFF_BYTES)
        except NotFound:
            raise ReelyardError(ErrorCode.INPUT_NOT_FOUND, "there is no such object, or this server may not read it") from None
        except StorageUnavailable as away:
            log.warning("bucket_unreachable", bucket=wanted.bucket, reason=away.reason)
            raise ReelyardError(
                ErrorCode.STORAGE_UNAVAILABLE, "the bucket cannot be reached; try again", retry_after=RETRY_AFTER_S
            ) from away
        return Looked(source_of(ObjectAt(wanted.bucket, wanted.key, found.etag), found.size), found.head)

    def link(self, source: Source, *, seconds: int) -> str | None:
        """A key to that one object. None where the settings do not name its bucket any more."""
        told = object_of(source)
        reader = self._reader(told.bucket, None)
        return None if reader is None else reader.read_link(told.bucket, told.key, seconds=seconds)

    def _reader(self, bucket: str, tenant: str | None) -> ObjectSource | None:
        for source in self._sources:
            if bucket in source.buckets and (tenant is None or not source.tenants or tenant in source.tenants):
                return source.reader
        return None


NO_BUCKETS = S3Inputs(())
