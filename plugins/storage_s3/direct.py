"""Links by which engines and clients read and write for themselves: signed here, served by the storage.

A link to write is for one name and create-only, so nothing that was checked can be replaced through it. Up to `whole_bytes`
the SHA-256 is signed into it and the storage refuses other bytes; larger files come in parts, which no storage checks by one
SHA-256: whoever publishes them reads them (`proving`). Names that this storage makes copies under are never given out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

from plugins.storage_s3.faults import told_as
from plugins.storage_s3.keys import Keys, content_type
from plugins.storage_s3.objects import WRITE, Made, Objects, in_base64
from plugins.storage_s3.settings import LONGEST_LINK_S, MIB, S3Settings
from plugins.storage_s3.threads import Threads
from protocol.storage import DirectWrite, NotFound

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, PartTypeDef

PUBLISHED = "/processed/"
"""In the path of every published file; nobody writes there by a link."""

MOST_LINKS = 1000
"""Parts are made larger beyond it: each link is some 400 bytes of the answer."""


class S3Direct:
    """`signer` is asked for signatures alone; its host is the one that the links name."""

    def __init__(
        self,
        signer: S3Client,
        objects: Objects,
        threads: Threads,
        keys: Keys,
        settings: S3Settings,
        unique: Callable[[], str],
    ) -> None:
        self._signer, self._objects, self._threads, self._keys = signer, objects, threads, keys
        self._settings, self._unique = settings, unique

    def read_link(self, path: str, *, seconds: int, filename: str | None = None) -> str:
        """With the CDN's host for what is published, where there is one: it passes path and query on to the storage."""
        about = {"Key": self._keys.of(path), "ResponseContentType": content_type(filename or path)}
        if filename is not None:
            about["ResponseContentDisposition"] = _attachment(filename)
        link = self._sign("get_object", about, seconds)
        return link if self._settings.cdn_url is None or PUBLISHED not in path else _through(self._settings.cdn_url, link)

    async def start_write(self, path: str, *, size: int, sha256: str | None, seconds: int) -> DirectWrite:
        if size <= self._settings.whole_bytes:
            return self._whole(path, size, sha256, seconds)
        return await self._threads.run(partial(self._in_parts, path, size, seconds))

    async def finish_write(self, path: str, upload: str, *, size: int) -> None:
        await self._threads.run(partial(self._finish, path, upload, size))

    async def abort_write(self, path: str, upload: str) -> None:
        key, (_, name) = self._keys.of(path), _told(path, upload)
        await self._threads.run(partial(self._objects.abort, key, name))

    def _whole(self, path: str, size: int, sha256: str | None, seconds: int) -> DirectWrite:
        about: dict[str, Any] = {"Key": self._keys.of(path), "ContentLength": size, "IfNoneMatch": "*"}  # Any: see _sign
        headers = {"If-None-Match": "*"}
        if sha256 is not None:
            about["ChecksumSHA256"] = headers["x-amz-checksum-sha256"] = in_base64(sha256)
        return DirectWrite(self._sign("put_object", about, seconds), headers=headers)

    def _in_parts(self, path: str, size: int, seconds: int) -> DirectWrite:
        key, write = self._keys.of(path), self._unique()
        part_bytes = max(self._settings.link_part_bytes, -(-size // (MOST_LINKS * MIB)) * MIB)
        upload = self._objects.begin(key, Made(write))
        links = tuple(
            self._sign("upload_part", {"Key": key, "UploadId": upload, "PartNumber": number}, seconds)
            for number in range(1, -(-size // part_bytes) + 1)
        )
        return DirectWrite(None, parts=links, part_bytes=part_bytes, upload=f"{write}.{upload}")

    def _finish(self, path: str, upload: str, size: int) -> None:
        key, (write, name) = self._keys.of(path), _told(path, upload)
        try:
            parts = self._parts(path, key, name)
        except NotFound:
            standing = self._objects.find(key)
            if standing is None or standing.metadata.get(WRITE) != write:
                raise
        else:
            if (there := sum(part.get("Size", 0) for part in parts)) != size:
                raise NotFound(path, f"the parts that came hold {there} of {size} bytes")
            self._objects.complete(key, name, _completed(parts), write=write)
        self._objects.expect(key, size)

    def _parts(self, path: str, key: str, upload: str) -> list[PartTypeDef]:
        """By number. Of a part that was sent twice the later one counts; SeaweedFS lists both."""
        found: list[PartTypeDef] = []
        pages = self._objects.client.get_paginator("list_parts")
        with told_as(path):
            for page in pages.paginate(Bucket=self._objects.bucket, Key=key, UploadId=upload):
                found += page.get("Parts", [])
        latest = {part.get("PartNumber", 0): part for part in sorted(found, key=_when)}
        return [latest[number] for number in sorted(latest)]

    def _sign(self, call: str, about: dict[str, Any], seconds: int) -> str:  # Any: keywords of boto3
        if not 0 < seconds <= LONGEST_LINK_S:
            raise ValueError(f"a link holds for 1 to {LONGEST_LINK_S} seconds, not {seconds}")
        with told_as(self._keys.path(str(about["Key"]))):
            return self._signer.generate_presigned_url(call, {"Bucket": self._objects.bucket, **about}, seconds)


def _through(cdn_url: str, link: str) -> str:
    cdn, signed = urlsplit(cdn_url), urlsplit(link)
    return urlunsplit((cdn.scheme, cdn.netloc, f"{cdn.path.rstrip('/')}{signed.path}", signed.query, ""))


def _when(part: PartTypeDef) -> float:
    put = part.get("LastModified")
    return put.timestamp() if put is not None else 0.0


def _completed(parts: list[PartTypeDef]) -> list[CompletedPartTypeDef]:
    return [{"PartNumber": part.get("PartNumber", 0), "ETag": part.get("ETag", "")} for part in parts]


def _told(path: str, upload: str) -> tuple[str, str]:
    """The two names in one: ours, which is noted in the object, and the storage's."""
    write, dot, name = upload.partition(".")
    if not (write and dot and name):
        raise NotFound(path, "there is no such write in parts")
    return write, name


def _attachment(filename: str) -> str:
    """RFC 6266, with the plain name for old readers."""
    plain = "".join(char if " " <= char < "\x7f" and char not in '"\\%;' else "_" for char in filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
