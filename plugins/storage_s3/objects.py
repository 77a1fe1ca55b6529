"""The calls that are made of the bucket, by keys. Blocking; each raises the StorageErrors its answer means.

Whoever creates something gives it a name of its own (`mark`), kept among the object's metadata: when the answer to a call
is lost and boto3 repeats it, "there is one already" may be ours.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from plugins.storage_s3.faults import Conflict, status_of, told_as
from plugins.storage_s3.keys import Keys, content_type
from protocol.storage import AlreadyExists, NotFound, StorageUnavailable

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, GetObjectOutputTypeDef

BLOCK = 1 << 20
BEHIND_THE_END = 416
MOST_KEYS = 1000
"""What one call lists or deletes at most."""

WRITE, DIGEST, PROMOTION = "reelyard-write", "reelyard-sha256", "reelyard-promotion"
"""Metadata that this storage writes: who created the object; the digest that was proven; in which promotion."""


@dataclass(frozen=True, slots=True)
class Object:
    """`sha256` (hex) is the storage's own word for the whole object, checked against its bytes; None where it gives none."""

    key: str
    size: int
    etag: str
    modified: float
    sha256: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """What is told of an object that is made: a name of this one try, and what its metadata say besides."""

    write: str
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def metadata(self) -> dict[str, str]:
        return {WRITE: self.write, **self.about}


def in_base64(digest: str) -> str:
    return base64.b64encode(bytes.fromhex(digest)).decode()


class Objects:
    """`vouches`: the storage checks a SHA-256 sent with the bytes, and gives it back. `copies_new`: it copies create-only."""

    def __init__(self, client: S3Client, bucket: str, keys: Keys) -> None:
        self.client, self.bucket, self._keys = client, bucket, keys
        self.vouches = self.copies_new = False

    def head(self, key: str) -> Object:
        with told_as(self._keys.path(key)):
            found = self.client.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
        told = found.get("ChecksumSHA256") if self.vouches else None
        return Object(
            key,
            found["ContentLength"],
            found["ETag"].strip('"'),
            found["LastModified"].timestamp(),
            _whole(told),
            found.get("Metadata", {}),
        )

    def refuse(self, key: str) -> None:
        """Raise AlreadyExists before anything is done in vain; the create-only call at the end decides."""
        if self.find(key) is not None:
            raise AlreadyExists(self._keys.path(key), "there is a file of this name")

    def expect(self, key: str, size: int) -> Object:
        """What was made in parts is looked at before anybody is told that it is there."""
        found = self.head(key)
        if found.size != size:
            raise StorageUnavailable(self._keys.path(key), f"{found.size} bytes stand where {size} were written")
        return found

    def find(self, key: str) -> Object | None:
        try:
            return self.head(key)
        except NotFound:
            return None

    def open(self, key: str, *, start: int, length: int | None = None, etag: str | None = None) -> tuple[StreamingBody, str]:
        """The bytes from `start`, and the ETag of what they are of. Raises NotFound, and EOFError behind the end."""
        span = f"bytes={start}-{'' if length is None else start + length - 1}"
        more: dict[str, Any] = {} if start == 0 and length is None else {"Range": span}  # Any: keywords of boto3
        if etag is not None:
            more["IfMatch"] = etag
        path = self._keys.path(key)
        try:
            with told_as(path):
                found = self._get(key, more)
        except AlreadyExists as changed:
            raise StorageUnavailable(path, "the file was replaced while it was read") from changed
        return found["Body"], found["ETag"].strip('"')

    def _get(self, key: str, more: Mapping[str, Any]) -> GetObjectOutputTypeDef:  # Any: keywords of boto3
        try:
            return self.client.get_object(Bucket=self.bucket, Key=key, **more)
        except ClientError as error:
            if status_of(error) == BEHIND_THE_END:
                raise EOFError(key) from error
            raise

    def blocks(self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None) -> Iterator[bytes]:
        if length == 0:
            return
        try:
            body, _ = self.open(key, start=start, length=length, etag=etag)
        except EOFError:
            return
        try:
            with told_as(self._keys.path(key)):
                while block := body.read(BLOCK):
                    yield block
        finally:
            body.close()

    def put(self, key: str, content: bytes, made: Made, *, create_only: bool, sha256: str | None = None) -> None:
        """Raises AlreadyExists unless what stands there is of this very try."""
        digest = sha256 or hashlib.sha256(content).hexdigest()
        more: dict[str, Any] = {"IfNoneMatch": "*"} if create_only else {}  # Any: keywords of boto3
        with self.unless_ours(key, made.write), told_as(self._keys.path(key)):
            self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=content,
                ContentType=content_type(key),
                ChecksumSHA256=in_base64(digest),
                Metadata=made.metadata,
                **more,
            )

    @contextmanager
    def unless_ours(self, key: str, write: str) -> Iterator[None]:
        """A refusal of the body is none where an earlier try of the same call, whose answer was lost, made the object."""
        try:
            yield
        except (AlreadyExists, NotFound, Conflict) as refused:
            standing = self.find(key)
            if standing is not None and standing.metadata.get(WRITE) == write:
                return
            if standing is not None and isinstance(refused, Conflict):
                self.refuse(key)
            raise

    def begin(self, key: str, made: Made) -> str:
        with told_as(self._keys.path(key)):
            begun = self.client.create_multipart_upload(
                Bucket=self.bucket, Key=key, ContentType=content_type(key), Metadata=made.metadata
            )
        return begun["UploadId"]

    def put_part(self, key: str, upload: str, number: int, content: bytes) -> CompletedPartTypeDef:
        with told_as(self._keys.path(key)):
            put = self.client.upload_part(Bucket=self.bucket, Key=key, UploadId=upload, PartNumber=number, Body=content)
        return {"PartNumber": number, "ETag": put["ETag"]}

    def copy_part(self, key: str, upload: str, number: int, source: Object, span: tuple[int, int]) -> CompletedPartTypeDef:
        """`span` is the first byte and the number of bytes. Raises NotFound when the source is not what it was."""
        first, size = span
        with _pinned(self._keys.path(source.key)), told_as(self._keys.path(source.key)):
            put = self.client.upload_part_copy(
                Bucket=self.bucket,
                Key=key,
                UploadId=upload,
                PartNumber=number,
                CopySource={"Bucket": self.bucket, "Key": source.key},
                CopySourceIfMatch=source.etag,
                CopySourceRange=f"bytes={first}-{first + size - 1}",
            )
        return {"PartNumber": number, "ETag": put["CopyPartResult"]["ETag"]}

    def complete(
        self, key: str, upload: str, parts: Sequence[CompletedPartTypeDef], *, write: str, create_only: bool = True
    ) -> None:
        """Raises AlreadyExists unless what stands there is of this very try."""
        more: dict[str, Any] = {"IfNoneMatch": "*"} if create_only else {}  # Any: keywords of boto3
        with self.unless_ours(key, write), told_as(self._keys.path(key)):
            self.client.complete_multipart_upload(
                Bucket=self.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": list(parts)}, **more
            )

    def abort(self, key: str, upload: str) -> None:
        """A write that is over, or was never begun, is fine."""
        try:
            with told_as(self._keys.path(key)):
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
        except NotFound:
            return

    def copy(self, source: Object, key: str, made: Made) -> None:
        """One call, create-only, of these very bytes. Raises NotFound when the source is not what it was, AlreadyExists."""
        try:
            with told_as(self._keys.path(key)):
                self.client.copy_object(
                    Bucket=self.bucket,
                    Key=key,
                    CopySource={"Bucket": self.bucket, "Key": source.key},
                    CopySourceIfMatch=source.etag,
                    IfNoneMatch="*",
                    ContentType=content_type(key),
                    MetadataDirective="REPLACE",
                    Metadata=made.metadata,
                    ChecksumAlgorithm="SHA256",
                )
        except AlreadyExists as refused:
            # One answer for both conditions: what stands there, and what is left of the source, tell which one it was.
            standing, left = self.find(key), self.find(source.key)
            if standing is None and (left is None or left.etag != source.etag):
                raise NotFound(self._keys.path(source.key), "it was replaced while it was copied") from refused
            if standing is None or standing.metadata.get(WRITE) != made.write:
                raise

    def delete(self, key: str) -> None:
        with told_as(self._keys.path(key)):
            self.client.delete_object(Bucket=self.bucket, Key=key)

    def delete_all(self, keys: Sequence[str]) -> None:
        """Raises StorageUnavailable when one of them could not be removed; the others are gone."""
        for first in range(0, len(keys), MOST_KEYS):
            batch = keys[first : first + MOST_KEYS]
            with told_as(self._keys.path(batch[0])):
                gone = self.client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True}
                )
            for fault in gone.get("Errors", []):
                raise StorageUnavailable(self._keys.path(fault.get("Key", "")), f"not removed: {fault.get('Code')}")

    def list(self, prefix: str, *, most: int | None = None) -> Iterator[Object]:
        """By key, page by page."""
        more: dict[str, Any] = {} if most is None else {"MaxKeys": most}  # Any: keywords of boto3
        while True:
            with told_as(self._keys.path(prefix)):
                page = self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **more)
            for found in page.get("Contents", []):
                yield Object(found["Key"], found["Size"], found["ETag"].strip('"'), found["LastModified"].timestamp())
            if most is not None or not page.get("IsTruncated"):
                return
            more["ContinuationToken"] = page["NextContinuationToken"]


@contextmanager
def _pinned(path: str) -> Iterator[None]:
    """A condition that fails on the source of a copy is no conflict of names."""
    try:
        yield
    except AlreadyExists as error:
        raise NotFound(path, "it was replaced while it was copied") from error


def _whole(told: str | None) -> str | None:
    """The digest in hex; that of an object put in parts is one of digests (`...-3`) and says nothing of the whole."""
    if told is None or "-" in told:
        return None
    return base64.b64decode(told).hex()
