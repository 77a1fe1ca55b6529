"""Objects in buckets of others, for inputs: looked at by ranges, and read by links that are signed here."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from plugins.storage_s3.reaching import client_of
from protocol.objects import ObjectFacts, ObjectReach
from protocol.storage import NotFound, StorageUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

NO_SUCH = frozenset({"NoSuchKey", "NoSuchBucket", "404", "AccessDenied", "403", "AllAccessDisabled", "InvalidObjectState"})
"""One answer for all of them: whether a foreign object exists is nobody's business."""

EMPTY = frozenset({"InvalidRange", "416"})


class S3Source:
    """Satisfies `protocol.objects.ObjectSource`. Calls run in threads; signing needs none."""

    def __init__(self, reach: ObjectReach) -> None:
        self._client: S3Client = client_of(reach)
        self._signer = self._client
        if reach.public_endpoint is not None:
            self._signer = client_of(replace(reach, endpoint=reach.public_endpoint))

    def close(self) -> None:
        self._client.close()
        self._signer.close()

    async def look(self, bucket: str, key: str, *, head_bytes: int) -> ObjectFacts:
        return await asyncio.to_thread(self._look, bucket, key, head_bytes)

    def _look(self, bucket: str, key: str, head_bytes: int) -> ObjectFacts:
        try:
            try:
                found = self._client.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{head_bytes - 1}")
            except ClientError as error:
                if _code(error) not in EMPTY:
                    raise
                there = self._client.head_object(Bucket=bucket, Key=key)
                return ObjectFacts(there["ContentLength"], there["ETag"].strip('"'), b"")
            head = found["Body"].read(head_bytes)
        except ClientError as error:
            if _code(error) in NO_SUCH:
                raise NotFound(key, "no such object, or none that may be read") from error
            raise StorageUnavailable(key, f"the store answered {_code(error)}") from error
        except BotoCoreError as error:
            raise StorageUnavailable(key, type(error).__name__) from error
        told = found.get("ContentRange", "").rpartition("/")[2]
        return ObjectFacts(int(told) if told.isdigit() else found["ContentLength"], found["ETag"].strip('"'), head)

    def read_link(self, bucket: str, key: str, *, seconds: int) -> str:
        """Raises StorageUnavailable where the machine's chain gives no credentials."""
        try:
            return self._signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds)
        except BotoCoreError as error:
            raise StorageUnavailable(key, type(error).__name__) from error


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")
